//! The machine as a process of ours.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::guest::UP;
use super::kernel::Kernel;
use super::{Options, STOP, image};
use crate::local::{self, Signals};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU's translator: ten times slower, and everywhere.
    Tcg,
}

impl Accelerator {
    /// Those to try here, the best first.
    pub(super) fn usable() -> Vec<Self> {
        match obstacle_to_kvm() {
            None => vec![Self::Kvm, Self::Tcg],
            Some(reason) => {
                eprintln!("  without KVM: {reason}");
                vec![Self::Tcg]
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG (emulation)",
        }
    }

    /// SMAP and five levels of page tables are emulated at a price, and protect nothing in a machine that runs one plan.
    fn args(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max,-smap,-la57"],
        }
    }

    /// The emulated time stamp counter is the host's and steady, which the guest cannot know; its other clocks are slow.
    /// The rest takes off hardening (of which clearing memory alone was 7 % of the kernel's samples) that is dear where every
    /// instruction is emulated; it changes no size of a socket.
    fn boot_words(self) -> &'static str {
        match self {
            Self::Kvm => "",
            Self::Tcg => {
                " tsc=reliable clocksource=tsc mitigations=off init_on_alloc=0 hardened_usercopy=off lsm=lockdown audit=0"
            }
        }
    }
}

/// How a machine ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// It powered itself off, or crashed.
    ByItself {
        /// The signal after which it was asked to.
        asked_by: Option<i32>,
    },
    /// We ended it after this signal.
    Killed(i32),
}

/// A running machine. Dropping it kills it.
pub(super) struct Vm {
    process: Child,
    lines: Receiver<String>,
    last: Vec<String>,
}

impl Vm {
    /// Starts the machine. Must be called on the main thread: see [`local::set_apart`].
    pub(super) fn start(
        qemu: &Path,
        kernel: &Kernel,
        initramfs: &Path,
        home: &Path,
        options: &Options,
        accelerator: Accelerator,
    ) -> Result<Self> {
        let boot = format!(
            "console=ttyS0 quiet loglevel=4 panic=-1 TERM=dumb rdinit={}{} -- guest",
            image::INIT,
            accelerator.boot_words()
        );
        let mut command = Command::new(qemu);
        command
            .args(accelerator.args())
            .args(["-smp", &options.cpus.to_string(), "-m", &format!("{}M", options.memory_mib)])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"])
            .args(["-serial", "stdio", "-append", &boot])
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(initramfs)
            .arg("-fsdev")
            .arg(format!("local,id=home,security_model=none,path={}", comma_twice(home)))
            .args(["-device", "virtio-9p-pci,fsdev=home,mount_tag=home"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        local::set_apart(&mut command);
        eprintln!("  starting a virtual machine with {}", accelerator.name());
        let mut process = command.spawn().with_context(|| format!("cannot start {}", qemu.display()))?;
        let (sender, lines) = channel();
        let (out, errors) = (process.stdout.take().expect("piped"), process.stderr.take().expect("piped"));
        for stream in [File::from(std::os::fd::OwnedFd::from(out)), File::from(std::os::fd::OwnedFd::from(errors))] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut bytes = Vec::new();
                while reader.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                    let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    bytes.clear();
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { process, lines, last: Vec::new() })
    }

    /// Waits for the guest's first words.
    pub(super) fn came_up(&mut self, signals: &Signals) -> bool {
        let deadline = Instant::now() + BOOT_LIMIT;
        while Instant::now() < deadline && signals.stop_asked().is_none() {
            match self.lines.recv_timeout(POLL) {
                Ok(line) if line.contains(UP) => return true,
                Ok(line) => self.keep(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        false
    }

    /// Shows what the guest says until the machine ends. A signal asks the guest to stop; a second one, or the end of the
    /// grace, ends the machine.
    pub(super) fn wait(&mut self, signals: &Signals, home: &Path, grace: Duration) -> Ended {
        let mut asked: Option<(i32, Instant, usize)> = None;
        loop {
            match self.lines.recv_timeout(POLL) {
                Ok(line) => {
                    eprintln!("  vm: {line}");
                    self.keep(line);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.process.wait();
                    return Ended::ByItself { asked_by: asked.map(|(signal, ..)| signal) };
                }
            }
            match (asked, signals.stop_asked()) {
                (None, Some(signal)) => {
                    // Where it cannot be written, the grace passes and the machine is ended.
                    let _ = std::fs::write(home.join(STOP), "");
                    eprintln!(
                        "  the machine is asked to stop, and is ended after {} s; a second signal ends it at once, with \
                         what its present step has measured",
                        grace.as_secs()
                    );
                    asked = Some((signal, Instant::now(), signals.count()));
                }
                (Some((signal, since, count)), _) if since.elapsed() > grace || signals.count() > count => {
                    self.kill();
                    return Ended::Killed(signal);
                }
                _ => {}
            }
        }
    }

    pub(super) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The end of what the console said.
    pub(super) fn last_words(&self) -> String {
        match self.last.as_slice() {
            [] => "it said nothing".to_owned(),
            lines => format!("it said: {}", lines.join(" | ")),
        }
    }

    fn keep(&mut self, line: String) {
        if !line.is_empty() {
            self.last.push(line);
        }
        if self.last.len() > LAST_LINES {
            self.last.remove(0);
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Why no machine can run under KVM here, if so. A KVM without VMX and SVM (that of a kernel which is virtualised by its page
/// tables) runs only kernels made for it: a plain one neither comes up nor fails.
fn obstacle_to_kvm() -> Option<String> {
    if let Err(error) = File::options().read(true).write(true).open("/dev/kvm") {
        return Some(format!("/dev/kvm: {error}"));
    }
    // Where it cannot be read, the machine shows whether it comes up.
    let processors = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let has_extension = processors.split_whitespace().any(|word| word == "vmx" || word == "svm");
    (!has_extension).then(|| "the processor has neither VMX nor SVM".to_owned())
}

/// Finds QEMU, or lets apt install it.
pub(super) fn find(may_install: bool) -> Result<PathBuf> {
    let in_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|program| program.is_file())
    };
    if let Some(found) = in_path() {
        return Ok(found);
    }
    if !may_install || !nix::unistd::Uid::effective().is_root() {
        bail!("{PROGRAM} is not in PATH: `apt-get install {PACKAGE}` brings it (--yes as root does that)");
    }
    crate::resolve::apt(&[PACKAGE.to_owned()], None)?;
    in_path().with_context(|| format!("{PACKAGE} was installed, and {PROGRAM} is still not in PATH"))
}

/// A comma separates QEMU's options; a doubled one is a comma.
fn comma_twice(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// An emulated machine is up in a few seconds, on a busy one in many; one whose KVM does not work never is.
const BOOT_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
const LAST_LINES: usize = 8;
