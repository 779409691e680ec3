//! `cargo xtask bench`: builds the broker, the load generator and the benchmarks as they are released, and runs the benchmarks.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs `bench` with these arguments.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--locked", "--package", "broker", "--package", "bench", "--package", "loadgen"];
    let status = Command::new(cargo).args(build).current_dir(root).status().context("cannot start cargo build")?;
    if !status.success() {
        bail!("the broker, the load generator and the benchmarks cannot be built ({status})");
    }
    let program = root.join("target/release/bench");
    let status = Command::new(&program).args(arguments).current_dir(root).status();
    let status = status.with_context(|| format!("cannot start {}", program.display()))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(3) => bail!("not everything that is to be reached was; see above"),
        _ => bail!("the benchmarks failed ({status})"),
    }
}
