//! Hosts over SSH as the place of a step.
//!
//! Each host writes into a folder of its own, `<folder>/runs/<experiment>/<target>-<repeat>`; after each step it comes home to
//! `<target>-<repeat>/<host>`, with the step's phase marks in that host's clocks beside its run directories.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::Signal;
use runlog::{ClockOffset, Context, Event, RunDir};
use serde_json::Value;

use super::clocks::{Clocks, Offset};
use super::link::{Link, Route};
use super::protocol::{Answer, Ask, StartProcess};
use crate::local::set_apart;
use crate::local::site::{Process, Site, Start};
use crate::plan::{Plan, PlannedFile, PlannedHost, PlannedStep};

/// The hosts of an experiment, connected.
pub(crate) struct Fleet {
    hosts: Vec<Member>,
    experiment: String,
    /// Folder of the step's target and repeat.
    dir: String,
    findings: Vec<(&'static str, Value)>,
}

/// A host.
struct Member {
    host: PlannedHost,
    route: Route,
    link: Arc<Link>,
    before: Option<Offset>,
    clocks: Option<Clocks>,
}

impl Fleet {
    /// For the hosts of a plan, which were connected before it was made.
    pub(crate) fn of(plan: &Plan, links: &[(Route, Arc<Link>)]) -> Result<Self> {
        let member = |host: &PlannedHost| {
            let known = links.iter().find(|(route, _)| route.host == host.name);
            let (route, link) = known.with_context(|| format!("the plan's host {} is not connected", host.name))?;
            let (route, link) = (route.clone(), Arc::clone(link));
            Ok(Member { host: host.clone(), route, link, before: None, clocks: None })
        };
        Ok(Self {
            hosts: plan.hosts.iter().map(member).collect::<Result<_>>()?,
            experiment: plan.experiment.clone(),
            dir: String::new(),
            findings: Vec::new(),
        })
    }

    /// What would make every step fail is found before the first one.
    pub(crate) fn preflight(&self, plan: &Plan) -> Result<()> {
        let mut absent = Vec::new();
        for member in &self.hosts {
            let of_host =
                |step: &PlannedStep| step.programs_on(&member.host.name).map(str::to_owned).collect::<Vec<_>>();
            let mut paths: Vec<String> = plan.steps.iter().flat_map(of_host).collect();
            paths.sort();
            paths.dedup();
            let Answer::Absent(missing) = member.link.ask(Ask::Programs { paths }, ANSWER_LIMIT)? else { continue };
            absent.extend(missing.iter().map(|path| format!("{}: {path}", member.host.name)));
        }
        if !absent.is_empty() {
            bail!("not on the hosts: {}", absent.join(", "));
        }
        Ok(())
    }

    /// Says goodbye to every host.
    pub(crate) fn close(&self) {
        self.hosts.iter().for_each(|member| member.link.close());
    }

    fn member(&self, name: &str) -> Result<&Member> {
        let member = self.hosts.iter().find(|member| member.host.name == name);
        member.with_context(|| format!("the plan has no host {name}"))
    }

    /// Measures the clocks of each host, notes it, and returns it in the order of the hosts.
    fn measure_clocks(&mut self, when: &str) -> Result<Vec<Offset>> {
        let mut offsets = Vec::new();
        for member in &self.hosts {
            let offset = Offset::measure(&member.link)?;
            self.findings.push(("clock-offset", offset.detail(&member.host.name, when)));
            offsets.push(offset);
        }
        Ok(offsets)
    }

    /// Brings what a host wrote to its folder here: tar there, tar here. Started on the main thread, all hosts at once.
    fn fetch(&self) -> Result<()> {
        let fetching: Vec<(&Member, Child, Child)> = self
            .hosts
            .iter()
            .map(|member| {
                let (sender, receiver) = member.fetch(&self.experiment, &self.dir)?;
                Ok((member, sender, receiver))
            })
            .collect::<Result<_>>()?;
        for (member, sender, receiver) in fetching {
            for (what, child) in [("sending", sender), ("unpacking", receiver)] {
                let output = child.wait_with_output().with_context(|| format!("{what} results"))?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
                    bail!("{}: {what} its results failed ({}): {said}", member.host.name, output.status);
                }
            }
        }
        Ok(())
    }

