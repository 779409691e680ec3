//! `playbook`: runs a whole experiment, from starting the brokers to the report.
//!
//! - [`typed`]: experiment and target files, as typed.
//! - [`catalog`]: the shipped ones, and those that a user names by path.
//! - [`tools`]: the programs that load, probe, collect and analyse.
//! - [`resolve`]: the brokers that are compared: found, installed, or an A/A control.
//! - [`machine`]: the limits of this machine.
//! - [`layout`]: hosts, addresses and processors of the roles.
//! - [`template`], [`mod@expand`]: from what was typed to the [`mod@plan`], which is all that an executor needs.
//! - [`runbook`]: the plan for people who follow it by hand.
//! - [`local`]: the executor for this machine.
//! - [`netns`]: the hosts of a plan as network namespaces of this machine.
//! - [`vm`]: the executor in a throwaway virtual machine.

mod catalog;
mod expand;
mod layout;
mod local;
mod machine;
mod netns;
mod plan;
mod resolve;
mod runbook;
mod template;
mod tools;
mod typed;
mod vm;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

use self::expand::{Options, expand, experiment_dir};
use self::layout::Layout;
use self::machine::Machine;
use self::plan::Plan;
use self::resolve::{Absent, Side, sides};
use self::tools::Tools;
use self::typed::Experiment;

#[derive(Parser)]
#[command(
    name = "playbook",
    about = "Runs whole MQTT broker experiments: brokers, load, collection, report",
    version = runlog::version(),
    after_help = "Exit codes: 0 all points count; 1 the run could not be made; 2 wrong usage; 3 some points failed their \
                  gates (the report says which and why); 130 or 143 stopped by Ctrl-C or SIGTERM, what was measured is kept."
)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// List the shipped experiments, and the targets with what this machine has of them
    List,
    /// Print the full expansion of an experiment: every step with its exact commands
    Plan {
        #[command(flatten)]
        selection: Selection,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = PlanFormat::Json)]
        format: PlanFormat,
    },
    /// Run an experiment and write its report
    Run {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        machine: VmArgs,
        /// Install what is missing without asking (Debian packages as root, or a crate)
        #[arg(long)]
        yes: bool,
        /// Use the tools beside this program as they are, instead of letting cargo bring them up to date
        #[arg(long)]
        no_build: bool,
        /// Begin anew even where the same run was interrupted and could be gone on with
        #[arg(long)]
        fresh: bool,
        /// Say what would be run, and stop before anything is started
        #[arg(long)]
        dry_run: bool,
        /// Only measure: `analyze report` can be called at any time later
        #[arg(long)]
        no_report: bool,
    },
    /// The first process of the virtual machine
    #[command(hide = true)]
    Guest,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// All that an executor needs
    Json,
    /// A runbook that a person can follow by hand
    Md,
    /// The plain commands as a shell script
    Sh,
}

/// Where the steps run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// On this machine, as plain processes
    Local,
    /// On this machine, in three network namespaces (root): broker, load and prober have networks of their own
    Netns,
    /// In a throwaway virtual machine (QEMU) with limits of its own
    Vm,
}

#[derive(Args)]
struct VmArgs {
    /// RAM of the virtual machine, MiB
    #[arg(long, value_name = "MIB", default_value_t = 14_336, value_parser = clap::value_parser!(u64).range(512..))]
    vm_memory: u64,
    /// Processors of the virtual machine [default: those of this one]
    #[arg(long, value_name = "N")]
    vm_cpus: Option<usize>,
    /// Folder with boot/vmlinuz-* and lib/modules/* to take the kernel from, instead of an installed or fetched one
    #[arg(long, value_name = "DIR")]
    vm_kernel: Option<PathBuf>,
}

