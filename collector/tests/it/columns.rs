//! What rows hold, against what `/proc` says by hand.

use std::fs;
use std::net::{TcpListener, TcpStream};

use runlog::columns::{self, GUIDE_COUNT, RAW};

use crate::support::{Collector, Target, wait_for};

#[test]
fn levels_of_an_idle_target_are_those_of_proc() {
    let target = Target::shell("exec sleep 600");
    let proc = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", target.pid())).unwrap();
    wait_for("sleep", || proc("comm").starts_with("sleep").then_some(()));
    let args =
        ["--pid", &target.pid_text(), "--iface", "lo", "--duration", "100ms", "--interval", "50ms", "--tag", "A idle"];
    let collected = Collector::new(&args).run();

    let status = |key: &str| -> u64 {
        let status = proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let statm: Vec<u64> = proc("statm").split(' ').map(|word| word.trim().parse().unwrap()).collect();
    let page_kb = collected.run.meta.as_ref().unwrap().host.page_size.unwrap() / 1024;
    assert_eq!(collected.last(columns::PROC_VSZ_KB), Some(status("VmSize:")));
    assert_eq!(collected.last(columns::PROC_RSS_KB), Some(statm[1] * page_kb));
    assert_eq!(collected.last(columns::PROC_THREADS), Some(1));
    assert_eq!(collected.last(columns::PROC_COUNT), Some(1));
    let fds = fs::read_dir(format!("/proc/{}/fd", target.pid())).unwrap().count() as u64;
    assert_eq!(collected.last(columns::PROC_FDS), Some(fds));
    assert_eq!(collected.last(columns::PROC_VOL_CTXT), Some(status("voluntary_ctxt_switches:")));
    let pss = collected.column(columns::PROC_PSS_KB);
    assert!(pss[0].is_some_and(|pss| pss > 0) && pss[1].is_none(), "PSS is read at a slow beat: {pss:?}");

    let meta = collected.run.meta.as_ref().unwrap();
    let process = meta.process.as_ref().unwrap();
    assert_eq!(
        (process.pid, process.argv.as_slice()),
        (target.pid(), ["sleep".to_owned(), "600".to_owned()].as_slice())
    );
    assert_eq!(collected.run.tag, "A idle");
    assert!(collected.run.path.file_name().unwrap().to_str().unwrap().starts_with("broker-A-idle-20"));
}

#[test]
fn host_counters_lie_between_two_readings_by_hand() {
    // Traffic on lo between the readings, so that standing still is not enough to pass.
    let before = by_hand();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let collected =
        Collector::new(&["--role", "loadgen", "--iface", "lo", "--duration", "60ms", "--interval", "20ms"]).run();
    let after = by_hand();
    for ((column, low), (_, high)) in before.into_iter().zip(after) {
        let values: Vec<u64> = collected.column(column).into_iter().map(|value| value.expect(column)).collect();
        assert!(values.is_sorted(), "{column}: {values:?}");
        assert!(values.iter().all(|value| (low..=high).contains(value)), "{column}: {values:?} not in {low}..={high}");
    }
    let header: Vec<&str> = collected.raw.columns.iter().map(String::as_str).take(RAW.len()).collect();
    assert_eq!(header, RAW.iter().map(|column| column.name).collect::<Vec<_>>());
    assert_eq!(collected.raw.texts(columns::IFACE).unwrap()[0], "lo");
    assert!(collected.raw.texts(columns::TIME_UTC).unwrap()[0].ends_with('Z'));
    assert!(collected.raw.has("cpu0_idle_ticks") && collected.last("cpu0_idle_ticks").is_some());
    let missing: Vec<&str> = RAW[..GUIDE_COUNT]
        .iter()
        .map(|column| column.name)
        .filter(|name| !name.starts_with("proc_") && collected.raw.texts(name).unwrap()[0].is_empty())
        .collect();
    assert_eq!(missing, [""; 0], "without a target only its cells are empty");
}

#[test]
fn cpu_time_and_switches_of_a_busy_target_lie_between_two_readings() {
    let target = Target::shell("while :; do :; done");
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", target.pid())).unwrap();
        let numbers: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        numbers[11].parse::<u64>().unwrap() + numbers[12].parse::<u64>().unwrap()
    };
    wait_for("CPU time", || (ticks() > 10).then_some(()));
    let before = ticks();
    let collected = Collector::new(&["--pid", &target.pid_text(), "--duration", "300ms", "--interval", "100ms"]).run();
    let after = ticks();
    let us_per_tick = 1_000_000 / collected.run.meta.as_ref().unwrap().host.clock_ticks_per_s.unwrap();
    let user = collected.column(columns::PROC_CPU_USER_US);
    let system = collected.column(columns::PROC_CPU_SYS_US);
    let sums: Vec<u64> = user.into_iter().zip(system).map(|(user, system)| user.unwrap() + system.unwrap()).collect();
    assert!(sums.is_sorted(), "{sums:?}");
    assert!(
        sums[0] >= before * us_per_tick && sums[sums.len() - 1] <= after * us_per_tick,
        "{before} {sums:?} {after}"
    );
}

