//! What a person types: experiment and target files. What it means is [`crate::plan::Plan`].
//!
//! Unknown keys are errors, so that a misspelt setting cannot silently stay at its default; the message names file,
//! line and key. Texts may hold `{variables}` (see [`mod@crate::expand`]).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};

use crate::plan::Steady;

/// Parses the text of one file; the error names the file, the line and the key.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| anyhow::anyhow!("{file}: {}", error.to_string().trim_end()))
}

/// An experiment: which brokers, which steps, how often.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) purpose: String,
    /// What it re-does, and where that was published.
    #[serde(default)]
    pub(crate) sources: Vec<String>,
    /// How often each step runs against each target.
    pub(crate) repeats: u32,
    /// What its results cannot say; goes into the report.
    #[serde(default)]
    pub(crate) caveats: Vec<String>,
    pub(crate) collect: Collect,
    /// What may be left of the step before when a step begins; absent: whatever there is.
    #[serde(default)]
    pub(crate) clean: Option<Clean>,
    /// Host (`sut`, `tester`, `prober`) to the profile of `collector check` that it must match, before and after each step.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, String>,
    /// Claims that the report judges by the results, in the form of a claims file.
    #[serde(default, rename = "claim")]
    pub(crate) claims: Vec<toml::Table>,
    #[serde(rename = "target")]
    pub(crate) targets: Vec<Choice>,
    #[serde(rename = "step")]
    pub(crate) steps: Vec<Step>,
}

/// How the collectors run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collect {
    pub(crate) iface: String,
    pub(crate) interval: Span,
    /// How often an ordinary thread on the broker's host wants to be woken; how late it is shows the host's responsiveness.
    #[serde(default)]
    pub(crate) canary: Option<Span>,
    /// Whether a TCP echo runs on the broker's host; gives `{echo}`, its address, for `prober --floor`.
    #[serde(default)]
    pub(crate) echo: bool,
}

/// The state from which a step may begin.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clean {
    /// Sockets in TIME_WAIT on each host at most.
    pub(crate) time_wait_max: u64,
    /// How long to wait for them to go. The kernel keeps each for 60 s.
    #[serde(default = "time_wait_lasts")]
    pub(crate) wait: Span,
}

/// One side of the comparison: the first of these targets that can be had.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    pub(crate) any_of: Vec<String>,
    /// When none can be had: compare the first side with itself, which shows the noise.
    #[serde(default)]
    pub(crate) or_control: bool,
}

/// One point of the experiment, or several when it has a matrix.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) purpose: String,
    /// Axes: variable -> values; the step is repeated for every combination.
    #[serde(default)]
    pub(crate) matrix: BTreeMap<String, Vec<Scalar>>,
    /// The axis that counts clients: `--scale` multiplies it, and it is lowered to what the limit of open files allows.
    #[serde(default)]
    pub(crate) fits_files: Option<String>,
    /// Connections of the broker for each unit of that axis.
    #[serde(default = "one")]
    pub(crate) files_each: u64,
    /// Expected time until all clients are ready; a multiple of it is the limit.
    #[serde(default)]
    pub(crate) ramp: Span,
    /// Between ready and measuring.
    #[serde(default)]
    pub(crate) settle: Span,
    pub(crate) measure: Span,
    /// Between the end of sending and the end of receiving.
    #[serde(default)]
    pub(crate) drain: Span,
    /// What becomes of the step when memory or throughput still moves at the end of the measure phase.
    #[serde(default)]
    pub(crate) steady: Steady,
    #[serde(default, rename = "load")]
    pub(crate) loads: Vec<Load>,
}

/// One process that loads or probes the broker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) tool: Tool,
    #[serde(default)]
    pub(crate) start: Start,
    #[serde(default)]
    pub(crate) ends: Ends,
    /// Connections that it opens and must hold: the role-count gate.
    #[serde(default)]
    pub(crate) connections: Option<String>,
    /// Time between two actions; gives `{every_ms}`, and `{count}`: how many fit into the measure phase.
    #[serde(default)]
    pub(crate) every: Option<Span>,
    /// Times that `--duration-scale` multiplies, for use in `args`: `name` gives `{name_ms}`, and `{name_s}` in whole seconds,
    /// rounded up.
    #[serde(default)]
    pub(crate) spans: BTreeMap<String, Span>,
    /// Whether a collector watches this process too (the generator's own cost).
    #[serde(default)]
    pub(crate) collect: bool,
    /// It offers more than can be carried, or sends as fast as it is let: that it lags behind its plan is a remark, and no gate.
    #[serde(default)]
    pub(crate) saturates: bool,
    /// Asked to end (SIGTERM) so long after the measure phase has begun: how its clients leave is what is measured.
    #[serde(default)]
    pub(crate) stop: Option<Span>,
    /// Stands still (SIGSTOP) for a while of the measure phase: its clients stop reading.
    #[serde(default)]
    pub(crate) pause: Option<Pause>,
    pub(crate) args: Vec<String>,
}

