//! `--restapi [IP:]PORT`: the numbers of a run for Prometheus, at `/metrics`.
//!
//! Where emqtt_bench 0.6 has a metric, name, unit (ms) and buckets are its own; what it does not have begins with `loadgen_`
//! and follows Prometheus' rules (seconds, `_total`). The reporter writes the page once a second, from what it has collected
//! anyway; whoever scrapes gets the last page. Workers do not know of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::board::{Distribution, Series, Tally};
use crate::reason;

/// Where to listen, as typed: a port of all interfaces, or an address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) SocketAddr);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
        port.or_else(|| text.parse().ok()).map(Self).ok_or_else(|| {
            format!("`{text}`: give a port, such as 8080, or an address and a port, such as 127.0.0.1:8080")
        })
    }
}

/// Serves the page of metrics, until the process ends.
pub(crate) struct Exporter {
    page: Arc<Mutex<String>>,
}

impl Exporter {
    /// Listens. The address is told on standard error: port 0 lets the kernel choose.
    pub(crate) fn start(endpoint: Endpoint) -> Result<Self> {
        let Endpoint(addr) = endpoint;
        let listener = std::net::TcpListener::bind(addr)
            .with_context(|| format!("cannot listen on {addr} (--restapi): is another process there?"))?;
        listener.set_nonblocking(true)?;
        eprintln!("loadgen: metrics at http://{}/metrics", listener.local_addr()?);
        let page = Arc::new(Mutex::new(page(&Tally::default(), &Series::default(), &BTreeMap::new(), 0)));
        let app = Router::new().route("/metrics", get(answer)).with_state(page.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = async move {
            let served = async { axum::serve(tokio::net::TcpListener::from_std(listener)?, app).await };
            if let Err(error) = served.await {
                eprintln!("loadgen: metrics are served no more: {error}");
            }
        };
        thread::Builder::new().name("metrics".to_owned()).spawn(move || runtime.block_on(serve))?;
        Ok(Self { page })
    }

    /// Shows these numbers from now on.
    pub(crate) fn show(&self, tally: &Tally, series: &Series, failures: &BTreeMap<String, u64>, cpu_us: u64) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page(tally, series, failures, cpu_us);
    }
}

