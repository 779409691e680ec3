//! The binary as a user meets it: files in, text and files out.
//!
//! - `published`: the published benchmark's data gives the published figures, by the published rules.
//! - `rubbish`: what is no run, or a damaged one, is met with a clear message.
//! - `support`: running the binary, finding the published data.

mod published;
mod rubbish;
mod support;
