//! Durations as the guide's prober prints them: like Go's `time.Duration`, with as many digits as are needed.

/// `223.692µs`, `301.08µs`, `33.981ms`, `1.5s`, `1m2s`; `inf` for what never came.
pub(crate) fn duration(us: f64) -> String {
    if us.is_infinite() {
        return "inf".to_owned();
    }
    let ns = (us * 1_000.0).round() as u64;
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(ns, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(ns, 1_000_000)),
        1_000_000_000..60_000_000_000 => format!("{}s", decimal(ns, 1_000_000_000)),
        _ => format!("{}m{}s", ns / 60_000_000_000, decimal(ns % 60_000_000_000, 1_000_000_000)),
    }
}

/// `ns / unit`, exactly, without trailing zeros; `unit` is a power of ten.
fn decimal(ns: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", ns / unit, ns % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_guide_prints_them() {
        for (us, text) in [
            (223.692, "223.692µs"),
            (301.08, "301.08µs"),
            (33_981.0, "33.981ms"),
            (70_284.0, "70.284ms"),
            (0.0, "0s"),
            (0.25, "250ns"),
            (100.0, "100µs"),
            (1_500_000.0, "1.5s"),
            (62_000_000.0, "1m2s"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(duration(us), text);
        }
    }
}
