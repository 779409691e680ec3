//! Where connections come from: planned (source address, source port) pairs.
//!
//! One source address can hold at most one connection per port to the same destination, so a large number of
//! connections needs several source addresses, and somebody has to choose the ports. Left to the kernel, the choice
//! turns into a search that gets quadratically slower once half of the ports of an address are used. A [`SourcePlan`]
//! chooses beforehand: it walks through the ports of its addresses once, each pair is bound explicitly, a pair that
//! somebody else uses is skipped and counted, and a shortage is known before the first connection.
//!
//! Sockets are bound with `SO_REUSEADDR`: it lets a later run use the ports that an earlier one left in `TIME_WAIT`,
//! and lets one port serve connections to different destinations.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::occupied::Occupied;
use crate::socket::{self, Connect};

/// Why connections cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A part of a source list is not an address, a range or a network.
    #[error(
        "`{0}` is not a source address: give addresses, ranges (10.0.0.1-20), networks (10.0.0.0/24) or interface names \
         (this host has: {interfaces}), separated by commas",
        interfaces = interface_names()
    )]
    NotAnAddress(String),
    /// A list names more addresses than anyone has.
    #[error("`{0}` names more than {MAX_ADDRS} source addresses")]
    TooMany(String),
    /// An address cannot be bound here.
    #[error("{addr} is not an address of this host ({error}): add it with `ip addr add {addr} dev DEVICE`")]
    NotHere {
        /// The address.
        addr: IpAddr,
        /// What binding it said.
        error: io::Error,
    },
    /// Addresses of one family cannot reach the other.
    #[error("source address {addr} cannot reach {remote}: one is IPv4, the other IPv6")]
    WrongFamily {
        /// The source address.
        addr: IpAddr,
        /// The destination.
        remote: SocketAddr,
    },
    /// There are fewer pairs than connections.
    #[error(
        "{wanted} connections to {remote} need more source ports than there are: {addrs} address(es) with {ports} ports \
         each give {}{}; add {} source address(es) with --ifaddr",
        addrs * ports - taken,
        if *taken > 0 { format!(", as {taken} are taken or in TIME_WAIT (`ss -tan dst {remote}` lists them)") } else { String::new() },
        (wanted + taken).div_ceil((*ports).max(1)) - addrs
    )]
    Shortage {
        /// Connections asked for.
        wanted: usize,
        /// The destination.
        remote: SocketAddr,
        /// Source addresses there are.
        addrs: usize,
        /// Ports that each of them has.
        ports: usize,
        /// Pairs that others use.
        taken: usize,
    },
    /// The kernel has no route, so that no source address can be found.
    #[error("no route to {remote}: {error}")]
    NoRoute {
        /// The destination.
        remote: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// The port settings of the kernel cannot be read.
    #[error("cannot read {path}: {error}")]
    Proc {
        /// The file.
        path: &'static str,
        /// What went wrong.
        error: io::Error,
    },
}

/// Most addresses that one list may name.
pub const MAX_ADDRS: usize = 65_536;

/// Reads a list of source addresses: addresses, ranges (`10.0.0.1-20`, `10.0.0.1-10.0.1.20`), networks
/// (`10.0.0.0/24`, without its network and broadcast address) and names of interfaces of this host (`eth0`: its IPv4
/// addresses, or those of IPv6 with global scope where it has none), separated by commas; in the order given, each once.
///
/// # Errors
/// [`SourceError::NotAnAddress`], [`SourceError::TooMany`].
pub fn parse_list(list: &str) -> Result<Vec<IpAddr>, SourceError> {
    let mut addrs = Vec::new();
    for part in list.split(',').map(str::trim) {
        let Some((first, last)) = parse_part(part) else {
            let of_interface = interface_addrs(part);
            if of_interface.is_empty() {
                return Err(SourceError::NotAnAddress(part.to_owned()));
            }
            addrs.extend(of_interface);
            continue;
        };
        let count = last.checked_sub(first).ok_or_else(|| SourceError::NotAnAddress(part.to_owned()))?;
        if count >= MAX_ADDRS as u128 || addrs.len() + count as usize >= MAX_ADDRS {
            return Err(SourceError::TooMany(part.to_owned()));
        }
        let v4 = !part.contains(':');
        addrs.extend((first..=last).map(|bits| to_addr(bits, v4)));
    }
    let mut seen = HashSet::new();
    addrs.retain(|addr| seen.insert(*addr));
    Ok(addrs)
}

