//! Rubbish in: what, where, what to do, and a non-zero exit code.

use std::fs;
use std::path::Path;

use crate::support::{analyze, stderr, stdout};

#[test]
fn a_missing_directory_is_named() {
    for arguments in [["summary", "/nowhere/at/all"], ["rates", "/nowhere/at/all"], ["report", "/nowhere/at/all"]] {
        refused(&arguments, &["/nowhere/at/all"]);
    }
}

#[test]
fn a_directory_without_a_run_says_what_a_run_looks_like() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    refused(&["summary", path], &["no run in", path, "meta.json"]);
    refused(&["report", path], &["no run in", path, "meta.json"]);
}

#[test]
fn files_that_are_no_samples_are_refused_with_their_name() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes, message) in [
        ("empty.csv", b"".as_slice(), "is empty"),
        ("report.html", b"<html>\n<body>\n".as_slice(), "not a CSV file of a run"),
        ("core", b"\x7fELF\x02\x01\x00\xff\xfe\n\x00\x00".as_slice(), "core:1"),
        ("header.csv", b"time_utc,rx_bytes\n".as_slice(), "let the tool run longer"),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        refused(&["rates", path.to_str().unwrap()], &[name, message]);
    }
}

#[test]
fn a_truncated_file_works_with_a_warning_that_names_the_line() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw.csv");
    let text =
        "time_utc,iface,rx_bytes\n2026-01-01T00:00:00Z,lo,100\n2026-01-01T00:00:01Z,lo,300\n2026-01-01T00:00:02Z,lo,4";
    fs::write(&raw, text).unwrap();
    let output = analyze(["rates", raw.to_str().unwrap()]);
    stdout(&output);
    assert!(stderr(&output).contains("raw.csv:4:"), "{}", stderr(&output));
    let rates = fs::read_to_string(directory.path().join("rates.csv")).unwrap();
    assert_eq!(rates, "time_utc,iface,rx_bytes_per_s\n2026-01-01T00:00:01Z,lo,200.00\n");
}

#[test]
fn one_unreadable_run_does_not_hide_the_others_and_is_not_hidden_by_them() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("broker-good-20260101T000000Z", "time_utc,ctxt\n2026-01-01T00:00:00Z,1\n2026-01-01T00:00:01Z,3\n"),
        ("broker-bad-20260101T000000Z", ""),
    ] {
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::write(directory.path().join(name).join("raw.csv"), text).unwrap();
    }
    let output = analyze([Path::new("summary"), directory.path()]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("broker good"));
    assert!(stderr(&output).contains("broker-bad-20260101T000000Z") && stderr(&output).contains("1 of 2 runs"));
}

#[test]
fn an_unknown_format_lists_the_known_ones() {
    refused(&["summary", "/tmp", "--format", "xlsx"], &["xlsx", "md", "csv", "json"]);
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw.csv");
    fs::write(&raw, "time_utc,ctxt\n2026-01-01T00:00:00Z,1\n2026-01-01T00:00:01Z,3\n").unwrap();
    refused(
        &["rates", raw.to_str().unwrap(), "-o", "/nowhere/at/all/rates.csv"],
        &["/nowhere/at/all/rates.csv", "-o FILE"],
    );
}

fn refused(arguments: &[&str], messages: &[&str]) {
    let output = analyze(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    for message in messages {
        assert!(stderr(&output).contains(message), "{message:?} is missing from: {}", stderr(&output));
    }
}
