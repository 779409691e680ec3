//! The shipped experiments and targets, and files that a user names by path.
//!
//! The shipped files are compiled in, so that the program works wherever it is copied to.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::typed::{Experiment, Target, parse};

/// (file name, text) of the shipped experiments.
const EXPERIMENTS: &[(&str, &str)] = &[
    ("experiments/aa-control.toml", include_str!("../experiments/aa-control.toml")),
    ("experiments/c1m.toml", include_str!("../experiments/c1m.toml")),
    ("experiments/capacity.toml", include_str!("../experiments/capacity.toml")),
    ("experiments/idle-baseline.toml", include_str!("../experiments/idle-baseline.toml")),
    ("experiments/latency.toml", include_str!("../experiments/latency.toml")),
    ("experiments/mqttx-bench.toml", include_str!("../experiments/mqttx-bench.toml")),
    ("experiments/n2n.toml", include_str!("../experiments/n2n.toml")),
    ("experiments/omb.toml", include_str!("../experiments/omb.toml")),
    ("experiments/payload-sweep.toml", include_str!("../experiments/payload-sweep.toml")),
    ("experiments/quickstart.toml", include_str!("../experiments/quickstart.toml")),
    ("experiments/reconnect-storm.toml", include_str!("../experiments/reconnect-storm.toml")),
    ("experiments/robustness.toml", include_str!("../experiments/robustness.toml")),
    ("experiments/throughput.toml", include_str!("../experiments/throughput.toml")),
];

/// (file name, text) of the shipped targets.
const TARGETS: &[(&str, &str)] = &[
    ("targets/aedes.toml", include_str!("../targets/aedes.toml")),
    ("targets/apexmqtt.toml", include_str!("../targets/apexmqtt.toml")),
    ("targets/emqx-default.toml", include_str!("../targets/emqx-default.toml")),
    ("targets/emqx.toml", include_str!("../targets/emqx.toml")),
    ("targets/external.toml", include_str!("../targets/external.toml")),
    ("targets/flashmq-default.toml", include_str!("../targets/flashmq-default.toml")),
    ("targets/flashmq.toml", include_str!("../targets/flashmq.toml")),
    ("targets/hivemq-ce-default.toml", include_str!("../targets/hivemq-ce-default.toml")),
    ("targets/hivemq-ce.toml", include_str!("../targets/hivemq-ce.toml")),
    ("targets/mosquitto-default.toml", include_str!("../targets/mosquitto-default.toml")),
    ("targets/mosquitto.toml", include_str!("../targets/mosquitto.toml")),
    ("targets/nanomq-default.toml", include_str!("../targets/nanomq-default.toml")),
    ("targets/nanomq.toml", include_str!("../targets/nanomq.toml")),
    ("targets/ours-default.toml", include_str!("../targets/ours-default.toml")),
    ("targets/ours.toml", include_str!("../targets/ours.toml")),
    ("targets/rabbitmq-default.toml", include_str!("../targets/rabbitmq-default.toml")),
    ("targets/rabbitmq.toml", include_str!("../targets/rabbitmq.toml")),
    ("targets/rumqttd.toml", include_str!("../targets/rumqttd.toml")),
    ("targets/vernemq-default.toml", include_str!("../targets/vernemq-default.toml")),
    ("targets/vernemq.toml", include_str!("../targets/vernemq.toml")),
];

/// Every shipped experiment.
pub(crate) fn experiments() -> Result<Vec<Experiment>> {
    EXPERIMENTS.iter().map(|(file, text)| parse(file, text)).collect()
}

/// Every shipped target.
pub(crate) fn targets() -> Result<Vec<Target>> {
    TARGETS.iter().map(|(file, text)| parse(file, text)).collect()
}

/// A shipped experiment by name, or a file by path (anything that ends in `.toml`).
pub(crate) fn experiment(name: &str) -> Result<Experiment> {
    let (file, text) = text_of(name, "experiment", EXPERIMENTS)?;
    parse(&file, &text)
}

/// A shipped target by name, or a file by path (anything that ends in `.toml`).
pub(crate) fn target(name: &str) -> Result<Target> {
    let (file, text) = text_of(name, "target", TARGETS)?;
    let target: Target = parse(&file, &text)?;
    Ok(Target { file: (file, text), ..target })
}

fn text_of(name: &str, kind: &str, shipped: &[(&str, &str)]) -> Result<(String, String)> {
    if name.ends_with(".toml") {
        let text = std::fs::read_to_string(Path::new(name)).with_context(|| format!("cannot read {kind} {name}"))?;
        return Ok((name.to_owned(), text));
    }
    if let Some((file, text)) = shipped.iter().find(|(file, _)| stem(file) == name) {
        return Ok(((*file).to_owned(), (*text).to_owned()));
    }
    let names: Vec<&str> = shipped.iter().map(|(file, _)| stem(file)).collect();
    let hint = match nearest(name, &names) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "a path to a file of your own must end in .toml".to_owned(),
    };
    bail!("there is no {kind} '{name}'; {hint} (shipped: {})", names.join(", "))
}

fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// The name at the smallest edit distance, if that is small enough to be a slip.
fn nearest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let (distance, name) = names.iter().map(|name| (edit_distance(typed, name), *name)).min()?;
    (distance <= name.len().max(typed.len()) / 2).then_some(name)
}

/// Levenshtein: insertions, deletions and replacements of one character each.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        assert_eq!(nearest("quikstart", &["quickstart", "c1m"]), Some("quickstart"));
        assert_eq!(nearest("c2m", &["quickstart", "c1m"]), Some("c1m"));
        assert_eq!(nearest("throughput", &["quickstart", "c1m"]), None);
    }

    #[test]
    fn distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn every_shipped_file_is_in_the_catalogue_under_its_own_name() {
        for (folder, shipped) in [("experiments", EXPERIMENTS), ("targets", TARGETS)] {
            let on_disk = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("is there");
            let mut files: Vec<String> = on_disk
                .map(|entry| format!("{folder}/{}", entry.expect("readable").file_name().to_string_lossy()))
                .collect();
            files.sort();
            let listed: Vec<&str> = shipped.iter().map(|(file, _)| *file).collect();
            assert_eq!(files, listed);
        }
        for experiment in experiments().expect("shipped experiments load") {
            for name in experiment.targets.iter().flat_map(|choice| &choice.any_of) {
                target(name).expect("a shipped experiment names shipped targets");
            }
            assert!(EXPERIMENTS.iter().any(|(file, _)| stem(file) == experiment.name), "{}", experiment.name);
        }
        for target in targets().expect("shipped targets load") {
            assert!(TARGETS.iter().any(|(file, _)| stem(file) == target.name), "{}", target.name);
        }
    }
}
