//! `collector`: samples the counters of one host, and of one target process with its descendants, into a run directory.
//!
//! One binary for every role of an experiment (the guide's `collect_broker.sh`, `collect_loadgen.sh` and
//! `collect_prober.sh`, its chapter 5). Samples are taken at absolute moments of the monotonic clock, so that their
//! period does not drift; each row says how late it was and how long it took. What a sample costs does not depend on the
//! number of connections.
//!
//! The path of a sample: [`ticker`] wakes at the planned moment, [`sampler`] asks every one of [`sources`] to fill a
//! [`row`], and the row is appended to `raw.csv`.

mod args;
mod find;
mod manifest;
mod priority;
mod procfile;
mod row;
mod run;
mod sampler;
mod sockdiag;
mod sources;
mod ticker;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match run::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("collector: {error:#}");
            ExitCode::FAILURE
        }
    }
}
