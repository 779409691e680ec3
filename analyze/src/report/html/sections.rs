//! The parts of the page, each from the figures to HTML.

use super::super::experiment::StepKind;
use super::super::figures::{Figure, Figures, Row, StepFigures};
use super::super::format::{contrast, estimate, number, pooled, repeats};
use super::super::main_rows;
use super::super::text::Text;
use super::super::verdict::{VerdictLine, anchor};
use super::{both, cell, details, escape, fill, heads, list, marker, paragraph, row_head, say, slug, table};
use crate::audit::{Proof, Severity};
use crate::claims::{Judged, Relation, Verdict as Judgement};
use crate::text;

/// What is compared, in one paragraph.
pub(super) fn lead(figures: &Figures) -> String {
    let words: Vec<&str> =
        [&figures.plan.title, &figures.plan.purpose].into_iter().flatten().map(String::as_str).collect();
    let targets: Vec<String> = figures
        .targets
        .iter()
        .enumerate()
        .map(|(place, target)| {
            let version = target.version.as_deref().map_or_else(|| say("version unknown", "版本未知"), escape);
            format!(
                "{}<strong>{}</strong> = {} ({version})",
                marker(place),
                escape(&target.label),
                escape(&target.title)
            )
        })
        .collect();
    let n = figures.repeats;
    let end = text!("Repeats of each step: {n}.", "每个步骤重复 {n} 次。");
    let plain = Text::pair(
        "These runs were made without a playbook: targets, steps and repeats are those of the runs' tags.",
        "这些运行不是由 playbook 启动的：被测对象、步骤与重复次数取自运行的标签。",
    );
    let plain = if figures.is_plain { both(&plain) } else { String::new() };
    format!("{} {}. {} {plain}", escape(&words.join(". ")), targets.join(", "), both(&end))
}

/// Sentences as a list, each of which begins with a link to its evidence.
pub(super) fn sentences(lines: &[VerdictLine], class: &str) -> String {
    let item = |line: &VerdictLine| {
        let link = |text: &str, colon: &str| match text.split_once(colon) {
            Some((subject, rest)) => {
                let (anchor, rest) = (slug(&line.anchor), escape(rest));
                format!("<a href=\"#{anchor}\">{}</a>{colon}{rest}", escape(subject))
            }
            None => format!("<a href=\"#{}\">{}</a>", slug(&line.anchor), escape(text)),
        };
        super::spans(&link(&line.text.en, ": "), &link(&line.text.zh, "："))
    };
    let items: Vec<String> = lines.iter().map(item).collect();
    if items.is_empty() {
        return paragraph(&Text::pair("There is nothing to compare.", "没有可比较的内容。"));
    }
    list("ol", class, &items)
}

/// What stands against the figures as a whole.
pub(super) fn caveats(figures: &Figures) -> String {
    let items: Vec<String> = super::super::caveats(figures).iter().map(both).collect();
    list("ul", "", &items)
}

/// The figures that a reader asks for first.
pub(super) fn main_table(figures: &Figures) -> String {
    let rows = main_rows(figures);
    let mut last = "";
    let mut table_rows: Vec<Vec<String>> = Vec::new();
    for (step, row) in &rows {
        let mut cells = Vec::new();
        if step.name != last {
            last = &step.name;
            let height = rows.iter().filter(|(other, _)| other.name == step.name).count();
            let (anchor, name) = (slug(&anchor(&step.name)), escape(&step.name));
            cells.push(format!("<th scope=\"rowgroup\" rowspan=\"{height}\"><a href=\"#{anchor}\">{name}</a></th>"));
        }
        cells.extend(row_cells(figures, row));
        table_rows.push(cells);
    }
    table_rows.extend(memory_row(figures));
    let head = head(figures, &[("Step", "步骤"), ("Quantity", "指标")]);
    table("main-figures", &Text::pair("Main figures by step", "各步骤的主要指标"), &head, &table_rows)
}