/// Checks that every address can be bound on this host.
///
/// # Errors
/// [`SourceError::NotHere`] for the first that cannot.
pub fn check_present(addrs: &[IpAddr]) -> Result<(), SourceError> {
    addrs.iter().try_for_each(|&addr| {
        TcpListener::bind((addr, 0)).map(drop).map_err(|error| SourceError::NotHere { addr, error })
    })
}

/// The ports that may be planned.
#[derive(Debug, Clone)]
pub struct PortSpace {
    /// The kernel's own range for outgoing connections (`ip_local_port_range`): used first.
    local_range: RangeInclusive<u16>,
    /// Ports that the administrator keeps for others (`ip_local_reserved_ports`): never used.
    reserved: Vec<RangeInclusive<u16>>,
}

impl PortSpace {
    /// A space from the two kernel settings.
    #[must_use]
    pub fn new(local_range: RangeInclusive<u16>, reserved: Vec<RangeInclusive<u16>>) -> Self {
        Self { local_range, reserved }
    }

    /// The space that this host's kernel is set to.
    ///
    /// # Errors
    /// [`SourceError::Proc`] when a setting cannot be read or understood.
    pub fn of_this_host() -> Result<Self, SourceError> {
        const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
        const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
        let local_range = parse_proc(RANGE, |text| {
            let mut bounds = text.split_whitespace().map(str::parse::<u16>);
            Some(bounds.next()?.ok()?..=bounds.next()?.ok()?)
        })?;
        let reserved = parse_proc(RESERVED, parse_reserved)?;
        Ok(Self::new(local_range, reserved))
    }

    /// Usable ports of the kernel's range, and those beyond it.
    fn ports(&self, remote_port: u16) -> (Vec<u16>, Vec<u16>) {
        let usable = |port: &u16| *port != remote_port && !self.reserved.iter().any(|range| range.contains(port));
        let inside = self.local_range.clone().filter(usable).collect();
        let outside = (FIRST_USER_PORT..=u16::MAX).filter(|port| !self.local_range.contains(port)).filter(usable);
        (inside, outside.collect())
    }
}

/// What a plan is for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The destination.
    pub remote: SocketAddr,
    /// Connections that will be open at the same time.
    pub connections: usize,
    /// The source addresses given by the user; empty: chosen by [`plan`].
    pub addrs: &'a [IpAddr],
    /// Among how many event loops the pairs are divided.
    pub workers: usize,
    /// Where in the port range to start, so that several processes do not all try the same ports first.
    pub rotation: usize,
    /// Pairs that are taken already.
    pub occupied: &'a Occupied,
}

/// A plan for one destination, divided among the workers.
#[derive(Debug)]
pub struct Planned {
    /// One plan per worker; no pair is in two of them.
    pub workers: Vec<SourcePlan>,
    /// Whether ports outside the kernel's `ip_local_port_range` had to be included.
    pub beyond_local_range: bool,
    /// Source addresses in use.
    pub addrs: Vec<IpAddr>,
    /// Pairs that can be planned: of the addresses in use, all ports that nobody holds.
    pub free: usize,
}

