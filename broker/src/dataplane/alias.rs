//! Topic aliases from the broker to a client (sections 3.1.2.11.5 and 3.3.2.3.4): the first topics that a client gets
//! messages of have a number instead of a name from their second message on.

use std::collections::HashMap;

use super::settings::ALIASED_TOPIC_BYTES;

/// The aliases of one connection.
#[derive(Debug)]
pub(super) struct SentAliases {
    /// What the client takes, or less if the server gives less.
    most: u16,
    topics: HashMap<Box<str>, u16>,
}

/// How a PUBLISH names its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Alias {
    /// By its name.
    #[default]
    None,
    /// By its name, and the number that stands for it from now on.
    New(u16),
    /// By its number.
    Known(u16),
}

impl SentAliases {
    /// For a client that takes so many; `None` when it takes none.
    pub(super) fn up_to(most: u16) -> Option<Box<Self>> {
        (most > 0).then(|| Box::new(Self { most, topics: HashMap::new() }))
    }

    /// How the next message of a topic is to name it.
    pub(super) fn of(&self, topic: &str) -> Alias {
        match self.topics.get(topic) {
            Some(&number) => Alias::Known(number),
            None if self.topics.len() < usize::from(self.most) && ALIASED_TOPIC_BYTES.contains(&topic.len()) => {
                Alias::New(self.topics.len() as u16 + 1)
            }
            None => Alias::None,
        }
    }

    /// Notes that a message was written that names its topic so.
    pub(super) fn sent(&mut self, alias: Alias, topic: &str) {
        if let Alias::New(number) = alias {
            self.topics.insert(topic.into(), number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topics_get_numbers() {
        assert!(SentAliases::up_to(0).is_none());
        let mut aliases = SentAliases::up_to(2).unwrap();
        assert_eq!(aliases.of("one/topic"), Alias::New(1));
        assert_eq!(aliases.of("one/topic"), Alias::New(1), "nothing was sent yet");
        aliases.sent(Alias::New(1), "one/topic");
        assert_eq!((aliases.of("one/topic"), aliases.of("two/topics")), (Alias::Known(1), Alias::New(2)));
        aliases.sent(Alias::New(2), "two/topics");
        assert_eq!((aliases.of("three"), aliases.of("two/topics")), (Alias::None, Alias::Known(2)));
    }

    #[test]
    fn what_an_alias_does_not_shorten_gets_none() {
        let aliases = SentAliases::up_to(9).unwrap();
        assert_eq!(aliases.of("abc"), Alias::None);
        assert_eq!(aliases.of(&"x".repeat(70_000)), Alias::None);
    }
}
