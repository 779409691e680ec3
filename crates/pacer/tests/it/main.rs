//! Property tests of the planning and bookkeeping crates, each against a naive model.

/// The merged agenda against sorting every planned time.
mod agenda_model;
mod pacing_laws;
/// Receipt bookkeeping against a model that remembers every number.
mod receipt_model;
