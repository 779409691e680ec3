//! The shapes of `summary.json`, and percentiles with their confidence.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::order;

/// A distribution in ten numbers, in the unit of the field that holds it.
///
/// A percentile that the count does not allow ([`order::allows`]) is `None`; what was lost counts as infinite. JSON shows
/// either as null, and `null_because` beside it says which of them, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Percentiles {
    /// Samples, the lost ones included.
    pub count: u64,
    /// The smallest.
    pub min: Option<f64>,
    /// The arithmetic mean.
    pub mean: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// 75 %.
    pub p75: Option<f64>,
    /// 90 %.
    pub p90: Option<f64>,
    /// 95 %.
    pub p95: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
    /// 99.9 %.
    pub p999: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The 95 % confidence interval of each percentile that the count allows, by the percentile's name (`p50`).
    pub ci95: BTreeMap<String, Interval>,
}

/// Both ends of a confidence interval. An infinite end stands in JSON as null.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    #[serde(with = "infinite_or_null")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(with = "infinite_or_null")]
    pub high: Option<f64>,
}

impl Percentiles {
    /// The percentiles of this struct: name and quantile.
    pub const QUANTILES: [(&str, f64); 6] =
        [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];

    /// Of a histogram whose values are multiplied by `scale` (0.001: ns to us), with `lost` further samples of infinite
    /// value. Exact to the histogram's precision.
    pub fn of_histogram(histogram: &Histogram<u64>, scale: f64, lost: u64) -> Percentiles {
        let count = histogram.len();
        if count == 0 {
            return Percentiles::of(0, lost, |_| f64::INFINITY, f64::NAN);
        }
        let at =
            |rank: u64| histogram.value_at_quantile(rank as f64 / count as f64).clamp(histogram.min(), histogram.max());
        Percentiles::of(count, lost, |rank| at(rank) as f64 * scale, histogram.mean() * scale)
    }

    /// Of samples in rising order, each multiplied by `scale`, with `lost` further ones of infinite value. Exact.
    pub fn of_sorted(samples: &[u64], scale: f64, lost: u64) -> Percentiles {
        debug_assert!(samples.is_sorted());
        let sum: u128 = samples.iter().map(|&sample| u128::from(sample)).sum();
        let mean = sum as f64 / samples.len() as f64 * scale;
        Percentiles::of(samples.len() as u64, lost, |rank| samples[rank as usize - 1] as f64 * scale, mean)
    }

    /// The value of one of [`Percentiles::QUANTILES`] by its name.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "p50" => self.p50,
            "p75" => self.p75,
            "p90" => self.p90,
            "p95" => self.p95,
            "p99" => self.p99,
            "p999" => self.p999,
            _ => None,
        }
    }

    fn of(received: u64, lost: u64, value_at: impl Fn(u64) -> f64, mean: f64) -> Percentiles {
        let count = received + lost;
        if count == 0 {
            return Percentiles::default();
        }
        let at = |rank: u64| if rank > received { f64::INFINITY } else { value_at(rank) };
        let quantile = |quantile: f64| order::allows(count, quantile).then(|| at(order::rank(count, quantile)));
        let interval = |(name, quantile): (&str, f64)| {
            let (low, high) = order::confidence_ranks(count, quantile)?;
            Some((name.to_owned(), Interval { low: Some(at(low)), high: Some(at(high)) }))
        };
        Percentiles {
            count,
            min: Some(at(1)),
            mean: Some(if lost > 0 { f64::INFINITY } else { mean }),
            p50: quantile(0.5),
            p75: quantile(0.75),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: Some(at(count)),
            ci95: Percentiles::QUANTILES.into_iter().filter_map(interval).collect(),
        }
    }
}

