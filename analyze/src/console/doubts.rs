//! What a reader should know before using the figures of a console log, each with the line that shows it.

use runlog::console::{ClientFailure, ConsoleRun, ConsoleSample};
use serde::Serialize;

use super::{Counter, RatePoint, clock};
use crate::audit::scene::smooth;
use crate::report::format::number;
use crate::stats::{Trend, median};

/// A reason to look twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubt {
    /// Which kind; stable.
    pub code: &'static str,
    /// The line of the file that shows it, from 1.
    pub line: u64,
    /// The time of that line since the begin of the run, s.
    pub at_s: u64,
    /// What it is about, with figures.
    pub message: String,
}

/// All doubts about a run.
pub fn of(run: &ConsoleRun) -> Vec<Doubt> {
    let ends = run.counters.values().filter_map(|lines| Some(lines.last()?.at_s));
    let mut doubts = Doubts { run, end_s: ends.max().unwrap_or(0), found: Vec::new() };
    doubts.offered();
    doubts.clients();
    doubts.failures();
    for name in FLOWS {
        doubts.flow(name);
    }
    doubts.found
}

struct Doubts<'a> {
    run: &'a ConsoleRun,
    /// Time of the log's last line, s.
    end_s: u64,
    found: Vec<Doubt>,
}

impl<'a> Doubts<'a> {
    fn add(&mut self, code: &'static str, line: &ConsoleSample, message: String) {
        self.found.push(Doubt { code, line: line.line, at_s: line.at_s, message });
    }

    fn lines(&self, name: &str) -> &'a [ConsoleSample] {
        self.run.counters.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// What publishers counted against what their command line asks for.
    fn offered(&mut self) {
        let (lines, command) = (self.lines("pub"), self.run.command.as_deref().unwrap_or_default());
        let (Some(last), Some(published)) = (lines.last(), Counter::of(self.run, "pub")) else { return };
        let plan_per_s = plan(command);
        if self.run.command.is_none() || command.contains("emqtt_bench") {
            let rate = published.steady.map_or(published.mean_per_s, |steady| Some(steady.per_s));
            let beyond = plan_per_s.zip(rate).filter(|(plan, rate)| *rate > TWICE_MIN * plan);
            if let Some((plan, rate)) = beyond {
                let (rate, plan) = (number(rate), number(plan));
                let message = format!("pub counts {rate}/s, and the command line asks for {plan}/s: {TWICE}");
                self.add("pub-counted-twice", last, message);
            } else if option(command, "-q", "--qos").is_none_or(|qos| qos == 0.0) && plan_per_s.is_none() {
                let message = format!("publishes of QoS 0, or of a QoS that the log does not show: {TWICE}");
                self.add("pub-may-count-twice", last, message);
            }
        }
        let rate = published.steady.map(|steady| steady.per_s);
        if let Some((plan, rate)) = plan_per_s.zip(rate).filter(|(plan, rate)| *rate < SHORT * plan) {
            let (rate, plan) = (number(rate), number(plan));
            let message = format!(
                "pub counts {rate}/s, and the command line asks for {plan}/s: who waits for acknowledgements offers less"
            );
            self.add("offered-less", last, message);
        }
        if let Some(late) = self.lines("pub_overrun").last().filter(|late| late.total > 0) {
            let share = late.total as f64 / last.total.max(1) as f64;
            if share > OVERRUN_SHARE_MIN {
                let message = format!(
                    "pub_overrun counts {} of {} messages ({:.1} %): they were sent when the next one was due already",
                    late.total,
                    last.total,
                    100.0 * share
                );
                self.add("overrun", late, message);
            }
        }
    }

    /// Whether all clients that were asked for connected, and all that connected subscribed.
    fn clients(&mut self) {
        let connected = self.lines("connect_succ");
        let asked = option(self.run.command.as_deref().unwrap_or_default(), "-c", "--count");
        if let (Some(asked), Some(last)) = (asked, connected.last())
            && (last.total as f64) < asked
        {
            let message = format!("{} clients connected, {asked:.0} were asked for", last.total);
            self.add("clients-missing", last, message);
        }
        // Those that connected in the last seconds of the log may be about to subscribe.
        let settled = connected.iter().rfind(|line| line.at_s + STILL_S_MIN <= self.end_s);
        if let (Some(connected), Some(last)) = (settled, self.lines("sub").last())
            && last.total < connected.total
        {
            let message = format!(
                "{} subscriptions were granted until the end ({}), and {} clients had connected by {}",
                last.total,
                clock(self.end_s),
                connected.total,
                clock(connected.at_s)
            );
            self.add("subscribers-missing", last, message);
        }
    }

