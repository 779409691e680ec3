//! What messages carry: our stamped payload, or what the user wants instead, behind emqtt_bench's payload headers.
//!
//! Only a stamped payload tells who sent it, which one it is and when it was due; it also follows from these three, so
//! that a message which is sent again is the same to the byte.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use mqtt_wire::QoS;
use pacer::rng::mix;
use pacer::stamp::Stamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A number in front of the payload (`--payload-hdrs`), 64 bits, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// `cnt64`: the publisher's running number, from 0.
    Counter,
    /// `ts`: when the message was sent, milliseconds since 1970.
    SentAt,
}

/// What messages carry.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Body,
}

/// The payload behind the headers.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// So many bytes of ours.
    Stamped(usize),
    /// Always the same.
    Fixed(Arc<[u8]>),
    /// Made anew for each message.
    Template(Arc<[Part]>),
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text(Vec<u8>),
    /// The time of sending since 1970, in units of so many nanoseconds.
    Time(u64),
    /// A number that no other message has.
    Unique,
    /// So many random bytes.
    Random(usize),
    /// The client's number.
    Number,
    ClientId,
}

/// A message as its payload knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) stamp: Stamp,
    /// When it was first sent: `CLOCK_MONOTONIC`, and since 1970 where [`Content::needs_wall_clock`].
    pub(crate) sent_ns: u64,
    pub(crate) sent_wall_ns: u64,
}

/// One of the topics that every publisher publishes to, each on a schedule of its own (`--topics-payload`).
#[derive(Debug)]
pub(crate) struct TopicSpec {
    /// Template of the topic name.
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) interval_ns: u64,
    pub(crate) content: Content,
}

impl Content {
    /// What `-m`, `-s` and `--payload-hdrs` mean.
    pub(crate) fn from_flags(message: Option<&str>, size: usize, headers: Vec<Header>) -> Result<Self> {
        let read = |path: &str| std::fs::read(path).with_context(|| format!("-m: cannot read {path}"));
        let body = match message {
            None => Body::Stamped(size),
            Some(text) => match (text.strip_prefix("template://"), text.strip_prefix("file://")) {
                (Some(path), _) => Body::Template(parse_template(&read(path)?, size).into()),
                (None, Some(path)) => Body::Fixed(read(path)?.into()),
                (None, None) => Body::Fixed(text.as_bytes().into()),
            },
        };
        let content = Self { headers, body };
        ensure!(
            content.len_max() <= PAYLOAD_BYTES_MAX,
            "-m: a payload cannot be longer than {PAYLOAD_BYTES_MAX} bytes"
        );
        Ok(content)
    }

    /// Whether receivers can tell loss, duplicates, disorder and latency from it.
    pub(crate) fn is_stamped(&self) -> bool {
        matches!(self.body, Body::Stamped(size) if size >= Stamp::LEN)
    }

    /// The length of a payload, where all are equally long.
    pub(crate) fn fixed_len(&self) -> Option<usize> {
        let body = match &self.body {
            Body::Stamped(size) => *size,
            Body::Fixed(bytes) => bytes.len(),
            Body::Template(_) => return None,
        };
        Some(body + self.headers.len() * HEADER_BYTES)
    }

    fn len_max(&self) -> usize {
        let Body::Template(parts) = &self.body else { return self.fixed_len().unwrap_or_default() };
        let lengths = parts.iter().map(|part| match part {
            Part::Text(bytes) => bytes.len(),
            Part::Random(size) => *size,
            Part::ClientId => usize::from(u16::MAX),
            Part::Time(_) | Part::Unique | Part::Number => 20,
        });
        self.headers.len() * HEADER_BYTES + lengths.sum::<usize>()
    }

    /// Whether it says what time it is.
    pub(crate) fn needs_wall_clock(&self) -> bool {
        let in_body =
            matches!(&self.body, Body::Template(parts) if parts.iter().any(|part| matches!(part, Part::Time(_))));
        in_body || self.headers.contains(&Header::SentAt)
    }

    /// Whether it differs from client to client.
    pub(crate) fn is_per_client(&self) -> bool {
        let Body::Template(parts) = &self.body else { return false };
        parts.iter().any(|part| matches!(part, Part::Number | Part::ClientId))
    }

