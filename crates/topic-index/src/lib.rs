//! Finding the subscriptions of a topic, and the retained topics of a subscription.
//!
//! Data structures only: this crate knows neither sockets nor clocks nor MQTT packets. Topic names and topic filters
//! come in as `str`; the caller has checked them (MQTT 5.0, section 4.7).
//!
//! - `matching`: the rule itself, for one filter and one topic;
//! - [`FilterIndex`]: filter to value, asked with a topic: "who subscribed to this?";
//!   it keeps filters without wildcards in a flat hash map (`exact`) and the others in a trie (`wild`);
//! - [`TopicMap`]: topic to value, asked with a filter: "which retained messages does this subscription see?";
//! - `arena`, `text` and `handles` are the memory beneath: entries behind 32-bit handles, short texts in place,
//!   hash tables of handles under a random key; `prefetch` hides their cache misses behind each other.

mod arena;
mod exact;
mod filter_index;
mod frontier;
mod handles;
mod matching;
mod prefetch;
mod text;
mod topic_map;
mod wild;

pub use filter_index::{FilterIndex, FilterIndexStats};
pub use matching::matches;
pub use topic_map::{Cursor, TopicMap};
