//! `cargo xtask ci`: the checks, cheapest first, and where the time went.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{deps, tidy};

/// Runs all checks in order, stops at the first that fails, and prints the time table in either case.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut table = TimeTable::default();
    let outcome = run_steps(root, &mut table);
    println!("\n{}", table.render());
    outcome
}

fn run_steps(root: &Path, table: &mut TimeTable) -> Result<()> {
    table.time("fmt", || cargo(root, &["fmt", "--all", "--check"], &[]))?;
    table.time("tidy", || tidy::run(root))?;
    table.time("clippy", || {
        cargo(root, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])
    })?;
    table.time("doc", || doc(root))?;
    table.time("deps", || deps::run(root).map(drop))?;
    // Links the programs too, since every package that has one has integration tests.
    table.time("test: compile", || cargo(root, &["test", "--workspace", "--locked", "--no-run"], &[]))?;
    table.time("test: run", || cargo(root, &["test", "--workspace", "--locked", "--no-fail-fast"], &[]))
}

/// Documents all libraries, and the programs that are not the front of a library of the same name (whose pages would
/// overwrite each other).
///
/// `--examples`, of which there are none, makes cargo choose the dependencies' features as for tests, like the steps
/// before and after: else some of them would be checked twice.
fn doc(root: &Path) -> Result<()> {
    let strict = [("RUSTDOCFLAGS", "-D warnings")];
    let common = ["doc", "--workspace", "--no-deps", "--locked", "--examples"];
    cargo(root, &[&common[..], &["--lib"]].concat(), &strict)?;
    let fronts = fronts_of_libraries(root)?;
    let exclude: Vec<&str> = fronts.iter().flat_map(|name| ["--exclude", name.as_str()]).collect();
    cargo(root, &[&common[..], &["--bins"], &exclude].concat(), &strict)
}

/// Folders directly below the root that hold both a library and a program; a package has the name of its folder.
fn fronts_of_libraries(root: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(root).with_context(|| format!("cannot list {}", root.display()))?;
    let folders = entries.flatten().filter(|entry| {
        let sources = entry.path().join("src");
        sources.join("lib.rs").is_file() && sources.join("main.rs").is_file()
    });
    Ok(folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Runs one cargo command with its output on ours. Standard input is closed: no check asks questions.
fn cargo(root: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    println!("\n$ cargo {}", args.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start cargo {}", args.join(" ")))?;
    if !status.success() {
        bail!("`cargo {}` failed ({status})", args.join(" "));
    }
    Ok(())
}

/// How long each step took, in the order of running.
#[derive(Default)]
struct TimeTable {
    rows: Vec<(&'static str, Duration, bool)>,
}

impl TimeTable {
    fn time(&mut self, step: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        let outcome = work();
        self.rows.push((step, start.elapsed(), outcome.is_ok()));
        outcome.with_context(|| format!("step '{step}' failed"))
    }

    fn render(&self) -> String {
        let total: Duration = self.rows.iter().map(|row| row.1).sum();
        let mut text = String::from("where the time went\n");
        for (step, took, passed) in &self.rows {
            let verdict = if *passed { "" } else { "  FAILED" };
            let share = 100.0 * took.as_secs_f64() / total.as_secs_f64().max(f64::EPSILON);
            text += &format!("  {step:<14} {:>8.1} s  {share:>3.0} %{verdict}\n", took.as_secs_f64());
        }
        text + &format!("  {:<14} {:>8.1} s", "total", total.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_step_is_in_the_table_with_its_time() {
        let mut table = TimeTable::default();
        table.time("good", || Ok(())).expect("passes");
        let error = table.time("bad", || bail!("broken")).expect_err("fails");
        assert_eq!(format!("{error:#}"), "step 'bad' failed: broken");

        let text = table.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[1].starts_with("  good") && !lines[1].contains("FAILED"), "{text}");
        assert!(lines[2].starts_with("  bad") && lines[2].ends_with("FAILED"), "{text}");
        assert!(lines[3].starts_with("  total"), "{text}");
    }
}
