//! `ledger.jsonl`: who sent how many messages, and who received how many of them, one line per sender, receiver group and
//! subscription. What one process sent and another received is reconciled from the ledgers of both.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One line of `ledger.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum LedgerEntry {
    /// One publisher.
    Sent {
        /// Its number in the stamps of its payloads.
        sender: u32,
        /// Where it published; for a topic with the number of the message in it, the template; several topics, which share
        /// one sequence, are joined by ` + `.
        topic: String,
        /// Messages that its plan had due.
        offered: u64,
        /// Messages given to its connection, numbered from 0.
        attempted: u64,
        /// Messages that the kernel took whole.
        written: u64,
        /// Messages acknowledged to the end (QoS 1 and 2).
        acked: u64,
        /// When its plan began, `CLOCK_MONOTONIC`, ns.
        since_ns: u64,
    },
    /// What a group of receivers got from one sender, summed over the receivers that got anything.
    Received {
        /// The sender's number.
        sender: u32,
        /// The topic of its first message.
        topic: String,
        /// Receivers that got at least one message.
        receivers: u64,
        /// Messages before the first one that each receiver was there for, summed.
        skipped: u64,
        /// Messages, each once.
        delivered: u64,
        /// Further copies.
        duplicated: u64,
        /// Messages overtaken by a later one.
        out_of_order: u64,
        /// Messages that never came and whose time was over (MQTT 5.0, Message Expiry Interval).
        #[serde(default)]
        expired: u64,
        /// The shared subscription that the receivers have in common: together they get each message once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<String>,
    },
    /// Payloads on a topic that were not what any sender had written.
    Corrupted {
        /// The topic.
        topic: String,
        /// How many.
        count: u64,
    },
    /// Clients with the same subscription.
    Subscribed {
        /// The topic filters of each client.
        filters: Vec<String>,
        /// Clients.
        clients: u64,
        /// When the last of them was subscribed for the first time, `CLOCK_MONOTONIC`, ns.
        since_ns: u64,
    },
}

/// Writes a whole ledger.
pub(crate) fn write(path: &Path, entries: &[LedgerEntry]) -> Result<()> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry).map_err(|reason| Error::Json { path: path.to_owned(), reason })?;
        text.push(b'\n');
    }
    File::create(path).and_then(|mut file| file.write_all(&text)).map_err(Error::io("write", path))
}

/// Reads a whole ledger; empty where there is none.
pub(crate) fn read(path: &Path) -> Result<Vec<LedgerEntry>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let parse = |line: &str| serde_json::from_str(line).map_err(|reason| Error::Json { path: path.to_owned(), reason });
    text.lines().map(parse).collect()
}
