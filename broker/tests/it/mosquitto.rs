//! mosquitto_pub and mosquitto_sub, the clients that everybody has at hand.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Broker, output};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

/// A mosquitto_sub that has subscribed. It prints a line `M|...` for each message.
struct Subscriber {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Subscriber {
    /// Starts it and waits until its subscriptions are acknowledged.
    fn start(broker: &Broker, format: &str, arguments: &[&str]) -> Self {
        // It writes to a pipe when its buffer is full, unless it is told otherwise.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &broker.port().to_string()]);
        command.args(["-d", "-W", "60", "-F", &format!("M|{format}")]).args(arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect(INSTALL);
        let stdout = child.stdout.take().expect("piped");
        let (sender, lines) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let read = BufReader::new(stdout).lines().map_while(Result::ok);
            read.into_iter().try_for_each(|line| sender.send(line)).ok();
        });
        let subscriber = Self { child, lines };
        while !subscriber.line().contains("Subscribed") {}
        subscriber
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(crate::support::PATIENCE).expect("mosquitto_sub says more")
    }

    /// The next message, as formatted.
    fn message(&self) -> String {
        loop {
            if let Some(message) = self.line().strip_prefix("M|") {
                return message.to_owned();
            }
        }
    }

    fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().expect("a process id")), signal).expect("it runs");
        self.child.wait().expect("our child");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const INSTALL: &str = "cannot start mosquitto_sub or mosquitto_pub (Debian: apt-get install mosquitto-clients)";

fn client(program: &str, broker: &Broker) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &broker.port().to_string()]);
    command
}

fn publish(broker: &Broker, arguments: &[&str]) {
    let (status, _, stderr) = output(client("mosquitto_pub", broker).args(arguments));
    assert!(status.success(), "mosquitto_pub {arguments:?}: {stderr}");
}

/// Runs mosquitto_sub to its end and returns its lines.
fn receive(broker: &Broker, arguments: &[&str]) -> Vec<String> {
    let (status, stdout, stderr) = output(client("mosquitto_sub", broker).args(["-W", "20"]).args(arguments));
    // 27 says that the time given with -W has passed.
    assert!(status.success(), "mosquitto_sub {arguments:?}: {status} {stdout} {stderr}");
    stdout.lines().map(str::to_owned).collect()
}

#[test]
fn every_version_at_every_qos_to_every_version() {
    let broker = Broker::start(3);
    for to in VERSIONS {
        let subscriber = Subscriber::start(&broker, "%t %q %r %p", &["-V", to, "-q", "2", "-t", "m/#"]);
        for from in VERSIONS {
            for qos in ["0", "1", "2"] {
                let text = format!("{from}-{qos}");
                publish(&broker, &["-V", from, "-q", qos, "-t", "m/x", "-m", &text]);
                assert_eq!(subscriber.message(), format!("m/x {qos} 0 {text}"), "to {to}");
            }
        }
    }
}

