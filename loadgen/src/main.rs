//! loadgen: many MQTT clients from one process, for load that is planned and not merely produced.
//!
//! `conn` connects, `sub` connects and subscribes, `pub` publishes on a schedule; [`mod@bench`] is mqtt-bench. Flags, topic variables and console
//! lines are emqtt_bench's, so that scripts and parsers carry over. The load is open-loop: the plan says when each
//! message is due, latency counts from that moment, and a late send is recorded, never skipped.
//!
//! In the order in which a run meets them:
//!
//! - [`cli`]: what was typed; [`settings`]: what it means; [`carrier`]: TLS and WebSocket; [`identity`], [`part`] and [`naming`]:
//!   who the clients are, their client ids and topics; [`content`] and [`properties`]: what their packets carry;
//! - [`scenario`]: the roles of a run; [`preflight`]: what can be known to fail; [`run`]: phases, the end; the reporter's
//!   loop; [`group`]: one role while it runs; [`stretch`]: its steps and storms;
//! - [`capacity`]: runs that are repeated to find the highest rate;
//! - [`worker`]: the event loop, one per core; [`client`]: what one client costs; [`control`] and [`board`]: what
//!   passes between reporter and workers; [`reason`]: why connections fail and end;
//! - [`console`]: the lines; [`metrics`]: the same for Prometheus; [`record`]: the run directory; [`summary`] and [`expect`]: the verdict; [`reconcile`]: the account over several processes.

mod bench;
mod board;
mod capacity;
mod carrier;
mod cli;
mod client;
mod console;
mod content;
mod control;
mod expect;
mod group;
mod identity;
mod metrics;
mod naming;
mod part;
mod preflight;
mod properties;
mod reason;
mod reconcile;
mod record;
mod run;
mod scenario;
mod settings;
mod stretch;
mod summary;
mod worker;

use std::process::ExitCode;

use run::Verdict;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse_from(cli::bench::with_two_dashes(std::env::args()));
    let outcome = match cli.command {
        cli::Command::Reconcile(args) => reconcile::command(&args),
        cli::Command::Run(args) => scenario::Plan::read(&args.scenario, &args.flags).and_then(run::run),
        command => settings::Settings::from_command(command).map(scenario::Plan::of_one).and_then(run::run),
    };
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Ok(Verdict::Unmet) => ExitCode::from(3),
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}
