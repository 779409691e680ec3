//! How far the clocks of the hosts were from the runner's, as it measured before and after each step.

use std::collections::BTreeMap;

use runlog::Event;
use serde::Serialize;
use serde_json::Value;

use super::format;
use super::text::Text;
use crate::phases;
use crate::text;

/// The clocks of one host over the experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostClock {
    /// Its name.
    pub host: String,
    /// How often it was measured.
    pub n: usize,
    /// Its wall clock less the runner's, ms: the least.
    pub wall_offset_ms_min: f64,
    /// The most.
    pub wall_offset_ms_max: f64,
    /// How wrong any of these can be, us.
    pub bound_us_max: f64,
}

impl HostClock {
    /// One for each host of which the events tell, by name.
    pub fn of<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Self> {
        let mut hosts: BTreeMap<&str, Self> = BTreeMap::new();
        for event in events.filter(|event| event.name == CLOCK_OFFSET) {
            let number = |key: &str| event.detail.get(key).and_then(Value::as_f64);
            let Some(((host, wall_ns), bound_ns)) =
                phases::detail(event, "host").zip(number("wall_offset_ns")).zip(number("bound_ns"))
            else {
                continue;
            };
            let (wall_ms, bound_us) = (wall_ns / 1e6, bound_ns / 1e3);
            let known = hosts.entry(host).or_insert_with(|| Self {
                host: host.to_owned(),
                n: 0,
                wall_offset_ms_min: wall_ms,
                wall_offset_ms_max: wall_ms,
                bound_us_max: bound_us,
            });
            known.n += 1;
            known.wall_offset_ms_min = known.wall_offset_ms_min.min(wall_ms);
            known.wall_offset_ms_max = known.wall_offset_ms_max.max(wall_ms);
            known.bound_us_max = known.bound_us_max.max(bound_us);
        }
        hosts.into_values().collect()
    }

    /// For a reader.
    pub fn text(&self) -> Text {
        let (host, n, bound) = (&self.host, self.n, format::number(self.bound_us_max));
        let (least, most) = (format::number(self.wall_offset_ms_min), format::number(self.wall_offset_ms_max));
        text!(
            "The clock of {host} was {least} to {most} ms ahead of the runner's, known to within {bound} us (n = {n}). Phases are \
             moved by it; no latency is a difference of two hosts' clocks.",
            "{host} 的时钟比运行器快 {least} 至 {most} ms，误差不超过 {bound} us（n = {n}）。各阶段已据此换算；延迟从不是两台主机时钟之差。"
        )
    }
}

/// The event in which a runner tells of one measurement.
const CLOCK_OFFSET: &str = "clock-offset";

#[cfg(test)]
mod tests {
    use runlog::EventKind;
    use serde_json::json;

    use super::*;

    #[test]
    fn range_and_worst_bound_of_each_host() {
        let of = |host: &str, wall_ns: i64, bound_ns: u64| {
            let detail = json!({"host": host, "wall_offset_ns": wall_ns, "bound_ns": bound_ns});
            Event::now(EventKind::Note, CLOCK_OFFSET).detail(detail)
        };
        let events = [of("b", 1, 1), of("a", 2_000_000, 30_000), of("a", -500_000, 45_000)];
        let clocks = HostClock::of(events.iter());
        assert_eq!(clocks.iter().map(|clock| clock.host.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let expected =
            HostClock { host: "a".into(), n: 2, wall_offset_ms_min: -0.5, wall_offset_ms_max: 2.0, bound_us_max: 45.0 };
        assert_eq!(clocks[0], expected);
    }
}
