//! Figures, files, and what a stalled broker does to them.

use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::hlog::{self, CORRECTED, UNCORRECTED};
use runlog::table::Table;
use runlog::{Context, Role};

use crate::support::{Broker, Echo, Prober, wait_for};

#[test]
fn every_version_qos_and_broker() {
    for (name, broker) in [("mosquitto", Broker::mosquitto()), ("ours", Broker::ours())] {
        for version in ["3", "4", "5"] {
            for qos in ["0", "1", "2"] {
                let args = ["-n", "100", "-i", "1", "-V", version, "-q", qos];
                let one = if qos == version { &["--self"][..] } else { &[] };
                let probed = Prober::new(broker.port, &[&args[..], one].concat()).run().succeeded();
                let summary = probed.summary();
                let which = format!("{name}, version {version}, QoS {qos}");
                assert_eq!((summary.sent, summary.received, summary.lost), (100, 100, 0), "{which}");
                assert_eq!((summary.duplicated, summary.out_of_order, summary.corrupted), (0, 0, 0), "{which}");
                assert!(summary.ok && summary.latency_us.min > Some(0.0));
                let acked = probed.run.counters().unwrap().value.last().unwrap().acked;
                // The acknowledgement of the last ones may be under way when their copies are back.
                assert!(if qos == "0" { acked == 0 } else { acked > 0 }, "{which}: {acked}");
            }
        }
    }
}

#[test]
fn one_connection_publishes_to_itself() {
    let broker = Broker::ours();
    for qos in ["0", "1", "2"] {
        let args = ["-n", "100", "-i", "1", "--self", "-q", qos, "-V", "5"];
        let probed = Prober::new(broker.port, &args).run().succeeded();
        assert_eq!(probed.summary().received, 100);
        assert_eq!(probed.run.counters().unwrap().value.last().unwrap().connected, 1);
    }
}

#[test]
fn pairs_side_by_side() {
    let broker = Broker::ours();
    let args = ["-n", "60", "-i", "2", "--pairs", "3", "-q", "1", "-t", "a/b", "--warmup", "5"];
    let probed = Prober::new(broker.port, &args).run().succeeded();
    let summary = probed.summary();
    assert_eq!((summary.pairs, summary.planned, summary.received, summary.lost), (3, 180, 180, 0));
    assert!(probed.stdout().contains("180 received by 3 pairs"), "{}", probed.stdout());
    let samples = Table::load(probed.run.samples_path()).unwrap();
    let numbers = |name| -> Vec<u64> { samples.numbers(name).unwrap().into_iter().map(Option::unwrap).collect() };
    let mut seen: Vec<(u64, u64)> = numbers("pair").into_iter().zip(numbers("sequence")).collect();
    seen.sort_unstable();
    let expected: Vec<(u64, u64)> = (0..3).flat_map(|pair| (0..60).map(move |sequence| (pair, sequence))).collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_floor_of_a_collectors_echo() {
    let broker = Broker::mosquitto();
    let mut echo = Echo::start();
    let remote = format!("127.0.0.1:{}", echo.port);
    let args = ["-n", "400", "-i", "2", "--floor", &remote];
    let probed = Prober::new(broker.port, &args).run().succeeded();
    let floor = probed.summary().floor.unwrap();
    assert_eq!((floor.remote, floor.own_loopback, floor.failure), (remote, false, None));
    assert!((6..=80).contains(&floor.round_trip_us.count), "{:?}", floor.round_trip_us);
    // Both tell the same: every message of the floor, also the first five and one under way at the
    // end, went through the collector and back.
    let table = echo.end().raw().unwrap();
    let column = |name: &str| table.numbers(name).unwrap();
    let bytes = column(runlog::columns::ECHO_BYTES).last().copied().flatten().unwrap();
    let messages = bytes / floor.message_bytes;
    assert_eq!(bytes % floor.message_bytes, 0);
    let count = floor.round_trip_us.count;
    assert!((count..=count + 6).contains(&messages), "{messages} echoed, {count} measured");
    assert!(column(runlog::columns::ECHO_CONNECTIONS).contains(&Some(1)));
}

#[test]
fn the_floor_is_measured_in_the_same_run() {
    let broker = Broker::mosquitto();
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = echo.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut stream = echo.accept().unwrap().0;
        std::io::copy(&mut stream.try_clone().unwrap(), &mut stream)
    });
    for (args, own) in [(&["--floor", remote.as_str()][..], false), (&[], true)] {
        let probed = Prober::new(broker.port, &[&["-n", "400", "-i", "2"], args].concat()).run().succeeded();
        let summary = probed.summary();
        let floor = summary.floor.unwrap();
        assert_eq!((floor.own_loopback, floor.failure, floor.message_bytes), (own, None, 32));
        assert!(own || floor.remote == remote);
        // One each 10 ms, less the first five and what a busy machine made late.
        assert!((6..=80).contains(&floor.round_trip_us.count), "{:?}", floor.round_trip_us);
        assert!(floor.round_trip_us.min > Some(0.0) && floor.round_trip_us.max < Some(f64::INFINITY));
        assert!(summary.wakeup_error_us.count > 0 && summary.wakeup_error_us.p50 > Some(0.0));
        let what = if own { "this machine's loopback" } else { "is the path: TCP echo" };
        assert!(probed.stdout().contains(what), "{}", probed.stdout());
    }
    let without = Prober::new(broker.port, &["-n", "20", "-i", "1", "--no-floor"]).run().succeeded();
    assert_eq!(without.summary().floor, None);
}

