//! What code may say, by place.

use super::exceptions::{CLOCK_READERS, Exception, FOREIGN_CODECS, PARTLY_USED};
use super::scan::{Line, has_word, scan};
use super::{SourceFile, Tree, Violation};

/// Checks every Rust file against the bans on words and on literals.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut used = Vec::new();
    for file in tree.rust_files() {
        let lines = scan(&file.text);
        for ban in BANS.iter().filter(|ban| ban.covers(file)) {
            let hits = ban.hits(file, &lines);
            match ban.exceptions.iter().find(|exception| exception.file == file.path) {
                Some(exception) if !hits.is_empty() => used.push(exception.file),
                _ => found.extend(hits),
            }
        }
        found.extend(literal_violations(file, &lines));
    }
    for ban in BANS {
        found.extend(ban.exceptions.iter().filter(|exception| !used.contains(&exception.file)).map(stale));
    }
    found
}

/// Words that must not stand in the code of some folders.
struct Ban {
    rule: &'static str,
    /// Path prefixes that the ban covers.
    inside: &'static [&'static str],
    /// Path prefixes that it leaves out.
    outside: &'static [&'static str],
    words: &'static [&'static str],
    instead: &'static str,
    exceptions: &'static [Exception],
    /// Whether tests must follow it too.
    in_tests: bool,
}

impl Ban {
    fn covers(&self, file: &SourceFile) -> bool {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| file.path.starts_with(prefix));
        starts(self.inside) && !starts(self.outside) && (self.in_tests || !file.is_test())
    }

    fn hits(&self, file: &SourceFile, lines: &[Line]) -> Vec<Violation> {
        let mut hits = Vec::new();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| self.in_tests || !line.in_test) {
            for word in self.words.iter().filter(|word| has_word(&line.code, word)) {
                hits.push(violation(file, at + 1, self.rule, format!("`{word}`"), self.instead));
            }
        }
        hits
    }
}

/// The bans on words. A new invariant goes here and into ARCHITECTURE.md.
const BANS: &[Ban] = &[
    Ban {
        rule: "pure-crate",
        inside: &["crates/mqtt-wire/src/", "crates/topic-index/src/", "crates/pacer/src/"],
        outside: &[],
        words: &["Instant", "SystemTime", "std::net", "std::fs", "std::os", "std::thread", "std::env"],
        instead: "take bytes and times (u64 ns) as arguments; sockets and clocks belong to netloop and the programs",
        exceptions: &[],
        in_tests: false,
    },
    Ban {
        rule: "dataplane-runtime",
        inside: &["broker/src/dataplane/"],
        outside: &[],
        words: &["tokio", "async_std", "smol", "serde", "serde_json", "axum", "hyper", "controlplane", "async"],
        instead: "a message or a read-only snapshot from the control plane, which alone knows runtimes, HTTP and serde",
        exceptions: &[],
        in_tests: true,
    },
    Ban {
        rule: "workers-share-nothing",
        inside: &["broker/src/dataplane/"],
        outside: &[],
        words: &["Mutex", "RwLock", "Condvar", "OnceLock", "static mut"],
        instead: "a mailbox message to the worker that owns the state, or a read-only snapshot",
        exceptions: &[],
        in_tests: false,
    },
    Ban {
        rule: "workers-never-block",
        inside: &["broker/src/dataplane/"],
        outside: &[],
        words: &["thread::sleep", "block_on", "recv_timeout", "std::fs", "ToSocketAddrs"],
        instead: "park the packet or the connection until the answer arrives as an event",
        exceptions: &[],
        in_tests: false,
    },
    Ban {
        rule: "time-is-an-argument",
        inside: &["broker/src/dataplane/", "crates/netloop/src/"],
        outside: &[],
        words: &["Instant::now", "SystemTime::now", "clock_gettime", "mono_ns", "wall_ns"],
        instead: "take the time as an argument; the loop reads the clock once a turn",
        exceptions: CLOCK_READERS,
        in_tests: false,
    },
    Ban {
        rule: "one-clock",
        inside: &["loadgen/src/", "prober/src/", "collector/src/", "playbooks/src/"],
        outside: &[],
        words: &["SystemTime::now", "clock_gettime(ClockId::CLOCK_MONOTONIC", "clock_gettime(ClockId::CLOCK_REALTIME"],
        instead: "runlog::clock, the one place that reads the clocks whose stamps go into a run directory",
        exceptions: &[],
        in_tests: false,
    },
    Ban {
        rule: "one-codec",
        inside: &[
            "analyze/src/",
            "broker/src/",
            "collector/src/",
            "loadgen/src/",
            "playbooks/src/",
            "prober/src/",
            "crates/",
        ],
        outside: &["crates/mqtt-wire/"],
        words: &["remaining_length", "decode_varint", "encode_varint", "variable_byte_integer", "rumqttc", "mqttbytes"],
        instead: "mqtt-wire: the only code that reads or writes MQTT packets",
        exceptions: FOREIGN_CODECS,
        in_tests: false,
    },
    Ban {
        rule: "no-dead-code",
        inside: &[""],
        outside: &["xtask/src/tidy/"],
        words: &["dead_code", "unused_imports", "unused_variables"],
        instead: "delete it: git remembers",
        exceptions: PARTLY_USED,
        in_tests: true,
    },
];

