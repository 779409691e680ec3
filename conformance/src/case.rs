//! What a case is, and what it works with.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::client::{Client, Outcome};
use crate::received::{ConnAck, Incoming};
use crate::wire::{Connect, Publish, Version};

/// One behaviour of a server, as the specification demands or allows it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The part of the protocol.
    pub area: &'static str,
    /// Unique in its area.
    pub name: &'static str,
    /// One sentence for people.
    pub about: &'static str,
    /// Statements of 3.1.1 that the case shows; none: the case does not run in that version. A statement is written
    /// without its `MQTT-`; what has no number of its own stands as a section, `§4.13`.
    pub v311: &'static [&'static str],
    /// Statements of 5.0.
    pub v5: &'static [&'static str],
    /// Whether a server may do otherwise and conform.
    pub optional: bool,
    /// The case.
    pub run: fn(&Lab) -> Outcome,
}

/// A case in one version.
#[derive(Clone, Copy, Debug)]
pub struct Instance {
    /// The case.
    pub case: &'static Case,
    /// The version.
    pub version: Version,
}

impl Case {
    /// A case that runs in no version yet.
    pub(crate) const fn new(
        area: &'static str,
        name: &'static str,
        about: &'static str,
        run: fn(&Lab) -> Outcome,
    ) -> Self {
        Self { area, name, about, v311: &[], v5: &[], optional: false, run }
    }

    /// Statements of 3.1.1.
    pub(crate) const fn v311(mut self, statements: &'static [&'static str]) -> Self {
        self.v311 = statements;
        self
    }

    /// Statements of 5.0.
    pub(crate) const fn v5(mut self, statements: &'static [&'static str]) -> Self {
        self.v5 = statements;
        self
    }

    /// A server may do otherwise.
    pub(crate) const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The statements that the case shows in a version.
    #[must_use]
    pub fn statements(&self, version: Version) -> &'static [&'static str] {
        if version == Version::V5 { self.v5 } else { self.v311 }
    }

    /// The case in the versions in which it runs.
    pub fn instances(&'static self) -> impl Iterator<Item = Instance> {
        let runs = Version::ALL.into_iter().filter(|version| !self.statements(*version).is_empty());
        runs.map(move |version| Instance { case: self, version })
    }
}

impl Instance {
    /// The statements that it shows.
    #[must_use]
    pub fn statements(&self) -> &'static [&'static str] {
        self.case.statements(self.version)
    }
}

impl fmt::Display for Instance {
    /// `connect/second-connect (5.0) [MQTT-3.1.0-2]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.case.area, self.case.name, self.version)?;
        self.statements().iter().try_for_each(|id| write!(f, " [{}]", full_id(id)))
    }
}

/// `MQTT-3.1.0-2` for `3.1.0-2`; sections stay as they are.
#[must_use]
pub fn full_id(statement: &str) -> String {
    if statement.starts_with('§') { statement.to_owned() } else { format!("MQTT-{statement}") }
}

/// What one run of a case works with: the server, and names that no other run uses.
#[derive(Debug)]
pub struct Lab {
    /// The version to speak.
    pub version: Version,
    target: SocketAddr,
    patience: Duration,
    unique: String,
    /// Messages that [`reached`](Self::reached) has sent.
    marks: Cell<u32>,
    /// Client identifiers whose sessions are to be ended afterwards.
    sessions: RefCell<Vec<String>>,
    /// Topics whose retained messages are to be removed afterwards.
    retained: RefCell<Vec<String>>,
}

impl Lab {
    /// `unique`: letters and digits that no other run of a case uses, at most 12.
    #[must_use]
    pub fn new(target: SocketAddr, version: Version, patience: Duration, unique: String) -> Self {
        Self {
            version,
            target,
            patience,
            unique,
            marks: Cell::new(0),
            sessions: RefCell::default(),
            retained: RefCell::default(),
        }
    }

    /// The same server and the same names, for a case in which both versions meet.
    #[must_use]
    pub fn twin(&self, version: Version) -> Self {
        Self::new(self.target, version, self.patience, self.unique.clone())
    }

    /// Whether properties and reason codes are spoken.
    #[must_use]
    pub fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// A client identifier of this run: letters and digits, no more than 23 (section 3.1.3.1).
    #[must_use]
    pub fn id(&self, name: &str) -> String {
        format!("{}{name}", self.unique)
    }

