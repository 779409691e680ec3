//! The `analyze` binary: runs in, numbers, charts and a report out.

use std::process::ExitCode;

fn main() -> ExitCode {
    analyze::cli::main()
}
