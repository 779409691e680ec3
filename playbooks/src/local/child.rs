//! A process that the runner started and will stop.
//!
//! Children live in process groups of their own, so that Ctrl-C on the terminal reaches only the runner, which then stops
//! them in order. If the runner itself is killed, the kernel sends them [`ORPHAN_SIGNAL`].

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child as OsChild, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use super::signals::Signals;
use super::site::Process;
use crate::netns;

/// Where a child runs.
#[derive(Default)]
pub(crate) struct Place<'a> {
    /// Its network; absent: ours.
    pub(crate) namespace: Option<BorrowedFd<'a>>,
    /// Processors that it may use; empty: all.
    pub(crate) cpus: &'a [usize],
}

impl Place<'_> {
    fn put(&self, command: &mut Command) -> Result<()> {
        if let Some(namespace) = self.namespace {
            netns::enter(command, namespace);
        }
        if !self.cpus.is_empty() {
            let mut set = CpuSet::new();
            for cpu in self.cpus {
                set.set(*cpu).with_context(|| format!("processor {cpu}"))?;
            }
            // SAFETY: between fork and exec only one system call on a plain bit set is made.
            unsafe { command.pre_exec(move || Ok(sched_setaffinity(Pid::from_raw(0), &set)?)) };
        }
        Ok(())
    }
}

/// A started process. Dropping it kills it: no way out of the runner leaves one behind.
pub(crate) struct Child {
    log: PathBuf,
    process: OsChild,
    outcome: Option<ExitStatus>,
}

impl Child {
    /// Starts a command with its output in a log file. Must be called on the main thread: see [`set_apart`].
    pub(crate) fn start(
        argv: &[String],
        env: &BTreeMap<String, String>,
        log: &Path,
        place: &Place<'_>,
    ) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = output.try_clone().with_context(|| format!("cannot open {} twice", log.display()))?;
        let (program, args) = argv.split_first().context("a command has a program")?;
        let mut command = Command::new(program);
        command.args(args).envs(env).stdin(Stdio::null()).stdout(output).stderr(errors);
        set_apart(&mut command);
        place.put(&mut command)?;
        let process = command.spawn().with_context(|| format!("cannot start {}", argv.join(" ")))?;
        Ok(Self { log: log.to_path_buf(), process, outcome: None })
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.outcome.is_none() {
            // An error means that it cannot be waited for, which for our own child cannot happen.
            self.outcome = self.process.try_wait().ok().flatten();
        }
        self.outcome
    }

    /// The end of its log, for an error message.
    pub(crate) fn last_words(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        if last.is_empty() { "it said nothing".into() } else { format!("it said: {}", last.join(" | ")) }
    }

    /// Its whole log.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal, if it is still there.
    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended on its own in this moment, and then there is nobody to signal.
        let _ = kill(Pid::from_raw(self.pid().cast_signed()), signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::SIGKILL);
            let _ = self.process.wait();
        }
    }
}

/// How a child ended after it was asked to.
pub(super) struct Stopped {
    pub(super) status: ExitStatus,
    /// It did not end within its grace.
    pub(super) killed: bool,
}

/// Asks a process to end (SIGTERM), and kills it when it has not within the grace or when the user asks again.
pub(super) fn stop(process: &mut dyn Process, grace: Duration, signals: &Signals) -> Stopped {
    if let Some(status) = process.ended() {
        return Stopped { status, killed: false };
    }
    process.signal(Signal::SIGTERM);
    let insisted = signals.count();
    signals.wait_until(grace, || process.ended().is_some() || signals.count() > insisted);
    if let Some(status) = process.ended() {
        return Stopped { status, killed: false };
    }
    process.signal(Signal::SIGKILL);
    signals.wait_until(KILL_LIMIT, || process.ended().is_some());
    let status = process.ended().unwrap_or_else(|| ExitStatus::from_raw(Signal::SIGKILL as i32));
    Stopped { status, killed: true }
}

/// `exit code 1`, `SIGKILL`.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal().and_then(|number| Signal::try_from(number).ok())) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => signal.to_string(),
        (None, None) => status.to_string(),
    }
}

/// Gives the command's process a group of its own, our priority, and an end when we end. It must be started on the main
/// thread: the kernel's orphan signal follows the thread that started the child.
pub(crate) fn set_apart(command: &mut Command) {
    command.process_group(0);
    let parent = getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are made: prctl, getppid, setpriority, and building
    // an io::Error from a number, which does not allocate.
    unsafe { command.pre_exec(move || prepare(parent)) };
}

/// In the child, before exec: asks the kernel for the orphan signal, and fails if the parent has gone meanwhile.
fn prepare(parent: Pid) -> std::io::Result<()> {
    // SAFETY: a system call on plain numbers. Only root may; for others the priority stays as it is.
    unsafe { nix::libc::setpriority(nix::libc::PRIO_PROCESS, 0, NICE) };
    set_pdeathsig(ORPHAN_SIGNAL)?;
    if getppid() == parent { Ok(()) } else { Err(std::io::Error::from_raw_os_error(nix::libc::ESRCH)) }
}

/// What children get when the runner dies: a program that ignores it would stay for ever, so it cannot be ignored. The
/// tools have everything but their last second on disk by then.
const ORPHAN_SIGNAL: Signal = Signal::SIGKILL;

/// Priority of brokers and tools alike, where the runner may raise it: what else the machine does should disturb neither
/// side, and the generator least of all.
const NICE: i32 = -10;

/// Even the kernel needs its time to take a process's memory back.
const KILL_LIMIT: Duration = Duration::from_secs(30);

const LAST_LINES: usize = 3;
