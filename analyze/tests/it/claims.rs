//! Claims: the published figures against the published runs, and claims over runs of our own.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{analyze, expect_file, published, stderr, stdout};
use crate::tree;

#[test]
fn published_figures_by_published_runs() {
    let Some(published) = published() else { return };
    let claims = judged(&shipped("axmq-guide.toml"), &published);
    let testable: Vec<&Value> = claims.iter().filter(|claim| claim["verdict"] != "not-testable").collect();
    assert_eq!((claims.len(), testable.len()), (130, 57));
    let others: Vec<(&str, &str)> = testable
        .iter()
        .filter(|claim| claim["verdict"] != "reproduced")
        .map(|claim| (claim["id"].as_str().unwrap(), claim["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(others, [("c1m-established", "within-tolerance"), ("c1m-rss-high", "not-reproduced")]);
    for claim in &claims {
        let text = claim["reason"].as_str().unwrap();
        assert!(!text.is_empty(), "{claim}");
        assert_eq!(claim["runs"].as_array().unwrap().is_empty(), claim["verdict"] == "not-testable", "{claim}");
    }
    let mixed = claims.iter().find(|claim| claim["id"] == "nn-qos0-tx-axmq").unwrap();
    assert_eq!((&mixed["verdict"], &mixed["verdict_ours"]), (&"reproduced".into(), &"not-reproduced".into()));
    assert_eq!(format!("{:.1}", mixed["found_stated"].as_f64().unwrap()), "53.0");
    assert!(mixed["reason"].as_str().unwrap().contains("the document states tail60, which gives 53.0"), "{mixed}");
}

#[test]
fn verdicts_as_a_table() {
    let Some(published) = published() else { return };
    let file = shipped("axmq-guide.toml");
    let text = stdout(&analyze([Path::new("claims"), &file, &published]));
    expect_file("claims-axmq.md", &text);
    let csv = stdout(&analyze([Path::new("claims"), &file, &published, Path::new("--format=csv")]));
    assert_eq!(csv.lines().count(), 131);
}

#[test]
fn the_benchmark_of_a_readme_has_no_data() {
    let claims = judged(&shipped("mqttx-readme.toml"), tree::quickstart());
    assert_eq!(claims.len(), 28);
    assert!(claims.iter().all(|claim| claim["verdict"] == "not-testable"));
}

#[test]
fn claims_over_our_own_runs() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("own.toml");
    let claim = |id: &str, rest: &str| {
        format!("[[claim]]\nid = \"{id}\"\ntext = \"x\"\nsection = \"1\"\nunit = \"u\"\n{rest}\n")
    };
    let text = [
        "title = \"own\"\ndocument = \"own\"\n".to_owned(),
        claim("rate", "expression = 'delivered_per_s{target=\"ours\", step=\"fan-q0\"}'\nvalue = 30000"),
        claim(
            "ratio",
            "expression = 'cpu_us_per_message{label=\"B\", step=\"fan-q0\"} / cpu_us_per_message{label=\"A\", step=\"fan-q0\"}'\n\
             value = 1.5\nrelation = \"at-least\"",
        ),
        claim("memory", "expression = 'rss_mib{target=\"ours\", step=\"idle\"}'\nvalue = 6.00\ntolerance_percent = 10"),
        claim("count", "expression = 'count(rss_mib{target=\"ours\", step=\"idle\"})'\nvalue = 2"),
        claim("failed", "expression = 'delivered_per_s{label=\"B\", step=\"fan-q2\"}'\nvalue = 30000"),
        claim("absent", "expression = 'rss_mib{target=\"nobody\"}'\nvalue = 1"),
        claim("zero", "expression = '1 / lost{label=\"A\", step=\"fan-q0\"}'\nvalue = 1"),
    ]
    .concat();
    fs::write(&file, text).unwrap();
    let claims = judged(&file, tree::quickstart());
    let of = |id: &str| claims.iter().find(|claim| claim["id"] == id).unwrap();
    for (id, verdict) in [
        ("rate", "reproduced"),
        ("ratio", "reproduced"),
        ("memory", "within-tolerance"),
        ("count", "reproduced"),
        ("failed", "not-testable"),
        ("absent", "not-testable"),
        ("zero", "not-testable"),
    ] {
        assert_eq!(of(id)["verdict"], verdict, "{}", of(id));
    }
    let reason = |id: &str| of(id)["reason"].as_str().unwrap().to_owned();
    assert!(reason("failed").contains(tree::GATE_REASON), "{}", reason("failed"));
    assert!(reason("absent").contains("no run for rss_mib{target=\"nobody\"}"), "{}", reason("absent"));
    assert_eq!(reason("zero"), "a division by zero");
}

#[test]
fn a_wrong_file_is_met_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.toml");
    fs::write(&file, "title = \"t\"\ndocument = \"d\"\ncolour = 1\n").unwrap();
    let output = analyze([Path::new("claims"), &file, tree::quickstart()]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("wrong.toml:3:1: unknown field `colour`"), "{}", stderr(&output));
    let output = analyze([Path::new("claims"), Path::new("/nowhere.toml"), tree::quickstart()]);
    assert!(!output.status.success() && stderr(&output).contains("cannot read /nowhere.toml"));
}

fn judged(file: &Path, dir: &Path) -> Vec<Value> {
    serde_json::from_str(&stdout(&analyze([Path::new("claims"), file, dir, Path::new("--format=json")]))).unwrap()
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/published").join(name)
}
