//! The limit on open files, which is the first wall that many connections run into.

use std::os::fd::{FromRawFd, OwnedFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Why so many connections cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The hard limit is too low.
    #[error(
        "{needed} open files are needed, but this process may open {allowed} (RLIMIT_NOFILE): type `ulimit -n {needed}` \
         before starting it, or, where the shell refuses, put `{user} hard nofile {needed}` into \
         /etc/security/limits.conf and log in again",
        user = "*"
    )]
    OpenFiles {
        /// Descriptors needed.
        needed: u64,
        /// The hard limit.
        allowed: u64,
    },
    /// The limit cannot be read or raised.
    #[error("cannot read or set RLIMIT_NOFILE: {0}")]
    System(#[from] nix::Error),
}

impl LimitError {
    /// The hard limit, where that is what is too low.
    #[must_use]
    pub fn allowed(&self) -> Option<u64> {
        match self {
            Self::OpenFiles { allowed, .. } => Some(*allowed),
            Self::System(_) => None,
        }
    }
}

/// Sees to it that `needed` descriptors can be open at the same time, raising the soft limit as far as the hard one.
/// Returns the limit that then holds.
///
/// # Errors
/// [`LimitError::OpenFiles`] when the hard limit is lower, with what to do about it.
pub fn ensure_open_files(needed: u64) -> Result<u64, LimitError> {
    let hard = raise_open_files()?;
    if hard < needed {
        return Err(LimitError::OpenFiles { needed, allowed: hard });
    }
    Ok(hard)
}

/// Raises the soft limit to the hard one and returns it: for a server, which takes what it can get.
///
/// # Errors
/// When the limit cannot be read or set.
pub fn raise_open_files() -> Result<u64, LimitError> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Makes the kernel's table of this process's descriptors as large as `count` needs, up to about a million (8 MiB of
/// kernel memory). Call before threads start: the table of a process with threads grows at each power of two, and the
/// thread that opens that descriptor waits for milliseconds (`expand_fdtable` in Linux waits for all readers of the old
/// table).
///
/// # Errors
/// When no descriptor is left, or `count` is above the limit.
pub fn reserve_open_files(count: u64) -> std::io::Result<()> {
    let highest = count.min(1 << 20).saturating_sub(1) as i32;
    let any = std::fs::File::open("/dev/null")?;
    let copy = nix::fcntl::fcntl(&any, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(highest))?;
    // SAFETY: the descriptor has just been made by `fcntl` and belongs to nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(copy) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_and_the_hard_one_respected() {
        let allowed = ensure_open_files(16).unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (allowed, allowed));
        let error = ensure_open_files(u64::MAX).unwrap_err().to_string();
        assert!(error.contains(&format!("may open {allowed}")) && error.contains("ulimit -n"), "{error}");
    }

    #[test]
    fn the_table_is_made_larger_without_holding_a_descriptor() {
        let allowed = raise_open_files().unwrap();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let table = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap().trim().parse::<u64>();
            size.unwrap()
        };
        let before = open();
        reserve_open_files(allowed).unwrap();
        assert!(table() >= allowed.min(1 << 20));
        // Other tests may open and close some at the same time.
        assert!(open() < before + 20);
    }
}
