//! Starting collectors and targets, and waiting for what they do.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use runlog::table::Table;
use runlog::{CollectSummary, Run, Summary, discover};
use tempfile::TempDir;

/// A process, and all that it starts, which are killed when the test ends.
pub(crate) struct Target(pub(crate) Child);

impl Target {
    /// Runs a shell script.
    pub(crate) fn shell(script: &str) -> Target {
        Target(Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn pid_text(&self) -> String {
        self.0.id().to_string()
    }

    /// Kills it and waits for its end.
    pub(crate) fn end(&mut self) {
        // The group of the shell, or nothing when the process leads none.
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.end();
    }
}

/// A collector's command line with its own output directory.
pub(crate) struct Collector {
    pub(crate) out: TempDir,
    pub(crate) command: Command,
}

impl Collector {
    pub(crate) fn new(args: &[&str]) -> Collector {
        let out = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
        command.arg("--out").arg(out.path()).args(args);
        for variable in ["PID", "PORT", "INTERFACE", "DURATION_SEC", "INTERVAL_SEC", "EXP_TAG", "RUNLOG_CONTEXT"] {
            command.env_remove(variable);
        }
        Collector { out, command }
    }

    /// Runs to the end, which must be a good one.
    pub(crate) fn run(mut self) -> Collected {
        let output = self.command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        self.collected(&output)
    }

    /// Runs to the end, which must be a failure, and gives its message.
    pub(crate) fn fail(mut self) -> String {
        let output = self.command.output().unwrap();
        assert!(!output.status.success());
        stderr(&output)
    }

    pub(crate) fn collected(self, output: &Output) -> Collected {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let path = PathBuf::from(stdout.lines().last().expect("the run directory as the last line"));
        assert!(path.starts_with(self.out.path()));
        let run = Run::open(path);
        assert_eq!(run.warnings, []);
        let raw = run.raw().unwrap();
        assert_eq!(raw.warnings, []);
        Collected { _out: self.out, run, raw }
    }
}

/// What a collector left behind.
pub(crate) struct Collected {
    _out: TempDir,
    pub(crate) run: Run,
    pub(crate) raw: Table,
}

impl Collected {
    pub(crate) fn column(&self, name: &str) -> Vec<Option<u64>> {
        self.raw.numbers(name).unwrap()
    }

    /// The last row's cell.
    pub(crate) fn last(&self, name: &str) -> Option<u64> {
        *self.column(name).last().unwrap()
    }

    pub(crate) fn summary(&self) -> CollectSummary {
        match self.run.summary().unwrap() {
            Some(Summary::Collect(summary)) => *summary,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn has_event(&self, name: &str) -> bool {
        let events = self.run.events().unwrap();
        assert!(events.warnings.is_empty(), "{:?}", events.warnings);
        events.value.iter().any(|event| event.name == name)
    }
}

/// The only run below a directory, once it has this many whole rows.
pub(crate) fn wait_for_rows(out: &Path, rows: u64) -> Run {
    wait_for(&format!("{rows} rows below {}", out.display()), || {
        let run = discover(&[out.to_owned()]).unwrap().pop()?;
        (run.raw().ok()?.rows >= rows).then_some(run)
    })
}

/// Asks again until there is an answer. The limit is only there so that a broken collector ends the test.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < limit, "no {what} in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
