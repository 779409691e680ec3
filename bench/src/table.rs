//! Medians, ratios and verdicts of what was measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::rows::{Bound, Figures, Goal, Row};
use crate::target::Target;

/// Everything measured so far.
pub(crate) struct Table {
    targets: Vec<Target>,
    /// Row, target, figure: values in the order of the rounds.
    values: BTreeMap<(&'static str, String, &'static str), Vec<f64>>,
    /// Figures of each row in the order of their appearance.
    figures: BTreeMap<&'static str, Vec<&'static str>>,
    /// Row, target: what went wrong, and in which round.
    failures: BTreeMap<(&'static str, String), Vec<String>>,
    json: Option<File>,
}

impl Table {
    /// An empty table; each measurement is also appended to `json`.
    pub(crate) fn new(targets: &[Target], json: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        let json = json.map(open).transpose()?;
        let (values, figures, failures) = Default::default();
        Ok(Self { targets: targets.to_vec(), values, figures, failures, json })
    }

    /// Adds one measurement.
    pub(crate) fn add(&mut self, row: &'static str, target: &Target, round: usize, figures: Figures) -> Result<()> {
        let values: serde_json::Map<_, _> =
            figures.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
        self.note(&serde_json::json!({"row": row, "target": target.to_string(), "round": round, "figures": values}))?;
        for (figure, value) in figures {
            let known = self.figures.entry(row).or_default();
            if !known.contains(&figure) {
                known.push(figure);
            }
            self.values.entry((row, target.to_string(), figure)).or_default().push(value);
        }
        Ok(())
    }

    /// Adds a measurement that failed.
    pub(crate) fn add_failure(&mut self, row: &'static str, target: &Target, round: usize, why: &str) -> Result<()> {
        self.note(&serde_json::json!({"row": row, "target": target.to_string(), "round": round, "failed": why}))?;
        self.failures.entry((row, target.to_string())).or_default().push(format!("round {round}: {why}"));
        Ok(())
    }

    fn note(&mut self, line: &serde_json::Value) -> Result<()> {
        let Some(file) = &mut self.json else { return Ok(()) };
        writeln!(file, "{line}").context("cannot write the measurements")
    }

    /// # Errors
    /// When a measurement failed.
    pub(crate) fn check_failures(&self) -> Result<()> {
        match self.failures.values().map(Vec::len).sum() {
            0 => Ok(()),
            1 => bail!("a measurement failed"),
            count => bail!("{count} measurements failed"),
        }
    }

    /// Median of a figure.
    fn median(&self, row: &'static str, target: &Target, figure: &'static str) -> Option<f64> {
        self.values.get(&(row, target.to_string(), figure)).map(|values| median(values))
    }

    /// Whether our broker reaches a goal; `None` when what it is held against was not measured.
    fn reached(&self, row: &'static str, target: &Target, goal: &Goal) -> Option<bool> {
        let value = self.median(row, target, goal.figure)?;
        Some(match goal.bound {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
            Bound::TimesFloor(times) => value <= times * self.median(row, &Target::Floor, goal.figure)?,
            Bound::OfRow(share, other) => value >= share * self.median(other, target, goal.figure)?,
        })
    }

    /// Whether every goal that can be judged was reached by our broker.
    pub(crate) fn all_reached(&self, rows: &[&'static Row]) -> bool {
        let ours = || self.targets.iter().filter(|target| matches!(target, Target::Ours(..)));
        rows.iter().all(|row| {
            row.goals.iter().all(|goal| ours().all(|target| self.reached(row.name, target, goal) != Some(false)))
        })
    }

    /// The table as Markdown: medians, the spread from least to most where there were several rounds, ratios to the
    /// floor, verdicts on our broker. Below it, what failed.
    pub(crate) fn render(&self, rows: &[&'static Row]) -> String {
        let mut text = String::from("| row | figure |");
        self.targets.iter().for_each(|target| write!(text, " {target} |").expect("a string takes all"));
        text += " goal |\n|---|---|";
        text += &"--:|".repeat(self.targets.len());
        text += "---|\n";
        for row in rows {
            for figure in self.figures.get(row.name).into_iter().flatten() {
                write!(text, "| {} | {figure} |", row.name).expect("a string takes all");
                for target in &self.targets {
                    write!(text, " {} |", self.cell(row.name, target, figure)).expect("a string takes all");
                }
                let goal = row.goals.iter().find(|goal| goal.figure == *figure);
                text += &goal.map_or(" |\n".into(), |goal| format!(" {} |\n", self.verdict(row.name, goal)));
            }
        }
        for ((row, target), failures) in &self.failures {
            writeln!(text, "\nFailed: {row} against {target}, {}", failures.join("; ")).expect("a string takes all");
        }
        text
    }

    fn cell(&self, row: &'static str, target: &Target, figure: &'static str) -> String {
        let failed = self.failures.contains_key(&(row, target.to_string()));
        let Some(values) = self.values.get(&(row, target.to_string(), figure)) else {
            return if failed { "failed".into() } else { "-".into() };
        };
        let mut cell = short(median(values));
        if values.len() > 1 {
            let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), &value| (a.min(value), b.max(value)));
            write!(cell, " ({} to {})", short(least), short(most)).expect("a string takes all");
        }
        if let Some(failures) = self.failures.get(&(row, target.to_string())) {
            write!(cell, ", {} more failed", failures.len()).expect("a string takes all");
        }
        if *target != Target::Floor
            && let Some(floor) = self.median(row, &Target::Floor, figure).filter(|&floor| floor > 0.0)
        {
            write!(cell, ", {:.2} x", median(values) / floor).expect("a string takes all");
        }
        cell
    }

