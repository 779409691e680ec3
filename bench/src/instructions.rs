//! Instruction counts by callgrind: the same on a busy machine as on a quiet one, so that a regression shows anywhere.
//!
//! An operation is done N times and 2 N times, each in a process of its own under `valgrind --tool=callgrind`; the
//! difference divided by N is what one takes, without start and preparation. Operations of the libraries are done by this
//! program itself ([`repeat`]). Those of the broker are done by the real broker with one worker, to which a driver sends
//! bursts in lockstep: the next begins when everything of the last has come back, so that each run cuts the bytes into the
//! same turns. The kernel's share is not counted.
//!
//! Counts hold for one compiler and one processor (the C library chooses its copy routines by processor). The baseline
//! names both, and is void for others.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use mqtt_wire::packet::PublishHeader;
use mqtt_wire::{Frame, Packet, Properties, PropertiesBuf, Property, QoS, Version};
use serde_json::{Value, json};
use topic_index::FilterIndex;

use crate::driver::Driver;
use crate::target::Target;

/// `bench instructions`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Compare with the baseline, and exit with 3 when something takes more than the tolerance allows
    #[arg(long)]
    check: bool,
    /// Make the counts of this run the baseline
    #[arg(long, conflicts_with = "check")]
    save: bool,
    /// The baseline
    #[arg(long, default_value = "bench/instructions.json")]
    baseline: PathBuf,
    /// Growth that is still no regression
    #[arg(long, default_value_t = 0.03)]
    tolerance: f64,
    /// Our broker's program
    #[arg(long, default_value = "target/release/broker")]
    broker: PathBuf,
}

/// An operation of the broker: what one burst consists of.
struct Scenario {
    name: &'static str,
    subscribers: usize,
    qos: QoS,
}

const LIBRARY: &[&str] =
    &["decode PUBLISH", "decode PUBLISH 5.0", "encode PUBLISH", "encode PUBLISH 5.0", "route, 10 of 10,000 filters"];
const SCENARIOS: &[Scenario] = &[
    Scenario { name: "broker: PUBLISH at QoS 0 that nobody wants", subscribers: 0, qos: QoS::AtMostOnce },
    Scenario { name: "broker: QoS 0 to 1 subscriber", subscribers: 1, qos: QoS::AtMostOnce },
    Scenario { name: "broker: QoS 0 to 20 subscribers", subscribers: 20, qos: QoS::AtMostOnce },
    Scenario { name: "broker: QoS 1 to 1 subscriber", subscribers: 1, qos: QoS::AtLeastOnce },
    Scenario { name: "broker: QoS 1 to 20 subscribers", subscribers: 20, qos: QoS::AtLeastOnce },
    Scenario { name: "broker: QoS 2 to 1 subscriber", subscribers: 1, qos: QoS::ExactlyOnce },
];
/// Differences that tell what one delivery takes: name, more, fewer, receivers between them.
const DERIVED: &[(&str, &str, &str, f64)] = &[
    ("broker: one more delivery at QoS 0", SCENARIOS[2].name, SCENARIOS[1].name, 19.0),
    ("broker: one more delivery at QoS 1", SCENARIOS[4].name, SCENARIOS[3].name, 19.0),
];

const REPEATS: u64 = 2_000;
const BURSTS: u64 = 40;
/// Messages of a burst: no more than may be in flight.
const BURST: u64 = 16;
const TOPIC: &str = "site/7/device/4711/temperature";

/// Counts, compares, saves. `false`: something regressed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        bail!("instructions are counted by valgrind, which is not installed: on Debian, `apt-get install valgrind`");
    }
    if !arguments.broker.is_file() {
        bail!("{} does not exist: `cargo build --release -p broker` makes it", arguments.broker.display());
    }
    let place = place()?;
    let baseline = if arguments.save { None } else { read_baseline(&arguments.baseline)? };
    if let Some(baseline) = baseline.as_ref().filter(|baseline| arguments.check && baseline["place"] != place) {
        bail!(
            "the baseline {} is void here: it was made with {}, this is {place}. Save one of your own from the commit to \
             compare with (`--save --baseline FILE`), then check against it",
            arguments.baseline.display(),
            baseline["place"],
        );
    }
    if arguments.check && baseline.is_none() {
        bail!("there is no baseline {}: `--save` makes one", arguments.baseline.display());
    }
    let counts = count_all(&arguments.broker)?;
    println!("| operation | instructions | baseline | change |\n|---|--:|--:|--:|");
    let mut passed = true;
    for (name, &count) in &counts {
        let known = baseline.as_ref().and_then(|baseline| baseline["instructions"][name].as_f64());
        let change = known.map(|known| count as f64 / known - 1.0);
        let regressed = change.is_some_and(|change| change > arguments.tolerance);
        passed &= !(arguments.check && regressed);
        let (known, change) = (known.map(|n| n.to_string()), change.map(|change| format!("{:+.1} %", change * 100.0)));
        let (known, change) = (known.as_deref().unwrap_or("-"), change.as_deref().unwrap_or("-"));
        println!("| {name} | {count} | {known} | {change}{} |", if regressed { " REGRESSED" } else { "" });
    }
    if arguments.save {
        let text = serde_json::to_string_pretty(&json!({"place": place, "instructions": counts}))?;
        let path = &arguments.baseline;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(passed)
}

