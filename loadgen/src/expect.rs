//! Stated expectations: `--expect 'lost==0,p99<5ms'`.
//!
//! A list is separated by commas; an expectation is `NAME OP VALUE` with one of `== != <= >= < >`. Times take `us`, `ms` or
//! `s` (a bare number is microseconds), counts and rates take `k` and `M`. A figure that the run did not produce, such as a
//! percentile that its number of samples does not allow, meets no expectation.

use std::fmt;
use std::str::FromStr;

use runlog::{LoadSummary, Percentiles};

/// One expectation.
#[derive(Debug, Clone)]
pub(crate) struct Expectation {
    text: String,
    figure: &'static Figure,
    relation: Relation,
    value: f64,
}

/// A list of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expectations(Vec<Expectation>);

/// Something that can be expected.
#[derive(Debug)]
struct Figure {
    name: &'static str,
    unit: Unit,
    of: fn(&LoadSummary) -> Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Microseconds.
    Time,
    /// Messages, connections, or either per second.
    Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Below,
    Above,
}

impl Expectations {
    /// Whether anything is expected.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of a figure that is expected and that the run did not produce.
    pub(crate) fn unknown(&self, summary: &LoadSummary) -> Option<&'static str> {
        let is_unknown = |expectation: &&Expectation| (expectation.figure.of)(summary).is_none();
        self.0.iter().find(is_unknown).map(|expectation| expectation.figure.name)
    }

    /// The expectations that a run does not meet, each with what was found.
    pub(crate) fn unmet(&self, summary: &LoadSummary) -> Vec<String> {
        self.0.iter().filter_map(|expectation| expectation.unmet(summary)).collect()
    }
}

impl Expectation {
    fn unmet(&self, summary: &LoadSummary) -> Option<String> {
        let found = (self.figure.of)(summary);
        if found.is_some_and(|found| self.relation.holds(found, self.value)) {
            return None;
        }
        let found = match (found, self.figure.unit) {
            (None, _) => "is not known: the run has no such figure, or too few samples for it".to_owned(),
            (Some(us), Unit::Time) => format!("is {:.3} ms", us / 1e3),
            (Some(count), Unit::Count) => format!("is {}", (count * 100.0).round() / 100.0),
        };
        Some(format!("expected {}: {} {found}", self.text, self.figure.name))
    }
}

impl Relation {
    /// In the order in which they are looked for: the longer ones first.
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Below),
        (">", Self::Above),
    ];

    fn holds(self, found: f64, value: f64) -> bool {
        match self {
            Self::Equal => found == value,
            Self::Unequal => found != value,
            Self::AtMost => found <= value,
            Self::AtLeast => found >= value,
            Self::Below => found < value,
            Self::Above => found > value,
        }
    }
}

impl FromStr for Expectations {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let at =
            text.find(['=', '!', '<', '>']).ok_or_else(|| format!("`{text}` compares nothing: write NAME<VALUE"))?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (sign, relation) = Relation::ALL
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or_else(|| format!("`{text}`: compare by one of == != <= >= < >"))?;
        let figure = FIGURES
            .iter()
            .find(|figure| figure.name == name)
            .ok_or_else(|| format!("`{name}` cannot be expected; what can be: {}", names()))?;
        let value = parse_value(rest[sign.len()..].trim(), figure.unit)
            .ok_or_else(|| format!("`{text}`: {}", figure.unit.hint()))?;
        Ok(Self { text: text.to_owned(), figure, relation, value })
    }
}

impl Unit {
    fn hint(self) -> &'static str {
        match self {
            Self::Time => "give a time, such as 500us, 5ms or 1s",
            Self::Count => "give a number, such as 0, 250 or 15k",
        }
    }
}

impl fmt::Display for Expectations {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(|expectation| expectation.text.as_str()).collect();
        f.write_str(&texts.join(","))
    }
}

