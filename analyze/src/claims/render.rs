//! The forms of `analyze claims`: Markdown, CSV, JSON.

use std::fmt::Write as _;

use super::{Judged, Verdict};

/// A table in Markdown, with a line of counts above.
pub fn markdown(title: &str, judged: &[Judged]) -> String {
    let mut text = format!("# {title}\n\n{}\n\n", counts(judged));
    text.push_str(
        "| claim | published | by the publisher's window | verdict | by ours | verdict | why |\n\
         | :-- | --: | --: | :-- | --: | :-- | :-- |\n",
    );
    for claim in judged {
        let decimals = claim.decimals;
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.decimals$}"));
        let bound = match claim.relation {
            super::Relation::Equals => "",
            super::Relation::AtLeast => "≥ ",
            super::Relation::AtMost => "≤ ",
        };
        let cells = [
            format!("{}: {}", claim.id, claim.text),
            format!("{bound}{:.decimals$} {}", claim.published, claim.unit),
            format!("{} ({})", number(claim.found_published), claim.rule.name()),
            claim.verdict.words().to_owned(),
            number(claim.found_ours),
            claim.verdict_ours.words().to_owned(),
            claim.reason.clone(),
        ];
        let row: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

/// How many claims have which verdict.
pub fn counts(judged: &[Judged]) -> String {
    let count = |of: fn(&Judged) -> Verdict, verdict| judged.iter().filter(|claim| of(claim) == verdict).count();
    let line = |of: fn(&Judged) -> Verdict| {
        VERDICTS.map(|verdict| format!("{} {}", count(of, verdict), verdict.words())).join(", ")
    };
    format!(
        "{} claims. In the publisher's window: {}. In ours: {}.",
        judged.len(),
        line(|claim| claim.verdict),
        line(|claim| claim.verdict_ours)
    )
}

/// One line per claim; the columns are the JSON form's names.
pub fn csv(judged: &[Judged]) -> String {
    let mut text = String::new();
    for claim in judged {
        let value = serde_json::to_value(claim).expect("a judged claim is plain data");
        let fields = value.as_object().expect("a struct is an object");
        if text.is_empty() {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            writeln!(text, "{}", names.join(",")).expect("a String takes everything");
        }
        let cells: Vec<String> = fields.values().map(cell).collect();
        writeln!(text, "{}", cells.join(",")).expect("a String takes everything");
    }
    text
}

/// A JSON value as a CSV cell; lists are joined by spaces.
fn cell(value: &serde_json::Value) -> String {
    let plain = match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    crate::summary::render::quoted(&plain)
}

const VERDICTS: [Verdict; 4] =
    [Verdict::Reproduced, Verdict::WithinTolerance, Verdict::NotReproduced, Verdict::NotTestable];
