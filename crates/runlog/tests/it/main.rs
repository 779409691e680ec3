//! Integration tests of the run directory, through its public face only.

mod damage; // what readers make of truncated and bad files
mod guide; // the published directories of the AXMQ guide
mod round_trip; // what is written is what is read
