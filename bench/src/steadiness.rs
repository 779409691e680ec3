//! How steadily the machine itself computes: a virtual processor may get more or less of a real one from second to
//! second, and not all of that is told as stolen time. A row that looks for slow seconds must know the machine's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use netloop::load::thread_cpu_ns;

/// Watches from a thread of its own, which takes about one part in a hundred of a processor.
pub(crate) struct Steadiness {
    done: Arc<AtomicBool>,
    watcher: JoinHandle<Result<Vec<f64>>>,
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Rounds of a loop that touches no memory: about 30 us.
const ROUNDS: u64 = 20_000;

impl Steadiness {
    /// Begins to watch.
    pub(crate) fn watch() -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&done);
        Self { done, watcher: thread::spawn(move || watch(&watched)) }
    }

    /// Speed of the slowest second as a share of that of the fastest one: the loop's rounds by the processor time that
    /// they took, so that waiting for a processor does not count.
    pub(crate) fn worst_second_of_best(self) -> Result<f64> {
        self.done.store(true, Ordering::Relaxed);
        let seconds = self.watcher.join().map_err(|_| anyhow!("the watch over the machine has failed"))??;
        let (best, worst) = seconds.iter().fold((0.0_f64, f64::INFINITY), |(a, b), &n| (a.max(n), b.min(n)));
        Ok(if best > 0.0 { worst / best } else { 1.0 })
    }
}

/// Rounds per nanosecond of processor time, second by second.
fn watch(done: &AtomicBool) -> Result<Vec<f64>> {
    let (mut seconds, mut number) = (Vec::new(), 1_u64);
    while !done.load(Ordering::Relaxed) {
        let (started, mut rounds, mut used_ns) = (Instant::now(), 0, 0);
        while started.elapsed() < Duration::from_secs(1) && !done.load(Ordering::Relaxed) {
            let before_ns = thread_cpu_ns()?;
            for _ in 0..ROUNDS {
                number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
            used_ns += thread_cpu_ns()? - before_ns;
            rounds += ROUNDS;
            thread::sleep(PAUSE);
        }
        // The last one is cut short.
        if !done.load(Ordering::Relaxed) {
            seconds.push(rounds as f64 / used_ns.max(1) as f64);
        }
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_second_is_a_share_of_the_fastest() {
        let watch = Steadiness::watch();
        thread::sleep(Duration::from_millis(2_500));
        let share = watch.worst_second_of_best().unwrap();
        assert!(share > 0.0 && share <= 1.0, "{share}");
        assert!((Steadiness::watch().worst_second_of_best().unwrap() - 1.0).abs() < 1e-9, "no second was watched");
    }
}
