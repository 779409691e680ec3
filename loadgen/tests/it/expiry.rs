//! Messages that expire in the broker while their subscriber is away are told from those that are lost.

use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Loadgen, Mosquitto, Ours, run, text_of};

/// The subscriber is away for the first 2.5 s, and from 3 s to 5.5 s, which is 1.5 s longer than the broker keeps messages.
const AWAY: &str = r#"
[run]
duration = "7s"
connrate = 1000

[[role]]
name = "readings"
kind = "pub"
count = 2
topic = "expiry/%i"
qos = 1
inflight = 0
interval_of_msg = 20
message-expiry = 1
end = "6.5s"

[[role]]
name = "reader"
kind = "sub"
count = 1
topic = "expiry/#"
qos = 1
clean = false
session-expiry = 300
flap = "500ms,2500ms"
end = "4s"
"#;

#[test]
fn what_expires_while_the_subscriber_is_away_is_not_lost() {
    let ours = Ours::start();
    std::thread::scope(|scope| {
        scope.spawn(|| expire(ours.addr));
        if let Some(theirs) = Mosquitto::start() {
            expire(theirs.addr);
        }
    });
}

fn expire(broker: SocketAddr) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("away.toml");
    std::fs::write(&file, AWAY).unwrap();
    let end = Loadgen::line(&format!("run {} -h 127.0.0.1 -p {}", file.display(), broker.port())).finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    let receive = end.summary.receive.as_ref().unwrap();
    assert!(receive.expired > 0 && receive.lost == 0, "{}", end.output);
    // What was on its way when the subscriber left may come twice (QoS 1), for which reconcile exits with 1.
    // Both publishers have sent 325; some of those the subscriber was not there for, some have come, the others expired.
    let output = run(&format!("reconcile {} --json -", end.run_dir().display()));
    let account: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text_of(&output)));
    let count = |name: &str| account["overall"][name].as_u64().unwrap();
    assert_eq!((count("lost"), count("expired")), (0, receive.expired), "{account}");
    assert_eq!(count("expected"), count("delivered") + count("expired"), "{account}");
}
