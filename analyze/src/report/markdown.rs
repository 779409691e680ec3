//! The report as Markdown, and its main table for a terminal: the same figures as on the page, in plain text.

use std::fmt::Write as _;

use super::figures::{Figure, Figures};
use super::format::{contrast, estimate, narrow, narrow_contrast, number, pooled, repeats};
use super::main_rows;
use super::text::{Lang, Text};
use crate::stats::Contrast;
use crate::stats::estimate::INTERVAL_REPEATS_MIN;
use crate::text;

/// The report in Markdown, in one language.
pub fn report(figures: &Figures, lang: Lang) -> String {
    let mut text = String::new();
    let mut push = |arguments: std::fmt::Arguments| text.write_fmt(arguments).expect("a String takes everything");
    let say = |en: &'static str, zh: &'static str| if lang == Lang::En { en } else { zh };
    let is_pair = figures.targets.len() == 2;
    push(format_args!("# {}\n\n", figures.experiment));
    for target in &figures.targets {
        let version = target.version.as_deref().unwrap_or(say("version unknown", "版本未知"));
        push(format_args!("- {}: {} ({version})\n", target.label, target.title));
    }
    push(format_args!("\n## {}\n\n", say("Verdict", "结论")));
    for line in figures.headline.iter().chain(&figures.verdicts) {
        push(format_args!("- {}\n", line.text.of(lang)));
    }
    push(format_args!("\n## {}\n\n", say("Before you quote a figure", "引用数据之前")));
    for caveat in super::caveats(figures) {
        push(format_args!("- {}\n", caveat.of(lang)));
    }
    for step in &figures.steps {
        push(format_args!("\n## {}\n\n", step.name));
        for failed in &step.failed {
            let (label, target, repeat) = (&failed.label, &failed.target, failed.repeat);
            let (word, of) = (say("failed", "失败"), say("repeat", "第几次重复"));
            push(format_args!("- {word}: {label} {target}, {of} {repeat}: {}\n", failed.reasons.join("; ")));
        }
        for remarked in &step.remarked {
            let (label, target, repeat) = (&remarked.label, &remarked.target, remarked.repeat);
            let (word, of) = (say("remark", "备注"), say("repeat", "第几次重复"));
            push(format_args!("- {word}: {label} {target}, {of} {repeat}: {}\n", remarked.remarks.join("; ")));
        }
        let heads: Vec<String> =
            figures.targets.iter().map(|target| format!("{} {}", target.label, target.name)).collect();
        let (quantity, unit) = (say("quantity", "指标"), say("unit", "单位"));
        let against = if is_pair { format!(" {} |", say("A against B", "A 相对 B")) } else { String::new() };
        push(format_args!("\n| {quantity} | {unit} | {} |{against}\n", heads.join(" | ")));
        push(format_args!("| :-- | :-- |{}\n", " --: |".repeat(heads.len() + usize::from(is_pair))));
        for row in &step.rows {
            let cells: Vec<String> = row.figures.iter().map(|figure| in_table(&cell(figure, lang))).collect();
            let difference = row.contrast.as_ref().map_or_else(|| "–".to_owned(), |c| contrast(c).of(lang).to_owned());
            let difference = if is_pair { format!(" {difference} |") } else { String::new() };
            let (name, unit) = (row.metric.name(), row.metric.unit_text());
            push(format_args!("| {} | {} | {} |{difference}\n", name.of(lang), unit.of(lang), cells.join(" | ")));
        }
    }
    for set in &figures.checks.claims {
        let (claim, published, found) = (say("claim", "声明"), say("published", "发布值"), say("found", "所得"));
        let (verdict, why) = (say("verdict", "结论"), say("why", "原因"));
        push(format_args!("\n## {}\n\n| {claim} | {published} | {found} | {verdict} | {why} |\n", set.title));
        push(format_args!("| :-- | --: | --: | :-- | :-- |\n"));
        for claim in &set.judged {
            let (decimals, unit, words) = (claim.decimals, &claim.unit, super::html::verdict_words(claim.verdict));
            let found = claim.found_published.map_or("–".to_owned(), |found| format!("{found:.decimals$}"));
            let [text, reason] = [&claim.text, &claim.reason].map(|text| in_table(text));
            let (published, words) = (claim.published, words.of(lang));
            push(format_args!("| {text} | {published:.decimals$} {unit} | {found} | {words} | {reason} |\n"));
        }
    }
    push(format_args!("\n## {}\n\n", say("Audit of the data", "数据审计")));
    for finding in &figures.checks.audit.findings {
        let (flaw, severity, title, n) =
            (finding.flaw, finding.severity.word(), &finding.title, finding.evidence.len());
        let places = say("places", "处");
        push(format_args!("- {flaw} ({severity}): {title} ({n} {places}). {}\n", finding.consequence));
    }
    if figures.checks.audit.findings.is_empty() {
        push(format_args!("- {}\n", say("No flaw was found.", "没有发现缺陷。")));
    }
    text
}