/// `summary.json` of loadgen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadSummary {
    /// `loadgen`.
    pub tool: String,
    /// `conn`, `sub`, `pub` or `run` (a scenario of several roles).
    pub mode: String,
    /// Of a role in a scenario: its name.
    pub name: String,
    /// Whether everything that was asked for was done.
    pub ok: bool,
    /// Why not; one sentence each.
    pub failures: Vec<String>,
    /// Clients asked for.
    pub clients: u64,
    /// The connection phase.
    pub connect: ConnectSummary,
    /// What was published; absent where nothing was to be.
    pub publish: Option<PublishSummary>,
    /// What arrived; absent where nothing was subscribed.
    pub receive: Option<ReceiveSummary>,
    /// Connections that ended before they were meant to.
    pub disconnected: DisconnectSummary,
    /// From the first connection attempt to the end, s.
    pub elapsed_s: f64,
    /// CPU time of the tool, s.
    pub self_cpu_s: f64,
    /// The generator itself may have been the limit: its figures are a lower bound of the broker's.
    pub generator_limited: bool,
    /// Why; one sentence each.
    pub generator_reasons: Vec<String>,
    /// The expectations that were stated, if any: then they decide whether the run is ok.
    pub expected: Option<String>,
    /// What else went wrong in a run with stated expectations.
    pub warnings: Vec<String>,
    /// Length of the warm-up, whose messages are not counted here, s.
    pub warm_up_s: f64,
    /// Steps of the ramp and reconnect storms, one by one.
    pub stretches: Vec<StretchSummary>,
    /// The roles of a scenario, one by one.
    pub roles: Vec<LoadSummary>,
}

/// A part of a run that is about connections and told by itself: a step of the ramp, or a reconnect storm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StretchSummary {
    /// `step-1`, `storm-2`.
    pub name: String,
    /// Of a step: clients that should be connected at its end; of a storm: clients that left.
    pub clients: u64,
    /// From the start of the run to its begin, s.
    pub begin_s: f64,
    /// Its length, a step's hold included, s.
    pub length_s: f64,
    /// From its begin until all its clients were ready or had failed, s; absent where it ended before.
    pub settled_s: Option<f64>,
    /// Connections that lived at its end.
    pub connected: u64,
    /// CONNACKs with code 0.
    pub succeeded: u64,
    /// Attempts that ended otherwise, repeated or not.
    pub failed: u64,
    /// Connections that ended before they were meant to.
    pub disconnected: u64,
    /// Successes per second until all were ready.
    pub rate_per_s: Option<f64>,
    /// From the beginning of the TCP connect to the CONNACK, us.
    pub connack_us: Percentiles,
}

/// `capacity.json` of `loadgen --find-capacity`: a search for the highest rate at which stated bounds hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CapacitySummary {
    /// The bounds, as they were stated.
    pub bounds: String,
    /// Whether both ends of the interval have been confirmed.
    pub settled: bool,
    /// The highest offered rate at which the bounds held, messages per second; absent where they never did.
    pub good_per_s: Option<f64>,
    /// The lowest offered rate at which they did not; absent where they always held.
    pub bad_per_s: Option<f64>,
    /// How sure it is that the rate at which the bounds hold half the time lies between the two; absent where the search has
    /// not settled.
    pub confidence: Option<f64>,
    /// At the bad rate the generator was the limit: what the broker can do is unknown beyond the good rate.
    pub generator_limited: bool,
    /// Every trial, in the order in which they were made.
    pub trials: Vec<TrialSummary>,
}

/// One trial of a search for capacity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrialSummary {
    /// Offered rate by the plan, messages per second.
    pub rate_per_s: f64,
    /// `search` for the interval, or `confirm` its ends.
    pub purpose: String,
    /// Whether all bounds held.
    pub good: bool,
    /// Why not; one sentence each.
    pub reasons: Vec<String>,
    /// The generator may have been the limit.
    pub generator_limited: bool,
    /// Messages that the plan had due.
    pub offered: u64,
    /// Messages encoded and given to a connection.
    pub attempted: u64,
    /// Messages received, each once, where something was subscribed to.
    pub delivered: Option<u64>,
    /// 99th percentile of the latency that the bounds are about (end-to-end, or to the last acknowledgement), us.
    pub p99_us: Option<f64>,
    /// 99th percentile of the send lag, us.
    pub send_lag_p99_us: Option<f64>,
}

/// The connection phase of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectSummary {
    /// TCP connects begun.
    pub attempted: u64,
    /// CONNACKs with code 0.
    pub succeeded: u64,
    /// Attempts that ended otherwise.
    pub failed: u64,
    /// The failed ones by reason: errno name, CONNACK code.
    pub by_reason: BTreeMap<String, u64>,
    /// Successes per second of the phase.
    pub rate_per_s: f64,
    /// From the beginning of the TCP connect to when the generator saw the connection established, us.
    pub established_us: Percentiles,
    /// From the beginning of the TCP connect to the CONNACK, us.
    pub connack_us: Percentiles,
    /// From SUBSCRIBE to SUBACK, us.
    pub suback_us: Percentiles,
    /// Length of the phase, s.
    pub duration_s: f64,
    /// Connections ended on purpose, to come back.
    pub churned: u64,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: u64,
    /// Those that resumed an earlier session.
    pub tls_resumed: u64,
    /// Attempts that failed and were followed by another one; not among `failed`.
    pub retried: u64,
    /// Connections that came back after they were lost, or ended on purpose.
    pub reconnected: u64,
}