/// Plans pairs for `wanted`.
///
/// Given source addresses share the connections evenly, client by client. Without any, a loopback destination is
/// reached from 127.0.0.1 and, when its ports are used up, from 127.0.0.2 and so on; any other destination from the
/// address that the kernel's routing table chooses.
///
/// # Errors
/// A shortage of pairs, addresses of the wrong family, or a destination without a route.
pub fn plan(wanted: &Wanted, space: &PortSpace) -> Result<Planned, SourceError> {
    let (mut ports, outside) = space.ports(wanted.remote.port());
    let (addrs, order) = choose_addrs(wanted, ports.len())?;
    if let Some(addr) = addrs.iter().find(|addr| addr.is_ipv4() != wanted.remote.is_ipv4()) {
        return Err(SourceError::WrongFamily { addr: *addr, remote: wanted.remote });
    }
    if !ports.is_empty() {
        let rotation = wanted.rotation % ports.len();
        ports.rotate_left(rotation);
    }
    let beyond_local_range =
        addrs.len() * ports.len() - count_taken(wanted.occupied, &addrs, &ports) < wanted.connections;
    if beyond_local_range {
        ports.extend(outside);
    }
    let taken = count_taken(wanted.occupied, &addrs, &ports);
    let free = addrs.len() * ports.len() - taken;
    if free < wanted.connections {
        let (wanted, remote) = (wanted.connections, wanted.remote);
        return Err(SourceError::Shortage { wanted, remote, addrs: addrs.len(), ports: ports.len(), taken });
    }
    let ports: Arc<[u16]> = ports.into();
    let occupied = Arc::new(wanted.occupied.clone());
    let worker = |index| SourcePlan {
        cursors: addrs.iter().map(|&addr| Cursor { addr, next: index }).collect(),
        ports: ports.clone(),
        step: wanted.workers,
        order,
        turn: 0,
        returned: VecDeque::new(),
        skipped: 0,
        occupied: occupied.clone(),
    };
    Ok(Planned { workers: (0..wanted.workers).map(worker).collect(), beyond_local_range, addrs: addrs.clone(), free })
}

/// One worker's share of the pairs for one destination.
#[derive(Debug)]
pub struct SourcePlan {
    cursors: Vec<Cursor>,
    ports: Arc<[u16]>,
    step: usize,
    order: Order,
    turn: usize,
    /// Pairs of ended connections, used again when the fresh ones run out.
    returned: VecDeque<SocketAddr>,
    skipped: u64,
    /// Pairs that were taken before the run: not worth a system call each.
    occupied: Arc<Occupied>,
}

/// The walk through the ports of one address.
#[derive(Debug)]
struct Cursor {
    addr: IpAddr,
    next: usize,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    /// All addresses in turn.
    RoundRobin,
    /// An address after the other.
    OneByOne,
}

impl SourcePlan {
    /// The next pair; `None` when all are used.
    pub fn next_pair(&mut self) -> Option<SocketAddr> {
        loop {
            let pair = self.next_of_all()?;
            if !self.occupied.blocks(&pair) {
                return Some(pair);
            }
        }
    }

    fn next_of_all(&mut self) -> Option<SocketAddr> {
        for _ in 0..self.cursors.len() {
            let cursor = &mut self.cursors[self.turn];
            let port = self.ports.get(cursor.next).copied();
            if port.is_some() {
                cursor.next += self.step;
            }
            let pair = port.map(|port| SocketAddr::new(cursor.addr, port));
            if port.is_none() || matches!(self.order, Order::RoundRobin) {
                self.turn = (self.turn + 1) % self.cursors.len();
            }
            if pair.is_some() {
                return pair;
            }
        }
        self.returned.pop_front()
    }

    /// Takes back the pair of a connection that ended.
    pub fn give_back(&mut self, pair: SocketAddr) {
        self.returned.push_back(pair);
    }

    /// Pairs that were planned but found in use by somebody else.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Starts a connection to `remote` from the next pair that is free.
    ///
    /// # Errors
    /// `AddrNotAvailable` when the pairs are used up; otherwise what `socket`, `bind` or `connect` said, with the pair
    /// given back.
    pub fn connect(&mut self, remote: SocketAddr) -> io::Result<(Connect, SocketAddr)> {
        loop {
            let pair = self.next_pair().ok_or(io::ErrorKind::AddrNotAvailable)?;
            match socket::connect_from(pair, remote) {
                Ok(connect) => return Ok((connect, pair)),
                Err(socket::ConnectError::PairInUse) => self.skipped += 1,
                Err(socket::ConnectError::Other(error)) => {
                    self.give_back(pair);
                    return Err(error);
                }
            }
        }
    }
}

