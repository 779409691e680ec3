//! What one worker has done so far. A worker holds its board's lock while it works a turn; the reporter takes it for
//! the time of a copy. No lock is taken per message.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use runlog::{LedgerEntry, hlog};

/// Everything that a worker reports.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) tally: Tally,
    /// Since the reporter looked last.
    pub(crate) series: Series,
    /// Connections that ended before they were meant to, since the reporter looked last.
    pub(crate) endings: Vec<Ending>,
    /// Connection attempts that failed, by reason, since the reporter looked last.
    pub(crate) connect_failures: BTreeMap<String, u64>,
    /// Attempts that failed without being a client's last, and attempts to come back, by reason; since the reporter
    /// looked last.
    pub(crate) missed_attempts: BTreeMap<String, u64>,
    /// Bytes that broke the rules, since the reporter looked last.
    pub(crate) evidence: Vec<Evidence>,
    /// Who sent and got what; once the worker has ended.
    pub(crate) ledger: Vec<LedgerEntry>,
}

/// Bytes from the server that are not what MQTT, or the sender of a message, would have them be.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// The client's number.
    pub(crate) client: u32,
    pub(crate) reason: String,
    /// Where in the stream of the connection the offending packet begins.
    pub(crate) offset: u64,
    /// From there on; the first 64 KiB.
    pub(crate) bytes: Box<[u8]>,
}

/// A connection that ended before it was meant to.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The client's number.
    pub(crate) client: u32,
    pub(crate) reason: String,
}

macro_rules! tally {
    ($(#[$doc:meta])* sums: $($(#[$sum_doc:meta])* $sum:ident)*; maxima: $($(#[$max_doc:meta])* $max:ident)*;) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(crate) struct Tally {
            $($(#[$sum_doc])* pub(crate) $sum: u64,)*
            $($(#[$max_doc])* pub(crate) $max: u64,)*
        }

        impl Tally {
            /// Adds another worker's numbers.
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$sum += other.$sum;)*
                $(self.$max = self.$max.max(other.$max);)*
            }
        }
    };
}

tally! {
    /// Counters and gauges of a worker, or of all.
    sums:
    /// TCP connects begun.
    connect_attempted
    /// CONNACKs with code 0.
    connect_succ
    /// Attempts that ended otherwise.
    connect_fail
    /// Clients that are ready (connected, and subscribed where that is their role) or have failed to be.
    settled
    /// Connections that live now, CONNACK received (gauge).
    connected
    /// Connections ended on purpose, to come back.
    churned
    /// Storms in which a worker has let all its clients leave.
    storms
    /// Clients that did come back from that, and are ready or were.
    rejoined
    /// Clients that left on purpose, and whose attempts to come back have failed so far (gauge).
    shut_out
    /// Clients that lost their connection and became ready again.
    recovered
    /// Attempts that failed and were followed by another one.
    connect_retried
    /// Connections that came back after they were lost, or left on purpose.
    reconnect_succ
    /// Lost connections that did not, although they tried.
    reconnect_fail
    /// Clients that will try to connect again (gauge).
    returning
    /// TLS handshakes that succeeded.
    tls_handshakes
    /// Those that resumed an earlier session.
    tls_resumed
    /// SUBACKs that granted what was asked for.
    subscribed
    /// Subscriptions that were refused, or whose connection failed before.
    sub_fail
    /// Connections that ended before they were meant to, after their CONNACK.
    disconnected
    /// Messages that the plan had due.
    offered
    /// Messages encoded and given to a connection.
    attempted
    /// Messages that the kernel took whole.
    written
    /// Messages acknowledged to the end.
    acked
    /// Messages that were attempted and refused, or lost with their connection.
    pub_fail
    /// Unacknowledged messages that were sent again.
    resent
    /// Sum of the latencies that payload headers (`ts`) tell, ms.
    header_latency_ms
    /// How many those are.
    header_latencies
    /// Messages sent when the next one of their client was due already.
    overrun
    /// Offered and not attempted, because the window or the socket is full (gauge).
    waiting
    /// Attempted at QoS 1 or 2 and not acknowledged to the end (gauge).
    in_flight
    /// Attempted and not taken whole by the kernel (gauge).
    unwritten
    /// Messages received, whatever they turned out to be.
    received
    /// Bytes of their payloads.
    received_bytes
    /// Distinct messages among those that carry our stamp.
    delivered
    /// Messages that never came although a later one of their sender did.
    lost
    /// Messages that never came, and that had expired when a later one of their sender came.
    expired
    /// Further copies.
    duplicated
    /// Overtaken by a later message of their sender.
    out_of_order
    /// Payloads that carry a stamp and are whole, every byte of them checked.
    verified
    /// Payloads that one of our senders wrote and that were changed on their way.
    damaged
    /// Payloads as long as a stamp that tell of none of our senders.
    unrecognised
    /// Payloads too short for a stamp.
    unstamped
    /// Retained messages: of another time, not part of the run.
    retained
    /// Source pairs found in use by somebody else.
    skipped_ports
    /// CPU time of the worker's thread.
    cpu_ns
    ;
    maxima:
    /// The latest send after its due time.
    late_max_ns
    /// When a message was last sent, acknowledged to the end or received, `CLOCK_MONOTONIC`
    progress_at_ns
    /// When the last client became ready or failed, `CLOCK_MONOTONIC`.
    settled_at_ns
    ;
}

impl Tally {
    /// Whether nothing of what was offered is still to be sent or acknowledged.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting == 0 && self.in_flight == 0 && self.unwritten == 0
    }

    /// The same less the messages of an earlier moment; what concerns connections, and what is a gauge, stays.
    pub(crate) fn without_messages_of(&self, earlier: &Self) -> Self {
        let mut rest = *self;
        let counters: [fn(&mut Self) -> &mut u64; 19] = [
            |tally| &mut tally.offered,
            |tally| &mut tally.attempted,
            |tally| &mut tally.written,
            |tally| &mut tally.acked,
            |tally| &mut tally.pub_fail,
            |tally| &mut tally.resent,
            |tally| &mut tally.overrun,
            |tally| &mut tally.received,
            |tally| &mut tally.received_bytes,
            |tally| &mut tally.delivered,
            |tally| &mut tally.lost,
            |tally| &mut tally.expired,
            |tally| &mut tally.duplicated,
            |tally| &mut tally.out_of_order,
            |tally| &mut tally.verified,
            |tally| &mut tally.damaged,
            |tally| &mut tally.unrecognised,
            |tally| &mut tally.unstamped,
            |tally| &mut tally.retained,
        ];
        for counter in counters {
            let before = *counter(&mut { *earlier });
            let now = counter(&mut rest);
            // What was missing then may have come since.
            *now = now.saturating_sub(before);
        }
        rest
    }

    /// Damaged payloads: those that are recognised as ours, and, when whole ones of ours arrive at all, those that are not.
    pub(crate) fn corrupted(&self) -> u64 {
        self.damaged + if self.verified > 0 { self.unrecognised } else { 0 }
    }

    /// Payloads with nothing in them that could be verified: without a stamp, of another time, or another publisher's.
    pub(crate) fn foreign(&self) -> u64 {
        self.unstamped + self.retained + self.damaged + self.unrecognised - self.corrupted()
    }
}

/// Distributions, in nanoseconds; each is made when its first value comes.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// From the begin of the TCP connect to when the connection is established.
    pub(crate) established: Distribution,
    /// From the begin of the TCP connect to the CONNACK.
    pub(crate) connack: Distribution,
    /// From SUBSCRIBE to SUBACK.
    pub(crate) suback: Distribution,
    /// From due time to send.
    pub(crate) send_lag: Distribution,
    /// The same for messages whose client was free to send: what the generator itself adds.
    pub(crate) own_lag: Distribution,
    /// From due time to the last acknowledgement.
    pub(crate) ack: Distribution,
    /// From due time to receipt.
    pub(crate) latency: Distribution,
    /// From the actual send to receipt.
    pub(crate) uncorrected: Distribution,
}

