//! `--restapi`: what a scraper gets, while the run goes on.

use std::collections::HashMap;
use std::process::Command;

use crate::support::{Loadgen, Ours, free_addr, run, text_of, wait_until};

/// The samples of a page, after a look at its form: a sample line has a name and a number, and each family is announced by
/// its HELP and TYPE.
fn samples(page: &str) -> HashMap<String, f64> {
    let mut samples = HashMap::new();
    let mut family = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(page.contains(&format!("# HELP {name} ")), "{name}");
            family = name.to_owned();
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(name.starts_with(&family), "{name} in the family {family}");
            assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
        }
    }
    samples
}

/// Python's HTTP client: status and content type, an empty line, the page.
const GET: &str = "
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=60)
connection.request('GET', sys.argv[2])
answer = connection.getresponse()
print(answer.status, answer.getheader('content-type'), end='\\n\\n')
print(answer.read().decode(), end='')
";

#[test]
fn a_scraper_sees_the_run_under_the_names_of_emqtt_bench() {
    let broker = Ours::start();
    let addr = free_addr();
    let publish =
        Loadgen::start("pub", broker.addr, &format!("-c 3 -i 1 -t m/%i -q 1 -I 10 --prometheus --restapi {addr}"));
    let scrape = |path: &str| {
        let output =
            Command::new("python3").args(["-c", GET, &addr.to_string(), path]).output().expect("python3 is on PATH");
        String::from_utf8(output.stdout).unwrap()
    };
    let mut page = String::new();
    wait_until("a page tells of acknowledged messages", || {
        page = scrape("/metrics");
        page.contains("\npub_succ ") && !page.contains("\npub_succ 0\n")
    });
    let (head, body) = page.split_once("\n\n").unwrap();
    assert!(head.starts_with("200 text/plain; version=0.0.4"), "{head}");
    let samples = samples(body);
    let value = |name: &str| samples[name];
    assert_eq!((value("connect_succ"), value("connect_fail"), value("loadgen_connections")), (3.0, 0.0, 3.0));
    assert!(value("pub") >= value("pub_succ") && value("loadgen_offered_total") >= value("pub"), "{body}");
    assert_eq!(value("mqtt_client_connect_duration_count"), 3.0);
    assert_eq!(value("mqtt_client_connect_duration_bucket{le=\"+Inf\"}"), 3.0);
    assert_eq!(value("mqtt_client_tcp_handshake_duration_count"), 3.0);
    assert_eq!(value("loadgen_suback_seconds_count"), 0.0, "publishers do not subscribe");
    assert!(value("loadgen_ack_seconds_count") > 0.0 && value("loadgen_ack_seconds_sum") > 0.0);
    assert!(scrape("/other").starts_with("404 "));
    let end = publish.stop();
    assert_eq!(end.code, Some(0), "{}", end.output);
    assert!(end.output.contains(&format!("metrics at http://{addr}/metrics")), "{}", end.output);
}

#[test]
fn an_endpoint_that_cannot_be_had_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    for (endpoint, hint) in [(addr.to_string(), "is another process there"), ("here".to_owned(), "127.0.0.1:8080")] {
        let output = run(&format!("conn -h 127.0.0.1 -c 1 --restapi {endpoint}"));
        assert!(!output.status.success() && text_of(&output).contains(hint), "{endpoint}: {}", text_of(&output));
    }
}
