//! `--find-capacity BOUNDS`: the highest offered rate at which stated bounds hold, and how sure that is.
//!
//! Every trial is a whole run: it connects, warms up, measures, drains, disconnects, and leaves a run directory of its own.
//! The rates of all publishing roles are multiplied by one factor. The search doubles the rate until the bounds break, halves
//! the interval until its ends are as close as asked for, and then confirms both ends with fresh trials, in turn, so that
//! a machine that grows slower or faster meets both alike.
//!
//! Near the knee a trial holds or breaks by chance. The capacity is the rate at which the bounds hold half the time. If
//! it were below the lower end, `n` trials there would all hold with a probability of at most `2^-n`, and
//! likewise for the upper end: the sign test. An end that fails its confirmation moves outwards and is confirmed again;
//! each further attempt adds its `2^-n` to the risk.

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use runlog::{CapacitySummary, LoadSummary, RunDir, TrialSummary};

use crate::cli::lab::CapacityArgs;
use crate::expect::Expectations;
use crate::run::{Conclusion, Verdict};
use crate::scenario::{Plan, Trial};
use crate::summary;

/// What is searched for, and how thoroughly.
#[derive(Debug, Clone)]
pub(crate) struct Capacity {
    /// What has to hold.
    pub(crate) bounds: Expectations,
    effort: Effort,
}

#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Distance of the interval's ends, as a share of the lower one.
    precision: f64,
    /// Trials that confirm an end.
    trials: u32,
}

impl Capacity {
    /// The search that was asked for, if any.
    pub(crate) fn from_args(args: CapacityArgs) -> Option<Self> {
        let effort = Effort { precision: args.capacity_precision / 100.0, trials: args.capacity_trials };
        args.find_capacity.map(|bounds| Self { bounds, effort })
    }
}

/// Searches, trial by trial.
pub(crate) fn search(
    plan: &Plan,
    capacity: &Capacity,
    mut run_once: impl FnMut(Plan) -> Result<Conclusion>,
) -> Result<Verdict> {
    let planned_per_s = plan.rate_per_s();
    ensure!(planned_per_s > 0.0, "--find-capacity raises the rate of publishers: this run has none");
    let settings = plan.run();
    let root = settings.run_dir.as_ref().map(|path| RunDir::create(path.clone())).transpose()?;
    let directory = |number: u32| Some(root.as_ref()?.path().join(format!("trial-{number:03}")));
    say(&format!("searching for the highest rate with {}, from {planned_per_s:.0} messages/s on", capacity.bounds));
    let mut number = 0;
    let mut attempt = |rate_per_s: f64, purpose: Purpose| {
        if number > 0 {
            // The last trial's connections are gone for the broker too, and what it had queued for them.
            thread::sleep(PAUSE);
        }
        number += 1;
        let trial = Trial { pace: rate_per_s / planned_per_s, run_dir: directory(number) };
        let plan = Plan { trial: Some(trial), ..plan.clone() };
        let rate_per_s = plan.rate_per_s();
        let run = run_once(plan)?;
        ensure!(!run.was_stopped, "stopped before the search was over");
        ensure!(!run.is_broken, "a trial failed: {}", run.summary.failures.join("; "));
        let trial = judge(&run.summary, &capacity.bounds, rate_per_s)?;
        let trial = TrialSummary { purpose: purpose.name().to_owned(), ..trial };
        say(&line(number, &trial));
        Ok(trial)
    };
    let mut found = CapacitySummary { bounds: capacity.bounds.to_string(), ..CapacitySummary::default() };
    let searched = Search { effort: capacity.effort, attempt: &mut attempt, found: &mut found }.run(planned_per_s);
    // What is known is kept, however the search ended.
    if let Some(root) = &root {
        root.write_capacity(&found)?;
    }
    if let Some(path) = &settings.json {
        summary::write_json(path, &found, say)?;
    }
    searched?;
    say(&format!("\n{}", text(&found, capacity.effort.trials)));
    Ok(found.settled.into())
}

