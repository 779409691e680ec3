//! Where the roles of an experiment run: hosts with their addresses, and the processors of each role.
//!
//! On one machine without hosts of its own everything is on loopback, and every step has a port and a source address of its
//! own, so that no step inherits the ports in TIME_WAIT of the one before. Processors are shared out only where there are
//! [`CPUS_TO_SHARE`] of them: half for the broker, one for the prober, the rest for the load. Collectors run among the load:
//! who watches the broker must not take from it.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

use anyhow::{Context, Result};

use crate::plan::{PlannedHost, ProcessKind};

/// The broker's host.
pub(crate) const SUT: &str = "sut";
/// The load's host.
pub(crate) const TESTER: &str = "tester";
/// The prober's host.
pub(crate) const PROBER: &str = "prober";

/// Hosts and processors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// Empty: everything on loopback.
    pub(crate) hosts: Vec<PlannedHost>,
    pub(crate) cast: Cast,
    /// The port of every step's broker; absent: a free one of this machine for each step.
    pub(crate) port: Option<u16>,
    cpus: Shares,
}

/// Which hosts play which role, by name. A host may play several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cast {
    pub(crate) sut: String,
    /// They share the load.
    pub(crate) testers: Vec<String>,
    pub(crate) prober: String,
}

impl Default for Cast {
    fn default() -> Self {
        Self { sut: SUT.to_owned(), testers: vec![TESTER.to_owned()], prober: PROBER.to_owned() }
    }
}

/// Processors of each role; empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shares {
    sut: Vec<usize>,
    tester: Vec<usize>,
    prober: Vec<usize>,
}

/// Where the broker of a step listens and where its load comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Address of the broker.
    pub(crate) host: Ipv4Addr,
    pub(crate) port: u16,
    /// The port of the TCP echo on the broker's host.
    pub(crate) echo: u16,
    /// The address from which this machine reaches a broker that runs elsewhere.
    pub(crate) origin: Option<Ipv4Addr>,
    /// Counts the steps from 0.
    index: u32,
}

impl Place {
    /// Where a broker that runs already is reached: from hosts with addresses of their own, or from this machine.
    pub(crate) fn at(self, broker: SocketAddrV4, layout: &Layout) -> Self {
        let is_elsewhere = layout.hosts.is_empty() && !broker.ip().is_loopback();
        let origin = is_elsewhere.then(|| towards(broker)).flatten();
        Self { host: *broker.ip(), port: broker.port(), origin, ..self }
    }
}

/// The address that the kernel would choose; nothing is sent.
fn towards(broker: SocketAddrV4) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(broker).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

impl Layout {
    /// This machine, all on loopback, with these processors.
    pub(crate) fn loopback(cpus: &[usize]) -> Self {
        Self { cpus: Shares::of(cpus), ..Self::default() }
    }

    /// Hosts that share the processors of this machine; brokers listen on `port`.
    pub(crate) fn of_hosts(hosts: Vec<PlannedHost>, port: u16, cpus: &[usize]) -> Self {
        Self { hosts, cast: Cast::default(), port: Some(port), cpus: Shares::of(cpus) }
    }

    /// Hosts of their own, over SSH; brokers listen on `port`.
    pub(crate) fn of_machines(hosts: Vec<PlannedHost>, cast: Cast, port: u16) -> Self {
        Self { hosts, cast, port: Some(port), cpus: Shares::default() }
    }

    /// Processors for a process of this kind; the broker's are those of `None`.
    pub(crate) fn cpus(&self, kind: Option<ProcessKind>) -> Vec<usize> {
        let share = match kind {
            None => &self.cpus.sut,
            Some(ProcessKind::Prober) => &self.cpus.prober,
            Some(ProcessKind::Loadgen | ProcessKind::Collector) => &self.cpus.tester,
        };
        share.clone()
    }

    /// The interface that a collector on this host counts; absent: the experiment's.
    pub(crate) fn interface(&self, host: &str) -> Option<&str> {
        self.host(host).map(|host| host.interface.as_str())
    }

