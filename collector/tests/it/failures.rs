//! Bad input and full disks: a clear message, a non-zero exit, and nothing corrupted.

use std::process::Command;

use runlog::discover;

use crate::support::{Collector, stderr};

#[test]
fn targets_that_are_not_there() {
    let message = Collector::new(&["--pid", "4194304", "--duration", "1s"]).fail();
    assert!(message.contains("no process 4194304") && message.contains("--pid"), "{message}");
    let message = Collector::new(&["--name", "no-such-broker", "--duration", "1s"]).fail();
    assert!(message.contains("no process named \"no-such-broker\""), "{message}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let message = Collector::new(&["--port", &free, "--duration", "1s"]).fail();
    assert!(message.contains(&format!("nothing listens on TCP port {free}")), "{message}");
    let mut empty = Collector::new(&["--duration", "1s"]);
    empty.command.env("PID", "");
    let message = empty.fail();
    assert!(message.contains("it is empty"), "{message}");
}

#[test]
fn settings_that_make_no_sense() {
    let message = Collector::new(&["--iface", "eth99", "--role", "loadgen"]).fail();
    assert!(message.contains("no network interface \"eth99\"") && message.contains("lo"), "{message}");
    let message = Collector::new(&["--role", "referee"]).fail();
    assert!(message.contains("unknown role \"referee\""), "{message}");
    let message = Collector::new(&["--duration", "soon"]).fail();
    assert!(message.contains("\"soon\" is no duration"), "{message}");
    let message = Collector::new(&["--interval", "1us"]).fail();
    assert!(message.contains("at least 10ms"), "{message}");
    let mut lost = Collector::new(&["--role", "loadgen", "--duration", "1s"]);
    lost.command.env("RUNLOG_CONTEXT", "{");
    let message = lost.fail();
    assert!(message.contains("RUNLOG_CONTEXT"), "{message}");
}

#[test]
fn a_failed_start_leaves_no_directory() {
    let mut collector = Collector::new(&["--pid", "4194304"]);
    assert!(!collector.command.output().unwrap().status.success());
    assert_eq!(std::fs::read_dir(collector.out.path()).unwrap().count(), 0);
}

#[test]
fn directories_that_cannot_be_written() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    let run = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
        let output = command.args(["--role", "loadgen", "--duration", "1s"]).args(arguments).output().unwrap();
        assert!(!output.status.success());
        stderr(&output)
    };
    let message = run(&["--out".as_ref(), file.join("below").as_ref()]);
    assert!(message.contains("cannot create directory") && message.contains("below"), "{message}");
    let message = run(&["--run-dir".as_ref(), place.path().as_ref()]);
    assert!(message.contains("is not empty"), "{message}");
}

#[test]
fn a_disk_that_takes_no_more_ends_the_run_with_whole_rows() {
    // A limit on file sizes stands for the full disk: the write that crosses it is cut short, the next one fails.
    let out = tempfile::tempdir().unwrap();
    let script = "trap '' XFSZ; ulimit -f 300; exec \"$0\" --role loadgen --iface lo --interval 10ms --out \"$1\"";
    let mut command = Command::new("sh");
    let output = command.args(["-c", script, env!("CARGO_BIN_EXE_collector")]).arg(out.path()).output().unwrap();
    assert!(!output.status.success());
    let message = stderr(&output);
    assert!(message.contains("cannot append to") && message.contains("raw.csv"), "{message}");
    let runs = discover(&[out.path().to_owned()]).unwrap();
    let table = runs[0].raw().unwrap();
    assert!(table.rows > 5);
    assert_eq!(table.warnings, []);
}
