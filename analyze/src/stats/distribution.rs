//! The distributions that intervals are made of.
//!
//! The regularised incomplete beta function by its continued fraction (Abramowitz and Stegun 26.5.8, evaluated by Lentz's
//! method), and on it Student's distribution and the beta distribution's quantiles; the bell curve by the incomplete gamma function
//! (6.5.29 and 6.5.31). A quantile is found by bisection, so it is as exact as the function itself.

/// The quantile `p` (above 0.5 and below 1) of Student's distribution with `freedom` degrees of freedom (above 0).
pub fn student_quantile(p: f64, freedom: f64) -> f64 {
    let mut high = 1.0;
    while student_cdf(high, freedom) < p {
        high *= 2.0;
    }
    bisect(0.0, high, |t| student_cdf(t, freedom) < p)
}

/// The quantile `p` (0 to 1) of the beta distribution with `a` and `b` above 0.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    bisect(0.0, 1.0, |x| incomplete_beta(a, b, x) < p)
}

/// The probability that a standard normal variable is at most `z`.
pub fn normal_cdf(z: f64) -> f64 {
    let tail = 0.5 * incomplete_gamma_upper(z * z / 2.0);
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// The quantile `p` (above 0 and below 1) of the standard normal distribution.
pub fn normal_quantile(p: f64) -> f64 {
    if p == 0.5 { 0.0 } else { bisect(-40.0, 40.0, |z| normal_cdf(z) < p) }
}

/// Where `is_left` turns from true to false between two ends.
fn bisect(mut low: f64, mut high: f64, is_left: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if is_left(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// The regularised upper incomplete gamma function Q(1/2, x): by its series near 0, by its continued fraction beyond.
fn incomplete_gamma_upper(x: f64) -> f64 {
    const A: f64 = 0.5;
    if x <= 0.0 {
        return 1.0;
    }
    let front = (A * x.ln() - x - ln_gamma(A)).exp();
    if x < 1.5 {
        let (mut term, mut sum) = (1.0 / A, 1.0 / A);
        for n in 1..FRACTION_STEPS_MAX {
            term *= x / (A + f64::from(n));
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    let mut b = x + 1.0 - A;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / b);
    let mut fraction = d;
    for n in 1..FRACTION_STEPS_MAX {
        let n = f64::from(n);
        let a = -n * (n - A);
        b += 2.0;
        d = 1.0 / (a * d + b);
        c = b + a / c;
        let change = c * d;
        fraction *= change;
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * fraction
}

/// The probability that a Student variable is at most `t`, for `t` not below 0 (A&S 26.7.1).
fn student_cdf(t: f64, freedom: f64) -> f64 {
    1.0 - 0.5 * incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The regularised incomplete beta function I_x(a, b).
pub fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    // The fraction converges quickly only left of the distribution's bulk; the other side follows by symmetry.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let away_from_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..FRACTION_STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// ln of the gamma function for `x` above 0, by Lanczos' approximation (g = 7, 9 terms).
fn ln_gamma(x: f64) -> f64 {
    let x = x - 1.0;
    let t = x + 7.5;
    let series = LANCZOS.iter().enumerate().skip(1).fold(LANCZOS[0], |sum, (i, c)| sum + c / (x + i as f64));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + series.ln()
}

const TINY: f64 = 1e-300;
const FRACTION_STEPS_MAX: i32 = 500;
const LANCZOS: [f64; 9] = [
    0.999_999_999_999_809_9,
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.t.ppf(0.975, df)` of scipy 1.17.1.
    #[test]
    fn student_quantiles_agree_with_scipy() {
        let expected = [
            (1.0, 12.706_204_7),
            (1.5, 6.016_663_1),
            (2.0, 4.302_652_7),
            (4.5, 2.658_912_3),
            (7.3, 2.345_066_7),
            (10.0, 2.228_138_9),
            (60.0, 2.000_297_8),
            (1000.0, 1.962_339_1),
        ];
        for (freedom, quantile) in expected {
            let found = student_quantile(0.975, freedom);
            assert!((found - quantile).abs() < 1e-6, "{freedom} degrees: {found}, expected {quantile}");
        }
    }

    /// `scipy.stats.norm.cdf(z)` and `scipy.stats.norm.ppf(p)` of scipy 1.17.1.
    #[test]
    fn normal_distribution_agrees_with_scipy() {
        for (z, p) in [
            (-3.0, 0.001_349_898_031_630_093_3),
            (-1.0, 0.158_655_253_931_457_07),
            (0.0, 0.5),
            (0.5, 0.691_462_461_274_013_1),
            (1.96, 0.975_002_104_851_779_5),
            (4.0, 0.999_968_328_758_166_9),
        ] {
            assert!((normal_cdf(z) - p).abs() < 1e-13, "{z}: {}", normal_cdf(z));
        }
        for (p, z) in [(0.001, -3.090_232_306_167_813), (0.9, 1.281_551_565_544_6), (0.975, 1.959_963_984_540_054)] {
            assert!((normal_quantile(p) - z).abs() < 1e-9, "{p}: {}", normal_quantile(p));
        }
    }

    /// `scipy.stats.beta.ppf(p, a, b)` of scipy 1.17.1.
    #[test]
    fn beta_quantiles_agree_with_scipy() {
        for (p, a, b, x) in [
            (0.025, 3.0, 8.0, 0.066_739_511_177_734_47),
            (0.5, 0.5, 0.5, 0.5),
            (0.975, 18.0, 1983.0, 0.013_574_546_199_731_806),
        ] {
            assert!((beta_quantile(p, a, b) - x).abs() < 1e-10, "{}", beta_quantile(p, a, b));
        }
    }

    /// I_x(a, 1) = x^a and I_x(1, b) = 1 - (1 - x)^b, and the function is symmetric.
    #[test]
    fn incomplete_beta_in_closed_form() {
        for x in [0.05_f64, 0.3, 0.5, 0.9] {
            assert!((incomplete_beta(3.0, 1.0, x) - x.powi(3)).abs() < 1e-12);
            assert!((incomplete_beta(1.0, 4.0, x) - (1.0 - (1.0 - x).powi(4))).abs() < 1e-12);
            assert!((incomplete_beta(2.5, 7.0, x) + incomplete_beta(7.0, 2.5, 1.0 - x) - 1.0).abs() < 1e-12);
        }
        assert_eq!((incomplete_beta(2.0, 2.0, 0.0), incomplete_beta(2.0, 2.0, 1.0)), (0.0, 1.0));
    }
}