fn head(figures: &Figures, first: &[(&str, &str)]) -> Vec<String> {
    let mut head: Vec<String> = first.iter().map(|(en, zh)| say(en, zh)).collect();
    let target = |(place, target): (usize, &super::super::experiment::Target)| {
        format!("{}{} {}", marker(place), escape(&target.label), escape(&target.name))
    };
    head.extend(figures.targets.iter().enumerate().map(target));
    if let [a, b] = figures.targets.as_slice() {
        let (a, b) = (&a.label, &b.label);
        head.push(both(&text!("{a} against {b}", "{a} 相对 {b}")));
    }
    head
}

/// Quantity, one cell per target, and the comparison.
fn row_cells(figures: &Figures, row: &Row) -> Vec<String> {
    let mut cells = vec![row_head(&row.metric.axis())];
    cells.extend(row.figures.iter().map(figure_cell));
    if figures.targets.len() == 2 {
        let words = row.contrast.as_ref().map_or_else(|| Text::same("–"), contrast);
        cells.push(format!("<td class=\"words\">{}</td>", both(&words)));
    }
    cells
}

fn figure_cell(figure: &Figure) -> String {
    let void = |(repeat, reason): &(u32, String)| text!("repeat {repeat}: {reason}", "第 {repeat} 次：{reason}");
    let voids = Text::listed(&figure.voids.iter().map(void).collect::<Vec<_>>());
    let (value, note) = match (&figure.estimate, &figure.pooled) {
        (Some(found), _) => {
            let repeats = repeats(found);
            let note = if voids.is_empty() { repeats } else { Text::listed(&[repeats, voids]) };
            (escape(&estimate(found)), note)
        }
        (None, Some(found)) => {
            let count = number(found.count as f64);
            (escape(&pooled(found)), text!("all repeats pooled, {count} messages", "合并所有重复，{count} 条消息"))
        }
        (None, None) if voids.is_empty() => (
            format!("<span class=\"failed\">{}</span>", say("failed", "失败")),
            Text::pair("no valid repeat", "没有有效的重复"),
        ),
        (None, None) => (format!("<span class=\"failed\">{}</span>", say("none", "无")), voids),
    };
    format!("<td class=\"number\">{value}<small>{}</small></td>", both(&note))
}

fn memory_row(figures: &Figures) -> Option<Vec<String>> {
    let estimates: Vec<_> = figures.memory.iter().map(|memory| memory.bytes_per_connection.as_ref()).collect();
    if estimates.iter().all(Option::is_none) {
        return None;
    }
    let all = say("all ramps", "全部建连步骤");
    let what = Text::pair("Memory per idle connection (slope), B", "每个空闲连接的内存（斜率），B");
    let mut cells = vec![format!("<th scope=\"rowgroup\"><a href=\"#memory\">{all}</a></th>"), row_head(&what)];
    cells.extend(estimates.iter().map(|found| match found {
        Some(found) => {
            format!("<td class=\"number\">{}<small>{}</small></td>", escape(&estimate(found)), both(&repeats(found)))
        }
        None => format!("<td class=\"number\">–<small>{}</small></td>", say("no valid repeat", "没有有效的重复")),
    }));
    if let [a, b] = estimates.as_slice() {
        let difference = a.zip(*b).and_then(|(a, b)| crate::stats::Contrast::between(a, b));
        let words = difference.as_ref().map_or_else(|| Text::same("–"), contrast);
        cells.push(format!("<td class=\"words\">{}</td>", both(&words)));
    }
    Some(cells)
}

/// What became of published figures.
pub(super) fn claims(figures: &Figures) -> String {
    let sets = &figures.checks.claims;
    if sets.is_empty() {
        return paragraph(&Text::pair(
            "No claims were given that these runs can test: none of the figures above is compared with a published one.",
            "没有给出这些运行可以检验的声明：以上数据没有与任何已发布的数据比较。",
        ));
    }
    let of_set = |(index, set): (usize, &super::super::checks::ClaimSet)| {
        let rows: Vec<Vec<String>> = set.judged.iter().map(claim_row).collect();
        let head = heads(&[
            ("Claim", "声明"),
            ("Published", "发布值"),
            ("By the publisher's window", "按发布者的窗口"),
            ("Verdict", "结论"),
            ("By ours", "按我们的窗口"),
            ("Verdict", "结论"),
            ("Why", "原因"),
        ]);
        let caption = Text::same(set.title.as_str());
        let count = |verdict: Judgement| set.judged.iter().filter(|claim| claim.verdict == verdict).count();
        let parts: Vec<Text> = VERDICTS
            .into_iter()
            .map(|verdict| {
                let (n, words) = (count(verdict), verdict_words(verdict));
                text!("{n} {words}", "{n} 个{words}"; words)
            })
            .collect();
        let (title, parts) = (&set.title, Text::join(&parts, &Text::pair(", ", "，")));
        let summary = text!("{title}: {parts}", "{title}：{parts}"; parts);
        format!("<p>{}</p>\n", escape(&set.document))
            + &details(&summary, &table(&format!("claims-{index}"), &caption, &head, &rows))
    };
    sets.iter().enumerate().map(of_set).collect()
}

