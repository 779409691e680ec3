//! What may be said, in sentences, the most important first, each with a link to its evidence.
//!
//! First three sentences for those who read no further: what counts, what differs, what it costs. Then one per finding. The
//! sentences are honest about counts: an interval needs three repeats, a load that both targets carried whole does not
//! separate them, and a failed point is named instead of compared.
//! The module `many` has the sentences for more than two targets.

mod many;

use serde::Serialize;

use super::experiment::StepKind;
use super::figures::{Figure, Figures, Pooled, StepFigures};
use super::format::{self, contrast_sentence, estimate, number};
use super::main_rows;
use super::metric::{Better, Metric};
use super::steady::{Course, Steadiness};
use super::text::Text;
use crate::audit::Severity;
use crate::claims::Verdict as Judgement;
use crate::stats::estimate::INTERVAL_REPEATS_MIN;
use crate::stats::{Contrast, Estimate, Verdict};
use crate::text;

/// One sentence and the part of the report that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictLine {
    /// What may be said.
    #[serde(flatten)]
    pub text: Text,
    /// Anchor of the evidence in the report.
    pub anchor: String,
}

impl VerdictLine {
    fn new(text: Text, anchor: &str) -> Self {
        Self { text, anchor: anchor.to_owned() }
    }
}

/// Three sentences: what counts, what differs, what a connection or a message costs (or what became of published claims).
pub fn headline(figures: &Figures) -> Vec<VerdictLine> {
    let difference = if figures.targets.len() > 2 { many::difference(figures) } else { difference(figures) };
    let mut lines = vec![validity(figures), difference];
    lines.push(claims(figures).or_else(|| cost(figures)).unwrap_or_else(|| {
        if figures.targets.len() != 2 {
            return cost_alone(figures);
        }
        let text = Text::pair(
            "Neither the cost of a connection nor that of a message can be compared: one side or both have no valid figure.",
            "每连接与每消息的开销都无法比较：一方或双方没有有效数据。",
        );
        VerdictLine::new(text, "failed")
    }));
    lines
}

/// All other sentences.
pub fn lines(figures: &Figures) -> Vec<VerdictLine> {
    let mut lines = Vec::new();
    if figures.targets.len() == 2 {
        if figures.is_control() {
            let text = Text::pair(
                "Control: A and B are the same program (equal SHA-256), so every difference below is noise of this machine.",
                "对照：A 与 B 是同一程序（SHA-256 相同），下面的一切差异都是本机噪声。",
            );
            lines.push(VerdictLine::new(text, "targets"));
        }
        lines.extend(throughput(figures));
        lines.extend(cpu(figures));
        lines.extend(figures.steps_of(StepKind::Latency).map(|step| latency(figures, step)));
        lines.extend(memory(figures));
        let is_counted = |step: &&StepFigures| !figures.is_plain || step.row(Metric::ConnectRate).is_some();
        lines.extend(
            figures.steps_of(StepKind::Connections).filter(is_counted).last().map(|step| connections(figures, step)),
        );
    }
    if figures.targets.len() > 2 {
        lines.extend(many::lines(figures));
    }
    lines.extend(steadiness(figures));
    lines.extend(failures(figures));
    lines
}

/// The id of a step's section.
pub fn anchor(step: &str) -> String {
    format!("step-{step}")
}

/// How many points there are, and how many failed.
fn counts(figures: &Figures) -> (usize, usize) {
    let failed = figures.steps.iter().map(|step| step.failed.len()).sum();
    (failed, figures.steps.len() * figures.targets.len() * figures.repeats as usize)
}

