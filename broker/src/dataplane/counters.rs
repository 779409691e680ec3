//! What a worker has done, and above all what it has not: nothing is dropped without being counted here. And what it
//! holds at the moment.

use std::ops::AddAssign;

macro_rules! figures {
    ($(#[$about:meta])* $type:ident: $($(#[$doc:meta])* $name:ident,)*) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct $type {
            $($(#[$doc])* pub(crate) $name: u64,)*
        }

        impl $type {
            /// Names and values, in order.
            pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl AddAssign for $type {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

figures! {
    /// Totals since the start, per worker.
    Counters:
    /// TCP connections accepted.
    accepted,
    /// CONNECTs answered with success.
    connected,
    /// CONNECTs refused.
    connect_refused,
    /// Connections closed on arrival because there were too many or memory was short.
    refused_on_arrival,
    /// Connections refused because their address had as many as one may have.
    refused_ip_connections,
    /// Connections refused because their address opened them too fast.
    refused_ip_rate,
    /// CONNECTs refused because there were as many sessions as there may be.
    refused_sessions,
    /// Subscriptions refused because of their filter's levels, their number or the memory left.
    refused_subscriptions,
    /// Connections closed for what the client sent.
    protocol_errors,
    /// Connections closed because the client was silent for one and a half keep-alive periods.
    keep_alive_timeouts,
    /// Connections that sent no CONNECT in time.
    connect_timeouts,
    /// Connections whose session was taken over by a newer one.
    taken_over,
    /// PUBLISH packets received, repetitions of QoS 2 messages left out.
    received,
    /// PUBLISH packets refused because their payload was not of the format that they named.
    refused_payload_format,
    /// PUBLISH packets written to clients.
    delivered,
    /// QoS 0 messages dropped because the connection did not take its output.
    dropped_slow_qos0,
    /// QoS 0 messages dropped because the session was not connected.
    dropped_offline_qos0,
    /// QoS 1 and 2 messages dropped because the session's queue was full.
    dropped_queue_full,
    /// Messages dropped, and connections closed for what they would have to be kept, because memory was short.
    dropped_memory,
    /// Messages dropped because they expired before delivery.
    dropped_expired,
    /// Messages dropped because the client accepts only smaller packets.
    dropped_too_large,
    /// QoS 1 and 2 messages that waited for a session that ended, shared ones only when no other member could get them.
    dropped_session_ended,
    /// Retained messages refused because the store was full.
    dropped_retained_full,
    /// Times that a connection was not read because it did not take what it was sent.
    choked,
    /// Times that a publisher was paused for a consumer that did not keep up.
    publisher_pauses,
    /// Times that a publisher was paused for a worker that did not keep up.
    worker_pauses,
}

figures! {
    /// What a worker holds at a moment.
    Gauges:
    /// Connections, in whatever state.
    connections,
    /// Sessions, connected or not.
    sessions,
    /// Topic filters that have subscribers here or in other workers.
    filters,
    /// Retained messages.
    retained,
    /// Deadlines set and not reached.
    timers,
}
