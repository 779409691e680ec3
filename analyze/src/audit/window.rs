//! F2: figures that depend on the window, and tables that mix two.

use runlog::columns;

use super::{Detector, Looked, Proof, Scene, Severity};
use crate::claims::{Rule, Verdict};
use crate::reading::Reading;
use crate::series::Series;

pub(super) const DETECTOR: Detector =
    Detector { flaw: "F2", title: "Figures depend on the window, or a table mixes two", needs: "runs with load", look };

fn look(scene: &Scene) -> Looked {
    let mut sensitive = DETECTOR.finding(
        "window-sensitive",
        Severity::Medium,
        "Another window gives another figure",
        "Whoever chooses the window chooses the figure; a figure needs its window and its sensitivity beside it.",
    );
    for (reading, series) in scene.loaded() {
        let text = if reading.is_published() { by_rules(reading) } else { by_shift(reading, series) };
        sensitive.evidence.extend(text.map(|text| Proof::new(reading.raw_file(), text)));
    }
    let mut mix = DETECTOR.finding(
        "rule-mix",
        Severity::High,
        "A published figure is not what the stated window rule gives, but what another one gives",
        "Rows of one table that come from different windows cannot be compared with each other.",
    );
    for (file, judged) in scene.published.iter().zip(&scene.judged) {
        for (claim, judged) in file.claims.iter().zip(judged) {
            let Some(expression) = claim.expression.as_ref().filter(|_| claim.value != 0.0) else { continue };
            let stated = claim.stated_rule.unwrap_or(claim.rule);
            let value = |rule| scene.evidence.value(&expression.tree, rule).ok().map(|found| found.value);
            let Some(by_stated) = value(stated).filter(|v| claim.verdict(*v) != Verdict::Reproduced) else { continue };
            let published_rules = Rule::ALL.into_iter().filter(|rule| *rule != Rule::Plateau && *rule != stated);
            let other = published_rules.filter_map(|rule| Some((rule, value(rule)?)));
            let Some((rule, found)) = other.into_iter().find(|(_, v)| claim.verdict(*v) == Verdict::Reproduced) else {
                continue;
            };
            let decimals = claim.decimals;
            let text = format!(
                "{}, {}: printed {:.decimals$} {}; {} as stated gives {by_stated:.decimals$}, {} gives {found:.decimals$}",
                judged.source,
                claim.text,
                claim.value,
                claim.unit,
                stated.name(),
                rule.name()
            );
            mix.evidence.push(Proof::new(judged.runs.join(", "), text));
        }
    }
    Looked::new(scene.loaded().count(), [sensitive, mix])
}

/// What the published rules make of one run.
fn by_rules(reading: &Reading) -> Option<String> {
    let windows = &reading.summary.as_ref()?.windows;
    let sent: Vec<(Rule, f64)> =
        Rule::ALL.into_iter().filter_map(|rule| Some((rule, rule.of(windows).tx_mib_s?))).collect();
    let published = || sent.iter().filter(|(rule, _)| *rule != Rule::Plateau).map(|(_, sent)| *sent);
    let (least, most) = (published().fold(f64::INFINITY, f64::min), published().fold(0.0, f64::max));
    let texts: Vec<String> = sent.iter().map(|(rule, sent)| format!("{:.1} by {}", sent, rule.name())).collect();
    (most - least > SENSITIVITY * most).then(|| format!("sent MiB/s: {}", texts.join(", ")))
}

/// What becomes of our window when a tenth is cut off either end.
fn by_shift(reading: &Reading, series: &Series) -> Option<String> {
    let rows = reading.plateau.clone();
    let tenth = rows.len() / 10;
    if tenth == 0 {
        return None;
    }
    let rate = |rows| series.rate_over(columns::TX_BYTES, rows).map(|rate| rate / (1024.0 * 1024.0));
    let whole = rate(rows.clone())?;
    let (later, earlier) = (rate(rows.start + tenth..rows.end)?, rate(rows.start..rows.end - tenth)?);
    let is_off = |other: f64| (other - whole).abs() > SENSITIVITY * whole;
    (whole > 1.0 && (is_off(later) || is_off(earlier))).then(|| {
        format!(
            "sent {whole:.1} MiB/s in the measured phase, {later:.1} without its first tenth, {earlier:.1} without its last"
        )
    })
}

/// Equal runs of the published benchmark differ by 2 to 4 %; a window that moves a figure by more than twice that decides it.
const SENSITIVITY: f64 = 0.1;
