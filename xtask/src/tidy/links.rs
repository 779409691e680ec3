//! Relative links of the documentation: the file must exist, and the heading too.

use std::collections::BTreeSet;

use super::{SourceFile, Tree, Violation};

/// Checks every Markdown file.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let markdown = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    markdown.flat_map(|file| check_file(tree, file)).collect()
}

fn check_file(tree: &Tree, file: &SourceFile) -> Vec<Violation> {
    let mut found = Vec::new();
    for (line, target) in links(&file.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, heading) = target.split_once('#').unwrap_or((target, ""));
        let resolved = if path.is_empty() { Some(file.path.clone()) } else { resolve(&file.path, path) };
        if let Some(problem) = problem(tree, resolved.as_deref(), heading) {
            found.push(Violation {
                file: file.path.clone(),
                line,
                rule: "dead-link",
                found: format!("({target}): {problem}"),
                instead: "a path from this file to one that exists, and a heading in it".into(),
            });
        }
    }
    found
}

fn problem(tree: &Tree, resolved: Option<&str>, heading: &str) -> Option<String> {
    let Some(path) = resolved else { return Some("leads out of the workspace".into()) };
    let folder = format!("{path}/");
    if !tree.contains(path) && !tree.files.iter().any(|file| file.path.starts_with(&folder)) && !is_untracked_text(path)
    {
        return Some(format!("there is no {path}"));
    }
    let target = tree.files.iter().find(|file| file.path == path);
    let is_missing = |file: &SourceFile| !heading.is_empty() && !headings(&file.text).contains(heading);
    target.filter(|file| is_missing(file)).map(|_| format!("{path} has no heading #{heading}"))
}

/// Files without an extension that the tree does not read.
fn is_untracked_text(path: &str) -> bool {
    ["LICENSE-MIT", "LICENSE-APACHE"].contains(&path)
}

/// (line, target) of each inline link or image outside code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_fence = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        if in_fence {
            continue;
        }
        let mut rest = line;
        while let Some(start) = rest.find("](") {
            rest = &rest[start + 2..];
            let Some(end) = rest.find(')') else { break };
            found.push((at + 1, rest[..end].split_whitespace().next().unwrap_or("")));
            rest = &rest[end..];
        }
    }
    found
}

/// Joins a relative link to the folder of the file that holds it; `None` if it leaves the workspace.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that a Markdown renderer makes of the headings.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.map(slug).collect()
}

fn slug(title: &str) -> String {
    let kept = title.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree_of;

    fn dead(text: &str) -> Vec<usize> {
        let tree = tree_of(&[("docs/a.md", text), ("docs/b.md", "# The b, in full\n"), ("README.md", "")]);
        check(&tree).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn links_to_files_and_headings_that_exist_pass() {
        let good =
            "[b](b.md) [b](./b.md#the-b-in-full) [up](../README.md)\n[web](https://example.org/x.md) [docs](../docs/)";
        assert!(dead(good).is_empty());
    }

    #[test]
    fn dead_files_and_headings_are_found() {
        assert_eq!(dead("ok\n[c](c.md)\n[b](b.md#nowhere)\n[out](../../x.md)"), [2, 3, 4]);
    }

    #[test]
    fn code_blocks_are_not_links() {
        assert!(dead("```\n[c](c.md)\n```").is_empty());
    }
}
