//! The benchmark program against real brokers.
//!
//! - [`rows`]: rows run and their figures are there.

mod rows;
