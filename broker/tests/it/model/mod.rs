//! Random lives of a few clients against a model of what must arrive.
//!
//! A seed gives a list of operations ([`ops`]): clients of 3.1.1 and 5.0 connect, resume, take over, leave and vanish, with
//! wills that wait and that do not; they subscribe, alone and in groups; they publish at every QoS, for now and to be
//! retained, and finish later what they have begun; they acknowledge, or not. The operations are run one after the other
//! against a broker with several workers ([`drive`]), and against a model of sessions, subscriptions, flows and retained
//! messages ([`world`]), which says what each client must receive, in which order, with which flags. What is missing,
//! doubled, out of order or not expected is a failure; the list is then made shorter for as long as it still fails
//! ([`shrink`]), and printed with its seed.
//!
//! `MODEL_SECONDS=300 cargo test -p broker --test it model` runs new seeds for that long; `MODEL_SEED=n` runs one again.

mod drive;
mod ops;
mod shrink;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::Broker;
use drive::Failure;
use ops::Op;

/// Seeds of every run: enough to meet each kind of operation in each state.
const SEEDS: u64 = 12;
/// Operations of one seed.
const OPS: usize = 2_000;
/// Seeds at a time; each has a broker of its own.
const JOBS: usize = 3;

#[test]
fn clients_get_what_the_model_says() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    if let Some(seed) = number("MODEL_SEED") {
        return check(seed);
    }
    let (first, end) = match number("MODEL_SECONDS") {
        None => (0, None),
        Some(seconds) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            (now.as_secs() << 20, Some(Instant::now() + Duration::from_secs(seconds)))
        }
    };
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if end.map_or(seed >= SEEDS, |end| Instant::now() >= end) {
                        return;
                    }
                    check(seed);
                }
            });
        }
    });
    if end.is_some() {
        println!("{} seeds from {first} on", next.load(Ordering::Relaxed) - first);
    }
}

/// Runs one seed, with one to four workers, in one thread, in several, and to and fro.
fn check(seed: u64) {
    let workers = 1 + (seed % 4) as usize;
    let spread = ["when-busy", "always", "shuffle"][(seed / 4 % 3) as usize];
    let list = ops::generate(seed, OPS);
    let Err(found) = attempt(workers, spread, &list) else { return };
    let mut last = found.what;
    let short = shrink::shrink(&list[..found.run], |candidate| match attempt(workers, spread, candidate) {
        Ok(()) => false,
        Err(found) => {
            last = found.what;
            true
        }
    });
    let lines: Vec<String> = short.iter().map(|op| format!("    {op:?}")).collect();
    panic!(
        "MODEL_SEED={seed} ({workers} workers, {spread}), {} of {OPS} operations:\n{}\n{last}",
        short.len(),
        lines.join("\n")
    );
}

fn attempt(workers: usize, spread: &str, list: &[Op]) -> Result<(), Failure> {
    let broker = Broker::start_with(workers, &format!("spread = \"{spread}\"\n"));
    drive::run(&broker, workers, list)?;
    let counters = broker.stop();
    match counters.get("protocol_errors") {
        0 => Ok(()),
        count => {
            let what = format!("{count} protocol errors, although every packet was in order");
            Err(Failure { run: list.len(), what })
        }
    }
}
