//! `loadgen run FILE`: several roles in one process, read from a TOML file.
//!
//! The keys of a role are the long flags of its command without their dashes: a role is what `loadgen conn`, `sub` or `pub`
//! would do with these flags, checked by the same code. `[run]` holds flags for all roles. What a scenario adds is when each
//! role begins and ends. An error names file, line and key.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches};
use pacer::rng::mix;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::{self, Cli};
use crate::settings::Settings;

/// What a process is to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The command: `conn`, `sub`, `pub`, `bench` or `run`.
    pub(crate) mode: &'static str,
    /// At least one. What concerns the whole run is the same in the settings of each.
    pub(crate) roles: Vec<Role>,
    /// It is a trial of a search for capacity.
    pub(crate) trial: Option<Trial>,
}

/// What a trial changes of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// The rates of all publishers are multiplied by this.
    pub(crate) pace: f64,
    pub(crate) run_dir: Option<PathBuf>,
}

/// Clients of one kind, with threads of their own.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) settings: Arc<Settings>,
    /// When it begins to publish, or its clients to come and go, after all clients of all roles are ready.
    pub(crate) begin: Duration,
    /// When it ends, likewise.
    pub(crate) end: Option<Duration>,
}

impl Plan {
    /// One role alone.
    pub(crate) fn of_one(settings: Settings) -> Self {
        let (mode, name) = (settings.mode(), settings.mode().to_owned());
        let role = Role { name, settings: Arc::new(settings), begin: Duration::ZERO, end: None };
        Self { mode, roles: vec![role], trial: None }
    }

    /// Reads a scenario. `flags` are typed after the file; they replace those of all roles.
    pub(crate) fn read(path: &Path, flags: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let source = Source { path, text: &text };
        let (run, roles) = source.tables()?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(roles.len()).to_string();
        let typed = typed(flags)?;
        let seed = mix(runlog::clock::wall_ns() ^ u64::from(std::process::id()) << 40).to_string();
        let mut plan = Self { mode: "run", roles: Vec::new(), trial: None };
        for (index, table) in roles.iter().enumerate() {
            let defaults = [("threads", &threads), ("seed", &seed)];
            let defaults = defaults.map(|(key, value)| (key.to_owned(), Given::default_of(value)));
            let role = source.role(index, &run, table, defaults.into(), &typed)?;
            ensure!(
                plan.roles.iter().all(|other| other.name != role.name),
                "{}: another role has the name `{}` already; give each a `name`",
                source.place(&table.span),
                role.name
            );
            plan.roles.push(role);
        }
        Ok(plan)
    }

    /// The settings that concern the whole run.
    pub(crate) fn run(&self) -> &Settings {
        &self.roles[0].settings
    }

    /// By what the rates of all publishers are multiplied.
    pub(crate) fn pace(&self) -> f64 {
        self.trial.as_ref().map_or(1.0, |trial| trial.pace)
    }

    /// Messages per second of all publishers that have a rate.
    pub(crate) fn rate_per_s(&self) -> f64 {
        let lanes = self.roles.iter().filter_map(|role| Some((role.settings.clients, role.settings.publishing()?)));
        let rate =
            |clients: u32, interval_ns: u64| f64::from(clients) * 1e9 / paced_ns(interval_ns, self.pace()) as f64;
        lanes
            .flat_map(|(clients, publish)| publish.lanes.iter().map(move |lane| (clients, lane.interval_ns)))
            .filter(|(_, interval_ns)| *interval_ns > 0)
            .map(|(clients, interval_ns)| rate(clients, interval_ns))
            .sum()
    }

    /// Clients of all roles.
    pub(crate) fn clients(&self) -> u64 {
        self.roles.iter().map(|role| u64::from(role.settings.clients)).sum()
    }

    /// Threads of all roles.
    pub(crate) fn threads(&self) -> usize {
        self.roles.iter().map(|role| role.settings.threads).sum()
    }

    /// The settings as `meta.json` shows them.
    pub(crate) fn describe(&self) -> serde_json::Value {
        let mut described = self.describe_roles();
        if let Some(trial) = &self.trial {
            described["rates_multiplied_by"] = trial.pace.into();
        }
        described
    }

    fn describe_roles(&self) -> serde_json::Value {
        if let ([role], true) = (&*self.roles, self.mode != RUN) {
            return role.settings.describe();
        }
        let roles: BTreeMap<_, _> = self.roles.iter().map(|role| (&role.name, role.settings.describe())).collect();
        serde_json::json!({
            "mode": self.mode,
            "clients": self.clients(),
            "threads": self.threads(),
            "duration_s": self.run().duration.map(|duration| duration.as_secs_f64()),
            "warm_up_s": self.run().warm_up.as_secs_f64(),
            "roles": roles,
        })
    }
}

/// The interval between two messages at a rate that is multiplied by `pace`.
pub(crate) fn paced_ns(interval_ns: u64, pace: f64) -> u64 {
    if interval_ns == 0 { 0 } else { ((interval_ns as f64 / pace).round() as u64).max(1) }
}

