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
mod canary;
mod check;
mod echo;
mod find;
mod manifest;
mod marks;
mod priority;
mod procfile;
mod profile;
mod row;
mod run;
mod sampler;
mod sockdiag;
mod sources;
mod sysctl;
mod ticker;
mod tune;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Samples the counters of this host and of one target process into a run directory; checks and sets the host's kernel
/// settings before that.
#[derive(Debug, Parser)]
#[command(name = "collector", version = runlog::version(), args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sample: args::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares this host with a profile; ends with 3 where it differs.
    Check(check::CheckArgs),
    /// Prints or sets the kernel settings of a profile, or sets them back; ends with 3 where one could not be set.
    Tune(tune::TuneArgs),
}

/// Exit code when the tool did its work and the host is not as it should be.
const DIFFERENT: u8 = 3;

fn main() -> ExitCode {
    let cli = command_line();
    let done = match &cli.command {
        None => run::run(&cli.sample).map(|()| true),
        Some(Command::Check(args)) => check::check(args),
        Some(Command::Tune(args)) => tune::tune(args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DIFFERENT),
        Err(error) => {
            eprintln!("collector: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What was typed. The guide's variables stand for flags of a run of samples alone: `check` and `tune` do not look at them, so
/// that a script that has `PID` set to nothing yet can still prepare its host.
fn command_line() -> Cli {
    let mut command = Cli::command();
    let first = std::env::args_os().nth(1);
    if first.is_some_and(|first| command.find_subcommand(&first).is_some()) {
        command = command.mut_args(|arg| arg.env(None::<&str>));
    }
    let matches = command.get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