/// Prints a line. Whoever reads the output may go away: that is no reason to lose the search.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Whether a run kept the bounds.
fn judge(summary: &LoadSummary, bounds: &Expectations, rate_per_s: f64) -> Result<TrialSummary> {
    let publish = summary.publish.clone().unwrap_or_default();
    let mut reasons = summary.failures.clone();
    if (publish.attempted as f64) < publish.offered as f64 * SENT_MIN {
        reasons.push(format!("{} of {} messages could be sent", publish.attempted, publish.offered));
    }
    if let (Some(unknown), true) = (bounds.unknown(summary), reasons.is_empty()) {
        return Err(Unknown { unknown, rate_per_s }.into());
    }
    reasons.extend(bounds.unmet(summary));
    Ok(TrialSummary {
        rate_per_s,
        good: reasons.is_empty(),
        reasons,
        generator_limited: summary.generator_limited,
        offered: publish.offered,
        attempted: publish.attempted,
        delivered: summary.receive.as_ref().map(|receive| receive.delivered),
        p99_us: summary.receive.as_ref().map_or(publish.ack_us.p99, |receive| receive.latency_us.p99),
        send_lag_p99_us: publish.send_lag_us.p99,
        ..TrialSummary::default()
    })
}

/// A trial that the bounds cannot judge.
#[derive(Debug, thiserror::Error)]
#[error(
    "{unknown}: a trial at {rate_per_s:.0} messages/s has no such figure, or too few messages for it; latency needs \
     subscribers, or acknowledgements (-q 1); a high percentile needs a longer --duration"
)]
struct Unknown {
    unknown: &'static str,
    rate_per_s: f64,
}

/// Why a trial is made.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Search,
    Confirm,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Confirm => "confirm",
        }
    }
}

/// The search itself; it knows trials only by what `attempt` makes of a rate.
struct Search<'a> {
    effort: Effort,
    attempt: &'a mut dyn FnMut(f64, Purpose) -> Result<TrialSummary>,
    found: &'a mut CapacitySummary,
}

impl Search<'_> {
    fn run(&mut self, from_per_s: f64) -> Result<()> {
        let Some((good, bad)) = self.bracket(from_per_s)? else { return Ok(()) };
        let (good, bad) = self.narrow(good, bad)?;
        self.confirm(good, bad)
    }

    fn try_at(&mut self, rate_per_s: f64, purpose: Purpose) -> Result<bool> {
        let trial = (self.attempt)(rate_per_s, purpose)?;
        let good = trial.good;
        self.found.trials.push(trial);
        Ok(good)
    }

    /// A rate that held and one that did not, each twice or half the other; `None` when no rate held.
    fn bracket(&mut self, from_per_s: f64) -> Result<Option<(f64, f64)>> {
        let mut rate = from_per_s;
        let first_good = self.try_at(rate, Purpose::Search)?;
        for _ in 0..OCTAVES {
            let next = if first_good { rate * 2.0 } else { rate / 2.0 };
            let good = match self.try_at(next, Purpose::Search) {
                // From here downwards there are too few messages to tell.
                Err(error) if !first_good && error.is::<Unknown>() => break,
                tried => tried?,
            };
            if good != first_good {
                let (good, bad) = if good { (next, rate) } else { (rate, next) };
                return Ok(Some((good, bad)));
            }
            rate = next;
        }
        match first_good {
            true => self.found.good_per_s = Some(rate),
            false => self.found.bad_per_s = Some(rate),
        }
        Ok(None)
    }

    /// Halves the interval, on a logarithmic scale, until its ends are close.
    fn narrow(&mut self, mut good: f64, mut bad: f64) -> Result<(f64, f64)> {
        while bad / good > 1.0 + self.effort.precision {
            let middle = (good * bad).sqrt();
            if self.try_at(middle, Purpose::Search)? { good = middle } else { bad = middle }
        }
        Ok((good, bad))
    }

    /// Confirms both ends by fresh trials in turn. An end that fails moves outwards and begins again.
    fn confirm(&mut self, mut good: f64, mut bad: f64) -> Result<()> {
        let Effort { precision, trials } = self.effort;
        let (mut good_held, mut bad_broke, mut attempts) = (0, 0, 2);
        while good_held < trials || bad_broke < trials {
            (self.found.good_per_s, self.found.bad_per_s) = (Some(good), Some(bad));
            if attempts > ATTEMPTS_MAX {
                return Ok(());
            }
            if good_held < trials {
                if self.try_at(good, Purpose::Confirm)? {
                    good_held += 1;
                } else {
                    (good, good_held, attempts) = (good / (1.0 + precision), 0, attempts + 1);
                }
            }
            if bad_broke < trials {
                if self.try_at(bad, Purpose::Confirm)? {
                    (bad, bad_broke, attempts) = (bad * (1.0 + precision), 0, attempts + 1);
                } else {
                    bad_broke += 1;
                }
            }
        }
        let found = &mut *self.found;
        (found.good_per_s, found.bad_per_s) = (Some(good), Some(bad));
        found.confidence = Some((1.0 - f64::from(attempts) * 0.5f64.powi(trials.cast_signed())).max(0.0));
        // Rates are of whole nanoseconds between two messages: close to what was asked for.
        let is_at_bad = |trial: &&TrialSummary| (trial.rate_per_s / bad - 1.0).abs() < precision / 4.0;
        found.generator_limited = found.trials.iter().filter(is_at_bad).any(|trial| trial.generator_limited);
        found.settled = true;
        Ok(())
    }
}

