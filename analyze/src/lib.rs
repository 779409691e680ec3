//! Runs in, numbers, charts and a report out.
//!
//! What a run directory holds is `runlog`'s knowledge; nothing here names a file or a column except through it. Modules, in
//! the order in which a sample meets them:
//!
//! - [`table`]: a CSV file as typed columns.
//! - [`series`]: the table as a time series: intervals, rates, gaps, resets, clock steps.
//! - [`tag`]: what the tag of a published run says.
//! - [`stats`]: statistics on plain slices.
//! - [`phases`]: which part of a run is the measured one.
//! - [`rates`]: `analyze rates`, counters turned into rates.
//! - [`steady`]: `analyze steady`, whether memory and throughput still move when figures are taken.
//! - [`summary`]: `analyze summary`, one run in a few windows.
//! - [`reading`]: a run read once, for those that look at many runs from many sides.
//! - [`claims`]: `analyze claims`, published figures against runs.
//! - [`audit`]: `analyze audit`, the flaws of a benchmark that its data shows.
//! - [`compare`]: `analyze compare`, how two sets of runs differ.
//! - [`console`]: `analyze console`, what a load tool printed, over time.
//! - [`report`]: `analyze report`, an A/B experiment or any tree of runs as a page.
//! - [`serve`]: `analyze serve`, an experiment in a browser while it runs.
//! - [`cli`]: the command line.

pub mod audit;
pub mod claims;
pub mod cli;
pub mod compare;
pub mod console;
pub mod phases;
pub mod rates;
pub mod reading;
pub mod report;
pub mod series;
pub mod serve;
pub mod stats;
pub mod steady;
pub mod summary;
pub mod table;
pub mod tag;
