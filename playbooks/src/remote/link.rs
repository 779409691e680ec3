//! This end of one SSH session: OpenSSH's client, with an agent at the other end.
//!
//! Requests are answered in their order; news comes in between. A thread reads what the agent says, another sends a sign of life
//! every few seconds, without which the agent would end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use runlog::clock;

use super::protocol::{Answer, Ask, Line, News, Request};
use crate::local::set_apart;
use crate::runbook::quoted;

/// How a host is reached by `ssh`.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Name in the inventory.
    pub(crate) host: String,
    /// Options and destination.
    pub(crate) ssh: Vec<String>,
    /// Whether commands are given to sudo.
    pub(crate) sudo: bool,
}

impl Route {
    /// The client with a command for the host, which dies with us. Must be called on the main thread: see [`set_apart`].
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let sudo: &[&str] = if self.sudo { &["sudo", "-n"] } else { &[] };
        let remote: Vec<String> = sudo.iter().chain(words).map(|word| quoted(word)).collect();
        let mut command = Command::new("ssh");
        command.args(&self.ssh).arg(remote.join(" "));
        set_apart(&mut command);
        command
    }
}

/// An answer, and our monotonic clock around it.
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) asked_ns: u64,
    pub(crate) answered_ns: u64,
}

/// A session.
pub(crate) struct Link {
    pub(crate) host: String,
    shared: Arc<Shared>,
    ssh: Mutex<Child>,
}

struct Shared {
    input: Mutex<Option<ChildStdin>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    asked: u64,
    answers: BTreeMap<u64, (Result<Answer, String>, u64)>,
    ready: BTreeSet<String>,
    /// Wait status, last words.
    ended: BTreeMap<String, (i32, String)>,
    /// The last lines that the session wrote to its standard error.
    errors: Vec<String>,
    /// Why nothing more will come.
    lost: Option<String>,
}

