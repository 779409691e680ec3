//! A run of the prober, from its checks to its summary.

use std::io::{IsTerminal, stderr};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use mio::Events;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use pacer::NS_PER_S;
use pacer::schedule::Schedule;
use runlog::write::CounterRow;
use runlog::{Context, Edge, Event, EventKind, Meta, ProbeSummary, Role, RunDir, clock, order};
use serde_json::json;

use crate::args::Args;
use crate::pair::{KEEP_ALIVE_S, Pair, Settings, stop_signals};
use crate::probes::{Arrival, Probes};
use crate::recorder::{Batch, Recorder};
use crate::report;

/// Probes as the command line asks and prints the curve. What was measured is kept and shown even when it fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let measured = args.measured().map_err(anyhow::Error::msg)?;
    let context = Context::from_env()?;
    let remote = resolve(&args.host, args.port)?;
    let identity = identity();
    let settings = settings(args, remote, identity);
    let directory = args.run_dir.as_ref().map(RunDir::create).transpose()?;
    if let Some(directory) = &directory {
        write_meta(args, &settings, measured, context, directory)?;
    }
    let signals = stop_signals()?;
    let recorder = Recorder::start(directory.as_ref())?;
    let mut probes = Probes::new(identity, args.warmup, measured, args.timeout.as_nanos() as u64);
    let ended = probe(args, settings, signals, &mut probes, &recorder);
    let summary = summary(args, &probes, measured, &ended);
    if let Err(error) = &ended.outcome {
        // Where filing is what failed, this fails too, and `finish` says why.
        let event = Event::now(EventKind::Error, "prober failed").detail(json!({"error": format!("{error:#}")}));
        let _ = recorder.event(event);
    }
    let filed = recorder.finish(probes.lost());
    if summary.sent > 0 {
        print!("{}{}", report::guide_lines(&summary.latency_us), report::curve(&summary));
    }
    if let Some(directory) = &directory {
        directory.write_summary(&summary)?;
    }
    if let Some(path) = &args.json {
        write_json(path, &summary)?;
    }
    filed?;
    ended.outcome
}

/// How the probing ended.
struct Ended {
    outcome: Result<()>,
    elapsed_ns: u64,
}

/// Connects and probes.
fn probe(args: &Args, settings: Settings, signals: SignalFd, probes: &mut Probes, recorder: &Recorder) -> Ended {
    let mut pair = match Pair::open(settings, signals) {
        Ok(pair) => pair,
        Err(error) => return Ended { outcome: Err(error), elapsed_ns: 0 },
    };
    if let Err(error) = recorder.event(Event::now(EventKind::Phase, "ready")) {
        return Ended { outcome: Err(error), elapsed_ns: 0 };
    }
    // Not for a thread that never sleeps: it would keep its core from everybody.
    if !args.no_realtime && !args.busy_poll {
        let granted = json!({"granted": ask_for_realtime()});
        let _ = recorder.event(Event::now(EventKind::Note, "realtime priority").detail(granted));
    }
    eprintln!(
        "connected and subscribed; {} probes of warm-up, then {} measured",
        args.warmup,
        probes.planned() - u64::from(args.warmup)
    );
    let start_ns = clock::mono_ns() + START_DELAY_NS;
    probes.begin(schedule(args, start_ns));
    let mut outcome = Loop::new(args, &mut pair, probes, recorder).run();
    if outcome.is_ok() && probes.counts().sent > 0 && probes.counts().received == 0 {
        outcome =
            Err(anyhow::anyhow!("not one of {} probes came back within {:?}", probes.counts().sent, args.timeout));
    }
    pair.close();
    Ended { outcome, elapsed_ns: clock::mono_ns().saturating_sub(start_ns) }
}

/// The measuring loop and what it keeps between turns.
struct Loop<'a> {
    pair: &'a mut Pair,
    probes: &'a mut Probes,
    recorder: &'a Recorder,
    batch: Batch,
    batch_start_ns: u64,
    batch_capacity: usize,
    measuring: bool,
    received_bytes: u64,
    payload_bytes: u64,
    spin_ns: u64,
    busy_poll: bool,
    next_ping_ns: u64,
    /// The signal that ended the sending, and how long to wait for what is under way.
    stopped: Option<(Signal, u64)>,
    progress: Option<ProgressBar>,
}

