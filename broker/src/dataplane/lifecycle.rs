//! Ends: of connections, of sessions, of wills' patience, of the worker; and the timers that bring them about.

use mqtt_wire::{DecodeError, Disconnect, Packet, Property, ReasonCode};

use super::conn::{ConnRef, State};
use super::message::MessageView;
use super::session::{OFFLINE, SessionRef};
use super::settings::{ENDS_PER_TURN, LINGER, TICK_NS};
use super::worker::Worker;

/// How a connection ended, which decides whether its will is published (section 3.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By DISCONNECT: the will is deleted.
    Clean,
    /// In any other way: the will is due.
    Abnormal,
}

/// What a deadline is for. Each is checked against the present state when it is reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    /// CONNECT, keep-alive or the end of lingering; the tick says whether the timer is still the valid one.
    Conn(ConnRef, u32),
    /// The end of a session that was offline since this epoch.
    SessionExpiry(SessionRef, u32),
    /// A will whose delay is over, if the session was offline since this epoch.
    Will(SessionRef, u32),
    /// Consumers may have stalled: their publishers go on.
    Stall(SessionRef),
    /// A listener that could not accept tries again.
    Accept(usize),
}

impl Worker {
    pub(super) fn run_timers(&mut self) {
        self.wheel.advance(self.now_ns, &mut self.due);
        for _ in 0..ENDS_PER_TURN {
            let Some(timer) = self.due.pop_front() else { break };
            match timer {
                Timer::Conn(at, tick) => self.on_conn_timer(at, tick),
                Timer::SessionExpiry(session, epoch) => {
                    if self.session(session).is_some_and(|session| session.epoch == epoch) {
                        self.end_session(session.slot);
                    }
                }
                Timer::Will(session, epoch) => {
                    if self.session(session).is_some_and(|session| session.epoch == epoch) {
                        self.publish_will(session.slot);
                    }
                }
                Timer::Stall(session) => self.check_stall(session),
                Timer::Accept(listener) => self.list_accepting(listener),
            }
        }
    }

    fn on_conn_timer(&mut self, at: ConnRef, tick: u32) {
        let Some(conn) = self.conn(at) else { return };
        if conn.timer_at != tick {
            return;
        }
        match conn.state {
            State::AwaitingConnect => {
                self.counters.connect_timeouts += 1;
                self.close(at, End::Abnormal);
            }
            State::Lingering => self.close(at, End::Abnormal),
            State::Open if conn.keep_alive == 0 => {}
            State::Open => {
                // One and a half times the keep alive period [MQTT-3.1.2-22].
                let patience_ns = u64::from(conn.keep_alive) * 1_500_000_000;
                let last_seen_ns = u64::from(conn.last_seen) * TICK_NS;
                let deadline_ns = if conn.held { self.now_ns } else { last_seen_ns } + patience_ns;
                if deadline_ns > self.now_ns {
                    self.set_conn_timer(at, deadline_ns);
                } else {
                    self.counters.keep_alive_timeouts += 1;
                    self.dismiss(at, ReasonCode::KEEP_ALIVE_TIMEOUT);
                }
            }
        }
    }

    /// DISCONNECT from the client (section 3.14).
    pub(super) fn on_disconnect(
        &mut self,
        at: ConnRef,
        session: u32,
        disconnect: &Disconnect<'_>,
    ) -> Result<(), DecodeError> {
        for property in disconnect.properties.iter() {
            match property {
                Property::SessionExpiryInterval(seconds) => {
                    let session = &mut self.sessions[session as usize];
                    if session.expiry_s == 0 && seconds != 0 {
                        return Err(DecodeError::Protocol("session expiry set at the end [MQTT-3.14.2-2]"));
                    }
                    session.expiry_s = seconds.min(self.settings.limits.max_session_expiry_s);
                }
                Property::ServerReference(_) => {
                    return Err(DecodeError::Protocol("server reference from a client (section 3.14.2.2.5)"));
                }
                _ => {}
            }
        }
        let clean = disconnect.reason == ReasonCode::SUCCESS;
        // What was acknowledged in this turn is still to be told.
        self.write_now(at);
        self.close(at, if clean { End::Clean } else { End::Abnormal });
        Ok(())
    }

    /// Tells the client why, where its version can, and closes. The will is due.
    pub(super) fn dismiss(&mut self, at: ConnRef, reason: ReasonCode) {
        self.dismiss_for(at, reason, reason.name());
    }

    /// The same with a reason in words that says more.
    pub(super) fn dismiss_for(&mut self, at: ConnRef, reason: ReasonCode, why: &str) {
        self.send_disconnect(at, reason, why);
        self.linger(at);
    }

    /// DISCONNECT, in words too for a client that wants them and takes packets that large [MQTT-3.14.2-3].
    fn send_disconnect(&mut self, at: ConnRef, reason: ReasonCode, why: &str) {
        if !self.conn(at).is_some_and(|conn| conn.state == State::Open && conn.v5.is_some()) {
            return;
        }
        let list = self.reason_string(at, why, 1);
        self.send_packet(at, &Packet::Disconnect(Disconnect { reason, properties: list.as_properties() }));
    }

