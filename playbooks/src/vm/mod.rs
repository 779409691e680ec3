//! The executor in a throwaway virtual machine: a Debian kernel, and an initramfs that holds our programs and nothing else.
//!
//! The guest has limits and kernel settings of its own, so that a million connections fit where the host's limit of open
//! files forbids them. Its first process is this program ([`guest`]), which runs the plan with the local executor. After each
//! step the results come home through a shared folder (virtio 9p). The host's files are not touched otherwise.
//!
//! - [`kernel`]: a kernel and its modules.
//! - [`image`]: the initramfs.
//! - [`qemu`]: the machine as a process: KVM where it works, else emulation (TCG).
//! - [`guest`]: the inside.

pub(crate) mod guest;
mod image;
mod kernel;
mod qemu;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::kernel::Kernel;
use self::qemu::{Accelerator, Ended, Vm};
use crate::local::{self, Outcome, Signals};
use crate::plan::Plan;
use crate::tools::Tools;

/// What the command line says about the machine.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Its RAM, MiB.
    pub(crate) memory_mib: u64,
    /// Its processors.
    pub(crate) cpus: usize,
    /// A folder with `boot/vmlinuz-*` and `lib/modules/*`, instead of the one that would be found.
    pub(crate) kernel: Option<PathBuf>,
    /// Whether Debian's kernel package and QEMU may be fetched.
    pub(crate) may_install: bool,
}

/// A machine that is ready to be started.
pub(crate) struct Prepared {
    qemu: PathBuf,
    kernel: Kernel,
    options: Options,
}

/// Finds (or fetches) QEMU and a kernel.
pub(crate) fn prepare(options: &Options, tools: &Tools) -> Result<Prepared> {
    let qemu = qemu::find(options.may_install)?;
    let kernel = kernel::find(options.kernel.as_deref(), &tools.cache(), options.may_install)?;
    Ok(Prepared { qemu, kernel, options: options.clone() })
}

impl Prepared {
    /// Runs the plan in the machine. Its directory gets the results of every step that ended.
    pub(crate) fn run(&self, plan: &Plan, signals: &Signals) -> Result<Outcome> {
        let held = local::keep_plan(plan)?;
        let home = Path::new(&plan.dir).canonicalize().with_context(|| format!("cannot find {}", plan.dir))?;
        forget(&home);
        // Here, where what an interrupted attempt left is: the guest begins with an empty file system.
        still_to_do(plan).steps.iter().try_for_each(local::resume::clear)?;
        let scratch = Scratch::make()?;
        let initramfs = scratch.0.join("initramfs");
        for accelerator in Accelerator::usable() {
            let mut noted = plan.clone();
            noted.notes.push(self.note(accelerator));
            image::write(&initramfs, &still_to_do(&noted), &self.kernel)
                .with_context(|| format!("cannot make the machine's initial file system {}", initramfs.display()))?;
            let mut vm = Vm::start(&self.qemu, &self.kernel, &initramfs, &home, &self.options, accelerator)?;
            if !vm.came_up(signals) {
                vm.kill();
                if let Some(signal) = signals.stop_asked() {
                    return outcome(&home, Ended::Killed(signal), &vm, plan);
                }
                eprintln!("  the machine does not come up with {}: {}", accelerator.name(), vm.last_words());
                continue;
            }
            // Now, so that nothing is left of it should this program be killed: the machine has read it.
            drop(scratch);
            drop(held);
            let _held = local::keep_plan(&noted)?;
            let ended = vm.wait(signals, &home, stop_grace(plan));
            return outcome(&home, ended, &vm, plan);
        }
        bail!("no virtual machine came up; the last lines above say why");
    }

    /// What a reader of the results must know about where they come from.
    fn note(&self, accelerator: Accelerator) -> String {
        let emulated = match accelerator {
            Accelerator::Kvm => "",
            Accelerator::Tcg => ": times and CPU are the emulator's, memory and counts are the kernel's",
        };
        format!(
            "ran in a virtual machine of {} processors and {} MiB with Linux {} under {}{emulated}",
            self.options.cpus,
            self.options.memory_mib,
            self.kernel.version,
            accelerator.name(),
        )
    }
}

/// The plan without the steps that an interrupted run has done.
fn still_to_do(plan: &Plan) -> Plan {
    let mut rest = plan.clone();
    rest.steps.retain(|step| local::resume::done(step).is_none());
    rest
}

/// What the guest leaves in the shared folder when it is done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Left {
    interrupted_by: Option<i32>,
    error: Option<String>,
}

/// Name of the file that holds [`Left`]; gone when the run is over.
const LEFT: &str = ".vm-outcome.json";

/// A file of this name in the shared folder asks the guest to stop.
const STOP: &str = ".vm-stop";

/// Time for the guest to stop and bring home what it has: its tools write their summaries, slowly, and every connection is
/// closed by the load and then by the broker, for which a step waits as long.
fn stop_grace(plan: &Plan) -> Duration {
    let connections = plan.steps.iter().map(local::connections_of).max().unwrap_or(0);
    STOP_GRACE + 2 * local::closing_time(connections)
}

/// Beside the connections.
const STOP_GRACE: Duration = Duration::from_secs(60);

/// Removes what host and guest said to each other: a stop that was meant for a machine that is gone would stop the next one.
fn forget(home: &Path) {
    for message in [LEFT, STOP] {
        let _ = std::fs::remove_file(home.join(message));
    }
}

fn outcome(home: &Path, ended: Ended, vm: &Vm, plan: &Plan) -> Result<Outcome> {
    let left = std::fs::read(home.join(LEFT)).ok();
    let left: Option<Left> = left.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    forget(home);
    let verdicts: Vec<bool> = plan.steps.iter().filter_map(local::resume::done).collect();
    let (steps_done, steps_failed) = (verdicts.len(), verdicts.iter().filter(|passed| !**passed).count());
    let interrupted_by = match (left, ended) {
        (Some(Left { error: Some(error), .. }), _) => bail!("in the machine: {error}"),
        // The guest only knows the signal by which it was asked to stop; the user's is ours.
        (Some(left), Ended::ByItself { asked_by }) => left.interrupted_by.map(|signal| asked_by.unwrap_or(signal)),
        (_, Ended::Killed(signal)) => Some(signal),
        (None, Ended::ByItself { .. }) => bail!("the machine ended before its plan was done; {}", vm.last_words()),
    };
    Ok(Outcome { steps_done, steps_failed, interrupted_by })
}

/// A folder for the initramfs, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("playbook-vm-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
