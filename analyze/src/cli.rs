//! The command line: what was typed, and what becomes of it.
//!
//! Warnings go to standard error with file and line, results to standard output or a file; the exit code is 0 only when
//! everything that was asked for came out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use runlog::{Run, Warning};

use crate::audit::{self, Severity};
use crate::claims::{self, ClaimsFile, Evidence};
use crate::compare;
use crate::console;
use crate::rates;
use crate::report;
use crate::report::metric::Metric;
use crate::report::text::Lang;
use crate::serve;
use crate::steady;
use crate::summary::{self, RunSummary};

/// Parses the arguments, does what they say, and reports a failure in one line.
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("analyze: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Turns run directories into rates, statistics and a report.
#[derive(Debug, Parser)]
#[command(name = "analyze", version = runlog::version(), about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn a raw.csv into rates per second (rates.csv beside it)
    Rates {
        /// The raw.csv, or the run directory that holds it
        raw: PathBuf,
        /// Write to this file instead
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write what the published postprocess_rates.py writes: with Unix line ends as in the published files, or with
        /// `--compat=crlf` those that the script itself writes
        #[arg(long, value_enum, value_name = "LINE_END", num_args = 0..=1, require_equals = true, default_missing_value = "lf")]
        compat: Option<LineEnd>,
    },
    /// Print what each run shows in the published window rules and in ours
    Summary {
        /// Run directories, or directories that hold some at any depth
        #[arg(required = true, value_name = "DIR")]
        dirs: Vec<PathBuf>,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
    },
    /// Show the rates over time in console logs of emqtt_bench and loadgen
    Console {
        /// What a terminal showed; several runs may be in one file
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Only this counter, such as recv; may be given several times
        #[arg(long, value_name = "NAME")]
        counter: Vec<String>,
        /// Form of the output; csv holds the rates over time
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
    },
    /// Test memory and throughput for a trend over the measured phase (Mann and Kendall), each run by itself
    Steady {
        /// Run directories, or directories that hold some at any depth
        #[arg(required = true, value_name = "DIR")]
        dirs: Vec<PathBuf>,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
    },
    /// List the flaws that the data of a benchmark shows, with evidence and consequence
    Audit {
        /// Run directories, directories that hold runs or console logs at any depth, or console logs
        #[arg(required = true, value_name = "DIR")]
        dirs: Vec<PathBuf>,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
        /// Claims files to compare the runs with, instead of the published figures that this program carries
        #[arg(long, value_name = "FILE.toml")]
        against: Vec<PathBuf>,
        /// Fail when there is a finding of this severity or a higher one
        #[arg(long, value_enum, value_name = "SEVERITY")]
        fail_on: Option<FailOn>,
    },
    /// Judge published figures by runs: reproduced, within tolerance, not reproduced, not testable
    Claims {
        /// The claims file, see docs/claims.md; published ones are in results/published
        #[arg(value_name = "FILE.toml")]
        file: PathBuf,
        /// Run directories, or directories that hold some at any depth
        #[arg(required = true, value_name = "DIR")]
        dirs: Vec<PathBuf>,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
    },
    /// Say how two sides differ, how sure that is, and whether they may be compared at all
    Compare {
        /// Two: run directories of the first side, or a directory that holds its repeats, and the same for the second side
        #[arg(required = true, value_name = "DIR")]
        dirs: Vec<PathBuf>,
        /// Compare every target in the directories with every other instead, step by step
        #[arg(long)]
        matrix: bool,
        /// Runs of one target against itself (A/A): differences within theirs are noise
        #[arg(long, value_name = "DIR")]
        noise: Vec<PathBuf>,
        /// Only this quantity, by its key in the JSON form; may be given several times
        #[arg(long, value_name = "KEY", value_parser = metric)]
        metric: Vec<Metric>,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
    },
    /// Make the report of an A/B experiment: one HTML page, and beside it the same as JSON, Markdown, CSV and the charts' files
    Report {
        /// Directory of the experiment, as a playbook wrote it, or any directory that holds runs
        dir: PathBuf,
        /// Write the page to this file instead of report.html in the experiment's directory
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Language that the page shows first, and of Markdown and the charts' files; the page holds both
        #[arg(long, value_enum, default_value_t)]
        lang: Lang,
        /// Claims file to judge by these runs; may be given several times. A claims.toml beside the runs is judged without
        /// being named, and so are the published figures that this program carries, where these runs can test one of them
        #[arg(long, value_name = "FILE.toml")]
        claims: Vec<PathBuf>,
        /// Write the charts as SVG only
        #[arg(long)]
        no_png: bool,
    },
    /// Show an experiment in a browser while it runs: phases, rates, connections, memory, CPU, events, and the report so far
    Serve {
        /// Directory that the runs are written to
        dir: PathBuf,
        /// Address and port to listen at; port 0 takes a free one, which is printed
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Language that the page shows first; it holds both
        #[arg(long, value_enum, default_value_t)]
        lang: Lang,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LineEnd {
    /// As in the published rates.csv files
    Lf,
    /// As the published script writes them
    Crlf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table in Markdown
    Md,
    /// A table with one line per figure, finding or verdict
    Csv,
    /// Everything that was found, with stable names
    Json,
}

/// From which severity on an audit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Figures that mean something else than they say
    High,
    /// Also biased figures
    Medium,
    /// Any finding
    Low,
}

fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Rates { raw, output, compat } => run_rates(&raw, output.as_deref(), compat),
        Command::Summary { dirs, format } => run_summary(&dirs, format),
        Command::Console { files, counter, format } => run_console(&files, &counter, format),
        Command::Steady { dirs, format } => run_steady(&dirs, format),
        Command::Audit { dirs, format, against, fail_on } => run_audit(&dirs, format, &against, fail_on),
        Command::Claims { file, dirs, format } => run_claims(&file, &dirs, format),
        Command::Compare { dirs, matrix, noise, metric, format } => run_compare(&dirs, matrix, &noise, &metric, format),
        Command::Report { dir, output, lang, claims, no_png } => {
            run_report(&dir, &report::Options { page: output, lang, claims, no_png })
        }
        Command::Serve { dir, listen, lang } => serve::serve(&dir, listen, lang),
    }
}

