//! Which source pairs towards a destination are taken already, by whatever process of this network namespace.
//!
//! The list comes from `/proc/net/tcp` and `/proc/net/tcp6`. Reading it costs about 3 µs per socket of the host, so it is
//! read once, before a run, and not at all where the host holds more sockets than [`SOCKETS_MAX`].

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// From so many TCP sockets on (in use or in `TIME_WAIT`), looking at each would take longer than a start may.
pub const SOCKETS_MAX: u64 = 300_000;

/// The taken pairs towards one destination.
#[derive(Debug, Default, Clone)]
pub struct Occupied {
    /// Pairs of connections that exist: they cannot be planned.
    pub in_use: HashSet<SocketAddr>,
    /// Pairs of connections that have ended and wait in `TIME_WAIT`.
    pub time_wait: HashSet<SocketAddr>,
    /// Whether the kernel lets a new connection take over a pair in `TIME_WAIT` (`tcp_tw_reuse`).
    pub reuse: bool,
    /// Whether the host has too many sockets to look at each; then both sets are empty.
    pub unknown: bool,
}

impl Occupied {
    /// What is taken towards `remote` now.
    ///
    /// # Errors
    /// The kernel's tables cannot be read.
    pub fn towards(remote: SocketAddr) -> io::Result<Self> {
        let reuse = fs::read_to_string("/proc/sys/net/ipv4/tcp_tw_reuse").unwrap_or_default();
        let mut occupied = Self { reuse: may_reuse(&reuse, remote.ip()), ..Self::default() };
        if socket_count(&fs::read_to_string("/proc/net/sockstat")?) > SOCKETS_MAX {
            occupied.unknown = true;
            return Ok(occupied);
        }
        // An IPv4 connection of a socket made for both families stands in the table of IPv6.
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            match fs::read_to_string(table) {
                Ok(text) => occupied.read_table(&text, remote),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(occupied)
    }

    /// Whether a pair cannot be used at all now.
    #[must_use]
    pub fn blocks(&self, pair: &SocketAddr) -> bool {
        self.in_use.contains(pair) || !self.reuse && self.time_wait.contains(pair)
    }

    fn read_table(&mut self, text: &str, remote: SocketAddr) {
        for line in text.lines().skip(1) {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (Some(local), Some(peer), Some(state)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            if parse_addr(peer) != Some(remote) {
                continue;
            }
            let Some(local) = parse_addr(local) else { continue };
            let set = if state == TIME_WAIT { &mut self.time_wait } else { &mut self.in_use };
            set.insert(local);
        }
    }
}

/// 1: always, 2 (the default since Linux 4.19): on loopback, 0: never.
fn may_reuse(setting: &str, remote: IpAddr) -> bool {
    match setting.trim() {
        "1" => true,
        "2" => remote.is_loopback(),
        _ => false,
    }
}

fn socket_count(sockstat: &str) -> u64 {
    let number_after = |key: &str| {
        let line = sockstat.lines().find(|line| line.starts_with("TCP:"))?;
        line.split_ascii_whitespace().skip_while(|word| *word != key).nth(1)?.parse().ok()
    };
    number_after("inuse").unwrap_or(0) + number_after("tw").unwrap_or(0)
}

/// `0100007F:075B`: the address as native words in hexadecimal, the port in hexadecimal.
fn parse_addr(text: &str) -> Option<SocketAddr> {
    let (addr, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(addr.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let addr: IpAddr = match addr.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let addr = Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?);
            addr.to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(addr, port))
}

/// The state as the tables write it.
const TIME_WAIT: &str = "06";

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:8000 0100007F:075B 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 0200007F:8001 0100007F:075B 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   2: 0100007F:8002 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   3: 0000000000000000FFFF00000300007F:8003 0000000000000000FFFF00000100007F:075B 01 0:0 0:0 0 0 0 1
   broken
";

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_are_read_for_one_destination() {
        let mut occupied = Occupied::default();
        occupied.read_table(TABLE, "127.0.0.1:1883".parse().unwrap());
        let pairs = |set: &HashSet<SocketAddr>| {
            let mut pairs: Vec<_> = set.iter().map(ToString::to_string).collect();
            pairs.sort_unstable();
            pairs
        };
        assert_eq!(pairs(&occupied.in_use), ["127.0.0.1:32768", "127.0.0.3:32771"]);
        assert_eq!(pairs(&occupied.time_wait), ["127.0.0.2:32769"]);
        let waiting = "127.0.0.2:32769".parse().unwrap();
        assert!(occupied.blocks(&waiting));
        occupied.reuse = true;
        assert!(!occupied.blocks(&waiting) && occupied.blocks(&"127.0.0.1:32768".parse().unwrap()));
    }

    #[test]
    fn settings_and_counts() {
        let loopback = Ipv4Addr::LOCALHOST.into();
        let other = Ipv4Addr::new(10, 0, 0, 1).into();
        assert!(may_reuse("2\n", loopback) && !may_reuse("2\n", other) && may_reuse("1\n", other));
        assert!(!may_reuse("0\n", loopback) && !may_reuse("", loopback));
        assert_eq!(socket_count("sockets: used 9\nTCP: inuse 7 orphan 0 tw 5 alloc 8 mem 1\nUDP: inuse 3\n"), 12);
    }
}
