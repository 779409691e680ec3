//! Every bound of the data plane in one place. What a client can make grow has its limit here.

use std::time::Duration;

/// Unsent bytes of a connection from which on its output is written at once instead of at the end of the turn.
pub(super) const FLUSH_BYTES: usize = 128 * 1024;
/// Unsent bytes of a connection above which QoS 1 and 2 messages wait in the session's queue.
pub(super) const OUTPUT_HIGH_BYTES: usize = 256 * 1024;
/// Bytes that one read takes at most, and the size of a worker's read buffer.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// The same while publishers wait for another worker: so much each of them may hold back.
pub(super) const READ_BYTES_WHEN_SWAMPED: usize = 4 * 1024;
/// A partial packet from this size on is read into its own buffer, not copied through the worker's.
pub(super) const LARGE_PARTIAL_BYTES: usize = 64 * 1024;
/// Connections accepted per listener and turn, so that a storm does not starve those that are served.
pub(super) const ACCEPTS_PER_TURN: usize = 256;
/// Topics of a shard that are looked at for a new subscription before others have their turn. What matches waits in the
/// session's queue, which is asked for the next slice when it is short.
pub(super) const RETAINED_PER_SLICE: usize = 512;
/// Pause of a listener that could not accept for want of descriptors or memory.
pub(super) const ACCEPT_RETRY_NS: u64 = 100_000_000;
/// Messages in a session's queue from which on publishers to it are paused, and down to which they stay paused.
pub(super) const QUEUE_HIGH: usize = 1_000;
/// See [`QUEUE_HIGH`].
pub(super) const QUEUE_LOW: usize = 250;
/// A session whose queue is over [`QUEUE_HIGH`] and that has taken nothing for this long is stalled: it pauses nobody.
pub(super) const STALL_NS: u64 = 100_000_000;
/// Bytes of mail that wait for another worker from which on who publishes to it is paused, until it has taken them. No
/// more than a worker deals with in a few milliseconds, for meanwhile it looks at no socket, and fewer messages than a
/// session's queue takes beyond [`QUEUE_HIGH`].
pub(super) const MAILBOX_HIGH_BYTES: usize = 256 * 1024;
/// Items for which a worker keeps memory between two batches of mail.
pub(super) const MAIL_KEPT: usize = 4_096;
/// Output buffers kept for reuse by a worker, and the capacity above which one is not kept.
pub(super) const POOLED_BUFFERS: usize = 256;
/// See [`POOLED_BUFFERS`].
pub(super) const POOLED_BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of all output buffers that a worker keeps for reuse.
pub(super) const POOL_BYTES: usize = 2 * 1024 * 1024;
/// Events that one turn asks the poller for.
pub(super) const EVENTS_PER_TURN: usize = 1_024;
/// How long a thread's load is measured before it is judged.
pub(super) const LOAD_WINDOW_NS: u64 = 100_000_000;
/// The same for [`Spread::Shuffle`].
pub(super) const SHUFFLE_WINDOW_NS: u64 = 500_000;
/// Load of the first thread, as a share of a processor, from which on it sends workers to their own threads.
pub(super) const SPREAD_ABOVE: f64 = 0.8;
/// Processors that must have been idle for that. Half of one: it is measured beside others that come and go.
pub(super) const IDLE_PROCESSORS_TO_SPREAD: f64 = 0.5;
/// Load of the first thread and another together below which the other lends its worker to the first. Well below
/// [`SPREAD_ABOVE`], so that workers do not go to and fro.
pub(super) const GATHER_BELOW: f64 = 0.5;
const _: () = assert!(GATHER_BELOW < SPREAD_ABOVE, "what has been gathered would be spread at once");
/// Connections closed and deadlines acted upon in one turn. Each costs microseconds, and many clients can vanish in the
/// same moment: the rest waits for the next turn, so that publishing goes on.
pub(super) const ENDS_PER_TURN: usize = 32;
/// One part in so many of the memory budget is not for messages but for connections, sessions and subscriptions.
pub(super) const MEMORY_RESERVE: usize = 8;
/// Messages in flight to a session that go on when memory is short.
pub(super) const INFLIGHT_WHEN_SHORT: usize = 16;
/// How long a connection that was told why it is closed may take to close its end.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Precision of keep-alive, expiry and delay.
pub(super) const TICK_NS: u64 = 100_000_000;
/// Most workers: their set is one machine word.
pub(crate) const MAX_WORKERS: usize = 64;

/// Bytes of a topic that gets an alias: an alias takes three itself, and each topic is remembered.
pub(super) const ALIASED_TOPIC_BYTES: std::ops::RangeInclusive<usize> = 4..=1_024;
/// Connections that wait for CONNECT only to be told that they are refused, per worker; more are closed at once.
pub(super) const TURNED_AWAY_MAX: usize = 256;
/// Addresses that a worker counts before it looks for some to forget.
pub(super) const SWEEP_ADDRESSES: usize = 1_024;

