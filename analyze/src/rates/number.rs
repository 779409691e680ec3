//! A rate as text with two decimals.
//!
//! The result is that of exact decimal rounding of the binary number, half to even, as Python and Rust print it. Nearly all
//! rates are far from the middle between two hundredths, and for them an integer is enough; the others take the slow way.

use std::io::Write as _;

/// Appends `value` with two decimals.
#[inline]
pub fn push_hundredths(text: &mut Vec<u8>, value: f64) {
    let hundredths = value * 100.0;
    let whole = hundredths.round();
    // Below 1e12 the product is off by less than 1e-4, so a distance of 1e-3 from the middle decides the rounding.
    if !(0.0..1e12).contains(&hundredths) || ((hundredths - whole).abs() - 0.5).abs() < 1e-3 || value.is_sign_negative()
    {
        write!(text, "{value:.2}").expect("a Vec takes everything");
        return;
    }
    let whole = whole as u64;
    push_integer(text, whole / 100);
    let cents = (whole % 100) as u8;
    text.extend_from_slice(&[b'.', b'0' + cents / 10, b'0' + cents % 10]);
}

/// Appends an integer.
#[inline]
pub fn push_integer(text: &mut Vec<u8>, value: u64) {
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    fn text(value: f64) -> String {
        let mut text = Vec::new();
        push_hundredths(&mut text, value);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn quick_and_slow_way_agree() {
        let mut random = Random::new(5);
        for _ in 0..200_000 {
            let (increase, dt) = (random.bits() >> (random.below(63)), 1 + random.below(400) as u64);
            let value = increase as f64 / dt as f64;
            assert_eq!(text(value), format!("{value:.2}"), "{increase} / {dt}");
        }
    }

    /// `f"{x:.2f}"` of Python 3.13.
    #[test]
    fn the_middle_goes_where_python_puts_it() {
        for (value, expected) in [
            (0.125, "0.12"),
            (0.375, "0.38"),
            (0.005, "0.01"),
            (1.005, "1.00"),
            (2.675, "2.67"),
            (-0.0, "-0.00"),
            (-1.5, "-1.50"),
            (1e15, "1000000000000000.00"),
        ] {
            assert_eq!(text(value), expected);
        }
    }
}