fn claim_row(claim: &Judged) -> Vec<String> {
    let bound = match claim.relation {
        Relation::Equals => "",
        Relation::AtLeast => "≥ ",
        Relation::AtMost => "≤ ",
    };
    let (decimals, unit) = (claim.decimals, &claim.unit);
    let found = |value: Option<f64>| {
        format!("<td class=\"number\">{}</td>", value.map_or("–".to_owned(), |value| format!("{value:.decimals$}")))
    };
    let verdict = |verdict: Judgement| {
        let class = if verdict == Judgement::NotReproduced { " class=\"failed\"" } else { "" };
        format!("<td><span{class}>{}</span></td>", both(&verdict_words(verdict)))
    };
    let source = format!("{}<small>{}</small>", escape(&claim.text), escape(&claim.source));
    vec![
        format!("<th scope=\"row\">{source}</th>"),
        format!("<td class=\"number\">{bound}{:.decimals$} {}</td>", claim.published, escape(unit)),
        found(claim.found_published),
        verdict(claim.verdict),
        found(claim.found_ours),
        verdict(claim.verdict_ours),
        cell(&claim.reason),
    ]
}

pub(in super::super) fn verdict_words(verdict: Judgement) -> Text {
    let zh = match verdict {
        Judgement::Reproduced => "复现",
        Judgement::WithinTolerance => "在容差内",
        Judgement::NotReproduced => "未复现",
        Judgement::NotTestable => "无法检验",
    };
    Text::pair(verdict.words(), zh)
}

const VERDICTS: [Judgement; 4] =
    [Judgement::Reproduced, Judgement::WithinTolerance, Judgement::NotReproduced, Judgement::NotTestable];

/// The flaws that the data shows.
pub(super) fn audit(figures: &Figures) -> String {
    let audit = &figures.checks.audit;
    let rows: Vec<Vec<String>> = audit
        .findings
        .iter()
        .map(|finding| {
            let proofs = proofs(&finding.evidence);
            let severity = match finding.severity {
                Severity::High => Text::pair("high", "高"),
                Severity::Medium => Text::pair("medium", "中"),
                Severity::Low => Text::pair("low", "低"),
            };
            vec![
                format!("<th scope=\"row\">{} {}</th>", escape(finding.flaw), escape(finding.code)),
                format!("<td>{}</td>", both(&severity)),
                cell(&finding.title),
                format!("<td>{proofs}</td>"),
                cell(&finding.consequence),
            ]
        })
        .collect();
    let (clean, hidden) = (audit.clean.len(), audit.not_visible.len());
    let rest = paragraph(&text!(
        "Flaws that were looked for and not found: {clean}. Flaws that cannot be seen in these data: {hidden}.",
        "另有 {clean} 种缺陷已检查但未发现；{hidden} 种无法由这些数据看出。"
    ));
    if rows.is_empty() {
        return paragraph(&Text::pair("No flaw was found.", "没有发现缺陷。")) + &rest;
    }
    let head = heads(&[
        ("Flaw", "缺陷"),
        ("Severity", "严重度"),
        ("Finding", "发现"),
        ("Evidence", "证据"),
        ("Consequence", "后果"),
    ]);
    table("audit-findings", &Text::pair("What the audit found", "审计发现"), &head, &rows) + &rest
}

