//! An application message, kept once whatever the number of its receivers.

use std::sync::Arc;

use mqtt_wire::{Properties, QoS};

use super::session::SessionRef;

/// A message that outlives the read buffer: shared, immutable, one allocation.
///
/// Layout: a head of fixed size, the stamp if it is to be retained, then topic, properties, payload.
#[derive(Clone, Debug)]
pub(super) struct Message(Arc<[u8]>);

/// A message borrowed from the read buffer or from a [`Message`].
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageView<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    /// Those that are passed on unchanged: no topic alias, no message expiry interval, no subscription identifier.
    pub(super) properties: Properties<'a>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// The place of a message that is to be retained among all such messages, from 1; 0 for others.
    pub(super) stamp: u64,
    /// Monotonic nanoseconds from which on the message must not be delivered; [`NEVER`] for most.
    pub(super) expires_ns: u64,
    /// The session that published it, for No Local and for back-pressure.
    pub(super) origin: SessionRef,
}

/// No expiry.
pub(super) const NEVER: u64 = u64::MAX;

const FLAGS: usize = 0;
const TOPIC_LEN: usize = 1;
const PROPERTIES_LEN: usize = 3;
const EXPIRES: usize = 7;
const ORIGIN_WORKER: usize = 15;
const ORIGIN_SLOT: usize = 17;
const ORIGIN_GENERATION: usize = 21;
const HEAD: usize = 25;

/// The bit of [`FLAGS`] for a message that is to be retained; two times its value is the size of the stamp.
const RETAIN: u8 = 4;

impl Message {
    /// Copies a message out of the read buffer. `scratch` is memory to build it in.
    pub(super) fn new(view: &MessageView<'_>, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.push(view.qos as u8 | if view.retain { RETAIN } else { 0 });
        scratch.extend_from_slice(&(view.topic.len() as u16).to_ne_bytes());
        scratch.extend_from_slice(&(view.properties.as_bytes().len() as u32).to_ne_bytes());
        scratch.extend_from_slice(&view.expires_ns.to_ne_bytes());
        scratch.extend_from_slice(&view.origin.worker.to_ne_bytes());
        scratch.extend_from_slice(&view.origin.slot.to_ne_bytes());
        scratch.extend_from_slice(&view.origin.generation.to_ne_bytes());
        debug_assert_eq!(scratch.len(), HEAD);
        if view.retain {
            scratch.extend_from_slice(&view.stamp.to_ne_bytes());
        }
        scratch.extend_from_slice(view.topic.as_bytes());
        scratch.extend_from_slice(view.properties.as_bytes());
        scratch.extend_from_slice(view.payload);
        Self(Arc::from(scratch.as_slice()))
    }

    pub(super) fn view(&self) -> MessageView<'_> {
        let bytes = &*self.0;
        let flags = bytes[FLAGS];
        let topic_begin = HEAD + 2 * usize::from(flags & RETAIN);
        let topic_end = topic_begin + usize::from(u16::from_ne_bytes(self.array(TOPIC_LEN)));
        let properties_end = topic_end + u32::from_ne_bytes(self.array(PROPERTIES_LEN)) as usize;
        // SAFETY: `new` is the only constructor and copies these bytes from a `str`.
        let topic = unsafe { std::str::from_utf8_unchecked(&bytes[topic_begin..topic_end]) };
        MessageView {
            topic,
            payload: &bytes[properties_end..],
            properties: Properties::from_checked(&bytes[topic_end..properties_end]),
            qos: match flags & 3 {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            },
            retain: flags & RETAIN != 0,
            stamp: if flags & RETAIN != 0 { u64::from_ne_bytes(self.array(HEAD)) } else { 0 },
            expires_ns: u64::from_ne_bytes(self.array(EXPIRES)),
            origin: SessionRef {
                worker: u16::from_ne_bytes(self.array(ORIGIN_WORKER)),
                slot: u32::from_ne_bytes(self.array(ORIGIN_SLOT)),
                generation: u32::from_ne_bytes(self.array(ORIGIN_GENERATION)),
            },
        }
    }

    /// Bytes that the message holds in memory, the two counts of its [`Arc`] included.
    pub(super) fn size(&self) -> usize {
        2 * size_of::<usize>() + self.0.len()
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().expect("a slice of N bytes")
    }
}
