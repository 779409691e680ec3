//! `loadgen bench`: mqtt-bench's runs, made of the same parts as any other run.
//!
//! Clients connect, all wait, then each publishes its messages to its own topic, the next when the last one is done (or
//! on a schedule, with `-intervaltime`); or each receives as many. The time counts from the first to the last message.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use netloop::tls::Identity;

use crate::board::Tally;
use crate::carrier;
use crate::cli::Cli;
use crate::cli::bench::BenchArgs;
use crate::content::Body;
use crate::settings::{RoleSettings, Settings};

/// What a bench run has beyond others.
#[derive(Debug)]
pub(crate) struct Bench {
    /// As it was given.
    broker: String,
    /// Messages of each client.
    count: u32,
    /// From the last connection to the first message.
    pub(crate) pause: Duration,
    /// Show the summary.
    pub(crate) is_talkative: bool,
}

impl Bench {
    /// Whether subscribers have what they wait for.
    pub(crate) fn has_all(&self, settings: &Settings, tally: &Tally) -> bool {
        settings.subscribing().is_some() && tally.received >= self.messages(settings)
    }

    /// The line that the run is for: `done` messages between the two times.
    pub(crate) fn result(&self, settings: &Settings, done: u64, begin_ns: u64, end_ns: u64) -> String {
        let ms = end_ns.saturating_sub(begin_ns) / 1_000_000;
        // Of a shorter run the milliseconds say nothing; the throughput is that of the nanoseconds.
        let throughput = done as f64 / (end_ns.saturating_sub(begin_ns).max(1) as f64 / 1e9);
        format!(
            "\nResult : broker={}, clients={}, totalCount={done}, duration={ms}ms, throughput={throughput:.2}messages/sec",
            self.broker, settings.clients
        )
    }

    fn messages(&self, settings: &Settings) -> u64 {
        u64::from(settings.clients) * u64::from(self.count)
    }
}

/// A line of the run, with the time in front as Go prints it.
pub(crate) fn line(wall_ns: u64, text: &str) -> String {
    let time = runlog::clock::utc_text(wall_ns);
    format!("{} +0000 UTC {text}", time.trim_end_matches('Z').replace('T', " "))
}

/// What the flags mean: the same as a line of flags for `pub` or `sub`, and a few things that those cannot say.
pub(crate) fn settings(args: &BenchArgs) -> Result<Settings> {
    let action = match args.action.as_str() {
        "p" | "pub" => "pub",
        "s" | "sub" => "sub",
        other => bail!("Invalid argument : -action -> {other}: give pub or sub"),
    };
    let (scheme, rest) = args.broker.split_once("://").with_context(|| invalid_broker(args))?;
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let (host, port) = authority.rsplit_once(':').with_context(|| invalid_broker(args))?;
    let mut words: Vec<String> = vec!["loadgen".into(), action.into()];
    let mut push = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    push("-h", host.trim_matches(['[', ']']).to_owned());
    push("-p", port.to_owned());
    push("-t", format!("{}/%i", args.topic));
    push("-q", args.qos.to_string());
    push("-c", args.clients.to_string());
    push("-C", args.clean.to_string());
    push("--prefix", format!("mqttbench{:x}-", std::process::id()));
    for (flag, value) in [("-V", "4"), ("-i", "0"), ("-k", "30"), ("--shortids", "true"), ("--reconnect", "1000000")] {
        push(flag, value.to_owned());
    }
    if action == "pub" {
        push("-I", args.intervaltime.to_string());
        push("-L", (u64::from(args.clients) * u64::from(args.count)).to_string());
        push("-r", args.retain.to_string());
        push("-s", args.size.to_string());
        push("-w", "true".to_owned());
    }
    for (flag, value) in [("-u", &args.broker_username), ("-P", &args.broker_password)] {
        if !value.is_empty() {
            push(flag, value.clone());
        }
    }
    let is_secure = match scheme {
        "tcp" | "mqtt" => false,
        "ws" => {
            push("--ws", "true".to_owned());
            false
        }
        "wss" => {
            push("--ws", "true".to_owned());
            true
        }
        "ssl" | "tls" | "mqtts" | "tcps" => true,
        _ => bail!("{}: the scheme {scheme} is not known: give tcp, ssl, ws or wss", invalid_broker(args)),
    };
    if scheme.starts_with("ws") {
        push("--ws-path", format!("/{}", path.unwrap_or_default()));
    }
    let files = tls_files(&args.tls)?;
    if is_secure && files.is_none() {
        words.extend(["-S".to_owned(), "true".to_owned(), "--ssl-system-ca".to_owned()]);
    }
    let mut settings =
        Settings::from_command(Cli::try_parse_from(&words).with_context(|| invalid_broker(args))?.command)?;
    if let Some((authority, identity)) = files {
        settings.carrier = carrier::with_files(authority, identity, &settings.carrier)?;
    }
    settings.first_number = 0;
    if let RoleSettings::Pub(publish) = &mut settings.role {
        publish.limit_per_client = Some(args.count);
        // mqtt-bench's payload: digits.
        let digits: Vec<u8> = (0..args.size).map(|at| b'0' + (at % 10) as u8).collect();
        publish.lanes[0].content.body = Body::Fixed(digits.into());
    }
    settings.bench = Some(Bench {
        broker: args.broker.clone(),
        count: args.count,
        pause: if action == "pub" { Duration::from_millis(args.pretime) } else { Duration::ZERO },
        is_talkative: args.x,
    });
    settings.is_quiet = true;
    Ok(settings)
}

fn invalid_broker(args: &BenchArgs) -> String {
    format!("Invalid argument : -broker -> {}: give tcp://HOST:PORT", args.broker)
}

/// `server:CERTFILE`, or `client:ROOTCAFILE,CLIENTCERTFILE,CLIENTKEYFILE`.
fn tls_files(text: &str) -> Result<Option<(PathBuf, Option<Identity>)>> {
    let existing = |name: &str, what: &str| {
        let path = Path::new(name.trim());
        ensure!(path.is_file(), "File is not found. : {what} -> {}", path.display());
        Ok(path.to_owned())
    };
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(file) = text.strip_prefix("server:") {
        return Ok(Some((existing(file, "certFile")?, None)));
    }
    let files: Vec<_> = text.strip_prefix("client:").unwrap_or_default().split(',').collect();
    let [authority, certificates, key] = files[..] else {
        bail!("-tls {text}: give server:CERTFILE or client:ROOTCAFILE,CLIENTCERTFILE,CLIENTKEYFILE");
    };
    let identity =
        Identity { certificates: existing(certificates, "clientCertFile")?, key: existing(key, "clientKeyFile")? };
    Ok(Some((existing(authority, "rootCAFile")?, Some(identity))))
}