    /// The same with everything filled in that depends on the client alone.
    pub(crate) fn of_client(&self, number: u32, client_id: &str) -> Self {
        let Body::Template(parts) = &self.body else { return self.clone() };
        let fill = |part: &Part| match part {
            Part::Number => Part::Text(number.to_string().into_bytes()),
            Part::ClientId => Part::Text(client_id.as_bytes().to_vec()),
            other => other.clone(),
        };
        Self { headers: self.headers.clone(), body: Body::Template(parts.iter().map(fill).collect()) }
    }

    /// Appends the payload of a message.
    pub(crate) fn append(&self, message: &Message, out: &mut Vec<u8>) {
        for header in &self.headers {
            let number = match header {
                Header::Counter => u64::from(message.stamp.sequence),
                Header::SentAt => message.sent_wall_ns / NS_PER_MS,
            };
            out.extend_from_slice(&number.to_be_bytes());
        }
        match &self.body {
            Body::Stamped(size) => {
                let at = out.len();
                out.resize(at + size, 0);
                message.stamp.fill_sent_at(message.sent_ns, &mut out[at..]);
            }
            Body::Fixed(bytes) => out.extend_from_slice(bytes),
            Body::Template(parts) => parts.iter().for_each(|part| part.append(message, out)),
        }
    }
}

impl Part {
    fn append(&self, message: &Message, out: &mut Vec<u8>) {
        let identity = u64::from(message.stamp.sender) << 32 | u64::from(message.stamp.sequence);
        match self {
            Self::Text(bytes) => out.extend_from_slice(bytes),
            Self::Time(unit_ns) => out.extend_from_slice((message.sent_wall_ns / unit_ns).to_string().as_bytes()),
            Self::Unique => out.extend_from_slice(identity.to_string().as_bytes()),
            Self::Random(size) => {
                let words = (0..size.div_ceil(8) as u64).map(|at| mix(mix(identity) ^ at).to_le_bytes());
                let at = out.len();
                out.extend(words.flatten());
                out.truncate(at + size);
            }
            // Filled in beforehand.
            Self::Number | Self::ClientId => {}
        }
    }
}

/// Reads `cnt64` and `ts`.
pub(crate) fn parse_headers(names: &[String]) -> Result<Vec<Header>> {
    let parse = |name: &String| match name.as_str() {
        "cnt64" => Ok(Header::Counter),
        "ts" => Ok(Header::SentAt),
        _ => bail!("--payload-hdrs: `{name}` is not known: give cnt64, ts or both"),
    };
    names.iter().filter(|name| !name.is_empty()).map(parse).collect()
}

/// What stands in front of a received payload, and the rest; `None` when it is too short for that.
pub(crate) fn split_headers<'p>(headers: &[Header], payload: &'p [u8]) -> Option<(Headers, &'p [u8])> {
    let (mut found, mut rest) = (Headers::default(), payload);
    for header in headers {
        let (word, behind) = rest.split_first_chunk()?;
        let number = Some(u64::from_be_bytes(*word));
        rest = behind;
        match header {
            Header::Counter => found.counter = number,
            Header::SentAt => found.sent_at_ms = number,
        }
    }
    Some((found, rest))
}

/// The headers of a payload, as far as there are any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    pub(crate) counter: Option<u64>,
    pub(crate) sent_at_ms: Option<u64>,
}

/// Reads emqtt_bench's file of topics and payloads.
pub(crate) fn read_topics(path: &Path, headers: &[Header]) -> Result<Vec<TopicSpec>> {
    let place = || format!("--topics-payload {}", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    let file: TopicsFile = serde_json::from_str(&text).with_context(place)?;
    ensure!(!file.topics.is_empty(), "{} has no topics", place());
    let specs = file.topics.into_iter().map(|topic| topic.into_spec(headers).with_context(place));
    specs.collect()
}

#[derive(Deserialize)]
struct TopicsFile {
    topics: Vec<TopicEntry>,
}

/// An entry as it stands in the file. Fields of QUIC streams are read and mean nothing here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicEntry {
    name: String,
    interval_ms: Value,
    #[serde(default)]
    inject_timestamp: Value,
    #[serde(rename = "QoS", default)]
    qos: u8,
    payload: Map<String, Value>,
    render: Option<String>,
    payload_encoding: Option<String>,
    #[serde(rename = "stream", default)]
    _stream: Value,
    #[serde(rename = "stream_priority", default)]
    _stream_priority: Value,
}