    /// The step's marks by a host's clocks, beside what it wrote.
    fn mark(&self, phases: &[Event]) -> Result<()> {
        for member in &self.hosts {
            let clocks = member.clocks.as_ref().context("the clocks were measured")?;
            let dir = RunDir::reopen(member.home(&self.dir));
            let mut log = dir.and_then(|dir| dir.events()).with_context(|| format!("marks of {}", member.host.name))?;
            for event in phases {
                let mut there = event.clone();
                there.mono_ns = clocks.mono_ns(event.mono_ns);
                there.wall_ns = clocks.wall_ns(event.mono_ns);
                there.detail["bound_ns"] = clocks.bound_ns().into();
                log.append(&there).with_context(|| format!("marks of {}", member.host.name))?;
            }
        }
        Ok(())
    }
}

impl Member {
    /// Where its results come home.
    fn home(&self, dir: &str) -> String {
        format!("{dir}/{}", self.host.name)
    }

    /// Its own folder for the step's target and repeat.
    fn folder(&self, experiment: &str, dir: &str) -> Result<String> {
        let folder = self.host.folder_for(experiment, dir);
        folder.with_context(|| format!("{} has no folder of its own in the plan", self.host.name))
    }

    /// A path of this machine as it is on the host.
    fn there(&self, experiment: &str, dir: &str, path: &str) -> Result<String> {
        let rest = path.strip_prefix(&self.home(dir));
        let rest = rest.with_context(|| format!("{path} is not below the results of {}", self.host.name))?;
        Ok(self.folder(experiment, dir)? + rest)
    }

    fn fetch(&self, experiment: &str, dir: &str) -> Result<(Child, Child)> {
        let home = self.home(dir);
        std::fs::create_dir_all(&home).with_context(|| format!("cannot create {home}"))?;
        let folder = self.folder(experiment, dir)?;
        let mut sending = self.route.command(&["tar", "-C", &folder, "-cf", "-", "."]);
        sending.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut sender = sending.spawn().context("cannot start ssh")?;
        let output = sender.stdout.take().expect("a pipe");
        let mut unpacking = Command::new("tar");
        unpacking.args(["--no-same-owner", "-C", &home, "-xf", "-"]);
        set_apart(&mut unpacking);
        let receiver = unpacking.stdin(output).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Ok((sender, receiver.context("cannot start tar")?))
    }

    /// The environment of a tool, with its host and that host's clock in the context.
    fn env(&self, env: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        let mut env = env.clone();
        if let Some(text) = env.get_mut(Context::VARIABLE) {
            let mut context: Context = serde_json::from_str(text).context("the plan's context")?;
            context.host = Some(self.host.name.clone());
            context.clock =
                self.before.map(|offset| ClockOffset { mono_ns: offset.mono_ns, bound_ns: offset.bound_ns });
            *text = context.to_env();
        }
        Ok(env)
    }
}

impl Site for Fleet {
    fn begin(&mut self, step: &PlannedStep) -> Result<()> {
        self.dir.clone_from(&step.dir);
        for member in &mut self.hosts {
            (member.before, member.clocks) = (None, None);
            member.link.forget();
            let there = |path: &str| member.there(&self.experiment, &step.dir, path);
            let (mut folders, mut files) = (vec![member.folder(&self.experiment, &step.dir)? + "/logs"], Vec::new());
            if member.host.name == step.broker.host {
                for file in &step.broker.files {
                    let path = there(&file.path)?;
                    folders.extend(Path::new(&path).parent().map(|folder| folder.display().to_string()));
                    files.push(PlannedFile { path, text: file.text.clone() });
                }
            }
            let folder = member.folder(&self.experiment, &step.dir)?;
            member.link.ask(Ask::Begin { folder, folders, files }, ANSWER_LIMIT)?;
        }
        let offsets = self.measure_clocks("before")?;
        for (member, offset) in self.hosts.iter_mut().zip(offsets) {
            member.before = Some(offset);
        }
        Ok(())
    }

