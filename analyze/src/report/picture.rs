//! Which charts a report has, and the words that go with them.

use super::charts::bars::{self, Bar, Group};
use super::charts::frame::{Axis, DrawResult, Legend, Picture};
use super::charts::lines::{self, ErrorBar, Line};
use super::charts::{Chart, curve};
use super::console;
use super::course;
use super::experiment::StepKind;
use super::figures::{Figures, StepFigures};
use super::format::{estimate, number};
use super::metric::Metric;
use super::text::Text;
use super::timeline::Quantity;
use crate::stats::estimate::INTERVAL_REPEATS_MIN;
use crate::text;

/// Every chart with its anchor, in the order of presentation.
pub fn all(figures: &Figures) -> Vec<(String, Chart)> {
    let mut charts = bar_charts(figures);
    let mut push = |id: String, chart: Option<Chart>| charts.extend(chart.map(|chart| (id, chart)));
    for step in figures.steps.iter().filter(|step| !step.curves.is_empty()) {
        push(format!("curve-{}", step.name), Some(curve_chart(figures, step)));
    }
    if figures.memory.iter().any(|memory| memory.points.len() > 1) {
        push("memory".to_owned(), Some(memory_chart(figures)));
    }
    push("scheduling-connections".to_owned(), over_connections(figures, Metric::Ctxt));
    for step in &figures.steps {
        push(format!("time-{}", step.name), course::of_step(figures, step));
    }
    charts.extend(console::charts(figures));
    charts
}

/// Whether a step pairs each publisher with a subscriber of its own (N:N) rather than fanning out.
fn is_pairs(step: &StepFigures) -> bool {
    let name = step.name.to_ascii_lowercase();
    name.starts_with("nn") || name.contains("n2n")
}

fn bar_charts(figures: &Figures) -> Vec<(String, Chart)> {
    let all: Vec<&StepFigures> = figures.steps.iter().collect();
    let of = |kind: StepKind| figures.steps_of(kind).collect::<Vec<_>>();
    let messages = of(StepKind::Throughput);
    let (pairs, fans): (Vec<&StepFigures>, Vec<&StepFigures>) = messages.iter().partition(|step| is_pairs(step));
    // Where nobody subscribed, what was sent; where nobody counted messages, the bytes that left the host are what there is.
    let any = |metric: &Metric| messages.iter().any(|step| has(step, *metric));
    let delivery = [Metric::DeliveredPerS, Metric::SentPerS].into_iter().find(any).unwrap_or(Metric::TxMib);
    let scheduling = Text::pair("Scheduling: context switches by step", "调度：各步骤的上下文切换");
    [
        ("throughput", Text::pair("Throughput by QoS and payload", "吞吐（按 QoS 与载荷）"), delivery, &fans),
        ("pairs", Text::pair("N:N delivery", "N:N 交付"), delivery, &pairs),
        ("scheduling", scheduling, Metric::Ctxt, &messages),
        ("retransmissions", Text::pair("TCP segments sent again", "TCP 重传"), Metric::Retrans, &messages),
        (
            "cpu",
            Text::pair("Broker CPU per delivered message", "每条投递消息的服务端 CPU"),
            Metric::CpuPerMessage,
            &messages,
        ),
        ("latency-p99", Text::pair("Latency p99 by step", "各步骤的延迟 p99"), Metric::LatencyP99, &all),
        ("connect-rate", Text::pair("Connection rate", "建连速率"), Metric::ConnectRate, &all),
        ("connack", Text::pair("CONNACK latency p99", "CONNACK 延迟 p99"), Metric::ConnackP99, &all),
        ("generator", Text::pair("Saturation of the load generator", "负载发生器饱和度"), Metric::LoadCpu, &all),
        ("send-lag", Text::pair("Lateness of the load generator", "负载发生器的迟到"), Metric::SendLagP99, &messages),
    ]
    .into_iter()
    .filter_map(|(id, title, metric, steps)| {
        let of_metric: Vec<&StepFigures> =
            steps.iter().copied().filter(|step| has(step, metric) || !step.failed.is_empty()).collect();
        let is_known = of_metric.iter().any(|step| has(step, metric)) || metric == delivery;
        let is_worth_it = metric != Metric::Retrans || of_metric.iter().any(|step| step.is_above_zero(metric));
        (is_known && is_worth_it && !of_metric.is_empty())
            .then(|| (id.to_owned(), bar_chart(figures, title, metric, &of_metric)))
    })
    .collect()
}

fn has(step: &StepFigures, metric: Metric) -> bool {
    step.row(metric).is_some_and(|row| row.figures.iter().any(|figure| figure.estimate.is_some()))
}

