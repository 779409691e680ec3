//! What can be known to fail before the first connection, each failure with what to type against it; and the plan of
//! source ports that comes out of it.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netloop::limits::{ensure_open_files, reserve_open_files};
use netloop::occupied::Occupied;
use netloop::source::{self, PortSpace, SourcePlan, Wanted};
use pacer::rng::mix;
use socket2::{Domain, Socket, Type};

use crate::scenario::Plan;
use crate::settings::Settings;

/// The outcome of all checks.
pub(crate) struct Preflight {
    findings: Vec<Finding>,
    /// Source pairs: per role and worker, one plan per target. Empty where they could not be planned.
    pub(crate) sources: Vec<Vec<Vec<SourcePlan>>>,
}

/// One check.
struct Finding {
    what: &'static str,
    verdict: Verdict,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// The run may begin, and somebody should know.
    Warning,
    Failed,
}

impl Preflight {
    /// Looks at everything. `reach`: whether to look for the brokers as well.
    pub(crate) fn of(plan: &Plan, reach: bool) -> Self {
        let mut preflight = Self { findings: Vec::new(), sources: Vec::new() };
        preflight.open_files(plan);
        for (index, role) in plan.roles.iter().enumerate() {
            let settings = &*role.settings;
            // Roles that share destination and addresses share ports.
            let alike = plan
                .roles
                .iter()
                .map(|other| &*other.settings)
                .filter(|other| other.targets == settings.targets && other.ifaddrs == settings.ifaddrs);
            let clients = alike.map(|other| other.clients as usize).sum();
            // What holds for several roles is said once.
            let is_new = plan.roles[..index]
                .iter()
                .all(|other| other.settings.targets != settings.targets || other.settings.ifaddrs != settings.ifaddrs);
            let found = preflight.findings.len();
            preflight.addresses(settings);
            preflight.ports(settings, clients, index);
            if reach {
                preflight.brokers(settings);
            }
            if !is_new {
                let repeated = preflight.findings.split_off(found);
                preflight.findings.extend(repeated.into_iter().filter(|finding| finding.verdict == Verdict::Failed));
            }
        }
        preflight.conntrack(plan.clients());
        preflight
    }

