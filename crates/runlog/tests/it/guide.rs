//! The published directories of the AXMQ guide, where they are at hand.

use std::path::{Path, PathBuf};

use runlog::{Format, Role, discover};

fn published() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/axmq/runs");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: the guide's published runs are not at {}", path.display());
    None
}

#[test]
fn published_runs_are_found_and_whole() {
    let Some(path) = published() else { return };
    let runs = discover(&[path]).unwrap();
    assert_eq!(runs.len(), 12);
    for run in &runs {
        assert_eq!((run.format, run.role), (Format::Guide, Role::Broker));
        assert_eq!(run.warnings, []);
        let meta = run.guide_meta.as_ref().unwrap();
        assert_eq!(meta.cpu_count, Some(24));
        assert_eq!(meta.sysctls["net.core.somaxconn"], "65535");
        assert_eq!(meta.started_s, run.utc);
        let table = run.raw().unwrap();
        assert_eq!(table.warnings, []);
        assert!(table.rows >= 28 && table.columns.len() == 16);
    }
    let million = runs.iter().find(|run| run.tag == "A-axmq-c1m-conn1000k-idle").unwrap();
    assert_eq!(million.raw().unwrap().numbers("tcp_estab").unwrap()[0], Some(999_998));
    assert!(million.events().unwrap().value.is_empty() && million.summary().unwrap().is_none());
}