fn bar_chart(figures: &Figures, title: Text, metric: Metric, steps: &[&StepFigures]) -> Chart {
    let bar = |step: &StepFigures, target: usize| match step.estimate(metric, target) {
        Some(found) => Bar::Value(found.mean, found.bar()),
        None if step.failed_of(&figures.targets[target].label).next().is_some() => Bar::Failed,
        None => Bar::Absent,
    };
    let places = 0..figures.targets.len();
    let group = |step: &&StepFigures| Group {
        name: step.name.clone(),
        bars: places.clone().map(|target| bar(step, target)).collect(),
    };
    let groups: Vec<Group> = steps.iter().map(group).collect();
    let labels: Vec<String> = figures.targets.iter().map(|target| target.label.clone()).collect();
    let words = |step: &&StepFigures| {
        let of = |target: usize| {
            let label = &labels[target];
            match (bar(step, target), step.estimate(metric, target)) {
                (Bar::Failed, _) => text!("{label} failed", "{label} 失败"),
                (_, Some(found)) => Text::same(format!("{label} {}", estimate(found))),
                (_, None) => text!("{label} none", "{label} 无"),
            }
        };
        let (name, values) =
            (&step.name, Text::join(&places.clone().map(of).collect::<Vec<_>>(), &Text::pair(", ", "，")));
        text!("{name}: {values}", "{name}：{values}"; values)
    };
    let (axis, unit) = (metric.name(), metric.unit_text());
    let values = Text::listed(&steps.iter().map(words).collect::<Vec<_>>());
    let alt =
        text!("Bar chart of {axis} ({unit}). {values}.", "柱状图：{axis}（{unit}）。{values}。"; axis, unit, values);
    let n = figures.repeats;
    let bars = error_bars(n);
    let caption = text!(
        "{axis}, {unit}: mean over the repeats (n={n} planned per bar); error bars: {bars}. A hatched box is a failed point, not \
         a zero.",
        "{axis}，{unit}：各次重复的均值（每柱计划 n={n}）；误差线：{bars}。斜线框是失败的点，不是零。"; axis, unit, bars
    );
    chart(title, caption, alt, bars::draw(&groups, &labels, metric.axis(), &legend(figures, false)))
}

/// What the ends of an error bar are.
fn error_bars(repeats: u32) -> Text {
    if repeats == 1 {
        Text::pair("none, because there is one repeat", "无，因为只有一次重复")
    } else if repeats as usize >= INTERVAL_REPEATS_MIN {
        Text::pair(
            "the 95 % interval, or from the least to the greatest repeat",
            "95 % 置信区间，或最小到最大的一次重复",
        )
    } else {
        Text::pair("from the least to the greatest repeat", "最小到最大的一次重复")
    }
}

fn curve_chart(figures: &Figures, step: &StepFigures) -> Chart {
    let is_connack = step.kind == StepKind::Connections;
    let noun = if is_connack { Text::pair("connections", "个连接") } else { Text::pair("messages", "条消息") };
    let count = |curve: &super::figures::LatencyCurves| {
        let (label, count, noun) = (&curve.label, number(curve.count as f64), &noun);
        text!("{label} n={count} {noun}", "{label} n={count} {noun}"; noun)
    };
    let counts = Text::listed(&step.curves.iter().map(count).collect::<Vec<_>>());
    let tail = |curve: &super::figures::LatencyCurves| {
        let (quantile, us) = curve.corrected.last()?;
        let (label, us, percent) = (&curve.label, number(*us), format!("{:.3}", quantile * 100.0));
        Some(text!("{label} reaches {us} µs at {percent} %", "{label} 在 {percent} % 处达到 {us} µs"))
    };
    let tails = Text::listed(&step.curves.iter().filter_map(tail).collect::<Vec<_>>());
    let name = &step.name;
    let failed = failed_words(step);
    let caption = if is_connack {
        text!(
            "From the begin of the TCP connect to the CONNACK, by percentile, all repeats pooled ({counts}). The curve ends at \
             the highest percentile that the count allows.{failed}",
            "从 TCP 连接开始到 CONNACK 的时间（按百分位），合并所有重复（{counts}）。曲线止于样本数允许的最高百分位。{failed}"; counts, failed
        )
    } else {
        text!(
            "Latency by percentile, all repeats pooled ({counts}). Thick: from the due time. Thin: from the actual send, which \
             hides what a stall delayed. The curve ends at the highest percentile that the count allows.{failed}",
            "按百分位的延迟，合并所有重复（{counts}）。粗线：自应发时刻；细线：自实际发送，会掩盖停顿造成的延误。曲线止于样本数允许的最高百分位。{failed}"; counts, failed
        )
    };
    let alt = text!(
        "Latency percentile curves of {name}, logarithmic axes. {tails}.",
        "{name} 的延迟百分位曲线，对数坐标。{tails}。"; tails
    );
    let title = if is_connack {
        text!("CONNACK latency curve, {name}", "CONNACK 延迟曲线，{name}")
    } else {
        text!("Latency curve, {name}", "延迟曲线，{name}")
    };
    let picture = curve::draw(&step.curves, |label| place(figures, label), &legend(figures, true));
    chart(title, caption, alt, picture)
}