#[derive(Args)]
struct Selection {
    /// A shipped experiment (see `playbook list`), or a path to an experiment file ending in .toml
    experiment: String,
    /// Folder that gets the experiment's directory
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Where the steps run
    #[arg(long = "in", value_enum, default_value_t = Place::Local)]
    place: Place,
    /// Targets to compare instead of the experiment's: names, or paths to target files, separated by commas
    #[arg(long, value_name = "A,B")]
    targets: Option<String>,
    /// How often each step runs against each target
    #[arg(long, value_name = "N")]
    repeats: Option<u32>,
    /// Multiplies the settle, measure and drain phases
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = duration_scale)]
    duration_scale: f64,
    /// Multiplies the numbers of clients, and with them the offered load
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = scale)]
    scale: f64,
    /// Draws which target begins at each point; 0 lets them take turns
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Subcommands::List => list(),
        Subcommands::Plan { selection, format } => plan(&selection, format),
        Subcommands::Run { selection, machine, yes, no_build, fresh, dry_run, no_report } => {
            run(&selection, &machine, &Manner { yes, no_build, fresh, dry_run, no_report })
        }
        Subcommands::Guest => Ok(vm::guest::main()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("playbook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<ExitCode> {
    let tools = Tools::locate()?;
    println!("experiments:");
    for experiment in catalog::experiments()? {
        println!("  {:<17} {}", experiment.name, experiment.title);
        println!("  {:<17} {}", "", experiment.purpose);
    }
    println!("\ntargets:");
    for target in catalog::targets()? {
        let place = resolve::find(&target, &tools);
        let place = place.map_or_else(|| "not on this machine".to_owned(), |path| path.display().to_string());
        println!("  {:<17} {:<32} {place}", target.name, target.title);
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(selection: &Selection, format: PlanFormat) -> Result<ExitCode> {
    let experiment = catalog::experiment(&selection.experiment)?;
    let plan = make_plan(&experiment, selection, &Tools::locate()?, Absent::Assume)?;
    match format {
        PlanFormat::Json => println!("{}", serde_json::to_string_pretty(&plan).context("a plan is always JSON")?),
        PlanFormat::Md => print!("{}", runbook::markdown(&plan)),
        PlanFormat::Sh => print!("{}", runbook::shell(&plan)),
    }
    Ok(ExitCode::SUCCESS)
}

/// How to run, beside what.
struct Manner {
    yes: bool,
    no_build: bool,
    fresh: bool,
    dry_run: bool,
    no_report: bool,
}

fn run(selection: &Selection, machine: &VmArgs, manner: &Manner) -> Result<ExitCode> {
    let experiment = catalog::experiment(&selection.experiment)?;
    let tools = Tools::locate()?;
    if !manner.no_build {
        tools.build()?;
    }
    tools.check()?;
    let absent = match manner {
        Manner { dry_run: true, .. } => Absent::Assume,
        Manner { yes: true, .. } => Absent::Install,
        _ => Absent::Refuse,
    };
    let mut plan = make_plan(&experiment, selection, &tools, absent)?;
    if !manner.fresh {
        plan = begun_before(&selection.out, plan);
    }
    if manner.dry_run {
        introduce(&plan);
        for step in &plan.steps {
            eprintln!("  {:<32} {:>5.1} s", step.label(), step.expected_ms() as f64 / 1e3);
        }
        return Ok(ExitCode::SUCCESS);
    }
    local::preflight(&plan).context("preflight")?;
    let vm = match selection.place {
        Place::Local | Place::Netns => None,
        Place::Vm => Some(vm::prepare(&machine.options(manner.yes), &tools).context("virtual machine")?),
    };
    introduce(&plan);
    let signals = local::Signals::listen()?;
    let outcome = match &vm {
        Some(vm) => vm.run(&plan, &signals)?,
        None => local::run(&plan, &signals, &mut |_| Ok(()))?,
    };
    if outcome.steps_done > 0 && !manner.no_report {
        report(&plan, &tools)?;
    }
    Ok(conclude(&plan, &outcome))
}

/// The plan of the same run that was interrupted, if there is one to go on with.
fn begun_before(out: &Path, fresh: Plan) -> Plan {
    match local::resume::unfinished(out, &fresh) {
        None => fresh,
        Some(Ok(begun)) => {
            let (done, all) = (begun.steps_done, begun.plan.steps.len());
            eprintln!("going on with {}: {done} of {all} steps are done (--fresh begins anew)", begun.plan.dir);
            begun.plan
        }
        Some(Err(reason)) => {
            eprintln!("note: {reason}");
            fresh
        }
    }
}

fn make_plan(experiment: &Experiment, selection: &Selection, tools: &Tools, absent: Absent) -> Result<Plan> {
    let sides: Vec<Side> = match &selection.targets {
        Some(names) => sides(&resolve::choices(names), tools, absent)?,
        None => sides(&experiment.targets, tools, absent)?,
    };
    if selection.place != Place::Local && sides.iter().any(|side| side.address.is_some()) {
        bail!("a broker that runs already is reached from this machine only: leave out --in");
    }
    let here = Machine::look()?;
    let (machine, layout) = match selection.place {
        Place::Local => (here.clone(), Layout::loopback(&here.cpus)),
        Place::Netns => (here.clone(), netns::layout(&here.cpus)),
        Place::Vm => (Machine::virtual_machine(), Layout::default()),
    };
    let (dir, id) = experiment_dir(&selection.out, &experiment.name, runlog::clock::wall_ns());
    let options = Options {
        dir,
        id,
        repeats: selection.repeats,
        duration_scale: selection.duration_scale,
        scale: selection.scale,
        seed: selection.seed,
        request: selection.request(),
        layout,
    };
    expand(experiment, &sides, tools, &machine, &options)
}

impl Selection {
    /// What makes two runs the same, in words.
    fn request(&self) -> Vec<String> {
        let mut words =
            vec![self.experiment.clone(), format!("--in={:?}", self.place), format!("--seed={}", self.seed)];
        words.extend([format!("--scale={}", self.scale), format!("--duration-scale={}", self.duration_scale)]);
        words.extend(self.targets.iter().map(|targets| format!("--targets={targets}")));
        words.extend(self.repeats.iter().map(|repeats| format!("--repeats={repeats}")));
        words
    }
}

impl VmArgs {
    fn options(&self, may_install: bool) -> vm::Options {
        let cpus = self.vm_cpus.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        vm::Options { memory_mib: self.vm_memory, cpus, kernel: self.vm_kernel.clone(), may_install }
    }
}

/// Says what will be compared, how long it takes, and what the plan changed.
fn introduce(plan: &Plan) {
    eprintln!("{}: {}", plan.name, plan.title);
    for target in &plan.targets {
        let version = target.version.as_deref().unwrap_or("version unknown");
        let again = if target.name == target.file { "" } else { ", once more" };
        eprintln!("  {} = {}{again}: {version} ({})", target.label, target.title, target.exe);
    }
    for note in &plan.notes {
        eprintln!("  note: {note}");
    }
    eprintln!("  {} steps, about {:.0} s, into {}", plan.steps.len(), plan.expected_s, plan.dir);
}

/// Lets `analyze` write the report, and print the main table and the report's path.
fn report(plan: &Plan, tools: &Tools) -> Result<()> {
    let program = tools.path("analyze");
    let status = Command::new(&program)
        .args(["report", &plan.dir, "-o"])
        .arg(Path::new(&plan.dir).join("report.html"))
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("{program} report {} failed ({status}); the measured data is kept there", plan.dir);
    }
    Ok(())
}

/// The last lines, and the exit code.
fn conclude(plan: &Plan, outcome: &local::Outcome) -> ExitCode {
    let total = plan.steps.len();
    match outcome.interrupted_by {
        Some(signal) => {
            let kept = format!("{} of {total} steps are complete and kept in {}", outcome.steps_done, plan.dir);
            eprintln!("playbook: interrupted; {kept}");
            ExitCode::from(128 + signal as u8)
        }
        None if outcome.steps_failed == 0 => ExitCode::SUCCESS,
        None => {
            eprintln!("playbook: {} of {total} points failed their gates", outcome.steps_failed);
            ExitCode::from(SOME_POINTS_FAILED)
        }
    }
}

fn duration_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.01..=1_000.0).contains(&scale) => Ok(scale),
        _ => Err("a factor between 0.01 and 1000".into()),
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (1e-6..=100.0).contains(&scale) => Ok(scale),
        _ => Err("a factor between 0.000001 and 100".into()),
    }
}

/// Exit code when the run is complete and a gate has failed somewhere.
const SOME_POINTS_FAILED: u8 = 3;