impl Series {
    /// Adds the values of another.
    pub(crate) fn add(&mut self, other: &Self) {
        self.add_connecting(other);
        self.send_lag.add(&other.send_lag);
        self.own_lag.add(&other.own_lag);
        self.ack.add(&other.ack);
        self.latency.add(&other.latency);
        self.uncorrected.add(&other.uncorrected);
    }

    /// Adds those values of another that are about connections.
    pub(crate) fn add_connecting(&mut self, other: &Self) {
        self.established.add(&other.established);
        self.connack.add(&other.connack);
        self.suback.add(&other.suback);
    }

    /// Those that the latency log keeps, with the tags that they have there.
    pub(crate) fn logged(&self) -> [(&'static str, &Distribution); 8] {
        [
            ("established", &self.established),
            (hlog::CONNACK, &self.connack),
            ("suback", &self.suback),
            (hlog::SEND_LAG, &self.send_lag),
            (hlog::OWN_LAG, &self.own_lag),
            ("ack", &self.ack),
            (hlog::CORRECTED, &self.latency),
            (hlog::UNCORRECTED, &self.uncorrected),
        ]
    }
}

/// A histogram that costs nothing while it is empty.
#[derive(Debug, Default)]
pub(crate) struct Distribution(Option<Box<Histogram<u64>>>);

impl Distribution {
    /// Records a value in nanoseconds.
    pub(crate) fn record(&mut self, value_ns: u64) {
        self.0.get_or_insert_with(|| Box::new(hlog::histogram())).saturating_record(value_ns);
    }

    /// The histogram, unless it is empty.
    pub(crate) fn histogram(&self) -> Option<&Histogram<u64>> {
        self.0.as_deref()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (_, None) => {}
            (Some(sum), Some(other)) => sum.add(&**other).expect("both have the same bounds"),
            (sum @ None, Some(other)) => *sum = Some(other.clone()),
        }
    }
}
