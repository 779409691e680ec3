//! What is typed: shipped files, bad keys, unknown names.

use crate::support::{IDLE, folder_with, output, said};

#[test]
fn list_names_the_shipped_experiments_and_targets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = output(folder.path(), &["list"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in ["quickstart", "ours", "mosquitto", "rumqttd"] {
        assert!(text.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name} in\n{text}");
    }
}

#[test]
fn unknown_key_is_named_with_file_and_line() {
    let folder = folder_with(["ours", "mosquitto"], &IDLE.replace("measure =", "messure ="));
    let text = std::fs::read_to_string(folder.path().join("small.toml")).expect("written above");
    let line = 1 + text.lines().position(|line| line.contains("messure")).expect("the misspelt key");

    let output = output(folder.path(), &["plan", "small.toml"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    for part in ["small.toml", &format!("line {line}"), "messure", "measure"] {
        assert!(error.contains(part), "{part} in\n{error}");
    }
}

#[test]
fn unknown_variable_is_named_with_its_step() {
    let folder = folder_with(["ours", "mosquitto"], &IDLE.replace("name = \"idle\"", "name = \"idle-{clientss}\""));
    let output = output(folder.path(), &["plan", "small.toml"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("clientss") && error.contains("small"), "{error}");
}

#[test]
fn bad_duration_is_named_with_its_line() {
    let folder = folder_with(["ours", "mosquitto"], &IDLE.replace("500ms", "soon"));
    let output = output(folder.path(), &["plan", "small.toml"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("soon") && error.contains("line "), "{error}");
}

#[test]
fn unknown_names_suggest_the_nearest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (args, hint) in [
        (&["plan", "quickstrat"][..], "did you mean 'quickstart'?"),
        (&["plan", "quickstart", "--targets", "ours,mosquito"][..], "did you mean 'mosquitto'?"),
        (&["plan", "absent.toml"][..], "cannot read experiment absent.toml"),
    ] {
        let output = output(folder.path(), args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(hint), "{hint} in\n{error}");
    }
}

#[test]
fn unknown_flags_are_wrong_usage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for args in [&["run", "quickstart", "--fast"][..], &["plan", "quickstart", "--duration-scale", "0"], &[]] {
        let output = output(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
}
