//! Idle clients in a process of their own. Killed, all of them vanish with a reset in the same moment; stopped, all of
//! them fall silent.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::driver::Driver;

/// The process, seen from the one that measures; killed when dropped.
pub(crate) struct Held {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a process of clients says when they are at work.
pub(crate) const READY: &str = "ready";

impl Held {
    /// Starts a process that connects `connections` clients, and waits until they are connected.
    pub(crate) fn start(address: SocketAddr, connections: usize, keep_alive_s: u16) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .args(["hold".into(), address.port().to_string(), connections.to_string(), keep_alive_s.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process that holds connections")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut held =
            Self { child, input: input.context("no pipe")?, output: BufReader::new(output.context("no pipe")?) };
        held.wait_for_word()?;
        Ok(held)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes all clients vanish, each with a reset.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill the process that holds connections")
    }

    /// Has every client send a last sign of life, and then none.
    pub(crate) fn silence(&mut self) -> Result<()> {
        writeln!(self.input, "ping")?;
        self.wait_for_word()?;
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGSTOP).context("cannot stop a process")
    }

    fn wait_for_word(&mut self) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.trim_end() != READY {
            bail!("the process that holds connections has failed");
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process itself.
pub(crate) fn run(port: u16, connections: usize, keep_alive_s: u16) -> Result<()> {
    netloop::limits::ensure_open_files(connections as u64 + 100)?;
    let mut driver = Driver::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 8)?;
    let all = driver.connect_all(connections, keep_alive_s)?;
    println!("{READY}");
    for line in std::io::stdin().lines() {
        line.context("cannot read the order")?;
        all.clone().for_each(|number| driver.ping(number));
        driver.pump(Duration::ZERO)?;
        println!("{READY}");
    }
    Ok(())
}