/// The generator was the limit where 1 % of the messages whose client was free to send were this late, us.
pub const GENERATOR_LAG_LIMIT_US: f64 = 5_000.0;

/// What a load published.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishSummary {
    /// Messages that the plan had due.
    pub offered: u64,
    /// Messages encoded and given to a connection.
    pub attempted: u64,
    /// Messages that the kernel took whole.
    pub written: u64,
    /// Messages acknowledged (QoS 1: PUBACK, QoS 2: PUBCOMP).
    pub acked: u64,
    /// The latest send after its due time, us.
    pub late_max_us: u64,
    /// From due time to send, us.
    pub send_lag_us: Percentiles,
    /// The same of those messages whose client was free to send, us: what the generator itself is late.
    pub own_lag_us: Percentiles,
    /// From due time to the last acknowledgement (QoS 1 and 2), us.
    pub ack_us: Percentiles,
}

/// What a load received.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiveSummary {
    /// Messages, each once.
    pub delivered: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Gaps in the senders' sequences, without what has expired.
    pub lost: u64,
    /// Missing messages whose time was over when a later one of their sender came (MQTT 5.0, Message Expiry Interval).
    pub expired: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Messages that came after a later one of the same sender.
    pub out_of_order: u64,
    /// Messages whose payload carries a sender's stamp and of which every byte was found to be as that sender wrote it, copies
    /// included.
    pub verified: u64,
    /// Messages with nothing in them that could be verified: no stamp, retained from another time, or another publisher's.
    /// Where none was verified, payloads that were damaged beyond recognition are among them.
    pub foreign: u64,
    /// Messages whose payload was not the one that was sent.
    pub corrupted: u64,
    /// From the due time to the receipt, us; publisher and subscriber on one host.
    pub latency_us: Percentiles,
    /// From the actual send to the receipt, us, where that is known.
    pub uncorrected_latency_us: Percentiles,
}

/// Connections that ended before they were meant to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DisconnectSummary {
    /// All.
    pub total: u64,
    /// By reason: errno name, DISCONNECT code, `closed by peer`.
    pub by_reason: BTreeMap<String, u64>,
}

/// `summary.json` of the prober.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeSummary {
    /// `prober`.
    pub tool: String,
    /// Whether every planned probe was sent and the connections lived.
    pub ok: bool,
    /// Why not; one sentence each.
    pub failures: Vec<String>,
    /// Measured probes that were sent.
    pub sent: u64,
    /// Measured probes that came back in time.
    pub received: u64,
    /// Measured probes that did not.
    pub lost: u64,
    /// Further copies.
    pub duplicated: u64,
    /// Probes that came after a later one.
    pub out_of_order: u64,
    /// Payloads that were not those sent.
    pub corrupted: u64,
    /// Probes that came after the time that was allowed for them; they count with their true latency.
    pub late: u64,
    /// Probes that were planned.
    pub planned: u64,
    /// Planned distance of probes, us.
    pub interval_us: u64,
    /// QoS of publisher and subscription.
    pub qos: u8,
    /// Bytes of payload.
    pub payload_bytes: u64,
    /// Probes sent before the measured ones and left out, of each pair.
    pub warmup: u64,
    /// Pairs of publisher and subscriber that probed side by side; the figures are of all of them.
    pub pairs: u64,
    /// What spoke MQTT: `native` or `rumqttc`.
    pub client: String,
    /// From the due time to the receipt, us.
    pub latency_us: Percentiles,
    /// From the actual send to the receipt, us, of only those probes that were sent while no other of them was under way:
    /// what a prober that waits for each answer would have shown (coordinated omission).
    pub uncorrected_latency_us: Percentiles,
    /// From the due time to the actual send, us: what the prober's own machine adds.
    pub send_lag_us: Percentiles,
    /// From the moment for which a timer was set to the moment at which the prober ran, us.
    pub wakeup_error_us: Percentiles,
    /// TCP echoes between the probes: what the path takes without a broker. Absent when switched off.
    pub floor: Option<FloorSummary>,
    /// The highest percentile (0 to 100) that the count allows.
    pub highest_percentile: f64,
    /// From the first due time to the end, s.
    pub elapsed_s: f64,
    /// CPU time of the prober, us.
    pub self_cpu_us: u64,
}