/// One trial for people.
fn line(number: u32, trial: &TrialSummary) -> String {
    let ms = |us: Option<f64>| us.map_or_else(|| "unknown".to_owned(), |us| format!("{:.3} ms", us / 1e3));
    let mut text = format!(
        "trial {number:>3}  {:>9.0} messages/s  {}  p99 {}, send lag p99 {}",
        trial.rate_per_s,
        if trial.good { "good" } else { "bad " },
        ms(trial.p99_us),
        ms(trial.send_lag_p99_us)
    );
    if !trial.reasons.is_empty() {
        text += &format!("; {}", trial.reasons.join("; "));
    }
    if trial.generator_limited {
        text += "; the generator was the limit";
    }
    text
}

/// The result for people.
fn text(found: &CapacitySummary, trials: u32) -> String {
    let CapacitySummary { bounds, settled, good_per_s, bad_per_s, confidence, generator_limited, .. } = found;
    let made = found.trials.len();
    match (good_per_s, bad_per_s) {
        (Some(good), Some(bad)) if *settled => {
            let confidence = confidence.unwrap_or_default() * 100.0;
            let mut text = format!(
                "capacity  {good:.0} messages/s with {bounds}: all of {trials} trials held there, and none of {trials} at \
                 {bad:.0}/s\n\
                 interval  {good:.0} to {bad:.0} messages/s, with a confidence of {confidence:.1} % or more; {made} trials"
            );
            if *generator_limited {
                text += &format!(
                    "\nwarning   at {bad:.0} messages/s the generator was the limit: {good:.0}/s is a lower bound of what the \
                     broker can do"
                );
            }
            text
        }
        (Some(good), Some(bad)) => format!(
            "failed    the bounds {bounds} hold and break by chance around {good:.0} to {bad:.0} messages/s: no interval could be \
             confirmed in {made} trials; make the trials longer (--duration) or the machine quieter"
        ),
        (Some(good), None) => format!("failed    the bounds {bounds} held at every rate, up to {good:.0} messages/s"),
        (None, Some(bad)) => {
            format!(
                "failed    the bounds {bounds} did not hold at any rate, down to {bad:.0} messages/s: begin lower (-I), or where \
                 fewer messages would tell nothing, make the trials longer (--duration)"
            )
        }
        (None, None) => "failed    no trial was made".to_owned(),
    }
}

