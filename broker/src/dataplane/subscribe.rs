//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11), and what the other workers are told about them.

use mqtt_wire::{
    DecodeError, Packet, Properties, Property, ReasonCode, SharedFilter, SubAck, Subscribe, SubscribeOptions,
    TopicFilter, UnsubAck, Unsubscribe,
};

use super::conn::ConnRef;
use super::mail::{GroupChange, Mail, MemberChange};
use super::subscribers::{Interest, Member, Subscriber, wants_retained};
use super::worker::Worker;

impl Worker {
    /// SUBSCRIBE from a client. The answer goes out first, then the retained messages.
    pub(super) fn on_subscribe(
        &mut self,
        at: ConnRef,
        session: u32,
        subscribe: &Subscribe<'_>,
    ) -> Result<(), DecodeError> {
        let id = subscribe.properties.iter().find_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        });
        let id = id.unwrap_or(0);
        let mut codes = Vec::new();
        let mut retained = Vec::new();
        let mut why = "";
        for (filter, options) in subscribe.filters.iter() {
            match self.add_subscription(session, filter, options, id) {
                Ok(existed) => {
                    codes.push(options.qos as u8);
                    if filter.shared().is_none() && wants_retained(options, existed) {
                        retained.push((filter, options));
                    }
                }
                Err((reason, in_words)) => {
                    self.counters.refused_subscriptions += 1;
                    why = in_words;
                    let v5 = self.conn(at).is_some_and(|conn| conn.version.has_properties());
                    codes.push(if v5 { reason.0 } else { ReasonCode::UNSPECIFIED_ERROR.0 });
                }
            }
        }
        let list = self.reason_string(at, why, 2 + codes.len());
        let answer = SubAck { packet_id: subscribe.packet_id, properties: list.as_properties(), codes: &codes };
        self.send_packet(at, &Packet::SubAck(answer));
        for (filter, options) in retained {
            self.send_retained(session, filter.as_str(), options, id);
        }
        Ok(())
    }

    /// UNSUBSCRIBE from a client.
    pub(super) fn on_unsubscribe(
        &mut self,
        at: ConnRef,
        session: u32,
        unsubscribe: &Unsubscribe<'_>,
    ) -> Result<(), DecodeError> {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let removed = self.remove_subscription(session, filter);
            codes.push(if removed { ReasonCode::SUCCESS.0 } else { ReasonCode::NO_SUBSCRIPTION_EXISTED.0 });
        }
        if self.conn(at).is_some_and(|conn| !conn.version.has_properties()) {
            codes.clear();
        }
        let answer = UnsubAck { packet_id: unsubscribe.packet_id, properties: Properties::EMPTY, codes: &codes };
        self.send_packet(at, &Packet::UnsubAck(answer));
        Ok(())
    }

    /// Makes or replaces a subscription; `true` when it existed.
    fn add_subscription(
        &mut self,
        slot: u32,
        filter: TopicFilter<'_>,
        options: SubscribeOptions,
        id: u32,
    ) -> Result<bool, (ReasonCode, &'static str)> {
        let limits = &self.settings.limits;
        if super::route::levels(filter.as_str()) > limits.max_topic_levels {
            return Err((ReasonCode::TOPIC_FILTER_INVALID, "a filter has more levels than the server allows"));
        }
        let spent = self.memory_is_spent();
        let bits = options.to_bits();
        // The index knows at once what the session's own list would have to be searched for.
        let existed = self.is_subscribed(slot, filter);
        let list = self.sessions[slot as usize].subscriptions.get_or_insert_default();
        if !existed && list.len() >= limits.max_subscriptions {
            return Err((ReasonCode::QUOTA_EXCEEDED, "the session has as many subscriptions as the server allows"));
        }
        if !existed && spent {
            return Err((ReasonCode::QUOTA_EXCEEDED, "the server has no memory for more subscriptions"));
        }
        if !existed {
            list.push(filter.as_str(), &self.hasher);
        }
        match filter.shared() {
            Some(shared) => {
                let member = Member { session: self.session_ref(slot), id, options: bits, online: true };
                self.announce_group(shared, MemberChange::Join(member));
            }
            None => {
                let interest = self.filters.get_or_insert_with(filter.as_str(), Interest::default);
                let first = interest.local.as_slice().is_empty();
                interest.local.insert(Subscriber { session: slot, id, options: bits });
                if first {
                    self.announce_interest(filter.as_str(), true);
                }
            }
        }
        Ok(existed)
    }

    /// Whether a session of this worker has exactly this subscription.
    pub(super) fn is_subscribed(&self, slot: u32, filter: TopicFilter<'_>) -> bool {
        match filter.shared() {
            None => self.filters.get(filter.as_str()).is_some_and(|interest| interest.local.contains(slot)),
            Some(_) => self.has_filter(slot, filter.as_str()),
        }
    }

    /// Whether a filter is in the list of a session of this worker, with its `$share/` if it has one.
    pub(super) fn has_filter(&self, slot: u32, filter: &str) -> bool {
        let list = self.sessions[slot as usize].subscriptions.as_ref();
        list.is_some_and(|list| list.contains(filter, &self.hasher))
    }

    /// Ends a subscription; `false` when there was none.
    fn remove_subscription(&mut self, slot: u32, filter: TopicFilter<'_>) -> bool {
        if !self.is_subscribed(slot, filter) {
            return false;
        }
        let Some(list) = &mut self.sessions[slot as usize].subscriptions else { return false };
        if !list.remove(filter.as_str(), &self.hasher) {
            return false;
        }
        if list.len() == 0 {
            self.sessions[slot as usize].subscriptions = None;
        }
        self.withdraw(slot, filter);
        true
    }

    /// Ends all subscriptions of a session.
    pub(super) fn drop_subscriptions(&mut self, slot: u32) {
        let Some(list) = self.sessions[slot as usize].subscriptions.take() else { return };
        for filter in list.iter().filter_map(|filter| TopicFilter::new(filter).ok()) {
            self.withdraw(slot, filter);
        }
    }

    /// Takes a session out of the index and tells the others if it was the last.
    fn withdraw(&mut self, slot: u32, filter: TopicFilter<'_>) {
        self.end_walk(slot, filter.as_str());
        if let Some(shared) = filter.shared() {
            let leaving = self.session_ref(slot);
            self.announce_group(shared, MemberChange::Leave(leaving));
            return;
        }
        let Some(interest) = self.filters.get_mut(filter.as_str()) else { return };
        interest.local.remove(slot);
        let last = interest.local.as_slice().is_empty();
        if interest.is_empty() {
            self.filters.remove(filter.as_str());
        }
        if last {
            self.announce_interest(filter.as_str(), false);
        }
    }

    fn announce_interest(&mut self, filter: &str, wanted: bool) {
        let worker = self.id;
        self.send_to_peers(|| Mail::Interest { filter: filter.into(), worker, wanted });
    }

    /// Tells all workers, this one included, of a change in a shared subscription.
    fn announce_group(&mut self, shared: SharedFilter<'_>, change: MemberChange) {
        let make = || GroupChange { filter: shared.filter.as_str().into(), name: shared.name.into(), change };
        self.send_to_peers(|| Mail::Group(Box::new(make())));
        self.change_group(&make());
    }

    /// Tells all workers that the members of groups that this session is are connected, or are not.
    pub(super) fn note_presence(&mut self, slot: u32, online: bool) {
        let reference = self.session_ref(slot);
        let Some(list) = &self.sessions[slot as usize].subscriptions else { return };
        let shared: Vec<Box<str>> = list.iter().filter(|filter| filter.starts_with("$share/")).map(Box::from).collect();
        for filter in shared {
            if let Some(shared) = TopicFilter::new(&filter).ok().and_then(TopicFilter::shared) {
                self.announce_group(shared, MemberChange::Presence(reference, online));
            }
        }
    }

    /// Applies a change in a shared subscription.
    pub(super) fn change_group(&mut self, change: &GroupChange) {
        let interest = self.filters.get_or_insert_with(&change.filter, Interest::default);
        let members = &mut interest.group(&change.filter, &change.name).members;
        match change.change {
            MemberChange::Join(joining) => members.insert(joining),
            MemberChange::Leave(leaving) => members.remove(leaving),
            MemberChange::Presence(session, online) => {
                if let Some(member) = members.get_mut(session) {
                    member.online = online;
                }
            }
        }
        interest.prune_groups();
        if interest.is_empty() {
            self.filters.remove(&change.filter);
        }
    }
}
