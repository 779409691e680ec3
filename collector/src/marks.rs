//! What makes counters or stamps of two rows incomparable, found by comparing each row with the one before: a step of the
//! wall clock, a counter that began anew.

use std::collections::HashMap;

use runlog::columns::{self, Kind};
use runlog::{Event, EventKind};
use serde_json::json;

use crate::row::Row;

/// The last row, as far as it is needed.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`, ns.
    clock_offset_ns: Option<i64>,
    /// Steps seen.
    pub(crate) clock_steps: u64,
    counters: HashMap<&'static str, u64>,
    restarts: u64,
}

impl Marks {
    /// Compares the clocks of a new row with those of the last one.
    pub(crate) fn clock(&mut self, mono_ns: u64, wall_ns: u64) -> Option<Event> {
        let offset_ns = wall_ns as i64 - mono_ns as i64;
        let step_ns = offset_ns - self.clock_offset_ns.replace(offset_ns)?;
        if step_ns.abs() <= CLOCK_STEP_NS {
            return None;
        }
        self.clock_steps += 1;
        Some(Event::now(EventKind::Note, "clock stepped").detail(json!({"by_us": step_ns / 1_000})))
    }

    /// Compares the counters of a filled row with those of the last one. Those of a target that was replaced begin anew by
    /// their nature, and its restart is an event of its own.
    pub(crate) fn counters(&mut self, row: &Row, restarts: u64) -> Option<Event> {
        let restarted = std::mem::replace(&mut self.restarts, restarts) != restarts;
        let mut reset = serde_json::Map::new();
        for column in columns::RAW.iter().filter(|column| column.kind == Kind::Counter) {
            let Some(value) = row.get(column.name) else { continue };
            let Some(before) = self.counters.insert(column.name, value) else { continue };
            let of_target = column.name.starts_with("proc_") || column.name.starts_with("cgroup_");
            if value < before && !(restarted && of_target) && !WOBBLING.contains(&column.name) {
                reset.insert(column.name.to_owned(), json!({"before": before, "after": value}));
            }
        }
        (!reset.is_empty()).then(|| Event::now(EventKind::Note, "counter reset").detail(reset.into()))
    }
}

/// Two samples whose clocks disagree by more: NTP slews by 0.5 ms in a second at most.
const CLOCK_STEP_NS: i64 = 5_000_000;

/// Counters that the kernel itself lets fall by a little (proc(5) on iowait; idle time of a core that sleeps is estimated).
const WOBBLING: [&str; 2] = [columns::CPU_IOWAIT_TICKS, columns::CPU_IDLE_TICKS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_is_told_from_slewing() {
        let mut marks = Marks::default();
        let s = 1_000_000_000;
        assert_eq!(marks.clock(s, 100 * s), None);
        // 0.5 ms a second is what NTP may slew, whatever the distance of two samples.
        assert_eq!(marks.clock(2 * s, 101 * s + 500_000), None);
        let event = marks.clock(3 * s, 162 * s + 500_000).unwrap();
        assert_eq!((event.name.as_str(), &event.detail["by_us"]), ("clock stepped", &json!(60_000_000)));
        assert_eq!(marks.clock(4 * s, 163 * s + 500_000), None, "one step is marked once");
        let back = marks.clock(5 * s, 104 * s).unwrap();
        assert_eq!(back.detail["by_us"], json!(-60_000_500));
        assert_eq!(marks.clock_steps, 2);
    }

    #[test]
    fn a_counter_that_begins_anew_is_marked() {
        let row = |bytes, minflt| {
            let mut row = Row::default();
            row.set(columns::RX_BYTES, bytes);
            row.set(columns::PROC_MINFLT, minflt);
            row.set(columns::CPU_IOWAIT_TICKS, 1_000 - bytes);
            row
        };
        let mut marks = Marks::default();
        assert_eq!(marks.counters(&row(100, 50), 0), None);
        assert_eq!(marks.counters(&row(100, 60), 0), None);
        let event = marks.counters(&row(7, 61), 0).unwrap();
        assert_eq!(event.detail, json!({"rx_bytes": {"before": 100, "after": 7}}));
        assert_eq!(marks.counters(&row(8, 2), 1), None, "a restart is marked by itself");
        assert!(marks.counters(&row(8, 1), 1).is_some());
    }
}
