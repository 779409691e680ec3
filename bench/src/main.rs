//! The broker's cost, row by row, beside a floor and a peer in the same run: `cargo xtask bench`.
//!
//! Figures of one machine mean little, ratios within one run mean much. So each row runs against every target in turn, and
//! the next round begins over again. The modules, from the inside out:
//!
//! - [`floor`]: the least that a broker on sockets can do: the zero of the scale;
//! - [`driver`]: one thread of MQTT clients that loads a broker and counts what comes back;
//! - [`index`]: the topic index by itself;
//! - [`hold`]: clients in a process of their own, so that they can vanish at once;
//! - [`load`]: the other way round: what our load generator costs, beside the least client;
//! - [`target`]: a broker process, started afresh for each measurement, and what it takes of the machine;
//! - [`steadiness`]: how steadily the machine itself computes meanwhile;
//! - [`rows`]: the cost table: what is done, what is measured, what is to be reached;
//! - [`table`]: medians, ratios, verdicts;
//! - [`instructions`]: the same without a quiet machine: instructions counted by callgrind, against a stored baseline.

mod driver;
mod floor;
mod hold;
mod index;
mod instructions;
mod load;
mod rows;
mod steadiness;
mod table;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::rows::{ROWS, Row};
use crate::target::Target;

#[derive(Parser)]
#[command(name = "bench", version, about = "What the broker costs, beside a floor and a peer in the same run")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Count instructions with callgrind and compare them with the stored baseline
    Instructions(instructions::Arguments),
    /// Be the floor: forward messages by exact topic, with no checks, no sessions and no limits
    Floor { port: u16 },
    /// Hold idle connections until killed
    #[command(hide = true)]
    Hold { port: u16, connections: usize, keep_alive_s: u16 },
    /// Be the least client: 500 pairs at QoS 0, so many messages a second, until killed
    #[command(hide = true)]
    Pairs { port: u16, rate: f64 },
    /// Fill an index and look topics up
    #[command(hide = true, name = index::COMMAND)]
    FillIndex,
    /// Do one operation so often, for callgrind
    #[command(hide = true)]
    Repeat { operation: String, count: u64 },
}

#[derive(clap::Args)]
struct RunArguments {
    /// Rows to measure [default: all]; `--list` shows them
    rows: Vec<String>,
    /// Show the rows and what each is to reach
    #[arg(long)]
    list: bool,
    /// Brokers, in the order of each round: floor, ours, ours:WORKERS, ours:WORKERS:apart (a thread for each from the
    /// beginning), mosquitto
    #[arg(long, value_delimiter = ',', default_value = "floor,ours,mosquitto")]
    targets: Vec<Target>,
    /// How often each row runs against each target
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement, after a warm-up of one
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds of the flood, which is to show whether anything grows
    #[arg(long, default_value_t = 60.0)]
    flood_seconds: f64,
    /// Our broker's program
    #[arg(long, default_value = "target/release/broker")]
    broker: PathBuf,
    /// Our load generator's program
    #[arg(long, default_value = "target/release/loadgen")]
    loadgen: PathBuf,
    /// Add every single measurement to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Floor { port }) => floor::run(port).map(|()| true),
        Some(Command::Hold { port, connections, keep_alive_s }) => {
            hold::run(port, connections, keep_alive_s).map(|()| true)
        }
        Some(Command::Pairs { port, rate }) => load::run_pairs(port, rate).map(|()| true),
        Some(Command::FillIndex) => index::run().map(|()| true),
        Some(Command::Repeat { operation, count }) => instructions::repeat(&operation, count).map(|()| true),
        Some(Command::Instructions(arguments)) => instructions::run(&arguments),
        None => run(&cli.run),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints; `true` when everything that was to be reached was.
fn run(arguments: &RunArguments) -> Result<bool> {
    if arguments.list {
        for row in ROWS {
            println!("{:<14} {}", row.name, row.title);
            if !row.goals.is_empty() {
                println!("{:<14} to reach: {}", "", row.goals());
            }
        }
        return Ok(true);
    }
    let rows = chosen_rows(&arguments.rows)?;
    if arguments.rounds == 0 || !(arguments.seconds > 0.0 && arguments.flood_seconds > 0.0) {
        bail!("--rounds, --seconds and --flood-seconds must be more than zero");
    }
    if !arguments.broker.is_file() {
        bail!(
            "{} does not exist: build it with `cargo build --release -p broker`, name it with --broker, or let \
             `cargo xtask bench` do both",
            arguments.broker.display()
        );
    }
    if rows.iter().any(|row| row.is_about_load()) {
        load::check_program(&arguments.loadgen)?;
    }
    let files = netloop::limits::ensure_open_files(rows::FILES_NEEDED).context("the rows need many connections")?;
    let setting = rows::Setting {
        broker: arguments.broker.clone(),
        loadgen: arguments.loadgen.clone(),
        seconds: arguments.seconds,
        flood_seconds: arguments.flood_seconds,
        connections: (files as usize - 1_000).min(rows::IDLE_CONNECTIONS),
    };
    let mut table = table::Table::new(&arguments.targets, arguments.json.as_deref())?;
    for round in 1..=arguments.rounds {
        for row in &rows {
            for target in arguments.targets.iter().filter(|target| row.applies_to(target)) {
                eprintln!("round {round} of {}: {} against {target}", arguments.rounds, row.name);
                // Told at once, for a long run that is cut; a failure does not take the other measurements with it.
                match row.measure(target, &setting) {
                    Ok(figures) => {
                        eprintln!("  {}", table::listed(&figures));
                        table.add(row.name, target, round, figures)?;
                    }
                    Err(error) => {
                        eprintln!("  failed: {error:#}");
                        table.add_failure(row.name, target, round, &format!("{error:#}"))?;
                    }
                }
            }
        }
    }
    print!("{}", table.render(&rows));
    table.check_failures()?;
    Ok(table.all_reached(&rows))
}

fn chosen_rows(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let find = |name: &String| {
        let known = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        ROWS.iter().find(|row| row.name == name).with_context(|| format!("no row `{name}`; there are: {}", known()))
    };
    names.iter().map(find).collect()
}