    /// The address that a load or probe on this host comes from when it needs one: a secondary one, another for each step.
    pub(crate) fn source(&self, host: &str, place: &Place) -> Ipv4Addr {
        if let Some(origin) = place.origin {
            return origin;
        }
        match self.addresses(host) {
            // 127.0.1.1 .. 127.0.250.250: an address for each of 62,500 steps.
            [] => Ipv4Addr::new(127, 0, (1 + place.index / 250 % 250) as u8, (1 + place.index % 250) as u8),
            all => all[place.index as usize % all.len()],
        }
    }

    /// Addresses from which so many connections can come, as a list. On loopback they are of the step's own: one network of
    /// 127.64.0.0/10 for each.
    pub(crate) fn sources(&self, host: &str, place: &Place, connections: u64) -> String {
        if let Some(origin) = place.origin {
            return origin.to_string();
        }
        let count = connections.div_ceil(PORTS_PER_SOURCE).clamp(1, 254) as u32;
        let all: Vec<Ipv4Addr> = match self.addresses(host) {
            [] => {
                let base = u32::from(Ipv4Addr::new(127, 64, 0, 0)) + place.index % 16_384 * 256;
                (1..=count).map(|host| Ipv4Addr::from(base + host)).collect()
            }
            all => all.iter().copied().take(count as usize).collect(),
        };
        all.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(",")
    }

    /// Says what is set apart, for the notes of the plan.
    pub(crate) fn notes(&self) -> Vec<String> {
        let Shares { sut, tester, prober } = &self.cpus;
        let shared = format!("processors: broker {sut:?}, load and collectors {tester:?}, prober {prober:?}");
        (!sut.is_empty()).then_some(shared).into_iter().collect()
    }

    /// The host of this name, if there are hosts.
    pub(crate) fn host(&self, name: &str) -> Option<&PlannedHost> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// The addresses that load on a host may come from: its further ones, else its own; none on loopback.
    fn addresses(&self, host: &str) -> &[Ipv4Addr] {
        match self.host(host) {
            None => &[],
            Some(host) if host.secondary.is_empty() => std::slice::from_ref(&host.address),
            Some(host) => &host.secondary,
        }
    }
}

impl Shares {
    fn of(cpus: &[usize]) -> Self {
        if cpus.len() < CPUS_TO_SHARE {
            return Self::default();
        }
        let (sut, rest) = cpus.split_at(cpus.len() / 2);
        let (tester, prober) = rest.split_at(rest.len() - 1);
        Self { sut: sut.to_vec(), tester: tester.to_vec(), prober: prober.to_vec() }
    }
}

/// Hands out places; the listeners are held until the plan is complete, so that no two steps get the same port.
#[derive(Default)]
pub(crate) struct Places {
    held: Vec<TcpListener>,
    given: u32,
    /// How many ports were tried.
    tried: usize,
}

impl Places {
    /// The place of the next step.
    pub(crate) fn next(&mut self, layout: &Layout) -> Result<Place> {
        let index = self.given;
        self.given += 1;
        if let (Some(sut), Some(port)) = (layout.host(&layout.cast.sut), layout.port) {
            return Ok(Place { host: sut.address, port, echo: ECHO_PORT, origin: None, index });
        }
        let host = Ipv4Addr::LOCALHOST;
        let (port, echo) = (self.free_port(host)?, self.free_port(host)?);
        Ok(Place { host, port, echo, origin: None, index })
    }

