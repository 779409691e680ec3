//! What was sent against what arrived, per topic and overall, from the ledgers of all processes that took part.
//!
//! A receiver by itself sees gaps between two messages of a sender; it cannot see that the last ones are missing, or all.
//! The sender's own count closes the account: a receiver should have every message from the first one that it was there
//! for. A subscriber that got nothing at all from a sender should have had everything, if it was subscribed before that
//! sender's plan began; if not, nothing is expected of it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use mqtt_wire::{TopicFilter, TopicName};
use runlog::LedgerEntry;
use serde::{Deserialize, Serialize};

use crate::cli::ReconcileArgs;
use crate::run::Verdict;

/// The account of one topic, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) offered: u64,
    pub(crate) attempted: u64,
    pub(crate) written: u64,
    pub(crate) acked: u64,
    /// Deliveries that should have been: each message once for each receiver that was there for it.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    /// Expected and not delivered, because their time was over.
    pub(crate) expired: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    pub(crate) corrupted: u64,
    /// Deliveries from senders that left no ledger: they cannot be reconciled.
    pub(crate) unaccounted: u64,
}

/// The accounts of everything that took part.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reconciliation {
    /// Run directories that had a ledger.
    pub(crate) runs: Vec<PathBuf>,
    pub(crate) overall: Account,
    pub(crate) topics: BTreeMap<String, Account>,
}

/// `loadgen reconcile`; bad where not everything arrived once, in order and whole.
pub(crate) fn command(args: &ReconcileArgs) -> Result<Verdict> {
    let reconciliation = directories(&args.dirs)?;
    match &args.json {
        Some(path) => crate::summary::write_json(path, &reconciliation, |text| println!("{text}"))?,
        None => println!("{}", reconciliation.text()),
    }
    Ok(reconciliation.is_clean().into())
}

/// Reconciles the ledgers of all run directories in and beneath `roots`.
pub(crate) fn directories(roots: &[PathBuf]) -> Result<Reconciliation> {
    let (mut runs, mut entries) = (Vec::new(), Vec::new());
    for run in runlog::discover(roots)? {
        let ledger = run.ledger()?;
        if !ledger.is_empty() {
            runs.push(run.path.clone());
            entries.extend(ledger);
        }
    }
    ensure!(!runs.is_empty(), "no ledger in {roots:?}: give the directories that runs with --share or --run-dir wrote");
    Ok(Reconciliation { runs, ..entries_of(&entries) })
}

/// Reconciles entries.
pub(crate) fn entries_of(entries: &[LedgerEntry]) -> Reconciliation {
    let mut topics: BTreeMap<String, Account> = BTreeMap::new();
    let mut senders: HashMap<u32, Sender> = HashMap::new();
    for entry in entries {
        if let LedgerEntry::Sent { sender, topic, offered, attempted, written, acked, since_ns } = entry {
            let account = topics.entry(topic.clone()).or_default();
            account.offered += offered;
            account.attempted += attempted;
            account.written += written;
            account.acked += acked;
            senders.insert(
                *sender,
                Sender { topic, attempted: *attempted, since_ns: *since_ns, heard_by: 0, shared: Vec::new() },
            );
        }
    }
    for entry in entries {
        match entry {
            LedgerEntry::Received {
                sender,
                topic,
                receivers,
                skipped,
                delivered,
                duplicated,
                out_of_order,
                expired,
                shared,
            } => {
                let known = senders.get_mut(sender);
                let topic = known.as_ref().map_or(topic.as_str(), |sender| sender.topic);
                let account = topics.entry(topic.to_owned()).or_default();
                account.duplicated += duplicated;
                account.out_of_order += out_of_order;
                account.delivered += delivered;
                account.expired += expired;
                let Some(sender) = known else {
                    account.unaccounted += delivered;
                    account.expected += delivered;
                    continue;
                };
                match shared {
                    None => {
                        sender.heard_by += receivers;
                        account.expected += (receivers * sender.attempted).saturating_sub(*skipped);
                    }
                    Some(group) if !sender.shared.contains(&group.as_str()) => {
                        sender.shared.push(group);
                        account.expected += sender.attempted;
                    }
                    Some(_) => {}
                }
            }
            LedgerEntry::Corrupted { topic, count } => topics.entry(topic.clone()).or_default().corrupted += count,
            LedgerEntry::Sent { .. } | LedgerEntry::Subscribed { .. } => {}
        }
    }
    expect_of_the_silent(entries, &senders, &mut topics);
    let mut overall = Account::default();
    for account in topics.values_mut() {
        account.lost = account.expected.saturating_sub(account.delivered + account.expired);
        overall.add(account);
    }
    Reconciliation { runs: Vec::new(), overall, topics }
}