/// A scenario file, for messages about it.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

/// A table of the file and where it stands.
struct Table {
    keys: Keys,
    span: Range<usize>,
}

/// Keys with what they were given.
type Keys = BTreeMap<String, Given>;

/// The values of a key, and where it stands, if in the file.
#[derive(Debug, Clone)]
struct Given {
    values: Vec<String>,
    span: Option<Range<usize>>,
}

impl Given {
    fn default_of(value: &str) -> Self {
        Self { values: vec![value.to_owned()], span: None }
    }

    fn text(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }
}

impl Source<'_> {
    /// `[run]` and the `[[role]]`s.
    fn tables(&self) -> Result<(Table, Vec<Table>)> {
        let file = DeTable::parse(self.text).map_err(|error| {
            let place = error.span().map_or_else(|| self.path.display().to_string(), |span| self.place(&span));
            anyhow!("{place}: {}", error.message())
        })?;
        let mut run = Table { keys: Keys::new(), span: 0..0 };
        let mut roles = Vec::new();
        for (key, value) in file.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("run", DeValue::Table(table)) => run = self.table(table, value.span())?,
                ("role", DeValue::Array(tables)) => {
                    for value in tables {
                        let DeValue::Table(table) = value.get_ref() else {
                            bail!("{}: `role` is not a table: write [[role]]", self.place(&value.span()));
                        };
                        roles.push(self.table(table, value.span())?);
                    }
                }
                ("role", _) => bail!("{}: write [[role]], once for each role", self.place(&key.span())),
                ("run", _) => bail!("{}: write [run]", self.place(&key.span())),
                (other, _) => {
                    bail!("{}: `{other}` is not known here: give [run] and [[role]]", self.place(&key.span()))
                }
            }
        }
        ensure!(!roles.is_empty(), "{}: no [[role]]: a run without clients is none", self.path.display());
        let conn = command_of("conn")?;
        for (key, given) in &run.keys {
            ensure!(
                flag(&conn, key).is_some(),
                "{}: `{key}` is not a flag of every role: give it to a [[role]]",
                self.place_of(given)
            );
        }
        Ok((run, roles))
    }

    fn table(&self, table: &DeTable, span: Range<usize>) -> Result<Table> {
        let mut keys = Keys::new();
        for (key, value) in table {
            let values = match value.get_ref() {
                DeValue::Array(values) => values.iter().map(|value| self.scalar(value)).collect::<Result<_>>()?,
                _ => vec![self.scalar(value)?],
            };
            keys.insert(key.get_ref().to_string(), Given { values, span: Some(key.span()) });
        }
        Ok(Table { keys, span })
    }

    fn scalar(&self, value: &Spanned<DeValue>) -> Result<String> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => Ok(number.to_string()),
            DeValue::Float(number) => Ok(number.to_string()),
            DeValue::Boolean(value) => Ok(value.to_string()),
            _ => bail!("{}: give text, a number, true or false, or a list of these", self.place(&value.span())),
        }
    }

    /// Makes one role out of its table and of what holds for all.
    fn role(&self, index: usize, run: &Table, table: &Table, mut keys: Keys, typed: &Keys) -> Result<Role> {
        let mut own = table.keys.clone();
        let kind = own
            .remove("kind")
            .with_context(|| format!("{}: `kind` is missing: give conn, sub or pub", self.place(&table.span)))?;
        let name = own.remove("name").map_or_else(|| kind.text().to_owned(), |name| name.text().to_owned());
        let begin = own.remove("begin").map_or(Ok(Duration::ZERO), |begin| self.time("begin", &begin))?;
        let end = own.remove("end").map(|end| self.time("end", &end)).transpose()?;
        ensure!(end.is_none_or(|end| end > begin), "{}: `end` is not after `begin`", self.place(&table.span));
        let kind = match kind.text() {
            kind @ ("conn" | "sub" | "pub") => kind,
            other => bail!("{}: `{other}` is not a kind: give conn, sub or pub", self.place_of(&kind)),
        };
        let command = command_of(kind)?;
        for (key, given) in &own {
            let place = self.place_of(given);
            ensure!(!OF_THE_RUN.contains(&key.as_str()), "{place}: `{key}` concerns the whole run: move it to [run]");
            ensure!(
                flag(&command, key).is_some(),
                "{place}: `{key}` is not known to a role of kind {kind}{}",
                near(&command, key)
            );
        }
        for more in [&run.keys, &own, typed] {
            keys.extend(more.iter().map(|(key, given)| (key.clone(), given.clone())));
        }
        let mut settings = self.settings(kind, &command, &keys).with_context(|| format!("role {name}"))?;
        ensure!(
            settings.publishing().is_some() || settings.departures.is_some() || begin.is_zero() && end.is_none(),
            "{}: `begin` and `end` are of roles that publish, or whose clients come and go (churn, storm, flap)",
            self.place(&table.span)
        );
        if !keys.contains_key("duration") {
            // The hold of a role's last step is not the length of the run.
            settings.duration = None;
        }
        ensure!(
            !settings.publishing().is_some_and(|publish| publish.wait_for_all),
            "{}: `wait-before-publishing` goes without saying in a scenario: leave it out",
            self.place(&table.span)
        );
        // Roles have different ids and different chance, and the same seed gives the same run.
        settings.reseed(settings.seed.wrapping_add(index as u64));
        Ok(Role { name, settings: Arc::new(settings), begin, end })
    }

    /// What the command of this kind makes of the keys.
    fn settings(&self, kind: &str, command: &clap::Command, keys: &Keys) -> Result<Settings> {
        let mut words = vec!["loadgen".to_owned(), kind.to_owned()];
        for (key, given) in keys {
            let is_switch = flag(command, key).is_some_and(|arg| matches!(arg.get_action(), ArgAction::SetTrue));
            match (is_switch, given.text()) {
                (true, "true") => words.push(format!("--{key}")),
                (true, "false") => {}
                (true, other) => bail!("{}: `{key}` is true or false, not `{other}`", self.place_of(given)),
                (false, _) => words.extend(given.values.iter().map(|value| format!("--{key}={value}"))),
            }
        }
        let matches = Cli::command().try_get_matches_from(words);
        let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| {
            let key = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(flag)) => flag.trim_start_matches('-').split([' ', '=']).next(),
                Some(ContextValue::Strings(flags)) => flags.first().map(|flag| flag.trim_start_matches('-')),
                _ => None,
            };
            let place = key
                .and_then(|key| keys.get(key))
                .map_or_else(|| self.path.display().to_string(), |given| self.place_of(given));
            let text = error.render().to_string();
            let text = text.split("\n\nUsage").next().unwrap_or_default().trim_start_matches("error: ");
            anyhow!("{place}: {}", text.split_whitespace().collect::<Vec<_>>().join(" "))
        })?;
        Settings::from_command(cli.command).with_context(|| self.path.display().to_string())
    }

    fn time(&self, key: &str, given: &Given) -> Result<Duration> {
        if given.text() == "0s" {
            return Ok(Duration::ZERO);
        }
        cli::duration(given.text()).map_err(|error| anyhow!("{}: `{key}`: {error}", self.place_of(given)))
    }

    fn place_of(&self, given: &Given) -> String {
        given.span.as_ref().map_or_else(|| "command line".to_owned(), |span| self.place(span))
    }

    /// File and line.
    fn place(&self, span: &Range<usize>) -> String {
        let line =
            self.text.as_bytes()[..span.start.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count();
        format!("{}:{}", self.path.display(), line + 1)
    }
}