fn validity(figures: &Figures) -> VerdictLine {
    let (failed, points) = counts(figures);
    let doubt = match figures.repeats as usize {
        1 => Text::pair("with a single repeat nothing is known of the noise", "只有一次重复，对噪声一无所知"),
        n if n < INTERVAL_REPEATS_MIN => {
            let n = format::count(n);
            text!("{n} repeats allow ranges and no confidence intervals", "{n}次重复只能给出范围，不能给出置信区间"; n)
        }
        n => text!("{n} repeats allow confidence intervals", "{n} 次重复可给出置信区间"),
    };
    let moving = unsteady(figures).len();
    let moving_words = match moving {
        0 => Text::default(),
        _ => text!("; {moving} of those that count were not steady", "；计入的点中有 {moving} 个不平稳"),
    };
    let text = match failed {
        0 => text!(
            "What counts: all {points} points passed their gates, and {doubt}{moving_words}.",
            "有效性：全部 {points} 个点通过门限检查；{doubt}{moving_words}。"; doubt, moving_words
        ),
        _ => text!(
            "What counts: {failed} of {points} points failed and enter no figure; of the others, {doubt}{moving_words}.",
            "有效性：{points} 个点中有 {failed} 个失败，不计入任何数据；其余的点{doubt}{moving_words}。"; doubt, moving_words
        ),
    };
    VerdictLine::new(text, if failed == 0 && moving > 0 { "steady" } else { "failed" })
}

/// On how many of the main figures which target is better, and where the difference is largest.
fn difference(figures: &Figures) -> VerdictLine {
    let rows: Vec<_> =
        main_rows(figures).into_iter().filter(|(_, row)| row.metric.better() != Better::Neither).collect();
    let (mut better, mut worse, mut level, mut void) = (0, 0, 0, 0);
    let mut largest: Option<(f64, Text)> = None;
    for (step, row) in &rows {
        let Some(contrast) = &row.contrast else {
            // Two zeros have no ratio, and are no difference either.
            let is_zero = row.figures.iter().all(|f| f.estimate.as_ref().is_some_and(|e| e.mean == 0.0));
            if is_zero {
                level += 1;
            } else {
                void += 1;
            };
            continue;
        };
        let is_sure = matches!(contrast.verdict, Verdict::Different | Verdict::Apart | Verdict::Single);
        if !is_sure || contrast.percent.abs() < SAME_PERCENT {
            level += 1;
            continue;
        }
        let is_better = (contrast.percent > 0.0) == (row.metric.better() == Better::Higher);
        if is_better {
            better += 1;
        } else {
            worse += 1;
        };
        let size = if contrast.ratio > 0.0 { contrast.ratio.ln().abs() } else { 0.0 };
        if largest.as_ref().is_none_or(|(most, _)| size > *most) {
            let (name, step, how) = (row.metric.name(), &step.name, format::contrast(contrast));
            largest = Some((size, text!("{name} at {step}, {how}", "{step} 的{name}，{how}"; name, how)));
        }
    }
    if figures.targets.len() != 2 {
        let text = Text::pair(
            "What differs: there is one target, and nothing to compare it with.",
            "差异：只有一个被测对象，无可比较。",
        );
        return VerdictLine::new(text, "figures");
    }
    let all = rows.len();
    let largest = largest.map_or_else(
        Text::default,
        |(_, what)| text!("; the largest difference is {what}", "；最大差异为{what}"; what),
    );
    let void = match void {
        0 => Text::default(),
        n => text!(", {n} cannot be compared", "，{n} 项无法比较"),
    };
    let level = match level {
        0 => Text::default(),
        n => text!("; {n} do not separate the two", "；{n} 项无法区分"),
    };
    let text = match figures.repeats {
        // One run of each proves nothing of the brokers, only of these runs.
        1 => text!(
            "What differs: in one run of each, of {all} main figures A's is the better in {better} and the worse in {worse}\
             {level}{void}, and nothing says that another run would show the same{largest}.",
            "差异：各只有一次运行，在 {all} 项主要指标中，A 较优 {better} 项、较劣 {worse} 项{level}{void}，无从得知再次运行是否相同{largest}。";
            level, void, largest
        ),
        _ => text!(
            "What differs: of {all} main figures A is better in {better} and worse in {worse}{level}{void}{largest}.",
            "差异：在 {all} 项主要指标中，A 优 {better} 项、劣 {worse} 项{level}{void}{largest}。"; level, void, largest
        ),
    };
    VerdictLine::new(text, "figures")
}