impl Link {
    /// Starts the agent of a host. Must be called on the main thread.
    pub(crate) fn open(route: &Route, folder: &str) -> Result<Self> {
        let program = format!("{folder}/bin/playbook");
        let mut command = route.command(&[&program, "agent", "--folder", folder]);
        let mut ssh = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start ssh (Debian: apt-get install openssh-client)")?;
        let input = ssh.stdin.take();
        let (output, errors) = (ssh.stdout.take().expect("a pipe"), ssh.stderr.take().expect("a pipe"));
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { input: Mutex::new(input), state, changed: Condvar::new() });
        let (reader, complainer, living) = (Arc::clone(&shared), Arc::clone(&shared), Arc::downgrade(&shared));
        let host = route.host.clone();
        let complaints = std::thread::spawn(move || complainer.read_errors(&host, errors));
        std::thread::spawn(move || {
            let reason = reader.read(output);
            // What ssh says of its end is a better reason than the end itself.
            let _ = complaints.join();
            reader.lose(reason);
        });
        std::thread::spawn(move || stay_alive(&living));
        Ok(Self { host: route.host.clone(), shared, ssh: Mutex::new(ssh) })
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&self, ask: Ask, limit: Duration) -> Result<Answer> {
        Ok(self.ask_timed(ask, limit)?.answer)
    }

    /// The same, with our clock around it.
    pub(crate) fn ask_timed(&self, ask: Ask, limit: Duration) -> Result<Reply> {
        let asked_ns = clock::mono_ns();
        let id = self.shared.send(ask).with_context(|| self.host.clone())?;
        let deadline = Instant::now() + limit;
        let mut state = self.shared.state();
        loop {
            if let Some((result, answered_ns)) = state.answers.remove(&id) {
                let answer = result.map_err(|reason| anyhow!("{}: {reason}", self.host))?;
                return Ok(Reply { answer, asked_ns, answered_ns });
            }
            if let Some(reason) = &state.lost {
                bail!("{}: {reason}", self.host);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{}: no answer after {limit:?}", self.host);
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Forgets the processes of a step.
    pub(crate) fn forget(&self) {
        let mut state = self.shared.state();
        state.ready.clear();
        state.ended.clear();
    }

    /// Whether a process of this host has said that it is ready.
    pub(crate) fn is_ready(&self, process: &str) -> bool {
        self.shared.state().ready.contains(process)
    }

    /// How a process of this host ended, if it did; with a lost session it did, whatever became of it: the agent ends it.
    pub(crate) fn ended(&self, process: &str) -> Option<(ExitStatus, String)> {
        let state = self.shared.state();
        if let Some((wait_status, last_words)) = state.ended.get(process) {
            return Some((ExitStatus::from_raw(*wait_status), last_words.clone()));
        }
        let lost = |reason: &String| (ExitStatus::from_raw(nix::libc::SIGKILL), format!("{}: {reason}", self.host));
        state.lost.as_ref().map(lost)
    }

    /// The end of the session, after a goodbye: waits until the client is gone.
    pub(crate) fn close(&self) {
        let _ = self.ask(Ask::Bye, BYE_LIMIT);
        self.shared.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        let deadline = Instant::now() + BYE_LIMIT;
        let mut ssh = self.ssh.lock().unwrap_or_else(PoisonError::into_inner);
        while matches!(ssh.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let ssh = self.ssh.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ssh.kill();
        let _ = ssh.wait();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, ask: Ask) -> Result<u64> {
        let id = {
            let mut state = self.state();
            if let Some(reason) = &state.lost {
                bail!("{reason}");
            }
            state.asked += 1;
            state.asked
        };
        let mut line = serde_json::to_vec(&Request { id, ask }).context("a request is always JSON")?;
        line.push(b'\n');
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        // When the other end is gone, the reason comes from the reading side.
        let _ = input.as_mut().map(|input| input.write_all(&line).and_then(|()| input.flush()));
        Ok(id)
    }

    /// Reads until the end, and says why it ended.
    fn read(&self, output: impl Read) -> String {
        let mut lines = BufReader::new(output);
        let mut text = Vec::new();
        loop {
            text.clear();
            // An answer is a line of some kilobytes.
            match (&mut lines).take(LINE_MAX).read_until(b'\n', &mut text) {
                Ok(0) => return "the SSH session has ended".to_owned(),
                Ok(_) => {}
                Err(error) => return format!("the SSH session broke: {error}"),
            }
            let received_ns = clock::mono_ns();
            let Ok(line) = serde_json::from_slice::<Line>(&text) else {
                let shown = String::from_utf8_lossy(&text[..text.len().min(200)]).trim_end().to_owned();
                return format!("what answers is not our agent: {shown}");
            };
            let mut state = self.state();
            match line {
                Line::Answer { id, result } => {
                    // Nobody waits for the answers to signs of life.
                    state.answers.retain(|old, _| old + ANSWERS_KEPT > id);
                    state.answers.insert(id, (result, received_ns));
                }
                Line::News(News::Ready { name }) => {
                    state.ready.insert(name);
                }
                Line::News(News::Ended { name, wait_status, last_words }) => {
                    state.ended.insert(name, (wait_status, last_words));
                }
            }
            self.changed.notify_all();
        }
    }

    fn read_errors(&self, host: &str, errors: impl Read) {
        for line in BufReader::new(errors).lines().map_while(std::io::Result::ok) {
            eprintln!("  {host}: {line}");
            let mut state = self.state();
            state.errors.push(line);
            let surplus = state.errors.len().saturating_sub(ERRORS_KEPT);
            state.errors.drain(..surplus);
        }
    }

    fn lose(&self, reason: String) {
        let mut state = self.state();
        let said = state.errors.join(" | ");
        state.lost = Some(if said.is_empty() { reason } else { format!("{reason}; it said: {said}") });
        self.changed.notify_all();
    }
}

/// Says every few seconds that we are there, as long as the session is.
fn stay_alive(session: &Weak<Shared>) {
    loop {
        sleep(SIGN_OF_LIFE);
        match session.upgrade() {
            Some(shared) if shared.send(Ask::Clock).is_ok() => {}
            _ => return,
        }
    }
}

const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
const BYE_LIMIT: Duration = Duration::from_secs(10);
const LINE_MAX: u64 = 1 << 20;
const ERRORS_KEPT: usize = 3;
const ANSWERS_KEPT: u64 = 64;
