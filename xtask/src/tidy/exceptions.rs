//! Exceptions to the rules, each with its reason. The lists only shrink: an entry without a use is a violation.

/// A file that a rule leaves alone.
pub(super) struct Exception {
    pub(super) file: &'static str,
    pub(super) reason: &'static str,
}

/// Files over [`super::layout::LINES_MAX`] lines: one catalogue or one state machine, never a mix of concerns.
pub(super) const LONG_FILES: &[Exception] = &[];

/// Places in `netloop` and the data plane that read a clock; everything else there is told the time.
pub(super) const CLOCK_READERS: &[Exception] = &[
    Exception {
        file: "broker/src/dataplane/worker.rs",
        reason: "the loop itself: reads the clock once a turn and hands the time down",
    },
    Exception {
        file: "crates/netloop/src/load.rs",
        reason: "reads how long a thread has run, which is a measurement and not the time",
    },
];

/// Code that speaks MQTT through a library that is not ours.
pub(super) const FOREIGN_CODECS: &[Exception] = &[Exception {
    file: "prober/src/library.rs",
    reason: "`--client rumqttc`: the cross-check of our own client, which must not share its codec",
}];

/// Manifests that may name such a library as a normal dependency, for the code above.
pub(super) const FOREIGN_CODEC_MANIFESTS: &[Exception] =
    &[Exception { file: "prober/Cargo.toml", reason: "prober/src/library.rs" }];

/// Code of which a part is compiled that is not used there.
pub(super) const PARTLY_USED: &[Exception] = &[Exception {
    file: "fuzz/fuzz_targets/connections.rs",
    reason: "the data plane is a module of a program; the target uses its workers and not its threads",
}];
