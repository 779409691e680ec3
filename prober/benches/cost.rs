//! What the prober itself adds to a latency: `cargo bench -p prober --bench cost -- [HOST:PORT] [ROUNDS] [PROBES] [MS]`.
//!
//! The peer is the least that a prober can be: a client of bare system calls (`clock_nanosleep`, `write`, `epoll_wait`,
//! `read`) that knows the one packet that it expects. Both probe the same broker, taking turns, and the difference of
//! their medians is what the prober costs. Without HOST:PORT a Mosquitto is started; a broker that does as little as
//! possible shows the difference best.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use runlog::{Percentiles, ProbeSummary, clock};

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, default: u64| words.get(at).map_or(default, |word| word.parse().expect("a number"));
    let (rounds, probes, interval_ms) = (number(1, 5), number(2, 1_000), number(3, 2));
    let (_broker, remote) = match words.first() {
        Some(remote) => (None, remote.parse().expect("HOST:PORT, HOST being an address")),
        None => mosquitto(),
    };
    println!("{rounds} rounds of {probes} probes, one each {interval_ms} ms, to {remote}; us");
    println!("{:<34} {:>9} {:>9} {:>9} {:>9}", "", "p50", "p95", "p99", "due p50");
    let mut medians: Vec<(String, Vec<f64>)> = Vec::new();
    for round in 0..rounds {
        let bare = [("bare epoll client", false), ("bare epoll client, real-time", true)];
        let flags: [(&str, &[&str]); 3] =
            [("prober", &[]), ("prober --realtime", &["--realtime"]), ("prober --busy-poll", &["--busy-poll"])];
        let bare = bare.map(|(name, real_time)| {
            // A topic of its own: the least of brokers does not forget subscriptions.
            let topic = format!("bare/{round:03}{}", u8::from(real_time));
            (name, Bare::open(remote, topic).probe(probes, interval_ms, real_time))
        });
        let ours = flags.map(|(name, flags)| (name, prober(remote, probes, interval_ms, flags)));
        for (name, (sent, due)) in bare.into_iter().chain(ours) {
            let cell = |value: Option<f64>| value.map_or("-".to_owned(), |us| format!("{us:.1}"));
            println!(
                "{name:<34} {:>9} {:>9} {:>9} {:>9}",
                cell(sent.p50),
                cell(sent.p95),
                cell(sent.p99),
                cell(due.p50)
            );
            match medians.iter_mut().find(|(known, _)| known == name) {
                Some((_, list)) => list.extend(sent.p50),
                None => medians.push((name.to_owned(), sent.p50.into_iter().collect())),
            }
        }
    }
    println!("\nmedian of the rounds' p50 from the send:");
    let peer = middle(&mut medians[0].1);
    for (name, values) in &mut medians {
        let value = middle(values);
        println!("{name:<34} {value:>9.1}  {:+.1} us, {:.2} times the bare client", value - peer, value / peer);
    }
}

/// The least that a prober can be.
struct Bare {
    publisher: TcpStream,
    subscriber: TcpStream,
    epoll: i32,
    /// Of [`TOPIC_LEN`] bytes, so that the lengths in the packets are constants.
    topic: String,
}

