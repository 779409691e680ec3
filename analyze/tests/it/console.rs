//! `analyze console`: the published log's runs, and files that are no logs.

use std::fs;

use serde_json::Value;

use crate::support::{analyze, published, stderr, stdout};

#[test]
fn the_published_log_over_time() {
    let Some(published) = published() else { return };
    let log = published.join("axmq-n2n-qos0-1-2.txt");
    let log = log.to_str().unwrap();
    let runs: Value = serde_json::from_str(&stdout(&analyze(["console", log, "--format=json"]))).unwrap();
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 3);
    for (qos, (run, (total, per_s))) in
        runs.iter().zip([(68_782_232, 232_775.0), (47_416_661, 143_168.0), (19_858_154, 61_816.0)]).enumerate()
    {
        assert!(
            run["command"].as_str().unwrap().ends_with(&format!("-c 4000 -t bench/nn/%i -q {qos}")),
            "{}",
            run["command"]
        );
        let counters = run["counters"].as_array().unwrap();
        let recv = counters.iter().find(|counter| counter["name"] == "recv").unwrap();
        assert_eq!(recv["total"], total);
        assert!((recv["steady"]["per_s"].as_f64().unwrap() / per_s - 1.0).abs() < 0.001, "{}", recv["steady"]);
        let series = recv["series"].as_array().unwrap();
        assert_eq!(series.last().unwrap()["total"], total);
    }
    let csv = stdout(&analyze(["console", log, "--format=csv", "--counter=recv"]));
    assert!(csv.contains(",1,recv,89,11498,1,8682.00,8682.00\n") && !csv.contains("connect_succ"), "{csv}");
}

#[test]
fn what_is_no_log_is_refused_and_does_not_hide_the_others() {
    let home = tempfile::tempdir().unwrap();
    let (good, bad) = (home.path().join("good.log"), home.path().join("bad.log"));
    fs::write(&good, "$ emqtt_bench pub -c 1 -I 10 -q 0\n1s pub total=200 rate=200.00/sec\n2s pub total=400 rate=x\n3s pub total=600 rate=200.00/sec\n").unwrap();
    fs::write(&bad, "nothing of the sort\n").unwrap();
    let [good, bad] = [&good, &bad].map(|path| path.to_str().unwrap());
    let output = analyze(["console", good, bad]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("| pub | 600 | 2 |") && text.contains("pub-counted-twice"), "{text}");
    for message in ["good.log:3:", "bad.log: no line of a counter", "1 of 2 files"] {
        assert!(stderr(&output).contains(message), "{message} is missing from {}", stderr(&output));
    }
    let output = analyze(["console", good, "--counter=recv"]);
    assert!(
        !output.status.success() && stderr(&output).contains("no counter recv; there are pub"),
        "{}",
        stderr(&output)
    );
}
