//! `analyze audit`: the flaws of a benchmark that its data shows.
//!
//! `docs/methodology.md` lists the flaws, F1 to F21, that a published benchmark was found to have. Each has a *detector* here, in a
//! file of its own or with its kin, all of one shape: a constant `DETECTOR`, and a function that looks at a [`Scene`] and tells
//! how many runs it could look at and what it found. A detector knows no file, tag or broker by name. What each one looks
//! at, with its threshold and the reason for it, is in `docs/audit.md`.
//!
//! - [`scene`]: the runs, read once, and what the publisher says of them.
//! - [`consoles`]: what console logs show of the same flaws.
//! - [`render`]: the forms of the output.

pub mod consoles;
pub mod render;
pub mod scene;

mod clock;
mod collapse;
mod connections;
mod curve;
mod freeze;
mod idle;
mod kernel;
mod latency;
mod messages;
mod missing;
mod offered;
mod packets;
mod phases;
mod repeats;
mod sampling;
pub(crate) mod steady;
mod storm;
mod subscribers;
mod window;

use runlog::Run;
use serde::Serialize;

pub use self::scene::Scene;
pub(crate) use self::subscribers::bare_acknowledgements;
use crate::claims::{ClaimsFile, Evidence};
use crate::console::Log;

/// What the data of some runs shows, flaw by flaw.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Audit {
    /// What was found, by flaw, code and title.
    pub findings: Vec<Finding>,
    /// Flaws that were looked for and not found.
    pub clean: Vec<Clean>,
    /// Flaws that these data cannot show.
    pub not_visible: Vec<NotVisible>,
    /// What could not be read.
    pub unread: Vec<String>,
}

/// A flaw that the data shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Which flaw, `F1` to `F21`.
    pub flaw: &'static str,
    /// Which form of it; stable.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub title: String,
    /// Where it shows.
    pub evidence: Vec<Proof>,
    /// What follows for the figures.
    pub consequence: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A figure means something else than it says.
    High,
    /// A figure is biased, or its noise unknown.
    Medium,
    /// A reader should know.
    Low,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// A place in the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proof {
    /// The file.
    pub file: String,
    /// The line, where one line shows it.
    pub line: Option<u64>,
    /// When, where it happened at a moment.
    pub at: Option<Moment>,
    /// What is there, with figures.
    pub text: String,
}

/// A moment of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// Since the run's first sample, s.
    pub run_s: f64,
    /// The same as a UTC second.
    pub utc: Option<String>,
}

/// A flaw that was looked for and not found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clean {
    /// Which flaw.
    pub flaw: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Runs (or pairs of runs) that were looked at.
    pub looked_at: usize,
}

/// A flaw that these data cannot show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotVisible {
    /// Which flaw.
    pub flaw: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What it needs to be seen.
    pub needs: &'static str,
}

/// Looks for every flaw in these runs, knowing the published figures that this program carries.
pub fn run(runs: &[Run]) -> Audit {
    examine(&Evidence::of(runs), &[], &ClaimsFile::shipped())
}

/// Looks for every flaw in runs that have been read, and in console logs, by what these publishers say of them.
pub fn examine(evidence: &Evidence, logs: &[Log], published: &[ClaimsFile]) -> Audit {
    let scene = Scene::of(evidence, published);
    let mut audit = Audit::default();
    for reading in evidence.readings() {
        audit.unread.extend(reading.unread.iter().cloned());
    }
    for detector in DETECTORS {
        let mut looked = (detector.look)(&scene);
        looked.join(consoles::look(detector.flaw, logs));
        if !looked.findings.is_empty() {
            audit.findings.extend(looked.findings);
        } else if looked.at > 0 {
            audit.clean.push(Clean { flaw: detector.flaw, title: detector.title, looked_at: looked.at });
        } else {
            audit.not_visible.push(NotVisible { flaw: detector.flaw, title: detector.title, needs: detector.needs });
        }
    }
    for finding in &mut audit.findings {
        let second = |proof: &Proof| proof.at.as_ref().map_or(-1.0, |at| at.run_s);
        finding.evidence.sort_by(|a, b| {
            let by_place = a.file.cmp(&b.file).then(a.line.cmp(&b.line));
            by_place.then(second(a).total_cmp(&second(b))).then(a.text.cmp(&b.text))
        });
    }
    audit
}

/// Looks for one flaw.
struct Detector {
    flaw: &'static str,
    title: &'static str,
    /// What is missing where the detector has nothing to look at.
    needs: &'static str,
    look: fn(&Scene) -> Looked,
}

impl Detector {
    /// A finding of this flaw that has no evidence yet.
    fn finding(&self, code: &'static str, severity: Severity, title: &str, consequence: &str) -> Finding {
        Finding {
            flaw: self.flaw,
            code,
            severity,
            title: title.to_owned(),
            evidence: Vec::new(),
            consequence: consequence.to_owned(),
        }
    }
}

/// What a detector looked at, and what it found.
#[derive(Default)]
struct Looked {
    at: usize,
    findings: Vec<Finding>,
}

impl Looked {
    /// Keeps the findings that have evidence.
    fn new(at: usize, findings: impl IntoIterator<Item = Finding>) -> Self {
        Self { at, findings: findings.into_iter().filter(|finding| !finding.evidence.is_empty()).collect() }
    }

    fn join(&mut self, other: Self) {
        self.at += other.at;
        self.findings.extend(other.findings);
    }
}

impl Proof {
    fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, at: None, text: text.into() }
    }

    fn at(mut self, reading: &crate::reading::Reading, run_s: f64) -> Self {
        self.at = Some(Moment { run_s: (run_s * 1e3).round() / 1e3, utc: reading.utc_at(run_s) });
        self
    }
}

/// In the order of the flaws.
const DETECTORS: [Detector; 21] = [
    clock::DETECTOR,
    window::DETECTOR,
    connections::DETECTOR,
    subscribers::DETECTOR,
    steady::DETECTOR,
    collapse::DETECTOR,
    messages::DETECTOR,
    offered::DETECTOR,
    kernel::DETECTOR,
    repeats::DETECTOR,
    missing::CPU,
    missing::ROLES,
    sampling::DETECTOR,
    packets::DETECTOR,
    missing::KERNEL_MEMORY,
    latency::DETECTOR,
    curve::DETECTOR,
    storm::DETECTOR,
    freeze::DETECTOR,
    idle::DETECTOR,
    phases::DETECTOR,
];