    fn time_wait(&self) -> Option<u64> {
        let on = |member: &Member| match member.link.ask(Ask::TimeWait, ANSWER_LIMIT) {
            Ok(Answer::TimeWait(sockets)) => sockets,
            _ => None,
        };
        self.hosts.iter().filter_map(on).max()
    }

    fn is_fresh(&self) -> bool {
        false
    }

    fn start(&mut self, start: &Start<'_>) -> Result<Box<dyn Process>> {
        let member = self.member(start.host)?;
        let there = |path: &str| member.there(&self.experiment, &self.dir, path);
        let watched = start.watched.map(|watched| Ok::<_, anyhow::Error>((watched.kind, there(watched.run_dir)?)));
        let ask = Ask::Start(StartProcess {
            name: start.name.to_owned(),
            argv: start.argv.to_vec(),
            env: member.env(start.env)?,
            log: there(start.log)?,
            cpus: start.cpus.to_vec(),
            watched: watched.transpose()?,
        });
        let is_watched = start.watched.is_some();
        match member.link.ask(ask, ANSWER_LIMIT)? {
            Answer::Started { pid } => {
                let (link, name) = (Arc::clone(&member.link), start.name.to_owned());
                Ok(Box::new(Distant { link, name, pid, is_watched }))
            }
            other => Err(anyhow!("{}: no answer to a start: {other:?}", start.host)),
        }
    }

    fn accepts(&self, from: &str, address: &SocketAddr, limit: Duration) -> bool {
        let ask = Ask::Accepts { address: *address, limit_ms: limit.as_millis() as u64 };
        let answer = self.member(from).and_then(|member| member.link.ask(ask, limit + ANSWER_LIMIT));
        matches!(answer, Ok(Answer::Accepts(true)))
    }

    fn end(&mut self, _: &PlannedStep, phases: &[Event]) -> Result<()> {
        let offsets = self.measure_clocks("after")?;
        for (member, after) in self.hosts.iter_mut().zip(offsets) {
            member.clocks = member.before.map(|before| Clocks { before, after });
        }
        self.fetch()?;
        self.mark(phases)
    }

    fn mono_ns_of(&self, host: &str, ours: u64) -> u64 {
        let clocks = self.member(host).ok().and_then(|member| member.clocks);
        clocks.map_or(ours, |clocks| clocks.mono_ns(ours))
    }

    fn findings(&mut self) -> Vec<(&'static str, Value)> {
        std::mem::take(&mut self.findings)
    }
}

/// A process on a host.
struct Distant {
    link: Arc<Link>,
    name: String,
    pid: u32,
    is_watched: bool,
}

impl Process for Distant {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        Some(self.link.ended(&self.name)?.0)
    }

    fn is_ready(&mut self) -> bool {
        !self.is_watched || self.link.is_ready(&self.name)
    }

    fn signal(&mut self, signal: Signal) {
        // A lost session has no process any more.
        let _ = self.link.ask(Ask::Signal { name: self.name.clone(), signal: signal as i32 }, ANSWER_LIMIT);
    }

    fn last_words(&self) -> String {
        if let Some((_, last_words)) = self.link.ended(&self.name) {
            return last_words;
        }
        match self.link.ask(Ask::LastWords { name: self.name.clone() }, ANSWER_LIMIT) {
            Ok(Answer::Words(words)) => words,
            _ => "it said nothing".to_owned(),
        }
    }

    fn output(&self) -> String {
        match self.link.ask(Ask::Output { name: self.name.clone() }, ANSWER_LIMIT) {
            Ok(Answer::Words(text)) => text,
            _ => String::new(),
        }
    }
}

impl Drop for Distant {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::SIGKILL);
        }
    }
}

/// For an answer that takes no time of its own.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
