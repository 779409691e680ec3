//! Cases and statements fit together.

use std::collections::BTreeSet;

use conformance::cases;
use conformance::statements;
use conformance::wire::Version;

#[test]
fn every_statement_has_a_case_or_a_reason_why_not() {
    for version in Version::ALL {
        let shown: BTreeSet<&str> = cases::all().flat_map(|case| case.statements(version)).copied().collect();
        for statement in statements::of(version) {
            let is_shown = shown.contains(statement.id);
            assert_eq!(is_shown, statement.note.is_none(), "{version} {}: shown or noted, not both", statement.id);
        }
    }
}

#[test]
fn every_case_names_statements_that_exist() {
    for version in Version::ALL {
        let known: BTreeSet<&str> = statements::of(version).iter().map(|statement| statement.id).collect();
        assert_eq!(known.len(), statements::of(version).len(), "{version}: each statement once");
        for case in cases::all() {
            for id in case.statements(version) {
                assert!(id.starts_with('§') || known.contains(id), "{version} {}/{}: {id}", case.area, case.name);
            }
        }
    }
}

#[test]
fn names_are_unique_and_every_case_runs() {
    let mut names = BTreeSet::new();
    for case in cases::all() {
        assert!(names.insert((case.area, case.name)), "{}/{} stands twice", case.area, case.name);
        assert!(case.instances().next().is_some(), "{}/{} runs in no version", case.area, case.name);
        assert!(!case.about.ends_with('.') && !case.about.contains('|'), "{}/{}: {}", case.area, case.name, case.about);
    }
}
