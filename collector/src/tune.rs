//! `collector tune`: sets the kernel as a profile declares, and back again (the guide's `apply_sysctl_common.sh`).
//!
//! What was before is on the disk before the first setting is changed, so that a tool which is killed in between has still
//! left the way back. Only sysctls are set; what else the profile declares is for `collector check` to look at.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use runlog::clock;
use serde::{Deserialize, Serialize};

use crate::profile::Profile;
use crate::sysctl;

/// What `collector tune` is told.
#[derive(Debug, ClapArgs)]
pub(crate) struct TuneArgs {
    /// File with the declared settings, or the name of a shipped profile: guide-sut, guide-loadgen.
    #[arg(long, required_unless_present = "restore")]
    profile: Option<String>,

    /// Set them; without this, only what would be set is printed.
    #[arg(long, requires = "profile")]
    apply: bool,

    /// Where to write what was before; default: sysctl-before-UTC.json here.
    #[arg(long, value_name = "FILE", requires = "apply")]
    save: Option<PathBuf>,

    /// Set everything back to what this file says that it was.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["profile", "apply"])]
    restore: Option<PathBuf>,
}

/// The file that leads back.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    profile: String,
    utc: String,
    /// Settings do not outlive a boot: another one here means that there is nothing to restore.
    boot_id: String,
    settings: Vec<Setting>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Setting {
    name: String,
    before: String,
    after: String,
}

/// Prints, sets or restores; true when everything that had to be set was set.
pub(crate) fn tune(args: &TuneArgs) -> Result<bool> {
    match (&args.restore, &args.profile) {
        (Some(file), _) => restore(file),
        (None, Some(profile)) => apply(profile, args.apply, args.save.as_deref()),
        (None, None) => bail!("neither --profile nor --restore was given"),
    }
}

fn apply(name: &str, apply: bool, save: Option<&Path>) -> Result<bool> {
    let profile = Profile::load(name)?;
    let mut changes = Vec::new();
    for (name, wanted) in &profile.sysctl {
        match sysctl::read(name).with_context(|| format!("cannot read {name}"))? {
            None => println!("# {name}: {}; left out", sysctl::absence(name)),
            Some(now) if wanted.is_met_by(&now) => println!("# {name} = {now} already"),
            Some(before) => changes.push(Setting { name: name.clone(), before, after: wanted.value() }),
        }
    }
    for (name, wanted) in &profile.limits {
        println!("# not a sysctl, set it where the process is started: limit {name} = {}", wanted.describe());
    }
    if !apply {
        changes
            .iter()
            .for_each(|change| println!("sysctl -w {}=\"{}\"  # now {}", change.name, change.after, change.before));
        return Ok(true);
    }
    if changes.is_empty() {
        println!("nothing to set");
        return Ok(true);
    }
    let utc = clock::wall_ns();
    let default = PathBuf::from(format!("sysctl-before-{}.json", clock::utc_compact(utc)));
    let file = save.unwrap_or(&default);
    let before = Before { profile: name.to_owned(), utc: clock::utc_text(utc), boot_id: boot_id(), settings: changes };
    write_new(file, &before).with_context(|| format!("cannot write {}: nothing was set", file.display()))?;
    let failed = set(before.settings.iter().map(|setting| (setting, setting.after.as_str())));
    println!("undo with: collector tune --restore {}", file.display());
    Ok(failed == 0)
}

fn restore(file: &Path) -> Result<bool> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let before: Before = serde_json::from_str(&text)
        .with_context(|| format!("{} was not written by collector tune --apply", file.display()))?;
    if before.boot_id != boot_id() {
        bail!("{} is of another boot of this host, or of another host: its settings are gone already", file.display());
    }
    for setting in &before.settings {
        let now = sysctl::read(&setting.name)?.unwrap_or_default();
        if !now.split_whitespace().eq(setting.after.split_whitespace()) {
            println!("# {} = {now}, not {} as it was set: somebody else changed it", setting.name, setting.after);
        }
    }
    // Backwards: a later setting may rest on an earlier one.
    Ok(set(before.settings.iter().rev().map(|setting| (setting, setting.before.as_str()))) == 0)
}

/// Sets each value that can be set and says which could not; their number.
fn set<'a>(settings: impl Iterator<Item = (&'a Setting, &'a str)>) -> usize {
    let mut failed = 0;
    for (setting, value) in settings {
        match sysctl::write(&setting.name, value) {
            Ok(()) => println!("{} = {value}", setting.name),
            Err(error) => {
                failed += 1;
                eprintln!("collector: cannot set {} to {value:?}: {error:#}", setting.name);
            }
        }
    }
    failed
}

/// A file that is there already is the way back of an earlier run: never overwritten.
fn write_new(path: &Path, before: &Before) -> Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(&serde_json::to_vec_pretty(before)?)?;
    file.sync_all()?;
    Ok(())
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
