//! `check`, `tune` and `--restore`, in a network namespace of their own: settings of this host are never touched.

use std::fs;
use std::process::{Command, Output};

use crate::support::stderr;

const PROFILE: &str = r#"
about = "two namespaced settings, one absent one"
[sysctl]
"net.core.somaxconn" = "4321"
"net.ipv4.ip_local_port_range" = "2000 60001"
"net.netfilter.nf_conntrack_of_no_kernel" = { min = 5 }
[limits]
"Max open files" = { min = 16 }
[addresses]
present = ["127.0.0.1", "192.0.2.1-192.0.2.2", "::1/128", "::1/64"]
[clean]
time_wait_max = 0
"#;

/// Runs a script in a new network namespace; `$0` is the collector, `$1` a directory.
fn in_namespace(script: &str, directory: &std::path::Path) -> Output {
    let mut command = Command::new("unshare");
    if nix::unistd::geteuid().is_root() {
        command.arg("-n");
    } else {
        command.arg("-rn");
    }
    let script = format!("set -eu; ip link set lo up; {script}");
    command.args(["sh", "-c", &script, env!("CARGO_BIN_EXE_collector")]).arg(directory);
    command.env_remove("PID").env_remove("PORT");
    command.output().expect("unshare(1): apt-get install util-linux")
}

#[test]
fn what_was_tuned_is_restored_exactly() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("p.toml"), PROFILE).unwrap();
    let script = "
        now() { cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_local_port_range; }
        cd \"$1\"
        now >first
        \"$0\" tune --profile p.toml >printed
        now >still
        \"$0\" tune --profile p.toml --apply --save before.json >applied
        now >tuned
        if \"$0\" tune --profile p.toml --apply --save before.json >again 2>&1; then :; else exit 9; fi
        \"$0\" tune --restore before.json >restored
        now >last";
    let output = in_namespace(script, directory.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(text("first"), text("still"), "without --apply nothing is set");
    assert!(text("printed").contains("sysctl -w net.core.somaxconn=\"4321\""), "{}", text("printed"));
    assert!(text("printed").contains("no conntrack module"), "{}", text("printed"));
    assert_eq!(text("tuned"), "4321\n2000\t60001\n");
    assert_ne!(text("first"), text("tuned"));
    assert!(text("again").contains("nothing to set"), "{}", text("again"));
    assert_eq!(text("last"), text("first"));
}

#[test]
fn differences_are_told_and_end_with_3() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("p.toml"), PROFILE).unwrap();
    let output = in_namespace("\"$0\" check --profile \"$1/p.toml\"", directory.path());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {table}"));
    for (name, mark) in [
        ("net.core.somaxconn", "DIFFERENT"),
        ("nf_conntrack_of_no_kernel", "DIFFERENT"),
        ("limit Max open files", "ok"),
        ("address 127.0.0.1", "ok"),
        ("address 192.0.2.2", "DIFFERENT"),
        ("address ::1/128", "ok"),
        ("address ::1/64", "DIFFERENT"),
        ("TIME_WAIT", "ok"),
    ] {
        assert!(line(name).starts_with(mark), "{}", line(name));
    }
    let tuned = "\"$0\" tune --profile \"$1/p.toml\" --apply --save \"$1/b\" >/dev/null; \"$0\" check --json --profile \"$1/p.toml\"";
    let output = in_namespace(tuned, directory.path());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let item = report["items"].as_array().unwrap().iter().find(|item| item["name"] == "net.core.somaxconn").unwrap();
    assert_eq!((item["ok"].as_bool(), item["observed"].as_str()), (Some(true), Some("4321")));
    assert_eq!((output.status.code(), report["ok"].as_bool()), (Some(3), Some(false)), "addresses are still absent");
    assert_eq!(report["differences"], 4, "{report:#}");
    assert!(item["declared"] == "4321" && report["profile"].as_str().unwrap().ends_with("p.toml"));
}

#[test]
fn the_exit_code_tells_agreement_from_difference_from_error() {
    let directory = tempfile::tempdir().unwrap();
    // The guide's variables stand in the environment of its scripts, also for `check` and `tune`, which do not read them.
    let script = "
        export PID= PORT= INTERFACE= DURATION_SEC= INTERVAL_SEC= EXP_TAG=
        cd \"$1\"
        printf '[sysctl]\\n\"net.core.somaxconn\" = \"77\"\\n' >p.toml
        code() { set +e; \"$@\" >>out 2>>err; echo $?; set -e; }
        code \"$0\" check --profile p.toml
        code \"$0\" tune --profile p.toml
        code \"$0\" tune --profile p.toml --apply --save before.json
        code \"$0\" check --profile p.toml --json
        code \"$0\" check --profile no-such
        code \"$0\" check --profile p.toml --pid 4194304";
    let output = in_namespace(script, directory.path());
    let told = || fs::read_to_string(directory.path().join("err")).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3\n0\n0\n0\n1\n1\n", "{}{}", stderr(&output), told());
    assert!(told().contains("no-such") && told().contains("no process 4194304"), "{}", told());
}

#[test]
fn ways_back_that_are_none() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("other.json"), r#"{"profile":"p","utc":"","boot_id":"x","settings":[]}"#).unwrap();
    fs::write(directory.path().join("bad.json"), "{").unwrap();
    for (file, message) in [("other.json", "another boot"), ("bad.json", "was not written by"), ("none", "cannot read")]
    {
        let output = in_namespace(&format!("\"$0\" tune --restore \"$1/{file}\""), directory.path());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
}

#[test]
fn a_full_disk_ends_the_run_with_whole_rows() {
    let directory = tempfile::tempdir().unwrap();
    let script = "
        mount -t tmpfs -o size=192k tmpfs \"$1\"
        code=0; \"$0\" --role loadgen --iface lo --interval 10ms --out \"$1/full\" 2>/tmp/err.$$ || code=$?
        cat /tmp/err.$$ >&2; rm /tmp/err.$$
        raw=$(echo \"$1\"/full/*/raw.csv)
        [ \"$(tail -c 1 \"$raw\" | od -An -c | tr -d ' ')\" = '\\n' ] || { echo torn >&2; exit 20; }
        commas=$(tr -dc ',\\n' <\"$raw\" | sort -u | wc -l)
        [ \"$commas\" = 1 ] || { echo uneven >&2; exit 21; }
        [ \"$(wc -l <\"$raw\")\" -gt 5 ] || exit 22
        exit $code";
    let mut command = Command::new("unshare");
    command.arg(if nix::unistd::geteuid().is_root() { "-m" } else { "-rm" });
    command.args(["sh", "-c", &format!("set -u; {script}"), env!("CARGO_BIN_EXE_collector")]).arg(directory.path());
    for variable in ["PID", "PORT", "INTERFACE", "DURATION_SEC", "INTERVAL_SEC", "EXP_TAG", "RUNLOG_CONTEXT"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("No space left on device"), "{}", stderr(&output));
}