/// What became of published claims.
fn claims(figures: &Figures) -> Option<VerdictLine> {
    let counts = figures.checks.counts();
    let total: usize = counts.values().sum();
    let of = |verdict: Judgement| counts.get(&verdict).copied().unwrap_or(0);
    let [exact, near, off, void] =
        [Judgement::Reproduced, Judgement::WithinTolerance, Judgement::NotReproduced, Judgement::NotTestable].map(of);
    let grave = figures.checks.audit.findings.iter().filter(|finding| finding.severity == Severity::High).count();
    let text = text!(
        "What was claimed: of {total} published figures {exact} are reproduced by the publisher's own window, {near} within \
         tolerance, {off} not, {void} cannot be tested; the audit of the data has {grave} findings by which a figure means \
         something else than it says.",
        "所作声明：{total} 个已发布的数值中，按发布者自己的窗口有 {exact} 个复现、{near} 个在容差内、{off} 个未复现、{void} 个无法检验；\
         数据审计有 {grave} 项发现使数值的含义与所说不符。"
    );
    (total > 0).then(|| VerdictLine::new(text, "claims"))
}

/// Memory per connection and CPU per message of the first against the second.
fn cost(figures: &Figures) -> Option<VerdictLine> {
    let mut parts = Vec::new();
    if let Some((a, b)) = memory_pair(figures) {
        let (a, b) = (number(a.mean), number(b.mean));
        parts.push(text!("an idle connection {a} B with A and {b} B with B", "每个空闲连接 A 为 {a} B、B 为 {b} B"));
    }
    let ratios: Vec<f64> = figures
        .steps_of(StepKind::Throughput)
        .filter_map(|step| Some(step.row(Metric::CpuPerMessage)?.contrast.as_ref()?.ratio))
        .collect();
    if let (Some(least), Some(most)) =
        (ratios.iter().copied().reduce(f64::min), ratios.iter().copied().reduce(f64::max))
    {
        let (least, most, n) = (number(least), number(most), ratios.len());
        parts.push(text!(
            "a delivered message {least} to {most} times the CPU with A that it costs with B ({n} loads)",
            "每条投递消息 A 的 CPU 为 B 的 {least} 至 {most} 倍（{n} 种负载）"
        ));
    }
    let anchor = if memory_pair(figures).is_some() { "memory" } else { "cpu" };
    let parts = Text::listed(&parts);
    (!parts.is_empty()).then(|| VerdictLine::new(text!("What it costs: {parts}.", "开销：{parts}。"; parts), anchor))
}

/// Memory per connection of targets that are not compared.
fn cost_alone(figures: &Figures) -> VerdictLine {
    let part = |memory: &super::figures::MemoryFigures| {
        let (label, bytes) = (&memory.label, estimate(memory.bytes_per_connection.as_ref()?));
        Some(text!("{label} {bytes} B", "{label} {bytes} B"))
    };
    let parts: Vec<Text> = figures.memory.iter().filter_map(part).collect();
    if parts.is_empty() {
        let text = Text::pair(
            "What it costs: nothing here says what a connection takes; that needs steps with different numbers of connections.",
            "开销：没有数据说明一个连接的开销；这需要连接数不同的步骤。",
        );
        return VerdictLine::new(text, "steps");
    }
    let parts = Text::join(&parts, &Text::pair(", ", "，"));
    let text = text!("What it costs: an idle connection takes {parts}.", "开销：每个空闲连接 {parts}。"; parts);
    VerdictLine::new(text, "memory")
}

