//! Numbers and intervals as text, the same in HTML, Markdown and on the terminal.

use super::figures::Pooled;
use super::text::Text;
use crate::stats::{Contrast, Estimate, Verdict};
use crate::text;

/// A value with as many digits as it deserves: three significant ones or all before the point, thousands separated; a whole
/// number stays one.
pub fn number(value: f64) -> String {
    with_decimals(value, decimals(value))
}

fn decimals(value: f64) -> usize {
    match value.abs() {
        m if m >= 100.0 || m.fract() == 0.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 1.0 => 2,
        _ => 3,
    }
}

fn with_decimals(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("−", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.map_or(String::new(), |fraction| format!(".{fraction}"));
    let is_zero = text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
    format!("{}{grouped}{fraction}", if is_zero { "" } else { sign })
}

/// An estimate with its error: the interval where there is one, else the range of the repeats.
pub fn estimate(estimate: &Estimate) -> String {
    let mean = number(estimate.mean);
    let (low, high) = estimate.bar();
    match (estimate.n, estimate.ci95) {
        (1, _) => mean,
        (_, Some(_)) => format!("{mean} [{}, {}]", number(low), number(high)),
        (_, None) if low == high => mean,
        (_, None) => format!("{mean} ({} … {})", number(low), number(high)),
    }
}

/// A percentile of all repeats together, with the interval of its sampling.
pub fn pooled(pooled: &Pooled) -> String {
    format!("{} [{}, {}]", number(pooled.value), number(pooled.ci95.0), number(pooled.ci95.1))
}

/// A mean with half the width of its error to the same digit, for tables that must stay narrow.
pub fn narrow(estimate: &Estimate) -> String {
    let (low, high) = estimate.bar();
    let half = with_decimals((high - low) / 2.0, decimals(estimate.mean));
    let mean = number(estimate.mean);
    if estimate.n == 1 || low == high { mean } else { format!("{mean} ±{half}") }
}

/// How many repeats stand behind an estimate, and what its error is.
pub fn repeats(estimate: &Estimate) -> Text {
    let n = estimate.n;
    match (n, estimate.ci95) {
        (1, _) => Text::pair("n=1, spread unknown", "n=1，离散程度未知"),
        (_, Some(_)) => text!("n={n}, 95 % interval", "n={n}，95 % 置信区间"),
        (_, None) => text!("n={n}, range", "n={n}，极差范围"),
    }
}

/// A percentage with sign.
pub fn percent(value: f64) -> String {
    let digits = if value.abs() >= 10.0 { 0 } else { 1 };
    let text = format!("{value:+.digits$} %");
    text.replace('-', "−")
}

/// What may be said of a difference, in a few words for a table's cell.
pub fn contrast(contrast: &Contrast) -> Text {
    let difference = percent(contrast.percent);
    let ends = contrast.percent_ci95.map(|(low, high)| format!("[{}, {}]", percent(low), percent(high)));
    match (contrast.verdict, ends) {
        (Verdict::Different, Some(ends)) => Text::same(format!("{difference} {ends}")),
        (Verdict::NoDifference, Some(ends)) => {
            text!("no difference within noise {ends}", "在噪声范围内无差异 {ends}")
        }
        (Verdict::Apart, _) => text!("{difference}, ranges apart", "{difference}，范围不相交"),
        (Verdict::Overlapping, _) => Text::pair("ranges overlap", "范围重叠"),
        (Verdict::Single, _) => text!("{difference}, one repeat", "{difference}，仅一次重复"),
        (Verdict::Different | Verdict::NoDifference, None) => Text::same(difference),
    }
}

/// The same in a few characters, for tables that must stay narrow.
pub fn narrow_contrast(contrast: &Contrast) -> String {
    match contrast.verdict {
        Verdict::Different | Verdict::Apart => percent(contrast.percent),
        Verdict::NoDifference | Verdict::Overlapping => "≈".to_owned(),
        Verdict::Single => format!("{} ?", percent(contrast.percent)),
    }
}

/// The same as the end of a sentence whose subject is `a`: "A higher by 12 % in every repeat; ...".
pub fn contrast_sentence(contrast: &Contrast, a: &str, repeats: usize) -> Text {
    let size = percent(contrast.percent.abs());
    let size = size.trim_start_matches('+');
    let by = if contrast.percent >= 0.0 {
        text!("{a} higher by {size}", "{a} 高 {size}")
    } else {
        text!("{a} lower by {size}", "{a} 低 {size}")
    };
    let n = count(repeats);
    let too_few = text!("{n} repeats are too few for a confidence interval", "{n}次重复不足以给出置信区间"; n);
    let ends = contrast.percent_ci95.map(|(low, high)| (percent(low), percent(high)));
    match (contrast.verdict, ends) {
        (Verdict::Different, Some((low, high))) => {
            text!("{by} (95 % interval {low} to {high})", "{by}（95 % 置信区间 {low} 至 {high}）"; by)
        }
        (Verdict::NoDifference, Some((low, high))) => text!(
            "no difference within noise (95 % interval {low} to {high})",
            "在噪声范围内无差异（95 % 置信区间 {low} 至 {high}）"
        ),
        (Verdict::Apart, _) => text!(
            "{by}, and the ranges of the repeats do not meet; {too_few}",
            "{by}，且各次重复的范围不相交；{too_few}"; by, too_few
        ),
        (Verdict::Overlapping, _) => text!(
            "the ranges of the repeats overlap, so no difference is claimed; {too_few}",
            "各次重复的范围重叠，因此不声称有差异；{too_few}"; too_few
        ),
        (Verdict::Single, _) => text!(
            "{by}; with a single repeat nothing is known of the noise",
            "{by}；只有一次重复，对噪声一无所知"; by
        ),
        (Verdict::Different | Verdict::NoDifference, None) => by,
    }
}

/// A small count in words.
pub fn count(n: usize) -> Text {
    match n {
        1 => Text::pair("one", "一"),
        2 => Text::pair("two", "两"),
        n => Text::same(n.to_string()),
    }
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", number(count as f64 / 1024.0)),
        _ => format!("{} MiB", number(count as f64 / 1_048_576.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_magnitude() {
        for (value, text) in [
            (0.0, "0"),
            (7.0, "7"),
            (0.12345, "0.123"),
            (-1.239, "−1.24"),
            (12.34, "12.3"),
            (999.4, "999"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-0.0001, "0.000"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn an_estimate_carries_its_error() {
        let of = |values: &[f64]| estimate(&Estimate::of(values).unwrap());
        assert_eq!(of(&[100.0]), "100");
        assert_eq!(of(&[100.0, 100.0]), "100");
        assert_eq!(of(&[100.0, 110.0]), "105 (100 … 110)");
        assert!(of(&[100.0, 110.0, 105.0]).starts_with("105 ["));
        assert_eq!(narrow(&Estimate::of(&[62.0, 62.8]).unwrap()), "62.4 ±0.4");
        assert_eq!(repeats(&Estimate::of(&[1.0, 2.0]).unwrap()).en, "n=2, range");
    }

    #[test]
    fn a_sentence_claims_no_more_than_the_repeats_allow() {
        let sentence = |a: &[f64], b: &[f64]| {
            let (a, b) = (Estimate::of(a).unwrap(), Estimate::of(b).unwrap());
            contrast_sentence(&Contrast::between(&a, &b).unwrap(), "A", a.n.min(b.n)).en
        };
        assert_eq!(
            sentence(&[120.0, 122.0], &[100.0, 102.0]),
            "A higher by 20 %, and the ranges of the repeats do not meet; two repeats are too few for a confidence interval"
        );
        assert!(sentence(&[100.0, 103.0], &[101.0, 102.0]).starts_with("the ranges of the repeats overlap"));
        assert!(sentence(&[100.0], &[200.0]).starts_with("A lower by 50 %; with a single repeat"));
        assert!(sentence(&[10.0, 11.0, 12.0], &[20.0, 21.0, 22.0]).starts_with("A lower by 48 % (95 % interval −"));
    }

    #[test]
    fn sizes() {
        assert_eq!([bytes(12), bytes(2048), bytes(5 * 1_048_576)], ["12 B", "2 KiB", "5 MiB"]);
    }
}
