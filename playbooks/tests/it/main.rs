//! The program as a user runs it.
//!
//! - `files`: what is typed: shipped files, bad keys, unknown names.
//! - `gates`: each gate trips on its real cause.
//! - `netns`: runs in network namespaces.
//! - `plan`: the shape of the quickstart's plan.
//! - `run`: real runs, shortened, against real brokers.
//! - `stop`: interrupted runs leave data behind, and no process.
//! - `support`: the program, small experiments, processes.

mod files;
mod gates;
mod netns;
mod plan;
mod run;
mod stop;
mod support;
