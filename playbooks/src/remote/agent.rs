//! `playbook agent`: the hand of a runner on one host of an experiment, at the other end of one SSH session.
//!
//! It starts, watches and stops the processes of this host. It ends with everything that it started when its input ends or
//! stays silent (the runner sends a line every few seconds): a runner that was killed, or a network that broke, leaves nothing
//! running. Then it also undoes what Ansible set for the experiment. Its children get SIGKILL from the kernel if it dies itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::ifaddrs::getifaddrs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::SockaddrStorage;
use runlog::clock;

use super::protocol::{Answer, Ask, Facts, Found, Line, News, Request, StartProcess};
use crate::local::child::{Child, Place};
use crate::local::gates::time_wait;
use crate::local::site::Watched;
use crate::machine::Machine;
use crate::plan::ProcessKind;
use crate::resolve;
use crate::tools::Tools;
use crate::typed::{self, Target};

/// Serves a runner until it says goodbye, or is gone.
pub(crate) fn main(folder: &Path) -> Result<ExitCode> {
    let _held = hold(folder)?;
    let requests = listen();
    let mut agent = Agent::default();
    let outcome = agent.serve(&requests);
    drop(agent);
    if !matches!(outcome, Ok(true)) {
        restore(folder);
    }
    outcome.map(|_| ExitCode::SUCCESS)
}

/// One runner at a time.
fn hold(folder: &Path) -> Result<Flock<File>> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("cannot create {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, error)) => bail!("{}: another runner works on this host ({error})", path.display()),
    }
}

/// Lines of standard input, read by a thread of their own.
fn listen() -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Undoes what Ansible set. The script says what it could not do; nobody else is left to hear it.
fn restore(folder: &Path) {
    let script = folder.join("bin").join(HOST_SCRIPT);
    if script.is_file() {
        let _ = Command::new(script).arg("restore").stdin(Stdio::null()).stdout(Stdio::null()).status();
    }
}

/// The processes of this host.
#[derive(Default)]
struct Agent {
    processes: BTreeMap<String, Held>,
}

/// A process, and what the runner knows of it.
struct Held {
    child: Child,
    watched: Option<(ProcessKind, String)>,
    told_ready: bool,
    told_ended: bool,
}