#[test]
fn descendants_are_summed() {
    let target = Target::shell("sleep 600 & sleep 600 & wait");
    let children = || fs::read_to_string(format!("/proc/{0}/task/{0}/children", target.pid())).unwrap_or_default();
    let children: Vec<String> = wait_for("two children", || {
        let pids: Vec<String> = children().split_whitespace().map(str::to_owned).collect();
        let running =
            |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sleep\n");
        (pids.len() == 2 && pids.iter().all(running)).then_some(pids)
    });
    let collected = Collector::new(&["--pid", &target.pid_text(), "--duration", "50ms", "--interval", "50ms"]).run();
    assert_eq!(collected.last(columns::PROC_COUNT), Some(3));
    let pages = |pid: &str| -> u64 {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
        statm.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let page_kb = collected.run.meta.as_ref().unwrap().host.page_size.unwrap() / 1024;
    let sum = pages(&target.pid_text()) + children.iter().map(|pid| pages(pid)).sum::<u64>();
    assert_eq!(collected.last(columns::PROC_RSS_KB), Some(sum * page_kb));
}

#[test]
fn the_listener_of_a_port_is_found_and_its_connections_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let _streams: Vec<TcpStream> =
        (0..7).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    let broker = Collector::new(&["--port", &port, "--duration", "40ms", "--interval", "20ms"]).run();
    assert_eq!(broker.run.meta.as_ref().unwrap().process.as_ref().unwrap().pid, std::process::id());
    // Strangers may use the same port number for an end of theirs.
    let counted = broker.column(columns::PORT_ESTAB);
    assert!(counted[0] >= Some(7) && counted[1..] == [None, None], "counted at a slow beat: {counted:?}");
    assert!(broker.has_event(columns::PORT_ESTAB));
    let loadgen =
        Collector::new(&["--role", "loadgen", "--port", &port, "--duration", "20ms", "--interval", "20ms"]).run();
    assert!(loadgen.column(columns::PORT_ESTAB)[0] >= Some(7));
    assert_eq!(loadgen.run.meta.as_ref().unwrap().process, None);
}

/// Counters of the host as a person would look them up.
fn by_hand() -> Vec<(&'static str, u64)> {
    let dev = fs::read_to_string("/proc/net/dev").unwrap();
    let lo: Vec<u64> = dev
        .lines()
        .find_map(|line| line.trim().strip_prefix("lo:"))
        .unwrap()
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let stat = |key: &str, index: usize| -> u64 {
        let line = stat.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(index).unwrap().parse().unwrap()
    };
    let softirqs = fs::read_to_string("/proc/softirqs").unwrap();
    let softirq = |key: &str| -> u64 {
        let line = softirqs.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
        line.split_whitespace().map(|word| word.parse::<u64>().unwrap()).sum()
    };
    let snmp = fs::read_to_string("/proc/net/snmp").unwrap();
    let tcp: Vec<&str> = snmp.lines().filter(|line| line.starts_with("Tcp:")).nth(1).unwrap().split(' ').collect();
    vec![
        (columns::RX_BYTES, lo[0]),
        (columns::RX_PACKETS, lo[1]),
        (columns::TX_BYTES, lo[8]),
        (columns::TX_PACKETS, lo[9]),
        (columns::CTXT, stat("ctxt", 1)),
        (columns::INTR, stat("intr", 1)),
        (columns::CPU_USER_TICKS, stat("cpu ", 1)),
        (columns::SOFTIRQ_NET_RX, softirq("NET_RX:")),
        (columns::SOFTIRQ_NET_TX, softirq("NET_TX:")),
        (columns::TCP_PASSIVE_OPENS, tcp[6].parse().unwrap()),
        (columns::TCP_INSEGS, tcp[10].parse().unwrap()),
        (columns::TCP_OUTSEGS, tcp[11].parse().unwrap()),
        (columns::TCP_RETRANSSEGS, tcp[12].parse().unwrap()),
    ]
}
