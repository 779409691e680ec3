//! Real hosts: Ansible prepares them and sets them back, agents over SSH run the steps ([`crate::remote`]).
//!
//! Ansible's part is what takes seconds and may be done in any order: installing, tuning, binding addresses, undoing that. What
//! must happen at a moment (starts, phases, stops) does not go through it.
//!
//! - [`inventory`]: the hosts as the inventory describes them.
//! - [`playbooks`]: the shipped playbooks, and how they are run.

mod inventory;
mod playbooks;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::inventory::InventoryHost;
use self::playbooks::Playbooks;
use crate::layout::{Cast, Layout};
use crate::local::{self, Outcome, Signals};
use crate::machine::Machine;
use crate::plan::{Plan, PlannedHost};
use crate::remote::fleet::Fleet;
use crate::remote::link::{Link, Route};
use crate::remote::protocol::{Answer, Ask, Facts, Found};
use crate::resolve::Shelf;
use crate::tools::Tools;
use crate::typed::Target;

/// The hosts of an inventory, and who plays what.
pub(crate) struct Lab {
    hosts: Vec<InventoryHost>,
    cast: Cast,
    playbooks: Playbooks,
}

impl Lab {
    /// Reads an inventory; talks to no host.
    pub(crate) fn read(inventory: &Path, tools: &Tools, signals: &Signals) -> Result<Self> {
        let playbooks = Playbooks::unpack(inventory, tools)?;
        let hosts = playbooks.hosts(signals).with_context(|| format!("inventory {}", inventory.display()))?;
        let cast = inventory::cast(&hosts).with_context(|| format!("inventory {}", inventory.display()))?;
        Ok(Self { hosts, cast, playbooks })
    }

    /// The layout as the inventory alone tells it.
    pub(crate) fn assumed(&self) -> Result<Layout> {
        let hosts = self.hosts.iter().map(|host| host.planned(None)).collect::<Result<_>>()?;
        Ok(Layout::of_machines(hosts, self.cast.clone(), self.port()))
    }

    /// What is folded into one host, for the notes of a plan.
    pub(crate) fn notes(&self) -> Vec<String> {
        let shared = self.hosts.iter().filter(|host| host.roles.len() > 1);
        shared
            .map(|host| format!("{} is {} at once: what one takes, another lacks", host.name, host.roles.join(" and ")))
            .collect()
    }

    /// Installs, tunes, binds; then starts an agent on every host. Whatever comes of it, [`Lab::restore`] must follow.
    pub(crate) fn prepare(&self, signals: &Signals) -> Result<Connected<'_>> {
        eprintln!("preparing {}", self.names());
        self.playbooks.prepare(signals)?;
        let mut links = Vec::new();
        let mut facts = Vec::new();
        for host in &self.hosts {
            let route = host.route();
            let link = Link::open(&route, &host.folder)?;
            let hello = Ask::Hello { address: host.address()? };
            let Answer::Facts(found) = link.ask(hello, HELLO_LIMIT).context("cannot start the agent")? else {
                bail!("{}: its agent does not say who it is", host.name);
            };
            if found.version != runlog::version() {
                bail!("{}: its agent is version {}, and this is {}", host.name, found.version, runlog::version());
            }
            links.push((route, Arc::new(link)));
            facts.push(found);
        }
        Ok(Connected { lab: self, links, facts })
    }

    /// Sets the hosts back to what they were.
    pub(crate) fn restore(&self, signals: &Signals) -> Result<()> {
        eprintln!("restoring {}", self.names());
        self.playbooks.restore(signals)
    }

    fn names(&self) -> String {
        self.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn port(&self) -> u16 {
        let sut = self.hosts.iter().find(|host| host.name == self.cast.sut);
        sut.and_then(|host| host.broker_port).unwrap_or(PORT)
    }
}

/// The hosts with an agent on each.
pub(crate) struct Connected<'a> {
    lab: &'a Lab,
    /// In the order of the hosts.
    links: Vec<(Route, Arc<Link>)>,
    facts: Vec<Facts>,
}

impl Connected<'_> {
    /// The layout as the hosts are.
    pub(crate) fn layout(&self) -> Result<Layout> {
        let pairs = self.lab.hosts.iter().zip(&self.facts);
        let hosts: Vec<PlannedHost> = pairs.map(|(host, facts)| host.planned(Some(facts))).collect::<Result<_>>()?;
        Ok(Layout::of_machines(hosts, self.lab.cast.clone(), self.lab.port()))
    }

    /// Limits: the broker's host holds every connection, each tester its part.
    pub(crate) fn machine(&self) -> Machine {
        let files_max = |name: &String| {
            let known = self.lab.hosts.iter().zip(&self.facts).find(|(host, _)| host.name == *name);
            known.map_or(0, |(_, facts)| facts.files_max)
        };
        let cast = &self.lab.cast;
        let least = cast.testers.iter().map(files_max).min().unwrap_or(0);
        let testers = least.saturating_mul(cast.testers.len() as u64);
        let sut = self.lab.hosts.iter().zip(&self.facts).find(|(host, _)| host.name == cast.sut);
        let user = sut.map_or_else(String::new, |(_, facts)| facts.user.clone());
        Machine { files_max: files_max(&cast.sut).min(testers), cpus: Vec::new(), user }
    }

    /// Runs a plan that was made for these hosts.
    pub(crate) fn run(&self, plan: &Plan, signals: &Signals) -> Result<Outcome> {
        let mut fleet = Fleet::of(plan, &self.links)?;
        fleet.preflight(plan).context("preflight")?;
        let outcome = local::run(plan, &mut fleet, signals, &mut |_| Ok(()))?;
        fleet.close();
        Ok(outcome)
    }

    fn sut(&self) -> Result<(&InventoryHost, &Link)> {
        let pairs = self.lab.hosts.iter().zip(&self.links);
        let mut of_sut = pairs.filter(|(host, _)| host.name == self.lab.cast.sut);
        let (host, (_, link)) = of_sut.next().context("the inventory has a broker's host")?;
        Ok((host, link))
    }
}

impl Shelf for Connected<'_> {
    fn found(&self, target: &Target, may_install: bool) -> Result<Option<Found>> {
        let (file, text) = target.file.clone();
        let limit = if may_install { INSTALL_LIMIT } else { FIND_LIMIT };
        match self.sut()?.1.ask(Ask::Find { file, text, may_install }, limit)? {
            Answer::Found(found) => Ok(found),
            other => bail!("no answer to the question for {}: {other:?}", target.name),
        }
    }

    fn tool(&self, name: &str) -> String {
        self.sut().map_or_else(|_| name.to_owned(), |(host, _)| format!("{}/bin/{name}", host.folder))
    }

    fn place(&self) -> String {
        format!("on {}", self.lab.cast.sut)
    }
}

/// Where brokers listen unless the inventory says otherwise.
const PORT: u16 = 1883;

const HELLO_LIMIT: Duration = Duration::from_secs(60);
const FIND_LIMIT: Duration = Duration::from_secs(60);
/// A crate may be built.
const INSTALL_LIMIT: Duration = Duration::from_secs(1_800);
