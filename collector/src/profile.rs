//! A profile: what a host is declared to be set to before an experiment (TOML).

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::sysctl;

/// The settings of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Profile {
    /// One line on what it is for.
    pub(crate) about: String,
    /// Kernel settings by their dotted names.
    pub(crate) sysctl: BTreeMap<String, Wanted>,
    /// Limits of a process by the names of `/proc/PID/limits`; the soft limit is looked at.
    pub(crate) limits: BTreeMap<String, Wanted>,
    /// Addresses of the host.
    pub(crate) addresses: Addresses,
    /// What earlier experiments may have left.
    pub(crate) clean: Clean,
}

/// What a setting should be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Wanted {
    /// Exactly this number.
    Number(u64),
    /// Exactly these words.
    Text(String),
    /// A number that is at least this.
    AtLeast(AtLeast),
}

/// A lower bound; `unlimited` is above all of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AtLeast {
    /// The bound.
    pub(crate) min: u64,
}

/// Addresses that some interface must have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Addresses {
    /// Each one, with its prefix length (`2001:db8::1/64`) where that matters, or a range of IPv4 addresses such as
    /// `10.0.0.1-10.0.0.9`.
    pub(crate) present: Vec<String>,
}

/// Upper bounds of what earlier experiments may have left; absent: not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Clean {
    /// TCP sockets in `TIME_WAIT`.
    pub(crate) time_wait_max: Option<u64>,
    /// Tracked connections.
    pub(crate) conntrack_max: Option<u64>,
    /// Seconds since boot.
    pub(crate) uptime_s_max: Option<u64>,
    /// Seconds since the start of the process given by `--pid`.
    pub(crate) target_age_s_max: Option<u64>,
}

impl Profile {
    /// Reads a file, or a shipped profile by its name.
    pub(crate) fn load(name: &str) -> Result<Profile> {
        let shipped = SHIPPED.iter().find(|(known, _)| *known == name);
        let text = match shipped {
            Some((_, text)) => (*text).to_owned(),
            None => fs::read_to_string(Path::new(name)).with_context(|| {
                let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
                format!("cannot read profile {name:?}; shipped ones are {}", names.join(", "))
            })?,
        };
        let profile: Profile =
            toml::from_str(&text).with_context(|| format!("profile {name:?} cannot be understood"))?;
        profile.validate().with_context(|| format!("profile {name:?}"))?;
        Ok(profile)
    }

    fn validate(&self) -> Result<()> {
        for name in self.sysctl.keys() {
            sysctl::path(name)?;
        }
        self.addresses.all()?;
        Ok(())
    }
}

impl Wanted {
    /// Whether an observed value is as wanted; blanks between words are all alike.
    pub(crate) fn is_met_by(&self, observed: &str) -> bool {
        match self {
            Wanted::Number(number) => observed.trim() == number.to_string(),
            Wanted::Text(text) => observed.split_whitespace().eq(text.split_whitespace()),
            Wanted::AtLeast(bound) => {
                observed.trim() == "unlimited" || observed.trim().parse().is_ok_and(|number: u64| number >= bound.min)
            }
        }
    }

    /// The value to set where the wish is not met.
    pub(crate) fn value(&self) -> String {
        match self {
            Wanted::Number(number) => number.to_string(),
            Wanted::Text(text) => text.clone(),
            Wanted::AtLeast(bound) => bound.min.to_string(),
        }
    }

    /// As it is shown.
    pub(crate) fn describe(&self) -> String {
        match self {
            Wanted::AtLeast(bound) => format!("at least {}", bound.min),
            other => other.value(),
        }
    }
}

