//! Tables in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::case::{Case, full_id};
use crate::cases;
use crate::runner::{Run, Verdict};
use crate::statements::{self, Statement};
use crate::wire::Version;

/// The table of a run: one row a case, one column a version; then what was seen where it was not what was wanted.
#[must_use]
pub fn run_table(runs: &[Run]) -> String {
    let mut rows: Vec<(&Case, BTreeMap<Version, &Run>)> = Vec::new();
    for run in runs {
        let case = run.instance.case;
        match rows.last_mut() {
            Some((last, cells)) if std::ptr::eq(*last, case) => {
                cells.insert(run.instance.version, run);
            }
            _ => rows.push((case, BTreeMap::from([(run.instance.version, run)]))),
        }
    }
    let mut text = String::from("| case | 3.1.1 | 5.0 | what it shows |\n|---|---|---|---|\n");
    for (case, cells) in &rows {
        let [old, new] = Version::ALL.map(|version| cells.get(&version).map_or("", |run| mark(&run.verdict)));
        let optional = if case.optional { " (optional)" } else { "" };
        let _ = writeln!(text, "| {}/{} | {old} | {new} | {}{optional} |", case.area, case.name, case.about);
    }
    for (title, wanted) in [("Not as demanded", true), ("Optional, and done otherwise", false)] {
        let seen = runs.iter().filter_map(|run| match &run.verdict {
            Verdict::Fail(seen) if wanted => Some((run, seen)),
            Verdict::Otherwise(seen) if !wanted => Some((run, seen)),
            _ => None,
        });
        let lines: Vec<String> =
            seen.map(|(run, seen)| format!("- {}: {}", run.instance, seen.to_string().replace('|', "\\|"))).collect();
        if !lines.is_empty() {
            let _ = write!(text, "\n{title}:\n\n{}\n", lines.join("\n"));
        }
    }
    text
}

/// One line: how many passed, failed, did otherwise.
#[must_use]
pub fn summary(runs: &[Run]) -> String {
    let count = |wanted: &str| runs.iter().filter(|run| mark(&run.verdict) == wanted).count();
    let (passed, failed) = (count(PASS), count(FAIL));
    format!("{} cases: {passed} passed, {failed} failed, {} optional and done otherwise", runs.len(), count(OTHERWISE))
}

const PASS: &str = "pass";
const FAIL: &str = "**fail**";
const OTHERWISE: &str = "no";

fn mark(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => PASS,
        Verdict::Fail(_) => FAIL,
        Verdict::Otherwise(_) => OTHERWISE,
    }
}

/// The tables of statements and the cases that show them, for `docs/conformance.md`.
#[must_use]
pub fn statement_tables() -> String {
    let mut text = String::new();
    for version in Version::ALL {
        let list = statements::of(version);
        let cases = list.iter().filter(|statement| statement.note.is_none()).count();
        let client_only = list.iter().filter(|statement| statement.note == Some(statements::SIDE_OF_CLIENT)).count();
        let _ = write!(
            text,
            "## MQTT {version}\n\n{} statements; cases show {cases} of them, {client_only} bind only clients.\n\n\
             | statement | says | shown by |\n|---|---|---|\n",
            list.len(),
        );
        for statement in list {
            let id = full_id(statement.id);
            let _ = writeln!(text, "| {id} | {} | {} |", statement.about, shown_by(statement, version));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn shown_by(statement: &Statement, version: Version) -> String {
    if let Some(note) = statement.note {
        return format!("*{note}*");
    }
    let shows = |case: &&Case| case.statements(version).contains(&statement.id);
    let names: Vec<String> = cases::all().filter(shows).map(|case| format!("{}/{}", case.area, case.name)).collect();
    names.join(", ")
}
