//! The cost table: for each row what is done, what is measured, and what is to be reached.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use mqtt_wire::QoS;

use crate::driver::Driver;
use crate::hold::Held;
use crate::index;
use crate::load::{self, LoadWork};
use crate::steadiness::Steadiness;
use crate::table::short;
use crate::target::{Running, Target, counter};

/// One row.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What our broker is to reach.
    pub(crate) goals: &'static [Goal],
    work: Work,
}

/// A figure and its bound.
pub(crate) struct Goal {
    pub(crate) figure: &'static str,
    pub(crate) bound: Bound,
}

/// What a figure is held against.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// At most so many times the floor's.
    TimesFloor(f64),
    /// At least so many times the same broker's figure in another row.
    OfRow(f64, &'static str),
}

enum Work {
    Idle,
    Flow(Flow),
    Flood,
    SlowConsumer(QoS),
    /// `true`: without a word, found out by keep-alive; `false`: with resets.
    Vanish(bool),
    AmongIdle,
    Storm,
    Group,
    Index,
    Load(LoadWork),
}

/// Publishers and subscribers.
#[derive(Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) publishers: usize,
    /// Each on a topic of its own with one subscriber; else all on one topic with as many subscribers.
    pub(crate) pairs: bool,
    pub(crate) qos: QoS,
    /// Messages a second over all publishers; `None`: as many as the sockets take.
    pub(crate) rate: Option<f64>,
}

/// How much is done.
pub(crate) struct Setting {
    pub(crate) broker: PathBuf,
    pub(crate) loadgen: PathBuf,
    pub(crate) seconds: f64,
    pub(crate) flood_seconds: f64,
    /// Idle connections.
    pub(crate) connections: usize,
}

/// Names and values of one measurement.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// Connections of the rows about idle ones, where the machine lets a process have so many.
pub(crate) const IDLE_CONNECTIONS: usize = 18_000;
/// Open files without which no row makes sense.
pub(crate) const FILES_NEEDED: u64 = 12_000;

pub(crate) const PAYLOAD_BYTES: usize = 256;
/// Messages a second: half of 100,000, the highest rate tried at which our load generator, with the floor on the same two
/// processors, still sent half of the messages less than half a millisecond after they were due (150,000: 1.6 ms).
const HALF_LOAD: f64 = 50_000.0;
const WARM_UP_S: f64 = 1.0;
pub(crate) const MIB: f64 = 1024.0 * 1024.0;
const FAN: Flow = Flow { publishers: 10, pairs: false, qos: QoS::AtMostOnce, rate: None };
pub(crate) const PAIRS: Flow = Flow { publishers: 500, pairs: true, qos: QoS::AtMostOnce, rate: None };

const fn goal(figure: &'static str, bound: Bound) -> Goal {
    Goal { figure, bound }
}