#[test]
fn until_a_signal() {
    let broker = Broker::mosquitto();
    let (prober, child) = Prober::new(broker.port, &["--until", "SIGTERM", "-i", "2", "--json", "-"]).measuring();
    let samples = prober.run_dir().join("samples.csv");
    wait_for("filed samples", || Table::load(&samples).ok().filter(|table| table.rows > 0));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let probed = prober.probed(child.wait_with_output().unwrap()).succeeded();
    let summary = probed.summary();
    assert!(summary.ok && summary.received > 0 && summary.lost == 0 && summary.sent < summary.planned);
    assert_eq!(serde_json::from_str::<runlog::ProbeSummary>(&probed.stdout()).unwrap(), summary);
    assert!(probed.stderr().contains("\nP50: "), "{}", probed.stderr());
    assert_eq!(Table::load(probed.run.samples_path()).unwrap().rows, summary.sent);
    let clock = &probed.run.meta.as_ref().unwrap().config["clock"];
    assert!(clock["resolution_ns"].as_u64() > Some(0) && clock["source"].is_string(), "{clock}");
}

#[test]
fn a_source_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut prober = Prober::new(port, &["--ifaddr", "127.77.0.9"]);
    let child = prober.command.spawn().unwrap();
    let (stream, from) = wait_for("connection", || listener.accept().ok());
    assert_eq!(from.ip().to_string(), "127.77.0.9");
    drop((stream, listener));
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
}

#[test]
fn the_guides_command_and_its_lines() {
    let broker = Broker::mosquitto();
    let probed = Prober::new(broker.port, &["-n", "400", "-i", "1"]).run().succeeded();
    let stdout = probed.stdout();
    let lines: Vec<&str> = stdout.lines().collect();
    for (line, label) in lines.iter().zip(["P50: ", "P95: ", "P99: ", "Max: "]) {
        let value = line.strip_prefix(label).unwrap_or_else(|| panic!("{line}"));
        assert!(value.ends_with('s') && value.starts_with(|c: char| c.is_ascii_digit()), "{line}");
    }
    assert!(stdout.contains("latency of 400 probes: 400 received") && stdout.contains("95 % confidence"), "{stdout}");
    assert!(stdout.contains("needs 3688 probes") && stdout.contains("400 probes allow: p99.08"), "{stdout}");
    assert!(probed.stderr().contains("20 probes of warm-up, discarded, then 400 measured"), "{}", probed.stderr());
}

