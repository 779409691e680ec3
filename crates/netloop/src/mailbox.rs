//! Mailboxes between event loops: batches in, one wake-up per batch, and none for a loop that is awake.
//!
//! The lock is taken once per batch, never per message. A mailbox does not refuse mail, because a peer's bookkeeping
//! must not get lost; it says how full it is ([`Sender::backlog_bytes`]), and senders that produce bulk keep to a bound:
//! they ask to be told when the receiver has taken what is there ([`Sender::ask_for_room`]).

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::{Registry, Token, Waker};

/// Makes a mailbox whose owner sleeps in the poll of `registry` and is woken with an event for `token`.
///
/// # Errors
/// When the kernel gives no eventfd.
pub fn mailbox<T>(registry: &Registry, token: Token) -> io::Result<(Sender<T>, Receiver<T>)> {
    let shared = Arc::new(Shared {
        mail: Mutex::new(Vec::new()),
        backlog_bytes: AtomicUsize::new(0),
        in_want_of_room: AtomicU64::new(0),
        pending: AtomicBool::new(false),
        asleep: AtomicBool::new(false),
        waker: Waker::new(registry, token)?,
    });
    Ok((Sender { shared: Arc::clone(&shared) }, Receiver { shared }))
}

/// The end that puts mail in. Clones share the mailbox; mail arrives in the order in which it was put in.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end that takes mail out; lives with its event loop.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    mail: Mutex<Vec<T>>,
    /// What senders say that `mail` holds, to be read without the lock.
    backlog_bytes: AtomicUsize,
    /// Senders that wait until `mail` is taken out, a bit for each.
    in_want_of_room: AtomicU64,
    /// Mail was put in since the receiver last took it out.
    pending: AtomicBool,
    /// The receiver sleeps or is about to: whoever puts mail in must wake it.
    asleep: AtomicBool,
    waker: Waker,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Sender<T> {
    /// Moves all of `batch`, which holds `bytes`, into the mailbox.
    pub fn send_all(&self, batch: &mut Vec<T>, bytes: usize) {
        if batch.is_empty() {
            return;
        }
        let shared = &*self.shared;
        let mut mail = shared.mail.lock().unwrap_or_else(PoisonError::into_inner);
        mail.append(batch);
        shared.backlog_bytes.fetch_add(bytes, Ordering::Relaxed);
        drop(mail);
        shared.pending.store(true, Ordering::SeqCst);
        if shared.asleep.swap(false, Ordering::SeqCst) {
            // The eventfd's counter cannot overflow: it is read by the poll before the next sleep.
            let _ = shared.waker.wake();
        }
    }

    /// Bytes of the mail that waits to be taken out.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        self.shared.backlog_bytes.load(Ordering::Relaxed)
    }

    /// Has the receiver learn, when it next takes mail out, that the sender of this number (0 to 63) waits for room. Who
    /// asks must send something afterwards: there may be nothing left to be taken out.
    pub fn ask_for_room(&self, sender: u16) {
        self.shared.in_want_of_room.fetch_or(1 << sender, Ordering::SeqCst);
    }
}

impl<T> Receiver<T> {
    /// Whether there may be mail. Costs one load.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        self.shared.pending.load(Ordering::SeqCst)
    }

    /// Takes everything out: swaps the mail with `emptied`, whose memory the mailbox uses from here on. Returns the senders
    /// that have asked for room, a bit for each.
    #[must_use]
    pub fn take(&self, emptied: &mut Vec<T>) -> u64 {
        debug_assert!(emptied.is_empty());
        self.shared.pending.store(false, Ordering::SeqCst);
        let mut mail = self.shared.mail.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *mail, emptied);
        self.shared.backlog_bytes.store(0, Ordering::Relaxed);
        // Mostly nobody has: no need to lock the bus for that.
        if self.shared.in_want_of_room.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        self.shared.in_want_of_room.swap(0, Ordering::SeqCst)
    }

    /// Call before sleeping in the poll. `false`: there is mail, do not sleep.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        self.shared.asleep.store(true, Ordering::SeqCst);
        let quiet = !self.has_mail();
        if !quiet {
            self.shared.asleep.store(false, Ordering::SeqCst);
        }
        quiet
    }

    /// Call after the poll returned: senders need not wake this loop any more.
    pub fn awake(&self) {
        self.shared.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::Duration;

    #[test]
    fn every_item_arrives_once_and_in_order_per_sender() {
        const PER_SENDER: u32 = 20_000;
        let mut poll = Poll::new().unwrap();
        let (sender, receiver) = mailbox::<(u8, u32)>(poll.registry(), Token(0)).unwrap();
        let threads: Vec<_> = (0..3_u8)
            .map(|id| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut batch = Vec::new();
                    for n in 0..PER_SENDER {
                        batch.push((id, n));
                        if n % 7 == 0 {
                            let bytes = batch.len();
                            sender.send_all(&mut batch, bytes);
                        }
                    }
                    let bytes = batch.len();
                    sender.send_all(&mut batch, bytes);
                })
            })
            .collect();
        let (mut next, mut mail, mut events) = ([0_u32; 3], Vec::new(), Events::with_capacity(8));
        while next != [PER_SENDER; 3] {
            if receiver.may_sleep() {
                poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                assert!(!events.is_empty() || receiver.has_mail(), "slept through mail: a wake-up was lost");
                receiver.awake();
            }
            assert_eq!(receiver.take(&mut mail), 0);
            for (id, n) in mail.drain(..) {
                assert_eq!(next[usize::from(id)], n);
                next[usize::from(id)] += 1;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(sender.backlog_bytes(), 0);
    }

    #[test]
    fn who_asks_for_room_is_named_once_to_the_receiver() {
        let poll = Poll::new().unwrap();
        let (sender, receiver) = mailbox::<u8>(poll.registry(), Token(0)).unwrap();
        sender.send_all(&mut vec![1, 2], 30);
        sender.send_all(&mut vec![3], 12);
        assert_eq!(sender.backlog_bytes(), 42);
        sender.ask_for_room(0);
        sender.ask_for_room(63);
        let mut mail = Vec::new();
        assert_eq!(receiver.take(&mut mail), 1 | 1 << 63);
        assert_eq!((mail.as_slice(), sender.backlog_bytes()), (&[1, 2, 3][..], 0));
        mail.clear();
        assert_eq!(receiver.take(&mut mail), 0);
    }
}
