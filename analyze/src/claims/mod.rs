//! `analyze claims`: published figures against runs.
//!
//! A *claim* is a figure that somebody published, written down with its source and with the expression over runs that should
//! give it. It is computed twice: in the window that the publisher used, and in ours. The grammar, the keys of a file and the
//! verdicts are in `docs/claims.md`. [`judge()`] gives them.
//!
//! - [`expression`]: the small language of metrics, selectors, functions and arithmetic.
//! - [`file`](mod@file): a claims file: what may stand in it, and strict errors with line and column.
//! - [`evaluate`]: an expression over runs, in one window.
//! - [`render`]: the forms of the output.

pub mod evaluate;
pub mod expression;
pub mod file;
pub mod render;

use runlog::Run;
use serde::Serialize;

pub use self::evaluate::Evidence;
pub use self::file::{Claim, ClaimsFile, Relation, Rule};

/// A claim and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The claim's own name.
    pub id: String,
    /// What is claimed, in words.
    pub text: String,
    /// Document and section.
    pub source: String,
    /// The expression, as it stands in the file; absent where nobody could compute the figure.
    pub expression: Option<String>,
    /// The published value.
    pub published: f64,
    /// How the found value is compared with it.
    pub relation: Relation,
    /// Decimals of the published value as printed.
    pub decimals: usize,
    /// Its unit.
    pub unit: String,
    /// Percent of the published value by which a found one may be off.
    pub tolerance_percent: f64,
    /// The window by which the publisher's figure is computed.
    pub rule: Rule,
    /// The window that the document states, where that is another one.
    pub stated_rule: Option<Rule>,
    /// The value found in the publisher's window.
    pub found_published: Option<f64>,
    /// The value found in ours (`plateau`).
    pub found_ours: Option<f64>,
    /// The value found in the window that the document states, where that is another one.
    pub found_stated: Option<f64>,
    /// The verdict on the value in the publisher's window.
    pub verdict: Verdict,
    /// The verdict on the value in ours.
    pub verdict_ours: Verdict,
    /// Why the verdict is what it is.
    pub reason: String,
    /// The run directories that the value comes from.
    pub runs: Vec<String>,
}

/// What may be said of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The value found is the published one to the last digit printed, or the bound holds.
    Reproduced,
    /// It is not, but lies within the tolerance.
    WithinTolerance,
    /// It lies outside.
    NotReproduced,
    /// The data to compute it is not there.
    NotTestable,
}

impl Verdict {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::WithinTolerance => "within tolerance",
            Self::NotReproduced => "not reproduced",
            Self::NotTestable => "not testable",
        }
    }
}

/// Judges every claim of a file by these runs, in the order of the file.
pub fn judge(file: &ClaimsFile, runs: &[Run]) -> Vec<Judged> {
    judge_by(file, &Evidence::of(runs))
}

/// As [`judge`], by runs that have been read before.
pub fn judge_by(file: &ClaimsFile, evidence: &Evidence) -> Vec<Judged> {
    file.claims.iter().map(|claim| judge_claim(file, claim, evidence)).collect()
}

fn judge_claim(file: &ClaimsFile, claim: &Claim, evidence: &Evidence) -> Judged {
    let mut judged = Judged {
        id: claim.id.clone(),
        text: claim.text.clone(),
        source: format!("{}, section {}", file.document, claim.section),
        expression: claim.expression.as_ref().map(|expression| expression.text.clone()),
        published: claim.value,
        relation: claim.relation,
        decimals: claim.decimals,
        unit: claim.unit.clone(),
        tolerance_percent: claim.tolerance_percent,
        rule: claim.rule,
        stated_rule: claim.stated_rule,
        found_published: None,
        found_ours: None,
        found_stated: None,
        verdict: Verdict::NotTestable,
        verdict_ours: Verdict::NotTestable,
        reason: claim.untestable.clone().unwrap_or_default(),
        runs: Vec::new(),
    };
    let Some(expression) = &claim.expression else { return judged };
    let find = |rule| evidence.value(&expression.tree, rule);
    match find(claim.rule) {
        Ok(found) => {
            judged.found_published = Some(found.value);
            judged.verdict = claim.verdict(found.value);
            judged.runs = found.runs;
            judged.reason = reason(claim, found.value);
        }
        Err(why) => judged.reason = why,
    }
    match find(Rule::Plateau) {
        Ok(found) => {
            judged.found_ours = Some(found.value);
            judged.verdict_ours = claim.verdict(found.value);
        }
        Err(why) if judged.found_published.is_some() => judged.reason += &format!("; not in our window: {why}"),
        Err(_) => {}
    }
    if let Some(stated) = claim.stated_rule
        && let Ok(found) = find(stated)
    {
        judged.found_stated = Some(found.value);
        let (stated, rule, decimals) = (stated.name(), claim.rule.name(), claim.decimals);
        judged.reason += &format!(
            "; the document states {stated}, which gives {:.decimals$}, and printed what {rule} gives",
            found.value
        );
    }
    judged
}

fn reason(claim: &Claim, found: f64) -> String {
    let (value, unit, decimals) = (claim.value, &claim.unit, claim.decimals);
    let off = 100.0 * (found / value - 1.0);
    let is = match claim.verdict(found) {
        Verdict::Reproduced if claim.relation == Relation::Equals => {
            return "equal to the last printed digit".to_owned();
        }
        Verdict::Reproduced => "holds".to_owned(),
        _ if value == 0.0 => format!("off by {found:.3} {unit}"),
        Verdict::WithinTolerance => format!("off by {off:+.1} %, allowed are {} %", claim.tolerance_percent),
        _ => format!("off by {off:+.1} %"),
    };
    match claim.relation {
        Relation::Equals => is,
        Relation::AtLeast => format!("found {found:.decimals$}, claimed is at least {value:.decimals$} {unit}: {is}"),
        Relation::AtMost => format!("found {found:.decimals$}, claimed is at most {value:.decimals$} {unit}: {is}"),
    }
}

impl Claim {
    /// The verdict on a value that was found.
    pub fn verdict(&self, found: f64) -> Verdict {
        let decimals = self.decimals;
        let is_equal = || format!("{found:.decimals$}") == format!("{:.decimals$}", self.value);
        let slack = self.value.abs() * self.tolerance_percent / 100.0;
        let (holds, nearly) = match self.relation {
            Relation::Equals => (is_equal(), (found - self.value).abs() <= slack),
            Relation::AtLeast => (found >= self.value, found >= self.value - slack),
            Relation::AtMost => (found <= self.value, found <= self.value + slack),
        };
        match (holds, nearly) {
            (true, _) => Verdict::Reproduced,
            (_, true) => Verdict::WithinTolerance,
            _ => Verdict::NotReproduced,
        }
    }
}
