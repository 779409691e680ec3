//! The broker: an MQTT 3.1, 3.1.1 and 5.0 server.
//!
//! - [`config`]: what was typed, on the command line and in the configuration file, and what it means;
//! - [`boot`]: sockets, threads, signals;
//! - [`memory`]: how much of it is held, and how much may be;
//! - [`dataplane`]: everything that happens to bytes.

mod boot;
mod config;
mod dataplane;
mod memory;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: memory::Accounted = memory::Accounted;

fn main() -> ExitCode {
    let arguments = config::Arguments::parse();
    boot::log_to_stderr(arguments.verbose);
    match config::Config::from_arguments(&arguments).and_then(|config| boot::serve(&config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker: {error:#}");
            ExitCode::FAILURE
        }
    }
}
