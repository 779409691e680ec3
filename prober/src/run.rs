//! A run of the prober, from its checks to its summary.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::sys::signalfd::SignalFd;
use pacer::NS_PER_S;
use runlog::{Context, Event, EventKind, FloorSummary, Meta, ProbeSummary, Role, RunDir, clock, order};
use serde_json::json;

use crate::args::{Args, Client};
use crate::library;
use crate::probes;
use crate::recorder::Recorder;
use crate::report;
use crate::session::Session;
use crate::settings::Settings;
use crate::wire::{Wire, stop_signals};

/// Probes as the command line asks and prints the curve. What was measured is kept and shown even when it fails.
///
/// # Errors
/// What was asked for cannot be, the broker cannot be reached or went away, or the run was stopped too early.
pub fn run(args: &Args) -> Result<()> {
    let context = Context::from_env()?;
    let settings = Settings::new(args)?;
    let directory = args.run_dir.as_ref().map(RunDir::create).transpose()?;
    if let Some(directory) = &directory {
        write_meta(args, &settings, context, directory)?;
    }
    let signals = stop_signals()?;
    let recorder = Recorder::start(directory.as_ref())?;
    let mut session = Session::new(args, &settings, &recorder);
    let mut ended = match args.client {
        Client::Native => probe(args, &settings, signals, &mut session, &recorder),
        Client::Rumqttc => library::probe(args, &settings, signals, &mut session, &recorder),
    };
    if args.strict && ended.outcome.is_ok() {
        ended.outcome = flawless(&session);
    }
    if let Err(error) = &ended.outcome {
        // Where filing is what failed, this fails too, and `finish` says why.
        let event = Event::now(EventKind::Error, "prober failed").detail(json!({"error": format!("{error:#}")}));
        let _ = recorder.event(event);
    }
    let summary = summary(args, &settings, &session, &ended);
    let lost = (0..).zip(session.books()).flat_map(|(pair, book)| book.lost().map(move |(n, probe)| (pair, n, probe)));
    let lost: Vec<_> = lost.collect();
    drop(session);
    let filed = recorder.finish(lost.into_iter());
    show(args, &summary)?;
    if let Some(directory) = &directory {
        directory.write_summary(&summary)?;
    }
    filed?;
    ended.outcome
}

/// How the probing ended.
pub(crate) struct Ended {
    pub(crate) outcome: Result<()>,
    pub(crate) elapsed_ns: u64,
    pub(crate) floor: Option<FloorSummary>,
}

impl Ended {
    /// Before the first probe.
    pub(crate) fn early(error: anyhow::Error) -> Ended {
        Ended { outcome: Err(error), elapsed_ns: 0, floor: None }
    }
}

/// All is connected and subscribed: says so, and answers with when the first probe is due.
pub(crate) fn begin(args: &Args, session: &mut Session<'_>, recorder: &Recorder) -> Result<u64> {
    recorder.event(Event::now(EventKind::Phase, "ready"))?;
    if args.realtime {
        let granted = json!({"granted": ask_for_realtime()});
        recorder.event(Event::now(EventKind::Note, "realtime priority").detail(granted))?;
    }
    let each = if args.pairs == 1 { "" } else { " for each pair" };
    let measured = match (args.until, args.duration) {
        (Some(_), _) => "measured ones until SIGTERM".to_owned(),
        (None, Some(duration)) => format!("{duration:?} of measured ones"),
        (None, None) => format!("{} measured", args.count),
    };
    eprintln!("connected and subscribed; {} probes of warm-up, discarded, then {measured}{each}", args.warmup);
    let start_ns = clock::mono_ns() + START_DELAY_NS;
    session.plan(start_ns);
    Ok(start_ns)
}

