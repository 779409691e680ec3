//! What the prober prints: the guide's lines, then the whole curve with what it is worth.

use runlog::{FloorSummary, Percentiles, ProbeSummary, order};

use crate::format::duration;

/// The guide's four lines (its section 7.3), from the due time.
pub(crate) fn guide_lines(latency: &Percentiles) -> String {
    let line = |label: &str, value: Option<f64>| match value {
        Some(us) => format!("{label}: {}\n", duration(us)),
        None => format!("{label}: n/a\n"),
    };
    line("P50", latency.p50) + &line("P95", latency.p95) + &line("P99", latency.p99) + &line("Max", latency.max)
}

/// The curve from the due time with its confidence, and beside it what a closed loop would have shown.
pub(crate) fn curve(summary: &ProbeSummary) -> String {
    let (corrected, uncorrected) = (&summary.latency_us, &summary.uncorrected_latency_us);
    let mut text = format!("{}\n", verdict(summary));
    let row = |name: &str, value: String, interval: String, sent: String| {
        format!("  {name:<6} {value:>12}  {interval:<27} {sent:>12}\n")
    };
    text += &row("", "from due".to_owned(), "95 % confidence".to_owned(), "closed loop".to_owned());
    let plain = |value: Option<f64>| value.map_or("-".to_owned(), duration);
    text += &row("min", plain(corrected.min), String::new(), plain(uncorrected.min));
    text += &row("mean", plain(corrected.mean), String::new(), plain(uncorrected.mean));
    for (name, quantile) in Percentiles::QUANTILES {
        let value = corrected.get(name).map_or("-".to_owned(), duration);
        let interval = match corrected.ci95.get(name) {
            Some(interval) => format!("{} .. {}", plain(interval.low), plain(interval.high)),
            None => format!("needs {} probes", order::samples_needed(quantile)),
        };
        text += &row(&label(quantile), value, interval, plain(uncorrected.get(name)));
    }
    text += &row("max", plain(corrected.max), String::new(), plain(uncorrected.max));
    text + &footnotes(summary)
}

fn verdict(summary: &ProbeSummary) -> String {
    let share = |part: u64| 100.0 * part as f64 / summary.sent.max(1) as f64;
    let mut text = format!("latency of {} probes: {} received", summary.sent, summary.received);
    if summary.pairs > 1 {
        text += &format!(" by {} pairs", summary.pairs);
    }
    if summary.lost > 0 {
        text += &format!(", {} lost ({:.2} %; each counts as infinite)", summary.lost, share(summary.lost));
    }
    let rest = [
        (summary.duplicated, "duplicated"),
        (summary.out_of_order, "out of order"),
        (summary.corrupted, "corrupted"),
        (summary.late, "later than the time-out"),
    ];
    for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!(", {count} {what}");
    }
    text
}

fn footnotes(summary: &ProbeSummary) -> String {
    let plain = |value: Option<f64>| value.map_or("-".to_owned(), duration);
    let highest = match summary.highest_percentile {
        highest if highest > 0.0 => format!("p{}", truncated(highest)),
        _ => "none".to_owned(),
    };
    let (lag, wakeup) = (&summary.send_lag_us, &summary.wakeup_error_us);
    format!(
        "closed loop: {} of the probes, those that a prober which waits for each answer would have sent\n\
         highest percentile that {} probes allow: {highest}\n\
         sent after the due time by the prober itself: p50 {}, p99 {}, max {}\n\
         woken after the timer: p50 {}, p99 {}, max {}\n",
        summary.uncorrected_latency_us.count,
        summary.latency_us.count,
        plain(lag.p50),
        plain(lag.p99),
        plain(lag.max),
        plain(wakeup.p50),
        plain(wakeup.p99),
        plain(wakeup.max),
    ) + &summary.floor.as_ref().map_or(String::new(), |floor| floor_lines(floor, &summary.latency_us))
}

