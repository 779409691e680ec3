//! What a run shows while it runs: emqtt_bench's lines on standard output, and a progress bar where standard error is a
//! terminal.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::board::Tally;
use crate::scenario::Plan;

/// Prints the lines of a run.
pub(crate) struct Console {
    started_ns: u64,
    last_ns: u64,
    last: Tally,
    bar: ProgressBar,
    clients: u64,
    is_quiet: bool,
}

impl Console {
    /// Greets as emqtt_bench does.
    pub(crate) fn start(plan: &Plan, started_ns: u64) -> Self {
        let (settings, threads) = (plan.run(), plan.threads());
        let (interval_ns, parts) = settings.connect_interval;
        let between_ms = interval_ns as f64 / parts as f64 * threads as f64 / 1e6;
        let bar = ProgressBar::new(plan.clients());
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {elapsed}");
        bar.set_style(style.expect("a constant template that parses"));
        bar.set_message("connecting");
        let console = Self {
            started_ns,
            last_ns: started_ns,
            last: Tally::default(),
            bar,
            clients: plan.clients(),
            is_quiet: settings.is_quiet || plan.trial.is_some(),
        };
        console.line(&format!(
            "Start with {} workers, addrs pool size: {} and req interval: {} ms \n",
            threads,
            settings.ifaddrs.len().max(1),
            between_ms.round()
        ));
        console
    }

    /// One line per counter that has changed, in emqtt_bench's order and form.
    pub(crate) fn tick(&mut self, now_ns: u64, tally: &Tally) {
        let seconds = (now_ns - self.last_ns) as f64 / 1e9;
        let time = elapsed_text(Duration::from_nanos(now_ns - self.started_ns));
        let latencies = tally.header_latencies - self.last.header_latencies;
        let sum_ms = tally.header_latency_ms - self.last.header_latency_ms;
        if let Some(mean_ms) = sum_ms.checked_div(latencies) {
            self.line(&format!("{time} publish_latency avg={mean_ms}ms"));
        }
        for (name, counter) in COUNTERS {
            let (total, before) = (counter(tally), counter(&self.last));
            if total != before {
                let rate = (total as f64 - before as f64) / seconds;
                self.line(&format!("{time} {name} total={total} rate={rate:.2}/sec"));
            }
        }
        self.last = *tally;
        self.last_ns = now_ns;
    }

    /// Moves the progress bar.
    pub(crate) fn progress(&self, tally: &Tally, ready: bool) {
        if ready && self.bar.length() == Some(self.clients) {
            let moved = tally.attempted.max(tally.received);
            self.bar.set_message(format!("settled, {} connected, {moved} messages", tally.connected));
        }
        self.bar.set_position(tally.settled);
    }

    /// Ends the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints a line of the run's progress, unless `--log_to null`.
    fn line(&self, line: &str) {
        if !self.is_quiet {
            self.print(line);
        }
    }

    /// Prints a line. Whoever reads the output may go away (`| head`): that is no reason to lose the run.
    pub(crate) fn print(&self, line: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stdout(), "{line}");
        });
    }
}

type Counter = (&'static str, fn(&Tally) -> u64);

const COUNTERS: [Counter; 12] = [
    ("recv", |tally| tally.received),
    ("sub", |tally| tally.subscribed),
    ("sub_fail", |tally| tally.sub_fail),
    ("pub", |tally| tally.attempted),
    ("pub_fail", |tally| tally.pub_fail),
    ("pub_overrun", |tally| tally.overrun),
    ("pub_succ", |tally| tally.acked),
    ("connect_succ", |tally| tally.connect_succ),
    ("connect_fail", |tally| tally.connect_fail),
    ("connect_retried", |tally| tally.connect_retried),
    ("reconnect_succ", |tally| tally.reconnect_succ),
    ("churned", |tally| tally.churned),
];

/// `1m28s`: whole seconds; nothing in front of the largest unit that is not zero.
fn elapsed_text(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown = parts.iter().skip_while(|(value, unit)| *value == 0 && *unit != "s");
    shown.map(|(value, unit)| format!("{value}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_look_like_emqtt_benchs() {
        for (seconds, text) in
            [(0, "0s"), (1, "1s"), (60, "1m0s"), (88, "1m28s"), (3_605, "1h0m5s"), (90_000, "1d1h0m0s")]
        {
            assert_eq!(elapsed_text(Duration::from_secs(seconds)), text);
        }
    }
}
