//! The catalogue of quantities: key, title, unit, and which direction is the better one.

use serde::{Serialize, Serializer};

/// A quantity that a point of an experiment may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Messages that subscribers received in the measure phase, each once.
    DeliveredPerS,
    /// Messages that the plan had due.
    OfferedPerS,
    /// Messages that publishers' kernels took.
    SentPerS,
    /// Messages acknowledged to publishers.
    AckedPerS,
    /// Deliveries over the deliveries that the messages sent should have caused, whole run.
    DeliveredShare,
    /// Gaps in the senders' sequences, or probes that did not return.
    Lost,
    /// Messages that came again.
    Duplicated,
    /// Messages that came after a later one of their sender.
    OutOfOrder,
    /// Payloads that were not those sent.
    Corrupted,
    /// Probes sent.
    Probes,
    /// Latency from the due time: median.
    LatencyP50,
    /// 95 %.
    LatencyP95,
    /// 99 %.
    LatencyP99,
    /// Greatest.
    LatencyMax,
    /// Latency from the actual send: median.
    UncorrectedP50,
    /// 95 %.
    UncorrectedP95,
    /// 99 %.
    UncorrectedP99,
    /// Greatest.
    UncorrectedMax,
    /// How late the latest send was.
    SendLateMax,
    /// Successful connections per second of the connection phase.
    ConnectRate,
    /// From the begin of the TCP connect to the CONNACK: median.
    ConnackP50,
    /// 99 %.
    ConnackP99,
    /// Greatest.
    ConnackMax,
    /// Connection attempts that failed.
    ConnectFailed,
    /// Connections that ended before they were meant to.
    Disconnected,
    /// Connections held in the measure phase.
    Connections,
    /// RSS above that of the idle step, over the connections held.
    BytesPerConnection,
    /// CPU time of the broker per delivered message.
    CpuPerMessage,
    /// CPU of the broker.
    BrokerCpu,
    /// Resident memory of the broker: median of the measure phase.
    Rss,
    /// Resident memory of the broker: greatest of the measure phase.
    RssMax,
    /// CPU of the load tools and the prober.
    LoadCpu,
    /// CPU of the whole host, all cores together.
    HostBusy,
}

/// Which direction of a quantity a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// It is a condition, not an achievement.
    Neither,
}

impl Metric {
    /// Every quantity, in the order of presentation.
    pub const ALL: [Self; 33] = [
        Self::DeliveredPerS,
        Self::OfferedPerS,
        Self::SentPerS,
        Self::AckedPerS,
        Self::DeliveredShare,
        Self::Lost,
        Self::Duplicated,
        Self::OutOfOrder,
        Self::Corrupted,
        Self::Probes,
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::LatencyMax,
        Self::UncorrectedP50,
        Self::UncorrectedP95,
        Self::UncorrectedP99,
        Self::UncorrectedMax,
        Self::SendLateMax,
        Self::ConnectRate,
        Self::ConnackP50,
        Self::ConnackP99,
        Self::ConnackMax,
        Self::ConnectFailed,
        Self::Disconnected,
        Self::Connections,
        Self::BytesPerConnection,
        Self::CpuPerMessage,
        Self::BrokerCpu,
        Self::Rss,
        Self::RssMax,
        Self::LoadCpu,
        Self::HostBusy,
    ];

