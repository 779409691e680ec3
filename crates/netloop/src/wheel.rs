//! A timer wheel for deadlines that are many, coarse and seldom reached: keep-alive, connect timeouts, session expiry.
//!
//! A deadline cannot be taken back. Whoever set it looks, when it is reached, whether it still means anything and sets
//! a later one if so: a keep-alive costs one store per packet instead of one timer operation per packet.

/// Deadlines hashed into slots by their tick; time is an argument.
#[derive(Debug)]
pub struct TimerWheel<K> {
    tick_ns: u64,
    /// The last tick that [`advance`](Self::advance) has dealt with.
    now: u64,
    /// A power of two, so that a tick finds its slot by masking. A slot also holds deadlines of later rounds.
    slots: Box<[Vec<Entry<K>>]>,
    len: usize,
    /// No slot of a tick after `now` and before this one holds anything: spares a walk over empty slots before each
    /// sleep.
    next: u64,
}

#[derive(Debug)]
struct Entry<K> {
    /// Low 32 bits of the tick; compared with wrap-around, so deadlines must lie within 2^31 ticks.
    tick: u32,
    key: K,
}

impl<K> TimerWheel<K> {
    /// A wheel whose deadlines are kept to within `tick_ns` nanoseconds, starting at `now_ns`. `slots` is rounded up to
    /// a power of two.
    #[must_use]
    pub fn new(tick_ns: u64, slots: usize, now_ns: u64) -> Self {
        let slots = (0..slots.next_power_of_two()).map(|_| Vec::new()).collect();
        Self { tick_ns, now: now_ns / tick_ns, slots, len: 0, next: 0 }
    }

    /// Deadlines set and not reached.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no deadline is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a deadline. It is reached at the first tick at or after `deadline_ns`, never before; one in the past is
    /// reached at the next tick.
    pub fn schedule(&mut self, deadline_ns: u64, key: K) {
        let tick = deadline_ns.div_ceil(self.tick_ns).clamp(self.now + 1, self.now + u64::from(u32::MAX / 2));
        let slot = self.slot(tick);
        self.slots[slot].push(Entry { tick: tick as u32, key });
        // The first tick of its slot, be it of an earlier round.
        let round = self.slots.len() as u64 - 1;
        self.next = self.next.min(self.now + 1 + ((tick - self.now - 1) & round));
        self.len += 1;
    }

    /// Moves to `now_ns` and appends the keys of all deadlines reached since the last call to `reached`.
    pub fn advance(&mut self, now_ns: u64, reached: &mut impl Extend<K>) {
        let now = now_ns / self.tick_ns;
        let ticks = now.saturating_sub(self.now).min(self.slots.len() as u64);
        self.now = self.now.max(now);
        if self.len == 0 {
            return;
        }
        for tick in now + 1 - ticks..=now {
            let slot = self.slot(tick);
            let before = self.slots[slot].len();
            reached.extend(
                self.slots[slot]
                    .extract_if(.., |entry| (now as u32).wrapping_sub(entry.tick) < 1 << 31)
                    .map(|entry| entry.key),
            );
            self.len -= before - self.slots[slot].len();
            if self.slots[slot].is_empty() {
                self.slots[slot] = Vec::new();
            }
        }
    }

    /// Nanoseconds from `now_ns` until the wheel should be advanced again, or `None` when no deadline is set. Not later
    /// than the next deadline; earlier when a slot holds deadlines of later rounds only.
    #[must_use]
    pub fn wait_ns(&mut self, now_ns: u64) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let first = self.next.max(self.now + 1);
        // An entry of a later round stands in a slot less than one round away.
        let mut ahead = first..=self.now + self.slots.len() as u64;
        self.next = ahead.find(|&tick| !self.slots[self.slot(tick)].is_empty())?;
        Some((self.next * self.tick_ns).saturating_sub(now_ns))
    }

    fn slot(&self, tick: u64) -> usize {
        tick as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(wheel: &mut TimerWheel<u32>, now_ns: u64) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.advance(now_ns, &mut keys);
        keys.sort_unstable();
        keys
    }

    #[test]
    fn never_early_and_at_most_a_tick_late() {
        let mut wheel = TimerWheel::new(10, 8, 1_000);
        wheel.schedule(1_001, 1);
        wheel.schedule(1_010, 2);
        wheel.schedule(1_011, 3);
        wheel.schedule(5, 4);
        assert_eq!(reached(&mut wheel, 1_009), []);
        assert_eq!(wheel.wait_ns(1_009), Some(1));
        assert_eq!(reached(&mut wheel, 1_010), [1, 2, 4]);
        assert_eq!(reached(&mut wheel, 1_019), []);
        assert_eq!(reached(&mut wheel, 1_020), [3]);
        assert!(wheel.is_empty());
        assert_eq!(wheel.wait_ns(1_020), None);
    }

    #[test]
    fn later_rounds_stay() {
        let mut wheel = TimerWheel::new(10, 8, 0);
        wheel.schedule(10 * 8 + 30, 1);
        wheel.schedule(30, 2);
        assert_eq!(reached(&mut wheel, 30), [2]);
        assert_eq!(reached(&mut wheel, 100), []);
        assert_eq!(wheel.len(), 1);
        assert_eq!(reached(&mut wheel, 110), [1]);
    }

    #[test]
    fn the_wait_ends_at_every_deadline() {
        let mut wheel = TimerWheel::new(10, 8, 0);
        let (mut now, mut seed, mut count) = (0_u64, 7_u64, 0);
        for round in 0..2_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if round < 1_500 {
                wheel.schedule(now + (seed >> 33) % 500, round);
            }
            let Some(wait) = wheel.wait_ns(now) else { break };
            let wait = wait.min((seed >> 40) % 60);
            now += wait;
            count += reached(&mut wheel, now).len();
        }
        while let Some(wait) = wheel.wait_ns(now) {
            now += wait.max(1);
            count += reached(&mut wheel, now).len();
        }
        assert_eq!((count, wheel.len()), (1_500, 0));
    }

    #[test]
    fn a_long_sleep_reaches_everything_once() {
        let mut wheel = TimerWheel::new(10, 8, 0);
        for n in 0..1_000 {
            wheel.schedule(u64::from(n) * 7, n);
        }
        assert_eq!(reached(&mut wheel, 100_000), (0..1_000).collect::<Vec<_>>());
        wheel.schedule(100_001, 1_000);
        assert_eq!(reached(&mut wheel, 100_010), [1_000]);
    }
}