impl TopicEntry {
    fn into_spec(self, headers: &[Header]) -> Result<TopicSpec> {
        let name = &self.name;
        if let Some(encoding) = self.payload_encoding.as_deref().filter(|encoding| *encoding != "json") {
            bail!("topic {name}: payload_encoding {encoding} is not known here: use json");
        }
        let interval = match &self.interval_ms {
            Value::String(text) => text.parse().ok(),
            other => other.as_f64(),
        };
        let interval_ms = interval.filter(|ms: &f64| *ms > 0.0 && *ms < 1e12);
        let interval_ms = interval_ms.with_context(|| format!("topic {name}: interval_ms must be a number above 0"))?;
        let unit_ns = match &self.inject_timestamp {
            Value::Null | Value::Bool(false) => None,
            Value::Bool(true) => Some(NS_PER_MS),
            Value::String(unit) => Some(match unit.as_str() {
                "s" => 1_000_000_000,
                "ms" => NS_PER_MS,
                "us" => 1_000,
                "ns" => 1,
                _ => bail!("topic {name}: inject_timestamp `{unit}`: give true, false, s, ms, us or ns"),
            }),
            _ => bail!("topic {name}: inject_timestamp: give true, false, s, ms, us or ns"),
        };
        let mut object = self.payload;
        if unit_ns.is_some() {
            object.entry("timestamp").or_insert(Value::Null);
        }
        let mut parts = Parts::default();
        for (at, (key, value)) in object.iter().enumerate() {
            parts.text(if at == 0 { b"{" } else { b"," });
            parts.text(serde_json::to_string(key)?.as_bytes());
            parts.text(b":");
            match unit_ns.filter(|_| key == "timestamp") {
                Some(unit_ns) => parts.0.push(Part::Time(unit_ns)),
                None => {
                    let json = serde_json::to_string(value)?;
                    match self.render.as_ref().is_some_and(|field| field == key) {
                        true => parts.variables(json.as_bytes(), CLIENT_VARIABLES),
                        false => parts.text(json.as_bytes()),
                    }
                }
            }
        }
        parts.text(if object.is_empty() { b"{}" } else { b"}" });
        Ok(TopicSpec {
            qos: QoS::from_bits(self.qos).with_context(|| format!("topic {name}: QoS"))?,
            interval_ns: (interval_ms * 1e6).round() as u64,
            content: Content { headers: headers.to_vec(), body: Body::Template(parts.0.into()) },
            topic: self.name,
        })
    }
}

fn parse_template(bytes: &[u8], random_len: usize) -> Vec<Part> {
    let mut parts = Parts::default();
    let variables = [
        ("%TIMESTAMP%", Part::Time(NS_PER_MS)),
        ("%TIMESTAMPMS%", Part::Time(NS_PER_MS)),
        ("%TIMESTAMPUS%", Part::Time(1_000)),
        ("%TIMESTAMPNS%", Part::Time(1)),
        ("%UNIQUE%", Part::Unique),
        ("%RANDOM%", Part::Random(random_len)),
    ];
    parts.variables(bytes, &variables);
    parts.0
}

/// Parts being collected; neighbouring texts are one.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn text(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            Some(Part::Text(text)) => text.extend_from_slice(bytes),
            _ if bytes.is_empty() => {}
            _ => self.0.push(Part::Text(bytes.to_vec())),
        }
    }

    fn variables(&mut self, mut bytes: &[u8], variables: &[(&str, Part)]) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'%') {
            self.text(&bytes[..at]);
            bytes = &bytes[at..];
            match variables.iter().find(|(name, _)| bytes.starts_with(name.as_bytes())) {
                Some((name, part)) => {
                    self.0.push(part.clone());
                    bytes = &bytes[name.len()..];
                }
                None => {
                    self.text(b"%");
                    bytes = &bytes[1..];
                }
            }
        }
        self.text(bytes);
    }
}

