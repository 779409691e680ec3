//! The topic filters that one session has subscribed to. Most sessions have one or two, some have thousands.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Filters as the client gave them, with their `$share/` prefix if they have one. How they are subscribed to stands in the
/// topic index.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    list: Vec<Box<str>>,
    /// Places in `list`, hashed by filter: there above [`FEW`], so that unsubscribing costs the same however many there are.
    places: Option<Box<HashTable<u32>>>,
}

/// Above this number filters are indexed.
const FEW: usize = 16;

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|filter| &**filter)
    }

    pub(super) fn contains(&self, filter: &str, hasher: &RandomState) -> bool {
        match &self.places {
            None => self.iter().any(|present| present == filter),
            Some(places) => {
                let same = |&place: &u32| &*self.list[place as usize] == filter;
                places.find(hasher.hash_one(filter), same).is_some()
            }
        }
    }

    /// Adds a filter that is not there yet.
    pub(super) fn push(&mut self, filter: &str, hasher: &RandomState) {
        self.list.push(filter.into());
        let list = &self.list;
        let hash_at = |&place: &u32| hasher.hash_one(&*list[place as usize]);
        let last = list.len() as u32 - 1;
        match &mut self.places {
            Some(places) => {
                places.insert_unique(hash_at(&last), last, hash_at);
            }
            None if list.len() > FEW => {
                let mut places = HashTable::with_capacity(2 * FEW);
                (0..=last).for_each(|place| {
                    places.insert_unique(hash_at(&place), place, hash_at);
                });
                self.places = Some(Box::new(places));
            }
            None => {}
        }
    }

    /// Removes a filter; `false` when it was not there.
    pub(super) fn remove(&mut self, filter: &str, hasher: &RandomState) -> bool {
        let Self { list, places } = self;
        let place = match places {
            None => list.iter().position(|present| &**present == filter),
            Some(places) => {
                let same = |&place: &u32| &*list[place as usize] == filter;
                places.find_entry(hasher.hash_one(filter), same).ok().map(|entry| entry.remove().0 as usize)
            }
        };
        let Some(place) = place else { return false };
        let last = list.len() - 1;
        if let Some(places) = places
            && place != last
            && let Some(moved) = places.find_mut(hasher.hash_one(&*list[last]), |&at| at as usize == last)
        {
            *moved = place as u32;
        }
        list.swap_remove(place);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_come_and_go() {
        let hasher = RandomState::new();
        for count in [1_u32, 16, 17, 1_000] {
            let mut subscriptions = Subscriptions::default();
            let mut wanted = std::collections::BTreeSet::new();
            for number in 0..count {
                subscriptions.push(&format!("topic/{number}"), &hasher);
                wanted.insert(format!("topic/{number}"));
            }
            assert!(!subscriptions.remove("topic", &hasher));
            for number in (0..count).step_by(3).chain(0..count) {
                let filter = format!("topic/{number}");
                assert_eq!(subscriptions.contains(&filter, &hasher), wanted.contains(&filter), "{filter} of {count}");
                assert_eq!(subscriptions.remove(&filter, &hasher), wanted.remove(&filter), "{filter} of {count}");
                let left: std::collections::BTreeSet<String> = subscriptions.iter().map(str::to_owned).collect();
                assert!(left == wanted && subscriptions.len() == wanted.len(), "{filter} of {count}");
            }
            subscriptions.push("again", &hasher);
            assert!(subscriptions.remove("again", &hasher) && subscriptions.len() == 0);
        }
    }
}
