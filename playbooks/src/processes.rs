//! The processes of a step: loads, in parts where several hosts share them, and the collectors that watch.

use anyhow::{Context as _, Result};
use runlog::Role;

use crate::expand::{Making, ms};
use crate::plan::{Phase, PlannedPhase, PlannedProcess, ProcessKind};
use crate::template::{Variables, fill};
use crate::typed::{Ends, Load, Span, Start, Tool};

impl Making<'_> {
    /// The broker's collector first, then each load with its parts, directly followed by their collectors.
    pub(crate) fn processes(&self, phases: &[PlannedPhase]) -> Result<Vec<PlannedProcess>> {
        let limit: u64 = phases.iter().map(|phase| phase.limit_ms).sum();
        let sut = &self.options.layout.cast.sut;
        let mut processes = Vec::new();
        // Of a broker on another machine nothing can be seen from here.
        if self.place.origin.is_none() {
            processes.push(self.collector(("broker", ""), sut, Role::Broker, &self.tag(), Phase::Ramp, limit));
        }
        for load in &self.point.step.loads {
            let measure_ms = phases[2].expected_ms;
            let parts = self.parts(load, measure_ms).with_context(|| format!("load {}", load.name))?;
            let mut collectors = Vec::new();
            if load.collect || self.watches_for_its_role(load) {
                for part in &parts {
                    let role = role(load.tool);
                    let tag = format!("{}-{}-host", self.tag(), part.name);
                    collectors.push(self.collector(
                        (&part.name, &load.name),
                        &part.host,
                        role,
                        &tag,
                        part.start,
                        limit,
                    ));
                }
            }
            processes.extend(parts);
            processes.extend(collectors);
        }
        Ok(processes)
    }

    /// On hosts of their own every role is collected: by its first load, when none asks for it.
    fn watches_for_its_role(&self, load: &Load) -> bool {
        let mut same = self.point.step.loads.iter().filter(|other| other.tool == load.tool);
        let is_first = same.clone().next().is_some_and(|first| first.name == load.name);
        is_first && !self.options.layout.hosts.is_empty() && !same.any(|other| other.collect)
    }

    fn collector(
        &self,
        (watched, load): (&str, &str),
        host: &str,
        role: Role,
        tag: &str,
        start: Phase,
        limit_ms: u64,
    ) -> PlannedProcess {
        let (collect, layout) = (&self.experiment.collect, &self.options.layout);
        let name = format!("collect-{watched}");
        let folder = format!("{role}-{tag}-${{UTC}}");
        let mut words = vec![
            ("--role", role.to_string()),
            ("--iface", layout.interface(host).unwrap_or(&collect.iface).to_owned()),
            ("--port", self.place.port.to_string()),
            // Stopped by the runner; this is for the case that nobody does.
            ("--duration", format!("{}s", limit_ms.div_ceil(1_000) + 60)),
            ("--interval", format!("{}ms", ms(collect.interval.0))),
            ("--tag", tag.to_owned()),
            ("--run-dir", format!("{}/{folder}", self.there(host))),
        ];
        // Who listens on the port is looked for where nobody here started it.
        if role != Role::Broker || !self.side.target.external {
            words.push(("--pid", format!("${{PID:{watched}}}")));
        }
        if role == Role::Broker {
            words.extend(self.side.version.clone().map(|version| ("--target-version", version)));
            words.extend(collect.canary.map(|period| ("--canary", format!("{}ms", ms(period.0)))));
            words.extend(collect.echo.then(|| ("--echo", self.place.echo.to_string())));
        }
        let mut argv = vec![self.program(host, "collector")];
        argv.extend(words.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        PlannedProcess {
            log: self.log(host, &name),
            name,
            load: load.to_owned(),
            kind: ProcessKind::Collector,
            host: host.to_owned(),
            cpus: layout.cpus(Some(ProcessKind::Collector)),
            argv,
            start,
            awaits_ready: true,
            // On hosts of their own what a load takes is seen from its first moment.
            with_previous: !load.is_empty() && !layout.hosts.is_empty(),
            ends_by_itself: false,
            connections: None,
            saturates: false,
            interval_ms: Some(ms(collect.interval.0)),
            stop_ms: None,
            pause_ms: None,
            run_dir: format!("{}/{folder}", self.home(host)),
        }
    }

    /// A load as one process, or as one on each tester: all of them together are the load.
    fn parts(&self, load: &Load, measure_ms: u64) -> Result<Vec<PlannedProcess>> {
        let cast = &self.options.layout.cast;
        let all = connections(load, &self.point.axes)?;
        match (load.tool, all) {
            (Tool::Prober, _) => Ok(vec![self.load(load, &cast.prober, None, all, measure_ms)?]),
            (Tool::Loadgen, Some(all)) if cast.testers.len() > 1 && all > 1 && is_divisible(load) => {
                let of = (cast.testers.len() as u64).min(all);
                let numbered = (1..).zip(&cast.testers).take(of as usize);
                let part = |(number, host): (u64, &String)| {
                    let connections = all * number / of - all * (number - 1) / of;
                    self.load(load, host, Some((number, of)), Some(connections), measure_ms)
                };
                numbered.map(part).collect()
            }
            // How many clients it has is not known, or it has one.
            (Tool::Loadgen, all) => Ok(vec![self.load(load, &cast.testers[0], None, all, measure_ms)?]),
        }
    }

    fn load(
        &self,
        load: &Load,
        host: &str,
        part: Option<(u64, u64)>,
        connections: Option<u64>,
        measure_ms: u64,
    ) -> Result<PlannedProcess> {
        let mut variables = self.variables();
        let (kind, program) = match load.tool {
            Tool::Loadgen => (ProcessKind::Loadgen, "loadgen"),
            Tool::Prober => (ProcessKind::Prober, "prober"),
        };
        let layout = &self.options.layout;
        variables.insert("source".into(), layout.source(host, &self.place).to_string());
        variables.insert("sources".into(), layout.sources(host, &self.place, connections.unwrap_or(1)));
        if let Some(every) = load.every {
            let every_ms = ms(every.0).max(1);
            variables.insert("every_ms".into(), every_ms.to_string());
            variables.insert("count".into(), (measure_ms / every_ms).max(1).to_string());
        }
        for (name, span) in &load.spans {
            let span_ms = self.scaled_ms(*span).max(1);
            variables.insert(format!("{name}_ms"), span_ms.to_string());
            variables.insert(format!("{name}_s"), span_ms.div_ceil(1_000).to_string());
        }
        let name = match part {
            Some(_) => format!("{}-{host}", load.name),
            None => load.name.clone(),
        };
        let folder = format!("{}-{}-{name}-${{UTC}}", role(load.tool), self.tag());
        let mut argv = vec![self.program(host, program)];
        for arg in &load.args {
            argv.push(fill(arg, &variables)?);
        }
        argv.extend(["--run-dir".to_owned(), format!("{}/{folder}", self.there(host))]);
        if load.tool == Tool::Loadgen {
            argv.extend(["--counters-interval".to_owned(), format!("{}ms", ms(self.experiment.collect.interval.0))]);
        }
        if let Some((number, of)) = part {
            argv.extend(["--part".to_owned(), format!("{number}/{of}")]);
        }
        Ok(PlannedProcess {
            log: self.log(host, &name),
            name,
            load: load.name.clone(),
            kind,
            host: host.to_owned(),
            cpus: layout.cpus(Some(kind)),
            argv,
            start: if load.start == Start::Ramp { Phase::Ramp } else { Phase::Measure },
            awaits_ready: load.start == Start::Ramp,
            with_previous: part.is_some_and(|(number, _)| number > 1),
            ends_by_itself: load.ends == Ends::ByItself,
            connections,
            saturates: load.saturates,
            interval_ms: None,
            stop_ms: load.stop.map(|at| self.scaled_ms(at)),
            pause_ms: load.pause.map(|pause| {
                let at_ms = self.scaled_ms(pause.at);
                [at_ms, at_ms + self.scaled_ms(pause.lasts)]
            }),
            run_dir: format!("{}/{folder}", self.home(host)),
        })
    }

    /// A time of the measure phase, or of one that is scaled with it.
    pub(crate) fn scaled_ms(&self, span: Span) -> u64 {
        ms(span.0.mul_f64(self.options.duration_scale))
    }
}

/// Whether the tool can take a part of it (`loadgen --part`).
fn is_divisible(load: &Load) -> bool {
    load.args.first().is_some_and(|mode| matches!(mode.as_str(), "conn" | "sub" | "pub"))
}

fn connections(load: &Load, variables: &Variables) -> Result<Option<u64>> {
    let Some(text) = &load.connections else { return Ok(None) };
    let filled = fill(text, variables)?;
    let number =
        filled.parse().with_context(|| format!("connections = '{text}' gives '{filled}', which is no number"))?;
    Ok(Some(number))
}

fn role(tool: Tool) -> Role {
    match tool {
        Tool::Loadgen => Role::Loadgen,
        Tool::Prober => Role::Prober,
    }
}