/// Connects and probes with the prober's own connections.
fn probe(args: &Args, settings: &Settings, signals: SignalFd, session: &mut Session<'_>, recorder: &Recorder) -> Ended {
    let mut wire = match Wire::open(settings, signals) {
        Ok(wire) => wire,
        Err(error) => return Ended::early(error),
    };
    let start_ns = match begin(args, session, recorder) {
        Ok(start_ns) => start_ns,
        Err(error) => return Ended::early(error),
    };
    wire.plan(start_ns, args.interval_ns());
    let outcome = wire.run(session);
    let outcome = session.end(outcome, wire.acked());
    wire.close();
    let now_ns = clock::mono_ns();
    let floor = wire.floor().map(|floor| floor.summary(now_ns));
    if let Some(failure) = floor.as_ref().and_then(|floor: &FloorSummary| floor.failure.as_ref()) {
        let _ = recorder.event(Event::now(EventKind::Error, "floor failed").detail(json!({"error": failure})));
    }
    Ended { outcome, elapsed_ns: now_ns.saturating_sub(start_ns), floor }
}

fn summary(args: &Args, settings: &Settings, session: &Session<'_>, ended: &Ended) -> ProbeSummary {
    let [latency_us, uncorrected_latency_us, send_lag_us] = probes::curves(session.books());
    let counts = session.counts();
    ProbeSummary {
        tool: TOOL.to_owned(),
        ok: ended.outcome.is_ok(),
        failures: ended.outcome.as_ref().err().map(|error| format!("{error:#}")).into_iter().collect(),
        sent: counts.sent,
        received: counts.received,
        lost: session.books().iter().map(|book| book.lost().count() as u64).sum(),
        duplicated: counts.duplicated,
        out_of_order: counts.out_of_order,
        corrupted: counts.corrupted,
        late: counts.late,
        planned: u64::from(settings.measured) * u64::from(settings.pairs),
        interval_us: args.interval.as_micros() as u64,
        qos: args.qos as u8,
        payload_bytes: args.payload.into(),
        warmup: args.warmup.into(),
        pairs: settings.pairs.into(),
        client: args.client.name().to_owned(),
        highest_percentile: 100.0 * order::highest_quantile(latency_us.count),
        latency_us,
        uncorrected_latency_us,
        send_lag_us,
        wakeup_error_us: session.wakeup_error_us(),
        floor: ended.floor.clone(),
        elapsed_s: ended.elapsed_ns as f64 / NS_PER_S as f64,
        self_cpu_us: clock::self_cpu_ns() / 1_000,
    }
}

/// The lines for people and the JSON for programs, each where it was asked for.
fn show(args: &Args, summary: &ProbeSummary) -> Result<()> {
    let text = match summary.sent {
        0 => String::new(),
        _ => report::guide_lines(&summary.latency_us) + &report::curve(summary),
    };
    let json = || serde_json::to_string_pretty(summary).context("cannot encode the summary");
    match &args.json {
        Some(path) if path == Path::new("-") => {
            eprint!("{text}");
            println!("{}", json()?);
        }
        Some(path) => {
            print!("{text}");
            std::fs::write(path, json()? + "\n")
                .with_context(|| format!("cannot write the summary to {} (--json)", path.display()))?;
        }
        None => print!("{text}"),
    }
    Ok(())
}

/// Every probe arrived once, in order, and byte for byte as it was sent.
fn flawless(session: &Session<'_>) -> Result<()> {
    let counts = session.counts();
    let lost = session.books().iter().map(|book| book.lost().count() as u64).sum();
    let flaws = [
        (lost, "lost"),
        (counts.duplicated, "duplicated"),
        (counts.out_of_order, "out of order"),
        (counts.corrupted, "corrupted"),
        (counts.late, "later than the time-out"),
    ];
    let found: Vec<String> =
        flaws.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if !found.is_empty() {
        bail!("of {} probes: {} (--strict)", counts.sent, found.join(", "));
    }
    Ok(())
}

fn write_meta(args: &Args, settings: &Settings, context: Option<Context>, directory: &RunDir) -> Result<()> {
    let mut meta = Meta::of_this_process(TOOL, runlog::VERSION, Role::Prober, &args.tag, context);
    meta.seed = args.poisson.then_some(args.seed);
    meta.config = settings.to_json(args);
    directory.write_meta(&meta).context("cannot describe the run")
}

/// Asks for the lowest real-time priority for this thread: enough to run before everything that has none, so that what is
/// measured is the broker and not the prober's turn to run.
fn ask_for_realtime() -> bool {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to a live `sched_param`; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) == 0 }
}

const TOOL: &str = "prober";

/// Between the handshake and the first due time: what the handshake stirred up settles.
const START_DELAY_NS: u64 = 20_000_000;