    /// What the tool itself calls failed.
    fn failures(&mut self) {
        for (name, code) in FAILURES {
            let lines = self.lines(name);
            let (Some(first), Some(last)) = (lines.iter().find(|line| line.total > 0), lines.last()) else { continue };
            let message = format!("{name} counts {}, first at {}", last.total, clock(first.at_s));
            self.add(code, first, message);
        }
        for (kind, failures) in &self.run.failures {
            let code = match kind {
                ClientFailure::Connect => "connects-fail",
                ClientFailure::Publish => "publishes-fail",
                ClientFailure::Disconnect => "clients-lost",
            };
            let after = clock(failures.after_s);
            let message = format!("{} such lines, the first after {after}: {}", failures.count, failures.text);
            self.found.push(Doubt { code, line: failures.line, at_s: failures.after_s, message });
        }
    }

    /// How a counter of messages goes over time.
    fn flow(&mut self, name: &'static str) {
        let lines = self.lines(name);
        let (Some(counter), Some(last)) = (Counter::of(self.run, name), lines.last()) else { return };
        if counter.to_s + STILL_S_MIN < self.end_s {
            let (from, end) = (clock(counter.to_s), clock(self.end_s));
            let code = if name == RECEIVED { "receivers-silent" } else { "counter-stops" };
            self.add(code, last, format!("{name} stands still from {from} on, while the log goes on until {end}"));
        }
        let lengths: Vec<f64> = counter.series.iter().map(|point| point.dt_s as f64).collect();
        let usual = median(&lengths).unwrap_or(1.0);
        if let Some(pause) = counter.series.iter().find(|point| point.dt_s as f64 >= PAUSE_FACTOR * usual.max(1.0)) {
            let message =
                format!("{name} has no line from {} to {}", clock(pause.at_s - pause.dt_s), clock(pause.at_s));
            self.add("pause", line_at(lines, pause), message);
        }
        if let Some((from, message)) = collapse(&counter) {
            let code = if name == RECEIVED { "delivery-collapses" } else { "sending-collapses" };
            self.add(code, line_at(lines, &from), message);
        } else if let Some((from, message)) = fall(&counter) {
            self.add("rate-falls", line_at(lines, &from), message);
        } else if let Some((from, message)) = drift(&counter) {
            self.add("rate-drifts", line_at(lines, &from), message);
        }
        let irregular = lengths.iter().filter(|length| **length != usual).count();
        if irregular as f64 > IRREGULAR_SHARE * lengths.len() as f64 {
            let message = format!(
                "times are whole seconds: {irregular} of {} lines of {name} seem not to be {usual:.0} s after the last, so \
                 single rates are off by up to a factor of two; those over many lines are not",
                lengths.len()
            );
            self.add("whole-seconds", &lines[0], message);
        }
        if let Some(pair) = lines.windows(2).find(|pair| pair[1].total < pair[0].total) {
            let (before, after) = (pair[0].total, pair[1].total);
            let message = format!("{name} fell from {before} to {after} at {}", clock(pair[1].at_s));
            self.add("total-fell", &pair[1], message);
        }
    }
}

/// Where a rate falls to a small part of its best and stays there.
fn collapse(counter: &Counter) -> Option<(RatePoint, String)> {
    let best = levels(counter).into_iter().fold(0.0, f64::max);
    stays_below(counter, COLLAPSED_SHARE, best, "its best")
}

/// Where a rate falls below what it usually was and stays there. A queue that is worked off is not what is usual.
fn fall(counter: &Counter) -> Option<(RatePoint, String)> {
    stays_below(counter, FALLEN_SHARE, median(&levels(counter))?, "its median")
}

/// Rates without what flickers.
fn levels(counter: &Counter) -> Vec<f64> {
    smooth(&counter.series.iter().map(|point| point.per_s).collect::<Vec<_>>())
}

/// From when on a rate stays below a share of a level until the end, if for long enough that it is not the load's end.
fn stays_below(counter: &Counter, share: f64, level: f64, of: &str) -> Option<(RatePoint, String)> {
    let series = &counter.series;
    let last_good = levels(counter).iter().rposition(|rate| *rate >= share * level)?;
    let (rest, begin, end) = (&series[last_good + 1..], series[last_good], series.last()?);
    if end.at_s - begin.at_s < FALLEN_S_MIN {
        return None;
    }
    let elapsed_s: u64 = rest.iter().map(|point| point.dt_s).sum();
    let (name, level, left) = (&counter.name, number(level), number(super::increase(rest) / elapsed_s as f64));
    let (from, to) = (clock(begin.at_s), clock(end.at_s));
    let message = format!("{name} falls from {level}/s ({of}) to {left}/s from {from} until the end ({to})");
    Some((rest[0], message))
}

