//! The guide's data through the guide's rules gives the guide's figures, digit by digit.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::support::{analyze, published, stdout};

const N2N_A: &str = "runs1/broker-A-axmq-qos0-256-N2N-run1-20251231T153628Z";

#[test]
fn rates_of_a_published_run_are_the_published_bytes() {
    let Some(published) = published() else { return };
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("rates.csv");
    let raw = published.join(N2N_A).join("raw.csv");
    let expected = std::fs::read(published.join(N2N_A).join("rates.csv")).unwrap();
    for form in [None, Some("--compat")] {
        stdout(&analyze([Path::new("rates"), &raw, Path::new("-o"), &out].into_iter().chain(form.map(Path::new))));
        assert!(std::fs::read(&out).unwrap() == expected, "rates.csv differs from the published one ({form:?})");
    }
}

/// Guide 3.7.3: RSS and VSZ in MiB, context switches per second; mean of 20 % to 90 %.
#[test]
fn resources_of_the_idle_connections_table() {
    let Some(summaries) = summaries() else { return };
    for (run, rss, vsz, ctxt) in [
        ("A-axmq-Baseline-Idle-NoConn", "25.31", "1337.72", "4865"),
        ("A-axmq-c1m-conn100k-idle", "236.62", "1598.93", "8362"),
        ("A-axmq-c1m-conn500k-idle", "816.31", "2189.22", "11595"),
        ("A-axmq-c1m-conn1000k-idle", "1630.05", "3042.55", "13193"),
        ("B-emqx-Baseline-Idle-NoConn", "484.55", "6592.40", "3016"),
        ("B-emqx-c1m-conn100k-idle", "2040.67", "8272.34", "52861"),
        ("B-emqx-c1m-conn500k-idle", "9358.45", "15905.73", "86500"),
        ("B-emqx-c1m-conn1000k-idle", "18320.51", "24872.71", "57434"),
    ] {
        let window = &summaries[run]["windows"]["trim20-90"];
        assert_eq!(
            [printed(window, "rss_mib", 2), printed(window, "vsz_mib", 2), printed(window, "ctxt_s", 0)],
            [rss, vsz, ctxt],
            "{run}"
        );
    }
}

/// Guide 4.1.1: fan-out 1:10 at QoS 0; median of the last 60 s.
#[test]
fn throughput_of_the_fan_out_table() {
    let Some(summaries) = summaries() else { return };
    for (run, rx, tx, pps, estab) in [
        ("A-axmq-qos0-256-1to10-run1", "93.8", "712.3", "319414", "4010"),
        ("B-emqx-qos0-256-1to10-run1", "88.4", "8.8", "139374", "4000"),
    ] {
        let window = &summaries[run]["windows"]["tail60"];
        let found = [("rx_mib_s", 1), ("tx_mib_s", 1), ("tx_pps", 0), ("estab", 0)];
        assert_eq!(found.map(|(name, decimals)| printed(window, name, decimals)), [rx, tx, pps, estab], "{run}");
        assert_eq!(printed(window, "retrans_s", 2), "0.00", "{run}");
    }
}

/// Guide 6.4.2.1: N:N at QoS 0. The row of A is by the last 60 rows, that of B by the last 60 s, as METHOD has found.
#[test]
fn throughput_of_the_many_to_many_table_and_its_two_rules() {
    let Some(summaries) = summaries() else { return };
    for (run, rule, rx, tx, ctxt) in [
        ("A-axmq-qos0-256-N2N-run1", "rows60", "94.4", "92.7", "260016"),
        ("A-axmq-qos0-256-N2N-run1", "tail60", "54.2", "53.0", "202501"),
        ("B-emqx-qos0-256-N2N-run1", "tail60", "100.5", "92.5", "48550"),
    ] {
        let window = &summaries[run]["windows"][rule];
        let found = [("rx_mib_s", 1), ("tx_mib_s", 1), ("ctxt_s", 0), ("estab", 0)];
        assert_eq!(found.map(|(name, decimals)| printed(window, name, decimals)), [rx, tx, ctxt, "8000"], "{run}");
    }
    let codes: Vec<&str> = summaries["A-axmq-qos0-256-N2N-run1"]["doubts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|doubt| doubt["code"].as_str().unwrap())
        .collect();
    for code in ["whole-second-stamps", "window-sensitive", "connections-vary"] {
        assert!(codes.contains(&code), "{code} is missing from {codes:?}");
    }
}

#[test]
fn the_shape_of_the_json_is_the_documented_one() {
    let Some(summaries) = summaries() else { return };
    let run = &summaries["A-axmq-qos0-256-1to10-run1"];
    assert_eq!(
        (run["role"].as_str(), run["target"].as_str(), run["samples"].as_u64()),
        (Some("broker"), Some("axmq"), Some(277))
    );
    assert!(run["duration_s"].as_f64().unwrap() > 299.0 && run["dir"].is_string() && run["doubts"].is_array());
    assert_eq!(format!("{:.3}", run["period_s"].as_f64().unwrap()), "1.087");
    for rule in ["tail60", "rows60", "trim20-90", "plateau"] {
        for figure in ["rx_mib_s", "tx_mib_s", "tx_pps", "ctxt_s", "retrans_s", "estab", "rss_mib", "vsz_mib"] {
            assert!(run["windows"][rule][figure].is_f64(), "{rule} {figure}");
        }
    }
    // Counter difference over elapsed time knows no bias of whole-second stamps.
    let plateau = run["windows"]["plateau"]["tx_mib_s"].as_f64().unwrap();
    assert!((600.0..712.3).contains(&plateau), "{plateau}");
}

#[test]
fn every_format_names_every_run_and_window() {
    let Some(published) = published() else { return };
    for (format, lines) in [("csv", 1 + 13 * 4), ("md", 2 + 13 * 4)] {
        let output = analyze([Path::new("summary"), &published, Path::new("--format"), Path::new(format)]);
        let text = stdout(&output);
        let table: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(table.len(), lines, "{format}");
        assert!(!text.contains("NaN"), "{text}");
    }
}

/// A figure as the guide prints it: a tie goes to the even digit, as in Python's and in Rust's formatting.
fn printed(window: &Value, name: &str, decimals: usize) -> String {
    let figure = window[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {window}"));
    format!("{figure:.decimals$}")
}

fn summaries() -> Option<HashMap<String, Value>> {
    let published = published()?;
    let output = analyze([Path::new("summary"), &published, Path::new("--format=json")]);
    let runs: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(runs.len(), 13);
    Some(runs.into_iter().map(|run| (run["tag"].as_str().unwrap().to_owned(), run)).collect())
}