/// One sentence for all loads that both carried whole, and one for each other.
fn throughput(figures: &Figures) -> Vec<VerdictLine> {
    let mut whole = Vec::new();
    let mut lines = Vec::new();
    for step in figures.steps_of(StepKind::Throughput) {
        let has = |metric: &Metric| step.row(*metric).is_some_and(|row| row.figures.iter().any(is_known));
        // Without subscribers what was taken is all there is; it never stands in for deliveries that nobody counted.
        let is_unheard = step.row(Metric::DeliveredPerS).is_none();
        let counts = [Metric::DeliveredPerS, Metric::AckedPerS, Metric::SentPerS];
        let counted = counts.into_iter().take(if is_unheard { 3 } else { 1 }).find(has);
        let metric = counted.unwrap_or(Metric::TxMib);
        let (a, b) = match compare(figures, step, metric) {
            Comparison::Both(a, b) => (a, b),
            Comparison::Void(reason) => {
                lines.push(line(step, &reason));
                continue;
            }
        };
        let (repeats, end) = (repeats(a, b), conclusion(step, metric, a, b));
        if matches!(metric, Metric::AckedPerS | Metric::SentPerS) {
            let (a, b) = (estimate(a), estimate(b));
            let text = if metric == Metric::AckedPerS {
                text!(
                    "A acknowledges {a} msg/s, B {b} msg/s ({repeats}); nobody subscribes{end}",
                    "A 确认 {a} 条/s，B 确认 {b} 条/s（{repeats}）；没有订阅者{end}"; repeats, end
                )
            } else {
                text!(
                    "{a} msg/s are sent to A, {b} msg/s to B ({repeats}); nobody subscribes{end}",
                    "向 A 发送 {a} 条/s，向 B 发送 {b} 条/s（{repeats}）；没有订阅者{end}"; repeats, end
                )
            };
            lines.push(line(step, &text));
            continue;
        }
        if counted.is_none() {
            let (a, b) = (estimate(a), estimate(b));
            let text = text!(
                "A's host sends {a} MiB/s, B's {b} MiB/s ({repeats}); nobody counted messages{end}",
                "A 的主机发送 {a} MiB/s，B 的 {b} MiB/s（{repeats}）；没有消息计数{end}"; repeats, end
            );
            lines.push(line(step, &text));
            continue;
        }
        let shares = [0, 1].map(|target| step.estimate(Metric::DeliveredShare, target).map_or(0.0, |e| e.min));
        if shares.iter().all(|share| *share >= WHOLE_PERCENT) {
            let (step, a, b) = (&step.name, number(a.mean), number(b.mean));
            whole.push(text!("{step} {a} and {b} msg/s", "{step} 为 {a} 与 {b} 条/s"));
            continue;
        }
        let (a, b, [share_a, share_b]) = (estimate(a), estimate(b), shares.map(number));
        let text = text!(
            "A delivers {a} msg/s ({share_a} % of what was due), B {b} msg/s ({share_b} %) ({repeats}){end}",
            "A 投递 {a} 条/s（应到的 {share_a} %），B 投递 {b} 条/s（{share_b} %）（{repeats}）{end}"; repeats, end
        );
        lines.push(line(step, &text));
    }
    if !whole.is_empty() {
        let whole = Text::join(&whole, &Text::pair(", ", "，"));
        let text = text!(
            "Throughput: A and B both deliver all that is due ({whole}), so these loads do not separate them; the CPU that they \
             spend on it, and latency, may.",
            "吞吐：A 与 B 都投递了全部应到消息（{whole}），因此这些负载不能区分二者；所耗 CPU 与延迟或许可以。"; whole
        );
        lines.insert(0, VerdictLine::new(text, "throughput"));
    }
    lines
}

