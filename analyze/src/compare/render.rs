//! Comparisons as Markdown and CSV.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::verdict::{Kind, Row, number};
use super::{Comparison, Side};
use crate::report::metric::Metric;
use crate::stats::Estimate;

/// A table in Markdown per step.
pub fn markdown(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        push(&mut text, format_args!("## {}\n\n", comparison.step));
        for (name, side) in [("A", &comparison.a), ("B", &comparison.b)] {
            push(&mut text, format_args!("{name}: {}\n", side_line(side)));
        }
        text.push('\n');
        notes(&mut text, comparison);
        if !comparison.rows.is_empty() {
            text.push_str("| quantity | A | B | A/B | 95 % | verdict |\n| :-- | --: | --: | --: | --: | :-- |\n");
        }
        for row in &comparison.rows {
            let ratio = row.ratio.map_or(NONE.to_owned(), |ratio| format!("{ratio:.3}"));
            let interval = row.ratio_ci95.map_or(NONE.to_owned(), |(low, high)| format!("{low:.3}–{high:.3}"));
            let cells = [estimate(row.a.as_ref()), estimate(row.b.as_ref()), ratio, interval].join(" | ");
            push(&mut text, format_args!("| {}, {} | {cells} | {} |\n", row.metric.title(), row.unit, row.verdict));
        }
        text.push('\n');
    }
    text
}

/// For each step and quantity a table of every target against every other: the row's target against the column's.
pub fn matrix(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    let steps: BTreeSet<&str> = comparisons.iter().map(|comparison| comparison.step.as_str()).collect();
    for step in steps {
        let of_step: Vec<&Comparison> = comparisons.iter().filter(|comparison| comparison.step == step).collect();
        push(&mut text, format_args!("## {step}\n\n"));
        let names: BTreeSet<String> =
            of_step.iter().flat_map(|comparison| [name(&comparison.a), name(&comparison.b)]).collect();
        let mut told = BTreeSet::new();
        for comparison in &of_step {
            for side in [&comparison.a, &comparison.b].into_iter().filter(|side| told.insert(name(side))) {
                push(&mut text, format_args!("- {}\n", side_line(side)));
                failures(&mut text, &name(side), side);
            }
        }
        let mut noted = BTreeSet::new();
        for comparison in &of_step {
            for obstacle in &comparison.obstacles {
                let (a, b) = (name(&comparison.a), name(&comparison.b));
                push(&mut text, format_args!("- {a} (A) and {b} (B) are not comparable: {obstacle}\n"));
            }
            for note in comparison.notes.iter().filter(|note| noted.insert(*note)) {
                push(&mut text, format_args!("- {note}\n"));
            }
        }
        text.push('\n');
        for metric in Metric::ALL {
            let is_known = |comparison: &&Comparison| comparison.rows.iter().any(|row| row.metric == metric);
            if of_step.iter().any(is_known) {
                table(&mut text, metric, &names, &of_step);
            }
        }
    }
    text
}

fn table(text: &mut String, metric: Metric, names: &BTreeSet<String>, of_step: &[&Comparison]) {
    let heads: Vec<&str> = names.iter().map(String::as_str).collect();
    push(text, format_args!("| {}, {} | mean | {} |\n", metric.title(), metric.unit(), heads.join(" | ")));
    push(text, format_args!("| :-- | --: |{}\n", " --: |".repeat(heads.len())));
    for first in names {
        let sides = of_step.iter().flat_map(|comparison| {
            let row = comparison.rows.iter().find(|row| row.metric == metric);
            let of = |side: &Side, pick: fn(&Row) -> Option<&Estimate>| {
                (name(side) == *first).then(|| row.and_then(pick).cloned()).flatten()
            };
            [of(&comparison.a, |row| row.a.as_ref()), of(&comparison.b, |row| row.b.as_ref())]
        });
        let mean = sides.flatten().next();
        let cell = |second: &String| {
            let between = of_step.iter().find_map(|comparison| {
                let names = (name(&comparison.a), name(&comparison.b));
                let row = || comparison.rows.iter().find(|row| row.metric == metric);
                if names == (first.clone(), second.clone()) {
                    Some(row().map_or(NOT_COMPARABLE.to_owned(), |row| short(row, false)))
                } else if names == (second.clone(), first.clone()) {
                    Some(row().map_or(NOT_COMPARABLE.to_owned(), |row| short(row, true)))
                } else {
                    None
                }
            });
            between.unwrap_or_default()
        };
        let cells: Vec<String> = names.iter().map(cell).collect();
        push(text, format_args!("| {first} | {} | {} |\n", estimate(mean.as_ref()), cells.join(" | ")));
    }
    text.push('\n');
}

