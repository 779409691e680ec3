//! What Cargo.toml files may say.

use toml::{Table, Value};

use super::exceptions::{Exception, FOREIGN_CODEC_MANIFESTS};
use super::{SourceFile, Tree, Violation};

/// Checks every manifest of the workspace.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut members = Vec::new();
    for file in tree.manifests() {
        match file.text.parse::<Table>() {
            // The fuzz crate is a workspace of its own, as cargo-fuzz wants it.
            Ok(manifest) if manifest.contains_key("package") && !manifest.contains_key("workspace") => {
                members.push((file, manifest));
            }
            Ok(_) => {}
            Err(error) => {
                let line = error.span().map_or(0, |span| line_at(&file.text, span.start));
                found.push(violation(file, line, "manifest", error.message().into(), "valid TOML"));
            }
        }
    }
    let crates: Vec<&str> = members.iter().map(|(_, manifest)| package(manifest)).collect();
    found.extend(members.iter().flat_map(|(file, manifest)| check_member(file, manifest, &crates)));
    found
}

fn package(manifest: &Table) -> &str {
    manifest["package"].get("name").and_then(Value::as_str).unwrap_or_default()
}

/// `crates` are the names of all crates of the workspace.
fn check_member(file: &SourceFile, manifest: &Table, crates: &[&str]) -> Vec<Violation> {
    let mut found = Vec::new();
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
    if lints != Some(true) {
        let instead = "[lints]\n    workspace = true";
        found.push(violation(file, 0, "workspace-lints", "the workspace's lints are not on".into(), instead));
    }
    let package = package(manifest);
    for (section, name, dependency) in dependencies(manifest) {
        let line = line_of_key(&file.text, section, name);
        if dependency.get("workspace").and_then(Value::as_bool) != Some(true) {
            let instead = format!("{name}.workspace = true, with the version in the root manifest");
            found.push(violation(file, line, "one-version", format!("{name} has a version of its own"), &instead));
        }
        let excepted = |ban: &DependencyBan| ban.exceptions.iter().any(|exception| exception.file == file.path);
        let forbids = |ban: &&DependencyBan| ban.forbids(package, section, name, crates) && !excepted(ban);
        if let Some(ban) = DEPENDENCY_BANS.iter().find(forbids) {
            found.push(violation(file, line, ban.rule, format!("{package} depends on {name}"), ban.instead));
        }
    }
    found
}

/// All dependencies with the name of their section.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&'static str, &str, &Value)> {
    SECTIONS.iter().flat_map(move |section| {
        let table = manifest.get(*section).and_then(Value::as_table);
        table.into_iter().flatten().map(move |(name, dependency)| (*section, name.as_str(), dependency))
    })
}

const SECTIONS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// A dependency that some crates must not have.
struct DependencyBan {
    rule: &'static str,
    /// Crates that the ban covers; empty means all.
    packages: &'static [&'static str],
    sections: &'static [&'static str],
    names: Names,
    /// Manifests that it leaves alone.
    exceptions: &'static [Exception],
    instead: &'static str,
}

enum Names {
    /// These.
    Listed(&'static [&'static str]),
    /// Every crate of this workspace but these.
    WorkspaceBut(&'static [&'static str]),
}

impl DependencyBan {
    fn forbids(&self, package: &str, section: &str, name: &str, crates: &[&str]) -> bool {
        let covers = self.packages.is_empty() || self.packages.contains(&package);
        let named = match &self.names {
            Names::Listed(names) => names.contains(&name),
            Names::WorkspaceBut(allowed) => crates.contains(&name) && !allowed.contains(&name),
        };
        covers && named && self.sections.contains(&section)
    }
}

/// Crates that bring sockets, clocks, files or a runtime; the pure crates must not reach them, not even indirectly.
pub(super) const IMPURE: &[&str] = &[
    "mio",
    "socket2",
    "tokio",
    "async-std",
    "smol",
    "libc",
    "nix",
    "rustix",
    "procfs",
    "signal-hook",
    "getrandom",
    "netloop",
    "runlog",
];

/// Crates that know neither sockets nor clocks.
pub(super) const PURE: &[&str] = &["mqtt-wire", "topic-index", "pacer"];