fn run_rates(raw: &Path, output: Option<&Path>, compat: Option<LineEnd>) -> Result<()> {
    let published = |line_end| rates::Form::Published { crlf: line_end == LineEnd::Crlf };
    let written = rates::write(raw, output, compat.map_or(rates::Form::Ours, published))?;
    warn(&written.warnings);
    show(&format!("{}: {} rows\n", written.path.display(), written.rows))
}

fn run_summary(dirs: &[PathBuf], format: Format) -> Result<()> {
    let mut summaries: Vec<RunSummary> = Vec::new();
    let mut failed = 0;
    for run in discover(dirs)? {
        match summary::of_run(&run) {
            Ok((summary, warnings)) => {
                warn(&warnings);
                summaries.push(summary);
            }
            Err(error) => {
                eprintln!("analyze: error: {error:#}");
                failed += 1;
            }
        }
    }
    show(&match format {
        Format::Md => summary::markdown(&summaries),
        Format::Csv => summary::csv(&summaries),
        Format::Json => serde_json::to_string_pretty(&summaries)? + "\n",
    })?;
    if failed > 0 {
        bail!("{failed} of {} runs could not be read; the others are above", failed + summaries.len());
    }
    Ok(())
}

fn run_console(files: &[PathBuf], counters: &[String], format: Format) -> Result<()> {
    let (mut runs, mut failed) = (Vec::new(), 0);
    for file in files {
        match console::read(file, counters) {
            Ok((found, warnings)) => {
                warn(&warnings);
                runs.extend(found);
            }
            Err(error) => {
                eprintln!("analyze: error: {error:#}");
                failed += 1;
            }
        }
    }
    show(&match format {
        Format::Md => console::markdown(&runs),
        Format::Csv => console::csv(&runs),
        Format::Json => serde_json::to_string_pretty(&runs)? + "\n",
    })?;
    if failed > 0 {
        bail!("{failed} of {} files could not be used; what the others hold is above", files.len());
    }
    Ok(())
}

fn run_steady(dirs: &[PathBuf], format: Format) -> Result<()> {
    let courses = steady::courses(&discover(dirs)?)?;
    show(&match format {
        Format::Md => steady::markdown(&courses),
        Format::Csv => steady::csv(&courses),
        Format::Json => serde_json::to_string_pretty(&courses)? + "\n",
    })?;
    Ok(())
}

