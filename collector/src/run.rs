//! A run of the collector, from the checks before it to its summary.

use std::io::{IsTerminal, stderr};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use runlog::columns::{self, CORE_CLASSES, INTERFACE_COUNTERS};
use runlog::write::{EventLog, TableWriter};
use runlog::{CollectSummary, Context, Event, EventKind, Meta, Role, RunDir, clock};
use serde_json::json;

use crate::args::Args;
use crate::canary::Canary;
use crate::echo::Echo;
use crate::priority::Priority;
use crate::row::Row;
use crate::sampler::Sampler;
use crate::sources::Cpu;
use crate::ticker::{Ticker, Wake, hold_signals};
use crate::{find, manifest};

/// Samples as the command line asks, and prints the run directory as the last line.
pub(crate) fn run(args: &Args) -> Result<()> {
    // Everything that can be wrong is found before a directory is made.
    let context = Context::from_env()?;
    let iface = find::interface(args.iface.as_deref())?;
    let interfaces = find::further_interfaces(&iface)?;
    let pid = target(args)?;
    let cores = Cpu::open()?.cores()?;
    hold_signals()?;
    let echo = args.echo.map(Echo::start).transpose()?;
    if let Some(echo) = &echo {
        eprintln!("echo on port {}", echo.address().port());
    }
    let directory = match &args.run_dir {
        Some(path) => RunDir::create(path)?,
        None => RunDir::create_in(&args.out, args.role, &args.tag)?,
    };
    let canary = args.canary.map(|period| Canary::start(period, &directory)).transpose()?;
    let priority = Priority::ask(!args.no_realtime);
    let mut sampler = Sampler::open(args, &iface, pid, priority)?;
    (sampler.canary, sampler.echo) = (canary, echo);
    write_meta(args, context, &iface, pid, &sampler, &directory)?;
    let of_cores = (0..cores).flat_map(|core| CORE_CLASSES.map(|class| columns::core_column(core, class)));
    let of_interfaces = interfaces
        .iter()
        .flat_map(|name| INTERFACE_COUNTERS.into_iter().filter_map(|counter| columns::interface_column(name, counter)));
    let further: Vec<String> = of_cores.chain(of_interfaces).collect();
    let watched = pid.is_some();
    let mut sink = Sink {
        table: directory.raw_writer(&further)?,
        processes: watched.then(|| directory.processes_writer()).transpose()?,
        threads: watched.then(|| directory.threads_writer()).transpose()?,
        events: directory.events()?,
        iface,
        cores,
    };
    eprintln!("collecting into {}", directory.path().display());
    let mut summary = CollectSummary { tool: TOOL.to_owned(), ..CollectSummary::default() };
    let collected = collect(args, &mut sampler, &mut sink, Row::with_interfaces(&interfaces), &mut summary);
    summary.ok = collected.is_ok();
    summary.restarts = sampler.restarts;
    summary.clock_steps = sampler.clock_steps();
    summary.self_cpu_us = clock::self_cpu_ns() / 1_000;
    let ended = collected.and_then(|()| note_connections(&sampler, &mut sink));
    let ended = ended.and_then(|()| sampler.canary.take().map_or(Ok(()), Canary::finish));
    summary.ok &= ended.is_ok();
    // A full disk has no room for a summary either: the first error is the one to tell.
    let written = directory.write_summary(&summary);
    ended?;
    written?;
    println!("{}", directory.path().display());
    Ok(())
}

/// Where samples go.
struct Sink {
    table: TableWriter,
    processes: Option<TableWriter>,
    threads: Option<TableWriter>,
    events: EventLog,
    iface: String,
    cores: usize,
}

impl Sink {
    fn append(&mut self, row: &Row, events: &[Event]) -> Result<()> {
        let time_utc = clock::utc_text(row.get(columns::WALL_NS).unwrap_or_default());
        row.write(&time_utc, &self.iface, self.cores, &mut self.table)?;
        for event in events {
            self.events.append(event)?;
        }
        Ok(())
    }

    fn append_target(&mut self, sampler: &Sampler, row: &Row) -> Result<()> {
        let (Some(target), Some(mono_ns)) = (sampler.target(), row.get(columns::MONO_NS)) else { return Ok(()) };
        if let Some(processes) = &mut self.processes {
            target.write_processes(mono_ns, processes)?;
        }
        if let Some(threads) = self.threads.as_mut().filter(|_| sampler.is_slow) {
            target.write_threads(mono_ns, threads)?;
        }
        Ok(())
    }
}

/// What sampling costs, for the summary.
struct Costs {
    late_us: Histogram<u64>,
    sample_us: Histogram<u64>,
    cpu_us: u64,
    samples: u64,
}

impl Costs {
    fn new() -> Costs {
        let histogram = || Histogram::new(3).expect("three digits are what the library allows");
        Costs { late_us: histogram(), sample_us: histogram(), cpu_us: 0, samples: 0 }
    }

    fn add(&mut self, late_us: u64, sample_us: u64, cpu_us: Option<u64>) {
        self.late_us.saturating_record(late_us);
        self.sample_us.saturating_record(sample_us);
        self.cpu_us += cpu_us.unwrap_or_default();
        self.samples += u64::from(cpu_us.is_some());
    }

