//! Who is let in: how many connections an address may have, and how fast it may open them.
//!
//! Each address is counted by the worker that it hashes to. A new connection goes there first, and from there to the
//! worker that its client belongs to. Without such limits nothing is counted and no way is made.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use hashbrown::HashTable;
use mio::net::TcpStream;
use mqtt_wire::ReasonCode;
use slab::Slab;

use super::conn::Transport;
use super::mail::{Arrival, Mail};
use super::settings::{Limits, SWEEP_ADDRESSES, TURNED_AWAY_MAX};
use super::worker::Worker;

/// Where a connection comes from: an address of IPv4, or the first 64 bits of one of IPv6, of which the rest is the
/// client's own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    V4(u32),
    V6(u64),
}

/// Names the count of an address: the worker that has it, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    worker: u16,
    slot: u32,
}

/// How a connection came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// To be told when it ends.
    pub(super) counted: Option<Counted>,
    /// Its CONNECT is answered with this.
    pub(super) refusal: Option<ReasonCode>,
}

/// The connections of the addresses that a worker counts.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    list: Slab<Address>,
    /// Places in `list`, by source.
    places: HashTable<u32>,
    /// Number of addresses from which on those are forgotten that say nothing any more.
    sweep_at: usize,
}

#[derive(Debug)]
struct Address {
    source: Source,
    connections: u32,
    /// When what it has opened so far would have been opened at the highest rate (generic cell rate algorithm).
    due_ns: u64,
}

impl Worker {
    /// Receives a connection that was accepted.
    pub(super) fn meet(&mut self, stream: TcpStream, from: SocketAddr) {
        if !self.settings.limits.counts_addresses() {
            return self.greet(stream, Entry::default());
        }
        let source = Source::of(from.ip());
        let owner = self.owner(self.hasher.hash_one(source));
        if owner != self.id {
            self.send(owner, Mail::Arrival(Box::new(Arrival { stream, source })));
        } else if let Some(entry) = self.count_in(source) {
            self.greet(stream, entry);
        }
    }

    /// Receives a connection that another worker accepted and whose address this one counts.
    pub(super) fn meet_for_peer(&mut self, arrival: Arrival) {
        if let Some(entry) = self.count_in(arrival.source) {
            // What has arrived already raises an event: registering looks at the socket.
            self.admit(Transport::Tcp(arrival.stream), entry);
        }
    }

    /// Counts a connection. `None`: it is to be closed at once.
    fn count_in(&mut self, source: Source) -> Option<Entry> {
        let entered = self.addresses.enter(source, self.now_ns, &self.settings.limits, &self.hasher);
        match entered {
            Ok(slot) => Some(Entry { counted: Some(Counted { worker: self.id, slot }), refusal: None }),
            Err(reason) => {
                if reason == ReasonCode::CONNECTION_RATE_EXCEEDED {
                    self.counters.refused_ip_rate += 1;
                } else {
                    self.counters.refused_ip_connections += 1;
                }
                tracing::debug!(?source, reason = reason.name(), "connection turned away");
                // Who waits for its CONNECT to be told holds a descriptor: not too many of them.
                let has_room = self.turned_away < TURNED_AWAY_MAX;
                has_room.then_some(Entry { counted: None, refusal: Some(reason) })
            }
        }
    }

    /// Remembers how a connection has come in.
    pub(super) fn note_entry(&mut self, conn: u32, entry: Entry) {
        if entry != Entry::default() {
            self.turned_away += usize::from(entry.refusal.is_some());
            self.entries.insert(conn, entry);
        }
    }

    /// How a connection came in that has left its slot.
    pub(super) fn take_entry(&mut self, conn: u32) -> Entry {
        if self.entries.is_empty() {
            return Entry::default();
        }
        let entry = self.entries.remove(&conn).unwrap_or_default();
        self.turned_away -= usize::from(entry.refusal.is_some());
        entry
    }

