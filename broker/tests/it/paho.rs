//! paho-mqtt, the Python client: its own view of the protocol, in 3.1.1 and 5.0.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Broker, output, skipped, target_folder};

/// The interpreter that has paho-mqtt. `cargo xtask deps` makes it; where that cannot be done, the reason.
fn python() -> Result<&'static Path, &'static str> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        let python = target_folder().join("python/bin/python3");
        if !has_paho(&python) {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let made = Command::new(cargo).args(["xtask", "deps"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
            let made = made.map_err(|error| format!("cannot run `cargo xtask deps`: {error}"))?;
            if !made.status.success() {
                return Err(format!("`cargo xtask deps` failed: {}", String::from_utf8_lossy(&made.stderr)));
            }
        }
        if has_paho(&python) { Ok(python) } else { Err(format!("no paho-mqtt in {}", python.display())) }
    });
    made.as_deref().map_err(String::as_str)
}

fn has_paho(python: &Path) -> bool {
    let probe = Command::new(python).args(["-c", "import paho.mqtt.client"]).output();
    probe.is_ok_and(|output| output.status.success())
}

fn converse(version: &str, workers: usize) {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return skipped(&format!("paho-mqtt {version}"), why),
    };
    let broker = Broker::start(workers);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/paho/conversation.py");
    let mut command = Command::new(python);
    command.arg("-u").arg(script).args(["127.0.0.1", &broker.port().to_string(), version]);
    let (status, stdout, stderr) = output(&mut command);
    assert!(status.success() && stdout.contains("all as it should be"), "{status}\n{stdout}\n{stderr}");
    broker.stop();
}

#[test]
fn version_3_1_1() {
    converse("3", 1);
    converse("3", 3);
}

#[test]
fn version_5() {
    converse("5", 1);
    converse("5", 3);
}
