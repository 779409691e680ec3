//! Statistics on plain slices: no files, no tables, no clocks, no report.
//!
//! Every function takes the numbers it needs and returns numbers; what they are called and how they are shown is decided
//! elsewhere. Each module is tested against answers that were computed by other means and are quoted in the test.
//!
//! - [`mod@quantile`]: medians and quantiles of a sample.
//! - [`distribution`]: the distributions behind confidence intervals.
//! - [`estimate`]: what a handful of repeats says about a quantity: mean, spread and, where the count allows one, an interval.
//! - [`fit`]: straight lines through points.
//! - [`window`]: which rows of a time series a rule looks at.

pub mod distribution;
pub mod estimate;
pub mod fit;
pub mod quantile;
pub mod window;

pub use estimate::{Contrast, Estimate, Verdict};
pub use fit::Line;
pub use quantile::{mean, median, quantile};
pub use window::Rule;
