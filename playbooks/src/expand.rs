//! From what was typed to the plan: matrices, variables, ports, source addresses, limits of this machine, order.
//!
//! Variables of an experiment's texts: the step's matrix axes; `{host}` and `{port}` of the broker; `{source}`, an address of
//! the load's host, and `{sources}`, as many of them as a load's connections need ports (see [`crate::layout`]); in a load
//! with `every` also `{every_ms}` and `{count}`; where the collector echoes, `{echo}`. Of a target's texts: `{host}`, `{port}`, `{config}` (folder of its files)
//! and `{user}` (who runs this).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use runlog::Context;

use crate::layout::{Layout, PROBER, Place, Places, SUT, TESTER};
use crate::machine::Machine;
use crate::plan::{
    Phase, Plan, PlannedBroker, PlannedCheck, PlannedClean, PlannedFile, PlannedPhase, PlannedStep, PlannedTarget,
};
use crate::resolve::Side;
use crate::template::{Variables, fill};
use crate::tools::Tools;
use crate::typed::{Experiment, Load, Scalar, Span, Step};

/// What the command line says about how to run an experiment.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Directory of the experiment.
    pub(crate) dir: String,
    /// Identity of this run, the last part of `dir`.
    pub(crate) id: String,
    pub(crate) repeats: Option<u32>,
    /// Multiplies settle, measure and drain.
    pub(crate) duration_scale: f64,
    /// Multiplies the axes that count clients.
    pub(crate) scale: f64,
    /// Decides which target begins at each point; 0 alternates.
    pub(crate) seed: u64,
    /// What was asked for on the command line.
    pub(crate) request: Vec<String>,
    pub(crate) layout: Layout,
}

/// Expands an experiment for the sides that were found.
pub(crate) fn expand(
    experiment: &Experiment,
    sides: &[Side],
    tools: &Tools,
    machine: &Machine,
    options: &Options,
) -> Result<Plan> {
    let said = |side: &Side| side.notes.iter().chain(&side.target.caveats).cloned().collect::<Vec<_>>();
    let mut notes: Vec<String> = sides.iter().flat_map(said).collect();
    notes.extend(options.layout.notes());
    let points = points(experiment, machine, options.scale, &mut notes)?;
    if options.duration_scale != 1.0 {
        notes.push(format!(
            "settle, measure and drain phases last {0} times as long as in full (--duration-scale {0})",
            options.duration_scale
        ));
    }
    // Two tables of one name were lowered alike.
    notes.dedup();
    let repeats = options.repeats.unwrap_or(experiment.repeats);
    if repeats == 0 || repeats > REPEATS_MAX {
        bail!("repeats = {repeats}: between 1 and {REPEATS_MAX}");
    }
    let mut places = Places::default();
    let mut steps = Vec::new();
    for repeat in 1..=repeats {
        for (index, point) in points.iter().enumerate() {
            for side in in_turn(sides, repeat, index, options.seed) {
                let mut place = places.next(&options.layout)?;
                if let Some(address) = side.address {
                    place = place.at(address, &options.layout);
                }
                let making = Making { experiment, point, side, repeat, tools, machine, options, place };
                steps.push(making.step().with_context(|| format!("{}: step {}", experiment.name, point.name))?);
            }
        }
    }
    Ok(Plan {
        experiment: options.id.clone(),
        name: experiment.name.clone(),
        title: experiment.title.clone(),
        purpose: experiment.purpose.clone(),
        sources: experiment.sources.clone(),
        caveats: experiment.caveats.clone(),
        notes,
        request: options.request.clone(),
        seed: options.seed,
        boot_id: runlog::host::boot_id(),
        programs: hashes(&steps, sides, tools, &options.layout),
        commit: tools.commit(),
        dir: options.dir.clone(),
        files_max: machine.files_max,
        expected_s: steps.iter().map(PlannedStep::expected_ms).sum::<u64>() as f64 / 1e3,
        hosts: options.layout.hosts.clone(),
        targets: sides.iter().map(planned_target).collect(),
        claims: claims(experiment)?,
        steps,
    })
}

