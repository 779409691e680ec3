//! Runs that no playbook started: the guide's trees, and our own tools run by hand.
//!
//! Such a run has no context, only a tag. Tags of the guide's form, `A-axmq-qos0-256-1to10-run1`, say label, target, step and
//! repeat; any other tag is a step of its own. Nobody marked phases and nobody judged gates, so the window is the part with
//! load, and the gates are those that samples allow: see [`super::measure`].

use std::collections::{BTreeMap, BTreeSet};

use runlog::{Context, Run};

use super::experiment::StepKind;

/// Gives every run a context that its tag implies. Runs of one role, label and step that claim the same repeat are taken as
/// further repeats, in the order of time.
pub fn give_contexts(experiment: &str, runs: &mut [Run]) {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by(|a, b| (runs[*a].utc, &runs[*a].path).cmp(&(runs[*b].utc, &runs[*b].path)));
    for index in order {
        let run = &mut runs[index];
        let mut context = implied(&run.tag);
        experiment.clone_into(&mut context.experiment);
        context.label = unique_label(&mut labels, &context);
        let key = |context: &Context| (run.role, run.tag.clone(), context.label.clone(), context.repeat);
        while !taken.insert(key(&context)) {
            context.repeat += 1;
        }
        run.context = Some(context);
    }
}

/// What a step of this name loads a broker with, as far as the guide's words tell.
pub fn kind(step: &str) -> StepKind {
    let step = step.to_ascii_lowercase();
    match step.as_str() {
        s if s.contains("baseline") || s.contains("noconn") => StepKind::Idle,
        s if s.contains("conn") => StepKind::Connections,
        s if s.contains("latency") || s.contains("probe") => StepKind::Latency,
        _ => StepKind::Throughput,
    }
}

fn implied(tag: &str) -> Context {
    let of = |label: &str, target: &str, step: &str, repeat| Context {
        experiment: String::new(),
        target: target.to_owned(),
        label: label.to_owned(),
        step: step.to_owned(),
        repeat,
    };
    let words: Vec<&str> = tag.splitn(3, '-').collect();
    let [label, target, rest] = words.as_slice() else { return of("A", UNNAMED, tag, 1) };
    let is_label = label.len() == 1 && label.bytes().all(|b| b.is_ascii_uppercase());
    if !is_label || rest.is_empty() {
        return of("A", UNNAMED, tag, 1);
    }
    let repeat = rest.rsplit_once("-run").and_then(|(step, n)| Some((step, n.parse::<u32>().ok().filter(|n| *n > 0)?)));
    let (step, repeat) = repeat.unwrap_or((rest, 1));
    of(label, target, step, repeat.min(REPEATS_MAX))
}

/// Two targets never share a label: the second to claim one gets the next free letter.
fn unique_label(labels: &mut BTreeMap<String, String>, context: &Context) -> String {
    let known = labels.iter().find(|(_, target)| **target == context.target).map(|(label, _)| label.clone());
    known.unwrap_or_else(|| {
        let letters = ('A'..='Z').map(String::from).chain((0..).map(|n| format!("T{n}")));
        let label = std::iter::once(context.label.clone()).chain(letters).find(|label| !labels.contains_key(label));
        let label = label.expect("the letters never end");
        labels.insert(label.clone(), context.target.clone());
        label
    })
}

/// Stands for the target of runs whose tag names none.
const UNNAMED: &str = "unnamed";
/// A tag that claims a higher repeat is not believed: points are laid out for every repeat.
const REPEATS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_the_guide_name_label_target_step_and_repeat() {
        let of = |tag: &str| {
            let context = implied(tag);
            (context.label, context.target, context.step, context.repeat)
        };
        let expected = |l: &str, t: &str, s: &str, r| (l.to_owned(), t.to_owned(), s.to_owned(), r);
        assert_eq!(of("A-axmq-qos0-256-1to10-run1"), expected("A", "axmq", "qos0-256-1to10", 1));
        assert_eq!(of("B-emqx-c1m-conn100k-idle"), expected("B", "emqx", "c1m-conn100k-idle", 1));
        assert_eq!(of("A-x-fan-run4000000000"), expected("A", "x", "fan", REPEATS_MAX));
        assert_eq!(of("mine"), expected("A", UNNAMED, "mine", 1));
        assert_eq!(of("-"), expected("A", UNNAMED, "-", 1));
    }

    #[test]
    fn equal_tags_are_repeats_and_targets_keep_their_own_label() {
        let run = |name: &str| Run::open(name);
        let mut runs = [
            run("broker-A-axmq-qos0-run1-20260101T000000Z"),
            run("broker-A-axmq-qos0-run1-20260101T010000Z"),
            run("broker-A-emqx-qos0-run1-20260101T020000Z"),
        ];
        give_contexts("runs", &mut runs);
        let found: Vec<(String, u32)> =
            runs.iter().map(|run| run.context.as_ref().unwrap()).map(|c| (c.label.clone(), c.repeat)).collect();
        assert_eq!(found, [("A".to_owned(), 1), ("A".to_owned(), 2), ("B".to_owned(), 1)]);
    }

    #[test]
    fn kinds_by_the_guides_words() {
        assert_eq!(
            ["Baseline-Idle-NoConn", "c1m-conn500k-idle", "qos0-256-1to10", "qos2-256-N2N"].map(kind),
            [StepKind::Idle, StepKind::Connections, StepKind::Throughput, StepKind::Throughput]
        );
    }
}
