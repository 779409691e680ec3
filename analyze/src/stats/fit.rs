//! A straight line through points, by least squares.

/// `y = intercept + slope * x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Units of y per unit of x.
    pub slope: f64,
    /// y where x is 0.
    pub intercept: f64,
    /// Share of the variance of y that the line explains, 0 to 1; 1 when y does not vary.
    pub r_squared: f64,
    /// The largest distance of a point from the line, in units of y: what a straight line leaves unexplained.
    pub residual_max: f64,
}

impl Line {
    /// The least-squares line; `None` with fewer than two different values of x.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        let mean_x = points.iter().map(|p| p.0).sum::<f64>() / n;
        let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
        let sum = |term: fn(f64, f64) -> f64| points.iter().map(|p| term(p.0 - mean_x, p.1 - mean_y)).sum::<f64>();
        let (xx, xy, yy) = (sum(|x, _| x * x), sum(|x, y| x * y), sum(|_, y| y * y));
        if points.len() < 2 || xx == 0.0 {
            return None;
        }
        let slope = xy / xx;
        let mut line = Self { slope, intercept: mean_y - slope * mean_x, r_squared: 1.0, residual_max: 0.0 };
        line.residual_max = points.iter().map(|p| (p.1 - line.at(p.0)).abs()).fold(0.0, f64::max);
        if yy > 0.0 {
            line.r_squared = xy * xy / (xx * yy);
        }
        Some(line)
    }

    /// The line's y at `x`.
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Anscombe's first set (1973): slope 0.500, intercept 3.00, r squared 0.67.
    #[test]
    fn anscombe_first_set() {
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let points: Vec<_> = x.into_iter().zip(y).collect();
        let line = Line::through(&points).unwrap();
        assert!((line.slope - 0.500_090_9).abs() < 1e-6, "{line:?}");
        assert!((line.intercept - 3.000_090_9).abs() < 1e-6, "{line:?}");
        assert!((line.r_squared - 0.666_542_4).abs() < 1e-6, "{line:?}");
    }

    #[test]
    fn an_exact_line_leaves_nothing_over() {
        let line = Line::through(&[(0.0, 10.0), (5.0, 20.0), (10.0, 30.0)]).unwrap();
        assert_eq!((line.slope, line.intercept, line.residual_max), (2.0, 10.0, 0.0));
    }

    #[test]
    fn one_place_on_the_x_axis_is_no_line() {
        assert_eq!(Line::through(&[(1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(Line::through(&[]), None);
    }
}
