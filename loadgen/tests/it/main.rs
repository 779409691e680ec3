//! loadgen as a user runs it: the binary, real brokers, real sockets.