/// The table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "idle",
        title: "18,000 idle connections, client identifiers of 36 bytes",
        goals: &[
            goal("bytes_per_conn", Bound::AtMost(300.0)),
            goal("empty_mib", Bound::AtMost(10.0)),
            goal("cpu_us_per_conn", Bound::TimesFloor(1.5)),
        ],
        work: Work::Idle,
    },
    Row {
        name: "one-pair",
        title: "one pair, QoS 0, 1,000 messages/s: what a turn costs that has one message",
        goals: &[],
        work: Work::Flow(ONE_PAIR),
    },
    Row {
        name: "fan-q0",
        title: "10 publishers, 10 subscribers, one topic, QoS 0, 3,000 messages/s in",
        goals: &[goal("cpu_us_per_msg", Bound::TimesFloor(1.4))],
        work: Work::Flow(Flow { rate: Some(3_000.0), ..FAN }),
    },
    Row {
        name: "fan-q1-max",
        title: "the same at QoS 1, flat out",
        goals: &[goal("out_per_s", Bound::AtLeast(4e6))],
        work: Work::Flow(Flow { qos: QoS::AtLeastOnce, ..FAN }),
    },
    Row {
        name: "pairs-q0",
        title: "500 publishers, each with a topic and a subscriber of its own, QoS 0, 15,000 messages/s",
        goals: &[goal("cpu_us_per_msg", Bound::TimesFloor(1.4)), goal("p99_us", Bound::TimesFloor(1.5))],
        work: Work::Flow(Flow { rate: Some(15_000.0), ..PAIRS }),
    },
    Row {
        name: "pairs-q1-max",
        title: "the same at QoS 1, flat out",
        goals: &[goal("out_per_s", Bound::AtLeast(450e3))],
        work: Work::Flow(Flow { qos: QoS::AtLeastOnce, ..PAIRS }),
    },
    Row {
        name: "pairs-q2-max",
        title: "the same at QoS 2, flat out",
        goals: &[goal("out_per_s", Bound::OfRow(0.45, "pairs-q1-max"))],
        work: Work::Flow(Flow { qos: QoS::ExactlyOnce, ..PAIRS }),
    },
    Row {
        name: "flood",
        title: "10 publishers as fast as sockets allow, 10 subscribers, QoS 0, for a minute",
        goals: &[goal("worst_second_of_best", Bound::AtLeast(0.9)), goal("rss_growth_mib", Bound::AtMost(8.0))],
        work: Work::Flood,
    },
    Row {
        name: "slow-q0",
        title: "10 pairs, QoS 0, 2,000 messages/s; then one more subscriber of everything that reads nothing",
        goals: &[goal("p99_times_before", Bound::AtMost(1.2)), goal("rss_mib", Bound::AtMost(64.0))],
        work: Work::SlowConsumer(QoS::AtMostOnce),
    },
    Row {
        name: "slow-q1",
        title: "the same at QoS 1",
        goals: &[goal("p99_times_before", Bound::AtMost(1.2)), goal("rss_mib", Bound::AtMost(64.0))],
        work: Work::SlowConsumer(QoS::AtLeastOnce),
    },
    Row {
        name: "vanish-reset",
        title: "18,000 clients are reset at once; a flow of 1,000 messages/s goes on",
        goals: &[
            goal("p99_us", Bound::AtMost(5_000.0)),
            goal("lost", Bound::AtMost(0.0)),
            goal("sessions_left", Bound::AtMost(0.0)),
        ],
        work: Work::Vanish(false),
    },
    Row {
        name: "vanish-silent",
        title: "18,000 clients fall silent at once and are given up by keep-alive; a flow of 1,000 messages/s goes on",
        goals: &[
            goal("p99_us", Bound::AtMost(5_000.0)),
            goal("lost", Bound::AtMost(0.0)),
            goal("sessions_left", Bound::AtMost(0.0)),
        ],
        work: Work::Vanish(true),
    },
    Row {
        name: "among-idle",
        title: "one pair, 100 messages/s, among 10,000 idle connections",
        goals: &[goal("p50_us", Bound::TimesFloor(1.5)), goal("p99_us", Bound::TimesFloor(1.5))],
        work: Work::AmongIdle,
    },
    Row {
        name: "storm",
        title: "10,000 connections at 4,000/s: from connecting to CONNACK",
        goals: &[goal("connack_p99_us", Bound::TimesFloor(1.5))],
        work: Work::Storm,
    },
    Row {
        name: "group",
        title: "10,000 members join one shared subscription one after another, then leave it",
        goals: &[goal("last_join_of_first", Bound::AtMost(1.5)), goal("first_leave_of_last", Bound::AtMost(1.5))],
        work: Work::Group,
    },
    Row {
        name: "index",
        title: "a million wildcard filters, topics that match ten of them",
        goals: &[goal("lookup_us", Bound::AtMost(2.0)), goal("bytes_beyond_text", Bound::AtMost(100.0))],
        work: Work::Index,
    },
    Row {
        name: "load-idle",
        title: "our load generator: 18,000 connections that only keep alive",
        goals: &[goal("bytes_per_conn", Bound::AtMost(300.0))],
        work: Work::Load(LoadWork::Idle),
    },
    Row {
        name: "load-pairs",
        title: "our load generator: 500 pairs at QoS 0, 15,000 messages/s, all accounting on",
        goals: &[goal("cpu_us_per_msg", Bound::TimesFloor(1.3))],
        work: Work::Load(LoadWork::Pairs(15_000.0)),
    },
    Row {
        name: "load-half",
        title: "our load generator: the same at half of what it can do",
        goals: &[goal("send_lag_p99_us", Bound::AtMost(1_000.0))],
        work: Work::Load(LoadWork::Pairs(HALF_LOAD)),
    },
    Row {
        name: "load-steady",
        title: "our load generator: 500 pairs at QoS 0, 15,000 messages/s, for a minute",
        goals: &[goal("rss_growth_mib", Bound::AtMost(1.0))],
        work: Work::Load(LoadWork::Steady(15_000.0)),
    },
    Row {
        name: "load-storm",
        title: "our load generator: 18,000 connections from five addresses, as fast as possible",
        goals: &[goal("connections_per_s", Bound::AtLeast(20e3))],
        work: Work::Load(LoadWork::Storm),
    },
];