fn parse_value(text: &str, unit: Unit) -> Option<f64> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let scale = match (unit, suffix) {
        (_, "") | (Unit::Time, "us") => 1.0,
        (Unit::Time, "ms") => 1e3,
        (Unit::Time, "s") => 1e6,
        (Unit::Count, "k") => 1e3,
        (Unit::Count, "M") => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

/// Every name, for messages and help.
pub(crate) fn names() -> String {
    FIGURES.iter().map(|figure| figure.name).collect::<Vec<_>>().join(", ")
}

/// End-to-end latency where something was received, and otherwise from due time to acknowledgement.
fn latency(summary: &LoadSummary) -> Option<&Percentiles> {
    match (&summary.receive, &summary.publish) {
        (Some(receive), _) => Some(&receive.latency_us),
        (None, Some(publish)) => Some(&publish.ack_us),
        (None, None) => None,
    }
}

macro_rules! figures {
    ($($name:literal $unit:ident $of:expr;)*) => {
        const FIGURES: &[Figure] = &[$(Figure { name: $name, unit: Unit::$unit, of: $of },)*];
    };
}

figures! {
    "lost" Count |s| Some(s.receive.as_ref()?.lost as f64);
    "expired" Count |s| Some(s.receive.as_ref()?.expired as f64);
    "duplicated" Count |s| Some(s.receive.as_ref()?.duplicated as f64);
    "out_of_order" Count |s| Some(s.receive.as_ref()?.out_of_order as f64);
    "verified" Count |s| Some(s.receive.as_ref()?.verified as f64);
    "foreign" Count |s| Some(s.receive.as_ref()?.foreign as f64);
    "corrupted" Count |s| Some(s.receive.as_ref()?.corrupted as f64);
    "delivered" Count |s| Some(s.receive.as_ref()?.delivered as f64);
    "offered" Count |s| Some(s.publish.as_ref()?.offered as f64);
    "attempted" Count |s| Some(s.publish.as_ref()?.attempted as f64);
    "written" Count |s| Some(s.publish.as_ref()?.written as f64);
    "acked" Count |s| Some(s.publish.as_ref()?.acked as f64);
    "connected" Count |s| Some(s.connect.succeeded as f64);
    "connect_fail" Count |s| Some(s.connect.failed as f64);
    "connect_rate" Count |s| Some(s.connect.rate_per_s);
    "churned" Count |s| Some(s.connect.churned as f64);
    "reconnected" Count |s| Some(s.connect.reconnected as f64);
    "disconnected" Count |s| Some(s.disconnected.total as f64);
    "generator_limited" Count |s| Some(f64::from(u8::from(s.generator_limited)));
    "p50" Time |s| latency(s)?.p50;
    "p75" Time |s| latency(s)?.p75;
    "p90" Time |s| latency(s)?.p90;
    "p95" Time |s| latency(s)?.p95;
    "p99" Time |s| latency(s)?.p99;
    "p999" Time |s| latency(s)?.p999;
    "max" Time |s| latency(s)?.max;
    "mean" Time |s| latency(s)?.mean;
    "lag" Time |s| s.publish.as_ref()?.send_lag_us.p99;
    "established_p50" Time |s| s.connect.established_us.p50;
    "established_p99" Time |s| s.connect.established_us.p99;
    "established_max" Time |s| s.connect.established_us.max;
    "connack_p50" Time |s| s.connect.connack_us.p50;
    "connack_p99" Time |s| s.connect.connack_us.p99;
    "connack_max" Time |s| s.connect.connack_us.max;
    "suback_p50" Time |s| s.connect.suback_us.p50;
    "suback_p99" Time |s| s.connect.suback_us.p99;
    "suback_max" Time |s| s.connect.suback_us.max;
}

#[cfg(test)]
mod tests {
    use super::*;
    use runlog::summary::ReceiveSummary;

    fn summary() -> LoadSummary {
        let latency_us = Percentiles { p99: Some(4_999.0), max: Some(9_000.0), ..Percentiles::default() };
        LoadSummary {
            receive: Some(ReceiveSummary { delivered: 15_000, lost: 1, latency_us, ..ReceiveSummary::default() }),
            ..LoadSummary::default()
        }
    }

    fn unmet(text: &str) -> Vec<String> {
        text.parse::<Expectations>().unwrap_or_else(|error| panic!("{text}: {error}")).unmet(&summary())
    }

    #[test]
    fn expectations_are_met_or_not() {
        for met in
            ["lost<=1", "lost==1, p99<5ms", "p99<=4999us", "delivered>=15k", "delivered<1M", "max != 8.999ms", "p99<1s"]
        {
            assert!(unmet(met).is_empty(), "{met}: {:?}", unmet(met));
        }
        assert_eq!(unmet("lost==0"), ["expected lost==0: lost is 1"]);
        assert_eq!(unmet("p99<4ms,lost==1,delivered>15k").len(), 2);
        assert!(unmet("p99>4.999ms")[0].ends_with("p99 is 4.999 ms"), "{:?}", unmet("p99>4.999ms"));
    }

    #[test]
    fn what_is_not_known_is_not_met() {
        assert!(unmet("p50<1s")[0].contains("not known"));
        assert_eq!(unmet("acked>=0").len(), 1, "nothing was published");
    }

    #[test]
    fn nonsense_is_refused_with_what_would_do() {
        let refusal = |text: &str| text.parse::<Expectations>().unwrap_err();
        assert!(refusal("speed>3").contains("what can be: lost, expired, duplicated"), "{}", refusal("speed>3"));
        for (text, hint) in [
            ("lost", "NAME<VALUE"),
            ("", "NAME<VALUE"),
            ("lost=0", "=="),
            ("p99<5k", "5ms"),
            ("lost<5ms", "15k"),
            ("lost<", "15k"),
            ("lost==0,", "NAME<VALUE"),
        ] {
            assert!(refusal(text).contains(hint), "{text}: {}", refusal(text));
        }
    }
}