    /// Key in JSON, title, unit, better direction.
    fn row(self) -> (&'static str, &'static str, &'static str, Better) {
        use Better::{Higher, Lower, Neither};
        match self {
            Self::DeliveredPerS => ("delivered_per_s", "Delivered", "msg/s", Higher),
            Self::OfferedPerS => ("offered_per_s", "Offered by the plan", "msg/s", Neither),
            Self::SentPerS => ("sent_per_s", "Sent", "msg/s", Neither),
            Self::AckedPerS => ("acked_per_s", "Acknowledged to publishers", "msg/s", Higher),
            Self::DeliveredShare => ("delivered_percent", "Delivered of what was due to arrive", "%", Higher),
            Self::Lost => ("lost", "Lost", "messages", Lower),
            Self::Duplicated => ("duplicated", "Duplicated", "messages", Lower),
            Self::OutOfOrder => ("out_of_order", "Out of order", "messages", Lower),
            Self::Corrupted => ("corrupted", "Corrupted", "messages", Lower),
            Self::Probes => ("probes", "Probes", "messages", Neither),
            Self::LatencyP50 => ("latency_p50_us", "Latency p50, from due time", "µs", Lower),
            Self::LatencyP95 => ("latency_p95_us", "Latency p95, from due time", "µs", Lower),
            Self::LatencyP99 => ("latency_p99_us", "Latency p99, from due time", "µs", Lower),
            Self::LatencyMax => ("latency_max_us", "Latency max, from due time", "µs", Lower),
            Self::UncorrectedP50 => ("uncorrected_p50_us", "Latency p50, from actual send", "µs", Lower),
            Self::UncorrectedP95 => ("uncorrected_p95_us", "Latency p95, from actual send", "µs", Lower),
            Self::UncorrectedP99 => ("uncorrected_p99_us", "Latency p99, from actual send", "µs", Lower),
            Self::UncorrectedMax => ("uncorrected_max_us", "Latency max, from actual send", "µs", Lower),
            Self::SendLateMax => ("send_late_us_max", "Latest send after its due time", "µs", Neither),
            Self::ConnectRate => ("connections_per_s", "Connection rate", "conn/s", Higher),
            Self::ConnackP50 => ("connack_p50_us", "CONNACK latency p50", "µs", Lower),
            Self::ConnackP99 => ("connack_p99_us", "CONNACK latency p99", "µs", Lower),
            Self::ConnackMax => ("connack_max_us", "CONNACK latency max", "µs", Lower),
            Self::ConnectFailed => ("connect_failed", "Failed connection attempts", "attempts", Lower),
            Self::Disconnected => ("disconnected", "Lost connections", "connections", Lower),
            Self::Connections => ("connections", "Connections held", "connections", Neither),
            Self::BytesPerConnection => ("bytes_per_connection", "Memory per connection above idle", "B", Lower),
            Self::CpuPerMessage => ("cpu_us_per_message", "Broker CPU per delivered message", "µs", Lower),
            Self::BrokerCpu => ("broker_cpu_percent", "Broker CPU", "% of a core", Lower),
            Self::Rss => ("broker_rss_mib", "Broker memory (RSS), median", "MiB", Lower),
            Self::RssMax => ("broker_rss_mib_max", "Broker memory (RSS), greatest", "MiB", Lower),
            Self::LoadCpu => ("load_cpu_percent", "CPU of load tools and prober", "% of a core", Neither),
            Self::HostBusy => ("host_busy_percent", "Host CPU busy, all cores", "%", Neither),
        }
    }

    /// Stable name in JSON, unit last.
    pub fn key(self) -> &'static str {
        self.row().0
    }

    /// Name for people, without unit.
    pub fn title(self) -> &'static str {
        self.row().1
    }

    /// Name and unit in as few characters as can be understood.
    pub fn short(self) -> String {
        let title = match self {
            Self::Rss => "memory (RSS)",
            Self::BrokerCpu => return "CPU, % of a core".to_owned(),
            Self::ConnectRate => return "connections/s".to_owned(),
            Self::ConnackP99 => "CONNACK p99",
            Self::LatencyP50 => "latency p50",
            Self::LatencyP99 => "latency p99",
            Self::LatencyMax => "latency max",
            Self::DeliveredPerS => "delivered",
            Self::Lost => return "messages lost".to_owned(),
            Self::CpuPerMessage => "CPU per message",
            other => other.title(),
        };
        format!("{title}, {}", self.unit())
    }

    /// Unit of the values.
    pub fn unit(self) -> &'static str {
        self.row().2
    }

    /// Which direction is the better one.
    pub fn better(self) -> Better {
        self.row().3
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_every_metric_is_listed_once() {
        let mut keys: Vec<&str> = Metric::ALL.iter().map(|m| m.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), Metric::ALL.len());
        assert!(Metric::ALL.is_sorted());
    }
}