const DEPENDENCY_BANS: &[DependencyBan] = &[
    DependencyBan {
        rule: "pure-crate",
        packages: PURE,
        sections: &["dependencies", "build-dependencies"],
        names: Names::Listed(IMPURE),
        exceptions: &[],
        instead: "bytes and times as arguments; sockets and clocks belong to netloop and the programs",
    },
    DependencyBan {
        rule: "analyze-knows-runlog",
        packages: &["analyze"],
        sections: SECTIONS,
        names: Names::WorkspaceBut(&["runlog"]),
        exceptions: &[],
        instead: "read what the tools wrote, through runlog",
    },
    DependencyBan {
        rule: "runlog-is-a-leaf",
        packages: &["runlog"],
        sections: SECTIONS,
        names: Names::WorkspaceBut(&[]),
        exceptions: &[],
        instead: "plain values: the run directory is a format, not a tool",
    },
    DependencyBan {
        rule: "cases-by-hand",
        packages: &["conformance"],
        sections: SECTIONS,
        names: Names::WorkspaceBut(&[]),
        exceptions: &[],
        instead: "bytes written by hand, so that an error of our codec cannot hide at both ends",
    },
    DependencyBan {
        rule: "one-codec",
        packages: &[],
        sections: &["dependencies", "build-dependencies"],
        names: Names::Listed(&["rumqttc", "rumqttd", "mqttbytes", "mqttrs", "mqtt-protocol", "paho-mqtt"]),
        exceptions: FOREIGN_CODEC_MANIFESTS,
        instead: "mqtt-wire; another codec only as a dev-dependency, for differential tests, or as a cross-check with a reason (exceptions.rs)",
    },
];

fn violation(file: &SourceFile, line: usize, rule: &'static str, found: String, instead: &str) -> Violation {
    Violation { file: file.path.clone(), line, rule, found, instead: instead.into() }
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// The line of `name` in `[section]`, as `name = ..`, `name.workspace = ..` or `[section.name]`.
fn line_of_key(text: &str, section: &str, name: &str) -> usize {
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line == format!("[{section}]");
            if line == format!("[{section}.{name}]") {
                return at + 1;
            }
        } else if inside && line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '='])) {
            return at + 1;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree_of;

    fn broken(text: &str) -> Vec<(usize, &'static str)> {
        check(&tree_of(&[("x/Cargo.toml", text)])).into_iter().map(|v| (v.line, v.rule)).collect()
    }

    const GOOD: &str =
        "[package]\nname = \"pacer\"\n[lints]\nworkspace = true\n[dependencies]\nthiserror.workspace = true\n";

    #[test]
    fn good_member_passes() {
        assert_eq!(broken(GOOD), []);
    }

    #[test]
    fn lints_are_on_everywhere() {
        assert_eq!(broken("[package]\nname = \"x\"\n"), [(0, "workspace-lints")]);
        assert_eq!(broken("[workspace]\nmembers = []\n"), []);
    }

    #[test]
    fn versions_live_in_the_root_manifest() {
        assert_eq!(broken(&format!("{GOOD}slab = \"0.4\"\n")), [(7, "one-version")]);
    }

    #[test]
    fn pure_crates_take_no_socket_crate_but_may_test_with_one() {
        assert_eq!(broken(&format!("{GOOD}mio.workspace = true\n")), [(7, "pure-crate")]);
        assert_eq!(broken(&format!("{GOOD}[dev-dependencies]\nmio.workspace = true\n")), []);
    }

    #[test]
    fn analyze_takes_runlog_only() {
        let member = |name: &str, more: &str| GOOD.replace("pacer", name) + more;
        let rules = |more: &str| {
            let (analyze, runlog, loadgen) = (member("analyze", more), member("runlog", ""), member("loadgen", ""));
            let files = [("analyze/Cargo.toml", &*analyze), ("r/Cargo.toml", &runlog), ("l/Cargo.toml", &loadgen)];
            check(&tree_of(&files)).into_iter().map(|v| (v.line, v.rule)).collect::<Vec<_>>()
        };
        assert_eq!(rules("runlog.workspace = true\n"), []);
        let bad = "[dev-dependencies]\nloadgen.workspace = true\n";
        assert_eq!(rules(bad), [(8, "analyze-knows-runlog")]);
    }

    #[test]
    fn foreign_codecs_are_for_tests() {
        let prober = GOOD.replace("pacer", "prober");
        assert_eq!(broken(&format!("{prober}rumqttc.workspace = true\n")), [(7, "one-codec")]);
        assert_eq!(broken(&format!("{prober}[dev-dependencies]\nrumqttc.workspace = true\n")), []);
    }

    #[test]
    fn broken_toml_is_reported_with_its_line() {
        assert_eq!(broken("[package]\nname = \n"), [(2, "manifest")]);
    }
}
