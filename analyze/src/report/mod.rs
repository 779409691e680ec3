//! `analyze report`: an A/B experiment, or any tree of runs, as one HTML page, with the same figures as JSON, Markdown and CSV
//! beside it, and the charts as files.
//!
//! - [`experiment`]: what is on disk: targets, steps, repeats, and which points failed.
//! - [`metric`]: the catalogue of quantities.
//! - [`measure`]: the figures of one point.
//! - [`recovery`]: how long others notice that clients left.
//! - [`figures`]: the figures over the repeats; what `report.json` holds.
//! - [`verdict`]: what may be said, in sentences.
//! - [`manifest`]: hosts, tools, command lines, files with their hashes.
//! - [`plain`]: runs that no playbook started.
//! - [`timeline`]: what went on over time.
//! - [`steady`]: whether it lasts.
//! - [`noise`]: how much equal things differed.
//! - [`configuration`]: how the brokers were set up.
//! - [`console`]: what terminals showed.
//! - [`checks`]: claims judged and data audited.
//! - [`provenance`]: settings, clean slates, message counts, observers.
//! - [`clocks`]: how far the hosts' clocks were apart.
//! - [`mod@text`]: the fixed text, in English and Chinese.
//! - [`mod@format`]: numbers as text.
//! - [`picture`] and [`charts`]: the charts.
//! - [`course`]: the charts over time.
//! - [`html`], [`markdown`], [`csv`] and [`files`]: the forms.

pub mod charts;
pub mod checks;
pub mod clocks;
pub mod configuration;
pub mod console;
pub mod course;
pub mod csv;
pub mod experiment;
pub mod figures;
pub mod files;
pub mod format;
pub mod html;
pub mod manifest;
pub mod markdown;
pub mod measure;
pub mod metric;
pub mod noise;
pub mod picture;
pub mod plain;
pub mod provenance;
pub mod recovery;
pub mod steady;
pub mod text;
pub mod timeline;
pub mod verdict;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use runlog::Run;

use self::checks::Checks;
use self::clocks::HostClock;
use self::experiment::{Experiment, StepKind};
use self::figures::{Figures, Row, StepFigures};
use self::metric::Metric;
use self::text::{Lang, Text};
use crate::stats::estimate::{INTERVAL_REPEATS_MIN, chance_apart};
use crate::text;

/// What was written.
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The main table, for a terminal.
    pub table: String,
    /// What could not be written as it should.
    pub notes: Vec<String>,
}

/// What a report is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The page, if not report.html in the experiment's directory.
    pub page: Option<PathBuf>,
    /// The language that the page shows first, and that of Markdown and of the charts' files.
    pub lang: Lang,
    /// Claims files to judge.
    pub claims: Vec<PathBuf>,
    /// Whether the charts are written as SVG only.
    pub no_png: bool,
}

/// Makes the report of the runs in `dir`: the page, and beside it the same as JSON, Markdown and CSV, and the charts as files.
///
/// # Errors
/// When a claims file cannot be read, the runs are of several experiments, none of them gives a figure, or a file cannot be
/// written.
pub fn write(dir: &Path, runs: Vec<Run>, options: &Options) -> Result<Written> {
    let (figures, home) = figures(dir, runs, &options.claims)?;
    let page = options.page.clone().unwrap_or_else(|| home.join(REPORT_STEM).with_extension(REPORT_EXTENSIONS[0]));
    let [_, json, md, csv] = REPORT_EXTENSIONS.map(|extension| page.with_extension(extension));
    let charts = html::charts(&figures);
    let charts_dir = page.with_file_name(charts_dir_name(&page.file_stem().unwrap_or_default().to_string_lossy()));
    let beside = [&json, &md, &csv].into_iter();
    let mut names: Vec<String> =
        beside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    names.extend(charts_dir.file_name().map(|name| format!("{}/", name.to_string_lossy())));
    save(&json, &(serde_json::to_string_pretty(&figures).context("figures are always JSON")? + "\n"))?;
    save(&md, &markdown::report(&figures, options.lang))?;
    save(&csv, &csv::report(&figures))?;
    let notes = files::save_charts(&charts_dir, &charts, options)?;
    let around = html::Surroundings { dir: home.display().to_string(), siblings: &names, lang: options.lang };
    save(&page, &html::page(&figures, &charts, &around))?;
    Ok(Written { page, table: markdown::terminal(&figures), notes })
}