/// Pairs of these addresses and ports that are taken.
fn count_taken(occupied: &Occupied, addrs: &[IpAddr], ports: &[u16]) -> usize {
    let taken: Vec<&SocketAddr> =
        occupied.in_use.iter().chain(&occupied.time_wait).filter(|pair| occupied.blocks(pair)).collect();
    if taken.is_empty() {
        return 0;
    }
    let (addrs, ports): (HashSet<_>, HashSet<_>) = (addrs.iter().collect(), ports.iter().copied().collect());
    taken.iter().filter(|pair| addrs.contains(&pair.ip()) && ports.contains(&pair.port())).count()
}

fn choose_addrs(wanted: &Wanted, ports: usize) -> Result<(Vec<IpAddr>, Order), SourceError> {
    let remote = wanted.remote;
    if !wanted.addrs.is_empty() {
        return Ok((wanted.addrs.to_vec(), Order::RoundRobin));
    }
    if remote.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST) {
        return Ok((vec![remote.ip()], Order::OneByOne));
    }
    if remote.ip().is_loopback() {
        // One address more than the ports demand, as some ports will turn out to be in use.
        let needed = wanted.connections + wanted.occupied.in_use.len() + wanted.occupied.time_wait.len();
        let count = needed.div_ceil(ports.max(1)).min(MAX_ADDRS) as u32 + 1;
        let addr = |index| IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + index));
        return Ok(((0..count).map(addr).collect(), Order::OneByOne));
    }
    let addr = route_source(remote).map_err(|error| SourceError::NoRoute { remote, error })?;
    Ok((vec![addr], Order::OneByOne))
}

/// The source address that the kernel would choose for `remote`. Connecting a UDP socket asks the routing table without
/// sending anything.
fn route_source(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// The addresses of an interface that sources can be taken from; none when there is no such interface.
fn interface_addrs(name: &str) -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let addrs = interfaces.filter(|interface| interface.interface_name == name).filter_map(|interface| {
        let addr = interface.address?;
        let v4 = addr.as_sockaddr_in().map(|addr| IpAddr::V4(addr.ip()));
        v4.or_else(|| addr.as_sockaddr_in6().map(|addr| IpAddr::V6(addr.ip())))
    });
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addrs.partition(IpAddr::is_ipv4);
    let global = v6.into_iter().filter(|addr| !matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local()));
    if v4.is_empty() { global.collect() } else { v4 }
}

fn interface_names() -> String {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return "unknown".to_owned() };
    let names: std::collections::BTreeSet<String> = interfaces.map(|interface| interface.interface_name).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// First and last address of one part of a list, as numbers.
fn parse_part(part: &str) -> Option<(u128, u128)> {
    if let Some((network, bits)) = part.split_once('/') {
        return network_bounds(network.parse().ok()?, bits.parse().ok()?);
    }
    let Some((first, last)) = part.split_once('-') else {
        let addr = to_bits(part.parse().ok()?);
        return Some((addr, addr));
    };
    let first: IpAddr = first.parse().ok()?;
    let last: IpAddr = last.parse().ok().or_else(|| {
        let (head, _) = part.split_once('-')?.0.rsplit_once('.')?;
        format!("{head}.{last}").parse().ok()
    })?;
    (first.is_ipv4() == last.is_ipv4()).then_some((to_bits(first), to_bits(last)))
}

fn network_bounds(addr: IpAddr, prefix: u32) -> Option<(u128, u128)> {
    let width = if addr.is_ipv4() { 32 } else { 128 };
    let host_bits = u32::checked_sub(width, prefix)?;
    let hosts = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
    let (first, last) = (to_bits(addr) & !hosts, to_bits(addr) | hosts);
    // The first and the last address of an IPv4 network are not for hosts; networks of one or two have no such.
    Some(if addr.is_ipv4() && host_bits >= 2 { (first + 1, last - 1) } else { (first, last) })
}

