//! The guide's 16 columns beside the same figures read as its scripts read them: by `ps`, `ss`, `date` and `/proc`, in the
//! same run. In a network namespace of its own, so that the number of connections is known.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use runlog::Run;
use runlog::columns::{self, GUIDE_COUNT, RAW};

use crate::support::stderr;

/// Nine connections, both ends in this process, and traffic on them.
const TARGET: &str = r#"
import socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
pairs = [(socket.create_connection(listener.getsockname()), listener.accept()[0]) for _ in range(9)]
with open(sys.argv[1], "w") as port:
    print(listener.getsockname()[1], file=port)
while True:
    for client, server in pairs:
        client.send(b"x" * 100)
        server.recv(100)
    time.sleep(0.002)
"#;

/// `$0` is the collector, `$1` a directory. Each round is read between two looks at the monotonic clock.
const SCRIPT: &str = r#"
set -eu
cd "$1"
ip link set lo up
collector=
python3 target.py port & target=$!
trap 'kill -9 $target $collector' EXIT
until [ -s port ]; do sleep 0.02; done
port=$(cat port)
"$0" --pid $target --port $port --iface lo --interval 20ms --run-dir run >out 2>err & collector=$!
rows() { if [ -e run/raw.csv ]; then wc -l <run/raw.csv; else echo 0; fi; }
more() { goal=$(($(rows) + $1)); until [ "$(rows)" -ge $goal ]; do kill -0 $collector; sleep 0.02; done; }
mono() { python3 -c 'import time; print(time.monotonic_ns())'; }
more 3
for round in 1 2 3; do
    mkdir round$round
    mono >round$round/before
    date -u +%Y-%m-%dT%H:%M:%SZ >round$round/date
    cat /proc/net/dev >round$round/dev
    cat /proc/stat >round$round/stat
    cat /proc/softirqs >round$round/softirqs
    cat /proc/net/snmp >round$round/snmp
    ss -Htn state established >round$round/ss
    ss -Htn state established "( sport = :$port )" >round$round/ss_port
    ps -o rss=,vsz= -p $target >round$round/ps
    mono >round$round/after
    more 3
done
kill -TERM $collector
wait $collector
collector=
"#;

#[test]
fn the_guides_columns_beside_readings_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("target.py"), TARGET).unwrap();
    let mut command = Command::new("unshare");
    command.arg(if nix::unistd::geteuid().is_root() { "-n" } else { "-rn" });
    command.args(["sh", "-c", SCRIPT, env!("CARGO_BIN_EXE_collector")]).arg(directory.path());
    for variable in ["PID", "PORT", "INTERFACE", "DURATION_SEC", "INTERVAL_SEC", "EXP_TAG", "RUNLOG_CONTEXT"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("unshare(1): apt-get install util-linux");
    let told = fs::read_to_string(directory.path().join("err")).unwrap_or_default();
    assert!(output.status.success(), "{}{told}", stderr(&output));

    let table = Run::open(directory.path().join("run")).raw().unwrap();
    let numbers = |name: &str| -> Vec<Option<u64>> { table.numbers(name).unwrap() };
    let stamps: Vec<u64> = numbers(columns::MONO_NS).into_iter().map(Option::unwrap).collect();
    let mut seen = Vec::new();
    for round in ["round1", "round2", "round3"] {
        let round = directory.path().join(round);
        let stamp = |name: &str| -> u64 { text(&round, name).trim().parse().unwrap() };
        // The last row before the readings and the first one after them.
        let low = stamps.partition_point(|at| *at <= stamp("before")) - 1;
        let high = stamps.partition_point(|at| *at < stamp("after"));
        let by_hand = by_hand(&round);
        for (column, value) in &by_hand {
            let ours: Vec<u64> = numbers(column)[low..=high].iter().map(|cell| cell.expect(column)).collect();
            let (min, max) = (*ours.iter().min().unwrap(), *ours.iter().max().unwrap());
            // The kernel keeps memory per core and `ps` reads another sum of it than `statm` holds.
            let slack = if *column == columns::PROC_RSS_KB { max / 20 } else { 0 };
            assert!((min - slack..=max + slack).contains(value), "{column}: {value} by hand, {ours:?} in rows");
        }
        let times = table.texts(columns::TIME_UTC).unwrap();
        let date = text(&round, "date");
        assert!((&*times[low]..=&*times[high]).contains(&date.trim()), "{date} {}..{}", times[low], times[high]);
        assert_eq!(lines(&round, "ss_port"), 9);
        assert_eq!(by_hand[columns::TCP_ESTAB], 18, "both ends of nine");
        seen.push(by_hand);
    }
    assert_eq!(numbers(columns::PORT_ESTAB)[0], Some(9), "counted by the kernel as ss counts them");
    assert!(table.texts(columns::IFACE).unwrap().iter().all(|iface| *iface == "lo"));
    // Every column was compared, and the counters that traffic moves did move.
    let compared = |name: &str| seen[0].contains_key(name) || name == columns::TIME_UTC || name == columns::IFACE;
    assert!(RAW[..GUIDE_COUNT].iter().all(|column| compared(column.name)), "{:?}", seen[0].keys());
    for column in [columns::RX_BYTES, columns::TX_PACKETS, columns::TCP_INSEGS, columns::TCP_OUTSEGS, columns::CTXT] {
        assert!(seen[0][column] < seen[2][column], "{column} stands still");
    }
}

/// The guide's figures from what its commands printed.
fn by_hand(round: &Path) -> BTreeMap<&'static str, u64> {
    let number = |word: &str| -> u64 { word.trim().parse().unwrap() };
    // Words of the line that begins with this.
    let words = |file: &str, key: &str, nth: usize| -> Vec<String> {
        let text = text(round, file);
        let line = text.lines().filter_map(|line| line.trim().strip_prefix(key)).nth(nth).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    let dev = words("dev", "lo:", 0);
    let tcp = words("snmp", "Tcp:", 1);
    let sizes = words("ps", "", 0);
    let softirqs = |key: &str| words("softirqs", key, 0).iter().map(|word| number(word)).sum();
    BTreeMap::from([
        (columns::RX_BYTES, number(&dev[0])),
        (columns::RX_PACKETS, number(&dev[1])),
        (columns::TX_BYTES, number(&dev[8])),
        (columns::TX_PACKETS, number(&dev[9])),
        (columns::CTXT, number(&words("stat", "ctxt", 0)[0])),
        (columns::INTR, number(&words("stat", "intr", 0)[0])),
        (columns::SOFTIRQ_NET_RX, softirqs("NET_RX:")),
        (columns::SOFTIRQ_NET_TX, softirqs("NET_TX:")),
        (columns::TCP_INSEGS, number(&tcp[9])),
        (columns::TCP_OUTSEGS, number(&tcp[10])),
        (columns::TCP_RETRANSSEGS, number(&tcp[11])),
        (columns::TCP_ESTAB, lines(round, "ss")),
        (columns::PROC_RSS_KB, number(&sizes[0])),
        (columns::PROC_VSZ_KB, number(&sizes[1])),
    ])
}

fn text(round: &Path, name: &str) -> String {
    fs::read_to_string(round.join(name)).unwrap()
}

fn lines(round: &Path, name: &str) -> u64 {
    text(round, name).lines().count() as u64
}
