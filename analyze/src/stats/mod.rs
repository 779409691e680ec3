//! Statistics on plain slices: no files, no tables, no clocks, no report.
//!
//! Every function takes the numbers it needs and returns numbers; what they are called and how they are shown is decided
//! elsewhere. Each module is tested against answers that were computed by other means and are quoted in the test.
//!
//! - [`mod@quantile`]: medians and quantiles of a sample.
//! - [`distribution`]: the distributions behind confidence intervals.
//! - [`random`]: a seeded generator for resampling.
//! - [`binomial`]: exact intervals of a share and of a percentile.
//! - [`serial`]: how sure a mean is when successive values resemble each other.
//! - [`trend`]: whether a series rises or falls.
//! - [`changes`]: where its level changes; the steady part of a load.
//! - [`estimate`]: what a handful of repeats says about a quantity: mean, spread and, where the count allows one, an interval.
//! - [`location`]: how far one sample lies from another, by ranks.
//! - [`resample`]: ratios with intervals by bootstrap, over runs and inside one.
//! - [`mod@recovery`]: how long a disturbance lasts.
//! - [`fit`]: straight lines through points.
//! - [`window`]: which rows of a time series a rule looks at.

pub mod binomial;
pub mod changes;
pub mod distribution;
pub mod estimate;
pub mod fit;
pub mod location;
pub mod quantile;
pub mod random;
pub mod recovery;
pub mod resample;
pub mod serial;
pub mod trend;
pub mod window;

pub use estimate::{Contrast, Estimate, Noise, Verdict};
pub use fit::Line;
pub use location::Shift;
pub use quantile::{mean, median, quantile};
pub use resample::Ratio;
pub use serial::SerialMean;
pub use trend::Trend;
pub use window::Rule;