impl Row {
    /// Whether the row makes sense for a target.
    pub(crate) fn applies_to(&self, target: &Target) -> bool {
        match self.work {
            Work::Index => matches!(target, Target::Ours(..)),
            // Of several kinds of our broker none is loaded: once is enough.
            Work::Load(work) => work.applies_to(target),
            // The floor has no QoS 2, no keep-alive and no bound on what waits for a slow consumer.
            Work::Flow(Flow { qos: QoS::ExactlyOnce, .. })
            | Work::SlowConsumer(_)
            | Work::Vanish(true)
            | Work::Group => *target != Target::Floor,
            _ => true,
        }
    }

    /// Whether it measures our load generator and not the broker.
    pub(crate) fn is_about_load(&self) -> bool {
        matches!(self.work, Work::Load(_))
    }

    /// The goals as text.
    pub(crate) fn goals(&self) -> String {
        self.goals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Starts the target and measures once.
    pub(crate) fn measure(&self, target: &Target, setting: &Setting) -> Result<Figures> {
        match self.work {
            Work::Index => return index::measure(),
            Work::Load(work) => return load::measure(target, work, setting),
            _ => {}
        }
        let broker = target.start(&setting.broker)?;
        let mut figures = match self.work {
            Work::Idle => idle(&broker, setting)?,
            Work::Flow(flow) => run_flow(&broker, flow, setting.seconds)?,
            Work::Flood => flood(&broker, setting.flood_seconds)?,
            Work::SlowConsumer(qos) => slow_consumer(&broker, qos, setting.seconds)?,
            Work::Vanish(silent) => vanish(target, &broker, silent, setting)?,
            Work::AmongIdle => among_idle(&broker, setting.seconds)?,
            Work::Storm => storm(&broker)?,
            Work::Group => group(&broker)?,
            Work::Index | Work::Load(_) => unreachable!("done above"),
        };
        let log = broker.stop()?;
        let counters =
            ["dropped_slow_qos0", "dropped_queue_full", "dropped_memory", "publisher_pauses", "worker_pauses"];
        figures.extend(counters.iter().filter_map(|&name| Some((name, counter(&log, name).filter(|&n| n > 0.0)?))));
        Ok(figures)
    }
}

fn idle(broker: &Running, setting: &Setting) -> Result<Figures> {
    std::thread::sleep(Duration::from_millis(500));
    let (empty, cpu_ns) = (broker.rss_bytes()? as f64, broker.cpu_ns()?);
    let mut driver = Driver::new(broker.address, 8)?;
    let count = driver.connect_all(setting.connections, 0)?.len() as f64;
    let used_ns = (broker.cpu_ns()? - cpu_ns) as f64;
    // What the storm needed for a moment is given back by then.
    std::thread::sleep(Duration::from_secs(1));
    Ok(vec![
        ("bytes_per_conn", (broker.rss_bytes()? as f64 - empty) / count),
        ("empty_mib", empty / MIB),
        ("cpu_us_per_conn", used_ns / 1e3 / count),
    ])
}

/// Clients of a flow: publishers with their topics.
pub(crate) struct Prepared {
    publishers: Vec<(usize, String)>,
    receivers: usize,
}

pub(crate) fn prepare(driver: &mut Driver, flow: Flow) -> Result<Prepared> {
    let subscribers = driver.connect_all(flow.publishers, 0)?;
    let topics: Vec<String> = (0..flow.publishers)
        .map(|number| {
            format!("bench/{}/{}", if flow.pairs { "pairs" } else { "fan" }, if flow.pairs { number } else { 0 })
        })
        .collect();
    for (subscriber, topic) in subscribers.zip(&topics) {
        driver.subscribe(subscriber, topic, flow.qos)?;
    }
    let publishers = driver.connect_all(flow.publishers, 0)?;
    let receivers = if flow.pairs { 1 } else { flow.publishers };
    Ok(Prepared { publishers: publishers.zip(topics).collect(), receivers })
}

/// Publishes for so many seconds; calls `each_second` at every whole one.
pub(crate) fn publish_for(
    driver: &mut Driver,
    prepared: &Prepared,
    flow: Flow,
    seconds: f64,
    mut each_second: impl FnMut(&mut Driver) -> Result<()>,
) -> Result<()> {
    let (start_ns, mut made, mut second) = (driver.now_ns(), 0_u64, 1.0);
    // As a burst for each turn of the driver: large enough to fill the broker's reads, small enough to stay fair.
    let burst = if flow.pairs { 4 } else { 32 };
    loop {
        let elapsed_s = (driver.now_ns() - start_ns) as f64 / 1e9;
        if elapsed_s >= seconds {
            return Ok(());
        }
        if elapsed_s >= second {
            second += 1.0;
            each_second(driver)?;
        }
        if let Some(rate) = flow.rate {
            let due = (elapsed_s * rate) as u64;
            while made < due {
                let (number, topic) = &prepared.publishers[made as usize % prepared.publishers.len()];
                driver.publish(*number, topic, flow.qos);
                driver.flush(*number);
                made += 1;
            }
            driver.pump(Duration::from_millis(1))?;
        } else {
            for (number, topic) in &prepared.publishers {
                if (0..burst).map_while(|_| driver.publish(*number, topic, flow.qos).then_some(())).count() > 0 {
                    driver.flush(*number);
                }
            }
            driver.pump(Duration::ZERO)?;
        }
    }
}

fn run_flow(broker: &Running, flow: Flow, seconds: f64) -> Result<Figures> {
    let mut driver = Driver::new(broker.address, PAYLOAD_BYTES)?;
    let prepared = prepare(&mut driver, flow)?;
    publish_for(&mut driver, &prepared, flow, WARM_UP_S, |_| Ok(()))?;
    driver.seen.reset();
    let (cpu_ns, start_ns) = (broker.cpu_ns()?, driver.now_ns());
    publish_for(&mut driver, &prepared, flow, seconds, |_| Ok(()))?;
    let (used_ns, took_s) = ((broker.cpu_ns()? - cpu_ns) as f64, (driver.now_ns() - start_ns) as f64 / 1e9);
    let seen = &driver.seen;
    if seen.received == 0 || seen.closed > 0 {
        bail!("{} messages received, {} connections closed by the broker", seen.received, seen.closed);
    }
    Ok(vec![
        ("out_per_s", seen.received as f64 / took_s),
        ("cpu_us_per_msg", used_ns / 1e3 / seen.received as f64),
        ("cpu_share", used_ns / 1e9 / took_s),
        ("p50_us", seen.latency_us(50.0)),
        ("p99_us", seen.latency_us(99.0)),
        ("rss_mib", broker.rss_bytes()? as f64 / MIB),
    ])
}

fn flood(broker: &Running, seconds: f64) -> Result<Figures> {
    let mut driver = Driver::new(broker.address, PAYLOAD_BYTES)?;
    let prepared = prepare(&mut driver, FAN)?;
    publish_for(&mut driver, &prepared, FAN, WARM_UP_S, |_| Ok(()))?;
    driver.seen.reset();
    let machine = Steadiness::watch();
    // By the clock: a driver that comes late to one second makes the next one short.
    let (mut last, mut last_ns, mut rates, mut rss) = (0, driver.now_ns(), Vec::new(), Vec::new());
    publish_for(&mut driver, &prepared, FAN, seconds, |driver| {
        let now_ns = driver.now_ns();
        rates.push((driver.seen.received - last) as f64 * 1e9 / (now_ns - last_ns) as f64);
        (last, last_ns) = (driver.seen.received, now_ns);
        rss.push(broker.rss_bytes()? as f64 / MIB);
        Ok(())
    })?;
    let machine = machine.worst_second_of_best()?;
    let (best, worst) = rates.iter().fold((0.0_f64, f64::INFINITY), |(best, worst), &n| (best.max(n), worst.min(n)));
    eprintln!("  second by second: {}", rates.iter().copied().map(short).collect::<Vec<_>>().join(" "));
    // What the flood needed for a moment is given back by then.
    let drained_ns = driver.now_ns() + 2_000_000_000;
    while driver.now_ns() < drained_ns {
        driver.pump(Duration::from_millis(10))?;
    }
    let settled = rss.get(rss.len() / 6).copied().unwrap_or_default();
    Ok(vec![
        ("out_per_s", driver.seen.received as f64 / seconds),
        ("worst_second_of_best", worst / best),
        ("machine_worst_second_of_best", machine),
        ("rss_mib", rss.iter().copied().fold(0.0, f64::max)),
        ("rss_after_mib", broker.rss_bytes()? as f64 / MIB),
        ("rss_growth_mib", rss.last().copied().unwrap_or_default() - settled),
        ("delivered_share", driver.seen.received as f64 / (driver.seen.sent * prepared.receivers as u64) as f64),
    ])
}

fn slow_consumer(broker: &Running, qos: QoS, seconds: f64) -> Result<Figures> {
    let flow = Flow { publishers: 10, pairs: true, qos, rate: Some(2_000.0) };
    let mut driver = Driver::new(broker.address, 1024)?;
    let prepared = prepare(&mut driver, flow)?;
    publish_for(&mut driver, &prepared, flow, WARM_UP_S, |_| Ok(()))?;
    driver.seen.reset();
    publish_for(&mut driver, &prepared, flow, seconds, |_| Ok(()))?;
    let before_us = driver.seen.latency_us(99.0);
    let slow = driver.connect_all(1, 0)?.start;
    driver.subscribe(slow, "bench/#", qos)?;
    driver.stop_reading(slow);
    // Until what the kernel holds for it is full, it is not slow.
    publish_for(&mut driver, &prepared, flow, WARM_UP_S + 3.0, |_| Ok(()))?;
    driver.seen.reset();
    publish_for(&mut driver, &prepared, flow, seconds, |_| Ok(()))?;
    Ok(vec![
        ("p99_us", driver.seen.latency_us(99.0)),
        ("p99_times_before", driver.seen.latency_us(99.0) / before_us),
        ("out_per_s", driver.seen.received as f64 / seconds),
        ("rss_mib", broker.rss_bytes()? as f64 / MIB),
    ])
}

const ONE_PAIR: Flow = Flow { publishers: 1, pairs: true, qos: QoS::AtMostOnce, rate: Some(1_000.0) };

fn vanish(target: &Target, broker: &Running, silent: bool, setting: &Setting) -> Result<Figures> {
    let keep_alive_s = if silent { 10 } else { 0 };
    let mut held = Held::start(broker.address, setting.connections, keep_alive_s)?;
    let full_mib = broker.rss_bytes()? as f64 / MIB;
    let mut driver = Driver::new(broker.address, PAYLOAD_BYTES)?;
    let prepared = prepare(&mut driver, ONE_PAIR)?;
    publish_for(&mut driver, &prepared, ONE_PAIR, WARM_UP_S, |_| Ok(()))?;
    driver.seen.reset();
    let cpu_ns = broker.cpu_ns()?;
    if silent {
        // Given up after one and a half times the keep-alive; then the closing handshakes are given up.
        held.silence()?;
        driver.pump(Duration::ZERO)?;
        publish_for(&mut driver, &prepared, ONE_PAIR, 14.5, |_| Ok(()))?;
        driver.seen.reset();
        publish_for(&mut driver, &prepared, ONE_PAIR, 4.0, |_| Ok(()))?;
    } else {
        held.kill()?;
        publish_for(&mut driver, &prepared, ONE_PAIR, 2.0, |_| Ok(()))?;
    }
    driver.pump(Duration::from_millis(200))?;
    let (rss_mib, used_ns) = (broker.rss_bytes()? as f64 / MIB, broker.cpu_ns()? - cpu_ns);
    let mut figures = vec![
        ("p50_us", driver.seen.latency_us(50.0)),
        ("p99_us", driver.seen.latency_us(99.0)),
        ("max_us", driver.seen.latency_ns.max() as f64 / 1e3),
        ("lost", driver.seen.sent.saturating_sub(driver.seen.received) as f64),
        ("cpu_us_per_conn", used_ns as f64 / 1e3 / setting.connections as f64),
        ("rss_before_mib", full_mib),
        ("rss_mib", rss_mib),
    ];
    // Only ours can be asked: another program might take the signal for its end.
    if *target != Target::Floor && *target != Target::Mosquitto {
        let report = broker.report()?.unwrap_or_default();
        let left = |name| counter(&report, name).map(|held| held - 2.0);
        figures.extend(
            [("connections_left", left("connections")), ("sessions_left", left("sessions"))]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    }
    Ok(figures)
}

fn among_idle(broker: &Running, seconds: f64) -> Result<Figures> {
    let held = Held::start(broker.address, 10_000, 60)?;
    let mut driver = Driver::new(broker.address, PAYLOAD_BYTES)?;
    let flow = Flow { rate: Some(100.0), ..ONE_PAIR };
    let prepared = prepare(&mut driver, flow)?;
    publish_for(&mut driver, &prepared, flow, WARM_UP_S, |_| Ok(()))?;
    driver.seen.reset();
    publish_for(&mut driver, &prepared, flow, seconds.max(5.0), |_| Ok(()))?;
    drop(held);
    Ok(vec![("p50_us", driver.seen.latency_us(50.0)), ("p99_us", driver.seen.latency_us(99.0))])
}

fn storm(broker: &Running) -> Result<Figures> {
    let mut driver = Driver::new(broker.address, 8)?;
    driver.connect_paced(10_000, 4_000.0)?;
    let connect_us = |percentile| driver.seen.connect_ns.value_at_percentile(percentile) as f64 / 1e3;
    Ok(vec![("connack_p50_us", connect_us(50.0)), ("connack_p99_us", connect_us(99.0))])
}

/// Processor time of joining and leaving while the group is small, and while it is large.
fn group(broker: &Running) -> Result<Figures> {
    const MEMBERS: usize = 10_000;
    const FILTER: &str = "$share/bench/bench/group";
    let mut driver = Driver::new(broker.address, 8)?;
    let members: Vec<usize> = driver.connect_all(MEMBERS, 0)?.collect();
    let mut of_tenths = |step: fn(&mut Driver, usize) -> Result<()>| -> Result<(f64, f64)> {
        let (mut first_us, mut last_us) = (0.0, 0.0);
        for tenth in members.chunks(MEMBERS / 10) {
            let before_ns = broker.cpu_ns()?;
            tenth.iter().try_for_each(|&member| step(&mut driver, member))?;
            last_us = (broker.cpu_ns()? - before_ns) as f64 / 1e3 / tenth.len() as f64;
            first_us = if first_us == 0.0 { last_us } else { first_us };
        }
        Ok((first_us, last_us))
    };
    let (first_join, last_join) = of_tenths(|driver, member| driver.subscribe(member, FILTER, QoS::AtMostOnce))?;
    let (first_leave, last_leave) = of_tenths(|driver, member| driver.unsubscribe(member, FILTER))?;
    Ok(vec![
        ("first_join_us", first_join),
        ("last_join_us", last_join),
        ("last_join_of_first", last_join / first_join),
        ("first_leave_us", first_leave),
        ("last_leave_us", last_leave),
        ("first_leave_of_last", first_leave / last_leave),
    ])
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { figure, bound } = self;
        match bound {
            Bound::AtMost(most) => write!(f, "{figure} at most {most}"),
            Bound::AtLeast(least) => write!(f, "{figure} at least {least}"),
            Bound::TimesFloor(times) => write!(f, "{figure} at most {times} x floor"),
            Bound::OfRow(share, row) => write!(f, "{figure} at least {share} x that of {row}"),
        }
    }
}