impl Load {
    /// Whether it does as much in a short measure phase as in a long one.
    pub(crate) fn has_set_amount(&self) -> bool {
        self.ends == Ends::ByItself && self.every.is_none()
    }
}

/// A time in the measure phase.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pause {
    /// After its begin.
    pub(crate) at: Span,
    #[serde(rename = "for")]
    pub(crate) lasts: Span,
}

/// The load tools of this workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tool {
    Loadgen,
    Prober,
}

/// The phase at whose beginning a process starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Start {
    /// Started in the order of the file, each when the one before is ready.
    #[default]
    Ramp,
    Measure,
}

/// What ends a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ends {
    /// The runner, at the drain phase: last started, first stopped.
    #[default]
    Stopped,
    /// It does a set amount of work; the measure phase lasts until it is done.
    ByItself,
}

/// A target: how to find, install, start and identify one broker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The vendor's documents that the settings below come from.
    pub(crate) sources: Vec<String>,
    /// It runs already, at the address after the `@` of `--targets NAME@HOST:PORT`, and is neither started nor stopped.
    #[serde(default)]
    pub(crate) external: bool,
    /// The highest QoS that it grants.
    #[serde(default = "exactly_once")]
    pub(crate) qos_max: u8,
    /// What its results cannot say; goes into the notes of the plan.
    #[serde(default)]
    pub(crate) caveats: Vec<String>,
    #[serde(default)]
    pub(crate) find: Find,
    #[serde(default)]
    pub(crate) install: Vec<Install>,
    #[serde(default)]
    pub(crate) version: Version,
    #[serde(default)]
    pub(crate) start: StartCommand,
    #[serde(default = "default_ready_timeout")]
    pub(crate) ready_timeout: Span,
    #[serde(default = "default_stop_grace")]
    pub(crate) stop_grace: Span,
    /// The file that this was read from: its name and its text.
    #[serde(skip)]
    pub(crate) file: (String, String),
}

/// Where its program lies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    /// A program of this workspace, beside the runner.
    #[serde(default)]
    pub(crate) sibling: Option<String>,
    /// Names to look for in PATH, then in `folders`.
    #[serde(default)]
    pub(crate) programs: Vec<String>,
    #[serde(default)]
    pub(crate) folders: Vec<String>,
    /// Not in PATH: there lies something else of that name.
    #[serde(default)]
    pub(crate) only_folders: bool,
}

/// A way to install it, tried only with `--yes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, tag = "with", rename_all = "lowercase")]
pub(crate) enum Install {
    /// Debian packages; needs root.
    Apt {
        packages: Vec<String>,
        /// The unit that the package would start; kept stopped.
        service: Option<String>,
    },
    /// A crate, built into a cache folder of the build.
    Cargo {
        #[serde(rename = "crate")]
        name: String,
        version: String,
        /// Whether to build with the lock file that the crate ships.
        #[serde(default = "yes")]
        locked: bool,
        /// Programs that its build needs in PATH.
        #[serde(default)]
        needs: Vec<String>,
        /// Said before the build begins.
        takes: String,
    },
    /// A package of the npm registry, into a cache folder of the build.
    Npm { package: String, version: String },
}

/// How it tells its version: the first line of the output.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    /// Arguments for its program.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// A whole command instead, where its program does not tell without starting.
    #[serde(default)]
    pub(crate) command: Vec<String>,
}

/// How it is started on `{host}` and `{port}`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartCommand {
    /// The program that starts it, where that is not its own (which is `{exe}` then): a wrapper, an interpreter.
    #[serde(default)]
    pub(crate) program: Option<String>,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Written into `{config}` before the start, and kept with the results.
    #[serde(default, rename = "file")]
    pub(crate) files: Vec<ConfigFile>,
}

/// A configuration file as a template.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A value of a matrix axis.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Number(u64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A duration as typed: `250ms`, `2s`, `1m`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        runlog::clock::parse_duration(&text).map(Span).map_err(D::Error::custom)
    }
}

fn one() -> u64 {
    1
}

fn exactly_once() -> u8 {
    2
}

fn time_wait_lasts() -> Span {
    Span(Duration::from_secs(75))
}

fn yes() -> bool {
    true
}

fn default_ready_timeout() -> Span {
    Span(Duration::from_secs(10))
}

fn default_stop_grace() -> Span {
    Span(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_key_is_named_with_file_and_line() {
        let text = "name = \"x\"\ntitle = \"x\"\nsources = []\nreadytimeout = \"1s\"\n[find]\n[version]\nargs=[]\n[start]\nargs=[]\n";
        let error = parse::<Target>("targets/x.toml", text).expect_err("unknown key").to_string();
        assert!(
            error.contains("targets/x.toml") && error.contains("line 4") && error.contains("readytimeout"),
            "{error}"
        );
    }
}
