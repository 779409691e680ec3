//! The catalogue of quantities: key, title, unit, and which direction is the better one.

use serde::{Serialize, Serializer};

use super::text::Text;

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
    /// 99.9 %.
    LatencyP999,
    /// Greatest.
    LatencyMax,
    /// Latency from the actual send: median.
    UncorrectedP50,
    /// 95 %.
    UncorrectedP95,
    /// 99 %.
    UncorrectedP99,
    /// 99.9 %.
    UncorrectedP999,
    /// Greatest.
    UncorrectedMax,
    /// From what happened to other clients until probes take as long as before again.
    Recovery,
    /// How late the latest send was.
    SendLateMax,
    /// Successful connections per second of the connection phase.
    ConnectRate,
    /// From the begin of the TCP connect to the CONNACK: median.
    ConnackP50,
    /// 99 %.
    ConnackP99,
    /// 99.9 %.
    ConnackP999,
    /// Greatest.
    ConnackMax,
    /// From the begin of a storm until all its clients are back.
    AllBack,
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
    /// 99 % of the sends were no later than this after their due time.
    SendLagP99,
    /// What the broker's interface received.
    RxMib,
    /// What it sent: bytes on the wire, not deliveries.
    TxMib,
    /// Packets sent; under segmentation offload each is a buffer of several.
    TxPackets,
    /// TCP segments sent.
    OutSegs,
    /// Context switches of the host.
    Ctxt,
    /// TCP segments sent again.
    Retrans,
    /// Established TCP sockets at the sample that had the fewest.
    Estab,
    /// Virtual memory of the broker.
    Vsz,
    /// What the kernel holds in TCP buffers, which RSS leaves out.
    SockMem,
    /// Slab caches of the host, where sockets live.
    Slab,
    /// What observing costs.
    CollectorCpu,
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
    pub const ALL: [Self; 50] = [
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
        Self::LatencyP999,
        Self::LatencyMax,
        Self::UncorrectedP50,
        Self::UncorrectedP95,
        Self::UncorrectedP99,
        Self::UncorrectedP999,
        Self::UncorrectedMax,
        Self::Recovery,
        Self::SendLateMax,
        Self::ConnectRate,
        Self::ConnackP50,
        Self::ConnackP99,
        Self::ConnackP999,
        Self::ConnackMax,
        Self::AllBack,
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
        Self::SendLagP99,
        Self::RxMib,
        Self::TxMib,
        Self::TxPackets,
        Self::OutSegs,
        Self::Ctxt,
        Self::Retrans,
        Self::Estab,
        Self::Vsz,
        Self::SockMem,
        Self::Slab,
        Self::CollectorCpu,
    ];

    /// Key in JSON, title, title in Chinese, unit, better direction.
    fn row(self) -> (&'static str, &'static str, &'static str, &'static str, Better) {
        use Better::{Higher, Lower, Neither};
        match self {
            Self::DeliveredPerS => ("delivered_per_s", "Delivered", "投递速率", "msg/s", Higher),
            Self::OfferedPerS => ("offered_per_s", "Offered by the plan", "计划应发", "msg/s", Neither),
            Self::SentPerS => ("sent_per_s", "Sent", "已发送", "msg/s", Neither),
            Self::AckedPerS => ("acked_per_s", "Acknowledged to publishers", "已向发布端确认", "msg/s", Higher),
            Self::DeliveredShare => {
                ("delivered_percent", "Delivered of what was due to arrive", "应到消息的投递比例", "%", Higher)
            }
            Self::Lost => ("lost", "Lost", "丢失", "messages", Lower),
            Self::Duplicated => ("duplicated", "Duplicated", "重复", "messages", Lower),
            Self::OutOfOrder => ("out_of_order", "Out of order", "乱序", "messages", Lower),
            Self::Corrupted => ("corrupted", "Corrupted", "损坏", "messages", Lower),
            Self::Probes => ("probes", "Probes", "探测消息", "messages", Neither),
            Self::LatencyP50 => ("latency_p50_us", "Latency p50, from due time", "延迟 p50（自应发时刻）", "µs", Lower),
            Self::LatencyP95 => ("latency_p95_us", "Latency p95, from due time", "延迟 p95（自应发时刻）", "µs", Lower),
            Self::LatencyP99 => ("latency_p99_us", "Latency p99, from due time", "延迟 p99（自应发时刻）", "µs", Lower),
            Self::LatencyP999 => {
                ("latency_p999_us", "Latency p99.9, from due time", "延迟 p99.9（自应发时刻）", "µs", Lower)
            }
            Self::LatencyMax => {
                ("latency_max_us", "Latency max, from due time", "延迟最大值（自应发时刻）", "µs", Lower)
            }
            Self::UncorrectedP50 => {
                ("uncorrected_p50_us", "Latency p50, from actual send", "延迟 p50（自实际发送）", "µs", Lower)
            }
            Self::UncorrectedP95 => {
                ("uncorrected_p95_us", "Latency p95, from actual send", "延迟 p95（自实际发送）", "µs", Lower)
            }
            Self::UncorrectedP99 => {
                ("uncorrected_p99_us", "Latency p99, from actual send", "延迟 p99（自实际发送）", "µs", Lower)
            }
            Self::UncorrectedP999 => {
                ("uncorrected_p999_us", "Latency p99.9, from actual send", "延迟 p99.9（自实际发送）", "µs", Lower)
            }
            Self::UncorrectedMax => {
                ("uncorrected_max_us", "Latency max, from actual send", "延迟最大值（自实际发送）", "µs", Lower)
            }
            Self::Recovery => ("recovery_s", "Until latency was as before the event", "事件后延迟恢复时间", "s", Lower),
            Self::SendLateMax => ("send_late_us_max", "Latest send after its due time", "发送最大迟到", "µs", Neither),
            Self::ConnectRate => ("connections_per_s", "Connection rate", "建连速率", "conn/s", Higher),
            Self::ConnackP50 => ("connack_p50_us", "CONNACK latency p50", "CONNACK 延迟 p50", "µs", Lower),
            Self::ConnackP99 => ("connack_p99_us", "CONNACK latency p99", "CONNACK 延迟 p99", "µs", Lower),
            Self::ConnackP999 => ("connack_p999_us", "CONNACK latency p99.9", "CONNACK 延迟 p99.9", "µs", Lower),
            Self::ConnackMax => ("connack_max_us", "CONNACK latency max", "CONNACK 延迟最大值", "µs", Lower),
            Self::AllBack => {
                ("all_back_s", "Until all clients were back after a storm", "风暴后全部重连时间", "s", Lower)
            }
            Self::ConnectFailed => ("connect_failed", "Failed connection attempts", "建连失败次数", "attempts", Lower),
            Self::Disconnected => ("disconnected", "Lost connections", "断开的连接", "connections", Lower),
            Self::Connections => ("connections", "Connections held", "保持的连接数", "connections", Neither),
            Self::BytesPerConnection => {
                ("bytes_per_connection", "Memory per connection above idle", "每连接内存（扣除空闲）", "B", Lower)
            }
            Self::CpuPerMessage => {
                ("cpu_us_per_message", "Broker CPU per delivered message", "每条投递消息的服务端 CPU", "µs", Lower)
            }
            Self::BrokerCpu => ("broker_cpu_percent", "Broker CPU", "服务端 CPU", "% of a core", Lower),
            Self::Rss => ("broker_rss_mib", "Broker memory (RSS), median", "服务端内存（RSS）中位数", "MiB", Lower),
            Self::RssMax => {
                ("broker_rss_mib_max", "Broker memory (RSS), greatest", "服务端内存（RSS）最大值", "MiB", Lower)
            }
            Self::LoadCpu => {
                ("load_cpu_percent", "CPU of load tools and prober", "负载工具与探测器 CPU", "% of a core", Neither)
            }
            Self::HostBusy => {
                ("host_busy_percent", "Host CPU busy, all cores", "主机 CPU 占用（全部核）", "%", Neither)
            }
            Self::SendLagP99 => {
                ("send_lag_p99_us", "Send lag p99: from due time to send", "发送滞后 p99（应发到发送）", "µs", Neither)
            }
            Self::RxMib => ("host_rx_mib_s", "Received by the interface", "网卡接收", "MiB/s", Neither),
            Self::TxMib => ("host_tx_mib_s", "Sent by the interface", "网卡发送", "MiB/s", Higher),
            Self::TxPackets => (
                "host_tx_packets_s",
                "Packets sent (buffers under offload)",
                "发送包数（卸载时为缓冲）",
                "packets/s",
                Neither,
            ),
            Self::OutSegs => ("host_tcp_outsegs_s", "TCP segments sent", "发送的 TCP 段", "segments/s", Neither),
            Self::Ctxt => {
                ("host_ctxt_s", "Context switches of the broker's host", "服务端主机上下文切换", "1/s", Lower)
            }
            Self::Retrans => ("host_retrans_s", "TCP segments sent again", "TCP 重传段", "segments/s", Lower),
            Self::Estab => (
                "tcp_estab_min",
                "Established TCP sockets of the host, fewest",
                "主机已建立的 TCP 套接字（最少）",
                "sockets",
                Neither,
            ),
            Self::Vsz => ("broker_vsz_mib", "Broker virtual memory, median", "服务端虚拟内存中位数", "MiB", Neither),
            Self::SockMem => {
                ("tcp_mem_mib_max", "Kernel memory of TCP buffers, greatest", "内核 TCP 缓冲内存最大值", "MiB", Lower)
            }
            Self::Slab => ("slab_mib", "Kernel slab caches, median", "内核 slab 缓存中位数", "MiB", Neither),
            Self::CollectorCpu => {
                ("collector_cpu_percent", "CPU of the collector itself", "采集器自身 CPU", "% of a core", Neither)
            }
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

    /// Name in both languages, without unit.
    pub fn name(self) -> Text {
        let (_, en, zh, ..) = self.row();
        Text::pair(en, zh)
    }

    /// Name and unit in both languages, for axes.
    pub fn axis(self) -> Text {
        let (name, unit) = (self.name(), self.unit_text());
        crate::text!("{name}, {unit}", "{name}，{unit}"; name, unit)
    }

    /// Unit in both languages.
    pub fn unit_text(self) -> Text {
        let en = self.unit();
        let zh = match en {
            "msg/s" => "条/s",
            "messages" => "条",
            "conn/s" => "连接/s",
            "attempts" => "次",
            "connections" => "个连接",
            "% of a core" => "单核 %",
            "packets/s" => "包/s",
            "segments/s" => "段/s",
            "sockets" => "个套接字",
            "1/s" => "次/s",
            same => same,
        };
        Text::pair(en, zh)
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
            Self::Recovery => return "latency as before after, s".to_owned(),
            Self::AllBack => return "all clients back after, s".to_owned(),
            Self::TxMib => "sent",
            Self::Ctxt => return "context switches/s".to_owned(),
            other => other.title(),
        };
        format!("{title}, {}", self.unit())
    }

    /// Unit of the values.
    pub fn unit(self) -> &'static str {
        self.row().3
    }

    /// Which direction is the better one.
    pub fn better(self) -> Better {
        self.row().4
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