impl Agent {
    /// Whether the runner said goodbye; false when it is gone.
    fn serve(&mut self, requests: &Receiver<String>) -> Result<bool> {
        let mut heard = Instant::now();
        loop {
            match requests.recv_timeout(LOOK) {
                Ok(line) => {
                    heard = Instant::now();
                    let request: Request =
                        serde_json::from_str(&line).with_context(|| format!("not a request: {line}"))?;
                    let is_bye = matches!(request.ask, Ask::Bye);
                    let result = self.answer(request.ask).map_err(|error| format!("{error:#}"));
                    say(&Line::Answer { id: request.id, result })?;
                    if is_bye {
                        return Ok(true);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
                Err(RecvTimeoutError::Timeout) if heard.elapsed() > SILENCE_MAX => return Ok(false),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look()?;
        }
    }

    /// Tells what has happened to the processes.
    fn look(&mut self) -> Result<()> {
        for (name, process) in &mut self.processes {
            if let Some((kind, run_dir)) = process.watched.as_ref().filter(|_| !process.told_ready)
                && (Watched { kind: *kind, run_dir }).is_ready()
            {
                process.told_ready = true;
                say(&Line::News(News::Ready { name: name.clone() }))?;
            }
            if process.told_ended {
                continue;
            }
            if let Some(status) = process.child.ended() {
                process.told_ended = true;
                let last_words = process.child.last_words();
                say(&Line::News(News::Ended { name: name.clone(), wait_status: status.into_raw(), last_words }))?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, ask: Ask) -> Result<Answer> {
        Ok(match ask {
            Ask::Hello { address } => Answer::Facts(facts(address)?),
            Ask::Clock => Answer::Clock { mono_ns: clock::mono_ns(), wall_ns: clock::wall_ns() },
            Ask::Find { file, text, may_install } => Answer::Found(find(&file, &text, may_install)?),
            Ask::Programs { paths } => {
                Answer::Absent(paths.into_iter().filter(|path| !Path::new(path).is_file()).collect())
            }
            Ask::Begin { folder, folders, files } => {
                self.processes.clear();
                if Path::new(&folder).exists() {
                    fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {folder}"))?;
                }
                for folder in [&folder].into_iter().chain(&folders) {
                    fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
                }
                for file in files {
                    fs::write(&file.path, &file.text).with_context(|| format!("cannot write {}", file.path))?;
                }
                Answer::Done
            }
            Ask::Start(start) => Answer::Started { pid: self.start(start)? },
            Ask::Signal { name, signal } => {
                let signal = Signal::try_from(signal).with_context(|| format!("signal {signal}"))?;
                self.process(&name)?.child.signal(signal);
                Answer::Done
            }
            Ask::Accepts { address, limit_ms } => {
                let limit = Duration::from_millis(limit_ms.max(1));
                Answer::Accepts(TcpStream::connect_timeout(&address, limit).is_ok())
            }
            Ask::LastWords { name } => Answer::Words(self.process(&name)?.child.last_words()),
            Ask::Output { name } => Answer::Words(self.process(&name)?.child.output()),
            Ask::TimeWait => Answer::TimeWait(time_wait()),
            Ask::Bye => Answer::Done,
        })
    }

    fn start(&mut self, start: StartProcess) -> Result<u32> {
        let StartProcess { name, argv, env, log, cpus, watched } = start;
        let child = Child::start(&argv, &env, Path::new(&log), &Place { namespace: None, cpus: &cpus })?;
        let pid = child.pid();
        let process = Held { child, watched, told_ready: false, told_ended: false };
        self.processes.insert(name, process);
        Ok(pid)
    }

    fn process(&mut self, name: &str) -> Result<&mut Held> {
        self.processes.get_mut(name).with_context(|| format!("there is no process {name}"))
    }
}

fn say(line: &Line) -> Result<()> {
    let mut text = serde_json::to_vec(line).context("a line is always JSON")?;
    text.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&text).and_then(|()| stdout.flush()).context("the runner does not listen any more")
}

fn facts(address: Ipv4Addr) -> Result<Facts> {
    raise_files();
    let machine = Machine::look()?;
    let of_address = |interface: &nix::ifaddrs::InterfaceAddress| {
        let found = interface.address.as_ref().and_then(SockaddrStorage::as_sockaddr_in);
        found.is_some_and(|found| found.ip() == address)
    };
    let interface = getifaddrs().context("cannot list the network interfaces")?.find(of_address);
    Ok(Facts {
        version: runlog::version().to_owned(),
        user: machine.user,
        files_max: machine.files_max,
        boot_id: runlog::host::boot_id(),
        interface: interface.map(|interface| interface.interface_name),
    })
}

/// A session begins with the limits of a login. Who may, raises the hard limit of open files to what the kernel allows.
fn raise_files() {
    let allowed = fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse::<u64>().ok());
    if let (Some(allowed), Ok((_, hard))) = (allowed, getrlimit(Resource::RLIMIT_NOFILE))
        && hard < allowed
    {
        // Without the right to, the limit stays, and the plan is made for it.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, allowed, allowed);
    }
}

fn find(file: &str, text: &str, may_install: bool) -> Result<Option<Found>> {
    let target: Target = typed::parse(file, text)?;
    let tools = Tools::locate()?;
    resolve::found(&target, &tools, may_install)
}

/// The lock of the runner that works on this host.
const LOCK: &str = "lock";

/// The script that Ansible installs, which tunes and restores the host.
const HOST_SCRIPT: &str = "lab-host";

/// How often processes are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A runner that says nothing for so long is gone, or the network is.
const SILENCE_MAX: Duration = Duration::from_secs(60);
