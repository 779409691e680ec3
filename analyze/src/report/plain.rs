//! Runs that no playbook started: the guide's trees, and our own tools run by hand.
//!
//! Such a run has no context, only a tag ([`crate::tag`]); one of another form than the guide's is a step of its own. Nobody marked phases and nobody judged gates, so the window is the part with
//! load, and the gates are those that samples allow: see [`super::measure`].

use std::collections::{BTreeMap, BTreeSet};

use runlog::{Context, Run};

use super::experiment::StepKind;
use crate::tag::Tag;

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
        // Subscribers and publishers of one repeat may carry the same tag.
        let mode = run.meta.as_ref().and_then(|meta| Some(meta.config.get("mode")?.as_str()?.to_owned()));
        let key = |context: &Context| (run.role, run.tag.clone(), mode.clone(), context.label.clone(), context.repeat);
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
    let tag = Tag::parse(tag).unwrap_or(Tag { label: "A", target: UNNAMED, step: tag, repeat: 1 });
    Context {
        experiment: String::new(),
        target: tag.target.to_owned(),
        label: tag.label.to_owned(),
        step: tag.step.to_owned(),
        repeat: tag.repeat,
        ..Context::default()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_another_form_is_a_step_of_an_unnamed_target() {
        for tag in ["mine", "-", "A-x"] {
            let context = implied(tag);
            assert_eq!((&*context.label, &*context.target, &*context.step, context.repeat), ("A", UNNAMED, tag, 1));
        }
        assert_eq!(implied("B-emqx-fan-run3").step, "fan");
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
