//! Integration tests of the collector: the real binary, real processes, the real `/proc`.

mod columns; // what rows hold, against what /proc says by hand
mod failures; // bad input and full disks
mod guide; // the guide's 16 columns beside ps, ss and /proc
mod lifecycle; // ticks, signals, targets that end or are replaced
mod rulers; // CPU time and context switches against pidstat and sar
mod settings; // check, tune and restore, in a network namespace of their own
mod side; // the canary, the echo, and the target in detail
mod support; // starting collectors and targets
