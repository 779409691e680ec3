//! The program `prober`; what it does is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match prober::run(&prober::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prober: {error:#}");
            ExitCode::FAILURE
        }
    }
}
