//! The figures as CSV: one line per step, metric and target.

use super::figures::{Figure, Figures, Row, StepFigures};

/// The text of report.csv.
pub fn report(figures: &Figures) -> String {
    let mut text =
        "step,metric,unit,label,target,n,mean,low,high,interval,values_by_repeat,percent_against_second,note\n"
            .to_owned();
    for step in &figures.steps {
        for row in &step.rows {
            for (place, figure) in row.figures.iter().enumerate() {
                text.push_str(&line(figures, step, row, place, figure));
            }
        }
    }
    text
}

fn line(figures: &Figures, step: &StepFigures, row: &Row, place: usize, figure: &Figure) -> String {
    let target = &figures.targets[place];
    let number = |value: f64| value.to_string();
    let (n, mean, low, high, interval) = match (&figure.estimate, &figure.pooled) {
        (Some(found), _) => {
            let (low, high) = found.bar();
            let interval = if found.ci95.is_some() { "ci95" } else { "range" };
            (found.n.to_string(), number(found.mean), number(low), number(high), interval)
        }
        (None, Some(found)) => {
            let (low, high) = found.ci95;
            (found.count.to_string(), number(found.value), number(low), number(high), "pooled")
        }
        (None, None) => (String::new(), String::new(), String::new(), String::new(), ""),
    };
    let values: Vec<String> = figure.values.iter().map(|(repeat, value)| format!("{repeat}:{value}")).collect();
    let percent = row.contrast.as_ref().filter(|_| place == 0).map(|contrast| number(contrast.percent));
    let failed =
        step.failed_of(&target.label).map(|failed| format!("repeat {}: {}", failed.repeat, failed.reasons.join("; ")));
    let voids = figure.voids.iter().map(|(repeat, reason)| format!("repeat {repeat}: {reason}"));
    let note: Vec<String> = failed.chain(voids).collect();
    let cells = [
        step.name.clone(),
        row.metric.key().to_owned(),
        row.unit.to_owned(),
        target.label.clone(),
        target.name.clone(),
        n,
        mean,
        low,
        high,
        interval.to_owned(),
        values.join(" "),
        percent.unwrap_or_default(),
        note.join("; "),
    ];
    cells.map(|cell| quoted(&cell)).join(",") + "\n"
}

/// A cell; one that a spreadsheet would take for a formula is told to be text.
fn quoted(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    let cell = if !is_number && cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        assert_eq!(
            ["a", "a,b", "say \"x\"", "=1+1", "-3.5"].map(quoted),
            ["a", "\"a,b\"", "\"say \"\"x\"\"\"", "'=1+1", "-3.5"]
        );
    }
}
