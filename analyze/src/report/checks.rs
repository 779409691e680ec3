//! Claims judged and data audited: what other commands find in the same runs, for the report to show.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use runlog::Run;
use serde::Serialize;

use super::provenance::settings;
use crate::audit::{self, Audit};
use crate::claims::{self, ClaimsFile, Evidence, Judged, Verdict};
use crate::console;

/// What became of claims, and what the audit found.
#[derive(Debug, Default, Serialize)]
pub struct Checks {
    /// Claims by document.
    pub claims: Vec<ClaimSet>,
    /// The flaws that the data shows.
    pub audit: Audit,
    /// Settings that a document declares, against those that its runs show.
    pub declared: Vec<Declared>,
}

/// The claims of one document.
#[derive(Debug, Serialize)]
pub struct ClaimSet {
    /// Headline of the file.
    pub title: String,
    /// The document.
    pub document: String,
    /// Each claim with its verdict.
    pub judged: Vec<Judged>,
}

/// A declared setting.
#[derive(Debug, Serialize)]
pub struct Declared {
    /// Where it is declared.
    pub source: String,
    /// Which.
    pub setting: String,
    /// What it should be.
    pub declared: String,
    /// What the runs say it was, with how many of them; a run that does not say is left out.
    pub observed: Vec<(String, usize)>,
}

impl Checks {
    /// Judges the named claims files, the one beside the runs, and those that this program carries and these runs can test.
    ///
    /// # Errors
    /// When a claims file cannot be read or has a mistake.
    pub fn of(dir: &Path, runs: &[Run], named: &[PathBuf]) -> Result<Self> {
        let evidence = Evidence::of(runs);
        let mut files = named.iter().map(|path| ClaimsFile::read(path)).collect::<Result<Vec<_>>>()?;
        let beside = runlog::read::claims_path(dir);
        if beside.is_file() {
            files.push(ClaimsFile::read(&beside)?);
        }
        let is_tested = |judged: &[Judged]| judged.iter().any(|claim| claim.verdict != Verdict::NotTestable);
        let shipped = ClaimsFile::shipped();
        let mut sets = Vec::new();
        for file in &files {
            sets.push(ClaimSet::of(file, claims::judge_by(file, &evidence)));
        }
        for file in shipped.iter().filter(|file| !files.iter().any(|known| known.title == file.title)) {
            let judged = claims::judge_by(file, &evidence);
            if is_tested(&judged) {
                sets.push(ClaimSet::of(file, judged));
            }
        }
        let published: Vec<ClaimsFile> = files.iter().chain(&shipped).cloned().collect();
        let declared = declared(&published, runs);
        let (logs, _) = console::logs(std::slice::from_ref(&dir.to_owned()))?;
        Ok(Self { claims: sets, audit: audit::examine(&evidence, &logs, &published), declared })
    }

    /// How many claims got each verdict.
    pub fn counts(&self) -> BTreeMap<Verdict, usize> {
        let mut counts = BTreeMap::new();
        for judged in self.claims.iter().flat_map(|set| &set.judged) {
            *counts.entry(judged.verdict).or_default() += 1;
        }
        counts
    }
}

impl ClaimSet {
    fn of(file: &ClaimsFile, judged: Vec<Judged>) -> Self {
        Self { title: file.title.clone(), document: file.document.clone(), judged }
    }
}

/// Every declared kernel setting, for declarations that are about one of the runs.
fn declared(files: &[ClaimsFile], runs: &[Run]) -> Vec<Declared> {
    let mut rows: Vec<Declared> = Vec::new();
    for file in files {
        for declaration in &file.declared {
            let about: Vec<_> = runs.iter().filter(|run| declaration.is_about(&run.tag)).map(settings).collect();
            if about.is_empty() {
                continue;
            }
            for (setting, value) in &declaration.sysctls {
                let mut observed: BTreeMap<String, usize> = BTreeMap::new();
                for found in about.iter().filter_map(|facts| facts.get(setting)) {
                    *observed.entry(plain(found)).or_default() += 1;
                }
                let source = format!("{}, section {}", file.document, declaration.section);
                let (setting, declared) = (setting.clone(), plain(value));
                rows.push(Declared { source, setting, declared, observed: observed.into_iter().collect() });
            }
        }
    }
    rows
}

/// Kernel settings of several numbers are parted by tabs or blanks.
fn plain(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}