fn run_audit(dirs: &[PathBuf], format: Format, against: &[PathBuf], fail_on: Option<FailOn>) -> Result<()> {
    let published = match against {
        [] => ClaimsFile::shipped(),
        files => files.iter().map(|file| ClaimsFile::read(file)).collect::<Result<_>>()?,
    };
    let (logs, warnings) = console::logs(dirs).context("give a directory that holds runs, or a console log")?;
    warn(&warnings);
    // A log needs no run beside it.
    let folders: Vec<PathBuf> = dirs.iter().filter(|place| !place.is_file()).cloned().collect();
    let runs = match logs.is_empty() {
        true => discover(dirs)?,
        false if folders.is_empty() => Vec::new(),
        false => runlog::discover(&folders)?,
    };
    let audit = audit::examine(&Evidence::of(&runs), &logs, &published);
    show(&match format {
        Format::Md => audit::render::markdown(&audit),
        Format::Csv => audit::render::csv(&audit),
        Format::Json => serde_json::to_string_pretty(&audit)? + "\n",
    })?;
    if !audit.unread.is_empty() {
        bail!("{} runs could not be read whole: {}", audit.unread.len(), audit.unread.join("; "));
    }
    let limit = match fail_on {
        None => return Ok(()),
        Some(FailOn::High) => Severity::High,
        Some(FailOn::Medium) => Severity::Medium,
        Some(FailOn::Low) => Severity::Low,
    };
    let grave = audit.findings.iter().filter(|finding| finding.severity <= limit).count();
    if grave > 0 {
        bail!("{grave} findings of severity {} or higher, see above", limit.word());
    }
    Ok(())
}

fn run_claims(file: &Path, dirs: &[PathBuf], format: Format) -> Result<()> {
    let file = ClaimsFile::read(file)?;
    let judged = claims::judge(&file, &discover(dirs)?);
    show(&match format {
        Format::Md => claims::render::markdown(&file.title, &judged),
        Format::Csv => claims::render::csv(&judged),
        Format::Json => serde_json::to_string_pretty(&judged)? + "\n",
    })?;
    Ok(())
}

fn run_compare(dirs: &[PathBuf], matrix: bool, noise: &[PathBuf], metrics: &[Metric], format: Format) -> Result<()> {
    let control = if noise.is_empty() { Vec::new() } else { discover(noise)? };
    let (comparisons, warnings) = match dirs {
        _ if matrix => compare::compare_all(discover(dirs)?, control, metrics)?,
        [a, b] => {
            let side = |dir: &PathBuf| discover(std::slice::from_ref(dir));
            compare::compare(side(a)?, side(b)?, control, metrics)?
        }
        _ => bail!("compare takes two directories, and {} were given; --matrix takes any number", dirs.len()),
    };
    warn(&warnings);
    show(&match format {
        Format::Md if matrix => compare::matrix(&comparisons),
        Format::Md => compare::markdown(&comparisons),
        Format::Csv => compare::csv(&comparisons),
        Format::Json => serde_json::to_string_pretty(&comparisons)? + "\n",
    })?;
    Ok(())
}

/// A quantity by its key.
fn metric(key: &str) -> Result<Metric, String> {
    let known = || Metric::ALL.into_iter();
    known().find(|metric| metric.key() == key).ok_or_else(|| {
        format!("no quantity has this key; there are {}", known().map(Metric::key).collect::<Vec<_>>().join(", "))
    })
}

fn run_report(dir: &Path, options: &report::Options) -> Result<()> {
    let runs = discover(std::slice::from_ref(&dir.to_owned()))?;
    let written = report::write(dir, runs, options)?;
    for note in &written.notes {
        eprintln!("analyze: note: {note}");
    }
    show(&format!("{}\n{}\n", written.table, written.page.display()))
}

fn show(text: &str) -> Result<()> {
    runlog::stdout::show(text).context("cannot write to standard output")
}

/// The runs in the given directories; at least one.
fn discover(dirs: &[PathBuf]) -> Result<Vec<Run>> {
    let runs = runlog::discover(dirs).context("give a directory that holds runs")?;
    if runs.is_empty() {
        let places: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        bail!(
            "no run in {}: a run directory holds meta.json or raw.csv and is named <role>-<tag>-<utc>; give the directory \
             that a tool or a playbook wrote, or one above it",
            places.join(", ")
        );
    }
    for run in &runs {
        warn(&run.warnings);
    }
    Ok(runs)
}

fn warn(warnings: &[Warning]) {
    for warning in warnings {
        eprintln!("analyze: warning: {warning}");
    }
}
