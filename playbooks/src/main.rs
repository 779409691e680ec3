//! `playbook`: runs a whole experiment, from starting the brokers to the report.
//!
//! - [`typed`]: experiment and target files, as typed.
//! - [`catalog`]: the shipped ones, and those that a user names by path.
//! - [`tools`]: the programs that load, probe, collect and analyse.
//! - [`resolve`]: the brokers that are compared: found, installed, or an A/A control.
//! - [`machine`]: the limits of this machine.
//! - [`layout`]: hosts, addresses and processors of the roles.
//! - [`template`], [`mod@expand`], [`processes`]: from what was typed to the [`mod@plan`], which is all that an executor needs.
//! - [`runbook`]: the plan for people who follow it by hand.
//! - [`local`]: the executor for this machine.
//! - [`netns`]: the hosts of a plan as network namespaces of this machine.
//! - [`vm`]: the executor in a throwaway virtual machine.
//! - [`ansible`], [`remote`]: real hosts: prepared by Ansible, run by an agent on each over SSH.

mod ansible;
mod catalog;
mod expand;
mod layout;
mod local;
mod machine;
mod netns;
mod plan;
mod processes;
mod remote;
mod resolve;
mod runbook;
mod template;
mod tools;
mod typed;
mod vm;

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

use self::ansible::{Connected, Lab};
use self::expand::{Options, expand, experiment_dir};
use self::layout::Layout;
use self::local::site::Here;
use self::machine::Machine;
use self::plan::Plan;
use self::resolve::{Absent, Shelf, Side, sides};
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
    /// The hand of a runner on a host that it reaches by SSH
    #[command(hide = true)]
    Agent {
        /// Folder of programs and results
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
    },
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
    /// On the hosts of an inventory: prepared by Ansible, run over SSH
    Ansible,
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
    /// The hosts: an Ansible inventory with groups sut, tester (one host or more, which share the load) and prober
    #[arg(long, value_name = "FILE", required_if_eq("place", "ansible"))]
    inventory: Option<PathBuf>,
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
        Subcommands::Agent { folder } => remote::agent::main(&folder),
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
    let mut text = "experiments:\n".to_owned();
    for experiment in catalog::experiments()? {
        text += &format!("  {:<17} {}\n  {:<17} {}\n", experiment.name, experiment.title, "", experiment.purpose);
    }
    text += "\ntargets:\n";
    for target in catalog::targets()? {
        let place = resolve::find(&target, &tools);
        let place = place.map_or_else(|| "not on this machine".to_owned(), |path| path.display().to_string());
        text += &format!("  {:<17} {:<32} {place}\n", target.name, target.title);
    }
    show(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn plan(selection: &Selection, format: PlanFormat) -> Result<ExitCode> {
    let experiment = catalog::experiment(&selection.experiment)?;
    let tools = Tools::locate()?;
    let scene = match &selection.inventory {
        Some(inventory) if selection.place == Place::Ansible => {
            Scene::of_inventory(&Lab::read(inventory, &tools, &local::Signals::listen()?)?)?
        }
        _ => Scene::here(selection.place)?,
    };
    let plan = make_plan(&experiment, selection, &tools, &tools, scene, Absent::Assume)?;
    show(&match format {
        PlanFormat::Json => serde_json::to_string_pretty(&plan).context("a plan is always JSON")? + "\n",
        PlanFormat::Md => runbook::markdown(&plan),
        PlanFormat::Sh if plan.hosts.is_empty() => runbook::shell(&plan),
        PlanFormat::Sh => {
            let hosts: Vec<&str> = plan.hosts.iter().map(|host| host.name.as_str()).collect();
            bail!(
                "a shell script runs on one machine, and these steps run on {}: `--format md` prints the commands of each \
                 host, `playbook run` with the same arguments runs them",
                hosts.join(", ")
            )
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn show(text: &str) -> Result<()> {
    runlog::stdout::show(text).context("cannot write to standard output")
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
    if let Some(inventory) = selection.inventory.as_ref().filter(|_| selection.place == Place::Ansible) {
        return run_on_hosts(&experiment, selection, &tools, inventory, manner, absent);
    }
    let scene = Scene::here(selection.place)?;
    let mut plan = make_plan(&experiment, selection, &tools, &tools, scene, absent)?;
    if !manner.fresh {
        plan = begun_before(&selection.out, plan);
    }
    if manner.dry_run {
        return Ok(announce(&plan));
    }
    local::preflight(&plan).context("preflight")?;
    let vm = match selection.place {
        Place::Local | Place::Netns | Place::Ansible => None,
        Place::Vm => Some(vm::prepare(&machine.options(manner.yes), &tools).context("virtual machine")?),
    };
    introduce(&plan);
    let signals = local::Signals::listen()?;
    let outcome = match &vm {
        Some(vm) => vm.run(&plan, &signals)?,
        None => local::run(&plan, &mut Here::with_hosts(&plan.hosts), &signals, &mut |_| Ok(()))?,
    };
    if outcome.steps_done > 0 && !manner.no_report {
        report(&plan, &tools)?;
    }
    Ok(conclude(&plan, &outcome))
}

/// Runs on the hosts of an inventory, which are set back whatever comes of it.
fn run_on_hosts(
    experiment: &Experiment,
    selection: &Selection,
    tools: &Tools,
    inventory: &Path,
    manner: &Manner,
    absent: Absent,
) -> Result<ExitCode> {
    let signals = local::Signals::listen()?;
    let lab = Lab::read(inventory, tools, &signals)?;
    if manner.dry_run {
        return Ok(announce(&make_plan(experiment, selection, tools, tools, Scene::of_inventory(&lab)?, absent)?));
    }
    let run = || {
        let connected = lab.prepare(&signals)?;
        let scene = Scene::of_hosts(&lab, &connected)?;
        let mut plan = make_plan(experiment, selection, tools, &connected, scene, absent)?;
        if !manner.fresh {
            plan = begun_before(&selection.out, plan);
        }
        introduce(&plan);
        let outcome = connected.run(&plan, &signals)?;
        Ok::<_, anyhow::Error>((plan, outcome))
    };
    let ran = run();
    let restored = lab.restore(&signals);
    let (plan, outcome) = ran.inspect_err(|_| {
        if let Err(error) = &restored {
            eprintln!("playbook: the hosts are not set back: {error:#}; the next run does it first");
        }
    })?;
    restored.context("the hosts are not set back; the next run does it first")?;
    if outcome.steps_done > 0 && !manner.no_report {
        report(&plan, tools)?;
    }
    Ok(conclude(&plan, &outcome))
}

/// A dry run: what would be run.
fn announce(plan: &Plan) -> ExitCode {
    introduce(plan);
    for step in &plan.steps {
        eprintln!("  {:<32} {:>5.1} s", step.label(), step.expected_ms() as f64 / 1e3);
    }
    ExitCode::SUCCESS
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

/// Where the steps run, as far as a plan depends on it.
struct Scene {
    machine: Machine,
    layout: Layout,
    notes: Vec<String>,
}

impl Scene {
    /// This machine, or one in it.
    fn here(place: Place) -> Result<Self> {
        let here = Machine::look()?;
        let (machine, layout) = match place {
            Place::Local | Place::Ansible => (here.clone(), Layout::loopback(&here.cpus)),
            Place::Netns => (here.clone(), netns::layout(&here.cpus)),
            Place::Vm => (Machine::virtual_machine(), Layout::default()),
        };
        Ok(Self { machine, layout, notes: Vec::new() })
    }

    /// Hosts as the inventory tells them, with the limits of this machine.
    fn of_inventory(lab: &Lab) -> Result<Self> {
        let mut notes = lab.notes();
        notes.push("made without asking the hosts: limits, programs and interfaces are assumed".to_owned());
        Ok(Self { machine: Machine::look()?, layout: lab.assumed()?, notes })
    }

    /// Hosts as they say that they are.
    fn of_hosts(lab: &Lab, connected: &Connected<'_>) -> Result<Self> {
        Ok(Self { machine: connected.machine(), layout: connected.layout()?, notes: lab.notes() })
    }
}

fn make_plan(
    experiment: &Experiment,
    selection: &Selection,
    tools: &Tools,
    shelf: &dyn Shelf,
    scene: Scene,
    absent: Absent,
) -> Result<Plan> {
    let sides: Vec<Side> = match &selection.targets {
        Some(names) => sides(&resolve::choices(names), shelf, absent)?,
        None => sides(&experiment.targets, shelf, absent)?,
    };
    for address in sides.iter().filter_map(|side| side.address) {
        check_reach(address, selection.place, &scene.layout)?;
    }
    let (dir, id) = experiment_dir(&selection.out, &experiment.name, runlog::clock::wall_ns());
    let options = Options {
        dir,
        id,
        repeats: selection.repeats,
        duration_scale: selection.duration_scale,
        scale: selection.scale,
        seed: selection.seed,
        request: selection.request(),
        layout: scene.layout,
    };
    let mut plan = expand(experiment, &sides, tools, &scene.machine, &options)?;
    plan.notes.extend(scene.notes);
    Ok(plan)
}

/// Refuses a broker that runs already where the load cannot reach it, or nobody can watch it.
fn check_reach(address: SocketAddrV4, place: Place, layout: &Layout) -> Result<()> {
    match place {
        Place::Local => {}
        Place::Netns | Place::Vm => {
            bail!(
                "a broker that runs already is reached from this machine or from hosts (--in ansible): leave out --in"
            )
        }
        Place::Ansible => {
            let sut = layout.host(&layout.cast.sut).context("the inventory has no host in group sut")?;
            if sut.address != *address.ip() {
                bail!(
                    "the broker at {address} is not on {}, which has {}: put its host into group sut of the inventory, with the \
                     address of the network that is measured as lab_address",
                    sut.name,
                    sut.address
                );
            }
        }
    }
    Ok(())
}

impl Selection {
    /// What makes two runs the same, in words.
    fn request(&self) -> Vec<String> {
        let mut words =
            vec![self.experiment.clone(), format!("--in={:?}", self.place), format!("--seed={}", self.seed)];
        words.extend([format!("--scale={}", self.scale), format!("--duration-scale={}", self.duration_scale)]);
        words.extend(self.targets.iter().map(|targets| format!("--targets={targets}")));
        words.extend(self.inventory.iter().map(|inventory| format!("--inventory={}", inventory.display())));
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
