//! A start barrier of processes on one host that share a directory.
//!
//! Each process, when it is ready, leaves a file `arrived-PID` in the directory. Whoever finds that as many as were agreed
//! have arrived writes `go`: the nanosecond of `CLOCK_MONOTONIC` at which all begin, a tenth of a second ahead. It is made
//! under another name and linked, so that there is one `go` and nobody reads half of it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{Error, Result, clock};

/// One process's view of a barrier.
#[derive(Debug)]
pub struct Barrier {
    dir: PathBuf,
    /// Processes that have to arrive.
    count: usize,
    arrived: bool,
}

impl Barrier {
    /// A barrier for `count` processes in `dir`, which is made if need be.
    ///
    /// # Errors
    /// The directory cannot be made, or a barrier was passed in it already.
    pub fn new(dir: &Path, count: usize) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::io("create directory", dir))?;
        if dir.join(GO).exists() {
            return Err(Error::NotEmpty { path: dir.join(GO) });
        }
        Ok(Self { dir: dir.to_owned(), count, arrived: false })
    }

    /// Says that this process is ready, and asks when all begin: `None` while others are awaited.
    ///
    /// # Errors
    /// The directory cannot be read or written.
    pub fn go_ns(&mut self) -> Result<Option<u64>> {
        if !self.arrived {
            let path = self.dir.join(format!("{ARRIVED}{}", std::process::id()));
            fs::write(&path, "").map_err(Error::io("write", &path))?;
            self.arrived = true;
        }
        let go = self.dir.join(GO);
        match fs::read_to_string(&go) {
            Ok(text) => return Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", &go)(error)),
        }
        let entries = fs::read_dir(&self.dir).map_err(Error::io("read directory", &self.dir))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        if names.filter(|name| name.starts_with(ARRIVED)).count() >= self.count {
            self.call(&go)?;
        }
        Ok(None)
    }

    fn call(&self, go: &Path) -> Result<()> {
        let draft = self.dir.join(format!(".{GO}-{}", std::process::id()));
        let written =
            fs::write(&draft, (clock::mono_ns() + AHEAD_NS).to_string()).and_then(|()| fs::hard_link(&draft, go));
        let _ = fs::remove_file(&draft);
        match written {
            // Another process was faster.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("write", go)(error)),
            _ => Ok(()),
        }
    }
}

const ARRIVED: &str = "arrived-";
const GO: &str = "go";
/// Long enough for every process to look again.
const AHEAD_NS: u64 = 100_000_000;