    fn verdict(&self, row: &'static str, goal: &Goal) -> String {
        let ours = self.targets.iter().filter(|target| matches!(target, Target::Ours(..)));
        let verdicts = ours.map(|target| match self.reached(row, target, goal) {
            Some(true) => "reached",
            Some(false) => "MISSED",
            None => "not judged",
        });
        format!("{goal}: {}", verdicts.collect::<Vec<_>>().join(", "))
    }
}

/// Names and values in one line.
pub(crate) fn listed(figures: &Figures) -> String {
    figures.iter().map(|&(name, value)| format!("{name} {}", short(value))).collect::<Vec<_>>().join(", ")
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Three digits are all that such a measurement is good for.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2}M", value / 1e6),
        size if size >= 1e4 => format!("{:.0}k", value / 1e3),
        size if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    #[test]
    fn goals_are_judged_by_medians_and_by_the_floor_of_the_same_run() {
        let row = ROWS.iter().find(|row| row.name == "fan-q0").unwrap();
        let targets = [Target::Floor, Target::Ours(None, false)];
        let mut table = Table::new(&targets, None).unwrap();
        assert!(table.all_reached(&[row]), "nothing was measured, nothing was missed");
        for (round, (floor, ours)) in [(1.0, 9.0), (1.0, 1.3), (2.0, 1.3)].into_iter().enumerate() {
            table.add(row.name, &targets[0], round, vec![("cpu_us_per_msg", floor)]).unwrap();
            table.add(row.name, &targets[1], round, vec![("cpu_us_per_msg", ours)]).unwrap();
        }
        let text = table.render(&[row]);
        assert!(text.contains("1.30 (1.30 to 9.00), 1.30 x") && text.contains(": reached"), "{text}");
        assert!(table.all_reached(&[row]));
        for round in 3..9 {
            table.add(row.name, &targets[1], round, vec![("cpu_us_per_msg", 1.5)]).unwrap();
        }
        assert!(!table.all_reached(&[row]) && table.render(&[row]).contains("MISSED"));
    }

    #[test]
    fn a_failure_is_shown_beside_what_was_measured() {
        let row = ROWS.iter().find(|row| row.name == "fan-q0").unwrap();
        let targets = [Target::Floor, Target::Ours(None, false), Target::Mosquitto];
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut table = Table::new(&targets, Some(file.path())).unwrap();
        table.add(row.name, &targets[0], 1, vec![("cpu_us_per_msg", 1.0)]).unwrap();
        table.add(row.name, &targets[1], 1, vec![("cpu_us_per_msg", 1.2)]).unwrap();
        assert!(table.check_failures().is_ok());
        table.add_failure(row.name, &targets[1], 2, "no answer").unwrap();
        table.add_failure(row.name, &targets[2], 1, "has died").unwrap();
        let text = table.render(&[row]);
        assert!(text.contains("| 1.00 | 1.20, 1 more failed, 1.20 x | failed |"), "{text}");
        assert!(text.contains("Failed: fan-q0 against ours, round 2: no answer\n"), "{text}");
        assert!(text.contains("Failed: fan-q0 against mosquitto, round 1: has died\n"), "{text}");
        assert_eq!(table.check_failures().unwrap_err().to_string(), "2 measurements failed");
        let lines = std::fs::read_to_string(file.path()).unwrap();
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!((&last["target"], &last["failed"]), (&"mosquitto".into(), &"has died".into()));
    }

    #[test]
    fn figures_are_short() {
        let shown: Vec<String> = [4_123_456.0, 12_345.0, 1_234.0, 12.34, 0.1234, 0.0].map(short).into();
        assert_eq!(listed(&vec![("a_us", 12_345.0), ("b", 0.5)]), "a_us 12k, b 0.50");
        assert_eq!(shown, ["4.12M", "12k", "1234", "12.3", "0.12", "0"]);
    }
}
