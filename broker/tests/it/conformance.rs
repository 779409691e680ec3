//! All conformance cases must pass, the optional ones included.

use conformance::case::Instance;
use conformance::runner::{self, Options, Verdict};
use conformance::{cases, report};

use crate::support::{Broker, PATIENCE};

fn all_pass(workers: usize, spread: &str) {
    let config = format!(
        "spread = \"{spread}\"\ncheck_payload_format = true\nresponse_information = \"answers/{{client_id}}/\"\n"
    );
    let broker = Broker::start_with(workers, &config);
    let instances: Vec<Instance> = cases::instances().collect();
    // Some cases wait out a few seconds of patience when all is well: it is not the long one of these tests.
    let options = Options { target: broker.address, patience: PATIENCE, jobs: 24 };
    let runs = runner::run(&instances, options, |_| ());
    let problems: Vec<String> = runs
        .iter()
        .filter_map(|run| match &run.verdict {
            Verdict::Pass => None,
            Verdict::Fail(mismatch) | Verdict::Otherwise(mismatch) => {
                Some(format!("{}: {mismatch}\n    {}", run.instance, mismatch.packets.join("\n    ")))
            }
        })
        .collect();
    assert!(problems.is_empty(), "{}\n{}", report::summary(&runs), problems.join("\n"));
    let counters = broker.stop();
    assert_eq!(counters.get("dropped_queue_full"), 0, "no case fills a queue");
    assert_eq!(counters.get("connect_timeouts"), 0, "no case forgets CONNECT");
}

#[test]
fn one_worker() {
    all_pass(1, "when-busy");
}

#[test]
fn three_workers() {
    all_pass(3, "always");
}

/// Workers go from thread to thread while clients are served.
#[test]
fn three_workers_on_the_move() {
    all_pass(3, "shuffle");
}