/// A trend in the steady part.
fn drift(counter: &Counter) -> Option<(RatePoint, String)> {
    let steady = counter.steady?;
    let part: Vec<&RatePoint> =
        counter.series.iter().filter(|point| (steady.from_s + 1..=steady.to_s).contains(&point.at_s)).collect();
    let (times, rates): (Vec<f64>, Vec<f64>) = part.iter().map(|point| (point.at_s as f64, point.per_s)).unzip();
    let (usual, trend) = (median(&rates).filter(|_| rates.len() >= TREND_LINES_MIN)?, Trend::of(&times, &rates)?);
    let by = trend.slope * (steady.to_s - steady.from_s) as f64 / usual;
    if !trend.is_there() || by.abs() < DRIFT_MIN {
        return None;
    }
    let (name, usual, tau, by) = (&counter.name, number(usual), trend.tau, 100.0 * by);
    let (from, to) = (clock(steady.from_s), clock(steady.to_s));
    let message = format!("{name} changes by {by:+.0} % from {from} to {to} (median {usual}/s, tau {tau:+.2})");
    Some((**part.first()?, message))
}

/// The line at which an interval ends.
fn line_at<'a>(lines: &'a [ConsoleSample], point: &RatePoint) -> &'a ConsoleSample {
    lines.iter().find(|line| line.at_s == point.at_s && line.total == point.total).unwrap_or(&lines[0])
}

/// Messages per second that a command line of `pub` asks for: clients over the interval of messages.
fn plan(command: &str) -> Option<f64> {
    let is_pub = command.split_ascii_whitespace().any(|word| word == "pub");
    let interval_ms = option(command, "-I", "--interval_of_msg").filter(|ms| *ms > 0.0)?;
    let clients = option(command, "-c", "--count")?;
    is_pub.then(|| clients * 1000.0 / interval_ms)
}

