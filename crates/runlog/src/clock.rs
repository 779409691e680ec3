//! The one place that reads clocks, and the text forms of a UTC second.
//!
//! Durations and schedules use [`mono_ns`]; [`wall_ns`] only says where in the world's time a run lies. A step of the
//! wall clock shows as a change of their difference.

use std::time::Duration;

use nix::time::{ClockId, clock_getres, clock_gettime};

/// `CLOCK_MONOTONIC` in nanoseconds: the same zero for all processes of one boot of one host (of one time namespace).
pub fn mono_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME` in nanoseconds since 1970-01-01T00:00:00Z.
pub fn wall_ns() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// The smallest step of [`mono_ns`] that the kernel claims, ns.
pub fn resolution_ns() -> u64 {
    let step = clock_getres(ClockId::CLOCK_MONOTONIC).expect("every Linux has the clocks of this module");
    step.tv_sec() as u64 * NS_PER_S + step.tv_nsec() as u64
}

/// CPU time that this process has used, all threads, ns.
pub fn self_cpu_ns() -> u64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// A duration as the command lines write it: `500ms`, `1s`, `2m`, `1h`, also with a fraction; a bare number is seconds, as
/// in the guide's environment variables.
///
/// # Errors
/// A sentence that says what the text should have been.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration: write it like 500ms, 1s, 2m or 1h");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_per_unit = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(bad()),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|_| bad())
}

/// `2025-12-30T13:59:10Z`: the guide's `time_utc`; the fraction of the second is cut off.
pub fn utc_text(wall_ns: u64) -> String {
    let (date, [hour, minute, second]) = civil(wall_ns / NS_PER_S);
    let (year, month, day) = date;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `20251230T135910Z`: the last part of a run directory's name.
pub fn utc_compact(wall_ns: u64) -> String {
    utc_text(wall_ns).replace(['-', ':'], "")
}

/// Seconds since 1970 of either text form; `None` when the text is neither.
pub fn parse_utc(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let (date, time) = digits.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || time.len() != 6 || !(date.to_owned() + time).bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |text: &str| text.parse::<u64>().ok();
    let (year, month, day) = (number(&date[..4])?, number(&date[4..6])?, number(&date[6..])?);
    let (hour, minute, second) = (number(&time[..2])?, number(&time[2..4])?, number(&time[4..])?);
    let in_range = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("every Linux has the clocks of this module");
    time.tv_sec() as u64 * NS_PER_S + time.tv_nsec() as u64
}

/// Date and time of day of a second since 1970, in the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible
/// low-level date algorithms"): days are counted in 400-year eras from 0000-03-01, so that leap days come last.
fn civil(seconds: u64) -> ((u64, u64, u64), [u64; 3]) {
    let (days, second_of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    ((year, month, day), [second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60])
}

fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_of_known_seconds() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_103_150, "2025-12-30T13:59:10Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(utc_text(seconds * NS_PER_S), text);
            assert_eq!(parse_utc(text), Some(seconds));
            assert_eq!(parse_utc(&utc_compact(seconds * NS_PER_S)), Some(seconds));
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in
            [("500ms", 500), ("1s", 1_000), ("1.5s", 1_500), ("2m", 120_000), ("300", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "1 s", "1d", "1.2.3s", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_time() {
        for text in ["", "20251230T135910", "20251330T135910Z", "20251230T245910Z", "2025123ÄT13591Z", "idle"] {
            assert_eq!(parse_utc(text), None, "{text}");
        }
    }
}