    fn sum_up(&self, summary: &mut CollectSummary) {
        summary.late_us_p50 = self.late_us.value_at_quantile(0.5);
        summary.late_us_p99 = self.late_us.value_at_quantile(0.99);
        summary.sample_us_p99 = self.sample_us.value_at_quantile(0.99);
        summary.cpu_us_per_sample = self.cpu_us as f64 / self.samples.max(1) as f64;
    }
}

/// CPU time of this thread, us: the canary and the echo are not part of a sample.
fn thread_cpu_us() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.map_or(0, |time| time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1_000)
}

fn target(args: &Args) -> Result<Option<u32>> {
    match (args.pid, &args.name, args.port) {
        (Some(pid), ..) => find::check_pid(pid).map(Some),
        (None, Some(name), _) => find::by_name(name).map(Some),
        (None, None, Some(port)) if args.role == Role::Broker => find::by_port(port).map(Some),
        (None, None, _) => Ok(None),
    }
}

fn collect(
    args: &Args,
    sampler: &mut Sampler,
    sink: &mut Sink,
    mut row: Row,
    summary: &mut CollectSummary,
) -> Result<()> {
    let interval_us = args.interval.as_micros() as u64;
    // A window of N intervals has N + 1 samples: one at either end.
    let last = args.duration.map(|duration| duration.as_micros() as u64 / interval_us.max(1));
    let progress = progress(last);
    let mut costs = Costs::new();
    let mut first_ns = None;
    let mut ticker = Ticker::start(args.interval)?;
    while last.is_none_or(|last| ticker.next_index() <= last) {
        let (late_ns, missed) = match ticker.wait()? {
            Wake::Stop(signal) => {
                summary.ended_by = signal.as_str().to_owned();
                break;
            }
            Wake::Tick { late_ns, missed } => (late_ns, missed),
        };
        let begun = thread_cpu_us();
        let events = sampler.sample(&mut row);
        if let Some(canary) = &mut sampler.canary {
            canary.sample(&mut row)?;
        }
        let late_us = late_ns / 1_000;
        row.set(columns::LATE_US, late_us);
        sink.append(&row, &events)?;
        sink.append_target(sampler, &row)?;
        let sample_us = row.get(columns::SAMPLE_US).unwrap_or_default();
        costs.add(late_us, sample_us, (!sampler.is_slow).then(|| thread_cpu_us() - begun));
        let now_ns = row.get(columns::MONO_NS).unwrap_or_default();
        summary.ticks += 1;
        summary.missed_ticks += missed;
        summary.late_ticks += u64::from(late_us > interval_us / 10);
        summary.late_us_max = summary.late_us_max.max(late_us);
        summary.sample_us_max = summary.sample_us_max.max(row.get(columns::SAMPLE_US).unwrap_or_default());
        summary.duration_s = (now_ns - *first_ns.get_or_insert(now_ns)) as f64 / clock::NS_PER_S as f64;
        if let Some(progress) = &progress {
            progress.set_position(ticker.next_index());
        }
    }
    costs.sum_up(summary);
    if summary.ended_by.is_empty() {
        summary.ended_by = "duration".to_owned();
    }
    Ok(())
}

/// The exact number of connections at the end, whatever the beat of counting them.
fn note_connections(sampler: &Sampler, sink: &mut Sink) -> Result<()> {
    if let Some(established) = sampler.established() {
        let event = Event::now(EventKind::Note, columns::PORT_ESTAB).detail(json!({"established": established}));
        sink.events.append(&event)?;
    }
    Ok(())
}

fn write_meta(
    args: &Args,
    context: Option<Context>,
    iface: &str,
    pid: Option<u32>,
    sampler: &Sampler,
    directory: &RunDir,
) -> Result<()> {
    let mut meta = Meta::of_this_process(TOOL, runlog::VERSION, args.role, &args.tag, context);
    meta.config = json!({
        "iface": iface,
        "pid": pid,
        "port": args.port,
        "interval_us": args.interval.as_micros() as u64,
        "slow_interval_us": args.slow_interval.as_micros() as u64,
        "duration_us": args.duration.map(|duration| duration.as_micros() as u64),
        "realtime": sampler.priority.is_realtime(),
        "canary_us": args.canary.map(|period| period.as_micros() as u64),
        "echo": sampler.echo.as_ref().map(|echo| echo.address().to_string()),
    });
    meta.process = pid.map(|pid| manifest::process(pid, args.target_version.clone()));
    directory.write_meta(&meta).context("cannot describe the run")
}

fn progress(last: Option<u64>) -> Option<ProgressBar> {
    if !stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(last.map_or(0, |last| last + 1));
    let template =
        if last.is_some() { "{bar:40} {pos}/{len} samples, {eta} left" } else { "{spinner} {pos} samples, {elapsed}" };
    bar.set_style(ProgressStyle::with_template(template).expect("a constant template that indicatif accepts"));
    Some(bar)
}

const TOOL: &str = "collector";
