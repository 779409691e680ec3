//! The hosts as the inventory describes them: how SSH reaches them, and where they are in the network that is measured.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::layout::{Cast, PROBER, SUT, TESTER};
use crate::plan::PlannedHost;
use crate::remote::link::Route;
use crate::remote::protocol::Facts;

/// One host, as `templates/hosts.json.j2` writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InventoryHost {
    pub(super) name: String,
    /// `sut`, `tester`, `prober`.
    pub(super) roles: Vec<String>,
    /// Where SSH goes.
    host: String,
    port: Option<u16>,
    user: Option<String>,
    /// File of the private key.
    key: Option<String>,
    /// Further arguments of ssh, as one would type them.
    args: String,
    sudo: bool,
    /// In the network that is measured; absent: where SSH goes.
    address: Option<String>,
    interface: Option<String>,
    secondary: Vec<Ipv4Addr>,
    pub(super) folder: String,
    pub(super) broker_port: Option<u16>,
}

impl InventoryHost {
    /// How to reach it.
    pub(super) fn route(&self) -> Route {
        let mut ssh: Vec<String> =
            SSH_OPTIONS.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]).collect();
        ssh.push("-T".to_owned());
        ssh.extend(self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
        ssh.extend(self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]));
        ssh.extend(self.key.iter().flat_map(|key| ["-i".to_owned(), key.clone()]));
        ssh.extend(words(&self.args));
        ssh.push(self.host.clone());
        Route { host: self.name.clone(), ssh, sudo: self.sudo }
    }

    /// Its address in the network that is measured.
    pub(super) fn address(&self) -> Result<Ipv4Addr> {
        let text = self.address.as_ref().unwrap_or(&self.host);
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        let at = || format!("{}: lab_address (or ansible_host) '{text}'", self.name);
        let found = (text.as_str(), 0).to_socket_addrs().with_context(at)?;
        let v4 = found.filter_map(|address| if let IpAddr::V4(v4) = address.ip() { Some(v4) } else { None }).next();
        v4.with_context(|| format!("{} has no IPv4 address", at()))
    }

    /// As a plan has it; without facts, as the inventory alone tells it.
    pub(super) fn planned(&self, facts: Option<&Facts>) -> Result<PlannedHost> {
        let address = self.address()?;
        let found = facts.and_then(|facts| facts.interface.clone());
        let interface = match self.interface.clone().or(found) {
            Some(interface) => interface,
            None if facts.is_none() => ASSUMED_INTERFACE.to_owned(),
            None => bail!("{}: no interface has the address {address}; set lab_address", self.name),
        };
        Ok(PlannedHost {
            name: self.name.clone(),
            interface,
            address,
            secondary: self.secondary.clone(),
            folder: Some(self.folder.clone()),
            boot_id: facts.and_then(|facts| facts.boot_id.clone()),
        })
    }
}

/// Who plays what: one broker's host, at least one tester, one prober.
pub(super) fn cast(hosts: &[InventoryHost]) -> Result<Cast> {
    let of_role = |role: &str| -> Vec<String> {
        hosts.iter().filter(|host| host.roles.iter().any(|of| of == role)).map(|host| host.name.clone()).collect()
    };
    let single = |role: &str| -> Result<String> {
        let mut all = of_role(role);
        ensure!(all.len() == 1, "group `{role}` has {} hosts, and needs one", all.len());
        Ok(all.remove(0))
    };
    let (sut, testers, prober) = (single(SUT)?, of_role(TESTER), single(PROBER)?);
    ensure!(!testers.is_empty(), "group `{TESTER}` has no host, and needs one at least");
    for host in hosts {
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        ensure!(plain(&host.name), "host '{}': its name goes into file names; use letters, digits, . _ -", host.name);
        ensure!(host.folder.starts_with('/'), "{}: lab_folder '{}' is not an absolute path", host.name, host.folder);
    }
    Ok(Cast { sut, testers, prober })
}

/// Words as a shell would see them: blanks part them, single and double quotes keep them together.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Never asks, gives up on a host that is not there, and notices within a quarter of a minute when it is gone.
const SSH_OPTIONS: [&str; 6] = [
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ControlMaster=no",
    "ControlPath=none",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
];

/// In a plan that was made without asking the host.
const ASSUMED_INTERFACE: &str = "eth0";

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, roles: &[&str]) -> InventoryHost {
        let text = format!(
            r#"{{"name": "{name}", "roles": {roles:?}, "host": "192.0.2.1", "port": 2222, "user": "bench", "key": "/k y",
            "args": "-o UserKnownHostsFile='/a b/known' -v", "sudo": true, "address": null, "interface": null,
            "secondary": ["10.0.0.9"], "folder": "/srv/lab", "broker_port": null}}"#
        );
        serde_json::from_str(&text).expect("a host")
    }

    #[test]
    fn a_route_has_what_the_inventory_says() {
        let route = host("a", &["sut"]).route();
        let end: Vec<&str> = route.ssh.iter().map(String::as_str).skip_while(|word| *word != "-T").collect();
        let known = "UserKnownHostsFile=/a b/known";
        assert_eq!(end, ["-T", "-p", "2222", "-l", "bench", "-i", "/k y", "-o", known, "-v", "192.0.2.1"]);
        assert!(route.sudo);
    }

    #[test]
    fn roles_need_their_hosts() {
        let all = [host("s", &["sut"]), host("t1", &["tester"]), host("t2", &["tester", "prober"])];
        let cast = cast(&all).expect("complete");
        assert_eq!(
            (cast.sut.as_str(), cast.testers, cast.prober.as_str()),
            ("s", vec!["t1".into(), "t2".into()], "t2")
        );
        let reason = |hosts: &[InventoryHost]| super::cast(hosts).expect_err("incomplete").to_string();
        assert_eq!(reason(&all[1..]), "group `sut` has 0 hosts, and needs one");
        assert_eq!(reason(&[host("s", &["sut", "prober"])]), "group `tester` has no host, and needs one at least");
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(words(r#" -o 'a b' "" c"d e"f "#), ["-o", "a b", "", "cd ef"]);
        assert!(words("  ").is_empty());
    }
}