#[test]
fn the_run_directory_holds_everything() {
    let broker = Broker::mosquitto();
    let context = Context {
        experiment: "e".into(),
        target: "m".into(),
        label: "A".into(),
        step: "s".into(),
        repeat: 3,
        ..Context::default()
    };
    let json = tempfile::NamedTempFile::new().unwrap();
    let json_path = json.path().to_str().unwrap();
    let args = ["-n", "300", "-i", "5", "--warmup", "7", "-s", "100", "--json", json_path, "--poisson", "--tag", "A x"];
    let mut prober = Prober::new(broker.port, &args);
    prober.command.env(Context::VARIABLE, context.to_env());
    let probed = prober.run().succeeded();
    let (run, summary) = (&probed.run, probed.summary());
    assert_eq!((run.role, run.tag.as_str(), &run.context), (Role::Prober, "A x", &Some(context)));
    let meta = run.meta.as_ref().unwrap();
    assert_eq!((meta.tool.as_str(), meta.seed, &meta.config["warmup"]), ("prober", Some(1), &7.into()));

    let written: runlog::ProbeSummary = serde_json::from_reader(json.as_file()).unwrap();
    assert_eq!(written, summary);
    assert_eq!((summary.warmup, summary.payload_bytes, summary.interval_us), (7, 100, 5_000));
    assert_eq!((summary.latency_us.count, summary.send_lag_us.count), (300, 300));

    let samples = Table::load(run.samples_path()).unwrap();
    assert_eq!((samples.rows, samples.warnings.len()), (300, 0));
    let stamps = |name: &str| -> Vec<u64> { samples.numbers(name).unwrap().into_iter().map(Option::unwrap).collect() };
    let (due, sent, received) = (stamps("due_ns"), stamps("sent_ns"), stamps("received_ns"));
    assert!(
        due.iter().zip(&sent).all(|(due, sent)| due <= sent)
            && sent.iter().zip(&received).all(|(sent, received)| sent < received)
    );
    let slowest_ns = due.iter().zip(&received).map(|(due, received)| received - due).max().unwrap();
    assert_eq!(summary.latency_us.max.map(|us| (us * 1_000.0).round() as u64), Some(slowest_ns));

    let intervals = run.latency().unwrap();
    assert!(intervals.warnings.is_empty());
    assert_eq!(hlog::merge(&intervals.value, Some(CORRECTED)).unwrap().len(), 300);
    let closed_loop: u64 = stamps("closed_loop").iter().sum();
    assert_eq!(hlog::merge(&intervals.value, Some(UNCORRECTED)).unwrap().len(), closed_loop);
    assert_eq!(summary.uncorrected_latency_us.count, closed_loop);

    let counters = run.counters().unwrap().value;
    let last = counters.last().unwrap();
    assert_eq!((last.offered, last.received, last.received_bytes, last.connected), (300, 300, 30_000, 2));
    for name in ["ready", "measure"] {
        assert!(probed.has_event(name), "{name}");
    }
}

#[test]
fn two_seconds_of_a_stopped_broker_are_charged_to_every_probe_that_was_due() {
    let broker = Broker::mosquitto();
    let (prober, child) = Prober::new(broker.port, &["-n", "1500", "-i", "2", "--warmup", "0"]).measuring();
    broker.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(2));
    broker.signal(Signal::SIGCONT);
    let probed = prober.probed(child.wait_with_output().unwrap()).succeeded();
    let summary = probed.summary();
    let (corrected, uncorrected) = (&summary.latency_us, &summary.uncorrected_latency_us);
    assert_eq!((summary.received, summary.lost), (1_500, 0));
    // 1,000 of 1,500 probes were due while the broker stood still, and waited for up to 2 s.
    assert!(corrected.max >= Some(1_900_000.0), "{corrected:?}");
    assert!(corrected.p75 >= Some(900_000.0), "{corrected:?}");
    // A closed loop would have sent one probe into the stall, and none for the rest of it.
    assert!(uncorrected.count + 700 <= corrected.count, "{uncorrected:?}");
    assert!(uncorrected.p95 < corrected.p50, "{uncorrected:?} {corrected:?}");
}

#[test]
fn probers_on_one_topic_do_not_mix() {
    let broker = Broker::mosquitto();
    let start = || {
        let mut prober = Prober::new(broker.port, &["-n", "200", "-i", "2", "-q", "1", "-t", "shared/topic"]);
        let child = prober.command.spawn().unwrap();
        (prober, child)
    };
    for (prober, child) in [start(), start()] {
        let summary = prober.probed(child.wait_with_output().unwrap()).succeeded().summary();
        assert_eq!((summary.received, summary.duplicated, summary.corrupted), (200, 0, 0));
    }
}
