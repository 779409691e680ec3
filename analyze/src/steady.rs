//! `analyze steady`: whether memory and throughput still move while figures are taken (METHOD F5).
//!
//! A rate is sustained only where what carries it is flat: memory that grows is a queue that fills, and the run ends before it is
//! full. Each series is tested over the measured phase ([`crate::stats::Trend`]: Mann and Kendall, serial dependence allowed
//! for). With many samples the smallest trend is significant, so that a series *moves* only when the trend is there and its median
//! slope makes a difference over the phase.

use anyhow::Result;
use runlog::{Role, Run, columns};
use serde::Serialize;

use crate::phases::{self, Span};
use crate::series::Series;
use crate::stats::{Trend, median};

/// How one quantity of one run went over the measured phase.
#[derive(Debug, Clone, Serialize)]
pub struct Course {
    /// The run's directory.
    pub dir: String,
    /// `rss_mib`, `connections`, `received_per_s`, `acked_per_s`, `written_per_s`.
    pub quantity: &'static str,
    /// Median over the phase, in the quantity's unit.
    pub median: f64,
    /// What the median slope makes of the whole phase, in the quantity's unit.
    pub change: f64,
    /// The test; absent with too few samples, which are never said to move.
    pub trend: Option<Trend>,
    /// Whether there is a trend that matters.
    pub moves: bool,
    /// The same as one sentence.
    pub text: String,
}

/// What counts as a change that matters.
struct Bounds {
    /// Share of the median.
    share: f64,
    /// And in the quantity's own unit.
    least: f64,
}

/// Every quantity of these runs; runs without a marked measured phase have none.
///
/// # Errors
/// A file of samples or counters cannot be read.
pub fn courses(runs: &[Run]) -> Result<Vec<Course>> {
    let mut courses = Vec::new();
    for run in runs {
        let Some(span) = phases::measured(run) else { continue };
        if run.raw_path().exists() && run.role == Role::Broker {
            let series = Series::read(&run.raw_path())?;
            let rss = series.levels(columns::PROC_RSS_KB).map(|kb| kb.iter().map(|kb| kb / 1024.0).collect());
            courses.extend(course(run, &series, span, "rss_mib", rss, &MEMORY));
        }
        if run.counters_path().exists() && run.role == Role::Loadgen {
            let series = Series::read(&run.counters_path())?;
            courses.extend(course(run, &series, span, "connections", series.levels("connected"), &CONNECTIONS));
            for (quantity, counter) in RATES {
                courses.extend(course(run, &series, span, quantity, series.rates(counter), &THROUGHPUT));
            }
        }
    }
    Ok(courses)
}

fn course(
    run: &Run,
    series: &Series,
    span: Span,
    quantity: &'static str,
    values: Option<Vec<f64>>,
    bounds: &Bounds,
) -> Option<Course> {
    let (values, times) = (values?, series.interval_times_s());
    let rows = series.intervals_between(span.begin_mono_ns, span.end_mono_ns);
    let points: Vec<(f64, f64)> = rows.map(|row| (times[row], values[row])).filter(|(_, v)| v.is_finite()).collect();
    let (times, values): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
    let median = median(&values)?;
    // A publisher receives nothing, a subscriber sends nothing.
    if values.iter().all(|value| *value == 0.0) {
        return None;
    }
    let trend = if values.len() < SAMPLES_MIN { None } else { Trend::of(&times, &values) };
    let change = trend.map_or(0.0, |trend| trend.slope * (times[times.len() - 1] - times[0]));
    let moves = trend.is_some_and(|trend| trend.is_there())
        && change.abs() >= bounds.least
        && change.abs() >= bounds.share * median.abs();
    let verdict = if moves { "moves" } else { "is steady" };
    let text = match trend {
        None => format!("{quantity} of {}: {} samples are too few for a test", run.tag, values.len()),
        Some(Trend { p, n, .. }) => format!(
            "{quantity} of {} {verdict}: {change:+.1} over the measured phase around a median of {median:.1} \
             (Mann-Kendall, {n} samples, p = {p:.2e})",
            run.tag
        ),
    };
    Some(Course { dir: run.path.display().to_string(), quantity, median, change, trend, moves, text })
}

/// The courses as a list.
pub fn markdown(courses: &[Course]) -> String {
    courses.iter().map(|course| format!("- {}\n", course.text)).collect()
}

/// The courses as CSV.
pub fn csv(courses: &[Course]) -> String {
    let row = |course: &Course| {
        let (n, p) = course.trend.map_or((0, String::new()), |trend| (trend.n, trend.p.to_string()));
        format!("{},{},{},{},{n},{p},{}\n", course.dir, course.quantity, course.median, course.change, course.moves)
    };
    "dir,quantity,median,change,samples,p,moves\n".to_owned() + &courses.iter().map(row).collect::<String>()
}

/// With fewer, the order of a few neighbours decides.
const SAMPLES_MIN: usize = 20;

/// A broker's own housekeeping moves by less than 8 MiB; below 3 % an hour's run would still be the same state.
const MEMORY: Bounds = Bounds { share: 0.03, least: 8.0 };

/// A tenth of a thousand: clients that leave one by one.
const CONNECTIONS: Bounds = Bounds { share: 0.000_1, least: 1.0 };

/// Equal runs of the published benchmark differ by 2 to 4 %.
const THROUGHPUT: Bounds = Bounds { share: 0.05, least: 1.0 };

/// Quantities and the counters that they are rates of.
const RATES: [(&str, &str); 3] =
    [("received_per_s", "received"), ("acked_per_s", "acked"), ("written_per_s", "written")];
