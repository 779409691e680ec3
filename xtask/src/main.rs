//! The workspace's own chores, as one command: `cargo xtask ci | tidy | deps | bench`.
//!
//! - [`ci`]: everything that must hold before a change lands, cheapest first, each step timed.
//! - [`tidy`]: the invariants of ARCHITECTURE.md that no compiler checks.
//! - [`deps`]: the programs beside cargo that the tests talk to;
//! - [`mod@bench`]: the broker's cost table.

mod bench;
mod ci;
mod deps;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Chores of this workspace", version)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every check: formatting, tidy, clippy, documentation, build, tests
    Ci,
    /// Check the invariants of ARCHITECTURE.md; each violation names the file, the line and what to use instead
    Tidy,
    /// Make the Python environment (paho-mqtt) that the interoperability tests use; prints its interpreter
    Deps,
    /// Measure the broker's cost table beside the floor and Mosquitto; `bench --help` and `bench instructions --help`
    /// tell what follows
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let root = workspace_root();
    let outcome = match Cli::parse().chore {
        Chore::Ci => ci::run(&root),
        Chore::Tidy => tidy::run(&root),
        Chore::Deps => deps::run(&root).map(|python| println!("{}", python.display())),
        Chore::Bench { arguments } => bench::run(&root, &arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the root manifest: xtask lies directly in it.
fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder of the workspace").to_path_buf()
}