/// Which points of the step are missing in its chart because they failed.
fn failed_words(step: &StepFigures) -> Text {
    let points: Vec<String> = step.failed.iter().map(|failed| format!("{} #{}", failed.label, failed.repeat)).collect();
    let points = points.join(", ");
    if points.is_empty() {
        Text::default()
    } else {
        text!(" Failed, and left out: {points}.", "失败而未计入：{points}。")
    }
}

fn memory_chart(figures: &Figures) -> Chart {
    let fit = |memory: &super::figures::MemoryFigures| {
        let line = memory.line?;
        let (label, bytes, base) = (&memory.label, number(line.bytes_per_connection), number(line.baseline_mib));
        let error = line.bytes_error.map_or_else(String::new, |error| format!(" ± {}", number(error)));
        let (r2, off) = (format!("{:.4}", line.r_squared), number(line.residual_mib_max));
        let n = memory.points.len();
        Some(text!(
            "{label}: {bytes}{error} B per connection above {base} MiB (± standard error; r² {r2}, no point farther than {off} \
             MiB off, n={n} points)",
            "{label}：每连接 {bytes}{error} B，截距 {base} MiB（± 标准误；r² {r2}，最大偏差 {off} MiB，n={n} 个点）"
        ))
    };
    let words = Text::listed(&figures.memory.iter().filter_map(fit).collect::<Vec<_>>());
    let caption = text!(
        "Resident memory of the broker against connections held, every repeat a marker, with the fitted line. {words}.",
        "服务端常驻内存随连接数的变化，每次重复一个标记，含拟合直线。{words}。"; words
    );
    let alt = text!(
        "Scatter chart of broker memory against connections. {words}.", "服务端内存与连接数的散点图。{words}。"; words
    );
    let all = || figures.memory.iter().flat_map(|memory| &memory.points);
    let connections_max = all().map(|point| point.0).fold(0.0, f64::max);
    let x = Axis::from_zero(connections_max, Text::pair("connections held", "保持的连接数"));
    let top = all().map(|point| point.1).fold(0.0, f64::max) * 1.05;
    let y = Axis::from_zero(top, Quantity::Rss.axis());
    let mut drawn = Vec::new();
    for (target, memory) in figures.memory.iter().enumerate() {
        if let Some(line) = memory.line {
            let at = |x: f64| (x, (line.baseline_mib + line.bytes_per_connection * x / MIB).max(0.0));
            let points = vec![at(0.0), at(connections_max)];
            drawn.push(Line { target, points, width: 2, has_markers: false, is_failed: false });
        }
        drawn.push(Line { target, points: memory.points.clone(), width: 0, has_markers: true, is_failed: false });
    }
    let title = Text::pair("Memory over connections", "内存随连接数的变化");
    let failed = failed_at(figures);
    let caption = with_failed(figures, caption, &failed);
    let picture = lines::draw_scatter(&x, &y, &drawn, &[], &crosses(&failed, connections_max), &legend(figures, true));
    chart(title, caption, alt, picture)
}

/// Idle and connection steps that failed with a target in every repeat: step, place of the target, and how many connections
/// another target held in the step.
fn failed_at(figures: &Figures) -> Vec<(&StepFigures, usize, Option<f64>)> {
    let is_plain = |step: &&StepFigures| step.kind != StepKind::Throughput;
    let places = 0..figures.targets.len();
    let of_step = |step| {
        let held = places.clone().find_map(|other| Some(StepFigures::estimate(step, Metric::Connections, other)?.mean));
        let is_failed = move |target: &usize| {
            let is_known = step.estimate(Metric::Connections, *target).is_some();
            !is_known && step.failed_of(&figures.targets[*target].label).next().is_some()
        };
        places.clone().filter(is_failed).map(move |target| (step, target, held))
    };
    figures.steps.iter().filter(is_plain).flat_map(of_step).collect()
}

/// Where a failed point's cross stands: among the others, or at the right edge where nobody held connections in its step.
fn crosses(failed: &[(&StepFigures, usize, Option<f64>)], edge: f64) -> Vec<(usize, f64)> {
    failed.iter().map(|(_, target, held)| (*target, held.unwrap_or(edge))).collect()
}