impl Addresses {
    /// Every address, ranges written out.
    pub(crate) fn all(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for entry in &self.present {
            let Some((first, last)) = entry.split_once('-') else {
                all.push(canonical(entry).with_context(|| format!("{entry:?} is no address"))?);
                continue;
            };
            let parse = |text: &str| text.trim().parse::<Ipv4Addr>().with_context(|| format!("{entry:?} is no range"));
            let (first, last) = (u32::from(parse(first)?), u32::from(parse(last)?));
            if last < first || last - first >= RANGE_MAX {
                bail!("{entry:?} is no range of at most {RANGE_MAX} addresses");
            }
            all.extend((first..=last).map(|address| Ipv4Addr::from(address).to_string()));
        }
        Ok(all)
    }
}

/// An address as this host's are written, with a prefix length only where one was given.
fn canonical(entry: &str) -> Result<String> {
    let (address, prefix) = entry.split_once('/').map_or((entry, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.trim().parse()?;
    let Some(prefix) = prefix else { return Ok(address.to_string()) };
    let bits: u8 = prefix.parse().context("the prefix length is no number")?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    if bits > bits_max {
        bail!("a prefix length is at most {bits_max}");
    }
    Ok(format!("{address}/{bits}"))
}

const RANGE_MAX: u32 = 4_096;

/// Profiles that need no file.
pub(crate) const SHIPPED: [(&str, &str); 2] = [
    ("guide-sut", include_str!("../profiles/guide-sut.toml")),
    ("guide-loadgen", include_str!("../profiles/guide-loadgen.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_profiles_hold_the_guides_values() {
        let sut = Profile::load("guide-sut").unwrap();
        assert_eq!(sut.sysctl.len(), 11);
        assert_eq!(sut.sysctl["net.ipv4.tcp_wmem"], Wanted::Text("4096 4096 16777216".to_owned()));
        let loadgen = Profile::load("guide-loadgen").unwrap();
        let addresses = loadgen.addresses.all().unwrap();
        assert_eq!(
            (addresses.len(), addresses[0].as_str(), addresses[19].as_str()),
            (20, "172.28.130.111", "172.28.130.130")
        );
        assert_eq!(loadgen.limits["Max open files"].value(), "1048576");
    }

    #[test]
    fn addresses_are_written_as_the_host_writes_them() {
        let present = ["FD00:0::1/64", "fd00::2", "192.0.2.1/24", "10.0.0.1-10.0.0.2"].map(str::to_owned).into();
        let all = Addresses { present }.all().unwrap();
        assert_eq!(all, ["fd00::1/64", "fd00::2", "192.0.2.1/24", "10.0.0.1", "10.0.0.2"]);
    }

    #[test]
    fn wishes_and_what_meets_them() {
        assert!(Wanted::Text("4096 4096 1".to_owned()).is_met_by("4096\t4096\t1\n"));
        assert!(!Wanted::Text("4096 4096 1".to_owned()).is_met_by("4096 4096 10"));
        assert!(Wanted::Number(5).is_met_by("5\n") && !Wanted::Number(5).is_met_by("50"));
        let bound = Wanted::AtLeast(AtLeast { min: 10 });
        assert!(bound.is_met_by("10") && bound.is_met_by("unlimited") && !bound.is_met_by("9") && !bound.is_met_by(""));
    }

    #[test]
    fn bad_profiles_say_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.toml");
        for (text, message) in [
            ("sysctls = {}", "unknown field"),
            ("[sysctl]\n\"net.core.x\" = { mni = 3 }", "net.core.x"),
            ("[sysctl]\n\"../../etc/passwd\" = 3", "no name of a sysctl"),
            ("[addresses]\npresent = [\"10.0.0.9-10.0.0.1\"]", "no range"),
            ("[addresses]\npresent = [\"eth0\"]", "no address"),
            ("[addresses]\npresent = [\"fd00::1/129\"]", "at most 128"),
        ] {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", Profile::load(path.to_str().unwrap()).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
        let error = format!("{:#}", Profile::load("no-such").unwrap_err());
        assert!(error.contains("no-such") && error.contains("guide-sut"), "{error}");
    }
}
