//! The search for the highest rate. The bound is one that breaks at a known rate whatever the machine: the number of messages
//! of a trial.

use runlog::{CapacitySummary, LoadSummary, Run};
use tempfile::TempDir;

use crate::support::{Ours, run, text_of};

#[test]
fn the_rate_at_which_a_bound_breaks_is_found_and_every_trial_is_kept() {
    let broker = Ours::start();
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("search");
    // 140 messages in 400 ms are 350 a second: of 100, 200 and 400 a second, the first two hold, on a slow machine as well,
    // whose trials last longer.
    let line = format!(
        "pub -h 127.0.0.1 -p {} -c 4 -i 1 -t capacity -q 1 -F 0 -I 40 --duration 400ms --find-capacity attempted<=140 \
         --capacity-precision 100% --capacity-trials 2 --run-dir {} --json {}",
        broker.addr.port(),
        root.display(),
        dir.path().join("found.json").display()
    );
    let output = run(&line);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let found: CapacitySummary =
        serde_json::from_str(&std::fs::read_to_string(root.join("capacity.json")).unwrap()).unwrap();
    let json: CapacitySummary =
        serde_json::from_str(&std::fs::read_to_string(dir.path().join("found.json")).unwrap()).unwrap();
    assert_eq!(found, json);
    let (good, bad) = (found.good_per_s.unwrap(), found.bad_per_s.unwrap());
    assert!(found.settled && good <= 350.0 && bad > 350.0, "{text}");
    let was_slow = found.trials.iter().any(|trial| trial.attempted > 140 && trial.rate_per_s < 350.0);
    assert!((good, bad) == (200.0, 400.0) || was_slow, "{text}");
    assert!(found.confidence == Some(0.5) || was_slow, "{text}");
    assert_eq!(found.trials[0].rate_per_s, 100.0);
    let confirmed = found.trials.iter().filter(|trial| trial.purpose == "confirm");
    assert!(confirmed.clone().filter(|trial| trial.good).count() >= 2);
    assert!(confirmed.filter(|trial| !trial.good).count() >= 2);
    for (index, trial) in found.trials.iter().enumerate() {
        let run = Run::open(root.join(format!("trial-{:03}", index + 1)));
        let meta = run.meta.as_ref().expect("meta.json");
        // The rate is that of whole nanoseconds between two messages.
        let pace = meta.config["rates_multiplied_by"].as_f64().unwrap();
        assert!((pace * 100.0 / trial.rate_per_s - 1.0).abs() < 1e-6, "{pace} {trial:?}");
        let text = std::fs::read_to_string(run.summary_path()).unwrap();
        let summary: LoadSummary = serde_json::from_str(&text).unwrap();
        assert_eq!(summary.publish.unwrap().attempted, trial.attempted);
        assert_eq!(trial.good, trial.attempted <= 140, "{trial:?}");
    }
    assert!(text.contains("capacity  ") && text.contains("attempted is "), "{text}");
}

#[test]
fn a_search_that_cannot_be_made_is_refused() {
    let broker = Ours::start();
    let port = broker.addr.port();
    for (line, hint) in [
        ("conn -c 1 --find-capacity p99<5ms --duration 1s", "raises the rate of publishers"),
        ("pub -t a --find-capacity p99<5ms -L 100", "leave out -L"),
        ("pub -t a --find-capacity p99<5ms --pacing flat-out", "--pacing flat-out has none"),
        ("pub -t a --find-capacity speed<5ms", "what can be: lost"),
        ("pub -t a --find-capacity p99<5ms --expect lost==0", "cannot be used with"),
        ("pub -t a --capacity-trials 3", "--find-capacity"),
        // QoS 0 alone is neither acknowledged nor received.
        ("pub -t a -c 1 -I 10 -q 0 --duration 200ms --find-capacity p99<5ms", "latency needs subscribers"),
    ] {
        let output = run(&format!("{line} -h 127.0.0.1 -p {port}"));
        assert!(!output.status.success() && text_of(&output).contains(hint), "{line}: {}", text_of(&output));
    }
}
