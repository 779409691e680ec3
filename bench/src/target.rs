//! A broker process under measurement: started afresh, asked what it has used, stopped.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Which broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The zero of the scale.
    Floor,
    /// Our broker, with its default number of workers or this one; `true`: each in a thread of its own from the beginning.
    Ours(Option<usize>, bool),
    /// Eclipse Mosquitto from `PATH`, its limits and Nagle's algorithm off.
    Mosquitto,
}

/// A running broker; stopped when dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often a start is tried.
const STARTS: usize = 3;
const STDERR: &str = "stderr";
const REPORT: &str = "report: ";

impl Target {
    /// Starts it on a free port and waits until it listens there.
    pub(crate) fn start(&self, broker: &Path) -> Result<Running> {
        self.start_under(&[], broker)
    }

    /// The same under another program, such as valgrind with its options.
    pub(crate) fn start_under(&self, wrapper: &[String], broker: &Path) -> Result<Running> {
        // Between our choice of a port and its listening, another program may take the port.
        let first = (1..STARTS).find_map(|_| self.start_once(wrapper, broker).ok());
        first.map_or_else(|| self.start_once(wrapper, broker), Ok)
    }

    fn start_once(&self, wrapper: &[String], broker: &Path) -> Result<Running> {
        let address = free_address()?;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut command = self.command(broker, address, folder.path())?;
        if let Some((program, options)) = wrapper.split_first() {
            let mut wrapped = Command::new(program);
            wrapped.args(options).arg(command.get_program()).args(command.get_args());
            command = wrapped;
        }
        let stderr = std::fs::File::create(folder.path().join(STDERR))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().with_context(|| format!("cannot start {self} (is it installed?)"))?;
        let mut running = Running { child, address, folder };
        let started = Instant::now();
        // Another program may have taken the port meanwhile, and would accept as well.
        while !listens(running.child.id(), address.port()) {
            if let Some(status) = running.child.try_wait()? {
                bail!("{self} ended at its start ({status}): {}", running.log());
            }
            if started.elapsed() > START_PATIENCE {
                bail!("{self} does not listen on {address}: {}", running.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    fn command(&self, broker: &Path, address: SocketAddr, folder: &Path) -> Result<Command> {
        Ok(match self {
            Self::Floor => {
                let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
                command.args(["floor", &address.port().to_string()]);
                command
            }
            Self::Ours(workers, apart) => {
                let mut command = Command::new(broker);
                command.args(["--listen", &format!("tcp://{address}")]);
                if let Some(workers) = workers {
                    command.args(["--workers", &workers.to_string()]);
                }
                if *apart {
                    let file = folder.join("broker.toml");
                    std::fs::write(&file, "spread = \"always\"\n")?;
                    command.arg("--config").arg(file);
                }
                command
            }
            Self::Mosquitto => {
                let (file, user) = (folder.join("mosquitto.conf"), std::env::var("USER").unwrap_or("root".into()));
                // What is set, and why, is told in playbooks/targets/mosquitto.toml.
                let text = format!(
                    "listener {} {}\nallow_anonymous true\nuser {user}\nmax_connections -1\n\
                     max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_dest stderr\n\
                     log_type error\nlog_type warning\npersistence false\n",
                    address.port(),
                    address.ip(),
                );
                std::fs::write(&file, text)?;
                // Debian puts it where an ordinary user's PATH does not look.
                let installed = Path::new("/usr/sbin/mosquitto");
                let mut command = Command::new(if installed.is_file() { installed } else { Path::new("mosquitto") });
                command.arg("-c").arg(file);
                command
            }
        })
    }
}

impl Running {
    /// Nanoseconds that its threads have run, user and kernel.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        cpu_ns_of(self.child.id())
    }

    /// Resident bytes.
    pub(crate) fn rss_bytes(&self) -> Result<u64> {
        rss_bytes_of(&self.child.id().to_string())
    }

    /// Figures that our broker logs when it is asked by SIGUSR1, as a line of text; nothing from others.
    pub(crate) fn report(&self) -> Result<Option<String>> {
        let seen = self.log().matches(REPORT).count();
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGUSR1).context("the broker has died")?;
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
            let log = self.log();
            if log.matches(REPORT).count() > seen {
                return Ok(log.lines().rev().find(|line| line.contains(REPORT)).map(str::to_owned));
            }
        }
        Ok(None)
    }

    /// Stops it; returns what it logged, in which our broker says what it has counted.
    pub(crate) fn stop(mut self) -> Result<String> {
        self.end();
        Ok(self.log())
    }

    fn end(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > Duration::from_secs(5) {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(STDERR)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Nanoseconds that the threads of a process have run, user and kernel.
pub(crate) fn cpu_ns_of(process: u32) -> Result<u64> {
    let mut total = 0;
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).context("the program has died")?;
    for task in tasks.flatten() {
        // A thread may end between the listing and the reading.
        let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        total += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(total)
}

/// Resident bytes of a process, by its number or `self`.
pub(crate) fn rss_bytes_of(process: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).context("the program has died")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the program has died")?;
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>().context("VmRSS is not a number")?;
    Ok(kib * 1024)
}

/// The value of a figure in the last line in which our broker says what it has counted.
pub(crate) fn counter(log: &str, name: &str) -> Option<f64> {
    let line = log.lines().rev().find(|line| line.contains("stopped: ") || line.contains(REPORT))?;
    line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// Whether a process has a listening IPv4 socket on this port.
fn listens(process: u32, port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let names: Vec<String> = sockets.lines().filter_map(|line| listener_on(line, port)).collect();
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.any(|link| names.iter().any(|name| link.as_os_str() == name.as_str()))
}

/// The name, among a process's files, of the listening socket that a line of `/proc/net/tcp` tells of, if it is on this port.
fn listener_on(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let (_, hex) = local.rsplit_once(':')?;
    (*state == LISTEN && u16::from_str_radix(hex, 16) == Ok(port)).then(|| format!("socket:[{inode}]"))
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    listener.local_addr().context("cannot read the address of a listener")
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "floor" => Ok(Self::Floor),
            None if text == "ours" => Ok(Self::Ours(None, false)),
            None if text == "mosquitto" => Ok(Self::Mosquitto),
            Some(("ours", workers)) => {
                let (count, apart) = workers.strip_suffix(":apart").map_or((workers, false), |count| (count, true));
                let count = count.parse().map_err(|_| format!("`{count}` is no number of workers"))?;
                Ok(Self::Ours(Some(count), apart))
            }
            _ => {
                Err(format!("no target `{text}`; there are: floor, ours, ours:WORKERS, ours:WORKERS:apart, mosquitto"))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor => f.write_str("floor"),
            Self::Ours(None, _) => f.write_str("ours"),
            Self::Ours(Some(workers), false) => write!(f, "ours:{workers}"),
            Self::Ours(Some(workers), true) => write!(f, "ours:{workers}:apart"),
            Self::Mosquitto => f.write_str("mosquitto"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_come_from_the_last_line() {
        let log = "INFO stopped: received=1\nINFO stopped: received=12 dropped_slow_qos0=3 delivered=9\n";
        assert_eq!(counter(log, "received"), Some(12.0));
        assert_eq!(counter(log, "dropped_slow_qos0"), Some(3.0));
        assert_eq!(counter(log, "dropped_slow"), None);
        assert_eq!(counter("nothing", "received"), None);
    }

    #[test]
    fn a_listener_is_told_from_that_of_another_process() {
        let this = std::process::id();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut other = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(listens(this, port) && !listens(other.id(), port));
        other.kill().unwrap();
        other.wait().unwrap();
        drop(listener);
        assert!(!listens(this, port));
    }

    #[test]
    fn targets_are_read_as_they_are_shown() {
        for text in ["floor", "ours", "ours:3", "ours:2:apart", "mosquitto"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert!("emqx".parse::<Target>().unwrap_err().contains("there are: floor"));
        assert!("ours:many".parse::<Target>().unwrap_err().contains("`many`"));
    }
}