#[test]
fn large_payload_from_standard_input() {
    let broker = Broker::start(2);
    let text: String = (0..200_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let subscriber = Subscriber::start(&broker, "%l %p", &["-V", "mqttv5", "-q", "1", "-t", "large"]);
    let mut command = client("mosquitto_pub", &broker);
    command.args(["-q", "1", "-t", "large", "-s"]).stdin(Stdio::piped());
    let mut publisher = command.spawn().expect(INSTALL);
    publisher.stdin.take().expect("piped").write_all(text.as_bytes()).expect("read");
    assert!(publisher.wait().expect("our child").success());
    assert_eq!(subscriber.message(), format!("200000 {text}"));
}

#[test]
fn retained_messages_are_kept_replaced_and_deleted() {
    let broker = Broker::start(3);
    for version in VERSIONS {
        let topic = format!("status/{version}");
        publish(&broker, &["-V", version, "-r", "-q", "1", "-t", &topic, "-m", "old"]);
        publish(&broker, &["-V", version, "-r", "-q", "1", "-t", &topic, "-m", "new"]);
        let lines = receive(&broker, &["-V", version, "-C", "1", "-q", "1", "-F", "%r %p", "-t", &topic]);
        assert_eq!(lines, ["1 new"], "{version}");
        publish(&broker, &["-V", version, "-r", "-n", "-t", &topic]);
        publish(&broker, &["-V", version, "-r", "-t", &format!("{topic}/other"), "-m", "other"]);
        let lines = receive(&broker, &["-V", version, "-C", "1", "-F", "%r %t", "-t", &format!("{topic}/#")]);
        assert_eq!(lines, [format!("1 {topic}/other")], "{version}");
    }
}

#[test]
fn will_of_a_killed_client_is_published() {
    let broker = Broker::start(3);
    let watcher = Subscriber::start(&broker, "%t %r %p", &["-t", "wills/#", "-q", "1"]);
    for version in VERSIONS {
        let topic = format!("wills/{version}");
        let will = ["-V", version, "-t", "none", "--will-topic", &topic, "--will-payload", "gone", "--will-qos", "1"];
        let mut polite = Subscriber::start(&broker, "%p", &will);
        // mosquitto_sub ends by DISCONNECT on this one: in 5.0 by "disconnect with will message".
        polite.signal(Signal::SIGINT);
        if version == "mqttv5" {
            assert_eq!(watcher.message(), format!("{topic} 0 gone"));
        }
        let mut killed = Subscriber::start(&broker, "%p", &will);
        killed.signal(Signal::SIGKILL);
        assert_eq!(watcher.message(), format!("{topic} 0 gone"));
        publish(&broker, &["-t", "wills/mark", "-q", "1", "-m", version]);
        assert_eq!(watcher.message(), format!("wills/mark 0 {version}"), "one will, of the killed one");
    }
}

#[test]
fn messages_wait_for_a_persistent_session() {
    let broker = Broker::start(3);
    for version in VERSIONS {
        let id = format!("keeper-{version}");
        let mut arguments = vec!["-V", version, "-i", &id, "-c", "-q", "2", "-t", "kept/#"];
        if version == "mqttv5" {
            arguments.extend(["-x", "60"]);
        }
        // Subscribes and leaves.
        receive(&broker, &[&arguments[..], &["-E"]].concat());
        for qos in ["1", "2"] {
            publish(&broker, &["-V", version, "-q", qos, "-t", "kept/a", "-m", &format!("at {qos}")]);
        }
        let lines = receive(&broker, &[&arguments[..], &["-C", "2", "-F", "%q %p"]].concat());
        assert_eq!(lines, ["1 at 1", "2 at 2"], "{version}");
    }
}

#[test]
fn shared_subscription_splits_the_messages() {
    const COUNT: usize = 40;
    let broker = Broker::start(3);
    for version in VERSIONS {
        let filter = format!("$share/group/work/{version}/+");
        let members: Vec<Subscriber> =
            (0..2).map(|_| Subscriber::start(&broker, "%p", &["-V", version, "-q", "1", "-t", &filter])).collect();
        let lines: Vec<String> = (0..COUNT).map(|n| n.to_string()).collect();
        let mut command = client("mosquitto_pub", &broker);
        command.args(["-q", "1", "-l", "-t", &format!("work/{version}/x")]).stdin(Stdio::piped());
        let mut publisher = command.spawn().expect(INSTALL);
        publisher.stdin.take().expect("piped").write_all(lines.join("\n").as_bytes()).expect("read");
        assert!(publisher.wait().expect("our child").success());
        let mut got: Vec<usize> = Vec::new();
        for member in &members {
            got.extend((0..COUNT / 2).map(|_| member.message().parse::<usize>().expect("a number")));
        }
        got.sort_unstable();
        assert_eq!(got, (0..COUNT).collect::<Vec<_>>(), "{version}: each message to one member, in turns");
    }
}

#[test]
fn properties_of_5_0_arrive() {
    let broker = Broker::start(3);
    let format = "%C|%R|%D|%P|%E|%p";
    let subscriber = Subscriber::start(
        &broker,
        format,
        &["-V", "mqttv5", "-q", "1", "-t", "p", "-D", "subscribe", "subscription-identifier", "9"],
    );
    publish(
        &broker,
        &[
            "-V",
            "mqttv5",
            "-q",
            "1",
            "-t",
            "p",
            "-m",
            "hello",
            "-D",
            "publish",
            "content-type",
            "text/plain",
            "-D",
            "publish",
            "response-topic",
            "r/1",
            "-D",
            "publish",
            "correlation-data",
            "c42",
            "-D",
            "publish",
            "user-property",
            "b",
            "2",
            "-D",
            "publish",
            "user-property",
            "a",
            "1",
            "-D",
            "publish",
            "message-expiry-interval",
            "100",
        ],
    );
    assert_eq!(subscriber.message(), "text/plain|r/1|c42|b:2 a:1|100|hello");
}

#[test]
fn the_same_client_id_takes_over() {
    let broker = Broker::start(3);
    let first = Subscriber::start(&broker, "%p", &["-V", "mqttv5", "-i", "twin", "-t", "a"]);
    let lab = broker.lab(conformance::wire::Version::V311, "takeover");
    let connect = conformance::wire::Connect::new(lab.version, "twin");
    let (mut second, _) = lab.accepted("twin", &connect).expect("connected");
    // It is told, and ends.
    while !first.line().contains("Received DISCONNECT (142)") {}
    second.silent("the second has the name").expect("undisturbed");
}