/// The round trips of a TCP echo.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FloorSummary {
    /// Who echoed.
    pub remote: String,
    /// Whether it was the prober's own echo on this machine's loopback, which says nothing about the network.
    pub own_loopback: bool,
    /// Bytes of a message.
    pub message_bytes: u64,
    /// From the send to the receipt, us.
    pub round_trip_us: Percentiles,
    /// Why the echo ended before the run did.
    pub failure: Option<String>,
}

/// `summary.json` of the collector.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CollectSummary {
    /// `collector`.
    pub tool: String,
    /// Whether it sampled for as long as asked, or was told to stop.
    pub ok: bool,
    /// Samples written.
    pub ticks: u64,
    /// Samples that began later than a tenth of the interval after their moment.
    pub late_ticks: u64,
    /// Moments that passed without a sample.
    pub missed_ticks: u64,
    /// The latest beginning of a sample, us.
    pub late_us_max: u64,
    /// How late half of the samples began at most, us.
    #[serde(default)]
    pub late_us_p50: u64,
    /// How late 99 in 100 samples began at most, us.
    #[serde(default)]
    pub late_us_p99: u64,
    /// The longest sample, us.
    pub sample_us_max: u64,
    /// The 99th percentile of the time that a sample took, us.
    #[serde(default)]
    pub sample_us_p99: u64,
    /// CPU time of the sampling thread per sample, us: reading, and writing the row; the slow beat left out.
    #[serde(default)]
    pub cpu_us_per_sample: f64,
    /// Steps of the wall clock.
    #[serde(default)]
    pub clock_steps: u64,
    /// CPU time of the collector, us.
    pub self_cpu_us: u64,
    /// From the first to the last sample, s.
    pub duration_s: f64,
    /// Times that the target was replaced by another process.
    pub restarts: u64,
    /// How it ended: `duration`, `signal`.
    pub ended_by: String,
}

/// Any `summary.json`, told apart by its `tool`.
#[derive(Debug, Clone, PartialEq)]
pub enum Summary {
    /// Of loadgen.
    Load(Box<LoadSummary>),
    /// Of the prober.
    Probe(Box<ProbeSummary>),
    /// Of the collector.
    Collect(Box<CollectSummary>),
    /// Of a tool that this crate does not know.
    Other(Value),
}

impl Summary {
    pub(crate) fn from_json(text: &str) -> serde_json::Result<Summary> {
        let value: Value = serde_json::from_str(text)?;
        Ok(match value.get("tool").and_then(Value::as_str) {
            Some("loadgen") => Summary::Load(serde_json::from_value(value)?),
            Some("prober") => Summary::Probe(serde_json::from_value(value)?),
            Some("collector") => Summary::Collect(serde_json::from_value(value)?),
            _ => Summary::Other(value),
        })
    }
}

/// [`Percentiles`] as they stand in a file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Written {
    count: u64,
    min: Option<Figure>,
    mean: Option<Figure>,
    p50: Option<Figure>,
    p75: Option<Figure>,
    p90: Option<Figure>,
    p95: Option<Figure>,
    p99: Option<Figure>,
    p999: Option<Figure>,
    max: Option<Figure>,
    ci95: BTreeMap<String, Interval>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    null_because: BTreeMap<String, String>,
}

/// A number, or the text `"inf"` that files of version 0.1.0 have.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Figure {
    Number(f64),
    Text(String),
}

impl From<Percentiles> for Written {
    fn from(of: Percentiles) -> Written {
        let mut null_because = BTreeMap::new();
        let mut figure = |name: &str, value: Option<f64>| match value {
            Some(value) if value.is_infinite() => {
                null_because.insert(name.to_owned(), INFINITE.to_owned());
                None
            }
            Some(value) => Some(Figure::Number(value)),
            None => {
                let quantile = Percentiles::QUANTILES.iter().find(|(known, _)| *known == name);
                let why = match quantile {
                    Some((_, quantile)) => {
                        format!("{} samples are too few: needs {}", of.count, order::samples_needed(*quantile))
                    }
                    None => "no samples".to_owned(),
                };
                null_because.insert(name.to_owned(), why);
                None
            }
        };
        let [min, mean, max] =
            [("min", of.min), ("mean", of.mean), ("max", of.max)].map(|(name, value)| figure(name, value));
        let quantiles = [of.p50, of.p75, of.p90, of.p95, of.p99, of.p999];
        let mut at = 0;
        let [p50, p75, p90, p95, p99, p999] = quantiles.map(|value| {
            at += 1;
            figure(Percentiles::QUANTILES[at - 1].0, value)
        });
        Written { count: of.count, min, mean, p50, p75, p90, p95, p99, p999, max, ci95: of.ci95, null_because }
    }
}

