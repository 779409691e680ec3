//! Runs cases side by side.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::case::{Instance, Lab};
use crate::client::Mismatch;

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The server.
    pub target: SocketAddr,
    /// How long to wait for what should come.
    pub patience: Duration,
    /// Cases at a time. Most of them wait most of the time.
    pub jobs: usize,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the specification demands.
    Pass,
    /// Not as demanded.
    Fail(Mismatch),
    /// A server may do otherwise, and this one does.
    Otherwise(Mismatch),
}

/// A case that has run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which.
    pub instance: Instance,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took.
    pub elapsed: Duration,
}

/// Runs the cases and returns them in their order. `done` is told of each as it ends.
pub fn run(instances: &[Instance], options: Options, done: impl Fn(&Run) + Sync) -> Vec<Run> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let run_id = run_id();
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&instance) = instances.get(at) else { return };
                    let run = run_one(instance, options, &format!("{run_id}{:0>3}", base36(at as u64)));
                    done(&run);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, run));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, run)| run).collect()
}

fn run_one(instance: Instance, options: Options, unique: &str) -> Run {
    let start = Instant::now();
    let lab = Lab::new(options.target, instance.version, options.patience, unique.to_owned());
    // A server may send what no case has thought of; one case that trips must not take the others with it.
    let outcome = catch_unwind(AssertUnwindSafe(|| (instance.case.run)(&lab)));
    lab.clean_up();
    let verdict = match outcome {
        Ok(Ok(())) => Verdict::Pass,
        Ok(Err(mismatch)) if instance.case.optional => Verdict::Otherwise(readable(mismatch, unique)),
        Ok(Err(mismatch)) => Verdict::Fail(readable(mismatch, unique)),
        Err(_) => Verdict::Fail(Mismatch {
            wanted: "a case that runs to its end".to_owned(),
            seen: "a panic in the case itself; its message is on standard error".to_owned(),
            packets: Vec::new(),
        }),
    };
    Run { instance, verdict, elapsed: start.elapsed() }
}

/// The same in every run: names of this one are left out.
fn readable(mismatch: Mismatch, unique: &str) -> Mismatch {
    let shorten = |text: &str| text.replace(&format!("{unique}/"), "").replace(unique, "");
    Mismatch { wanted: shorten(&mismatch.wanted), seen: shorten(&mismatch.seen), ..mismatch }
}

/// Letters and digits that differ from run to run, so that what one run leaves on a server is not met by the next.
fn run_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    let mixed = (now ^ u64::from(std::process::id()) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("c{:0>5}x", base36(mixed % 36_u64.pow(5)))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.reverse();
    String::from_utf8_lossy(&digits).into_owned()
}
