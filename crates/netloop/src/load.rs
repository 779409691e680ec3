//! How busy a thread and the machine are: whether a further thread would find a processor.

use std::io;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds that the calling thread has run.
///
/// # Errors
/// What `clock_gettime` said.
pub fn thread_cpu_ns() -> io::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned())
}

/// Nanoseconds for which processors had nothing to do since the machine started, added up over all of them. Linux counts
/// them in hundredths of a second. `None` where it does not tell.
#[must_use]
pub fn machine_idle_ns() -> Option<u64> {
    idle_ns(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// From `/proc/stat` (proc_stat(5)): the fourth and fifth numbers are idle time, without and with disks at work.
fn idle_ns(stat: &str) -> Option<u64> {
    let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let idle = numbers.skip(3).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>().ok()?;
    Some(idle * 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_has_run() {
        let before = thread_cpu_ns().unwrap();
        let mut number = 1_u64;
        while thread_cpu_ns().unwrap() < before + 1_000_000 {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        assert!(machine_idle_ns().is_some());
    }

    #[test]
    fn idle_time_is_the_fourth_and_fifth_number() {
        assert_eq!(idle_ns("cpu  10 20 30 400 5 0 0 0 0 0\ncpu0 1 2 3 4 5\n"), Some(4_050_000_000));
        assert_eq!(idle_ns("intr 1 2 3"), None);
        assert_eq!(idle_ns(""), None);
    }
}
