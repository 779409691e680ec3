//! What the index and the map promise, from outside.

mod filter_index; // random operations against the naive model; hostile shapes; memory comes back
mod matching; // the rule itself: the specification's own examples, and another way to compute it
mod text; // generators of filters and topics
mod topic_map; // the same for the map from topics
