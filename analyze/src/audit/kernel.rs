//! F9: kernel settings that are not those documented, or not the same for both targets.

use std::collections::BTreeMap;

use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F9",
    title: "Kernel settings are not those documented, or differ between targets",
    needs: "recorded kernel settings",
    look,
};

fn look(scene: &Scene) -> Looked {
    let finding = |code, severity, title: &str, consequence: &str| DETECTOR.finding(code, severity, title, consequence);
    let mut other = finding(
        "sysctl-not-as-documented",
        Severity::High,
        "Kernel settings in use are not those documented",
        "Who follows the document measures another machine; and whatever changed the settings did so for the target that ran \
         next as well.",
    );
    let mut unnamed = finding(
        "sysctl-undocumented",
        Severity::Low,
        "Settings were recorded that the document does not mention",
        "A reader cannot tell whether they are the system's defaults or somebody's tuning.",
    );
    let mut unrecorded = finding(
        "sysctl-not-recorded",
        Severity::Low,
        "Documented settings were not recorded with the runs",
        "Whether they were in force cannot be checked.",
    );
    let mut differs = finding(
        "sysctl-differs",
        Severity::High,
        "Kernel settings differ between the targets of one step",
        "The difference of the figures is also the difference of the settings.",
    );
    let recorded = || scene.readings().iter().filter(|reading| !sysctls(reading).is_empty());
    let mut against = Grouped::default();
    let mut not_named = Grouped::default();
    let mut absent = Grouped::default();
    for reading in recorded() {
        for (file, declared) in scene.declared(reading).filter(|(_, declared)| !declared.sysctls.is_empty()) {
            let observed = sysctls(reading);
            let place = format!("{}, section {}", file.document, declared.section);
            for (name, value) in &declared.sysctls {
                match observed.get(name.as_str()) {
                    Some(seen) if words(seen) != words(value) => {
                        against
                            .add(reading, format!("{name} = {}, documented {} ({place})", words(seen), words(value)));
                    }
                    Some(_) => {}
                    None => absent.add(reading, format!("{name} = {} ({place})", words(value))),
                }
            }
            if reading.is_published() {
                let not_declared = observed.iter().filter(|(name, _)| !declared.sysctls.contains_key(**name));
                not_declared.for_each(|(name, value)| not_named.add(reading, format!("{name} = {}", words(value))));
            }
        }
    }
    other.evidence = against.proofs();
    unnamed.evidence = not_named.proofs();
    unrecorded.evidence = absent.proofs();
    for runs in scene.contested() {
        differs.evidence.extend(difference(&runs.iter().map(|(reading, _)| *reading).collect::<Vec<_>>()));
    }
    Looked::new(recorded().count(), [other, unnamed, unrecorded, differs])
}

/// Runs by what is to be said of them, so that one fact is told once.
#[derive(Default)]
struct Grouped(BTreeMap<String, Vec<String>>);

impl Grouped {
    fn add(&mut self, reading: &Reading, text: String) {
        self.0.entry(text).or_default().push(manifest(reading));
    }

    fn proofs(self) -> Vec<Proof> {
        let proof = |(text, files): (String, Vec<String>)| {
            Proof::new(
                files[0].clone(),
                if files.len() > 1 { format!("{text}, in {} runs", files.len()) } else { text },
            )
        };
        self.0.into_iter().map(proof).collect()
    }
}

/// Settings that matter to a broker and are not the same in all runs of a step.
fn difference(runs: &[&Reading]) -> Option<Proof> {
    let first = *runs.first()?;
    let (other, names) = runs.iter().find_map(|run| {
        let (one, two) = (sysctls(first), sysctls(run));
        let differing: Vec<String> = one
            .iter()
            .filter(|(name, _)| matters(name))
            .filter_map(|(name, value)| {
                let seen = two.get(*name).filter(|seen| words(seen) != words(value))?;
                Some(format!("{name} = {} and {}", words(value), words(seen)))
            })
            .collect();
        (!differing.is_empty()).then_some((*run, differing))
    })?;
    let text = format!("{} and {}: {}", first.name(), other.name(), names.join("; "));
    Some(Proof::new(manifest(other), text))
}

fn sysctls(reading: &Reading) -> BTreeMap<&str, &str> {
    let guide = reading.run.guide_meta.as_ref().map(|meta| &meta.sysctls);
    let ours = reading.run.meta.as_ref().map(|meta| &meta.host.sysctls);
    ours.or(guide).into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn manifest(reading: &Reading) -> String {
    reading.run.manifest_path().display().to_string()
}

fn matters(name: &str) -> bool {
    let is_state = ["fastopen_key", "available_congestion_control"].iter().any(|state| name.ends_with(state));
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !is_state
}

fn words(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Settings below these can change what a broker does; the rest are counters, states and other protocols.
const PREFIXES: [&str; 7] = [
    "net.core.",
    "net.ipv4.tcp_",
    "net.ipv4.ip_local_port",
    "fs.file-max",
    "fs.nr_open",
    "vm.overcommit",
    "vm.swappiness",
];
