//! Figures, files, and what a stalled broker does to them.

use std::time::Duration;

use nix::sys::signal::Signal;
use runlog::hlog::{self, CORRECTED, UNCORRECTED};
use runlog::table::Table;
use runlog::{Context, Role};

use crate::support::{Mosquitto, Prober, has_event, wait_for};

#[test]
fn every_version_and_qos() {
    let Some(broker) = Mosquitto::start() else { return };
    for version in ["3", "4", "5"] {
        for qos in ["0", "1", "2"] {
            let probed =
                Prober::new(broker.port, &["-n", "120", "-i", "1", "-V", version, "-q", qos]).run().succeeded();
            let summary = probed.summary();
            assert_eq!((summary.sent, summary.received, summary.lost), (120, 120, 0), "version {version}, QoS {qos}");
            assert_eq!((summary.duplicated, summary.out_of_order, summary.corrupted), (0, 0, 0));
            assert!(summary.ok && summary.latency_us.min > Some(0.0));
            let acked = probed.run.counters().unwrap().value.last().unwrap().acked;
            // The acknowledgement of the last ones may be under way when their copies are back.
            assert!(if qos == "0" { acked == 0 } else { acked > 0 }, "version {version}, QoS {qos}: {acked}");
        }
    }
}

#[test]
fn the_guides_command_and_its_lines() {
    let Some(broker) = Mosquitto::start() else { return };
    let probed = Prober::new(broker.port, &["-n", "400", "-i", "1"]).run().succeeded();
    let stdout = probed.stdout();
    let lines: Vec<&str> = stdout.lines().collect();
    for (line, label) in lines.iter().zip(["P50: ", "P95: ", "P99: ", "Max: "]) {
        let value = line.strip_prefix(label).unwrap_or_else(|| panic!("{line}"));
        assert!(value.ends_with('s') && value.starts_with(|c: char| c.is_ascii_digit()), "{line}");
    }
    assert!(stdout.contains("latency of 400 probes: 400 received") && stdout.contains("95 % confidence"), "{stdout}");
    assert!(stdout.contains("needs 3688 probes") && stdout.contains("400 probes allow: p99.08"), "{stdout}");
    assert!(probed.stderr().contains("20 probes of warm-up, then 400 measured"), "{}", probed.stderr());
}

#[test]
fn the_run_directory_holds_everything() {
    let Some(broker) = Mosquitto::start() else { return };
    let context =
        Context { experiment: "e".into(), target: "m".into(), label: "A".into(), step: "s".into(), repeat: 3 };
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
    let Some(broker) = Mosquitto::start() else { return };
    let mut prober = Prober::new(broker.port, &["-n", "600", "-i", "5", "--warmup", "0"]);
    let child = prober.command.spawn().unwrap();
    wait_for("first probe", || has_event(&prober.run_dir(), "measure").then_some(()));
    broker.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(2));
    broker.signal(Signal::SIGCONT);
    let probed = prober.probed(child.wait_with_output().unwrap()).succeeded();
    let summary = probed.summary();
    let (corrected, uncorrected) = (&summary.latency_us, &summary.uncorrected_latency_us);
    assert_eq!((summary.received, summary.lost), (600, 0));
    // 400 of 600 probes were due while the broker stood still, and waited for up to 2 s.
    assert!(corrected.max >= Some(1_900_000.0), "{corrected:?}");
    assert!(corrected.p75 >= Some(500_000.0), "{corrected:?}");
    // A closed loop would have sent one probe into the stall, and none for the rest of it.
    assert!(uncorrected.count + 300 <= corrected.count, "{uncorrected:?}");
    assert!(uncorrected.p95 < corrected.p50, "{uncorrected:?} {corrected:?}");
}

#[test]
fn probers_on_one_topic_do_not_mix() {
    let Some(broker) = Mosquitto::start() else { return };
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
