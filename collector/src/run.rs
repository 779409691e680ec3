//! A run of the collector, from the checks before it to its summary.

use std::io::{IsTerminal, stderr};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use runlog::columns::{self, CORE_CLASSES};
use runlog::write::{EventLog, TableWriter};
use runlog::{CollectSummary, Context, Event, EventKind, Meta, Role, RunDir, clock};
use serde_json::json;

use crate::args::Args;
use crate::priority::Priority;
use crate::row::Row;
use crate::sampler::Sampler;
use crate::sources::Cpu;
use crate::ticker::{Ticker, Wake};
use crate::{find, manifest};

/// Samples as the command line asks, and prints the run directory as the last line.
pub(crate) fn run(args: &Args) -> Result<()> {
    // Everything that can be wrong is found before a directory is made.
    let context = Context::from_env()?;
    let iface = find::interface(args.iface.as_deref())?;
    let pid = target(args)?;
    let cores = Cpu::open()?.cores()?;
    let priority = Priority::ask(!args.no_realtime);
    let mut sampler = Sampler::open(args, &iface, pid, priority)?;
    let directory = match &args.run_dir {
        Some(path) => RunDir::create(path)?,
        None => RunDir::create_in(&args.out, args.role, &args.tag)?,
    };
    write_meta(args, context, &iface, pid, priority, &directory)?;
    let core_columns: Vec<String> =
        (0..cores).flat_map(|core| CORE_CLASSES.map(|class| columns::core_column(core, class))).collect();
    let mut sink = Sink { table: directory.raw_writer(&core_columns)?, events: directory.events()?, iface, cores };
    eprintln!("collecting into {}", directory.path().display());
    let mut summary = CollectSummary { tool: TOOL.to_owned(), ..CollectSummary::default() };
    let collected = collect(args, &mut sampler, &mut sink, &mut summary);
    summary.ok = collected.is_ok();
    summary.restarts = sampler.restarts;
    summary.self_cpu_us = clock::self_cpu_ns() / 1_000;
    let ended = collected.and_then(|()| note_connections(&sampler, &mut sink));
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
}

fn target(args: &Args) -> Result<Option<u32>> {
    match (args.pid, &args.name, args.port) {
        (Some(pid), ..) => find::check_pid(pid).map(Some),
        (None, Some(name), _) => find::by_name(name).map(Some),
        (None, None, Some(port)) if args.role == Role::Broker => find::by_port(port).map(Some),
        (None, None, _) => Ok(None),
    }
}

fn collect(args: &Args, sampler: &mut Sampler, sink: &mut Sink, summary: &mut CollectSummary) -> Result<()> {
    let interval_us = args.interval.as_micros() as u64;
    // A window of N intervals has N + 1 samples: one at either end.
    let last = args.duration.map(|duration| duration.as_micros() as u64 / interval_us.max(1));
    let progress = progress(last);
    let mut row = Row::default();
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
        let events = sampler.sample(&mut row);
        let late_us = late_ns / 1_000;
        row.set(columns::LATE_US, late_us);
        sink.append(&row, &events)?;
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
    priority: Priority,
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
        "realtime": priority.is_realtime(),
    });
    meta.process = pid.map(manifest::process);
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