impl Bare {
    fn open(remote: SocketAddr, topic: String) -> Bare {
        assert_eq!(topic.len(), TOPIC_LEN);
        let connect = |id: u8| {
            let mut stream = TcpStream::connect(remote).expect("a broker");
            stream.set_nodelay(true).expect("an option of every TCP socket");
            let packet = [&b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04bar"[..], &[id]].concat();
            stream.write_all(&packet).expect("CONNECT");
            stream.read_exact(&mut [0; 4]).expect("CONNACK");
            stream
        };
        let (publisher, mut subscriber) = (connect(b'p'), connect(b's'));
        let packet = [&b"\x82\x0e\x00\x01\x00\x09"[..], topic.as_bytes(), b"\x00"].concat();
        subscriber.write_all(&packet).expect("SUBSCRIBE");
        subscriber.read_exact(&mut [0; 5]).expect("SUBACK");
        // SAFETY: no pointers.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: both descriptors are open, the pointer is to a live event.
        let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, subscriber.as_raw_fd(), &raw mut event) };
        assert!(epoll >= 0 && added == 0);
        Bare { publisher, subscriber, epoll, topic }
    }

    /// Latency from the send and from the due time.
    fn probe(mut self, probes: u64, interval_ms: u64, real_time: bool) -> (Percentiles, Percentiles) {
        let priority = |policy, sched_priority| {
            let parameters = libc::sched_param { sched_priority };
            // SAFETY: the pointer is to a live `sched_param`; 0 is the calling thread.
            unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) }
        };
        if real_time {
            priority(libc::SCHED_FIFO, 1);
        }
        // PUBLISH of 24 bytes.
        let packet = [&b"\x30\x23\x00\x09"[..], self.topic.as_bytes(), &[7; 24]].concat();
        let (mut from_send, mut from_due) = (Vec::new(), Vec::new());
        let start_ns = clock::mono_ns() + 20_000_000;
        for number in 0..probes {
            let due_ns = start_ns + number * interval_ms * 1_000_000;
            sleep_until(due_ns);
            let sent_ns = clock::mono_ns();
            self.publisher.write_all(&packet).expect("PUBLISH");
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: room for the one event that is asked for.
            unsafe { libc::epoll_wait(self.epoll, &raw mut event, 1, -1) };
            let count = self.subscriber.read(&mut [0; 4_096]).expect("PUBLISH");
            let now_ns = clock::mono_ns();
            assert_eq!(count, packet.len());
            from_send.push(now_ns - sent_ns);
            from_due.push(now_ns - due_ns);
        }
        priority(libc::SCHED_OTHER, 0);
        // SAFETY: opened by `open`, closed once.
        unsafe { libc::close(self.epoll) };
        (percentiles(from_send), percentiles(from_due))
    }
}

fn sleep_until(due_ns: u64) {
    let at = libc::timespec { tv_sec: (due_ns / 1_000_000_000) as i64, tv_nsec: (due_ns % 1_000_000_000) as i64 };
    // SAFETY: the pointer is to a live `timespec`; no remainder is asked for.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const at, std::ptr::null_mut()) };
}

fn prober(remote: SocketAddr, probes: u64, interval_ms: u64, flags: &[&str]) -> (Percentiles, Percentiles) {
    let json = tempfile::NamedTempFile::new().expect("a temporary file");
    let (host, port) = (remote.ip().to_string(), remote.port().to_string());
    let (probes, interval_ms) = (probes.to_string(), interval_ms.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_prober"));
    command.args(["-h", &host, "-p", &port, "-n", &probes, "-i", &interval_ms, "--warmup", "0", "--json"]);
    let output = command.arg(json.path()).args(flags).output().expect("the prober");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: ProbeSummary = serde_json::from_reader(json.as_file()).expect("a summary");
    (summary.uncorrected_latency_us, summary.latency_us)
}

fn percentiles(mut samples_ns: Vec<u64>) -> Percentiles {
    samples_ns.sort_unstable();
    Percentiles::of_sorted(&samples_ns, 0.001, 0)
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

const TOPIC_LEN: usize = 9;

/// A Mosquitto that ends with the value.
struct Mosquitto {
    child: Child,
    _config: tempfile::TempDir,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mosquitto() -> (Option<Mosquitto>, SocketAddr) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let remote = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let config = directory.path().join("mosquitto.conf");
    let text = format!("listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n", remote.port());
    std::fs::write(&config, text).expect("room for a file");
    let child = Command::new("mosquitto").arg("-c").arg(&config).stderr(Stdio::null()).spawn();
    let child = child.expect("mosquitto (apt-get install mosquitto), or HOST:PORT of a broker");
    let broker = Mosquitto { child, _config: directory };
    while TcpStream::connect(remote).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    (Some(broker), remote)
}