/// The experiment's claims as a claims file.
fn claims(experiment: &Experiment) -> Result<Option<String>> {
    if experiment.claims.is_empty() {
        return Ok(None);
    }
    let mut file = toml::Table::new();
    file.insert("title".into(), experiment.title.clone().into());
    file.insert("document".into(), format!("experiment {}", experiment.name).into());
    file.insert("claim".into(), experiment.claims.clone().into());
    toml::to_string(&file).map(Some).with_context(|| format!("{}: its claims", experiment.name))
}

/// A B in odd repeats, B A in even ones: what drifts with time hits both alike. With a seed, which of them begins is drawn
/// for each point and pair of repeats.
fn in_turn(sides: &[Side], repeat: u32, point: usize, seed: u64) -> Vec<&Side> {
    let mut order: Vec<&Side> = sides.iter().collect();
    if seed != 0 {
        let pair = u64::from(repeat.div_ceil(2));
        let mut state = mixed(seed ^ mixed(pair << 32 | point as u64));
        for last in (1..order.len()).rev() {
            state = mixed(state);
            order.swap(last, (state % (last as u64 + 1)) as usize);
        }
    }
    if repeat.is_multiple_of(2) {
        order.reverse();
    }
    order
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014), whose outputs pass for random: enough to draw an order.
fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// What is not there yet has no hash. Our programs on other hosts are copies of those here; a target's program was looked at where
/// it is.
fn hashes(steps: &[PlannedStep], sides: &[Side], tools: &Tools, layout: &Layout) -> BTreeMap<String, String> {
    let is_apart = layout.hosts.iter().any(|host| host.folder.is_some());
    let hash = |path: &str| {
        if !is_apart {
            return runlog::host::file_sha256(Path::new(path));
        }
        let side = sides.iter().find(|side| side.exe == Path::new(path));
        let copied = || runlog::host::file_sha256(Path::new(&tools.path(path.rsplit('/').next()?)));
        side.map_or_else(copied, |side| side.sha256.clone())
    };
    let programs = Plan::program_paths(steps).into_iter();
    programs.filter_map(|path| Some((path.to_owned(), hash(path)?))).collect()
}

fn planned_target(side: &Side) -> PlannedTarget {
    PlannedTarget {
        label: side.label.clone(),
        name: side.name.clone(),
        file: side.target.name.clone(),
        title: side.target.title.clone(),
        sources: side.target.sources.clone(),
        exe: side.exe.display().to_string(),
        version: side.version.clone(),
        sha256: side.sha256.clone(),
    }
}

/// A step with a value for each of its axes.
pub(crate) struct Point<'a> {
    pub(crate) name: String,
    pub(crate) purpose: String,
    pub(crate) step: &'a Step,
    pub(crate) axes: Variables,
    /// How many of the clients that the file asks for there are here: one, less or more.
    pub(crate) share: f64,
}

fn points<'a>(
    experiment: &'a Experiment,
    machine: &Machine,
    scale: f64,
    notes: &mut Vec<String>,
) -> Result<Vec<Point<'a>>> {
    if scale != 1.0 && experiment.steps.iter().all(|step| step.fits_files.is_none()) {
        notes.push(format!("--scale {scale} changes nothing: no step of {} counts clients", experiment.name));
    }
    let mut points: Vec<Point<'a>> = Vec::new();
    for step in &experiment.steps {
        let at = || format!("{}: step {}", experiment.name, step.name);
        let (matrix, shares) = fitted(step, machine, scale, notes).with_context(at)?;
        // Two sizes that were lowered to the same one are one point.
        let lowered = matrix != step.matrix;
        for axes in combinations(&matrix) {
            let name = fill(&step.name, &axes).with_context(at)?;
            let same = points.iter().any(|point| point.name == name);
            if same && lowered {
                continue;
            }
            if same {
                bail!("{}: two steps are called {name}; a name holds every axis of its matrix", experiment.name);
            }
            let clients = step.fits_files.as_ref().and_then(|axis| axes.get(axis));
            let share = clients.and_then(|clients| shares.get(clients)).copied().unwrap_or(1.0);
            points.push(Point { purpose: fill(&step.purpose, &axes).with_context(at)?, name, step, axes, share });
        }
    }
    Ok(points)
}