/// Doublings, or halvings, of the first rate.
const OCTAVES: u32 = 20;
/// Rates at which confirmation begins, before the search gives up.
const ATTEMPTS_MAX: u32 = 14;
/// Share of the offered messages that has to be sent: what is due at the very end cannot all be.
const SENT_MIN: f64 = 0.99;
/// Between two trials.
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use pacer::rng::Rng;

    fn found(from: f64, trials: u32, mut is_good: impl FnMut(f64) -> bool) -> CapacitySummary {
        let mut found = CapacitySummary::default();
        let mut attempt = |rate_per_s: f64, _| {
            let good = is_good(rate_per_s);
            Ok(TrialSummary { rate_per_s, good, generator_limited: rate_per_s > 5e6, ..TrialSummary::default() })
        };
        let effort = Effort { precision: 0.05, trials };
        Search { effort, attempt: &mut attempt, found: &mut found }.run(from).unwrap();
        found
    }

    #[test]
    fn a_sharp_knee_is_found_from_below_and_from_above() {
        for (from, knee) in [(100.0, 12_345.0), (1e6, 12_345.0), (12_345.0, 12_345.0), (1.0, 2.0), (7.0, 300_000.0)] {
            let found = found(from, 5, |rate| rate <= knee);
            let (good, bad) = (found.good_per_s.unwrap(), found.bad_per_s.unwrap());
            assert!(found.settled && good <= knee && knee < bad && bad / good <= 1.0501, "{from}: {good} {bad}");
            assert_eq!(found.confidence, Some(1.0 - 2.0 / 32.0));
            assert!(!found.generator_limited && found.trials.len() < 40);
        }
    }

    #[test]
    fn a_limit_of_the_generator_is_named() {
        let found = found(1e6, 3, |rate| rate <= 5.5e6);
        assert!(found.settled && found.generator_limited);
        assert!(text(&found, 3).contains("is a lower bound"), "{}", text(&found, 3));
    }

    #[test]
    fn bounds_that_always_or_never_hold_settle_nothing() {
        let always = found(10.0, 5, |_| true);
        assert!(!always.settled && always.bad_per_s.is_none() && text(&always, 5).contains("held at every rate"));
        let never = found(10.0, 5, |_| false);
        assert!(!never.settled && never.good_per_s.is_none() && text(&never, 5).contains("begin lower"));
        let mut rng = Rng::new(3);
        let by_chance = found(10.0, 5, |_| rng.below(2) == 0);
        assert!(!by_chance.settled && text(&by_chance, 5).contains("by chance"), "{}", text(&by_chance, 5));
    }

    #[test]
    fn a_rate_with_too_few_messages_ends_the_search_downwards_and_is_an_error_at_the_start() {
        let search = |from: f64| {
            let mut found = CapacitySummary::default();
            let mut attempt = |rate_per_s: f64, _| match rate_per_s {
                300.0.. => Ok(TrialSummary { rate_per_s, ..TrialSummary::default() }),
                _ => Err(Unknown { unknown: "p99", rate_per_s }.into()),
            };
            let effort = Effort { precision: 0.05, trials: 5 };
            let result = Search { effort, attempt: &mut attempt, found: &mut found }.run(from);
            (found, result)
        };
        let (found, result) = search(1_000.0);
        result.unwrap();
        assert!(
            !found.settled && found.bad_per_s == Some(500.0) && text(&found, 5).contains("--duration"),
            "{found:?}"
        );
        assert!(search(200.0).1.unwrap_err().to_string().contains("longer --duration"));
    }

    /// A knee that is blurred over 10 %: the interval holds it at least as often as it claims.
    #[test]
    fn the_confidence_is_kept() {
        let mut rng = Rng::new(11);
        let (mut right, mut claimed, mut settled) = (0.0, 0.0, 0.0);
        for _ in 0..2_000 {
            let found = found(900.0, 5, |rate| rng.next_unit() < 1.0 / (1.0 + ((rate - 10_000.0) / 300.0).exp()));
            if found.settled {
                settled += 1.0;
                claimed += found.confidence.unwrap();
                let holds = found.good_per_s.unwrap() <= 10_000.0 && found.bad_per_s.unwrap() >= 10_000.0;
                right += f64::from(u8::from(holds));
            }
        }
        assert!(settled > 1_800.0 && right >= claimed, "{right} of {settled}, claimed {claimed}");
    }

    #[test]
    fn a_trial_is_judged_by_the_bounds_and_by_what_it_did() {
        let mut summary = LoadSummary {
            publish: Some(runlog::summary::PublishSummary { offered: 1_000, attempted: 1_000, ..Default::default() }),
            ..LoadSummary::default()
        };
        let bounds = |text: &str| text.parse::<Expectations>().unwrap();
        assert!(judge(&summary, &bounds("attempted>=1000"), 1.0).unwrap().good);
        assert!(!judge(&summary, &bounds("attempted>1000"), 1.0).unwrap().good);
        assert!(judge(&summary, &bounds("p99<5ms"), 1.0).unwrap_err().to_string().contains("p99"));
        summary.publish.as_mut().unwrap().attempted = 980;
        assert!(!judge(&summary, &bounds("attempted>=0"), 1.0).unwrap().good, "not all could be sent");
        summary.publish.as_mut().unwrap().attempted = 1_000;
        summary.failures.push("3 connections were lost".to_owned());
        assert_eq!(judge(&summary, &bounds("attempted>=0"), 1.0).unwrap().reasons, ["3 connections were lost"]);
    }
}
