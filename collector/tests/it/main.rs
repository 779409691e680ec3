//! Integration tests of the collector: the real binary, real processes, the real `/proc`.

mod columns; // what rows hold, against what /proc says by hand
mod failures; // bad input and full disks
mod lifecycle; // ticks, signals, targets that end or are replaced
mod support; // starting collectors and targets