/// What an operator can set. Each worker has a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Bounds.
    pub(crate) limits: Limits,
    /// How a member of a shared subscription is chosen.
    pub(crate) share_policy: SharePolicy,
    /// When workers run in threads of their own.
    pub(crate) spread: Spread,
    /// Whether a payload that is said to be text must be UTF-8 (section 3.3.2.3.2).
    pub(crate) check_payload_format: bool,
    /// What a client that asks for it is told as Response Information (section 3.2.2.3.15), `{client_id}` standing for
    /// its client identifier; empty: nothing.
    pub(crate) response_information: String,
}

/// When workers run in threads of their own, and not in the first thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spread {
    /// When the first thread is busy and a processor idle.
    #[default]
    WhenBusy,
    /// Always.
    Always,
    /// To and fro all the time: finds what depends on it.
    Shuffle,
}

/// Bounds on what clients can make the broker hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// A connection that has not sent CONNECT by then is closed.
    pub(crate) connect_timeout: Duration,
    /// Connections; more are closed on arrival.
    pub(crate) max_connections: usize,
    /// Connections of one address of IPv4 or /64 network of IPv6, 0 for any number; more are refused.
    pub(crate) max_connections_per_ip: u32,
    /// Connections that such an address may open in a second, and at once, 0 for any number; more are refused.
    pub(crate) max_connect_rate_per_ip: u32,
    /// Sessions, connected or not; more are refused.
    pub(crate) max_sessions: usize,
    /// Bytes of the largest packet accepted (section 3.2.2.3.6).
    pub(crate) max_packet_bytes: u32,
    /// Bytes of the largest CONNECT accepted, when that is less: nobody knows yet who sends it.
    pub(crate) max_connect_bytes: u32,
    /// Bytes of the longest client identifier accepted.
    pub(crate) max_client_id_bytes: usize,
    /// Levels of the deepest topic name or filter accepted.
    pub(crate) max_topic_levels: usize,
    /// Subscriptions of one session.
    pub(crate) max_subscriptions: usize,
    /// QoS 2 messages in flight from one client; told to 5.0 clients as Receive Maximum.
    pub(crate) receive_maximum: u16,
    /// QoS 1 and 2 messages in flight to one client, unless the client asks for fewer.
    pub(crate) max_inflight: u16,
    /// Topic aliases that a client may set (section 3.2.2.3.8).
    pub(crate) topic_alias_maximum: u16,
    /// Topic aliases that the broker sets for one client, unless the client takes fewer (section 3.1.2.11.5).
    pub(crate) max_outgoing_topic_aliases: u16,
    /// QoS 1 and 2 messages waiting for one session; more are dropped and counted.
    pub(crate) max_queued_messages: usize,
    /// Bytes of messages waiting for one session; more are dropped and counted.
    pub(crate) max_queued_bytes: usize,
    /// Unsent bytes of one connection above which QoS 0 messages to it are dropped and counted.
    pub(crate) max_output_bytes: usize,
    /// Seconds that a session may outlive its connection; `u32::MAX` is for ever.
    pub(crate) max_session_expiry_s: u32,
    /// Retained messages; setting more topics is refused and counted.
    pub(crate) max_retained: usize,
    /// Bytes of all retained messages; what would be more is refused and counted.
    pub(crate) max_retained_bytes: usize,
    /// Bytes that the whole broker may hold. Above seven eighths of it no message is kept: none is retained or made to
    /// wait. Above all of it no connection and no subscription is taken on. What can be passed on at once still is.
    pub(crate) max_memory_bytes: usize,
}

/// How a message to a shared subscription finds its one receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SharePolicy {
    /// Each member in turn.
    #[default]
    RoundRobin,
    /// Any member.
    Random,
    /// One publisher's messages go to one member.
    HashClient,
    /// One topic's messages go to one member.
    HashTopic,
}

impl Limits {
    /// Bytes of the largest CONNECT that is accepted.
    pub(super) fn connect_bytes_max(&self) -> u32 {
        self.max_connect_bytes.min(self.max_packet_bytes)
    }

    /// Whether connections are counted by their addresses.
    pub(super) fn counts_addresses(&self) -> bool {
        self.max_connections_per_ip != 0 || self.max_connect_rate_per_ip != 0
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            share_policy: SharePolicy::RoundRobin,
            spread: Spread::WhenBusy,
            check_payload_format: false,
            response_information: String::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            max_connections: 1_000_000,
            max_connections_per_ip: 0,
            max_connect_rate_per_ip: 0,
            max_sessions: 2_000_000,
            max_packet_bytes: 16 * 1024 * 1024,
            max_connect_bytes: 128 * 1024,
            max_client_id_bytes: 65_535,
            max_topic_levels: 128,
            max_subscriptions: 10_000,
            receive_maximum: 1_024,
            max_inflight: 4_096,
            topic_alias_maximum: 64,
            max_outgoing_topic_aliases: 64,
            max_queued_messages: 10_000,
            max_queued_bytes: 16 * 1024 * 1024,
            max_output_bytes: 1024 * 1024,
            max_session_expiry_s: u32::MAX,
            max_retained: 1_000_000,
            max_retained_bytes: 1024 * 1024 * 1024,
            max_memory_bytes: crate::memory::default_budget_bytes(),
        }
    }
}