fn literal_violations(file: &SourceFile, lines: &[Line]) -> Vec<Violation> {
    if file.is_test() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.in_test) {
        for literal in &line.literals {
            let text = literal.text.as_str();
            if knows_run_directory(&file.path, text) {
                let instead = "the names and columns in runlog: only runlog knows the run directory";
                found.push(violation(file, at + 1, "runlog-owns-names", format!("literal \"{text}\""), instead));
            }
            let speaks = ["conformance/", "crates/mqtt-wire/", "xtask/"].iter().any(|home| file.path.starts_with(home));
            if file.path.contains("/src/") && !speaks && is_protocol_name(text, literal.is_bytes) {
                let instead = "mqtt-wire: the only code that reads or writes MQTT packets";
                found.push(violation(file, at + 1, "one-codec", format!("literal \"{text}\""), instead));
            }
        }
    }
    found
}

fn knows_run_directory(path: &str, text: &str) -> bool {
    let bound = ["analyze/src/", "collector/src/", "loadgen/src/", "prober/src/", "playbooks/src/"];
    let is_bound = bound.iter().any(|folder| path.starts_with(folder));
    // A sentence for the user may name a file; a path or a column may not.
    let names_file = !text.contains(char::is_whitespace) && RUN_FILES.iter().any(|name| text.contains(name));
    is_bound && (names_file || path.starts_with("analyze/") && GUIDE_COLUMNS.contains(&text))
}

/// Protocol names of CONNECT (MQTT 3.1: section 3.1; 3.1.1: 3.1.2.1) or a protocol header in bytes.
fn is_protocol_name(text: &str, is_bytes: bool) -> bool {
    text == "MQIsdp" || is_bytes && text.contains("MQTT")
}

const RUN_FILES: &[&str] =
    &["raw.csv", "rates.csv", "counters.csv", "meta.json", "meta.txt", "events.jsonl", "latency.hlog", "summary.json"];

/// The columns that are not also ordinary words.
const GUIDE_COLUMNS: &[&str] = &[
    "time_utc",
    "rx_bytes",
    "rx_packets",
    "tx_bytes",
    "tx_packets",
    "softirq_net_rx",
    "softirq_net_tx",
    "tcp_insegs",
    "tcp_outsegs",
    "tcp_retranssegs",
    "tcp_estab",
    "proc_rss_kb",
    "proc_vsz_kb",
];

fn violation(file: &SourceFile, line: usize, rule: &'static str, found: String, instead: &str) -> Violation {
    Violation { file: file.path.clone(), line, rule, found, instead: instead.into() }
}

