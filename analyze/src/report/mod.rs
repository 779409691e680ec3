//! `analyze report`: an A/B experiment as one HTML page, with the same figures as JSON and Markdown beside it.
//!
//! - [`experiment`]: what is on disk: targets, steps, repeats, and which points failed.
//! - [`metric`]: the catalogue of quantities.
//! - [`measure`]: the figures of one point.
//! - [`figures`]: the figures over the repeats; what `report.json` holds.
//! - [`verdict`]: what may be said, in sentences.
//! - [`manifest`]: hosts, tools, command lines, files with their hashes.
//! - [`mod@format`]: numbers as text.
//! - [`picture`] and [`charts`]: the charts.
//! - [`html`] and [`markdown`]: the forms.

pub mod charts;
pub mod experiment;
pub mod figures;
pub mod format;
pub mod html;
pub mod manifest;
pub mod markdown;
pub mod measure;
pub mod metric;
pub mod picture;
pub mod verdict;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use runlog::Run;

use self::experiment::{Experiment, StepKind};
use self::figures::{Figures, Row, StepFigures};
use self::metric::Metric;

/// What was written.
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The main table, for a terminal.
    pub table: String,
}

/// Makes the report of the experiment in `dir` that `runs` belong to: `page` (or report.html in the experiment's directory),
/// and beside it the same as JSON and Markdown.
///
/// # Errors
/// When the runs are of no experiment or of several, or a file cannot be written.
pub fn write(dir: &Path, runs: Vec<Run>, page: Option<&Path>) -> Result<Written> {
    let experiment = Experiment::load(dir, runs)?;
    let home = experiment.dir.clone();
    let page = page.map_or_else(|| home.join(REPORT_STEM).with_extension(REPORT_EXTENSIONS[0]), Path::to_owned);
    let figures = Figures::of(experiment);
    let siblings = [page.with_extension(REPORT_EXTENSIONS[1]), page.with_extension(REPORT_EXTENSIONS[2])];
    let names: Vec<String> =
        siblings.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    save(&siblings[0], &(serde_json::to_string_pretty(&figures).context("figures are always JSON")? + "\n"))?;
    save(&siblings[1], &markdown::report(&figures))?;
    save(&page, &html::page(&figures, &home.display().to_string(), &names))?;
    Ok(Written { page, table: markdown::terminal(&figures) })
}

/// The rows of the main table.
pub fn main_rows(figures: &Figures) -> Vec<(&StepFigures, &Row)> {
    let metrics =
        figures.steps.iter().flat_map(|step| main_metrics(step.kind).iter().map(move |metric| (step, *metric)));
    metrics.filter_map(|(step, metric)| Some((step, step.row(metric)?))).collect()
}

/// What a reader asks of each kind of step first.
fn main_metrics(kind: StepKind) -> &'static [Metric] {
    match kind {
        StepKind::Idle => &[Metric::Rss, Metric::BrokerCpu],
        StepKind::Connections => &[Metric::ConnectRate, Metric::ConnackP99, Metric::Rss],
        StepKind::Latency => &[Metric::LatencyP50, Metric::LatencyP99, Metric::LatencyMax],
        StepKind::Throughput => {
            &[Metric::DeliveredPerS, Metric::Lost, Metric::CpuPerMessage, Metric::LatencyP50, Metric::LatencyP99]
        }
    }
}

fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}: choose another place with -o FILE", path.display()))
}

/// Name of the report without extension.
pub const REPORT_STEM: &str = "report";
/// Its forms: the page first.
pub const REPORT_EXTENSIONS: [&str; 3] = ["html", "json", "md"];
