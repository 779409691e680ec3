//! The binary as a user meets it: files in, text and files out.
//!
//! - `audit`: the flaws that data shows: of the published runs, of a model's, of none.
//! - `claims`: published figures against runs.
//! - `model`: runs in the published format with one flaw at a time.
//! - `compare`: verdicts between runs, and why some may not be compared.
//! - `property`: what must hold for any input.
//! - `console`: rates over time in console logs.
//! - `published`: the published benchmark's data gives the published figures, by the published rules.
//! - `rates`: both forms of rates.csv, and damaged files.
//! - `report`: the report of an A/B experiment.
//! - `rubbish`: what is no run, or a damaged one, is met with a clear message.
//! - `serve`: an experiment in a browser while it runs.
//! - `summary`: runs of our own in a few windows.
//! - `support`: running the binary, finding the published data.
//! - `tree`: run directories of an experiment, from a simple model of two brokers.

mod audit;
mod claims;
mod compare;
mod console;
mod model;
mod property;
mod published;
mod rates;
mod report;
mod rubbish;
mod serve;
mod summary;
mod support;
mod tree;
