//! The alarm rings when it is set to, and only then.

use std::time::Duration;

use mio::{Events, Poll, Token};
use netloop::alarm::Alarm;
use nix::time::{ClockId, clock_gettime};

fn now_ns() -> u64 {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos() as u64
}

#[test]
fn an_alarm_rings_once_and_not_before_its_time() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    let mut alarm = Alarm::new(poll.registry(), Token(9)).unwrap();
    for delay_ns in [300_000, 2_500_000] {
        let at_ns = now_ns() + delay_ns;
        alarm.set(at_ns).unwrap();
        alarm.set(at_ns).unwrap();
        poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
        assert!(now_ns() >= at_ns, "rang {} ns early", at_ns - now_ns());
        assert_eq!(events.iter().map(mio::event::Event::token).collect::<Vec<_>>(), [Token(9)]);
        alarm.rang();
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        assert!(events.is_empty(), "an expiry is one event");
    }
    alarm.set(1).unwrap();
    poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
    assert!(!events.is_empty(), "a time in the past rings at once");
}
