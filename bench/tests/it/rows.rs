//! Each kind of row, short, against the floor and Mosquitto. Figures are looked at for being there, never for their size.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    // Any file will do for a broker that is not started.
    command.args(arguments).args(["--broker", env!("CARGO_BIN_EXE_bench"), "--rounds", "1", "--seconds", "0.3"]);
    command.output().expect("the program was built for this test")
}

#[test]
fn flows_are_measured_against_the_floor_and_a_peer() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("all.jsonl");
    let rows = ["fan-q0", "fan-q1-max", "pairs-q2-max"];
    let file = json.to_str().unwrap();
    let output = bench(&[&rows[..], &["--targets", "floor,mosquitto", "--json", file]].concat());
    let (text, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{log}(mosquitto must be installed: apt-get install mosquitto)");
    for row in rows {
        assert!(text.contains(&format!("| {row} | out_per_s |")), "{text}");
    }
    let lines: Vec<serde_json::Value> = std::fs::read_to_string(&json)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    // The floor knows no QoS 2.
    assert_eq!(lines.len(), 5, "{lines:?}");
    for line in lines {
        assert!(line["figures"]["out_per_s"].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["figures"]["cpu_us_per_msg"].as_f64().unwrap() > 0.0, "{line}");
    }
}

#[test]
fn the_load_generator_is_measured_against_the_least_client() {
    let loadgen = std::path::Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name("loadgen");
    let loadgen = loadgen.to_str().unwrap();
    let output = bench(&["load-pairs", "--targets", "floor,ours,mosquitto", "--loadgen", loadgen]);
    let (text, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // How much it costs is not this test's business, and so neither is whether that is what is to be reached.
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{text}\n{log}(cargo build -p loadgen makes what is measured)"
    );
    let row = text.lines().find(|line| line.starts_with("| load-pairs | cpu_us_per_msg |")).expect("the row is there");
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    assert!(cells[3].parse::<f64>().is_ok_and(|us| us > 0.0), "of the least client: {row}");
    assert!(cells[4].contains(" x") && cells[5] == "-", "of ours, and nothing of a broker: {row}");
    assert!(text.contains("| load-pairs | send_lag_p99_us |"), "{text}");
}

#[test]
fn what_cannot_be_done_is_named() {
    for (arguments, named) in [
        (&["no-such-row"][..], "no row `no-such-row`; there are: idle"),
        (&["--targets", "emqx"], "there are: floor"),
        (&["fan-q0", "--targets", "ours"], "ended at its start"),
        (&["load-pairs", "--loadgen", "no/such/program"], "no/such/program does not exist"),
    ] {
        let output = bench(arguments);
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains(named), "{arguments:?}: {log}");
    }
}

#[test]
fn rows_are_listed_with_their_goals() {
    let output = bench(&["--list"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("bytes_per_conn at most 300") && text.contains("vanish-silent"), "{text}");
}