/// The page alone, of the runs so far; nothing is written.
///
/// # Errors
/// As [`write()`], except writing.
pub fn page(dir: &Path, runs: Vec<Run>, lang: Lang) -> Result<String> {
    let (figures, home) = figures(dir, runs, &[])?;
    let around = html::Surroundings { dir: home.display().to_string(), siblings: &[], lang };
    Ok(html::page(&figures, &html::charts(&figures), &around))
}

/// The figures, and the directory that they are of.
fn figures(dir: &Path, runs: Vec<Run>, claims: &[PathBuf]) -> Result<(Figures, PathBuf)> {
    let count = runs.len();
    let checks = Checks::of(dir, &runs, claims)?;
    let experiment = Experiment::load(dir, runs)?;
    let home = experiment.dir.clone();
    let figures = Figures::of(experiment, checks);
    require_figures(&figures, dir, count)?;
    Ok((figures, home))
}

/// Runs without a single figure and without a timeline are rubbish, and a page full of holes would hide that.
fn require_figures(figures: &Figures, dir: &Path, runs: usize) -> Result<()> {
    let has_figure = |step: &StepFigures| {
        let rows = step.rows.iter().flat_map(|row| &row.figures);
        !step.timelines.is_empty() || rows.into_iter().any(|figure| figure.estimate.is_some())
    };
    if !figures.is_plain || figures.steps.iter().any(has_figure) {
        return Ok(());
    }
    let reasons = figures.steps.iter().flat_map(|step| step.failed.iter().flat_map(|failed| &failed.reasons));
    let first = reasons.into_iter().next().map_or("they hold no samples", String::as_str);
    bail!("nothing to report: none of the {runs} runs in {} could be used; the first: {first}", dir.display())
}

/// Name of the directory of the charts' files, beside a page of this stem.
pub fn charts_dir_name(stem: &str) -> String {
    format!("{stem}-charts")
}

/// What stands against the figures as a whole.
pub fn caveats(figures: &Figures) -> Vec<Text> {
    let mut items = Vec::new();
    let hosts = &figures.manifest.hosts;
    if figures.manifest.is_shared_host {
        let cpus = hosts[0].manifest.cpus;
        items.push(text!(
            "Broker, load generator, prober and collectors shared one machine with {cpus} CPUs. What one takes the others lack: \
             throughput and latency include that competition, and a broker that uses less CPU leaves more to its own load. \
             Figures of this kind rank; they do not state what a broker can do on hardware of its own.",
            "服务端、负载发生器、探测器与采集器共用一台 {cpus} 个 CPU 的机器，此消彼长：吞吐与延迟包含这种竞争，用 CPU 少的服务端给自己的负载留得更多。\
             这类数据可以排序，不能说明服务端在独占硬件上的能力。"
        ));
    } else if hosts.is_empty() {
        items.push(Text::pair("The runs do not say on which machines they ran.", "运行没有说明在哪些机器上进行。"));
    }
    if figures.is_plain {
        items.push(Text::pair(
            "No playbook made these runs: nobody marked phases, judged gates or interleaved the targets, and what was not written \
             down is shown as not recorded.",
            "这些运行不是由 playbook 进行的：没有阶段标记、门限检查，也没有交替进行；未记下的内容以“未记录”示出。",
        ));
    }
    items.extend(unequal_background(figures));
    match figures.repeats as usize {
        0..2 => items.push(Text::pair(
            "With a single repeat nothing is known of the noise: a difference may be chance.",
            "只有一次重复，对噪声一无所知：差异可能出于偶然。",
        )),
        n if n < INTERVAL_REPEATS_MIN => {
            let (count, odds) = (format::count(n), format::number(1.0 / chance_apart(n, n)));
            items.push(text!(
                "With {count} repeats there are no confidence intervals, only ranges, and they prove little: the ranges of two \
                 equal brokers lie apart in one comparison out of {odds}.",
                "{count}次重复没有置信区间，只有范围，证明力很弱：两个相同的服务端在 {odds} 次比较中就有一次范围不相交。"; count
            ));
        }
        _ => {}
    }
    items.extend(figures.clocks.iter().map(HostClock::text));
    items.extend(figures.plan.caveats.iter().chain(&figures.plan.notes).map(Text::same));
    items
}