fn to_bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

fn to_addr(bits: u128, v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::from_bits(bits as u32).into() } else { Ipv6Addr::from_bits(bits).into() }
}

fn parse_proc<T>(path: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, SourceError> {
    let text = std::fs::read_to_string(path).map_err(|error| SourceError::Proc { path, error })?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("cannot make sense of `{}`", text.trim()));
    parse(&text).ok_or_else(|| SourceError::Proc { path, error: malformed() })
}

/// The kernel's list form: `8080,9000-9010`.
fn parse_reserved(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter(|text| !text.is_empty()).map(part).collect()
}

/// Ports below this are for privileged services.
const FIRST_USER_PORT: u16 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(list: &str) -> Vec<String> {
        parse_list(list).unwrap().iter().map(ToString::to_string).collect()
    }

    fn wanted(remote: &str, connections: usize, addrs: &[IpAddr]) -> Planned {
        let remote = remote.parse().unwrap();
        let occupied = &Occupied::default();
        plan(&Wanted { remote, connections, addrs, workers: 2, rotation: 0, occupied }, &space()).unwrap()
    }

    fn space() -> PortSpace {
        PortSpace::new(50_000..=50_009, vec![50_003..=50_003, 1_024..=49_999, 50_010..=65_000])
    }

    #[test]
    fn lists_hold_addresses_ranges_and_networks() {
        assert_eq!(addrs("172.28.130.111,172.28.130.112"), ["172.28.130.111", "172.28.130.112"]);
        assert_eq!(addrs("10.0.0.9-11, 10.0.0.10"), ["10.0.0.9", "10.0.0.10", "10.0.0.11"]);
        assert_eq!(addrs("10.0.0.255-10.0.1.1"), ["10.0.0.255", "10.0.1.0", "10.0.1.1"]);
        assert_eq!(addrs("10.1.2.3/30"), ["10.1.2.1", "10.1.2.2"]);
        assert_eq!(addrs("10.1.2.3/32,::1"), ["10.1.2.3", "::1"]);
        assert_eq!(addrs("fe80::1-fe80::3").len(), 3);
        assert_eq!(addrs("10.0.0.0/16").len(), 65_534);
    }

    #[test]
    fn lists_that_make_no_sense_are_refused_by_their_part() {
        for bad in ["", "10.0.0", "10.0.0.5-4", "10.0.0.1-::1", "10.0.0.1/33", "no-such-if0", "10.0.0.1,,10.0.0.2"] {
            assert!(matches!(parse_list(bad), Err(SourceError::NotAnAddress(_))), "{bad}");
        }
        for big in ["10.0.0.0/8", "::/0", "10.0.0.0/16,10.1.0.0/16"] {
            assert!(matches!(parse_list(big), Err(SourceError::TooMany(_))), "{big}");
        }
    }

    #[test]
    fn workers_divide_all_pairs_without_overlap() {
        let space = PortSpace::new(50_000..=50_009, vec![50_003..=50_003]);
        let sources: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let remote = "10.9.9.9:50005".parse().unwrap();
        let occupied = &Occupied::default();
        let want = Wanted { remote, connections: 16, addrs: &sources, workers: 3, rotation: 4, occupied };
        let mut planned = plan(&want, &space).unwrap();
        assert!(!planned.beyond_local_range);
        let mut pairs: Vec<SocketAddr> = Vec::new();
        for worker in &mut planned.workers {
            pairs.extend(std::iter::from_fn(|| worker.next_pair()));
        }
        assert_eq!(pairs.len(), 16, "2 addresses with 10 ports less the reserved and the destination's");
        assert_eq!(pairs[0].to_string(), "10.0.0.1:50006", "the rotation decides where it starts");
        assert_eq!(pairs[1].to_string(), "10.0.0.2:50006", "given addresses take turns");
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), 16);
        assert!(pairs.iter().all(|pair| ![50_003, 50_005].contains(&pair.port())));
    }

    #[test]
    fn loopback_takes_further_addresses_as_needed() {
        let mut planned = wanted("127.0.0.1:1883", 20, &[]);
        assert_eq!(planned.addrs.len(), 4, "3 for 20 connections over 9 ports, and a spare one");
        let first: Vec<_> = std::iter::from_fn(|| planned.workers[0].next_pair()).map(|pair| pair.ip()).collect();
        assert_eq!(first.len(), 20);
        assert!(first.is_sorted(), "an address after the other");
        assert_eq!(wanted("[::1]:1883", 5, &[]).addrs, [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }

    #[test]
    fn ports_beyond_the_kernel_range_come_last_and_a_shortage_is_an_error() {
        let source = ["10.0.0.1".parse().unwrap()];
        let planned = wanted("10.9.9.9:1883", 500, &source);
        assert!(planned.beyond_local_range);
        let unoccupied = Occupied::default();
        let want = |addrs| Wanted {
            remote: "10.9.9.9:1883".parse().unwrap(),
            connections: 600,
            addrs,
            workers: 1,
            rotation: 0,
            occupied: &unoccupied,
        };
        let error = plan(&want(&source), &space()).unwrap_err().to_string();
        assert!(error.contains("600 connections") && error.contains("give 544"), "{error}");
        let error = plan(&want(&[Ipv6Addr::LOCALHOST.into()]), &space()).unwrap_err();
        assert!(matches!(error, SourceError::WrongFamily { .. }), "{error}");
    }

    #[test]
    fn reserved_ports_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_reserved("\n"), Some(vec![]));
        assert_eq!(parse_reserved("8080,9000-9010\n"), Some(vec![8080..=8080, 9000..=9010]));
        assert_eq!(parse_reserved("x"), None);
        assert!(!PortSpace::of_this_host().unwrap().ports(1883).0.is_empty());
    }

    #[test]
    fn taken_pairs_are_not_planned_and_count_in_a_shortage() {
        let source: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap()];
        let pair = |port| SocketAddr::new(source[0], port);
        let mut occupied = Occupied::default();
        occupied.in_use.insert(pair(50_001));
        occupied.time_wait.insert(pair(50_002));
        occupied.in_use.insert("10.0.0.77:50004".parse().unwrap());
        let space = PortSpace::new(50_000..=50_009, vec![1_024..=49_999, 50_010..=65_535]);
        let plan_for = |connections, occupied: &Occupied| {
            let remote = "10.9.9.9:1883".parse().unwrap();
            plan(&Wanted { remote, connections, addrs: &source, workers: 1, rotation: 0, occupied }, &space)
        };
        let mut planned = plan_for(8, &occupied).unwrap();
        assert_eq!(planned.free, 8);
        let ports: Vec<u16> = std::iter::from_fn(|| planned.workers[0].next_pair()).map(|pair| pair.port()).collect();
        assert_eq!(ports, [50_000, 50_003, 50_004, 50_005, 50_006, 50_007, 50_008, 50_009]);
        let error = plan_for(9, &occupied).unwrap_err().to_string();
        assert!(error.contains("give 8, as 2 are taken") && error.contains("add 1 source address"), "{error}");
        occupied.reuse = true;
        assert_eq!(plan_for(9, &occupied).unwrap().free, 9, "a pair in TIME_WAIT may be taken over");
    }

    #[test]
    fn an_interface_stands_for_its_addresses() {
        assert_eq!(addrs("lo")[0], "127.0.0.1");
        assert_eq!(addrs("lo,127.0.0.9").last().unwrap(), "127.0.0.9");
    }

    #[test]
    fn returned_pairs_are_used_again_after_the_fresh_ones() {
        let planned = &mut wanted("127.0.0.1:1883", 4, &[]).workers[1];
        let first = planned.next_pair().unwrap();
        planned.give_back(first);
        let rest: Vec<_> = std::iter::from_fn(|| planned.next_pair()).collect();
        assert_eq!(rest.last(), Some(&first));
        assert_eq!(planned.next_pair(), None);
    }
}