fn with_failed(figures: &Figures, caption: Text, failed: &[(&StepFigures, usize, Option<f64>)]) -> Text {
    let name = |(step, target, _): &(&StepFigures, usize, Option<f64>)| {
        Text::same(format!("{} {}", figures.targets[*target].label, step.name))
    };
    let names = Text::join(&failed.iter().map(name).collect::<Vec<_>>(), &Text::pair(", ", "，"));
    match failed {
        [] => caption,
        _ => text!(
            "{caption} Crosses on the axis are failed points: {names}.", "{caption}轴上的叉号是失败的点：{names}。"; caption, names
        ),
    }
}

/// A metric of the idle and connection steps over the connections that they held.
fn over_connections(figures: &Figures, metric: Metric) -> Option<Chart> {
    let points = |target: usize| {
        let point = |step: &StepFigures| {
            let held = step.estimate(Metric::Connections, target).filter(|_| step.holds_connections(target))?;
            Some((held.mean, step.estimate(metric, target)?.mean))
        };
        let mut points: Vec<(f64, f64)> = figures.steps.iter().filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let drawn: Vec<Line> = (0..figures.targets.len())
        .map(|target| Line { target, points: points(target), width: 2, has_markers: true, is_failed: false })
        .filter(|line| line.points.len() > 1)
        .collect();
    let all = || drawn.iter().flat_map(|line| &line.points);
    let x = Axis::from_zero(all().map(|p| p.0).fold(0.0, f64::max), Text::pair("connections held", "保持的连接数"));
    let bars: Vec<ErrorBar> = (0..figures.targets.len())
        .flat_map(|target| {
            let bar = move |step: &StepFigures| {
                let (x, found) = (step.estimate(Metric::Connections, target)?.mean, step.estimate(metric, target)?);
                (found.n > 1 && step.holds_connections(target)).then(|| ErrorBar { target, x, range: found.bar() })
            };
            figures.steps.iter().filter_map(bar)
        })
        .collect();
    let top = all().map(|p| p.1).chain(bars.iter().map(|bar| bar.range.1)).fold(0.0, f64::max);
    let y = Axis::from_zero(top * 1.05, metric.axis());
    let of = |line: &Line| {
        let label = &figures.targets[line.target].label;
        let (connections, value) = line.points.last().map(|(x, y)| (number(*x), number(*y)))?;
        Some(text!("{label} {value} at {connections} connections", "{label} 在 {connections} 连接时为 {value}"))
    };
    let words = Text::listed(&drawn.iter().filter_map(of).collect::<Vec<_>>());
    let (name, unit, n) = (metric.name(), metric.unit_text(), figures.repeats);
    let bars_words = if bars.is_empty() {
        Text::default()
    } else {
        let bars = error_bars(n);
        text!("; error bars: {bars}", "；误差线：{bars}"; bars)
    };
    let caption = text!(
        "{name}, {unit}, over connections held: mean over the repeats of each step (n={n} planned){bars_words}.",
        "{name}（{unit}）随连接数的变化：每个步骤为各次重复的均值（计划 n={n}）{bars_words}。"; name, unit, bars_words
    );
    let failed = failed_at(figures);
    let caption = with_failed(figures, caption, &failed);
    let alt = text!("Line chart of {name} over connections. {words}.", "折线图：{name}随连接数的变化。{words}。"; name, words);
    let title = text!("{name} over connections", "{name}随连接数的变化"; name);
    let crosses = crosses(&failed, x.range.end);
    let picture = || lines::draw_scatter(&x, &y, &drawn, &bars, &crosses, &legend(figures, true));
    (!drawn.is_empty()).then(|| chart(title, caption, alt, picture()))
}

/// A chart of what was drawn.
pub(super) fn chart(title: Text, caption: Text, alt: Text, picture: DrawResult<Picture>) -> Chart {
    let picture = picture.expect("drawing on a string cannot fail");
    Chart { title, caption, alt, picture }
}

/// The targets of every chart.
pub(super) fn legend(figures: &Figures, has_lines: bool) -> Legend {
    let name =
        |(place, target): (usize, &super::experiment::Target)| (place, format!("{} {}", target.label, target.name));
    Legend { targets: figures.targets.iter().enumerate().map(name).collect(), has_lines }
}

/// A label's place among the targets.
pub(super) fn place(figures: &Figures, label: &str) -> usize {
    figures.targets.iter().position(|target| target.label == label).unwrap_or(0)
}

const MIB: f64 = 1_048_576.0;