/// One sentence for all steps that have the figure for both.
fn cpu(figures: &Figures) -> Option<VerdictLine> {
    let mut repeats_min = usize::MAX;
    let parts: Vec<Text> = figures
        .steps_of(StepKind::Throughput)
        .filter_map(|step| {
            let Comparison::Both(a, b) = compare(figures, step, Metric::CpuPerMessage) else { return None };
            repeats_min = repeats_min.min(a.n).min(b.n);
            let contrast = format::contrast(step.row(Metric::CpuPerMessage)?.contrast.as_ref()?);
            let (step, a, b) = (&step.name, number(a.mean), number(b.mean));
            Some(text!("{step} {a} and {b} µs ({contrast})", "{step} 为 {a} 与 {b} µs（{contrast}）"; contrast))
        })
        .collect();
    let (all, few) = (Text::listed(&parts), too_few(repeats_min));
    let text = text!(
        "CPU: per delivered message the brokers spend, A and B: {all}.{few}",
        "CPU：每条投递消息的开销，A 与 B：{all}。{few}"; all, few
    );
    (!parts.is_empty()).then(|| VerdictLine::new(text, "cpu"))
}

fn latency(figures: &Figures, step: &StepFigures) -> VerdictLine {
    let mut repeats_min = usize::MAX;
    let mut part = |metric, name: Text| match compare(figures, step, metric) {
        Comparison::Both(a, b) => {
            repeats_min = repeats_min.min(a.n).min(b.n);
            let contrast = step.row(metric).and_then(|row| row.contrast.as_ref());
            let words = contrast.map_or_else(Text::default, |contrast| {
                let words = format::contrast(contrast);
                text!(" ({words})", "（{words}）"; words)
            });
            let (a, b) = (number(a.mean), number(b.mean));
            text!("{name} {a} µs with A, {b} µs with B{words}", "{name} A 为 {a} µs，B 为 {b} µs{words}"; name, words)
        }
        Comparison::Void(reason) => match pooled(step, metric) {
            Some([a, b]) => {
                let (n, m) = (number(a.count as f64), number(b.count as f64));
                let (a, b) = (format::pooled(&a), format::pooled(&b));
                text!(
                    "{name} {a} µs with A, {b} µs with B (all repeats pooled, {n} and {m} messages; intervals of the sampling)",
                    "{name} A 为 {a} µs，B 为 {b} µs（合并所有重复，{n} 与 {m} 条消息；为抽样区间）"; name
                )
            }
            None => text!("{name}: {reason}", "{name}：{reason}"; name, reason),
        },
    };
    let parts = Text::listed(&[
        part(Metric::LatencyP50, Text::pair("median", "中位数")),
        part(Metric::LatencyP99, Text::same("p99")),
    ]);
    let (name, few) = (&step.name, too_few(repeats_min));
    let text =
        text!("{name}: latency from due time: {parts}.{few}", "{name}：自应发时刻的延迟：{parts}。{few}"; parts, few);
    // Without a curve the step's own section has what there is.
    let anchor = if step.curves.is_empty() { anchor(&step.name) } else { format!("curve-{}", step.name) };
    VerdictLine { text, anchor }
}

fn is_known(figure: &Figure) -> bool {
    figure.estimate.is_some()
}

fn pooled(step: &StepFigures, metric: Metric) -> Option<[Pooled; 2]> {
    match step.row(metric)?.figures.as_slice() {
        [Figure { pooled: Some(a), .. }, Figure { pooled: Some(b), .. }] => Some([*a, *b]),
        _ => None,
    }
}