/// The main table, aligned for a terminal.
pub fn terminal(figures: &Figures) -> String {
    let mut rows: Vec<Vec<String>> = vec![vec!["step".to_owned(), "figure".to_owned()]];
    rows[0].extend(figures.targets.iter().map(|target| format!("{} {}", target.label, target.name)));
    let is_pair = figures.targets.len() == 2;
    if is_pair {
        rows[0].push("A against B".to_owned());
    }
    let mut last = "";
    for (step, row) in main_rows(figures) {
        let name = if step.name == last { String::new() } else { step.name.clone() };
        last = &step.name;
        let mut cells = vec![name, row.metric.short()];
        cells.extend(row.figures.iter().map(|figure| narrow_cell(figure, figures.repeats as usize)));
        if is_pair {
            cells.push(row.contrast.as_ref().map_or("–".to_owned(), narrow_contrast));
        }
        rows.push(cells);
    }
    rows.extend(memory_row(figures));
    let mut text = aligned(&rows);
    let mut push = |arguments: std::fmt::Arguments| text.write_fmt(arguments).expect("a String takes everything");
    let error = if figures.repeats as usize >= INTERVAL_REPEATS_MIN { "95 % interval" } else { "range of the repeats" };
    push(format_args!(
        "mean ± half the {error} (n={} unless said){}, * all repeats pooled{}\n",
        figures.repeats,
        if is_pair { "; A against B in % of B, ≈ ranges overlap, ? one repeat" } else { "" },
        if rows.iter().flatten().any(|cell| cell == VOID) { ", void: no figure, the page says why" } else { "" }
    ));
    for (step, failed) in figures.steps.iter().flat_map(|step| step.failed.iter().map(move |failed| (step, failed))) {
        let point = format!("{} {} {} #{}", step.name, failed.label, failed.target, failed.repeat);
        push(format_args!("failed: {point}: {}\n", failed.reasons.join("; ")));
    }
    text
}

fn memory_row(figures: &Figures) -> Option<Vec<String>> {
    let estimates: Vec<_> = figures.memory.iter().map(|memory| memory.bytes_per_connection.as_ref()).collect();
    if estimates.iter().all(Option::is_none) {
        return None;
    }
    let mut cells = vec!["ramps".to_owned(), "memory per connection, B".to_owned()];
    cells.extend(estimates.iter().map(|found| found.map_or("–".to_owned(), narrow)));
    let pair = if let [Some(a), Some(b)] = estimates.as_slice() { Some((*a, *b)) } else { None };
    let found = pair.and_then(|(a, b)| Contrast::between(a, b));
    if figures.targets.len() == 2 {
        cells.push(found.as_ref().map_or("–".to_owned(), narrow_contrast));
    }
    Some(cells)
}

fn narrow_cell(figure: &Figure, repeats: usize) -> String {
    match (&figure.estimate, &figure.pooled) {
        (Some(found), _) if found.n < repeats => format!("{} n={}", narrow(found), found.n),
        (Some(found), _) => narrow(found),
        (None, Some(pooled)) => format!("{}*", number(pooled.value)),
        (None, None) if figure.voids.is_empty() => "failed".to_owned(),
        (None, None) => VOID.to_owned(),
    }
}

/// Columns padded to their widest cell: words to the left, figures to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let width = widths[column];
                if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cell(figure: &Figure, lang: Lang) -> String {
    let text = match (&figure.estimate, &figure.pooled) {
        (Some(found), _) => {
            let (value, repeats) = (estimate(found), repeats(found));
            text!("{value} ({repeats})", "{value}（{repeats}）"; repeats)
        }
        (None, Some(found)) => {
            let (value, count) = (pooled(found), found.count);
            text!("{value} (all repeats pooled, n={count} messages)", "{value}（合并所有重复，n={count} 条消息）")
        }
        (None, None) => match figure.voids.first() {
            None => Text::pair("failed", "失败"),
            Some((_, reason)) => text!("void: {reason}", "无效：{reason}"),
        },
    };
    text.of(lang).to_owned()
}

/// Text that is no end of a cell.
fn in_table(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A figure that the data does not carry.
const VOID: &str = "void";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["step", "figure", "A"], ["x", "µs", "1,000"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "step  figure      A\nx     µs      1,000\n");
    }
}
