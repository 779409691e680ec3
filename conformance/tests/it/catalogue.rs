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

/// A section of a standard, and the first and last number in it.
type Section = (&'static str, u8, u8);

/// The numbers of the standards, by section (appendix B of both).
const NUMBERED: &[(Version, &[Section])] = &[
    (
        Version::V311,
        &[
            ("1.5.3", 1, 3),
            ("2.2.2", 1, 2),
            ("2.3.1", 1, 7),
            ("3.1.0", 1, 2),
            ("3.1.2", 1, 24),
            ("3.1.3", 1, 11),
            ("3.1.4", 1, 5),
            ("3.2.0", 1, 1),
            ("3.2.2", 1, 6),
            ("3.3.1", 1, 12),
            ("3.3.2", 1, 3),
            ("3.3.4", 1, 1),
            ("3.3.5", 1, 2),
            ("3.6.1", 1, 1),
            ("3.8.1", 1, 1),
            ("3.8.3", 1, 3),
            ("3-8.3", 4, 4),
            ("3.8.4", 1, 6),
            ("3.9.3", 1, 2),
            ("3.10.1", 1, 1),
            ("3.10.3", 1, 2),
            ("3.10.4", 1, 6),
            ("3.12.4", 1, 1),
            ("3.14.1", 1, 1),
            ("3.14.4", 1, 3),
            ("4.1.0", 1, 2),
            ("4.3.1", 1, 1),
            ("4.3.2", 1, 2),
            ("4.3.3", 1, 2),
            ("4.4.0", 1, 1),
            ("4.5.0", 1, 2),
            ("4.6.0", 1, 6),
            ("4.7.1", 1, 3),
            ("4.7.2", 1, 1),
            ("4.7.3", 1, 4),
            ("4.8.0", 1, 2),
            ("6.0.0", 1, 4),
            ("7.0.0", 1, 2),
            ("7.1.1", 1, 1),
            ("7.1.2", 1, 1),
        ],
    ),
    (
        Version::V5,
        &[
            ("1.5.4", 1, 3),
            ("1.5.5", 1, 1),
            ("1.5.7", 1, 1),
            ("2.1.3", 1, 1),
            ("2.2.1", 2, 6),
            ("2.2.2", 1, 1),
            ("3.1.0", 1, 2),
            ("3.1.2", 1, 30),
            ("3.1.3", 1, 12),
            ("3.1.4", 1, 6),
            ("3.2.0", 1, 2),
            ("3.2.2", 1, 22),
            ("3.3.1", 1, 13),
            ("3.3.2", 1, 20),
            ("3.3.4", 1, 10),
            ("3.4.2", 1, 3),
            ("3.5.2", 1, 3),
            ("3.6.1", 1, 1),
            ("3.6.2", 1, 3),
            ("3.7.2", 1, 3),
            ("3.8.1", 1, 1),
            ("3.8.3", 1, 5),
            ("3.8.4", 1, 8),
            ("3.9.2", 1, 2),
            ("3.9.3", 1, 2),
            ("3.10.1", 1, 1),
            ("3.10.3", 1, 2),
            ("3.10.4", 1, 6),
            ("3.11.2", 1, 2),
            ("3.11.3", 1, 2),
            ("3.12.4", 1, 1),
            ("3.14.0", 1, 1),
            ("3.14.1", 1, 1),
            ("3.14.2", 1, 4),
            ("3.14.4", 1, 3),
            ("3.15.1", 1, 1),
            ("3.15.2", 1, 3),
            ("4.1.0", 1, 2),
            ("4.2.0", 1, 1),
            ("4.3.1", 1, 1),
            ("4.3.2", 1, 5),
            ("4.3.3", 1, 13),
            ("4.4.0", 1, 2),
            ("4.5.0", 1, 2),
            ("4.6.0", 1, 6),
            ("4.7.0", 1, 1),
            ("4.7.1", 1, 2),
            ("4.7.2", 1, 1),
            ("4.7.3", 1, 4),
            ("4.8.2", 1, 6),
            ("4.9.0", 1, 3),
            ("4.12.0", 1, 7),
            ("4.12.1", 1, 2),
            ("4.13.1", 1, 1),
            ("4.13.2", 1, 1),
            ("6.0.0", 1, 4),
        ],
    ),
];

#[test]
fn every_numbered_statement_is_listed() {
    for (version, sections) in NUMBERED {
        let numbered: BTreeSet<String> = sections
            .iter()
            .flat_map(|(section, first, last)| (*first..=*last).map(move |number| format!("{section}-{number}")))
            .collect();
        let listed: BTreeSet<String> =
            statements::of(*version).iter().map(|statement| statement.id.to_owned()).collect();
        assert_eq!(listed, numbered, "{version}");
    }
}
