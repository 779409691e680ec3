//! Receive rates as terminals showed them: console logs of emqtt_bench and `loadgen` that lie among runs which no playbook
//! started.
//!
//! A log belongs to the target whose name is a word of its file's name, or of a folder above it. The runs of a log are
//! numbered in their order, and those of two targets are laid side by side where the rest of the names is the same
//! (`axmq-n2n.txt` and `emqx-n2n.txt`). Rates are those of [`crate::console`]: differences of totals over the whole seconds
//! between their lines.

use std::path::Path;

use runlog::Warning;
use runlog::console::{self, ConsoleRun};
use serde::Serialize;

use super::charts::Chart;
use super::charts::frame::Axis;
use super::charts::lines::{self, Backdrop, Line};
use super::experiment::Target;
use super::figures::Figures;
use super::format::number;
use super::picture::{chart, legend, place};
use super::text::Text;
use crate::console::rates;
use crate::stats::median;
use crate::text;

/// One run of a log.
#[derive(Debug, Serialize)]
pub struct ConsoleCourse {
    /// The log, below the directory of the report.
    pub file: String,
    /// The line at which the run begins.
    pub line: u64,
    /// Label of the target.
    pub label: String,
    /// What the names of logs have in common that belong together.
    pub group: String,
    /// Place among the log's runs of subscribers, from 1.
    pub run: usize,
    /// Time since the run's begin, s; messages per second.
    pub points: Vec<(f64, f64)>,
    /// Messages in all.
    pub total: u64,
    /// The command line, where the log shows it.
    pub command: Option<String>,
    /// Median of the rates.
    pub median_per_s: f64,
}

/// The runs of subscribers in all logs below `dir`. A log that names no target is told of in the warnings.
pub fn find(dir: &Path, targets: &[Target]) -> (Vec<ConsoleCourse>, Vec<Warning>) {
    let (mut courses, mut warnings) = (Vec::new(), Vec::new());
    for path in console::find(dir).unwrap_or_default() {
        let Ok(log) = console::read(&path) else { continue };
        let runs: Vec<&ConsoleRun> = log.value.iter().filter(|run| run.counters.contains_key(RECEIVED)).collect();
        if runs.is_empty() {
            continue;
        }
        warnings.extend(log.warnings);
        let file = path.strip_prefix(dir).unwrap_or(&path).with_extension("").display().to_string();
        let words: Vec<&str> = file.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let is_named = |target: &&Target| words.iter().any(|word| word.eq_ignore_ascii_case(&target.name));
        let Some(target) = targets.iter().find(is_named) else {
            let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
            let message = format!(
                "a console log whose name holds none of the targets' names ({}): left out; put one into it",
                names.join(", ")
            );
            warnings.push(Warning { file: path, line: None, message });
            continue;
        };
        let rest: Vec<&str> = words.iter().copied().filter(|word| !word.eq_ignore_ascii_case(&target.name)).collect();
        let of_run = |(place, run): (usize, &&ConsoleRun)| {
            let rates = rates(run, RECEIVED);
            let values: Vec<f64> = rates.iter().map(|point| point.per_s).collect();
            Some(ConsoleCourse {
                file: path.strip_prefix(dir).unwrap_or(&path).display().to_string(),
                line: run.line,
                label: target.label.clone(),
                group: rest.join("-"),
                run: place + 1,
                points: rates.iter().map(|point| (point.at_s as f64, point.per_s)).collect(),
                total: run.counters[RECEIVED].last()?.total,
                median_per_s: median(&values)?,
                command: run.command.clone(),
            })
        };
        courses.extend(runs.iter().enumerate().filter_map(of_run));
    }
    (courses, warnings)
}

/// One chart per group and run, with an anchor.
pub(super) fn charts(figures: &Figures) -> Vec<(String, Chart)> {
    let mut keys: Vec<(&str, usize)> =
        figures.consoles.iter().map(|course| (course.group.as_str(), course.run)).collect();
    keys.sort_unstable();
    keys.dedup();
    let one = |(group, run): (&str, usize)| {
        let courses: Vec<&ConsoleCourse> =
            figures.consoles.iter().filter(|course| (course.group.as_str(), course.run) == (group, run)).collect();
        Some((format!("console-{group}-{run}"), of_run(figures, group, run, &courses)?))
    };
    keys.into_iter().filter_map(one).collect()
}

fn of_run(figures: &Figures, group: &str, run: usize, courses: &[&ConsoleCourse]) -> Option<Chart> {
    let all = || courses.iter().flat_map(|course| &course.points);
    let (begin, end) = all().fold((f64::MAX, f64::MIN), |(begin, end), (t, _)| (begin.min(*t), end.max(*t)));
    if end <= begin {
        return None;
    }
    let x = Axis::within(begin..end, Text::pair("time since the begin of the run, s", "自运行开始的时间，s"));
    let y = Axis::from_zero(
        all().map(|(_, rate)| *rate).fold(0.0, f64::max) * 1.08,
        Text::pair("received, msg/s", "接收，条/s"),
    );
    let line = |course: &&ConsoleCourse| {
        let target = place(figures, &course.label);
        let width = if target == 0 { 3 } else { 2 };
        Line { target, points: course.points.clone(), width, has_markers: false, is_failed: false }
    };
    let drawn: Vec<Line> = courses.iter().map(line).collect();
    let words = |course: &&ConsoleCourse| {
        let ConsoleCourse { label, file, line, points, total, median_per_s, .. } = course;
        let (n, total, median) = (points.len(), number(*total as f64), number(*median_per_s));
        text!(
            "{label}: median {median} msg/s of {n} lines, {total} messages in all ({file}, from line {line})",
            "{label}：{n} 行的中位数 {median} 条/s，共 {total} 条消息（{file}，自第 {line} 行）"
        )
    };
    let parts = Text::listed(&courses.iter().map(words).collect::<Vec<_>>());
    let missing: Vec<&str> = figures
        .targets
        .iter()
        .map(|target| target.label.as_str())
        .filter(|label| !courses.iter().any(|course| course.label == *label))
        .collect();
    let missing = missing.join(", ");
    let without = if missing.is_empty() {
        Text::default()
    } else {
        text!(" There is no log of {missing}.", "没有 {missing} 的日志。")
    };
    let typed: Vec<&str> = courses.iter().filter_map(|course| course.command.as_deref()).collect();
    let typed = typed.join("; ");
    let commands = if typed.is_empty() { Text::default() } else { text!(" Typed: {typed}.", "命令：{typed}。") };
    let caption = text!(
        "Receive rate by the totals on the subscribers' terminal, whose stamps are whole seconds; one run each. \
         {parts}.{without}{commands}",
        "由订阅端终端上的总数得出的接收速率，时间戳为整秒；各一次运行。{parts}。{without}{commands}"; parts, without, commands
    );
    let alt = text!("Line chart of the receive rate over time. {parts}.", "接收速率随时间的折线图。{parts}。"; parts);
    let title =
        text!("Receive rate on the console: {group}, run {run}", "控制台所示接收速率：{group}，第 {run} 次运行");
    let picture = lines::draw(lines::WIDE, &x, &y, &drawn, &Backdrop::default(), &legend(figures, true));
    Some(chart(title, caption, alt, picture))
}

/// The counter of messages received.
const RECEIVED: &str = "recv";