    /// A topic of this run.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.unique)
    }

    /// A topic of this run whose retained message is removed afterwards.
    #[must_use]
    pub fn retained_topic(&self, name: &str) -> String {
        let topic = self.topic(name);
        self.retained.borrow_mut().push(topic.clone());
        topic
    }

    /// Whether a topic is of this run: who subscribes to `#` sees those of others too.
    #[must_use]
    pub fn is_own(&self, topic: &str) -> bool {
        topic.contains(&self.unique)
    }

    /// A CONNECT with an identifier of this run.
    #[must_use]
    pub fn connect(&self, name: &str) -> Connect {
        Connect::new(self.version, self.id(name))
    }

    /// A QoS 0 PUBLISH.
    #[must_use]
    pub fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Publish {
        Publish::new(self.version, topic, payload)
    }

    /// A TCP connection on which nothing was sent.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn open(&self, name: &str) -> Outcome<Client> {
        Client::open(name, self.target, self.version, self.patience)
    }

    /// A connection whose CONNECT was accepted.
    ///
    /// # Errors
    /// When it was not.
    pub fn accepted(&self, name: &str, connect: &Connect) -> Outcome<(Client, ConnAck)> {
        if !connect.clean || !connect.properties.is_empty() {
            self.sessions.borrow_mut().push(connect.client_id.clone());
        }
        let mut client = self.open(name)?;
        client.send(&connect.bytes());
        let packet = client.next("CONNACK")?;
        let connack = client.read("CONNACK", packet.connack(self.version))?;
        client.check(connack.reason == 0, "CONNACK with success", format!("{connack:?}"))?;
        Ok((client, connack))
    }

    /// A clean connection.
    ///
    /// # Errors
    /// When it was not accepted.
    pub fn client(&self, name: &str) -> Outcome<Client> {
        Ok(self.accepted(name, &self.connect(name))?.0)
    }

    /// A connection with a session that outlives it.
    ///
    /// # Errors
    /// When it was not accepted.
    pub fn persistent(&self, name: &str) -> Outcome<(Client, ConnAck)> {
        self.accepted(name, &self.connect(name).persistent(600))
    }

    /// A clean connection with one subscription.
    ///
    /// # Errors
    /// When either was not accepted.
    pub fn subscriber(&self, name: &str, filter: &str, options: u8) -> Outcome<Client> {
        let mut client = self.client(name)?;
        client.subscribe(filter, options)?;
        Ok(client)
    }

    /// Everything that reached `subscriber` of what `publisher` has published so far, not acknowledged: a message that
    /// `publisher` sends now follows all of it.
    ///
    /// # Errors
    /// When that message does not arrive.
    pub fn reached(&self, publisher: &mut Client, subscriber: &mut Client) -> Outcome<Vec<Incoming>> {
        self.marks.set(self.marks.get() + 1);
        let (topic, mark) = (self.topic("mark"), self.marks.get().to_string());
        subscriber.subscribe(&topic, 0)?;
        publisher.publish(&self.publish(&topic, mark.as_str()))?;
        let mut reached = Vec::new();
        loop {
            let message = subscriber.incoming("the message published last")?;
            if message.topic != topic {
                reached.push(message);
            } else if message.payload == mark.as_bytes() {
                return Ok(reached);
            }
        }
    }

    /// Nothing of what `publisher` has published so far has reached `subscriber`.
    ///
    /// # Errors
    /// When something has.
    pub fn nothing_reached(&self, publisher: &mut Client, subscriber: &mut Client, wanted: &str) -> Outcome {
        let reached = self.reached(publisher, subscriber)?;
        subscriber.check(reached.is_empty(), format!("nothing: {wanted}"), format!("{reached:?}"))
    }

    /// Ends the sessions and removes the retained messages that the run has left behind.
    pub fn clean_up(&self) {
        let sessions = self.sessions.take();
        let retained = self.retained.take();
        if retained.is_empty() && sessions.is_empty() {
            return;
        }
        // What cannot be cleaned up does no harm to the other cases.
        for id in sessions {
            if let Ok((client, _)) = self.accepted("cleaner", &Connect::new(Version::V311, id).clean(true)) {
                let _ = client.disconnect();
            }
        }
        if retained.is_empty() {
            return;
        }
        if let Ok(mut client) = self.client("cleaner") {
            for topic in retained {
                let _ = client.publish(&self.publish(&topic, "").retain().qos(1, 0));
            }
            let _ = client.disconnect();
        }
    }
}
