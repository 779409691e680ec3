//! The cases, one file for each part of the protocol.

mod alias;
mod connack;
mod connect;
mod errors;
mod expiry;
mod flow;
mod keep_alive;
mod order;
mod properties;
mod publish;
mod redelivery;
mod retained;
mod session;
mod shared;
mod size;
mod stream;
mod subscribe;
mod topics;
mod unsubscribe;
mod will;

use crate::case::{Case, Instance};

/// Every case, by area, in the order of the specification.
pub fn all() -> impl Iterator<Item = &'static Case> {
    AREAS.iter().copied().flatten()
}

/// Every case in every version that it runs in.
pub fn instances() -> impl Iterator<Item = Instance> {
    all().flat_map(Case::instances)
}

const AREAS: &[&[Case]] = &[
    connect::CASES,
    connack::CASES,
    session::CASES,
    keep_alive::CASES,
    will::CASES,
    publish::CASES,
    redelivery::CASES,
    retained::CASES,
    subscribe::CASES,
    unsubscribe::CASES,
    topics::CASES,
    shared::CASES,
    properties::CASES,
    expiry::CASES,
    flow::CASES,
    alias::CASES,
    size::CASES,
    order::CASES,
    stream::CASES,
    errors::CASES,
];
