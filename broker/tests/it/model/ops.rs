//! What can happen, and random lists of it. Every operation makes sense in every state, so that any of them can be left
//! out: one that needs a connection does nothing where there is none.

use conformance::wire::Version;

/// Clients that take part.
pub(super) const CLIENTS: usize = 5;

/// One operation.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Connects, and so takes over when the client is connected already.
    Connect(usize, Terms),
    /// Ends the connection by DISCONNECT.
    Disconnect(usize),
    /// Ends the connection without.
    Vanish(usize),
    Subscribe(usize, Wish),
    Unsubscribe(usize, &'static str),
    Publish(usize, Note),
    /// From here on the client acknowledges like this; what it owes under the new rule it sends at once.
    Acknowledge(usize, Manner),
    /// Everybody reads everything.
    Settle,
}

/// How to connect.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) version: Version,
    pub(super) clean: bool,
    /// The session outlives the connection. In 3.1.1 the opposite of `clean`.
    pub(super) keep: bool,
    /// Receive Maximum, in 5.0.
    pub(super) maximum: Option<u16>,
    pub(super) will: Option<(&'static str, u8)>,
}

/// What to subscribe to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) filter: &'static str,
    pub(super) qos: u8,
    /// The following in 5.0 only.
    pub(super) no_local: bool,
    pub(super) as_published: bool,
    pub(super) handling: u8,
    /// Subscription identifier, 0 for none.
    pub(super) id: u32,
}

/// What to publish. The payload is made from the operation's place, and so unique.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) topic: &'static str,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) empty: bool,
    /// A QoS 2 PUBLISH is sent again before its PUBREL.
    pub(super) repeat: bool,
}

/// How a client acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Fully,
    /// PUBACK and PUBREC, but no PUBCOMP.
    Half,
    Not,
}

pub(super) const TOPICS: [&str; 6] = ["a", "b", "a/b", "b/b", "a/b/c", "/"];
const FILTERS: [&str; 9] = ["a", "b", "+", "a/+", "+/b", "#", "a/#", "+/+/c", "/"];

/// A list of operations. The same seed gives the same list.
pub(super) fn generate(seed: u64, count: usize) -> Vec<Op> {
    let mut random = Random(seed);
    let mut list: Vec<Op> = (0..CLIENTS).map(|client| Op::Connect(client, random.terms())).collect();
    list.extend((0..count).map(|at| random.op(at)));
    list
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn terms(&mut self) -> Terms {
        let version = self.pick(&Version::ALL);
        let clean = self.one_in(4);
        let keep = if version == Version::V5 { !self.one_in(4) } else { !clean };
        let limited = version == Version::V5 && self.one_in(3);
        let maximum = limited.then(|| 1 + self.below(3) as u16);
        let will = self.one_in(3).then(|| (self.pick(&TOPICS), self.below(3) as u8));
        Terms { version, clean, keep, maximum, will }
    }

    fn op(&mut self, at: usize) -> Op {
        let client = self.below(CLIENTS);
        match self.below(100) {
            0..12 => Op::Connect(client, self.terms()),
            12..16 => Op::Disconnect(client),
            16..22 => Op::Vanish(client),
            22..40 => Op::Subscribe(
                client,
                Wish {
                    filter: self.pick(&FILTERS),
                    qos: self.below(3) as u8,
                    no_local: self.one_in(4),
                    as_published: self.one_in(3),
                    handling: self.below(3) as u8,
                    id: if self.one_in(3) { 1 + at as u32 } else { 0 },
                },
            ),
            40..46 => Op::Unsubscribe(client, self.pick(&FILTERS)),
            46..84 => Op::Publish(
                client,
                Note {
                    topic: self.pick(&TOPICS),
                    qos: self.below(3) as u8,
                    retain: self.one_in(4),
                    empty: self.one_in(8),
                    repeat: self.one_in(3),
                },
            ),
            84..94 => Op::Acknowledge(client, self.pick(&[Manner::Fully, Manner::Half, Manner::Not])),
            _ => Op::Settle,
        }
    }
}
