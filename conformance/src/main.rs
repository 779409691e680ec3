//! `conformance HOST:PORT`: runs the cases against a server and prints a table.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use conformance::case::Instance;
use conformance::runner::{self, Options, Verdict};
use conformance::{cases, report};

#[derive(Parser)]
#[command(name = "conformance", version, about = "Runs MQTT 3.1.1 and 5.0 conformance cases against a server")]
struct Arguments {
    /// The server, as HOST:PORT
    #[arg(required_unless_present_any = ["list", "statements"])]
    target: Option<String>,
    /// Run only cases whose name contains this text, such as `will/` or `(5.0)`; may be given more than once
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Cases at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    jobs: usize,
    /// Seconds to wait for what should come
    #[arg(long, value_name = "S", default_value_t = 5)]
    patience: u64,
    /// Print the names of the cases and run none
    #[arg(long)]
    list: bool,
    /// Print the statements and the cases that show them, and run none
    #[arg(long)]
    statements: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.statements {
        show(&report::statement_tables())?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<Instance> = cases::instances().filter(|instance| is_wanted(instance, &arguments.only)).collect();
    if chosen.is_empty() {
        bail!("no case is named like {:?}: `conformance --list` prints the names", arguments.only);
    }
    if arguments.list {
        show(&chosen.iter().map(|instance| format!("{instance}\n")).collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let target = resolve(arguments.target.as_deref().unwrap_or_default())?;
    let options = Options { target, patience: Duration::from_secs(arguments.patience), jobs: arguments.jobs };
    let runs = runner::run(&chosen, options, |run| {
        if let Verdict::Fail(mismatch) = &run.verdict {
            eprintln!("FAIL {}: {mismatch}\n    {}", run.instance, mismatch.packets.join("\n    "));
        }
    });
    show(&format!("{}\n{}\n", report::run_table(&runs), report::summary(&runs)))?;
    let failed = runs.iter().any(|run| matches!(run.verdict, Verdict::Fail(_)));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Writes a result to standard output. A reader that has seen enough, such as `head`, is no error.
fn show(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

fn is_wanted(instance: &Instance, only: &[String]) -> bool {
    let name = instance.to_string();
    only.is_empty() || only.iter().any(|text| name.contains(text.as_str()))
}

fn resolve(target: &str) -> Result<SocketAddr> {
    let mut addresses = target
        .to_socket_addrs()
        .with_context(|| format!("cannot understand `{target}`: expected HOST:PORT, such as 127.0.0.1:1883"))?;
    addresses.next().with_context(|| format!("`{target}` has no address"))
}
