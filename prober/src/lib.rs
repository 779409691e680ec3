//! `prober`: the end-to-end latency of a broker, as careful clients see it.
//!
//! One connection publishes, another receives. Probes go out by a plan that does not wait for answers (open loop), and
//! latency counts from the moment at which a probe was due: a broker that stalls for two seconds is charged with two
//! seconds for every probe that should have gone out in between, not only for the one that was under way (coordinated
//! omission, METHOD F16). The uncorrected figure, from the actual send, stands beside it.
//!
//! The path of a probe: `session` says when it is due, by the `probes` of its pair; `wire` wakes shortly before and
//! sends it through the publishing `link` of the `pair`; the subscribing one brings it back; `probes` books it,
//! `recorder` files it on another thread, and `report` prints the curve. Between the probes, the `floor` measures
//! what the path takes without a broker. The `library` does the same through code that is not ours, as a cross-check.

mod args;
mod carrier;
mod floor;
mod format;
mod library;
mod link;
mod pair;
mod probes;
mod recorder;
mod report;
mod run;
mod session;
mod settings;
mod wire;

pub use args::{Args, Client, Until};
pub use carrier::CarrierArgs;
pub use run::run;