/// Subscribers that should have heard a sender and have not heard it once.
fn expect_of_the_silent(
    entries: &[LedgerEntry],
    senders: &HashMap<u32, Sender>,
    topics: &mut BTreeMap<String, Account>,
) {
    let subscriptions: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            LedgerEntry::Subscribed { filters, clients, since_ns } => Some((filters, *clients, *since_ns)),
            _ => None,
        })
        .collect();
    // Most topics have no wildcard: looking them up spares a comparison of every sender with every subscription.
    let mut exact: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut patterns = Vec::new();
    for (at, (filters, ..)) in subscriptions.iter().enumerate() {
        match filters.as_slice() {
            [filter] if !filter.contains(['+', '#', '$']) => exact.entry(filter).or_default().push(at),
            _ => patterns.push(at),
        }
    }
    for sender in senders.values() {
        let mut expected_receivers = 0;
        for &at in exact.get(sender.topic).into_iter().flatten().chain(&patterns) {
            let (filters, clients, since_ns) = &subscriptions[at];
            if *since_ns > sender.since_ns {
                continue;
            }
            let Ok(topic) = TopicName::new(sender.topic) else { continue };
            let parsed = filters.iter().filter_map(|filter| TopicFilter::new(filter).ok());
            let (shared, plain): (Vec<_>, Vec<_>) = parsed.partition(|filter| filter.shared().is_some());
            if plain.iter().any(|filter| matches(*filter, topic)) {
                expected_receivers += clients;
            }
            for filter in shared {
                let unheard = !sender.shared.contains(&filter.as_str());
                if unheard && filter.shared().is_some_and(|shared| matches(shared.filter, topic)) {
                    topics.entry(sender.topic.to_owned()).or_default().expected += sender.attempted;
                }
            }
        }
        let silent = expected_receivers.saturating_sub(sender.heard_by);
        topics.entry(sender.topic.to_owned()).or_default().expected += silent * sender.attempted;
    }
}

struct Sender<'a> {
    topic: &'a str,
    attempted: u64,
    since_ns: u64,
    /// Receivers that got anything, without those of shared subscriptions.
    heard_by: u64,
    /// Shared subscriptions that got anything.
    shared: Vec<&'a str>,
}

impl Account {
    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.attempted += other.attempted;
        self.written += other.written;
        self.acked += other.acked;
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.expired += other.expired;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.corrupted += other.corrupted;
        self.unaccounted += other.unaccounted;
    }

    fn line(&self) -> String {
        let Self {
            offered,
            attempted,
            written,
            acked,
            expected,
            delivered,
            lost,
            expired,
            duplicated,
            out_of_order,
            corrupted,
            ..
        } = self;
        format!(
            "offered {offered}, attempted {attempted}, written {written}, acknowledged {acked}; expected {expected}, \
             delivered {delivered}, lost {lost}, expired {expired}, duplicated {duplicated}, out of order {out_of_order}, corrupted {corrupted}"
        )
    }
}

impl Reconciliation {
    /// Whether everything arrived once, in order and whole.
    pub(crate) fn is_clean(&self) -> bool {
        let Account { lost, duplicated, out_of_order, corrupted, unaccounted, .. } = self.overall;
        lost + duplicated + out_of_order + corrupted + unaccounted == 0
    }

    /// For people: the sum, and the topics that are not as they should be.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("{} runs, {} topics", self.runs.len(), self.topics.len()), self.overall.line()];
        if self.overall.unaccounted > 0 {
            lines.push(format!("{} deliveries are from senders without a ledger", self.overall.unaccounted));
        }
        let bad = |account: &Account| account.lost + account.duplicated + account.out_of_order + account.corrupted > 0;
        let all: Vec<_> = self.topics.iter().filter(|(_, account)| bad(account)).collect();
        lines.extend(all.iter().take(TOPICS_SHOWN).map(|(topic, account)| format!("{topic}: {}", account.line())));
        if all.len() > TOPICS_SHOWN {
            lines.push(format!("and {} further topics with losses (--json - shows all)", all.len() - TOPICS_SHOWN));
        }
        lines.join("\n")
    }
}

