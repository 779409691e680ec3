//! What can happen, and random lists of it. Every operation makes sense in every state, so that any of them can be left
//! out: one that needs a connection does nothing where there is none.

use conformance::wire::Version;

/// Clients that take part.
pub(super) const CLIENTS: usize = 6;

/// One operation.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Connects, and so takes over when the client is connected already.
    Connect(usize, Terms),
    /// Ends the connection by DISCONNECT.
    Disconnect(usize, Parting),
    /// Ends the connection without.
    Vanish(usize),
    Subscribe(usize, Wish),
    Unsubscribe(usize, &'static str),
    Publish(usize, Note),
    /// Publishes at QoS 2, up to PUBREC.
    Begin(usize, Note),
    /// Goes on with what was begun, by a PUBLISH with DUP, whatever has happened to the connection since.
    Finish(usize),
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
    pub(super) will: Option<WillNote>,
}

/// A will.
#[derive(Clone, Copy, Debug)]
pub(super) struct WillNote {
    pub(super) topic: &'static str,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// In 5.0: it waits for the end of the session.
    pub(super) delayed: bool,
}

/// How a client takes its leave. All the same in 3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    Plain,
    /// With the reason code that has the will published.
    WithWill,
    /// With a Session Expiry Interval of 0.
    Forget,
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
    /// The following in 5.0 only: a Message Expiry Interval that nobody lives to see the end of,
    pub(super) expires: bool,
    /// and a User Property.
    pub(super) user: bool,
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
/// Clients from this one on never set a Receive Maximum, and are in groups: what another member of a group gets would
/// otherwise decide on how much of the rest is under way.
const UNLIMITED: usize = 2;
/// The shared subscriptions of the members of two groups. A member gets a message as one of them only: that it has
/// received it as one and not as the other could not be told.
const SHARED: [[&str; 2]; 2] = [["$share/g/a/#", "$share/g/b"], ["$share/h/a/+", "$share/h/b"]];
/// Topics of messages without payload, which no group gets, for the same reason.
const CLEARED: [&str; 2] = ["b/b", "/"];

/// A list of operations. The same seed gives the same list.
pub(super) fn generate(seed: u64, count: usize) -> Vec<Op> {
    let mut random = Random(seed);
    let mut list: Vec<Op> = (0..CLIENTS).map(|client| Op::Connect(client, random.terms(client))).collect();
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

    fn terms(&mut self, client: usize) -> Terms {
        let version = self.pick(&Version::ALL);
        let clean = self.one_in(4);
        let keep = if version == Version::V5 { !self.one_in(4) } else { !clean };
        let limited = version == Version::V5 && client < UNLIMITED && self.one_in(2);
        let maximum = limited.then(|| 1 + self.below(3) as u16);
        let will = self.one_in(3).then(|| WillNote {
            topic: self.pick(&TOPICS),
            qos: self.below(3) as u8,
            retain: self.one_in(3),
            delayed: version == Version::V5 && self.one_in(2),
        });
        Terms { version, clean, keep, maximum, will }
    }

    fn filter(&mut self, client: usize) -> &'static str {
        if client >= UNLIMITED && self.one_in(4) { self.pick(&SHARED[client % 2]) } else { self.pick(&FILTERS) }
    }

    fn wish(&mut self, client: usize, at: usize) -> Wish {
        Wish {
            filter: self.filter(client),
            qos: self.below(3) as u8,
            no_local: self.one_in(4),
            as_published: self.one_in(3),
            handling: self.below(3) as u8,
            id: if self.one_in(3) { 1 + at as u32 } else { 0 },
        }
    }

    fn note(&mut self) -> Note {
        let empty = self.one_in(8);
        Note {
            topic: if empty { self.pick(&CLEARED) } else { self.pick(&TOPICS) },
            qos: self.below(3) as u8,
            retain: self.one_in(4),
            empty,
            repeat: self.one_in(3),
            expires: self.one_in(4),
            user: self.one_in(4),
        }
    }

    fn op(&mut self, at: usize) -> Op {
        let client = self.below(CLIENTS);
        match self.below(100) {
            0..10 => Op::Connect(client, self.terms(client)),
            10..14 => Op::Disconnect(
                client,
                self.pick(&[Parting::Plain, Parting::WithWill, Parting::WithWill, Parting::Forget]),
            ),
            14..20 => Op::Vanish(client),
            20..38 => Op::Subscribe(client, self.wish(client, at)),
            38..44 => Op::Unsubscribe(client, self.filter(client)),
            44..48 => Op::Begin(client, Note { qos: 2, ..self.note() }),
            48..54 => Op::Finish(client),
            54..86 => Op::Publish(client, self.note()),
            86..95 => Op::Acknowledge(client, self.pick(&[Manner::Fully, Manner::Half, Manner::Not])),
            _ => Op::Settle,
        }
    }
}