fn stale(exception: &Exception) -> Violation {
    Violation {
        file: "xtask/src/tidy/exceptions.rs".into(),
        line: 0,
        rule: "stale-exception",
        found: format!("{} is excepted ({}) without need", exception.file, exception.reason),
        instead: "delete the entry".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree_of;

    /// The rules that a single file breaks, as (line, rule).
    fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let stale_or_real = check(&tree_of(&[(path, text)]));
        stale_or_real.into_iter().filter(|v| v.rule != "stale-exception").map(|v| (v.line, v.rule)).collect()
    }

    #[test]
    fn pure_crates_know_no_clock_and_no_socket() {
        let bad = "use std::net::TcpStream;\nfn f() { std::time::Instant::now(); }";
        assert_eq!(broken("crates/pacer/src/lib.rs", bad), [(1, "pure-crate"), (2, "pure-crate")]);
        let good = "// Instant is for callers\nfn f(now_ns: u64) -> u64 { now_ns }";
        assert_eq!(broken("crates/pacer/src/lib.rs", good), []);
        assert_eq!(broken("crates/pacer/tests/it/main.rs", bad), []);
    }

    #[test]
    fn dataplane_knows_no_runtime_and_no_control_plane() {
        let bad = "use tokio::net::TcpListener;\nuse crate::controlplane::Config;\n#[derive(serde::Serialize)]";
        let rule = "dataplane-runtime";
        assert_eq!(broken("broker/src/dataplane/worker.rs", bad), [(1, rule), (2, rule), (3, rule)]);
        assert_eq!(broken("broker/src/controlplane/http.rs", bad), []);
    }

    #[test]
    fn dataplane_takes_no_lock_and_never_sleeps() {
        let bad = "let m = std::sync::Mutex::new(0);\nstd::thread::sleep(d);";
        let rules = [(1, "workers-share-nothing"), (2, "workers-never-block")];
        assert_eq!(broken("broker/src/dataplane/route.rs", bad), rules);
    }

    #[test]
    fn time_is_an_argument() {
        assert_eq!(broken("crates/netloop/src/wheel.rs", "let t = Instant::now();"), [(1, "time-is-an-argument")]);
        assert_eq!(broken("loadgen/src/main.rs", "let t = Instant::now();"), []);
        assert_eq!(broken("loadgen/src/main.rs", "let t = SystemTime::now();"), [(1, "one-clock")]);
        let in_test = "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }";
        assert_eq!(broken("crates/netloop/src/wheel.rs", in_test), []);
    }

    #[test]
    fn only_mqtt_wire_speaks_mqtt() {
        assert_eq!(broken("prober/src/main.rs", "let remaining_length = 3;"), [(1, "one-codec")]);
        assert_eq!(broken("prober/src/main.rs", "let h = b\"\\x10\\x0c\\0\\x04MQTT\";"), [(1, "one-codec")]);
        assert_eq!(broken("crates/mqtt-wire/src/frame.rs", "let remaining_length = 3;"), []);
        assert_eq!(broken("broker/tests/it/raw.rs", "let h = b\"\\0\\x04MQTT\";"), []);
        assert_eq!(broken("analyze/src/page.rs", "let title = \"MQTT brokers\";"), []);
    }

    #[test]
    fn only_runlog_names_files_and_columns() {
        let rule = "runlog-owns-names";
        assert_eq!(broken("analyze/src/rates.rs", "let f = dir.join(\"raw.csv\");"), [(1, rule)]);
        assert_eq!(broken("analyze/src/rates.rs", "frame.column(\"rx_bytes\")"), [(1, rule)]);
        assert_eq!(broken("analyze/src/rates.rs", "/// Reads raw.csv\nframe.column(columns::RX_BYTES)"), []);
        assert_eq!(broken("analyze/src/rates.rs", "#[cfg(test)]\nmod tests {\n const X: &str = \"raw.csv\";\n}"), []);
        assert_eq!(broken("analyze/src/rates.rs", "bail!(\"give the raw.csv of a run\")"), []);
        assert_eq!(broken("crates/runlog/src/layout.rs", "pub const RAW: &str = \"raw.csv\";"), []);
    }

    #[test]
    fn allowing_dead_code_is_a_violation() {
        assert_eq!(broken("broker/src/boot.rs", "#[allow(dead_code)]\nfn f() {}"), [(1, "no-dead-code")]);
    }

    #[test]
    fn unused_exceptions_are_reported() {
        let found = stale(&Exception { file: "a.rs", reason: "because" });
        assert_eq!(found.found, "a.rs is excepted (because) without need");
    }
}
