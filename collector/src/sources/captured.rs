//! Texts of `/proc` of several kernels (`tests/captured`), for the tests of the parsers.

use std::path::Path;

use crate::row::Row;

/// A file of a kernel, such as `net_snmp` of `6.1`.
pub(crate) fn captured(kernel: &str, file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captured").join(kernel).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares cells of a row.
#[track_caller]
pub(crate) fn assert_cells(row: &Row, expected: &[(&'static str, u64)]) {
    let found: Vec<(&str, Option<u64>)> = expected.iter().map(|(column, _)| (*column, row.get(column))).collect();
    let expected: Vec<(&str, Option<u64>)> = expected.iter().map(|(column, value)| (*column, Some(*value))).collect();
    assert_eq!(found, expected);
}