impl From<Written> for Percentiles {
    fn from(written: Written) -> Percentiles {
        let reasons = written.null_because;
        let value = |name: &str, figure: Option<Figure>| match figure {
            Some(Figure::Number(value)) => Some(value),
            Some(Figure::Text(_)) => Some(f64::INFINITY),
            None => (reasons.get(name).map(String::as_str) == Some(INFINITE)).then_some(f64::INFINITY),
        };
        Percentiles {
            count: written.count,
            min: value("min", written.min),
            mean: value("mean", written.mean),
            p50: value("p50", written.p50),
            p75: value("p75", written.p75),
            p90: value("p90", written.p90),
            p95: value("p95", written.p95),
            p99: value("p99", written.p99),
            p999: value("p999", written.p999),
            max: value("max", written.max),
            ci95: written.ci95,
        }
    }
}

/// Why an infinite figure is null: JSON has no infinity.
const INFINITE: &str = "infinite: it falls among what was lost";

/// The end of an interval that exists is a number, so that null can stand for infinity.
mod infinite_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Figure;

    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.filter(|value| value.is_finite()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Some(match Option::<Figure>::deserialize(deserializer)? {
            Some(Figure::Number(value)) => value,
            Some(Figure::Text(_)) | None => f64::INFINITY,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_percentiles() {
        let samples: Vec<u64> = (1..=4_000).map(|i| i * 1_000).collect();
        let exact = Percentiles::of_sorted(&samples, 0.001, 0);
        assert_eq!((exact.count, exact.min, exact.max), (4_000, Some(1.0), Some(4_000.0)));
        assert_eq!((exact.p50, exact.p95, exact.p999), (Some(2_000.0), Some(3_800.0), Some(3_996.0)));
        assert_eq!(exact.mean, Some(2_000.5));
        let p95 = exact.ci95["p95"];
        assert!(p95.low < exact.p95 && exact.p95 < p95.high);

        let mut histogram = Histogram::<u64>::new(3).unwrap();
        samples.iter().for_each(|&sample| histogram.record(sample).unwrap());
        let near = Percentiles::of_histogram(&histogram, 0.001, 0);
        for (name, _) in Percentiles::QUANTILES {
            let (near, exact) = (near.get(name).unwrap(), exact.get(name).unwrap());
            assert!((near / exact - 1.0).abs() < 0.001, "{name}: {near} {exact}");
        }
    }

    #[test]
    fn what_is_lost_is_infinite_and_survives_json() {
        let samples: Vec<u64> = (1..=990).collect();
        let lossy = Percentiles::of_sorted(&samples, 1.0, 10);
        assert_eq!((lossy.count, lossy.p99, lossy.p999), (1_000, Some(990.0), None));
        assert_eq!((lossy.mean, lossy.max), (Some(f64::INFINITY), Some(f64::INFINITY)));
        assert_eq!(lossy.ci95["p99"].high, Some(f64::INFINITY));
        let text = serde_json::to_string(&lossy).unwrap();
        assert!(text.contains(r#""max":null"#) && text.contains(r#""p999":null"#), "{text}");
        assert!(text.contains(r#""max":"infinite: it falls among what was lost""#), "{text}");
        assert!(text.contains(r#""p999":"1000 samples are too few: needs 3688""#), "{text}");
        assert_eq!(serde_json::from_str::<Percentiles>(&text).unwrap(), lossy);
        let older: Percentiles = serde_json::from_str(r#"{"count":7,"max":"inf","p99":null}"#).unwrap();
        assert_eq!((older.count, older.max, older.p99), (7, Some(f64::INFINITY), None));
    }

    #[test]
    fn few_or_no_samples() {
        assert_eq!(Percentiles::of_sorted(&[], 1.0, 0), Percentiles::default());
        let five = Percentiles::of_sorted(&[1, 2, 3, 4, 5], 1.0, 0);
        assert_eq!((five.p50, five.min, five.max), (None, Some(1.0), Some(5.0)));
        let empty = Histogram::<u64>::new(3).unwrap();
        assert_eq!(Percentiles::of_histogram(&empty, 1.0, 7).p50, Some(f64::INFINITY));
        assert_eq!(Percentiles::of_histogram(&empty, 1.0, 0), Percentiles::default());
    }
}