    /// A port that nobody has, and that the kernel gives to no connection: between plan and start of a broker, and between
    /// two starts, it would otherwise be any connection's. Two plans that are made at once begin at different ones.
    fn free_port(&mut self, host: Ipv4Addr) -> Result<u16> {
        let ephemeral = ephemeral_ports();
        let ports: Vec<u16> = (PORT_MIN..=u16::MAX).filter(|port| !ephemeral.contains(port)).collect();
        let first = std::process::id() as usize * PORTS_APART;
        while self.tried < ports.len() {
            let port = ports[(first + self.tried) % ports.len()];
            self.tried += 1;
            if let Ok(listener) = TcpListener::bind((host, port)) {
                self.held.push(listener);
                return Ok(port);
            }
        }
        // Where every port is the kernel's to give, it gives one that is free now.
        let listener = TcpListener::bind((host, 0)).context("no free port on 127.0.0.1")?;
        let port = listener.local_addr().context("a bound socket has an address")?.port();
        self.held.push(listener);
        Ok(port)
    }
}

/// The ports that the kernel gives to connections (ip-sysctl: `ip_local_port_range`); the kernel's default where it does
/// not say.
fn ephemeral_ports() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().map_while(|word| word.parse().ok());
    ends.next().zip(ends.next()).map_or(32_768..=60_999, |(first, last)| first..=last)
}

/// From so many processors on, each role has some of its own.
pub(crate) const CPUS_TO_SHARE: usize = 4;

/// Below are the ports of well-known services.
const PORT_MIN: u16 = 10_000;

/// A prime: runners with neighbouring process ids begin far from each other.
const PORTS_APART: usize = 7_919;

/// The echo's port where every step has hosts of its own.
const ECHO_PORT: u16 = 7007;

/// Connections from one source address: half of the ports that it has, beyond which a kernel searches long for a free one.
pub(crate) const PORTS_PER_SOURCE: u64 = 25_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_distinct() {
        let layout = Layout::default();
        let mut places = Places::default();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..300 {
            let place = places.next(&layout).expect("a free port");
            let source = layout.source(TESTER, &place);
            assert!(source.is_loopback());
            assert!(seen.insert((place.port, source)));
            let kernels = ephemeral_ports();
            let is_all = *kernels.start() <= PORT_MIN && *kernels.end() == u16::MAX;
            assert!(is_all || !kernels.contains(&place.port), "{} is in {kernels:?}", place.port);
        }
    }

    #[test]
    fn hosts_lend_their_secondary_addresses() {
        let secondary: Vec<Ipv4Addr> = (1..=3).map(|last| Ipv4Addr::new(10, 0, 1, last)).collect();
        let host = |name: &str, last, secondary| PlannedHost {
            name: name.into(),
            interface: "eth0".into(),
            address: Ipv4Addr::new(10, 0, 0, last),
            secondary,
            folder: None,
            boot_id: None,
        };
        let hosts = vec![host(SUT, 1, Vec::new()), host(TESTER, 2, secondary)];
        let layout = Layout::of_hosts(hosts, 1883, &[]);
        let mut places = Places::default();
        let all: Vec<Place> = (0..4).map(|_| places.next(&layout).expect("nothing to bind")).collect();
        assert_eq!((all[0].host, all[0].port), (Ipv4Addr::new(10, 0, 0, 1), 1883));
        assert_eq!(layout.source(TESTER, &all[3]), layout.source(TESTER, &all[0]));
        assert_eq!(layout.source(TESTER, &all[1]), Ipv4Addr::new(10, 0, 1, 2));
        assert_eq!(layout.sources(TESTER, &all[0], 25_001), "10.0.1.1,10.0.1.2");
        assert_eq!(layout.sources(TESTER, &all[0], 1_000_000), "10.0.1.1,10.0.1.2,10.0.1.3");
    }

    #[test]
    fn processors_are_shared_out_once_there_are_enough() {
        assert_eq!(Shares::of(&[0, 1, 2]), Shares::default());
        assert_eq!(Shares::of(&[0, 1, 2, 3]), Shares { sut: vec![0, 1], tester: vec![2], prober: vec![3] });
        let eight = Shares::of(&[0, 1, 2, 3, 4, 5, 8, 9]);
        assert_eq!(eight, Shares { sut: vec![0, 1, 2, 3], tester: vec![4, 5, 8], prober: vec![9] });
    }
}
