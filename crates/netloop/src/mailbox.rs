//! Mailboxes between event loops: batches in, one wake-up per batch, and none for a loop that is awake.
//!
//! The lock is taken once per batch, never per message. A mailbox does not refuse mail, because a peer's bookkeeping
//! must not get lost; it says how full it is ([`Sender::backlog`]), and senders that produce bulk keep to a bound.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::{Registry, Token, Waker};

/// Makes a mailbox whose owner sleeps in the poll of `registry` and is woken with an event for `token`.
///
/// # Errors
/// When the kernel gives no eventfd.
pub fn mailbox<T>(registry: &Registry, token: Token) -> io::Result<(Sender<T>, Receiver<T>)> {
    let shared = Arc::new(Shared {
        mail: Mutex::new(Vec::new()),
        backlog: AtomicUsize::new(0),
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
    /// Length of `mail`, to be read without the lock.
    backlog: AtomicUsize,
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
    /// Moves all of `batch` into the mailbox.
    pub fn send_all(&self, batch: &mut Vec<T>) {
        if batch.is_empty() {
            return;
        }
        let shared = &*self.shared;
        let mut mail = shared.mail.lock().unwrap_or_else(PoisonError::into_inner);
        mail.append(batch);
        shared.backlog.store(mail.len(), Ordering::Relaxed);
        drop(mail);
        shared.pending.store(true, Ordering::SeqCst);
        if shared.asleep.swap(false, Ordering::SeqCst) {
            // The eventfd's counter cannot overflow: it is read by the poll before the next sleep.
            let _ = shared.waker.wake();
        }
    }

    /// Mail that waits to be taken out.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.shared.backlog.load(Ordering::Relaxed)
    }
}

impl<T> Receiver<T> {
    /// Whether there may be mail. Costs one load.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        self.shared.pending.load(Ordering::SeqCst)
    }

    /// Takes everything out: swaps the mail with `emptied`, whose memory the mailbox uses from here on.
    pub fn take(&self, emptied: &mut Vec<T>) {
        debug_assert!(emptied.is_empty());
        self.shared.pending.store(false, Ordering::SeqCst);
        let mut mail = self.shared.mail.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *mail, emptied);
        self.shared.backlog.store(0, Ordering::Relaxed);
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
                            sender.send_all(&mut batch);
                        }
                    }
                    sender.send_all(&mut batch);
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
            receiver.take(&mut mail);
            for (id, n) in mail.drain(..) {
                assert_eq!(next[usize::from(id)], n);
                next[usize::from(id)] += 1;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(sender.backlog(), 0);
    }
}