async fn answer(State(page): State<Arc<Mutex<String>>>) -> impl IntoResponse {
    let text = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// The page in Prometheus' text format, version 0.0.4.
fn page(tally: &Tally, series: &Series, failures: &BTreeMap<String, u64>, cpu_us: u64) -> String {
    let mut page = String::new();
    for (name, help, value) in OF_EMQTT_BENCH {
        single(&mut page, name, "counter", help, value(tally) as f64);
    }
    for (name, reasons) in REASONS {
        let count: u64 = reasons.iter().filter_map(|reason| failures.get(*reason)).sum();
        single(&mut page, name, "counter", name, count as f64);
    }
    for (name, kind, help, value) in OUR_OWN {
        single(&mut page, name, kind, help, value(tally) as f64);
    }
    single(&mut page, "loadgen_cpu_seconds_total", "counter", "CPU time of the generator", cpu_us as f64 / 1e6);
    let connect = "Connect duration of MQTT client (ms)";
    histogram(&mut page, "mqtt_client_connect_duration", connect, &series.connack, &CONNECT_MS, 1e6);
    let handshake = "TCP Handshake duration of MQTT client (ms)";
    histogram(&mut page, "mqtt_client_tcp_handshake_duration", handshake, &series.established, &HANDSHAKE_MS, 1e6);
    histogram(&mut page, "e2e_latency", "End-to-end latency (ms)", &series.latency, &E2E_MS, 1e6);
    // emqtt_bench's mqtt_client_subscribe_duration begins with the connect.
    histogram(&mut page, "loadgen_suback_seconds", "From SUBSCRIBE to SUBACK", &series.suback, &LAG_S, 1e9);
    let lag = "From the time at which a message was due to the time at which it was sent";
    histogram(&mut page, "loadgen_send_lag_seconds", lag, &series.send_lag, &LAG_S, 1e9);
    let ack = "From the time at which a message was due to its last acknowledgement";
    histogram(&mut page, "loadgen_ack_seconds", ack, &series.ack, &LAG_S, 1e9);
    page
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn single(page: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    head(page, name, kind, help);
    let _ = writeln!(page, "{name} {value}");
}

/// `unit_ns`: nanoseconds in the unit of the edges.
fn histogram(page: &mut String, name: &str, help: &str, values: &Distribution, edges: &[f64], unit_ns: f64) {
    head(page, name, "histogram", help);
    let (mut counts, mut count, mut sum_ns) = (vec![0; edges.len()], 0, 0.0);
    if let Some(histogram) = values.histogram() {
        for step in histogram.iter_recorded() {
            let (value, times) = (step.value_iterated_to(), step.count_since_last_iteration());
            let at = edges.partition_point(|edge| edge * unit_ns < value as f64);
            if let Some(bucket) = counts.get_mut(at) {
                *bucket += times;
            }
            count += times;
            sum_ns += histogram.median_equivalent(value) as f64 * times as f64;
        }
    }
    let mut below = 0;
    for (edge, times) in edges.iter().zip(counts) {
        below += times;
        let _ = writeln!(page, "{name}_bucket{{le=\"{edge}\"}} {below}");
    }
    let _ =
        writeln!(page, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {}\n{name}_count {count}", sum_ns / unit_ns);
}

type Value = fn(&Tally) -> u64;

const OF_EMQTT_BENCH: [(&str, &str, Value); 12] = [
    ("publish_latency", "Sum of the latencies that payload headers (ts) tell, ms", |tally| tally.header_latency_ms),
    ("recv", "Messages received", |tally| tally.received),
    ("sub", "Subscriptions granted", |tally| tally.subscribed),
    ("sub_fail", "Subscriptions that failed", |tally| tally.sub_fail),
    ("pub", "Messages given to a connection", |tally| tally.attempted),
    ("pub_fail", "Messages refused or lost with their connection", |tally| tally.pub_fail),
    ("pub_overrun", "Messages sent when the next one was due already", |tally| tally.overrun),
    ("pub_succ", "Messages acknowledged to the end", |tally| tally.acked),
    ("connect_succ", "Clients that connected", |tally| tally.connect_succ),
    ("connect_fail", "Clients that did not", |tally| tally.connect_fail),
    ("connect_retried", "Attempts that failed and were repeated", |tally| tally.connect_retried),
    ("reconnect_succ", "Connections that came back", |tally| tally.reconnect_succ),
];

/// Clients that failed to connect, by the reasons that emqtt_bench counts.
const REASONS: [(&str, &[&str]); 3] = [
    ("unreachable", &["EHOSTUNREACH", "ENETUNREACH"]),
    ("connection_refused", &["ECONNREFUSED"]),
    ("connection_timeout", &[reason::CONNECT_TIMEOUT, "ETIMEDOUT"]),
];

const OUR_OWN: [(&str, &str, &str, Value); 16] = [
    ("loadgen_connections", "gauge", "Connections that live", |tally| tally.connected),
    ("loadgen_disconnected_total", "counter", "Connections lost", |tally| tally.disconnected),
    ("loadgen_churned_total", "counter", "Connections ended on purpose, to come back", |tally| tally.churned),
    ("loadgen_offered_total", "counter", "Messages that the plan had due", |tally| tally.offered),
    ("loadgen_written_total", "counter", "Messages that the kernel took whole", |tally| tally.written),
    ("loadgen_waiting", "gauge", "Messages due and not sent yet", |tally| tally.waiting),
    ("loadgen_in_flight", "gauge", "Messages not acknowledged yet", |tally| tally.in_flight),
    ("loadgen_received_bytes_total", "counter", "Payload bytes received", |tally| tally.received_bytes),
    ("loadgen_delivered_total", "counter", "Distinct messages received", |tally| tally.delivered),
    // It may shrink: a message that was overtaken is missing until it comes.
    ("loadgen_lost", "gauge", "Messages missing although a later one of their sender came", |tally| tally.lost),
    ("loadgen_expired", "gauge", "Missing messages whose time was over", |tally| tally.expired),
    ("loadgen_duplicated_total", "counter", "Further copies of messages", |tally| tally.duplicated),
    ("loadgen_out_of_order_total", "counter", "Messages overtaken by a later one", |tally| tally.out_of_order),
    ("loadgen_verified_total", "counter", "Payloads whose every byte was checked and whole", |tally| tally.verified),
    // It may shrink: what is not recognised counts as damaged once anything is verified.
    ("loadgen_foreign", "gauge", "Payloads with nothing in them that could be verified", Tally::foreign),
    ("loadgen_corrupted_total", "counter", "Damaged payloads", Tally::corrupted),
];

const HANDSHAKE_MS: [f64; 10] = [1.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
const CONNECT_MS: [f64; 10] = [1.0, 10.0, 25.0, 50.0, 100.0, 200.0, 300.0, 500.0, 750.0, 1_000.0];
const E2E_MS: [f64; 18] = [
    1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0, 1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0, 7_500.0, 10_000.0, 15_000.0,
    20_000.0, 25_000.0, 30_000.0,
];
const LAG_S: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_port_or_an_address_with_one() {
        assert_eq!("8080".parse(), Ok(Endpoint("0.0.0.0:8080".parse().unwrap())));
        assert_eq!("127.0.0.1:0".parse(), Ok(Endpoint("127.0.0.1:0".parse().unwrap())));
        for bad in ["", "localhost", "70000", "127.0.0.1"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets_are_cumulative_and_in_the_unit_of_their_edges() {
        let mut series = Series::default();
        [500_000, 2_000_000, 30_000_000, 2_000_000_000].into_iter().for_each(|ns| series.connack.record(ns));
        let page = page(&Tally::default(), &series, &BTreeMap::from([("ECONNREFUSED".to_owned(), 3)]), 1_500_000);
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} in {page}")).parse::<f64>().unwrap()
        };
        let bucket = |edge: &str| value(&format!("mqtt_client_connect_duration_bucket{{le=\"{edge}\"}}"));
        assert_eq!(["1", "10", "25", "50", "1000", "+Inf"].map(bucket), [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]);
        assert_eq!(value("mqtt_client_connect_duration_count"), 4.0);
        assert!((value("mqtt_client_connect_duration_sum") / 2_032.5 - 1.0).abs() < 0.001);
        assert_eq!((value("connection_refused"), value("loadgen_cpu_seconds_total")), (3.0, 1.5));
    }
}