/// How much of the latency is the path and not the broker.
fn floor_lines(floor: &FloorSummary, latency: &Percentiles) -> String {
    let plain = |value: Option<f64>| value.map_or("-".to_owned(), duration);
    let trips = &floor.round_trip_us;
    let path = if floor.own_loopback {
        "this machine's loopback (--floor HOST:PORT: the path to the broker)"
    } else {
        "the path"
    };
    let mut text = match (latency.p50, trips.p50) {
        (Some(of), Some(floor)) if of.is_finite() => format!("of {}, {} is {path}: ", duration(of), duration(floor)),
        _ => format!("{path}: "),
    };
    text += &format!(
        "TCP echo at {}, {} round trips of {} bytes, p50 {}, p95 {}, p99 {}, max {}\n",
        floor.remote,
        trips.count,
        floor.message_bytes,
        plain(trips.p50),
        plain(trips.p95),
        plain(trips.p99),
        plain(trips.max)
    );
    if let Some(failure) = &floor.failure {
        text += &format!("{failure}\n");
    }
    text
}

fn label(quantile: f64) -> String {
    format!("p{}", truncated(quantile * 100.0))
}

/// Three digits behind the point, cut rather than rounded: 99.9997 must not read as 100.
fn truncated(percent: f64) -> f64 {
    (percent * 1_000.0 + 1e-6).floor() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(samples: std::ops::RangeInclusive<u64>, lost: u64) -> ProbeSummary {
        let sorted: Vec<u64> = samples.map(|us| us * 1_000).collect();
        let latency_us = Percentiles::of_sorted(&sorted, 0.001, lost);
        let received = sorted.len() as u64;
        ProbeSummary {
            sent: received + lost,
            received,
            lost,
            highest_percentile: 100.0 * order::highest_quantile(received + lost),
            uncorrected_latency_us: latency_us.clone(),
            latency_us,
            ..ProbeSummary::default()
        }
    }

    #[test]
    fn the_guides_lines() {
        let text = guide_lines(&summary(1..=2_000, 0).latency_us);
        assert_eq!(text, "P50: 1ms\nP95: 1.9ms\nP99: 1.98ms\nMax: 2ms\n");
        let few = guide_lines(&summary(1..=20, 0).latency_us);
        assert_eq!(few, "P50: 10µs\nP95: n/a\nP99: n/a\nMax: 20µs\n");
    }

    #[test]
    fn the_curve_says_what_it_is_worth() {
        let text = curve(&summary(1..=1_990, 10));
        assert!(
            text.starts_with("latency of 2000 probes: 1990 received, 10 lost (0.50 %; each counts as infinite)\n"),
            "{text}"
        );
        let row = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        assert!(row("p50 ").contains("1ms") && row("p50 ").contains(" .. "), "{text}");
        assert!(row("p99.9").contains("needs 3688 probes"), "{text}");
        assert!(row("max").contains("inf") && row("mean").contains("inf"), "{text}");
        assert!(row("highest percentile").ends_with("2000 probes allow: p99.815"), "{text}");
    }

    #[test]
    fn the_path_is_told_from_the_broker() {
        let trips: Vec<u64> = (1..=400).map(|us| us * 1_000).collect();
        let mut floor = FloorSummary {
            remote: "10.0.0.2:7007".to_owned(),
            message_bytes: 32,
            round_trip_us: Percentiles::of_sorted(&trips, 0.001, 0),
            ..FloorSummary::default()
        };
        let of = |floor: &FloorSummary| curve(&ProbeSummary { floor: Some(floor.clone()), ..summary(1..=600, 0) });
        let text = of(&floor);
        let line = "of 300µs, 200µs is the path: TCP echo at 10.0.0.2:7007, 400 round trips of 32 bytes, p50 200µs";
        assert!(text.contains(line), "{text}");
        floor.own_loopback = true;
        floor.failure = Some("the connection to the echo was closed".to_owned());
        let text = of(&floor);
        assert!(text.contains("is this machine's loopback") && text.contains("echo was closed\n"), "{text}");
    }
}
