//! The topic index by itself, without a broker. In a process of its own: what an allocator kept from an earlier round would be
//! taken for no memory at all.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use topic_index::FilterIndex;

use crate::rows::Figures;
use crate::target::rss_bytes_of;

/// The figures, in the order in which [`run`] prints them.
const FIGURES: [&str; 3] = ["lookup_us", "bytes_beyond_text", "matches"];

/// Measures once, in a new process.
pub(crate) fn measure() -> Result<Figures> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let output = Command::new(program).arg(COMMAND).output().context("cannot start a process for the index")?;
    ensure!(output.status.success(), "the index: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8(output.stdout).context("figures are text")?;
    let values: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().context("not figures")?;
    ensure!(values.len() == FIGURES.len(), "the index told {} figures: {text}", values.len());
    Ok(FIGURES.into_iter().zip(values).collect())
}

/// A million filters of which nine are broad and match every topic that is asked, in random order; prints the figures. Memory is
/// what the process grows by, less the text of the filters.
pub(crate) fn run() -> Result<()> {
    const FILTERS: u64 = 1_000_000;
    const BROAD: [&str; 9] = [
        "#",
        "+/#",
        "site/#",
        "site/+/device/#",
        "+/+/+/+/+",
        "+/+/device/+/#",
        "site/+/+/+/temperature",
        "+/+/+/+/temperature",
        "site/+/device/+/temperature",
    ];
    let (before, mut text_bytes) = (rss_bytes_of("self")?, 0);
    let mut index = FilterIndex::new();
    for n in 0..FILTERS {
        let filter = BROAD.get(n as usize).map_or_else(|| format!("site/+/device/{n}/#"), |&filter| filter.to_owned());
        text_bytes += filter.len() as u64;
        index.get_or_insert_with(&filter, || n);
    }
    let bytes = (rss_bytes_of("self")? - before).saturating_sub(text_bytes) as f64 / FILTERS as f64;
    let topics: Vec<String> = (0..200_000_u64)
        .map(|n| BROAD.len() as u64 + n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (FILTERS - BROAD.len() as u64))
        .map(|n| format!("site/{}/device/{n}/temperature", n % 100))
        .collect();
    let (started, mut matches) = (Instant::now(), 0_u64);
    for topic in &topics {
        index.for_each_match(topic, |_| matches += 1);
    }
    let lookup_us = started.elapsed().as_secs_f64() * 1e6 / topics.len() as f64;
    let matches = matches as f64 / topics.len() as f64;
    println!("{lookup_us} {bytes} {matches}");
    Ok(())
}

/// The command of this program that runs it; not the name of the row, which is an argument.
pub(crate) const COMMAND: &str = "fill-index";
