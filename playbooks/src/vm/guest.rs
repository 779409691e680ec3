//! The inside of the machine: its first process. Sets the machine up, runs the plan with the local executor, sends the
//! results home after each step, and powers off.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::Run;

use super::{LEFT, Left, STOP, image};
use crate::local::site::Here;
use crate::local::{self, Signals};
use crate::plan::Plan;

/// The first words on the console: the machine is up.
pub(super) const UP: &str = "playbook guest is up";

/// Most files of one process in the machine: a million connections and some room.
pub(crate) const FILES_MAX: u64 = 1_100_000;

/// Runs as the first process. Returns only when this is no machine of ours.
pub(crate) fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!(
            "playbook: guest is what the virtual machine of `playbook run --in vm` starts; it does nothing elsewhere"
        );
        return ExitCode::FAILURE;
    }
    let left = match set_up().and_then(|()| run()) {
        Ok(outcome) => Left { interrupted_by: outcome.interrupted_by, error: None },
        Err(error) => {
            eprintln!("playbook guest: {error:#}");
            Left { error: Some(format!("{error:#}")), ..Left::default() }
        }
    };
    let text = serde_json::to_string(&left).expect("numbers and text are always JSON");
    if let Err(error) = fs::write(Path::new(HOME).join(LEFT), text) {
        eprintln!("playbook guest: cannot tell the outcome: {error}");
    }
    nix::unistd::sync();
    // Only fails without the right to, and then there is nobody left to tell.
    let _ = reboot(RebootMode::RB_POWER_OFF);
    ExitCode::FAILURE
}

fn set_up() -> Result<()> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("cgroup2", "/sys/fs/cgroup")] {
        mount_at(kind, kind, place, None)?;
    }
    println!("{UP}");
    load_modules()?;
    mount_at("home", "9p", HOME, Some("trans=virtio,version=9p2000.L,msize=262144"))?;
    loopback_up()?;
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::write(&path, value).with_context(|| format!("cannot set {name} = {value}"))?;
    }
    setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX).context("cannot raise the limit of open files")?;
    std::env::set_current_dir("/playbook").context("the initial file system has /playbook")
}

fn run() -> Result<local::Outcome> {
    let text = fs::read_to_string(image::PLAN).context("cannot read the plan")?;
    let plan: Plan = serde_json::from_str(&text).context("the plan is not what this version writes")?;
    let signals = Signals::listen()?;
    std::thread::spawn(stop_when_asked);
    for step in &plan.steps {
        bring_marks(Path::new(&step.dir))?;
    }
    // Only the steps' directories go home: the plan is there, and whole.
    local::run(&plan, &mut Here::with_hosts(&plan.hosts), &signals, &mut |step| {
        let dir = Path::new(&step.dir);
        bring_home(dir, &Path::new(HOME).join(dir.file_name().context("a step's directory has a name")?))
    })
}

/// The host asks through the shared folder; from here on it is the same as Ctrl-C.
fn stop_when_asked() {
    while !Path::new(HOME).join(STOP).exists() {
        std::thread::sleep(Duration::from_secs(2));
    }
    // We are process 1: the signal has a handler, so the kernel lets it through.
    let _ = kill(Pid::this(), Signal::SIGTERM);
}

fn mount_at(source: &str, kind: &str, place: &str, options: Option<&str>) -> Result<()> {
    mount(Some(source), place, Some(kind), MsFlags::empty(), options)
        .with_context(|| format!("cannot mount {kind} on {place}"))
}

fn load_modules() -> Result<()> {
    let entries = fs::read_dir(image::MODULES).context("the initial file system has modules")?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        let file = fs::File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let plain = path.extension().is_some_and(|extension| extension == "ko");
        let flags = if plain { ModuleInitFlags::empty() } else { ModuleInitFlags::from_bits_retain(COMPRESSED) };
        match finit_module(file.as_fd(), c"", flags) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot load {}", path.display())),
        }
    }
    Ok(())
}

/// Sets the flag IFF_UP of `lo`; its address and route come by themselves.
fn loopback_up() -> Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").context("cannot make a socket")?;
    // SAFETY: ifreq is a C structure of numbers and pointers, for which all zeroes are a value.
    let mut request: nix::libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (nix::libc::IFF_UP | nix::libc::IFF_RUNNING) as nix::libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is, and keeps no pointer to it.
    let result = unsafe {
        nix::libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), nix::libc::SIOCSIFFLAGS, &raw const request)
    };
    if result != 0 {
        return Err(std::io::Error::last_os_error()).context("cannot bring up lo");
    }
    Ok(())
}

/// What an earlier machine has marked in a step's directory: the marks of this one go into the same file.
fn bring_marks(dir: &Path) -> Result<()> {
    let home = Run::open(Path::new(HOME).join(dir.file_name().context("a step's directory has a name")?));
    let (from, to) = (home.events_path(), Run::open(dir).events_path());
    if from.exists() && !to.exists() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        fs::copy(&from, &to).with_context(|| format!("cannot bring {}", from.display()))?;
    }
    Ok(())
}

/// Copies what is new or longer or younger in `from` to `to`.
fn bring_home(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", from.display()))?;
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            bring_home(&source, &place)?;
        } else if changed(&source, &place) {
            fs::copy(&source, &place).with_context(|| format!("cannot bring home {}", source.display()))?;
        }
    }
    Ok(())
}

fn changed(source: &Path, place: &Path) -> bool {
    let (Ok(source), Ok(place)) = (fs::metadata(source), fs::metadata(place)) else { return true };
    let younger = source.modified().ok().zip(place.modified().ok()).is_none_or(|(source, place)| source > place);
    source.len() != place.len() || younger
}

/// The shared folder: the experiment's directory of the host.
const HOME: &str = "/home-share";

/// `MODULE_INIT_COMPRESSED_FILE`, since Linux 5.17: the kernel unpacks it.
const COMPRESSED: std::ffi::c_uint = 4;

/// Kernel settings of the machine: the guide's (chapters 2.1 and 2.3), and what a million sockets at both ends need.
const SETTINGS: &[(&str, &str)] = &[
    ("fs.file-max", "4000000"),
    ("fs.nr_open", "2000000"),
    ("net.core.netdev_max_backlog", "65536"),
    ("net.core.somaxconn", "65535"),
    ("net.ipv4.tcp_max_syn_backlog", "65535"),
    ("net.core.wmem_max", "16777216"),
    ("net.core.rmem_max", "16777216"),
    ("net.ipv4.tcp_wmem", "4096 4096 16777216"),
    ("net.ipv4.tcp_rmem", "4096 4096 16777216"),
    ("net.ipv4.tcp_tw_reuse", "1"),
    ("net.ipv4.ip_local_port_range", "1024 65535"),
    // A listener that falls behind in a storm would be taken for an attack, and cookies cost options.
    ("net.ipv4.tcp_syncookies", "0"),
];
