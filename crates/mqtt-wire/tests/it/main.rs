//! The codec from outside: what it writes, what it reads, what it refuses.

mod differential; // against the codec of rumqttc, in both directions
mod generate; // packets of every type, version and property
mod malformed; // what the specifications forbid, statement by statement, each case beside its valid twin
mod mutate; // any bytes at all: no panic, and what is accepted stays what it is
mod owned; // packets that own their fields, to generate and to keep
mod roundtrip; // what is written is read back the same
mod table; // the specification's table of properties and lists of reason codes, typed in once more