/// Compiler and processor, for which counts hold.
fn place() -> Result<String> {
    let rustc = Command::new("rustc").arg("--version").output().context("cannot ask rustc for its version")?;
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    Ok(format!("{} on {}", String::from_utf8_lossy(&rustc.stdout).trim(), model.trim_start_matches(['\t', ' ', ':'])))
}

fn read_baseline(path: &Path) -> Result<Option<Value>> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn count_all(broker: &Path) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let this = std::env::current_exe().context("cannot find this program")?;
    for &operation in LIBRARY {
        eprintln!("{operation}");
        let run = |count: u64| {
            counted(|wrapper| {
                let status = Command::new(&wrapper[0])
                    .args(&wrapper[1..])
                    .arg(&this)
                    .args(["repeat", operation, &count.to_string()])
                    .stderr(Stdio::null())
                    .status()?;
                if status.success() { Ok(()) } else { bail!("`repeat {operation}` failed ({status})") }
            })
        };
        counts.insert(operation.to_owned(), per_operation(&run, REPEATS, 1)?);
    }
    for scenario in SCENARIOS {
        eprintln!("{}", scenario.name);
        let run = |bursts: u64| counted(|wrapper| drive(wrapper, broker, scenario, bursts));
        counts.insert(scenario.name.to_owned(), per_operation(&run, BURSTS, BURST)?);
    }
    for &(name, more, fewer, receivers) in DERIVED {
        counts.insert(name.to_owned(), ((counts[more] - counts[fewer]) as f64 / receivers).round() as u64);
    }
    Ok(counts)
}

/// Instructions of one operation, of which `run(n)` does `n` times `each`.
fn per_operation(run: &dyn Fn(u64) -> Result<u64>, n: u64, each: u64) -> Result<u64> {
    let (once, twice) = (run(n)?, run(2 * n)?);
    Ok((twice.saturating_sub(once) as f64 / (n * each) as f64).round() as u64)
}

/// Instructions of the program that `act` starts with the wrapper that it is given.
fn counted(act: impl FnOnce(&[String]) -> Result<()>) -> Result<u64> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = folder.path().join("callgrind.out");
    act(&["valgrind".into(), "--tool=callgrind".into(), format!("--callgrind-out-file={}", file.display())])?;
    let text = std::fs::read_to_string(&file).context("callgrind has written nothing")?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    total.and_then(|total| total.trim().parse().ok()).context("callgrind has written no total")
}

/// Bursts in lockstep through the broker.
fn drive(wrapper: &[String], broker: &Path, scenario: &Scenario, bursts: u64) -> Result<()> {
    let broker = Target::Ours(Some(1), false).start_under(wrapper, broker)?;
    let mut driver = Driver::new(broker.address, 256)?;
    for subscriber in driver.connect_all(scenario.subscribers, 0)? {
        driver.subscribe(subscriber, TOPIC, scenario.qos)?;
    }
    let publisher = driver.connect_all(1, 0)?.start;
    for _ in 0..bursts {
        let before = driver.seen.received;
        for _ in 0..BURST {
            driver.publish(publisher, TOPIC, scenario.qos);
        }
        // The answer comes when everything before it has been dealt with.
        driver.ping(publisher);
        driver.wait_for_answers(publisher, before + BURST * scenario.subscribers as u64)?;
    }
    broker.stop()?;
    Ok(())
}

/// Does an operation of the libraries so often.
pub(crate) fn repeat(operation: &str, count: u64) -> Result<()> {
    let v5 = operation.ends_with("5.0");
    let version = if v5 { Version::V5 } else { Version::V311 };
    let mut properties = PropertiesBuf::new();
    if v5 {
        properties.push(Property::ContentType("application/json"))?;
        properties.push(Property::UserProperty("unit", "degree"))?;
    }
    let properties = properties.as_properties();
    let mut bytes = Vec::new();
    encode(properties, version, &mut bytes)?;
    let mut index = FilterIndex::new();
    if operation.starts_with("route") {
        for filter in
            ["#", "+/#", "site/#", "site/+/device/#", "+/+/+/+", "+/+/device/+", "site/7/#", TOPIC, "site/7/+/#"]
        {
            index.get_or_insert_with(filter, || 0_u64);
        }
        for n in 0..10_000 {
            index.get_or_insert_with(&format!("site/+/device/{n}/#"), || n);
        }
    }
    let mut out = Vec::with_capacity(1024);
    let verb = operation.split([' ', ',']).next().unwrap_or_default().to_owned();
    for _ in 0..count {
        match verb.as_str() {
            "decode" => {
                let frame = Frame::split(black_box(&bytes), u32::MAX)?.context("the packet is whole")?;
                black_box(Packet::decode(&frame, version)?);
            }
            "encode" => {
                out.clear();
                encode(black_box(properties), version, &mut out)?;
                black_box(&out);
            }
            "route" => {
                let mut sum = 0;
                index.for_each_match(black_box(TOPIC), |value| sum += value);
                black_box(sum);
            }
            _ => bail!("no operation `{operation}`; there are: {}", LIBRARY.join("; ")),
        }
    }
    Ok(())
}

fn encode(properties: Properties<'_>, version: Version, out: &mut Vec<u8>) -> Result<()> {
    let payload = [b'x'; 256];
    let header = PublishHeader {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: TOPIC,
        packet_id: 7,
        properties,
        payload_len: payload.len(),
    };
    header.encode(version, out)?;
    out.extend_from_slice(&payload);
    Ok(())
}
