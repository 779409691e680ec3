//! `analyze rates`: what the published script would write, and our own form; damage costs its line.

use std::fs;

use crate::support::{analyze, stderr, stdout};

/// Rows of one second, a step back, a reset, blanks, broken and missing cells, a cut last line.
const ODD: &str = "time_utc,iface,rx_bytes,tcp_estab,ctxt,odd_counter\n\
                   2026-01-01T00:00:00Z,eth0,100,7,1000,5\n\
                   2026-01-01T00:00:02Z,eth0,105,8,1001,9\n\
                   2026-01-01T00:00:02Z,eth0,205,8,1003,9\n\
                   2026-01-01T00:00:03Z,eth0,305,9,,9\n\
                   2026-01-01T00:00:01Z,eth0,405,9,1009,x\n\
                   2026-01-01T00:00:05Z,eth0,5,\n\
                   2026-01-01T00:00:13Z,eth0,6,10,1,2";

/// By hand from what the script is known to do: rows that are not later are left out with their increase, what is blank or
/// broken counts as 0, falls are negative, levels come last, a cut line counts. Python's `f"{1 / 8:.2f}"` is 0.12.
#[test]
fn compat_does_what_the_published_script_does() {
    let expected = "time_utc,iface,rx_bytes_per_s,ctxt_per_s,odd_counter_per_s,tcp_estab\n\
                    2026-01-01T00:00:02Z,eth0,2.50,0.50,2.00,8\n\
                    2026-01-01T00:00:03Z,eth0,100.00,-1003.00,0.00,9\n\
                    2026-01-01T00:00:05Z,eth0,-100.00,-252.25,0.00,\n\
                    2026-01-01T00:00:13Z,eth0,0.12,0.12,0.25,10\n";
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw-broker-x.csv");
    fs::write(&raw, ODD).unwrap();
    let output = analyze(["rates", raw.to_str().unwrap(), "--compat"]);
    stdout(&output);
    assert_eq!(fs::read_to_string(directory.path().join("rates-broker-x.csv")).unwrap(), expected);
    for place in ["csv:4:", "csv:6:", "csv:7:", "csv:8:"] {
        assert!(stderr(&output).contains(place), "{place} is missing from {}", stderr(&output));
    }
    stdout(&analyze(["rates", raw.to_str().unwrap(), "--compat=crlf"]));
    let crlf = fs::read_to_string(directory.path().join("rates-broker-x.csv")).unwrap();
    assert_eq!(crlf, expected.replace('\n', "\r\n"));
}

#[test]
fn our_form_uses_no_damaged_row_and_loses_no_increase() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("samples of mine.csv");
    fs::write(&raw, ODD).unwrap();
    stdout(&analyze(["rates", raw.to_str().unwrap()]));
    let expected = "time_utc,iface,rx_bytes_per_s,tcp_estab,ctxt_per_s,odd_counter\n\
                    2026-01-01T00:00:02Z,eth0,2.50,8,0.50,9\n\
                    2026-01-01T00:00:03Z,eth0,200.00,9,,9\n";
    assert_eq!(fs::read_to_string(directory.path().join("samples of mine.csv.rates.csv")).unwrap(), expected);
}

#[test]
fn nanoseconds_give_the_true_elapsed_time() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw.csv");
    let text = "time_utc,mono_ns,rx_bytes,iface\n\
                2026-01-01T00:00:00Z,1000000000,0,\"a, b\"\n\
                2026-01-01T00:00:01Z,2100000000,110,\"a, b\"\n\
                2026-01-01T00:00:01Z,2600000000,210,lo\n";
    fs::write(&raw, text).unwrap();
    stdout(&analyze(["rates", directory.path().to_str().unwrap()]));
    let expected = "time_utc,mono_ns,rx_bytes_per_s,iface,dt_s\n\
                    2026-01-01T00:00:01Z,2100000000,100.00,\"a, b\",1.100000\n\
                    2026-01-01T00:00:01Z,2600000000,200.00,lo,0.500000\n";
    assert_eq!(fs::read_to_string(directory.path().join("rates.csv")).unwrap(), expected);
}

/// A file that cannot be turned into rates leaves no half-written one behind.
#[test]
fn failure_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw.csv");
    fs::write(&raw, "time_utc,ctxt\n2026-01-01T00:00:00Z,1\n").unwrap();
    assert!(!analyze(["rates", raw.to_str().unwrap()]).status.success());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