/// Axes and their values.
type Matrix = BTreeMap<String, Vec<Scalar>>;

/// The matrix with the axis that counts clients scaled, and lowered to what a process may open; and of each value of that axis,
/// by what it was multiplied.
fn fitted(
    step: &Step,
    machine: &Machine,
    scale: f64,
    notes: &mut Vec<String>,
) -> Result<(Matrix, BTreeMap<String, f64>)> {
    let (mut matrix, mut shares) = (step.matrix.clone(), BTreeMap::new());
    let Some(axis) = &step.fits_files else { return Ok((matrix, shares)) };
    let Some(values) = matrix.get_mut(axis) else { bail!("fits_files = \"{axis}\" is no axis of its matrix") };
    if step.files_each == 0 {
        bail!("files_each = 0: each unit of {axis} needs a connection");
    }
    let allowed = (machine.connections_max() / step.files_each).max(1);
    for value in values.iter_mut() {
        let Scalar::Number(asked) = *value else { bail!("axis {axis} counts clients, and '{value}' is no number") };
        let scaled = ((asked as f64 * scale).round() as u64).max(1);
        if scaled != asked {
            notes.push(format!("{}: {axis} {scaled} instead of {asked} (--scale {scale})", step.name));
        }
        if scaled > allowed {
            notes.push(format!(
                "{}: {axis} {allowed} instead of {scaled}: a process here may open {} files (RLIMIT_NOFILE)",
                step.name, machine.files_max
            ));
        }
        *value = Scalar::Number(scaled.min(allowed));
        shares.entry(value.to_string()).or_insert(scaled.min(allowed) as f64 / asked.max(1) as f64);
    }
    values.dedup();
    Ok((matrix, shares))
}

/// Every combination of one value per axis; the last axis turns fastest.
fn combinations(matrix: &Matrix) -> Vec<Variables> {
    let mut all = vec![Variables::new()];
    for (axis, values) in matrix {
        all = all
            .iter()
            .flat_map(|so_far| {
                values.iter().map(move |value| {
                    let mut axes = so_far.clone();
                    axes.insert(axis.clone(), value.to_string());
                    axes
                })
            })
            .collect();
    }
    all
}

/// Everything that one planned step is made from.
pub(crate) struct Making<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) point: &'a Point<'a>,
    pub(crate) side: &'a Side,
    pub(crate) repeat: u32,
    pub(crate) tools: &'a Tools,
    pub(crate) machine: &'a Machine,
    pub(crate) options: &'a Options,
    pub(crate) place: Place,
}