fn connections(figures: &Figures, step: &StepFigures) -> VerdictLine {
    let (a, b) = match compare(figures, step, Metric::ConnectRate) {
        Comparison::Both(a, b) => (a, b),
        Comparison::Void(reason) => return line(step, &reason),
    };
    let words = |metric| {
        let contrast = step.row(metric).and_then(|row| row.contrast.as_ref());
        contrast.map_or_else(Text::default, |contrast| {
            let words = format::contrast(contrast);
            text!(", {words}", "，{words}"; words)
        })
    };
    let connack = match compare(figures, step, Metric::ConnackP99) {
        Comparison::Both(a, b) => {
            let (repeats, words) = (repeats(a, b), words(Metric::ConnackP99));
            let (a, b) = (number(a.mean), number(b.mean));
            text!(
                "; p99 of the CONNACK latency {a} and {b} µs ({repeats}{words})",
                "；CONNACK 延迟 p99 为 {a} 与 {b} µs（{repeats}{words}）"; repeats, words
            )
        }
        Comparison::Void(_) => Text::default(),
    };
    let (repeats, words) = (repeats(a, b), words(Metric::ConnectRate));
    let (a, b) = (number(a.mean), number(b.mean));
    let text = text!(
        "A and B take {a} and {b} connections/s ({repeats}{words}), of a load generator that asks for a set rate and no more{connack}",
        "A 与 B 每秒接受 {a} 与 {b} 个连接（{repeats}{words}），负载发生器只按设定速率请求{connack}"; repeats, words, connack
    );
    line(step, &text)
}

fn memory_pair(figures: &Figures) -> Option<(&Estimate, &Estimate)> {
    let [a, b] = figures.memory.as_slice() else { return None };
    a.bytes_per_connection.as_ref().zip(b.bytes_per_connection.as_ref())
}

fn memory(figures: &Figures) -> Option<VerdictLine> {
    let (a, b) = memory_pair(figures)?;
    let end = Contrast::between(a, b).map_or_else(Text::default, |contrast| {
        let words = contrast_sentence(&contrast, "A", a.n.min(b.n));
        text!(": {words}", "：{words}"; words)
    });
    let repeats = repeats(a, b);
    let (a, b) = (estimate(a), estimate(b));
    let text = text!(
        "Memory: an idle connection costs A {a} B and B {b} B of resident memory (slope over the connection steps; {repeats}){end}.",
        "内存：每个空闲连接的常驻内存 A 为 {a} B、B 为 {b} B（各连接步骤的斜率；{repeats}）{end}。"; repeats, end
    );
    Some(VerdictLine::new(text, "memory"))
}

/// A closing sentence where the repeats allow no interval.
fn too_few(repeats: usize) -> Text {
    match repeats {
        n if n >= INTERVAL_REPEATS_MIN => Text::default(),
        1 => Text::pair(" With a single repeat nothing is known of the noise.", "只有一次重复，对噪声一无所知。"),
        n => {
            let n = format::count(n).capitalised();
            text!(" {n} repeats are too few for a confidence interval.", "{n}次重复不足以给出置信区间。"; n)
        }
    }
}

fn failures(figures: &Figures) -> Option<VerdictLine> {
    let (failed, points) = counts(figures);
    let text = text!(
        "Failed points: {failed} of {points} failed; they are shown as failed, with their reasons, and enter no figure.",
        "失败的点：{points} 个中有 {failed} 个失败；它们以失败及其原因示出，不计入任何数据。"
    );
    (failed > 0).then(|| VerdictLine::new(text, "failed"))
}

/// Points that count and in whose window something rises or falls: step, label, repeat, and what.
fn unsteady(figures: &Figures) -> Vec<(&str, &str, u32, Vec<&Steadiness>)> {
    let mut found = Vec::new();
    for step in &figures.steps {
        for timeline in step.timelines.iter().filter(|timeline| !timeline.is_failed) {
            let moving: Vec<&Steadiness> =
                timeline.steady.iter().filter(|s| matches!(s.course, Course::Rises | Course::Falls)).collect();
            if !moving.is_empty() {
                found.push((step.name.as_str(), timeline.label.as_str(), timeline.repeat, moving));
            }
        }
    }
    found
}