/// Idle hosts that did not idle alike: probes or keep-alives of one and not of the other cost CPU and context switches.
fn unequal_background(figures: &Figures) -> Option<Text> {
    if figures.targets.len() != 2 {
        return None;
    }
    let is_idle = |step: &&StepFigures| matches!(step.kind, StepKind::Idle | StepKind::Connections);
    let pair = |step: &StepFigures| {
        let [a, b] = [0, 1].map(|target| step.estimate(Metric::TxPackets, target).map(|found| found.mean));
        let (a, b) = (a?, b?);
        let (least, most) = (a.min(b), a.max(b));
        let (name, a, b) = (&step.name, format::number(a), format::number(b));
        (most > BACKGROUND_PACKETS_MIN && most > 2.0 * least)
            .then(|| text!("{name} {a} and {b} packets/s", "{name} 为 {a} 与 {b} 包/s"))
    };
    let parts: Vec<Text> = figures.steps.iter().filter(is_idle).filter_map(pair).collect();
    let listed = Text::listed(&parts);
    (!parts.is_empty()).then(|| {
        text!(
            "The hosts did not idle alike: what they sent with A and with B differs ({listed}). CPU and context switches of these \
             steps compare unequal loads.",
            "空闲时两台主机的负载并不相同：A 与 B 发送的数据不同（{listed}）。这些步骤的 CPU 与上下文切换比较的是不同的负载。"; listed
        )
    })
}

/// The rows of the main table.
pub fn main_rows(figures: &Figures) -> Vec<(&StepFigures, &Row)> {
    let metrics = figures.steps.iter().flat_map(move |step| {
        let is_unheard = step.kind == StepKind::Throughput && step.row(Metric::DeliveredPerS).is_none();
        let of_step = match step.kind {
            kind if figures.is_plain => plain_metrics(kind),
            _ if is_unheard => UNHEARD_METRICS,
            kind => main_metrics(kind),
        };
        of_step.iter().map(move |metric| (step, *metric))
    });
    metrics.filter_map(|(step, metric)| Some((step, step.row(metric)?))).collect()
}

/// What a reader asks of each kind of step first.
fn main_metrics(kind: StepKind) -> &'static [Metric] {
    match kind {
        StepKind::Idle => &[Metric::Rss, Metric::BrokerCpu],
        StepKind::Connections => &[Metric::ConnectRate, Metric::ConnackP99, Metric::Rss],
        StepKind::Latency => {
            use Metric::{ConnectRate, LatencyMax, LatencyP50, LatencyP99, Recovery, Rss};
            &[LatencyP50, LatencyP99, LatencyMax, Recovery, ConnectRate, Rss]
        }
        StepKind::Throughput => {
            use Metric::{AllBack, CpuPerMessage, DeliveredPerS, LatencyP50, LatencyP99, Lost, Recovery};
            &[DeliveredPerS, Lost, CpuPerMessage, LatencyP50, LatencyP99, Recovery, AllBack]
        }
    }
}

/// The same where messages are published and nobody subscribes.
const UNHEARD_METRICS: &[Metric] = &[Metric::SentPerS, Metric::AckedPerS, Metric::BrokerCpu, Metric::Rss];

/// The same where only the broker's host was sampled.
fn plain_metrics(kind: StepKind) -> &'static [Metric] {
    match kind {
        StepKind::Idle => &[Metric::Rss, Metric::Vsz, Metric::Ctxt],
        StepKind::Connections => &[Metric::Connections, Metric::ConnectRate, Metric::Rss, Metric::Vsz, Metric::Ctxt],
        StepKind::Latency => main_metrics(StepKind::Latency),
        StepKind::Throughput => &[
            Metric::DeliveredPerS,
            Metric::TxMib,
            Metric::RxMib,
            Metric::Ctxt,
            Metric::Retrans,
            Metric::Estab,
            Metric::Rss,
            Metric::BrokerCpu,
        ],
    }
}

fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}: choose another place with -o FILE", path.display()))
}

/// Less is a host's own chatter, packets/s.
const BACKGROUND_PACKETS_MIN: f64 = 100.0;
/// Name of the report without extension.
pub const REPORT_STEM: &str = "report";
/// Its forms: the page first.
pub const REPORT_EXTENSIONS: [&str; 4] = ["html", "json", "md", "csv"];