const CLIENT_VARIABLES: &[(&str, Part)] = &[("%i", Part::Number), ("%c", Part::ClientId)];
const HEADER_BYTES: usize = 8;
const NS_PER_MS: u64 = 1_000_000;
/// What an MQTT packet holds, less its header.
const PAYLOAD_BYTES_MAX: usize = 268_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u32) -> Message {
        Message { stamp: Stamp { sender: 7, sequence, due_ns: 5 }, sent_ns: 6, sent_wall_ns: 1_700_000_000_123_456_789 }
    }

    fn payload(content: &Content, sequence: u32) -> Vec<u8> {
        let mut out = Vec::new();
        content.append(&message(sequence), &mut out);
        out
    }

    #[test]
    fn templates_take_every_variable_as_often_as_it_stands_there() {
        let text = b"%TIMESTAMP% %TIMESTAMPMS% %TIMESTAMPUS% %TIMESTAMPNS% 100% %UNIQUE%,%UNIQUE% [%RANDOM%]";
        let content = Content { headers: Vec::new(), body: Body::Template(parse_template(text, 11).into()) };
        let bytes = payload(&content, 3);
        let unique = (7_u64 << 32 | 3).to_string();
        let head = format!("1700000000123 1700000000123 1700000000123456 1700000000123456789 100% {unique},{unique} [");
        assert!(bytes.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(bytes.len(), head.len() + 11 + 1);
        assert_eq!(bytes, payload(&content, 3), "a repeated message is the same");
        assert_ne!(bytes, payload(&content, 4));
    }

    #[test]
    fn headers_stand_in_front_in_the_order_given() {
        let headers = parse_headers(&["ts".to_owned(), "cnt64".to_owned()]).unwrap();
        let content = Content::from_flags(None, 40, headers.clone()).unwrap();
        let bytes = payload(&content, 9);
        assert_eq!(Some(bytes.len()), content.fixed_len());
        let (found, rest) = split_headers(&headers, &bytes).unwrap();
        assert_eq!(found, Headers { counter: Some(9), sent_at_ms: Some(1_700_000_000_123) });
        assert_eq!(Stamp::read(rest), pacer::stamp::Reading::Intact(message(9).stamp));
        assert!(split_headers(&headers, &bytes[..15]).is_none());
        assert!(parse_headers(&["crc".to_owned()]).is_err());
    }

    #[test]
    fn a_file_of_topics_is_read_as_emqtt_bench_reads_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = r#"{"topics": [
            {"name": "a/%i", "interval_ms": "250", "inject_timestamp": "us", "QoS": 1, "render": "VIN",
             "payload": {"VIN": "v-%i-%c", "n": 1, "timestamp": "0"}, "payload_encoding": "json", "stream": 0,
             "stream_priority": 3},
            {"name": "b", "interval_ms": 40, "inject_timestamp": false, "QoS": 0, "payload": {"x": "%i"}}]}"#;
        std::fs::write(file.path(), text).unwrap();
        let specs = read_topics(file.path(), &[]).unwrap();
        assert_eq!((specs[0].interval_ns, specs[0].qos), (250_000_000, QoS::AtLeastOnce));
        let own = |spec: &TopicSpec| String::from_utf8(payload(&spec.content.of_client(4, "cid"), 0)).unwrap();
        assert_eq!(own(&specs[0]), r#"{"VIN":"v-4-cid","n":1,"timestamp":1700000000123456}"#);
        assert_eq!((own(&specs[1]).as_str(), specs[1].interval_ns), (r#"{"x":"%i"}"#, 40_000_000));
        for (from, to, wanted) in [
            ("\"250\"", "\"often\"", "interval_ms"),
            ("json", "eterm", "eterm"),
            ("\"QoS\": 1", "\"QoS\": 3", "QoS"),
            ("\"us\"", "\"min\"", "inject_timestamp"),
            ("\"render\"", "\"rendre\"", "rendre"),
        ] {
            std::fs::write(file.path(), text.replace(from, to)).unwrap();
            let error = format!("{:#}", read_topics(file.path(), &[]).unwrap_err());
            assert!(error.contains(wanted), "{error}");
        }
    }
}