/// The flags typed after the file.
fn typed(flags: &[String]) -> Result<Keys> {
    let words = ["loadgen", "conn"].into_iter().chain(flags.iter().map(String::as_str));
    let matches = Cli::command().try_get_matches_from(words).unwrap_or_else(|error| error.exit());
    let matches = matches.subcommand_matches("conn").context("conn is a command")?;
    let given = |matches: &ArgMatches, arg: &clap::Arg| {
        let id = arg.get_id().as_str();
        let is_typed = matches.value_source(id) == Some(ValueSource::CommandLine);
        let raw = matches.get_raw(id).filter(|_| is_typed)?;
        let values = raw.map(|value| value.to_string_lossy().into_owned()).collect();
        Some((arg.get_long()?.to_owned(), Given { values, span: None }))
    };
    Ok(command_of("conn")?.get_arguments().filter_map(|arg| given(matches, arg)).collect())
}

fn command_of(kind: &str) -> Result<clap::Command> {
    Cli::command().find_subcommand(kind).cloned().with_context(|| format!("{kind} is not a command"))
}

fn flag<'a>(command: &'a clap::Command, key: &str) -> Option<&'a clap::Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(key) && key != "help")
}

/// A flag that begins as the unknown one does, or sounds like it.
fn near(command: &clap::Command, key: &str) -> String {
    let plain = |text: &str| text.replace(['-', '_'], "");
    let is_near = |long: &&str| {
        let (long, key) = (plain(long), plain(key));
        long.starts_with(&key) || key.starts_with(&long)
    };
    let found = command.get_arguments().filter_map(clap::Arg::get_long).find(is_near);
    found.map_or_else(
        || format!("; `loadgen {} --help` names all", command.get_name()),
        |long| format!(": did you mean `{long}`?"),
    )
}

const RUN: &str = "run";

/// Flags that concern the run, not a role.
const OF_THE_RUN: [&str; 17] = [
    "barrier",
    "capacity-precision",
    "capacity-trials",
    "counters-interval",
    "duration",
    "expect",
    "find-capacity",
    "json",
    "log_to",
    "part",
    "preflight-only",
    "prometheus",
    "restapi",
    "run-dir",
    "seed",
    "share",
    "warm-up",
];