    /// Whether a run may begin.
    pub(crate) fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Failed)
    }

    /// One line per check.
    pub(crate) fn text(&self) -> String {
        self.findings.iter().fold(String::new(), |mut text, Finding { what, verdict, text: found }| {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Failed => "FAILED",
            };
            let _ = writeln!(text, "{verdict:<8} {what:<12} {found}");
            text
        })
    }

    /// The failures in one paragraph.
    pub(crate) fn failures(&self) -> String {
        self.of_verdict(Verdict::Failed).join("; ")
    }

    /// What should be known.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.of_verdict(Verdict::Warning)
    }

    fn of_verdict(&self, verdict: Verdict) -> Vec<String> {
        let chosen = self.findings.iter().filter(|finding| finding.verdict == verdict);
        chosen.map(|Finding { what, text, .. }| format!("{what}: {text}")).collect()
    }

    fn add(&mut self, what: &'static str, verdict: Verdict, text: impl Into<String>) {
        self.findings.push(Finding { what, verdict, text: text.into() });
    }

    fn open_files(&mut self, plan: &Plan) {
        let (clients, threads) = (plan.clients(), plan.threads() as u64);
        let needed = clients + DESCRIPTORS_BESIDE_CLIENTS + DESCRIPTORS_PER_WORKER * threads;
        match ensure_open_files(needed) {
            Ok(allowed) => {
                // Now, while there is one thread. It saves time later; that it fails is no harm.
                let _ = reserve_open_files(needed);
                self.add("open files", Verdict::Ok, format!("{needed} needed, {allowed} allowed"));
            }
            Err(error) => {
                let most = error.allowed().map_or(0, |allowed| (allowed + clients).saturating_sub(needed));
                self.add("open files", Verdict::Failed, format!("-c {clients}: {error}; or lower -c to {most}"));
            }
        }
    }

    fn addresses(&mut self, settings: &Settings) {
        match source::check_present(&settings.ifaddrs) {
            Err(error) => self.add("addresses", Verdict::Failed, format!("--ifaddr: {error}")),
            Ok(()) => {
                let count = settings.ifaddrs.len();
                let text = if count == 0 { "chosen per broker".to_owned() } else { format!("{count} present") };
                self.add("addresses", Verdict::Ok, text);
            }
        }
    }

    /// Plans the source pairs of role number `role`. `clients`: those of all roles that use the same ports.
    fn ports(&mut self, settings: &Settings, clients: usize, role: usize) {
        let space = match PortSpace::of_this_host() {
            Ok(space) => space,
            Err(error) => {
                self.sources.push(Vec::new());
                return self.add("ports", Verdict::Failed, error.to_string());
            }
        };
        let mut plans: Vec<Vec<SourcePlan>> = (0..settings.threads).map(|_| Vec::new()).collect();
        for &remote in &settings.targets {
            let occupied =
                Occupied::towards(remote).unwrap_or_else(|_| Occupied { unknown: true, ..Occupied::default() });
            let wanted = Wanted {
                remote,
                connections: clients.div_ceil(settings.targets.len()),
                addrs: &settings.ifaddrs,
                workers: settings.threads,
                rotation: mix(u64::from(std::process::id()) + ((role as u64) << 32)) as usize,
                occupied: &occupied,
            };
            match source::plan(&wanted, &space) {
                Err(error) => self.add("ports", Verdict::Failed, error.to_string()),
                Ok(planned) => {
                    let (addrs, taken) = (planned.addrs.len(), occupied.in_use.len() + occupied.time_wait.len());
                    let mut text = format!(
                        "{} needed towards {remote}, {} free on {addrs} address(es), {taken} taken or in TIME_WAIT",
                        wanted.connections, planned.free
                    );
                    if occupied.unknown {
                        text += "; too many sockets on this host to know which are taken: those are skipped as they are met";
                    }
                    if planned.beyond_local_range {
                        text += "; ports beyond ip_local_port_range are used: \
                                 `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"` keeps others off them";
                    }
                    let worth_knowing = occupied.unknown || planned.beyond_local_range;
                    self.add("ports", if worth_knowing { Verdict::Warning } else { Verdict::Ok }, text);
                    plans.iter_mut().zip(planned.workers).for_each(|(plans, plan)| plans.push(plan));
                }
            }
        }
        self.sources.push(plans);
    }

    /// Connection tracking drops what exceeds its table, silently. Over loopback it counts too.
    fn conntrack(&mut self, clients: u64) {
        let read = |name: &str| -> Option<u64> {
            fs::read_to_string(format!("/proc/sys/net/netfilter/nf_conntrack_{name}")).ok()?.trim().parse().ok()
        };
        let (Some(max), Some(count)) = (read("max"), read("count")) else {
            return self.add("conntrack", Verdict::Ok, "not in use");
        };
        let needed = count + clients;
        let (verdict, advice) = conntrack_verdict(max, needed);
        self.add("conntrack", verdict, format!("{needed} entries needed, {max} allowed{advice}"));
    }

    fn brokers(&mut self, settings: &Settings) {
        for (&target, host) in settings.targets.iter().zip(&settings.hosts) {
            match reach(target, settings.ifaddrs.first().copied()) {
                Ok(()) => self.add("broker", Verdict::Ok, format!("{host} ({target}) accepts connections")),
                Err(error) => self.add(
                    "broker",
                    Verdict::Failed,
                    format!(
                        "{host} ({target}) cannot be reached: {error}; is it running (`ss -ltn sport = :{port}` on its \
                         host), and does a firewall let port {port} through (`nc -vz {host} {port}` here)?",
                        port = target.port()
                    ),
                ),
            }
        }
    }
}

fn conntrack_verdict(max: u64, needed: u64) -> (Verdict, String) {
    if needed <= max {
        return (Verdict::Ok, String::new());
    }
    (Verdict::Failed, format!(": type `sysctl -w net.netfilter.nf_conntrack_max={}`", (needed * 2).next_power_of_two()))
}

fn reach(target: SocketAddr, source: Option<IpAddr>) -> std::io::Result<()> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    if let Some(source) = source.filter(|source| source.is_ipv4() == target.is_ipv4()) {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&target.into(), REACH_TIMEOUT)
}

/// How long a broker may take to accept a connection before the run.
const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// Standard streams, files, pipes and what libraries open.
const DESCRIPTORS_BESIDE_CLIENTS: u64 = 64;
/// Poller, timer and waker.
const DESCRIPTORS_PER_WORKER: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_conntrack_table_is_a_failure_with_a_command() {
        assert_eq!(conntrack_verdict(1_000, 1_000), (Verdict::Ok, String::new()));
        let (verdict, advice) = conntrack_verdict(1_000, 1_001);
        assert_eq!(verdict, Verdict::Failed);
        assert!(advice.contains("nf_conntrack_max=2048"), "{advice}");
    }
}