/// A difference in few words; `turned` for B against A.
fn short(row: &Row, turned: bool) -> String {
    let turn = |ratio: f64| if turned { 1.0 / ratio } else { ratio };
    let percent = |ratio: f64| 100.0 * (turn(ratio) - 1.0);
    let ratio = match (row.kind, row.ratio) {
        (Kind::NoDifference, None) => return "= (both 0)".to_owned(),
        // One of the two is 0: there is a difference, and no ratio.
        (Kind::Higher, None) => return if turned { "lower: 0" } else { "higher than 0" }.to_owned(),
        (_, Some(0.0)) => return if turned { "higher than 0" } else { "lower: 0" }.to_owned(),
        (Kind::NotComparable, _) | (_, None) => return NOT_COMPARABLE.to_owned(),
        (_, Some(ratio)) => ratio,
    };
    let interval = row.ratio_ci95.map_or(String::new(), |(low, high)| {
        let (one, other) = (percent(low), percent(high));
        format!(" [{:+.1}, {:+.1}]", one.min(other), one.max(other))
    });
    let percent = percent(ratio);
    match row.kind {
        Kind::NoDifference => format!("= ({percent:+.1} %{interval})"),
        Kind::Undecided => format!("? ({percent:+.1} %)"),
        _ => format!("{percent:+.1} %{interval}"),
    }
}

/// One line per quantity; a step that is not comparable has one line with the reasons, and so has each failed point.
pub fn csv(comparisons: &[Comparison]) -> String {
    let mut text = "step,target_a,target_b,metric,unit,a,a_n,b,b_n,ratio,ratio_low,ratio_high,basis,noise_percent,kind,better,verdict\n"
        .to_owned();
    let cell = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for comparison in comparisons {
        let head = [&comparison.step, &name(&comparison.a), &name(&comparison.b)].map(|word| quoted(word)).join(",");
        let mut told = |kind: &str, reasons: &str| {
            push(&mut text, format_args!("{head},,,,,,,,,,,,{kind},,{}\n", quoted(reasons)));
        };
        if !comparison.obstacles.is_empty() {
            told(Kind::NotComparable.word(), &format!("not comparable: {}", comparison.obstacles.join("; ")));
        }
        for (side_name, side) in [("A", &comparison.a), ("B", &comparison.b)] {
            for failed in &side.failed {
                told("failed", &format!("{side_name}, repeat {} failed: {}", failed.repeat, failed.reasons.join("; ")));
            }
        }
        for row in &comparison.rows {
            let of = |side: &Option<Estimate>| match side {
                Some(estimate) => format!("{},{}", estimate.mean, estimate.n),
                None => ",0".to_owned(),
            };
            let (low, high) = row.ratio_ci95.unzip();
            let ends = [cell(row.ratio), cell(low), cell(high)].join(",");
            push(
                &mut text,
                format_args!(
                    "{head},{},{},{},{},{ends},{},{},{},{},{}\n",
                    row.metric.key(),
                    quoted(row.unit),
                    of(&row.a),
                    of(&row.b),
                    row.basis.word(),
                    cell(row.noise.map(|noise| noise.percent)),
                    row.kind.word(),
                    row.better.unwrap_or_default(),
                    quoted(&row.verdict)
                ),
            );
        }
    }
    text
}

fn notes(text: &mut String, comparison: &Comparison) {
    for obstacle in &comparison.obstacles {
        push(text, format_args!("- not comparable: {obstacle}\n"));
    }
    for note in &comparison.notes {
        push(text, format_args!("- {note}\n"));
    }
    for (name, side) in [("A", &comparison.a), ("B", &comparison.b)] {
        failures(text, name, side);
    }
    if comparison.obstacles.len() + comparison.notes.len() + comparison.a.failed.len() + comparison.b.failed.len() > 0 {
        text.push('\n');
    }
}

fn failures(text: &mut String, name: &str, side: &Side) {
    for failed in &side.failed {
        push(text, format_args!("- {name}, repeat {} failed: {}\n", failed.repeat, failed.reasons.join("; ")));
    }
}

fn side_line(side: &Side) -> String {
    let points = side.points + side.failed.len();
    let failed = if side.failed.is_empty() { String::new() } else { format!(", {} of them failed", side.failed.len()) };
    let word = if points == 1 { "point" } else { "points" };
    format!("{} ({points} {word}{failed})", name(side))
}

fn name(side: &Side) -> String {
    side.targets.join(", ")
}

fn estimate(estimate: Option<&Estimate>) -> String {
    match estimate {
        None => NONE.to_owned(),
        Some(estimate) if estimate.n == 1 => number(estimate.mean),
        Some(estimate) => format!("{} (n = {})", number(estimate.mean), estimate.n),
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("a String takes everything");
}

const NONE: &str = "–";
const NOT_COMPARABLE: &str = "not comparable";

#[cfg(test)]
mod tests {
    use super::super::verdict::Basis;
    use super::*;
    use crate::report::metric::Metric;

    #[test]
    fn what_has_no_ratio_is_told_in_words() {
        let row = |kind, ratio| Row {
            metric: Metric::Lost,
            unit: Metric::Lost.unit(),
            a: None,
            b: None,
            ratio,
            ratio_ci95: None,
            basis: Basis::None,
            noise: None,
            better: None,
            kind,
            verdict: String::new(),
        };
        let both = |row: &Row| [short(row, false), short(row, true)];
        assert_eq!(both(&row(Kind::NoDifference, None)), ["= (both 0)", "= (both 0)"]);
        assert_eq!(both(&row(Kind::Higher, None)), ["higher than 0", "lower: 0"]);
        assert_eq!(both(&row(Kind::Lower, Some(0.0))), ["lower: 0", "higher than 0"]);
        assert_eq!(both(&row(Kind::Lower, Some(0.5))), ["-50.0 %", "+100.0 %"]);
        assert_eq!(both(&row(Kind::NotComparable, None)), ["not comparable", "not comparable"]);
    }
}
