//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md that can be read off the tree.
//!
//! - [`scan`]: a Rust file as code, literals and comments, so that a rule about code does not fire on prose.
//! - [`sources`]: what code may say, by place (words banned from the data plane, clocks, file names).
//! - [`manifests`]: what Cargo.toml files may say (dependencies, lints).
//! - [`graph`]: what the crates pull in through others.
//! - [`layout`]: files: length, unfinished work, test binaries.
//! - [`links`]: relative links of the documentation.
//! - [`exceptions`]: the listed exceptions, each with its reason; one that is no longer needed is itself a violation.
//!
//! Each rule is a function from the [`Tree`] to [`Violation`]s, so that the unit tests can give it a small tree.

mod exceptions;
mod graph;
mod layout;
mod links;
mod manifests;
mod scan;
mod sources;

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Checks the whole tree and fails with the number of violations after printing them all.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut found = check(&tree);
    found.extend(graph::check(&graph::read(root)?));
    for violation in &found {
        println!("{violation}");
    }
    match found.len() {
        0 => {
            println!("tidy: {} files, no violation", tree.files.len());
            Ok(())
        }
        count => bail!("tidy: {count} violation(s)"),
    }
}

/// All rules that need nothing but the files.
fn check(tree: &Tree) -> Vec<Violation> {
    [manifests::check, sources::check, layout::check, links::check].iter().flat_map(|rule| rule(tree)).collect()
}

/// A place that breaks a rule, with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Path from the workspace root, with forward slashes.
    file: String,
    /// Counted from 1; 0 speaks of the whole file.
    line: usize,
    rule: &'static str,
    found: String,
    instead: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, found, instead } = self;
        write!(f, "{file}:{line}: [{rule}] {found}\n    instead: {instead}")
    }
}

/// The text files of the workspace, in a stable order.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: Vec<SourceFile>,
}

/// One file: path from the root with forward slashes, and its text.
#[derive(Debug)]
pub(crate) struct SourceFile {
    path: String,
    text: String,
}

impl Tree {
    /// Reads every text file below the root, leaving out what git ignores by name and what is not ours.
    fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, root)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) -> Result<()> {
        let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().with_context(|| format!("cannot look at {}", path.display()))?;
            if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                self.read_folder(root, &path)?;
            } else if kind.is_file() && is_text(&name) {
                let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.files.push(SourceFile { path: relative(root, &path), text });
            }
        }
        Ok(())
    }

    fn rust_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    fn manifests(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with("Cargo.toml"))
    }

    fn contains(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }
}

impl SourceFile {
    /// Integration tests, benches, fuzz targets and `tests` modules in files of their own.
    fn is_test(&self) -> bool {
        let in_folder = |name: &str| self.path.split('/').any(|part| part == name);
        in_folder("tests") || in_folder("benches") || in_folder("fuzz") || self.path.ends_with("/tests.rs")
    }
}

fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).expect("the walk stays below the root");
    below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn is_text(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    TEXT_EXTENSIONS.contains(&extension) || name == "run"
}

/// Folders that hold no source of ours: build output, fresh runs, git's own, recorded data.
const SKIPPED_FOLDERS: &[&str] = &[".git", "target", "runs", "artifacts", "corpus", "node_modules", ".venv"];

const TEXT_EXTENSIONS: &[&str] = &["rs", "toml", "md", "sh", "yml", "yaml", "py", "html", "css", "js"];

/// A tree from literal text, for the tests of the rules.
#[cfg(test)]
pub(crate) fn tree_of(files: &[(&str, &str)]) -> Tree {
    let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).into(), text: (*text).into() };
    Tree { files: files.iter().map(file).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violation_prints_place_rule_and_replacement() {
        let violation = Violation {
            file: "a/src/b.rs".into(),
            line: 7,
            rule: "clock",
            found: "`Instant::now`".into(),
            instead: "take the time as an argument".into(),
        };
        assert_eq!(
            violation.to_string(),
            "a/src/b.rs:7: [clock] `Instant::now`\n    instead: take the time as an argument"
        );
    }

    #[test]
    fn reading_skips_build_output_and_keeps_forward_slashes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in [("a/src/x.rs", "fn x() {}"), ("target/y.rs", "nonsense"), ("a/data.bin", "z")] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("has a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let tree = Tree::read(folder.path()).expect("readable");
        let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a/src/x.rs"]);
    }
}
