//! `collector check`: declared against observed, before (or after) an experiment (METHOD F9).

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use runlog::{HostManifest, clock, host};
use serde::Serialize;

use crate::profile::{Profile, Wanted};
use crate::{find, manifest, sysctl};

/// What `collector check` is told.
#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// File with the declared settings, or the name of a shipped profile: guide-sut, guide-loadgen.
    #[arg(long)]
    profile: String,

    /// The process whose limits and age are looked at; default: the limits of whoever calls.
    #[arg(long)]
    pid: Option<u32>,

    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One thing declared, and what was found.
#[derive(Debug, Serialize)]
struct Item {
    name: String,
    declared: String,
    observed: String,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    profile: &'a str,
    about: &'a str,
    ok: bool,
    differences: usize,
    items: Vec<Item>,
}

/// Prints the comparison; true when all is as declared.
pub(crate) fn check(args: &CheckArgs) -> Result<bool> {
    let profile = Profile::load(&args.profile)?;
    let items = compare(&profile, args.pid)?;
    let differences = items.iter().filter(|item| !item.ok).count();
    let report = Report { profile: &args.profile, about: &profile.about, ok: differences == 0, differences, items };
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).context("cannot write the report")? + "\n",
        false => table(&report),
    };
    runlog::stdout::show(&text).context("cannot write to standard output")?;
    Ok(report.ok)
}

fn compare(profile: &Profile, pid: Option<u32>) -> Result<Vec<Item>> {
    let host = host::manifest();
    let process = pid.map(find::check_pid).transpose()?.map(|pid| manifest::process(pid, None));
    let mut items = Vec::new();
    for (name, wanted) in &profile.sysctl {
        let observed = sysctl::read(name).with_context(|| format!("cannot read {name}"))?;
        items.push(item(name, wanted, observed.as_deref().ok_or(sysctl::absence(name))));
    }
    let limits = process.as_ref().map_or(&host.ulimits, |process| &process.ulimits);
    for (name, wanted) in &profile.limits {
        let soft = limits.get(name).map(|[soft, _]| soft.as_str());
        items.push(item(&format!("limit {name}"), wanted, soft.ok_or("no such limit")));
    }
    let present: Vec<&str> =
        host.interfaces.iter().flat_map(|interface| &interface.addresses).map(String::as_str).collect();
    for address in profile.addresses.all()? {
        let bare = |text: &str| text.split('/').next().unwrap_or_default().to_owned();
        let found = present.iter().find(|text| bare(text) == bare(&address));
        let ok = found.is_some_and(|text| *text == address || !address.contains('/'));
        let observed = match found {
            Some(text) if !ok => (*text).to_owned(),
            Some(_) => "present".to_owned(),
            None => "absent".to_owned(),
        };
        items.push(Item { name: format!("address {address}"), declared: "present".to_owned(), observed, ok });
    }
    let age_s = process.as_ref().and_then(|process| process.started_wall_ns);
    let age_s = age_s.map(|started_ns| clock::wall_ns().saturating_sub(started_ns) / clock::NS_PER_S);
    items.extend(clean(profile, &host, pid.is_some(), age_s));
    Ok(items)
}

fn clean(profile: &Profile, host: &HostManifest, has_target: bool, age_s: Option<u64>) -> Vec<Item> {
    let bounds = &profile.clean;
    let age_bound = bounds.target_age_s_max.filter(|_| has_target);
    let levels = [
        ("sockets in TIME_WAIT", bounds.time_wait_max, host.time_wait),
        // Without the module nothing is tracked.
        ("tracked connections", bounds.conntrack_max, host.conntrack.or(Some(0))),
        ("uptime, s", bounds.uptime_s_max, host.uptime_s.map(|s| s as u64)),
        ("age of the target, s", age_bound, age_s),
    ];
    let level = |(name, bound, observed): (&str, Option<u64>, Option<u64>)| {
        let bound = bound?;
        Some(Item {
            name: name.to_owned(),
            declared: format!("at most {bound}"),
            observed: observed.map_or_else(|| "unknown".to_owned(), |level| level.to_string()),
            ok: observed.is_some_and(|level| level <= bound),
        })
    };
    levels.into_iter().filter_map(level).collect()
}

fn item(name: &str, wanted: &Wanted, observed: Result<&str, &str>) -> Item {
    let ok = observed.is_ok_and(|value| wanted.is_met_by(value));
    let observed = observed.unwrap_or_else(|reason| reason).split_whitespace().collect::<Vec<_>>().join(" ");
    Item { name: name.to_owned(), declared: wanted.describe(), observed, ok }
}

fn table(report: &Report<'_>) -> String {
    let mut text = format!("profile {}: {}\n", report.profile, report.about);
    let width = |text: fn(&Item) -> &str| report.items.iter().map(|item| text(item).len()).max().unwrap_or(0);
    let (name, declared) = (width(|item| &item.name), width(|item| &item.declared).max(8));
    text += &format!("{:9}  {:name$}  {:declared$}  observed\n", "", "", "declared");
    for item in &report.items {
        let mark = if item.ok { "ok" } else { "DIFFERENT" };
        text += &format!("{mark:9}  {:name$}  {:declared$}  {}\n", item.name, item.declared, item.observed);
    }
    let all = report.items.len();
    text + &match report.differences {
        0 => format!("all {all} as declared\n"),
        differences => format!("{differences} of {all} differ from what is declared\n"),
    }
}