impl Making<'_> {
    fn step(&self) -> Result<PlannedStep> {
        let phases = self.phases();
        Ok(PlannedStep {
            step: self.point.name.clone(),
            purpose: self.point.purpose.clone(),
            target: self.side.name.clone(),
            label: self.side.label.clone(),
            repeat: self.repeat,
            tag: self.tag(),
            dir: self.dir(),
            env: self.env(),
            clean: self
                .experiment
                .clean
                .map(|clean| PlannedClean { time_wait_max: clean.time_wait_max, limit_ms: ms(clean.wait.0) }),
            manifest: self.manifest()?,
            broker: self.broker()?,
            smoke: self.smoke(),
            steady: self.point.step.steady,
            processes: self.processes(&phases)?,
            phases,
        })
    }

    /// A check of each host's declared settings.
    fn manifest(&self) -> Result<Vec<PlannedCheck>> {
        let profiles = &self.experiment.profiles;
        let known = [SUT, TESTER, PROBER];
        if let Some(host) = profiles.keys().find(|host| !known.contains(&host.as_str())) {
            bail!("profiles: there is no host '{host}'; there are {}", known.join(", "));
        }
        let cast = &self.options.layout.cast;
        let check = |(role, profile): (&String, &String)| {
            let hosts = match role.as_str() {
                SUT => vec![&cast.sut],
                TESTER => cast.testers.iter().collect(),
                _ => vec![&cast.prober],
            };
            let of_host = |host: &String| {
                let argv = [&self.program(host, "collector"), "check", "--profile", profile, "--json"];
                self.check(&format!("manifest-{host}"), host, argv.map(str::to_owned).into(), MANIFEST_LIMIT_MS)
            };
            hosts.into_iter().map(of_host).collect::<Vec<_>>()
        };
        Ok(profiles.iter().flat_map(check).collect())
    }

    /// At each QoS that the broker grants, messages of a prober: the pattern of a payload follows from its head, so that any
    /// damaged byte is seen.
    fn smoke(&self) -> Vec<PlannedCheck> {
        let prober = &self.options.layout.cast.prober;
        let source = self.options.layout.source(prober, &self.place).to_string();
        let check = |qos: u8| {
            let words = [
                ("-h", self.place.host.to_string()),
                ("-p", self.place.port.to_string()),
                ("-V", "4".to_owned()),
                ("-q", qos.to_string()),
                ("-n", SMOKE_MESSAGES.to_string()),
                ("-i", "1".to_owned()),
                ("-s", SMOKE_BYTES.to_string()),
                ("-t", format!("playbook/smoke/{qos}")),
                ("--warmup", "0".to_owned()),
                ("--timeout", format!("{}ms", SMOKE_LIMIT_MS / 2)),
            ];
            let mut argv = vec![self.program(prober, "prober"), "--strict".to_owned(), "--no-floor".to_owned()];
            argv.extend(words.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
            // On loopback the step's own address, so that no port in TIME_WAIT is left where others connect from.
            if self.options.layout.hosts.is_empty() {
                argv.extend(["--ifaddr".to_owned(), source.clone()]);
            }
            self.check(&format!("smoke-q{qos}"), prober, argv, SMOKE_LIMIT_MS)
        };
        (0..=self.side.target.qos_max).map(check).collect()
    }

    fn check(&self, name: &str, host: &str, argv: Vec<String>, limit_ms: u64) -> PlannedCheck {
        PlannedCheck { name: name.to_owned(), host: host.to_owned(), argv, limit_ms, log: self.log(host, name) }
    }

    pub(crate) fn tag(&self) -> String {
        format!("{}-{}-{}", self.side.label, self.side.name, self.point.name)
    }

    fn dir(&self) -> String {
        format!("{}/{}-{}", self.options.dir, self.side.name, self.repeat)
    }

    /// Where the results of a host come home.
    pub(crate) fn home(&self, host: &str) -> String {
        let layout = &self.options.layout;
        let is_apart = layout.host(host).is_some_and(|host| host.folder.is_some());
        if is_apart { format!("{}/{host}", self.dir()) } else { self.dir() }
    }

    /// The folder of the step's target and repeat, as the processes on a host see it.
    pub(crate) fn there(&self, host: &str) -> String {
        let dir = self.dir();
        let host = self.options.layout.host(host);
        host.and_then(|host| host.folder_for(&self.options.id, &dir)).unwrap_or(dir)
    }

    pub(crate) fn log(&self, host: &str, process: &str) -> String {
        format!("{}/logs/{}-{process}.log", self.home(host), self.point.name)
    }

    /// A tool's program on a host.
    pub(crate) fn program(&self, host: &str, name: &str) -> String {
        let host = self.options.layout.host(host);
        host.and_then(|host| host.program(name)).unwrap_or_else(|| self.tools.path(name))
    }

    fn env(&self) -> BTreeMap<String, String> {
        let context = Context {
            experiment: self.options.id.clone(),
            target: self.side.name.clone(),
            label: self.side.label.clone(),
            step: self.point.name.clone(),
            repeat: self.repeat,
            ..Context::default()
        };
        BTreeMap::from([(Context::VARIABLE.to_owned(), context.to_env())])
    }

    fn phases(&self) -> Vec<PlannedPhase> {
        let step = self.point.step;
        let scaled = |span: Span| self.scaled_ms(span).max(PHASE_MS_MIN);
        // Fewer clients at the same rate are there sooner; the limit stays that of all of them.
        let (full_ramp, measure) = (ms(step.ramp.0), scaled(step.measure));
        let ramp = ((full_ramp as f64 * self.point.share).round() as u64).max(full_ramp.min(RAMP_MS_MIN));
        // A shorter phase does not make a set amount of work less.
        let longest =
            if step.loads.iter().any(Load::has_set_amount) { measure.max(ms(step.measure.0)) } else { measure };
        let phase = |name, expected_ms, limit_ms| PlannedPhase { name, expected_ms, limit_ms };
        vec![
            phase(Phase::Ramp, ramp, ramp.max(full_ramp) * RAMP_LIMIT_FACTOR + RAMP_LIMIT_EXTRA_MS),
            phase(Phase::Settle, scaled(step.settle), scaled(step.settle)),
            phase(Phase::Measure, measure, longest * 2 + MEASURE_LIMIT_EXTRA_MS),
            phase(Phase::Drain, scaled(step.drain), scaled(step.drain)),
        ]
    }

    pub(crate) fn variables(&self) -> Variables {
        let mut variables = self.point.axes.clone();
        variables.insert("host".into(), self.place.host.to_string());
        variables.insert("port".into(), self.place.port.to_string());
        if self.experiment.collect.echo {
            variables.insert("echo".into(), format!("{}:{}", self.place.host, self.place.echo));
        }
        variables
    }

    fn broker(&self) -> Result<PlannedBroker> {
        let target = &self.side.target;
        let cast = &self.options.layout.cast;
        let config = |folder: String| format!("{folder}/config/{}", self.point.name);
        let mut variables = self.variables();
        variables.insert("config".into(), config(self.there(&cast.sut)));
        variables.insert("user".into(), self.machine.user.clone());
        let exe = self.side.exe.display().to_string();
        variables.insert("exe".into(), exe.clone());
        let at = || format!("target {}", target.name);
        let filled = |text: &String| fill(text, &variables).with_context(at);
        let starter = || self.side.starter.clone().unwrap_or(exe);
        let mut argv = if target.external { Vec::new() } else { vec![starter()] };
        for arg in &target.start.args {
            argv.push(filled(arg)?);
        }
        let files = target.start.files.iter().map(|file| {
            let text = filled(&file.text)?;
            let path = format!("{}/{}", config(self.home(&cast.sut)), file.name);
            Ok(PlannedFile { path, text: text.trim_start().to_owned() })
        });
        let env = target.start.env.iter().map(|(name, value)| Ok((name.clone(), filled(value)?)));
        Ok(PlannedBroker {
            cpus: self.options.layout.cpus(None),
            argv,
            env: env.collect::<Result<_>>()?,
            files: files.collect::<Result<_>>()?,
            host: cast.sut.clone(),
            address: format!("{}:{}", self.place.host, self.place.port),
            reached_from: cast.testers[0].clone(),
            ready_timeout_ms: ms(target.ready_timeout.0),
            stop_grace_ms: ms(target.stop_grace.0),
            log: self.log(&cast.sut, "broker"),
        })
    }
}

