//! How much equal things differed: the noise floor under the main figures.
//!
//! Repeats of one step against one target differ by noise alone (A/A). A difference between two targets that is no larger
//! than theirs says nothing, whatever its size. Two targets that are the same program (equal SHA-256) are a control: all of
//! their differences are noise.

use serde::Serialize;

use super::figures::{Figure, Figures};
use super::main_rows;
use super::metric::{Better, Metric};

/// What the repeats of each target say of the noise.
#[derive(Debug, Default, Serialize)]
pub struct Noise {
    /// One row per main figure that has repeats.
    pub rows: Vec<NoiseRow>,
    /// Pairs of labels whose targets are the same program.
    pub controls: Vec<(String, String)>,
}

/// The noise of one quantity in one step.
#[derive(Debug, Serialize)]
pub struct NoiseRow {
    /// The step.
    pub step: String,
    /// The quantity.
    pub metric: Metric,
    /// Greatest less least repeat of each target, percent of its mean; absent below two repeats or at a mean of 0.
    pub spread_percent: Vec<Option<f64>>,
    /// The first target against the second, percent of the second; absent unless there are two with figures.
    pub difference_percent: Option<f64>,
}

impl Noise {
    /// Looks at the main figures.
    pub fn of(figures: &Figures) -> Self {
        let row = |(step, row): (&super::figures::StepFigures, &super::figures::Row)| {
            let spread_percent: Vec<Option<f64>> = row.figures.iter().map(spread).collect();
            let is_known = row.metric.better() != Better::Neither && spread_percent.iter().any(Option::is_some);
            let difference_percent = row.contrast.as_ref().map(|contrast| contrast.percent);
            let (step, metric) = (step.name.clone(), row.metric);
            is_known.then_some(NoiseRow { step, metric, spread_percent, difference_percent })
        };
        let rows = main_rows(figures).into_iter().filter_map(row).collect();
        let targets = &figures.targets;
        let mut controls = Vec::new();
        for (place, first) in targets.iter().enumerate() {
            let same =
                targets[place + 1..].iter().filter(|other| first.sha256.is_some() && other.sha256 == first.sha256);
            controls.extend(same.map(|other| (first.label.clone(), other.label.clone())));
        }
        Self { rows, controls }
    }
}

impl NoiseRow {
    /// The greater spread of the targets, percent: the floor.
    pub fn floor_percent(&self) -> Option<f64> {
        self.spread_percent.iter().flatten().copied().reduce(f64::max)
    }

    /// Whether the difference is larger than the floor; `None` where one of them is not known.
    pub fn is_beyond(&self) -> Option<bool> {
        let all_known = self.spread_percent.iter().all(Option::is_some);
        let difference = self.difference_percent.filter(|_| all_known)?;
        Some(difference.abs() > self.floor_percent()?)
    }
}

fn spread(figure: &Figure) -> Option<f64> {
    let found = figure.estimate.as_ref().filter(|found| found.n > 1 && found.mean != 0.0)?;
    Some(100.0 * (found.max - found.min) / found.mean.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(spread: [Option<f64>; 2], difference: Option<f64>) -> NoiseRow {
        let step = "fan".to_owned();
        NoiseRow { step, metric: Metric::Rss, spread_percent: spread.to_vec(), difference_percent: difference }
    }

    #[test]
    fn a_difference_counts_beyond_the_greater_spread() {
        assert_eq!(row([Some(2.0), Some(5.0)], Some(-6.0)).is_beyond(), Some(true));
        assert_eq!(row([Some(2.0), Some(5.0)], Some(4.0)).is_beyond(), Some(false));
        assert_eq!(row([Some(2.0), None], Some(40.0)).is_beyond(), None);
        assert_eq!(row([Some(2.0), Some(5.0)], None).is_beyond(), None);
    }
}
