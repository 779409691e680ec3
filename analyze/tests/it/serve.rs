//! `analyze serve`: a run that grows is seen to grow, and nothing but the experiment is served.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use runlog::clock::{NS_PER_S, mono_ns, wall_ns};

use crate::tree;

#[test]
fn a_run_is_seen_to_begin_to_grow_and_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let page = server.get("");
    assert!(page.contains("No run is growing.") && page.contains("没有正在写入的运行。"), "{page}");
    assert!(page.contains("<main id=\"live\"") && page.contains("This server has used"));

    let run = directory.path().join("broker-A-ours-fan-20260101T000000Z");
    fs::create_dir(&run).unwrap();
    let mut raw = OpenOptions::new().create(true).append(true).open(run.join("raw.csv")).unwrap();
    writeln!(raw, "time_utc,tx_bytes,proc_rss_kb,mono_ns,wall_ns").unwrap();
    let (mono, wall) = (mono_ns(), wall_ns());
    let mut row = |second: u64, tx_bytes: u64, rss_kib: u64| {
        let (mono, wall) = (mono + second * NS_PER_S, wall + second * NS_PER_S);
        writeln!(raw, "2026-01-01T00:00:00Z,{tx_bytes},{rss_kib},{mono},{wall}").unwrap();
    };
    row(0, 0, 1024);
    row(1, 1_048_576 * 7, 2048);
    server.wait_for("live", &["broker A-ours-fan", "<dd>7</dd>", "<dd>2</dd>", "<svg "]);
    row(2, 1_048_576 * 20, 5120);
    server.wait_for("live", &["<dd>13</dd>", "<dd>5</dd>"]);
    let json: serde_json::Value = serde_json::from_str(&server.get("live.json")).unwrap();
    assert_eq!((json["runs"].as_u64(), json["runs_done"].as_u64()), (Some(1), Some(0)));
    assert!(json["cost"]["cpu_s"].as_f64().is_some_and(|seconds| seconds > 0.0), "{json}");
    fs::write(run.join("summary.json"), "{\"tool\":\"collector\"}").unwrap();
    server.wait_for("live", &["1 of 1 runs are complete", "No run is growing."]);
    server.stop();
}

#[test]
fn progress_phase_and_report_of_an_experiment() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    let before = files(&dir);
    let server = Server::start(&dir);
    let part = server.get("live");
    assert!(part.contains("35 of") && part.contains("<th scope=\"row\">"), "{part}");
    let report = server.get("report");
    assert!(report.contains("<h2 id=\"verdict\"") && report.contains("<figure id=\"throughput\""));
    assert_eq!(before, files(&dir), "looking wrote into the experiment");
    server.stop();
}

#[test]
fn no_address_becomes_a_path() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    let server = Server::start(&dir);
    for address in [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/plan.json",
        "/report/../plan.json",
        "//etc/passwd",
        "/live/..%2f..%2fplan.json",
        "/\0",
    ] {
        let answer = server.raw(&format!("GET {address} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(matches!(status, "404" | "400" | ""), "{address:?}: {answer}");
        assert!(!answer.contains("root:") && !answer.contains("\"steps\""), "{address:?}: {answer}");
    }
    let posted = server.raw("POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
    let got = server.raw("GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(got.contains("content-security-policy: default-src 'none'"), "{got}");
    server.stop();
}

#[test]
fn a_directory_that_is_none_and_an_address_in_use_are_named() {
    let output = crate::support::analyze(["serve", "/nowhere/at/all"]);
    assert!(!output.status.success() && crate::support::stderr(&output).contains("/nowhere/at/all is no directory"));
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = crate::support::analyze(["serve", directory.path().to_str().unwrap(), "--listen", &address]);
    let message = crate::support::stderr(&output);
    assert!(!output.status.success() && message.contains(&address) && message.contains("--listen"), "{message}");
}

/// Names below a directory with their times of change.
fn files(dir: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        found.push((entry.path(), entry.metadata().unwrap().modified().unwrap()));
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        }
    }
    found.sort();
    found
}

/// The program, serving a directory.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_analyze"))
            .arg("serve")
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary that cargo built runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        Self { child, address }
    }

    /// What Python's HTTP client gets.
    fn get(&self, path: &str) -> String {
        let script = "import sys, urllib.request\nsys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=300).read())";
        let url = format!("http://{}/{path}", self.address);
        let output = Command::new("python3").args(["-c", script, &url]).output().expect("python3 is installed");
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks until everything is there.
    fn wait_for(&self, path: &str, texts: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let page = self.get(path);
            if texts.iter().all(|text| page.contains(text)) {
                return;
            }
            assert!(Instant::now() < deadline, "{texts:?} never came: {page}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The answer to bytes that no client would send.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// SIGTERM, even while a browser holds a connection, ends it well.
    fn stop(mut self) {
        let _idle = TcpStream::connect(&self.address).unwrap();
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of a test that failed; one that has ended cannot be killed any more, and that is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