/// Which figures are of a state that did not last.
fn steadiness(figures: &Figures) -> Option<VerdictLine> {
    let found = unsteady(figures);
    let part = |(step, label, repeat, moving): &(&str, &str, u32, Vec<&Steadiness>)| {
        let course = |s: &&Steadiness| {
            let (axis, change) = (s.quantity.axis(), s.change().unwrap_or(0.0));
            let change = match s.level {
                0.0 => number(change),
                level => format::percent(100.0 * change / level.abs()),
            };
            text!("{axis} {change}", "{axis} {change}"; axis)
        };
        let courses = Text::join(&moving.iter().map(course).collect::<Vec<_>>(), &Text::pair(", ", "，"));
        text!("{step} {label} #{repeat} ({courses})", "{step} {label} #{repeat}（{courses}）"; courses)
    };
    let shown = Text::listed(&found.iter().take(UNSTEADY_SHOWN).map(part).collect::<Vec<_>>());
    let more = match found.len().saturating_sub(UNSTEADY_SHOWN) {
        0 => Text::default(),
        n => text!("; and {n} more", "；另有 {n} 个"),
    };
    let n = found.len();
    let text = text!(
        "Steady state: {n} of the points that count were not steady; where something rises or falls, a mean belongs to its window \
         only: {shown}{more}.",
        "稳态：计入的点中有 {n} 个不平稳；有升降之处，均值只属于其窗口：{shown}{more}。"; shown, more
    );
    (n > 0).then(|| VerdictLine::new(text, "steady"))
}

/// What there is to compare.
enum Comparison<'a> {
    /// Both have figures.
    Both(&'a Estimate, &'a Estimate),
    /// One or both have none; why.
    Void(Text),
}

fn compare<'a>(figures: &Figures, step: &'a StepFigures, metric: Metric) -> Comparison<'a> {
    let missing = |target: usize| {
        let label = &figures.targets[target].label;
        let reason = step.failed_of(label).next().map(|failed| failed.reasons.join("; "));
        let void = step.row(metric).and_then(|row| row.figures[target].voids.first()).map(|(_, reason)| reason.clone());
        let reason = reason.or(void).map_or_else(|| Text::pair("not measured", "未测量"), Text::same);
        text!("{label} has no valid figure ({reason})", "{label} 没有有效数据（{reason}）"; reason)
    };
    let found = |target: usize, e: &Estimate| {
        let (label, value, unit, repeats) =
            (&figures.targets[target].label, estimate(e), metric.unit_text(), format::repeats(e));
        text!("{label} shows {value} {unit} ({repeats})", "{label} 为 {value} {unit}（{repeats}）"; unit, repeats)
    };
    let (first, second) = match [0, 1].map(|target| step.estimate(metric, target)) {
        [Some(a), Some(b)] => return Comparison::Both(a, b),
        [Some(a), None] => (missing(1), found(0, a)),
        [None, Some(b)] => (missing(0), found(1, b)),
        [None, None] => (missing(0), missing(1)),
    };
    Comparison::Void(text!("no comparison: {first}; {second}", "无法比较：{first}；{second}"; first, second))
}

fn conclusion(step: &StepFigures, metric: Metric, a: &Estimate, b: &Estimate) -> Text {
    let contrast = step.row(metric).and_then(|row| row.contrast.as_ref());
    contrast.map_or_else(Text::default, |contrast| {
        let words = contrast_sentence(contrast, "A", a.n.min(b.n));
        text!(": {words}", "：{words}"; words)
    })
}

fn repeats(a: &Estimate, b: &Estimate) -> Text {
    let (n, m) = (a.n, b.n);
    if n == m { text!("n={n} each", "各 n={n}") } else { text!("n={n} and n={m}", "n={n} 与 n={m}") }
}

fn line(step: &StepFigures, text: &Text) -> VerdictLine {
    let (name, text) = (&step.name, text.clone().capitalised());
    VerdictLine { text: text!("{name}: {text}.", "{name}：{text}。"; text), anchor: anchor(&step.name) }
}

/// From this share on a load counts as delivered whole: the rest is what the end of a run cuts off.
const WHOLE_PERCENT: f64 = 99.9;
/// Points that are named in a sentence; the section has the others.
const UNSTEADY_SHOWN: usize = 4;
/// Smaller differences are none for a reader, whatever the statistics say.
const SAME_PERCENT: f64 = 0.1;
