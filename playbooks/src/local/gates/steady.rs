//! No trend in memory and throughput: `analyze steady` tests for one (Mann and Kendall's test, METHOD F5).

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Gate, Window, Written};
use crate::plan::{PlannedStep, ProcessKind, Steady};

/// The verdict over the measure phase, where it has samples enough for one.
pub(in crate::local) fn steady(step: &PlannedStep, written: &[Written<'_>], measure: Option<Window>) -> Option<Gate> {
    let (begin, end) = measure?;
    let interval_ms = written.iter().find_map(|(process, _)| process.interval_ms)?;
    if step.steady == Steady::Off || (end - begin) / 1_000_000 < SAMPLES_MIN * interval_ms {
        return None;
    }
    let moving = match moving(written) {
        Ok(moving) => moving,
        Err(reason) => return Some(Gate { remark: Some(reason), ..Gate::judged("steady", "", None) }),
    };
    let text = (!moving.is_empty()).then(|| moving.join("; "));
    Some(match step.steady {
        Steady::Gate => Gate::judged("steady", "", text),
        Steady::Note | Steady::Off => Gate { remark: text, ..Gate::judged("steady", "", None) },
    })
}

/// What still moves, one sentence each.
fn moving(written: &[Written<'_>]) -> Result<Vec<String>, String> {
    let dirs = written.iter().filter(|(process, _)| process.kind != ProcessKind::Prober).map(|(_, run)| &run.path);
    let program = analyze().ok_or("no analyze beside this program, so no test for a steady state")?;
    let output = Command::new(&program).args(["steady", "--format", "json"]).args(dirs).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
        return Err(format!("no test for a steady state: {said}"));
    }
    let courses: Vec<Value> =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("analyze steady: {error}"))?;
    let moving = courses.iter().filter(|course| course["moves"] == Value::Bool(true));
    Ok(moving.filter_map(|course| Some(course["text"].as_str()?.to_owned())).collect())
}

/// The analyzer, beside this program.
pub(crate) fn analyze() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name(ANALYZE);
    beside.is_file().then_some(beside)
}

/// Name of the analyzer's program.
pub(crate) const ANALYZE: &str = "analyze";

/// With fewer, the order of a few neighbours decides; `analyze steady` needs as many.
const SAMPLES_MIN: u64 = 20;