impl<'a> Loop<'a> {
    fn new(args: &Args, pair: &'a mut Pair, probes: &'a mut Probes, recorder: &'a Recorder) -> Loop<'a> {
        let now_ns = clock::mono_ns();
        // Twice what is due within a batch: a burst after a stall may ask for more memory, a calm run never does.
        let batch_capacity = (2 * BATCH_NS / args.interval_ns()) as usize + 16;
        Loop {
            progress: progress(probes.planned()),
            pair,
            probes,
            recorder,
            batch: Batch::begin(batch_capacity),
            batch_start_ns: now_ns,
            batch_capacity,
            measuring: false,
            received_bytes: 0,
            payload_bytes: u64::from(args.payload),
            // Never more than a tenth of the time.
            spin_ns: (args.spin.as_nanos() as u64).min(args.interval_ns() / 10),
            busy_poll: args.busy_poll,
            next_ping_ns: now_ns + PING_NS,
            stopped: None,
        }
    }

    fn run(&mut self) -> Result<()> {
        let outcome = self.run_to_end();
        let marked = if self.measuring { self.mark_measure(Edge::End) } else { Ok(()) };
        let filed = self.end_batch(clock::mono_ns());
        outcome.and(marked).and(filed)
    }

    fn run_to_end(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(8);
        loop {
            let now_ns = clock::mono_ns();
            self.send_due(now_ns)?;
            self.housekeeping(now_ns)?;
            self.heed_signal(now_ns);
            if self.is_over(now_ns) {
                return self.verdict();
            }
            let until_ns = self.sleep_until(now_ns);
            let Self { pair, probes, batch, received_bytes, payload_bytes, .. } = self;
            pair.turn(&mut events, until_ns, |payload, received_ns| match probes.arrived(payload, received_ns) {
                Arrival::Measured(number, probe) => {
                    batch.probes.push((number, probe));
                    *received_bytes += *payload_bytes;
                }
                Arrival::Warmup | Arrival::Duplicate | Arrival::Corrupted | Arrival::Foreign => {}
            })?;
        }
    }

    /// A signal ends the sending; what is under way may still come back for a moment.
    fn heed_signal(&mut self, now_ns: u64) {
        if self.stopped.is_none()
            && let Some(signal) = self.pair.stopped_by()
        {
            self.stopped = Some((signal, now_ns + GRACE_NS));
            self.probes.cut_short();
        }
    }

    fn is_over(&self, now_ns: u64) -> bool {
        let grace_over = self.stopped.is_some_and(|(_, until_ns)| now_ns >= until_ns);
        let given_up = self.probes.give_up_ns().is_some_and(|give_up_ns| now_ns >= give_up_ns);
        self.probes.is_done() || grace_over || given_up
    }

    fn verdict(&self) -> Result<()> {
        let Some((signal, _)) = self.stopped else { return Ok(()) };
        bail!("stopped by {signal} after {} measured probes; what came back is kept", self.probes.counts().sent);
    }

    fn send_due(&mut self, mut now_ns: u64) -> Result<()> {
        while self.pair.may_publish() {
            let begins = !self.measuring && self.probes.is_measuring();
            let Some(stamp) = self.probes.take_due(now_ns) else { return Ok(()) };
            self.pair.publish(stamp, now_ns)?;
            if begins {
                self.measuring = true;
                self.mark_measure(Edge::Begin)?;
            }
            // A probe that waited behind others was sent when they were, not when the turn began.
            now_ns = clock::mono_ns();
        }
        Ok(())
    }

    /// Once a second: files what was measured, keeps connections alive, shows progress.
    fn housekeeping(&mut self, now_ns: u64) -> Result<()> {
        if now_ns < self.batch_start_ns + BATCH_NS {
            return Ok(());
        }
        self.end_batch(now_ns)?;
        if now_ns >= self.next_ping_ns {
            self.next_ping_ns = now_ns + PING_NS;
            self.pair.ping()?;
        }
        if let Some(progress) = &self.progress {
            progress.set_position(self.probes.sent_with_warmup());
        }
        Ok(())
    }

    fn end_batch(&mut self, now_ns: u64) -> Result<()> {
        let next = Batch::begin(self.batch_capacity);
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.length_ns = now_ns - self.batch_start_ns;
        batch.counters = self.counters(now_ns);
        self.batch_start_ns = now_ns;
        self.recorder.batch(batch)
    }

    fn mark_measure(&self, edge: Edge) -> Result<()> {
        self.recorder.event(Event::now(EventKind::Phase, "measure").edge(edge))
    }

    fn counters(&self, now_ns: u64) -> CounterRow {
        let counts = self.probes.counts();
        CounterRow {
            mono_ns: now_ns,
            wall_ns: clock::wall_ns(),
            connected: 2,
            connect_succ: 2,
            offered: counts.sent,
            attempted: counts.sent,
            written: counts.sent,
            acked: self.pair.acked(),
            received: counts.received,
            received_bytes: self.received_bytes,
            duplicated: counts.duplicated,
            out_of_order: counts.out_of_order,
            corrupted: counts.corrupted,
            self_cpu_us: clock::self_cpu_ns() / 1_000,
            ..CounterRow::default()
        }
    }

    /// When to wake if nothing happens; 0: not to sleep at all.
    fn sleep_until(&self, now_ns: u64) -> u64 {
        let beat_ns = self.batch_start_ns + BATCH_NS;
        // A probe that the broker's window holds back is sent when an acknowledgement arrives, not at a time.
        let due_ns = self.probes.next_due_ns().filter(|_| self.pair.may_publish()).map(|due_ns| due_ns - self.spin_ns);
        let grace_ns = self.stopped.map(|(_, until_ns)| until_ns);
        let until_ns = [due_ns, self.probes.give_up_ns(), grace_ns].into_iter().flatten().fold(beat_ns, u64::min);
        if self.busy_poll || until_ns <= now_ns { 0 } else { until_ns }
    }
}

fn summary(args: &Args, probes: &Probes, measured: u32, ended: &Ended) -> ProbeSummary {
    let [latency_us, uncorrected_latency_us, send_lag_us] = probes.curves();
    let counts = probes.counts();
    ProbeSummary {
        tool: TOOL.to_owned(),
        ok: ended.outcome.is_ok(),
        failures: ended.outcome.as_ref().err().map(|error| format!("{error:#}")).into_iter().collect(),
        sent: counts.sent,
        received: counts.received,
        lost: probes.lost().count() as u64,
        duplicated: counts.duplicated,
        out_of_order: counts.out_of_order,
        corrupted: counts.corrupted,
        late: counts.late,
        planned: measured.into(),
        interval_us: args.interval.as_micros() as u64,
        qos: args.qos as u8,
        payload_bytes: args.payload.into(),
        warmup: args.warmup.into(),
        highest_percentile: 100.0 * order::highest_quantile(latency_us.count),
        latency_us,
        uncorrected_latency_us,
        send_lag_us,
        elapsed_s: ended.elapsed_ns as f64 / NS_PER_S as f64,
        self_cpu_us: clock::self_cpu_ns() / 1_000,
    }
}

fn schedule(args: &Args, start_ns: u64) -> Schedule {
    if args.poisson {
        Schedule::poisson(start_ns, 1.0 / args.interval.as_secs_f64(), args.seed)
    } else {
        Schedule::every(start_ns, args.interval_ns())
    }
}

fn settings(args: &Args, remote: SocketAddr, identity: u32) -> Settings {
    Settings {
        remote,
        version: args.protocol,
        qos: args.qos,
        topic: args.topic.clone().unwrap_or_else(|| format!("prober/{identity:08x}")),
        username: args.username.clone(),
        password: args.password.clone(),
        prefix: format!("prober-{identity:08x}"),
        payload_bytes: args.payload as usize,
        in_flight_max: args.inflight,
        timeout: CONNECT_TIMEOUT,
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    let addresses = (host, port).to_socket_addrs().with_context(|| format!("cannot resolve host {host:?}"))?;
    // Brokers that listen on one family listen on IPv4: `localhost` must not end at an IPv6 port that nobody has.
    let addresses: Vec<SocketAddr> = addresses.collect();
    let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    preferred.copied().with_context(|| format!("host {host:?} has no address"))
}

/// A number that no other run has: names the clients and the topic, and marks the payloads.
fn identity() -> u32 {
    let mut rng = pacer::rng::Rng::new(clock::wall_ns() ^ u64::from(std::process::id()) << 40);
    rng.next_u64() as u32
}

fn write_meta(
    args: &Args,
    settings: &Settings,
    measured: u32,
    context: Option<Context>,
    directory: &RunDir,
) -> Result<()> {
    let mut meta = Meta::of_this_process(TOOL, runlog::VERSION, Role::Prober, &args.tag, context);
    meta.seed = args.poisson.then_some(args.seed);
    meta.config = json!({
        "remote": settings.remote.to_string(),
        "version": settings.version.level(),
        "qos": settings.qos as u8,
        "topic": settings.topic,
        "payload_bytes": settings.payload_bytes,
        "count": measured,
        "warmup": args.warmup,
        "interval_us": args.interval.as_micros() as u64,
        "in_flight_max": settings.in_flight_max,
        "schedule": if args.poisson { "poisson" } else { "even" },
        "timeout_us": args.timeout.as_micros() as u64,
        "spin_us": args.spin.as_micros() as u64,
        "busy_poll": args.busy_poll,
    });
    directory.write_meta(&meta).context("cannot describe the run")
}

fn write_json(path: &Path, summary: &ProbeSummary) -> Result<()> {
    let text = serde_json::to_vec_pretty(summary).context("cannot encode the summary")?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Asks for the lowest real-time priority for this thread: enough to run before everything that has none, so that what is
/// measured is the broker and not the prober's turn to run.
fn ask_for_realtime() -> bool {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to a live `sched_param`; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) == 0 }
}

fn progress(planned: u64) -> Option<ProgressBar> {
    if !stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} probes, {eta} left");
    let bar = ProgressBar::new(planned);
    bar.set_style(style.expect("a constant template that indicatif accepts"));
    Some(bar)
}

const TOOL: &str = "prober";

/// One interval of `latency.hlog`.
const BATCH_NS: u64 = NS_PER_S;

const PING_NS: u64 = KEEP_ALIVE_S as u64 * NS_PER_S / 3;

/// Between the handshake and the first due time: what the handshake stirred up settles.
const START_DELAY_NS: u64 = 20_000_000;

/// How long after a signal probes that are under way may still come back.
const GRACE_NS: u64 = NS_PER_S;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
