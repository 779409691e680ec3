//! Files: their length, unfinished work, one integration-test binary per crate.

use super::exceptions::{Exception, LONG_FILES};
use super::{SourceFile, Tree, Violation};

/// Longest Rust file without a listed reason.
pub(super) const LINES_MAX: usize = 900;

/// Checks all files.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = check_lengths(tree, LONG_FILES);
    found.extend(tree.files.iter().flat_map(unfinished));
    found.extend(tree.rust_files().filter_map(stray_test_binary));
    found
}

fn check_lengths(tree: &Tree, excepted: &[Exception]) -> Vec<Violation> {
    let lengths = || tree.rust_files().map(|file| (file, file.text.lines().count()));
    let is_listed = |path: &str| excepted.iter().any(|exception| exception.file == path);
    let mut found: Vec<Violation> = lengths()
        .filter(|(file, lines)| *lines > LINES_MAX && !is_listed(&file.path))
        .map(|(file, lines)| Violation {
            file: file.path.clone(),
            line: LINES_MAX + 1,
            rule: "file-length",
            found: format!("{lines} lines, more than {LINES_MAX}"),
            instead: "one file per concern, or an entry with its reason in xtask/src/tidy/exceptions.rs".into(),
        })
        .collect();
    for exception in excepted {
        if !lengths().any(|(file, lines)| file.path == exception.file && lines > LINES_MAX) {
            found.push(Violation {
                file: "xtask/src/tidy/exceptions.rs".into(),
                line: 0,
                rule: "stale-exception",
                found: format!("{} is listed as long ({}) and is not", exception.file, exception.reason),
                instead: "delete the entry".into(),
            });
        }
    }
    found
}

/// Marks of unfinished work. Data and this rule's own words are spelled in halves so that they do not find themselves.
fn unfinished(file: &SourceFile) -> Vec<Violation> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("unimplemented", "!(")];
    let mut found = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for mark in marks.iter().filter(|mark| stands_alone(line, mark)) {
            found.push(Violation {
                file: file.path.clone(),
                line: at + 1,
                rule: "unfinished",
                found: (*mark).to_string(),
                instead: "finish it, or file an issue".into(),
            });
        }
    }
    found
}

fn stands_alone(line: &str, mark: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_none_or(|c| !is_letter(c));
        let after = line[at + mark.len()..].chars().next().is_none_or(|c| !is_letter(c));
        before && (after || mark.ends_with('('))
    })
}

/// Every integration test lives in `tests/it`, so that a crate links one test binary.
fn stray_test_binary(file: &SourceFile) -> Option<Violation> {
    let (_, below) = file.path.split_once("tests/")?;
    if file.path.contains("/src/") {
        return None;
    }
    let is_binary = !below.contains('/') || below.ends_with("/main.rs") && below != "it/main.rs";
    is_binary.then(|| Violation {
        file: file.path.clone(),
        line: 0,
        rule: "one-test-binary",
        found: "a second integration-test binary".into(),
        instead: "a module of tests/it/main.rs".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree_of;

    fn rules(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let tree = tree_of(&[(path, text)]);
        let mut found = check_lengths(&tree, &[]);
        found.extend(tree.files.iter().flat_map(unfinished));
        found.extend(tree.rust_files().filter_map(stray_test_binary));
        found.into_iter().map(|v| (v.line, v.rule)).collect()
    }

    #[test]
    fn long_files_need_a_reason() {
        let long = "\n".repeat(LINES_MAX + 1);
        assert_eq!(rules("a/src/long.rs", &long), [(LINES_MAX + 1, "file-length")]);
        assert_eq!(rules("a/src/fits.rs", &"\n".repeat(LINES_MAX)), []);
        let listed = [Exception { file: "a/src/long.rs", reason: "one catalogue" }];
        assert_eq!(check_lengths(&tree_of(&[("a/src/long.rs", &long)]), &listed), []);
    }

    #[test]
    fn exceptions_do_not_outlive_their_need() {
        let listed = [Exception { file: "a/src/gone.rs", reason: "one catalogue" }];
        let found = check_lengths(&tree_of(&[]), &listed);
        assert_eq!(found[0].rule, "stale-exception");
    }

    #[test]
    fn unfinished_work_does_not_land() {
        let mark = concat!("// TO", "DO: later");
        assert_eq!(rules("a/src/x.rs", mark), [(1, "unfinished")]);
        assert_eq!(rules("README.md", &format!("ok\n{mark}")), [(2, "unfinished")]);
        assert_eq!(rules("a/src/x.rs", "fn todo_list() {}"), []);
    }

    #[test]
    fn one_integration_binary_per_crate() {
        assert_eq!(rules("a/tests/conn.rs", ""), [(0, "one-test-binary")]);
        assert_eq!(rules("a/tests/slow/main.rs", ""), [(0, "one-test-binary")]);
        assert_eq!(rules("a/tests/it/main.rs", ""), []);
        assert_eq!(rules("a/tests/it/conn.rs", ""), []);
        assert_eq!(rules("a/src/tests/main.rs", ""), []);
    }
}
