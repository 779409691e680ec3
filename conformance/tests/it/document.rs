//! `docs/conformance.md` is generated below its introduction.

use std::fs;
use std::path::Path;

const MARK: &str = "<!-- generated: cargo run -p conformance -- --statements -->\n";

#[test]
fn document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let text = fs::read_to_string(&path).expect("docs/conformance.md is there");
    let (_, generated) = text.split_once(MARK).expect("docs/conformance.md has the mark of its generated part");
    assert!(
        generated.trim() == conformance::report::statement_tables().trim(),
        "docs/conformance.md is out of date: put what `cargo run -p conformance -- --statements` prints below the mark"
    );
}