/// Whether a filter without `$share` matches a topic (section 4.7).
fn matches(filter: TopicFilter, topic: TopicName) -> bool {
    let (mut filter_levels, mut topic_levels) = (filter.as_str().split('/'), topic.as_str().split('/'));
    if topic.is_system() && filter.as_str().starts_with(['+', '#']) {
        return false;
    }
    loop {
        match (filter_levels.next(), topic_levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(filter), Some(topic)) if filter == topic => {}
            _ => return false,
        }
    }
}

/// Topics that the text names one by one.
const TOPICS_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sender: u32, topic: &str, attempted: u64) -> LedgerEntry {
        let topic = topic.to_owned();
        LedgerEntry::Sent { sender, topic, offered: attempted, attempted, written: attempted, acked: 0, since_ns: 100 }
    }

    fn received(sender: u32, receivers: u64, skipped: u64, delivered: u64, shared: Option<&str>) -> LedgerEntry {
        let (topic, shared) = ("t".to_owned(), shared.map(str::to_owned));
        let (duplicated, out_of_order, expired) = (0, 0, 0);
        LedgerEntry::Received {
            sender,
            topic,
            receivers,
            skipped,
            delivered,
            duplicated,
            out_of_order,
            expired,
            shared,
        }
    }

    fn subscribed(filter: &str, clients: u64, since_ns: u64) -> LedgerEntry {
        LedgerEntry::Subscribed { filters: vec![filter.to_owned()], clients, since_ns }
    }

    fn lost(entries: &[LedgerEntry]) -> u64 {
        entries_of(entries).overall.lost
    }

    #[test]
    fn the_end_of_a_stream_and_whole_streams_are_missed() {
        assert_eq!(lost(&[sent(1, "t", 10), received(1, 2, 0, 20, None), subscribed("t", 2, 50)]), 0);
        assert_eq!(lost(&[sent(1, "t", 10), received(1, 2, 0, 17, None), subscribed("t", 2, 50)]), 3);
        assert_eq!(
            lost(&[sent(1, "t", 10), received(1, 2, 0, 20, None), subscribed("#", 3, 50)]),
            10,
            "one heard nothing"
        );
        assert_eq!(lost(&[sent(1, "t", 10), subscribed("+", 1, 150)]), 0, "it came when sending had begun");
        assert_eq!(lost(&[sent(1, "t", 10), received(1, 1, 4, 6, None), subscribed("t", 1, 150)]), 0, "it came late");
        assert_eq!(lost(&[sent(1, "other", 10), subscribed("t", 1, 50)]), 0);
    }

    #[test]
    fn a_shared_subscription_gets_each_message_once() {
        let group = "$share/g/t";
        let entries = |one, other| {
            [
                sent(1, "t", 10),
                received(1, 1, 0, one, Some(group)),
                received(1, 1, 3, other, Some(group)),
                subscribed(group, 2, 50),
            ]
        };
        assert_eq!(lost(&entries(4, 6)), 0);
        assert_eq!(lost(&entries(4, 5)), 1);
        assert_eq!(lost(&[sent(1, "t", 10), subscribed(group, 2, 50)]), 10);
    }

    #[test]
    fn what_has_expired_is_not_lost() {
        let mut heard = received(1, 1, 0, 6, None);
        if let LedgerEntry::Received { expired, .. } = &mut heard {
            *expired = 3;
        }
        let account = entries_of(&[sent(1, "t", 10), heard, subscribed("t", 1, 50)]).overall;
        assert_eq!((account.expected, account.delivered, account.expired, account.lost), (10, 6, 3, 1));
    }

    #[test]
    fn deliveries_of_unknown_senders_are_named() {
        let account = entries_of(&[received(9, 1, 0, 5, None)]).overall;
        assert_eq!((account.unaccounted, account.lost, account.delivered), (5, 0, 5));
    }

    #[test]
    fn filters_match_as_the_specification_says() {
        let hit = |filter, topic| matches(TopicFilter::new(filter).unwrap(), TopicName::new(topic).unwrap());
        assert!(hit("a/#", "a") && hit("a/+/c", "a/b/c") && hit("#", "a/b") && hit("+/+", "/x"));
        assert!(!hit("a/+", "a") && !hit("#", "$SYS/x") && !hit("a", "a/b"));
    }
}