pub(crate) fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

/// `<out>/<name>-<utc>`, with the identity of the run as its last part.
pub(crate) fn experiment_dir(out: &Path, name: &str, wall_ns: u64) -> (String, String) {
    let id = format!("{name}-{}", runlog::clock::utc_compact(wall_ns));
    (out.join(&id).display().to_string(), id)
}

/// For reading a host's settings.
const MANIFEST_LIMIT_MS: u64 = 10_000;

/// Messages of the smoke test at each QoS.
const SMOKE_MESSAGES: u32 = 8;
/// Bytes of each: more than a broker's small buffers hold.
const SMOKE_BYTES: u32 = 1_024;
const SMOKE_LIMIT_MS: u64 = 20_000;

const REPEATS_MAX: u32 = 100;
const PHASE_MS_MIN: u64 = 100;

/// What starting and connecting takes for a handful of clients, where the file allows that much.
const RAMP_MS_MIN: u64 = 500;

/// A ramp that takes this many times longer than expected, plus a flat allowance, has failed.
const RAMP_LIMIT_FACTOR: u64 = 4;
const RAMP_LIMIT_EXTRA_MS: u64 = 10_000;

/// What a prober may take beyond twice the measure phase: its connects, its warm-up, its wait for the last probes.
const MEASURE_LIMIT_EXTRA_MS: u64 = 15_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_once() {
        let numbers = |numbers: &[u64]| numbers.iter().map(|number| Scalar::Number(*number)).collect();
        let matrix = BTreeMap::from([("a".to_owned(), numbers(&[1, 2])), ("b".to_owned(), numbers(&[3, 4]))]);
        let found: Vec<String> =
            combinations(&matrix).iter().map(|axes| format!("{}{}", axes["a"], axes["b"])).collect();
        assert_eq!(found, ["13", "14", "23", "24"]);
        assert_eq!(combinations(&BTreeMap::new()).len(), 1);
    }

    #[test]
    fn a_seed_draws_who_begins_and_each_pair_of_repeats_is_balanced() {
        let side = |label: &str| Side {
            label: label.to_owned(),
            name: label.to_owned(),
            target: crate::catalog::target("ours").expect("shipped"),
            exe: "x".into(),
            starter: None,
            version: None,
            sha256: None,
            address: None,
            notes: Vec::new(),
        };
        let sides = [side("A"), side("B"), side("C")];
        let order = |repeat, point, seed| -> String {
            in_turn(&sides, repeat, point, seed).iter().map(|side| side.label.as_str()).collect()
        };
        assert_eq!([order(1, 0, 0), order(2, 5, 0), order(3, 1, 0)], ["ABC", "CBA", "ABC"]);
        let drawn: Vec<String> = (0..60).map(|point| order(1, point, 7)).collect();
        for all in ["ABC", "ACB", "BAC", "BCA", "CAB", "CBA"] {
            assert!(drawn.iter().any(|order| order == all), "{all} among {drawn:?}");
        }
        for (point, first) in drawn.iter().enumerate() {
            let back: String = first.chars().rev().collect();
            assert_eq!(order(2, point, 7), back);
            assert_eq!(&order(1, point, 7), first);
        }
    }

    #[test]
    fn axes_fit_the_open_files() {
        let text = r#"
            name = "ramp-{clients}"
            purpose = ""
            matrix = { clients = [1000, 5000, 10000] }
            fits_files = "clients"
            measure = "1s"
        "#;
        let step: Step = toml::from_str(text).expect("valid");
        let machine = Machine { files_max: 4_096, user: "u".into(), cpus: Vec::new() };
        let mut notes = Vec::new();
        let (matrix, shares) = fitted(&step, &machine, 1.0, &mut notes).expect("an axis of numbers");
        let allowed = machine.connections_max();
        assert_eq!(matrix["clients"], [Scalar::Number(1_000), Scalar::Number(allowed)]);
        assert_eq!(shares[&allowed.to_string()], allowed as f64 / 5_000.0);
        assert_eq!(notes.len(), 2);
        assert!(notes[0].contains("instead of 5000") && notes[0].contains("4096 files"), "{}", notes[0]);

        notes.clear();
        let (matrix, _) =
            fitted(&Step { files_each: 2, ..step }, &machine, 0.5, &mut notes).expect("an axis of numbers");
        assert_eq!(matrix["clients"], [500, allowed / 2].map(Scalar::Number));
        assert_eq!(notes.len(), 5, "each step is said twice where it is scaled and lowered: {notes:?}");
    }
}