    /// A connection has ended.
    pub(super) fn count_out(&mut self, entry: Entry) {
        match entry.counted {
            Some(Counted { worker, slot }) if worker == self.id => self.addresses.leave(slot),
            Some(Counted { worker, slot }) => self.send(worker, Mail::Departure { slot }),
            None => {}
        }
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Addresses {
    /// Counts one more connection, or says why there may not be one.
    fn enter(&mut self, source: Source, now_ns: u64, limits: &Limits, hasher: &RandomState) -> Result<u32, ReasonCode> {
        let hash = hasher.hash_one(source);
        let found = self.places.find(hash, |&slot| self.list[slot as usize].source == source).copied();
        let slot = found.unwrap_or_else(|| self.insert(source, now_ns, hasher));
        let address = &mut self.list[slot as usize];
        if limits.max_connections_per_ip != 0 && address.connections >= limits.max_connections_per_ip {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        if limits.max_connect_rate_per_ip != 0 {
            let due_ns = address.due_ns.max(now_ns) + 1_000_000_000 / u64::from(limits.max_connect_rate_per_ip);
            // A second's worth may come at once.
            if due_ns - now_ns > 1_000_000_000 {
                return Err(ReasonCode::CONNECTION_RATE_EXCEEDED);
            }
            address.due_ns = due_ns;
        }
        address.connections += 1;
        Ok(slot)
    }

    fn insert(&mut self, source: Source, now_ns: u64, hasher: &RandomState) -> u32 {
        if self.list.len() >= self.sweep_at {
            self.sweep(now_ns, hasher);
            self.sweep_at = (2 * self.list.len()).max(SWEEP_ADDRESSES);
        }
        let slot = self.list.insert(Address { source, connections: 0, due_ns: 0 }) as u32;
        let list = &self.list;
        self.places.insert_unique(hasher.hash_one(source), slot, |&slot| hasher.hash_one(list[slot as usize].source));
        slot
    }

    /// Forgets addresses that have no connection and may open as many as one that was never seen.
    fn sweep(&mut self, now_ns: u64, hasher: &RandomState) {
        let Self { list, places, .. } = self;
        list.retain(|slot, address| {
            let kept = address.connections > 0 || address.due_ns > now_ns;
            if !kept && let Ok(entry) = places.find_entry(hasher.hash_one(address.source), |&at| at as usize == slot) {
                entry.remove();
            }
            kept
        });
    }

    pub(super) fn leave(&mut self, slot: u32) {
        // Cannot be missing: an address with connections is kept.
        if let Some(address) = self.list.get_mut(slot as usize) {
            address.connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limits(connections: u32, rate: u32) -> Limits {
        Limits { max_connections_per_ip: connections, max_connect_rate_per_ip: rate, ..Limits::default() }
    }

    #[test]
    fn an_address_has_its_number_and_gets_places_back() {
        let (mut addresses, hasher, limits) = (Addresses::default(), RandomState::new(), limits(2, 0));
        let mut enter = |source| addresses.enter(Source::V4(source), 0, &limits, &hasher);
        let first = enter(1).unwrap();
        assert_eq!(enter(1), Ok(first));
        assert_eq!(enter(1), Err(ReasonCode::QUOTA_EXCEEDED));
        assert!(enter(2).is_ok(), "another address");
        addresses.leave(first);
        assert_eq!(addresses.enter(Source::V4(1), 0, &limits, &hasher), Ok(first));
    }

    #[test]
    fn a_rate_allows_a_second_at_once_and_then_one_at_a_time() {
        let (mut addresses, hasher, limits) = (Addresses::default(), RandomState::new(), limits(0, 4));
        let mut enter = |now_ns| addresses.enter(Source::V6(7), now_ns, &limits, &hasher).is_ok();
        let now = 100 * SECOND;
        assert_eq!([now; 6].map(&mut enter), [true, true, true, true, false, false]);
        assert!(!enter(now + SECOND / 5) && enter(now + SECOND / 4) && !enter(now + SECOND / 4));
        assert_eq!([now + 60 * SECOND; 5].map(&mut enter), [true, true, true, true, false]);
    }

    #[test]
    fn addresses_that_say_nothing_are_forgotten() {
        let (mut addresses, hasher, limits) = (Addresses::default(), RandomState::new(), limits(1, 10));
        let stays = addresses.enter(Source::V4(0), 0, &limits, &hasher).unwrap();
        for source in 1..20 * SWEEP_ADDRESSES as u32 {
            let now_ns = u64::from(source) * SECOND;
            let slot = addresses.enter(Source::V4(source), now_ns, &limits, &hasher).unwrap();
            addresses.leave(slot);
        }
        assert!(addresses.list.len() <= 2 * SWEEP_ADDRESSES && addresses.places.len() == addresses.list.len());
        assert_eq!(addresses.list[stays as usize].connections, 1);
    }

    #[test]
    fn an_address_of_ipv6_counts_by_its_network() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:127.0.0.1"), of("127.0.0.1"));
    }
}
