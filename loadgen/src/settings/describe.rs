//! The settings of a run as `meta.json` shows them.

use std::net::{IpAddr, SocketAddr};

use pacer::NS_PER_S;
use serde::Serialize;

use super::{Departures, Ending, PubSettings, RoleSettings, Settings};
use crate::cli::storm::Flap;
use crate::part::Part;

impl Settings {
    /// The settings as `meta.json` shows them; the password is left out.
    pub(crate) fn describe(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Shown<'a> {
            mode: &'a str,
            targets: &'a [SocketAddr],
            transport: &'a str,
            certificate_verified: Option<bool>,
            protocol: u8,
            clients: u32,
            part: Option<Part>,
            first_number: u32,
            connections_per_s: Option<f64>,
            ifaddrs: &'a [IpAddr],
            keep_alive_s: u16,
            clean_start: bool,
            session_expiry_s: u32,
            retries_max: u32,
            reconnects_max: u32,
            steps: &'a [u32],
            hold_s: f64,
            keep_alive_spread: bool,
            churn_per_s: Option<f64>,
            storm_every_s: Option<f64>,
            storm_back_per_s: Option<u32>,
            flap_up_down_s: Option<(f64, f64)>,
            ending: Ending,
            duration_s: Option<f64>,
            warm_up_s: f64,
            threads: usize,
            topics: Vec<&'a str>,
            qos: Option<u8>,
            retain: Option<bool>,
            payload_bytes: Option<usize>,
            payload_stamped: Option<bool>,
            message_interval_ms: Option<f64>,
            pacing: Option<String>,
            limit: Option<u64>,
            window: Option<u16>,
            wait_for_all: Option<bool>,
        }
        let (interval_ns, parts) = self.connect_interval;
        let publish = self.publishing();
        let (topics, qos) = match &self.role {
            RoleSettings::Conn => (Vec::new(), None),
            RoleSettings::Sub(sub) => (sub.filters.iter().map(String::as_str).collect(), Some(sub.options.qos as u8)),
            RoleSettings::Pub(publish) => {
                let topics = publish.lanes.iter().map(|lane| lane.topic.as_str()).collect();
                (topics, Some(publish.qos_max() as u8))
            }
        };
        let (mut churn_per_s, mut storm_every_s, mut storm_back_per_s, mut flap_up_down_s) = (None, None, None, None);
        match self.departures {
            Some(Departures::Churn { per_s }) => churn_per_s = Some(per_s),
            Some(Departures::Storm { every, back_per_s }) => {
                (storm_every_s, storm_back_per_s) = (Some(every.as_secs_f64()), back_per_s);
            }
            Some(Departures::Flap(Flap { up, down })) => {
                flap_up_down_s = Some((up.as_secs_f64(), down.as_secs_f64()));
            }
            None => {}
        }
        let shown = Shown {
            mode: self.mode(),
            targets: &self.targets,
            transport: self.carrier.name(),
            certificate_verified: self.carrier.verifies(),
            protocol: self.version.level(),
            clients: self.clients,
            part: self.part,
            first_number: self.first_number,
            connections_per_s: (interval_ns > 0).then(|| (NS_PER_S * parts) as f64 / interval_ns as f64),
            ifaddrs: &self.ifaddrs,
            keep_alive_s: self.keep_alive_s,
            clean_start: self.clean_start,
            session_expiry_s: self.session_expiry_s,
            retries_max: self.retries_max,
            reconnects_max: self.reconnects_max,
            steps: &self.steps,
            hold_s: self.hold.as_secs_f64(),
            keep_alive_spread: self.keep_alive_spread,
            churn_per_s,
            storm_every_s,
            storm_back_per_s,
            flap_up_down_s,
            ending: self.ending,
            duration_s: self.duration.map(|duration| duration.as_secs_f64()),
            warm_up_s: self.warm_up.as_secs_f64(),
            threads: self.threads,
            topics,
            qos,
            retain: publish.map(|publish| publish.retain),
            payload_bytes: publish.and_then(|publish| publish.lanes[0].content.fixed_len()),
            payload_stamped: publish.map(PubSettings::is_stamped),
            message_interval_ms: publish.map(|publish| publish.lanes[0].interval_ns as f64 / 1e6),
            pacing: publish.map(|publish| publish.pacing.to_string()),
            limit: publish.and_then(|publish| publish.limit),
            window: publish.map(|publish| publish.window),
            wait_for_all: publish.map(|publish| publish.wait_for_all),
        };
        serde_json::to_value(shown).unwrap_or_default()
    }
}