    /// Writes what is left, shuts our end and waits for the peer to close its own: closing at once would let the
    /// kernel answer unread bytes with a reset, which can overtake what was written last.
    pub(super) fn linger(&mut self, at: ConnRef) {
        self.write_now(at);
        self.detach(at, End::Abnormal);
        let Some(conn) = self.conn(at) else { return };
        let _ = conn.transport.shutdown_write();
        conn.state = State::Lingering;
        conn.paused = 0;
        conn.held = false;
        conn.choked = false;
        conn.partial = None;
        conn.output = None;
        conn.v5 = None;
        self.set_conn_timer(at, self.now_ns + LINGER.as_nanos() as u64);
        self.list_readable(at);
    }

    /// Closes a connection now.
    pub(super) fn close(&mut self, at: ConnRef, end: End) {
        if self.conn(at).is_none() {
            return;
        }
        self.detach(at, end);
        // Dropped, its descriptor is closed, and the poller forgets it.
        let mut conn = self.conns.remove(at.slot as usize);
        self.totals.connections.give_back(1);
        let entry = self.take_entry(at.slot);
        self.count_out(entry);
        if let Some(output) = conn.output.take() {
            self.pool.take_back(output);
        }
    }

    /// Closes a connection when it is its turn: many may end at once.
    pub(super) fn close_in_turn(&mut self, at: ConnRef, end: End) {
        self.doomed.push_back((at, end));
        self.close_doomed();
    }

    /// Closes what waits to be closed, as much as may be in this turn.
    pub(super) fn close_doomed(&mut self) {
        while self.ends_left > 0 {
            let Some((at, end)) = self.doomed.pop_front() else { break };
            self.ends_left -= 1;
            self.close(at, end);
        }
    }

    /// Parts a session from its connection. What becomes of it is a question of its expiry interval.
    fn detach(&mut self, at: ConnRef, end: End) {
        let Some(conn) = self.conn(at) else { return };
        let slot = std::mem::replace(&mut conn.session, OFFLINE);
        if slot == OFFLINE {
            return;
        }
        let reference = self.session_ref(slot);
        let session = &mut self.sessions[slot as usize];
        session.conn = OFFLINE;
        session.epoch = session.epoch.wrapping_add(1);
        let (epoch, expiry_s) = (session.epoch, session.expiry_s);
        if end == End::Clean {
            session.will = None;
        }
        let delay_s = session.will.as_ref().map(|will| will.delay_s.min(expiry_s));
        if let Some(flow) = &mut session.flow {
            self.counters.dropped_offline_qos0 += flow.end_connection() as u64;
        }
        self.release_waiters(slot);
        // First: its own will is not for it, if it shares a subscription with others.
        self.note_presence(slot, false);
        match delay_s {
            Some(0) => self.publish_will(slot),
            Some(delay_s) => {
                let deadline_ns = self.now_ns + u64::from(delay_s) * 1_000_000_000;
                self.wheel.schedule(deadline_ns, Timer::Will(reference, epoch));
            }
            None => {}
        }
        match expiry_s {
            0 => self.end_session(slot),
            u32::MAX => {}
            seconds => {
                let deadline_ns = self.now_ns + u64::from(seconds) * 1_000_000_000;
                self.wheel.schedule(deadline_ns, Timer::SessionExpiry(reference, epoch));
            }
        }
    }

    /// Forgets a session that has no connection: its subscriptions, its messages, itself. A will that still waits is
    /// published now, because it may not wait longer than its session (section 3.1.3.2.2).
    pub(super) fn end_session(&mut self, slot: u32) {
        self.publish_will(slot);
        self.release_waiters(slot);
        self.drop_subscriptions(slot);
        self.end_walks(slot);
        let hash = self.hash(&self.sessions[slot as usize].client_id);
        if let Ok(entry) = self.directory.find_entry(hash, |&present| present == slot) {
            entry.remove();
        }
        let session = self.sessions.remove(slot as usize);
        self.totals.sessions.give_back(1);
        if let Some(flow) = session.flow {
            self.pass_on_undelivered(*flow);
        }
    }

    /// Publishes the will, if there is one, and forgets it.
    fn publish_will(&mut self, slot: u32) {
        let Some(will) = self.sessions[slot as usize].will.take() else { return };
        let view = will.message.view();
        match will.expiry_s {
            None => self.publish(&view, &mut Some(will.message.clone())),
            Some(seconds) => {
                let expires_ns = self.now_ns + u64::from(seconds) * 1_000_000_000;
                self.publish(&MessageView { expires_ns, ..view }, &mut None)
            }
        };
    }

    /// The worker stops: clients that can be told are told (section 4.13.1), everything written is written.
    pub(super) fn say_goodbye(&mut self) {
        self.listeners.clear();
        let open: Vec<ConnRef> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.state == State::Open)
            .map(|(slot, conn)| ConnRef { slot: slot as u32, generation: conn.generation })
            .collect();
        let reason = ReasonCode::SERVER_SHUTTING_DOWN;
        for at in open {
            self.send_disconnect(at, reason, reason.name());
            self.write_now(at);
        }
        for (_, conn) in &self.conns {
            let _ = conn.transport.shutdown_write();
        }
    }
}
