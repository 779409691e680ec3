//! Every pacing, proven by what arrives: each payload says when it was due and when it was sent. The due times are compared
//! with the plan that the same words and the same seed give, the times of sending with the due times and with the summary.

use pacer::pacing::Pacing;
use pacer::rng::mix;
use pacer::stamp::{Reading, Stamp};

use crate::support::{Listener, Loadgen, Mosquitto, run, text_of};

const SEED: u64 = 5;
const CLIENTS: u32 = 3;

/// What was published: stamp and time of sending, in the order of due times, client by client where they are equal.
fn sent(broker: &Mosquitto, topic: &str, pacing: &str, limit: usize) -> (Vec<(Stamp, u64)>, runlog::LoadSummary) {
    let listener = Listener::start(broker.addr, topic, "%x", limit);
    let flags =
        format!("-c {CLIENTS} -R 1000 -w --threads 1 --seed {SEED} -t {topic} -s 32 -q 1 -F 0 -L {limit} {pacing}");
    let end = Loadgen::start("pub", broker.addr, &flags).finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    let mut messages: Vec<(Stamp, u64)> = listener.finish().iter().map(|hex| parse(hex)).collect();
    assert_eq!(messages.len(), limit);
    messages.sort_by_key(|(stamp, _)| (stamp.due_ns, index(stamp), stamp.sequence));
    (messages, end.summary)
}

fn parse(hex: &str) -> (Stamp, u64) {
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    let Reading::Intact(stamp) = Stamp::read(&bytes) else { panic!("{hex}") };
    (stamp, Stamp::peek_sent_ns(&bytes).unwrap())
}

fn index(stamp: &Stamp) -> u32 {
    stamp.sender.wrapping_sub(mix(SEED) as u32)
}

/// The first due times of all clients together, by the crate that plans them, from 0 on.
fn planned(pacing: &str, interval_ns: u64, limit: usize) -> Vec<(u64, u32)> {
    let pacing: Pacing = pacing.parse().unwrap();
    let mut dues: Vec<(u64, u32)> = (0..CLIENTS)
        .flat_map(|index| {
            let mut schedule = pacing.schedule(0, interval_ns, index, SEED);
            (0..limit).map(move |_| (schedule.take_due(u64::MAX - 1).unwrap(), index))
        })
        .collect();
    dues.sort_unstable();
    dues.truncate(limit);
    dues
}

#[test]
fn messages_are_due_as_planned_and_never_sent_before() {
    let Some(broker) = Mosquitto::start() else { return };
    for (at, pacing) in ["constant", "poisson", "ramp:5-200@500ms", "burst:20@70ms"].into_iter().enumerate() {
        let limit = 200;
        let (messages, summary) = sent(&broker, &format!("pace/{at}"), &format!("-I 7 --pacing {pacing}"), limit);
        let plan = planned(pacing, 7_000_000, limit);
        // The moment at which publishing began is not told; one message tells it, and all others have to agree.
        let begin_ns = messages[0].0.due_ns - plan[0].0;
        let recorded: Vec<(u64, u32)> =
            messages.iter().map(|(stamp, _)| (stamp.due_ns - begin_ns, index(stamp))).collect();
        assert_eq!(recorded, plan, "{pacing}");
        let lags_ns: Vec<u64> = messages
            .iter()
            .map(|(stamp, sent_ns)| sent_ns.checked_sub(stamp.due_ns).expect("not sent early"))
            .collect();
        // The histogram of the summary is the one of these differences.
        let published = summary.publish.expect("a publisher's summary");
        let latest_ns = *lags_ns.iter().max().unwrap();
        assert_eq!((published.send_lag_us.count, published.late_max_us), (limit as u64, latest_ns / 1_000), "{pacing}");
        let mean_us = lags_ns.iter().sum::<u64>() as f64 / limit as f64 / 1e3;
        let told_us = published.send_lag_us.mean.unwrap();
        assert!((told_us / mean_us - 1.0).abs() < 0.01, "{pacing}: {told_us} us, recorded {mean_us} us");
    }
}

#[test]
fn flat_out_is_due_when_it_can_be_sent() {
    let Some(broker) = Mosquitto::start() else { return };
    for (at, pacing) in ["--pacing flat-out", "-I 0 --min-random-wait 200"].into_iter().enumerate() {
        let (messages, summary) = sent(&broker, &format!("flat/{at}"), pacing, 1_000);
        assert!(messages.iter().all(|(stamp, sent_ns)| stamp.due_ns == *sent_ns), "{pacing}");
        assert_eq!(summary.publish.unwrap().late_max_us, 0);
    }
}

#[test]
fn pacing_that_makes_no_sense_is_refused() {
    for (pacing, word) in [
        ("--pacing fast", "this is no pacing"),
        ("--pacing ramp:5@1s", "FROM-TO"),
        ("--pacing burst:0@1s", "positive whole number"),
        ("--pacing poisson -I 0", "mean interval"),
    ] {
        let output = run(&format!("pub -h 127.0.0.1 -t a {pacing}"));
        assert!(!output.status.success() && text_of(&output).contains(word), "{pacing}: {}", text_of(&output));
    }
}
