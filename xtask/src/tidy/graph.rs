//! What the crates pull in through others: the resolved graph of `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Violation;
use super::manifests::{IMPURE, PURE};

/// Package name -> names of its normal and build dependencies (not the dev ones), on any platform.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Asks cargo for the resolved graph.
pub(super) fn read(root: &Path) -> Result<Graph> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root)
        .output()
        .context("cannot start cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    parse(&metadata).context("cargo metadata has another shape than expected")
}

/// A pure crate must not reach an impure one by any path.
pub(super) fn check(graph: &Graph) -> Vec<Violation> {
    let mut found = Vec::new();
    for pure in PURE {
        for path in paths_from(graph, pure) {
            let last = path.last().expect("a path has an end").as_str();
            if IMPURE.contains(&last) {
                found.push(Violation {
                    file: format!("crates/{pure}/Cargo.toml"),
                    line: 0,
                    rule: "pure-crate",
                    found: format!("reaches {last}: {}", path.join(" -> ")),
                    instead: "a dependency, or a feature set of it, without sockets and clocks".into(),
                });
            }
        }
    }
    found
}

/// A shortest path to each package reached from `start`.
fn paths_from(graph: &Graph, start: &str) -> Vec<Vec<String>> {
    let mut reached = BTreeSet::from([start.to_string()]);
    let mut paths = vec![vec![start.to_string()]];
    let mut at = 0;
    while at < paths.len() {
        let path = paths[at].clone();
        for next in graph.get(&path[path.len() - 1]).into_iter().flatten() {
            if reached.insert(next.clone()) {
                paths.push(path.iter().cloned().chain([next.clone()]).collect());
            }
        }
        at += 1;
    }
    paths
}

fn parse(metadata: &Value) -> Option<Graph> {
    let mut names = BTreeMap::new();
    for package in metadata["packages"].as_array()? {
        names.insert(package["id"].as_str()?, package["name"].as_str()?);
    }
    let mut graph = Graph::new();
    for node in metadata["resolve"]["nodes"].as_array()? {
        let targets = graph.entry((*names.get(node["id"].as_str()?)?).to_string()).or_default();
        for dependency in node["deps"].as_array()? {
            let kinds = dependency["dep_kinds"].as_array()?;
            if kinds.iter().any(|kind| kind["kind"].as_str() != Some("dev")) {
                targets.insert((*names.get(dependency["pkg"].as_str()?)?).to_string());
            }
        }
    }
    Some(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indirect_dependencies_count_and_dev_dependencies_do_not() {
        let metadata = serde_json::json!({
            "packages": [
                {"id": "1", "name": "pacer"}, {"id": "2", "name": "middle"}, {"id": "3", "name": "libc"},
                {"id": "4", "name": "mio"},
            ],
            "resolve": {"nodes": [
                {"id": "1", "deps": [
                    {"pkg": "2", "dep_kinds": [{"kind": null}]},
                    {"pkg": "4", "dep_kinds": [{"kind": "dev"}]},
                ]},
                {"id": "2", "deps": [{"pkg": "3", "dep_kinds": [{"kind": null}]}]},
                {"id": "3", "deps": []},
                {"id": "4", "deps": []},
            ]},
        });
        let found = check(&parse(&metadata).expect("well formed"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].found, "reaches libc: pacer -> middle -> libc");
    }
}
