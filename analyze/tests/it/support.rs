//! Running the binary and finding the published data.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `analyze` with these arguments.
pub(crate) fn analyze<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_analyze")).args(arguments).output().expect("the binary that cargo built runs")
}

/// Standard output of a run that must succeed.
pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error, whatever the exit code.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The published runs; `None`, said aloud, where the checkout has no copy of them beside it.
pub(crate) fn published() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/axmq");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is absent, so nothing was compared with the published figures", path.display());
    None
}

/// Compares with a file of `expected/`; where `BLESS` is set in the environment, the file is written instead.
pub(crate) fn expect_file(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/expected").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("the file lies in a directory")).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != found {
        let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b).unwrap_or(0);
        let [was, is] = [&*expected, found].map(|text| text.lines().nth(line).unwrap_or_default());
        panic!(
            "{} differs first at line {}:\n  expected {was}\n  found    {is}\nlook at the change, then run with BLESS=1",
            path.display(),
            line + 1
        );
    }
}