/// The number that an option has: `-c 4000`, `-c4000`, `--count=4000`.
fn option(command: &str, short: &str, long: &str) -> Option<f64> {
    let words: Vec<&str> = command.split_ascii_whitespace().collect();
    let value = words.iter().enumerate().find_map(|(at, word)| {
        let next = || words.get(at + 1).copied();
        if *word == short || *word == long {
            return next();
        }
        let joined = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
        joined.or_else(|| word.strip_prefix(short).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
    })?;
    value.parse().ok().filter(|value: &f64| value.is_finite())
}

const TWICE: &str = "emqtt_bench 0.6.2 counts a publish of QoS 0 twice; use what receivers or the broker count";
/// A generator that is late and catches up stays below this.
const TWICE_MIN: f64 = 1.7;
/// Below this share of the plan the load is another one.
const SHORT: f64 = 0.9;
/// Single late messages are a generator's everyday.
const OVERRUN_SHARE_MIN: f64 = 0.01;
/// Counters of what flows; the others stand still when all clients are there.
const FLOWS: [&str; 3] = ["pub", "pub_succ", RECEIVED];
const RECEIVED: &str = "recv";
/// Counters of what failed.
const FAILURES: [(&str, &str); 6] = [
    ("connect_fail", "connects-fail"),
    ("unreachable", "connects-fail"),
    ("connection_refused", "connects-fail"),
    ("connection_timeout", "connects-fail"),
    ("sub_fail", "subscribes-fail"),
    ("pub_fail", "publishes-fail"),
];
/// A counter without a line for longer stands still, s.
const STILL_S_MIN: u64 = 10;
const PAUSE_FACTOR: f64 = 5.0;
const IRREGULAR_SHARE: f64 = 0.1;
/// As a fall of bytes that `analyze audit` calls a collapse.
const COLLAPSED_SHARE: f64 = 0.2;
/// Below this share of the usual rate the load is another one.
const FALLEN_SHARE: f64 = 0.8;
/// What lasts for less may be the end of the load, s.
const FALLEN_S_MIN: u64 = 20;
/// As a drift of bytes in `analyze audit`.
const TREND_LINES_MIN: usize = 20;
const DRIFT_MIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn doubts(log: &str) -> Vec<Doubt> {
        of(&runlog::console::parse(Path::new("log"), log.as_bytes()).value[0])
    }

    fn codes(log: &str) -> Vec<&'static str> {
        doubts(log).iter().map(|doubt| doubt.code).collect()
    }

    /// 60 s of a counter, from second 10 on.
    fn steady(name: &str, per_s: u64) -> String {
        (10..70).map(|at| format!("{at}s {name} total={} rate={per_s}.00/sec\n", (at - 9) * per_s)).collect()
    }

    #[test]
    fn doubts_of_a_log() {
        let call = |options: &str| format!("$ ./emqtt_bench pub {options}\n");
        assert_eq!(codes(&(call("-c 10 -I 10 -q 0") + &steady("pub", 2_000))), ["pub-counted-twice"]);
        assert_eq!(codes(&(call("-c 10 -I 10 -q 0") + &steady("pub", 1_000))), [""; 0]);
        assert_eq!(codes(&(call("--count=10 -I10 -q 1") + &steady("pub", 300))), ["offered-less"]);
        assert_eq!(codes(&steady("pub", 300)), ["pub-may-count-twice"]);
        assert_eq!(codes(&("$ loadgen pub -c 10\n".to_owned() + &steady("pub", 300))), [""; 0]);
        let fewer = "$ emqtt_bench sub -c 40 -t x\n5s connect_succ total=39 rate=8.00/sec\n".to_owned();
        assert_eq!(codes(&(fewer.clone() + &steady("recv", 10))), ["clients-missing"]);
        assert_eq!(codes(&(steady("recv", 10) + "99s sub total=1 rate=1.00/sec\n")), ["receivers-silent"]);
        assert_eq!(codes(&(steady("recv", 10) + "99s recv total=601 rate=1.00/sec\n")), ["pause"]);
    }

    #[test]
    fn a_rate_that_falls() {
        let line = |(at, total): (u64, u64)| format!("{at}s recv total={total} rate=1.00/sec\n");
        let good: String = (1..=40).map(|at| (at, at * 1_000)).map(line).collect();
        let bad =
            |seconds: u64| (41..=40 + seconds).map(|at| (at, 40_000 + (at - 40) * 9)).map(line).collect::<String>();
        let found = doubts(&(good.clone() + &bad(200)));
        assert_eq!(found.iter().map(|doubt| doubt.code).collect::<Vec<_>>(), ["delivery-collapses"]);
        assert!(found[0].message.contains("from 1,000/s (its best) to 9/s"), "{}", found[0].message);
        // The running median is good for two more lines.
        assert!((41..=44).contains(&found[0].line), "{}", found[0].line);
        assert_eq!(codes(&(good.clone() + &bad(15))), [""; 0], "the end of a load is no collapse");
        let half: String = (41..=70).map(|at| (at, 40_000 + (at - 40) * 500)).map(line).collect();
        assert_eq!(codes(&(good + &half)), ["rate-falls"]);
        let mut total = 0;
        let tired = (1..=100).map(|at| {
            total += 1_000 - 4 * at;
            line((at, total))
        });
        let found = doubts(&tired.collect::<String>());
        assert_eq!(found.iter().map(|doubt| (doubt.code, doubt.line)).collect::<Vec<_>>(), [("rate-drifts", 2)]);
        assert!(found[0].message.contains("-50 %"), "{}", found[0].message);
    }

    #[test]
    fn clients_and_messages_that_failed() {
        let head =
            "$ emqtt_bench sub -c 40 -t x\n5s connect_succ total=40 rate=8.00/sec\n5s sub total=31 rate=8.00/sec\n";
        let found = doubts(&(head.to_owned() + &steady("recv", 10)));
        assert_eq!(
            found.iter().map(|doubt| (doubt.code, doubt.line)).collect::<Vec<_>>(),
            [("subscribers-missing", 3)]
        );
        assert_eq!(codes(head), [""; 0], "they may be about to subscribe");
        let late = "$ loadgen pub -c 40\n".to_owned() + &steady("pub", 10);
        let found = doubts(
            &(late.clone() + "69s pub_overrun total=60 rate=1.00/sec\n69s connect_fail total=2 rate=2.00/sec\n"),
        );
        assert_eq!(
            found.iter().map(|doubt| (doubt.code, doubt.line)).collect::<Vec<_>>(),
            [("overrun", 62), ("connects-fail", 63)]
        );
        assert_eq!(codes(&(late.clone() + "69s pub_overrun total=1 rate=1.00/sec\n")), [""; 0]);
        let found = doubts(&(late + "client(7): EXIT for {shutdown,tcp_closed}\n"));
        assert_eq!((found[0].code, found[0].line, found[0].at_s), ("clients-lost", 62, 69));
    }
}
