//! What a worker writes down for the ledger: what each publisher sent, what each group of receivers got from each sender;
//! and the bytes that broke the rules.

use std::collections::{BTreeMap, HashMap};

use mqtt_wire::TopicFilter;
use pacer::receipt::StreamSummary;
use runlog::LedgerEntry;

use super::Share;
use crate::board::Evidence;
use crate::client::{Client, Publisher};
use crate::naming::{self, Variables};
use crate::settings::{RoleSettings, Settings};

/// The notes of one worker.
#[derive(Debug)]
pub(super) struct Books {
    /// Whether there is a run directory to keep a ledger in.
    kept: bool,
    /// The shared subscription of the receivers, if they have one.
    shared: Option<String>,
    /// Senders heard, with the topic of their first message.
    topics: HashMap<u32, Box<str>>,
    corrupted: BTreeMap<String, u64>,
    sent: Vec<LedgerEntry>,
    /// Clients by filters, and when the last one was subscribed.
    subscribed: BTreeMap<Vec<String>, (u64, u64)>,
    evidence: Vec<Evidence>,
    evidence_count: usize,
}

impl Books {
    pub(super) fn new(settings: &Settings) -> Self {
        let filters = match &settings.role {
            RoleSettings::Sub(sub) => sub.filters.as_slice(),
            _ => &[],
        };
        let is_shared = |filter: &&String| TopicFilter::new(filter).is_ok_and(|filter| filter.shared().is_some());
        Self {
            kept: settings.run_dir.is_some() || settings.share.is_some(),
            shared: filters.iter().find(is_shared).cloned(),
            topics: HashMap::new(),
            corrupted: BTreeMap::new(),
            sent: Vec::new(),
            subscribed: BTreeMap::new(),
            evidence: Vec::new(),
            evidence_count: 0,
        }
    }

    /// A receiver has got the first message of a sender.
    pub(super) fn heard(&mut self, sender: u32, topic: &str) {
        if self.kept {
            self.topics.entry(sender).or_insert_with(|| topic.into());
        }
    }

    /// A payload is not what was sent.
    pub(super) fn corrupted(&mut self, topic: &str) {
        if self.kept {
            *self.corrupted.entry(topic.to_owned()).or_default() += 1;
        }
    }

    /// A client that publishes is gone for good.
    pub(super) fn publisher_left(&mut self, sender: u32, publisher: &Publisher) {
        if self.kept {
            let attempted = u64::from(publisher.sequence);
            let topic = publisher.lanes.iter().map(|lane| &*lane.topic).collect::<Vec<_>>().join(" + ");
            let since_ns = publisher.since_ns;
            let (offered, written) = (publisher.offered.max(attempted), attempted - publisher.unwritten_lost);
            self.sent.push(LedgerEntry::Sent {
                sender,
                topic,
                offered,
                attempted,
                written,
                acked: publisher.acked,
                since_ns,
            });
        }
    }

    /// Keeps the first bytes of what broke the rules, a few times.
    pub(super) fn keep_evidence(&mut self, client: u32, reason: &str, offset: u64, bytes: &[u8]) {
        if self.kept && self.evidence_count < EVIDENCE_MAX {
            self.evidence_count += 1;
            let bytes = bytes[..bytes.len().min(EVIDENCE_BYTES)].into();
            self.evidence.push(Evidence { client, reason: reason.to_owned(), offset, bytes });
        }
    }

    /// Takes the evidence since the last call.
    pub(super) fn take_evidence(&mut self) -> Vec<Evidence> {
        std::mem::take(&mut self.evidence)
    }
}

impl Share {
    /// A client has been subscribed, for the first time.
    pub(super) fn note_subscription(&mut self, client: &Client, index: u32, now_ns: u64) {
        let settings = self.settings.clone();
        let RoleSettings::Sub(sub) = &settings.role else { return };
        if !self.books.kept {
            return;
        }
        let identity = self.identity(client, index);
        let variables = Variables::of(self.number(index), &identity);
        let filters = sub.filters.iter().map(|template| naming::topic(template, variables)).collect();
        let (clients, since_ns) = self.books.subscribed.entry(filters).or_default();
        *clients += 1;
        *since_ns = now_ns;
    }

    /// The whole ledger of this worker, at the end.
    pub(super) fn ledger(&mut self) -> Vec<LedgerEntry> {
        let Self { books, receipts, .. } = self;
        let mut entries = std::mem::take(&mut books.sent);
        if !books.kept {
            return entries;
        }
        let mut by_sender: BTreeMap<u32, [u64; 6]> = BTreeMap::new();
        for (key, stream) in receipts.iter() {
            let sums = by_sender.entry(key as u32).or_default();
            let StreamSummary { skipped, delivered, duplicated, out_of_order, expired } = stream;
            let values = [1, skipped, delivered, duplicated, out_of_order, expired];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        for (sender, [receivers, skipped, delivered, duplicated, out_of_order, expired]) in by_sender {
            let topic = books.topics.get(&sender).map(ToString::to_string).unwrap_or_default();
            let shared = books.shared.clone();
            let received = LedgerEntry::Received {
                sender,
                topic,
                receivers,
                skipped,
                delivered,
                duplicated,
                out_of_order,
                expired,
                shared,
            };
            entries.push(received);
        }
        let corrupted = std::mem::take(&mut books.corrupted).into_iter();
        entries.extend(corrupted.map(|(topic, count)| LedgerEntry::Corrupted { topic, count }));
        let subscribed = std::mem::take(&mut books.subscribed).into_iter();
        entries.extend(subscribed.map(|(filters, (clients, since_ns))| LedgerEntry::Subscribed {
            filters,
            clients,
            since_ns,
        }));
        entries
    }
}

/// Pieces of evidence that one worker keeps.
const EVIDENCE_MAX: usize = 16;
/// Bytes of each.
const EVIDENCE_BYTES: usize = 64 * 1_024;
