//! Who wrote a run and to which experiment it belongs: [`Role`], [`Context`] and the names of directories.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, clock};

/// The part that a host plays in an experiment (the guide's three nodes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The system under test.
    Broker,
    /// The source of load.
    Loadgen,
    /// The source of latency probes.
    Prober,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 3] = [Role::Broker, Role::Loadgen, Role::Prober];

    /// The text form: `broker`, `loadgen`, `prober`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Broker => "broker",
            Role::Loadgen => "loadgen",
            Role::Prober => "prober",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| Error::UnknownRole(text.to_owned()))
    }
}

/// Where a run belongs. A playbook gives it to the tools that it starts; a tool started by hand has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Name of the experiment, such as `quickstart`.
    pub experiment: String,
    /// Name of the broker under test, such as `ours` or `mosquitto`.
    pub target: String,
    /// `A` or `B` (or `A` twice, in a control).
    pub label: String,
    /// The step of the experiment, such as `fanout-qos0`.
    pub step: String,
    /// Repeat of this step, from 1.
    pub repeat: u32,
    /// The host's name in the experiment, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How far this host's clock was from the runner's when the step began, where they are on different hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockOffset>,
}

/// A clock against the runner's, as measured over the control channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// `CLOCK_MONOTONIC` of this host less the runner's, ns.
    pub mono_ns: i64,
    /// The most that this can be wrong, ns: half of the shortest round trip.
    pub bound_ns: u64,
}

impl Context {
    /// The environment variable that carries a context, as JSON.
    pub const VARIABLE: &'static str = "RUNLOG_CONTEXT";

    /// The context that this process was started with.
    ///
    /// # Errors
    /// [`Error::Context`] when the variable is set and does not parse: a run filed in the wrong place is worse than none.
    pub fn from_env() -> Result<Option<Context>> {
        let Some(value) = std::env::var_os(Self::VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
        let value = value.to_string_lossy().into_owned();
        match serde_json::from_str(&value) {
            Ok(context) => Ok(Some(context)),
            Err(reason) => Err(Error::Context { variable: Self::VARIABLE, value, reason }),
        }
    }

    /// The value of [`Context::VARIABLE`] that carries this context to a child process.
    pub fn to_env(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings and a number is always JSON")
    }
}

/// A tag as it may stand in a directory name: characters outside `[A-Za-z0-9._-]` become `-`; never empty, never
/// starting with a dot.
pub fn sanitise_tag(tag: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let text: String = tag.chars().map(safe).collect();
    let text = text.trim_start_matches('.');
    if text.is_empty() { "untagged".to_owned() } else { text.to_owned() }
}

/// `<role>-<tag>-<utc>`.
pub fn directory_name(role: Role, tag: &str, wall_ns: u64) -> String {
    format!("{role}-{}-{}", sanitise_tag(tag), clock::utc_compact(wall_ns))
}

/// `<target>-<repeat>`: the directory of a target's repeat, inside the experiment's.
pub fn repeat_directory_name(target: &str, repeat: u32) -> String {
    format!("{target}-{repeat}")
}

/// Role, tag and second since 1970 of a name that [`directory_name`] or one of the guide's scripts made.
pub fn parse_directory_name(name: &str) -> Option<(Role, String, u64)> {
    let (role, rest) = name.split_once('-')?;
    let (tag, utc) = rest.rsplit_once('-')?;
    Some((role.parse().ok()?, tag.to_owned(), clock::parse_utc(utc)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_names() {
        let name = directory_name(Role::Broker, "A/ours conn 10k", 1_767_103_150_999_999_999);
        assert_eq!(name, "broker-A-ours-conn-10k-20251230T135910Z");
        assert_eq!(parse_directory_name(&name), Some((Role::Broker, "A-ours-conn-10k".to_owned(), 1_767_103_150)));
        assert_eq!(parse_directory_name("broker-20251230T135910Z"), None);
        assert_eq!(parse_directory_name("server-x-20251230T135910Z"), None);
    }

    #[test]
    fn tags_stay_inside_their_directory() {
        for (tag, safe) in [("../../etc", "-..-etc"), ("", "untagged"), ("...", "untagged"), ("é", "-")] {
            assert_eq!(sanitise_tag(tag), safe);
        }
    }
}
