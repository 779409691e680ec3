//! The program as a user runs it.
//!
//! - `ansible`: runs on hosts over SSH.
//! - `files`: what is typed: shipped files, bad keys, unknown names.
//! - `gates`: each gate trips on its real cause.
//! - `netns`: runs in network namespaces.
//! - `plan`: the shape of the quickstart's plan.
//! - `run`: real runs, shortened, against real brokers.
//! - `sshlab`: hosts to reach by SSH, on one machine.
//! - `stop`: interrupted runs leave data behind, and no process.
//! - `support`: the program, small experiments, processes.
//! - `vm`: runs in a virtual machine.

mod ansible;
mod files;
mod gates;
mod netns;
mod plan;
mod run;
mod sshlab;
mod stop;
mod support;
mod vm;