/// The first few places, and how many there are beside them.
fn proofs(evidence: &[Proof]) -> String {
    let place = |proof: &Proof| {
        let place = proof.place();
        let mut parts: Vec<&str> = place.rsplit('/').take(2).collect();
        parts.reverse();
        let at = proof.at.as_ref().map_or_else(String::new, |at| format!(" ({:.1} s)", at.run_s));
        format!("<li><code>{}</code>{at}: {}</li>", escape(&parts.join("/")), escape(&proof.text))
    };
    let shown: String = evidence.iter().take(PROOFS_SHOWN).map(place).collect();
    let more = evidence.len().saturating_sub(PROOFS_SHOWN);
    let more = match more {
        0 => String::new(),
        n => format!(
            "<li>{}</li>",
            both(&text!("{n} more in the JSON beside this page", "另有 {n} 处，见本页旁的 JSON"))
        ),
    };
    format!("<ul class=\"proofs\">{shown}{more}</ul>")
}

const PROOFS_SHOWN: usize = 4;

/// Everything about one step.
pub(super) fn step(figures: &Figures, step: &StepFigures) -> String {
    let rows: Vec<Vec<String>> = step.rows.iter().map(|row| row_cells(figures, row)).collect();
    let failed: Vec<String> = step
        .failed
        .iter()
        .map(|failed| {
            let (label, target, repeat) = (&failed.label, &failed.target, failed.repeat);
            let point = text!("Failed: {label} {target}, repeat {repeat}", "失败：{label} {target}，第 {repeat} 次");
            format!("<span class=\"failed\">{}</span>: {}", both(&point), escape(&failed.reasons.join("; ")))
        })
        .collect();
    let remarked = step.remarked.iter().map(|remarked| {
        let (label, target, repeat) = (&remarked.label, &remarked.target, remarked.repeat);
        let point = text!("Remark: {label} {target}, repeat {repeat}", "备注：{label} {target}，第 {repeat} 次");
        format!("{}: {}", both(&point), escape(&remarked.remarks.join("; ")))
    });
    let said: Vec<String> = failed.into_iter().chain(remarked).collect();
    let length = step.measured_s.map_or_else(Text::default, |seconds| {
        let seconds = number(seconds);
        text!("Measured: {seconds} s.", "测量时长：{seconds} s。")
    });
    let purpose = step.purpose.clone().map_or_else(|| kind_text(step.kind), Text::same);
    let name = &step.name;
    let caption = text!("All figures of {name}", "{name} 的全部数据");
    let id = anchor(name);
    fill(
        include_str!("step.html"),
        &[
            ("id", &slug(&id)),
            ("name", &escape(name)),
            ("purpose", &format!("{}. {}", both(&purpose), both(&length))),
            ("failed", &if said.is_empty() { String::new() } else { list("ul", "", &said) }),
            ("table", &table(&format!("{id}-figures"), &caption, &head(figures, &[("Quantity", "指标")]), &rows)),
        ],
    )
}

fn kind_text(kind: StepKind) -> Text {
    match kind {
        StepKind::Idle => Text::pair("Nobody is connected", "无人连接"),
        StepKind::Connections => Text::pair("Connections that only live", "仅保持连接"),
        StepKind::Latency => Text::pair("Latency of probes", "探测消息的延迟"),
        StepKind::Throughput => Text::pair("Messages from publishers to subscribers", "从发布者到订阅者的消息"),
    }
}

/// Points without figures, with their reasons.
pub(super) fn failed(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .steps
        .iter()
        .flat_map(|step| step.failed.iter().map(move |failed| (step, failed)))
        .map(|(step, failed)| {
            let link = format!("<a href=\"#{}\">{}</a>", slug(&anchor(&step.name)), escape(&step.name));
            vec![
                format!("<th scope=\"row\">{link}</th>"),
                cell(&format!("{} {}", failed.label, failed.target)),
                cell(&failed.repeat.to_string()),
                cell(&failed.reasons.join("; ")),
            ]
        })
        .collect();
    if rows.is_empty() {
        return paragraph(&Text::pair(
            "None: every step against every target in every repeat passed its gates.",
            "无：每个步骤、每个被测对象、每次重复都通过了门限检查。",
        ));
    }
    let head = heads(&[("Step", "步骤"), ("Target", "被测对象"), ("Repeat", "重复"), ("Reason", "原因")]);
    table("failed-points", &Text::pair("Points without figures", "没有数据的点"), &head, &rows)
}
