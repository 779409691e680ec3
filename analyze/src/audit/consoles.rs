//! Console logs of emqtt_bench and `loadgen`: which flaw each [doubt](crate::console::doubts) about one is, and what follows.
//!
//! A log may stand alone, or beside runs; it belongs to no point, so nothing is compared between logs here.

use runlog::console::ConsoleRun;

use super::{Finding, Looked, Moment, Proof, Severity};
use crate::console::{Log, doubts};

/// What the logs show of one flaw.
pub(super) fn look(flaw: &str, logs: &[Log]) -> Looked {
    let forms: Vec<&Form> = FORMS.iter().filter(|form| form.flaw == flaw).collect();
    if forms.is_empty() {
        return Looked::default();
    }
    let finding = |form: &Form| Finding {
        flaw: form.flaw,
        code: form.code,
        severity: form.severity,
        title: form.title.to_owned(),
        evidence: evidence(form, logs),
        consequence: form.consequence.to_owned(),
    };
    let shows = |run: &&ConsoleRun| match flaw {
        "F8" => run.counters.contains_key("pub"),
        // A log without a gap does not say that the host never froze.
        "F19" => false,
        _ => true,
    };
    Looked::new(logs.iter().flat_map(|log| &log.runs).filter(shows).count(), forms.into_iter().map(finding))
}

fn evidence(form: &Form, logs: &[Log]) -> Vec<Proof> {
    let of_log = |log: &Log| {
        let doubts: Vec<doubts::Doubt> = log.runs.iter().flat_map(doubts::of).collect();
        let file = log.file.clone();
        doubts.into_iter().filter(|doubt| form.doubts.contains(&doubt.code)).map(move |doubt| Proof {
            file: file.clone(),
            line: Some(doubt.line),
            at: Some(Moment { run_s: doubt.at_s as f64, utc: None }),
            text: doubt.message,
        })
    };
    logs.iter().flat_map(of_log).collect()
}

/// A finding that logs give evidence for.
struct Form {
    flaw: &'static str,
    code: &'static str,
    severity: Severity,
    /// Codes of the doubts that are its evidence.
    doubts: &'static [&'static str],
    title: &'static str,
    consequence: &'static str,
}

const FORMS: [Form; 9] = [
    Form {
        flaw: "F1",
        code: "console-whole-seconds",
        severity: Severity::Low,
        doubts: &["whole-seconds"],
        title: "A console log has whole-second stamps at uneven distances",
        consequence: "Single rates of it are off by up to a factor of two, and so are its highest and lowest. Rates over \
                      many lines are not.",
    },
    Form {
        flaw: "F3",
        code: "console-clients-lost",
        severity: Severity::High,
        doubts: &["clients-lost"],
        title: "A console log tells of clients that lost their connection",
        consequence: "The rates after that are those of the clients that were left. A point with lost clients is a failed \
                      point.",
    },
    Form {
        flaw: "F4",
        code: "console-clients-missing",
        severity: Severity::High,
        doubts: &["clients-missing", "subscribers-missing", "connects-fail", "subscribes-fail"],
        title: "A console log shows fewer clients or subscribers than were asked for",
        consequence: "The point had another load than its command line says.",
    },
    Form {
        flaw: "F4",
        code: "console-receivers-silent",
        severity: Severity::High,
        doubts: &["receivers-silent"],
        title: "A console log shows that nothing more was received while the tool went on",
        consequence: "A rate over that time compares deliveries with nothing. It is a failed point, not a small number.",
    },
    Form {
        flaw: "F5",
        code: "console-rate-moves",
        severity: Severity::Medium,
        doubts: &["rate-drifts", "rate-falls"],
        title: "The rate in a console log falls, or has a trend",
        consequence: "One figure for it depends on where the window lies; it is not a sustained rate.",
    },
    Form {
        flaw: "F6",
        code: "console-delivery-collapse",
        severity: Severity::High,
        doubts: &["delivery-collapses"],
        title: "The receive rate in a console log collapses and does not come back",
        consequence: "The rate before the collapse is not one that the broker can keep, unless the senders were stopped one \
                      after the other.",
    },
    Form {
        flaw: "F8",
        code: "console-offered-less",
        severity: Severity::High,
        doubts: &["offered-less", "overrun", "publishes-fail", "sending-collapses", "counter-stops"],
        title: "A console log shows that publishers sent less, or later, than was asked of them",
        consequence: "Publishers that wait for the broker offer what it takes: the load differs between targets, and latency \
                      leaves out the waiting.",
    },
    Form {
        flaw: "F8",
        code: "console-counts-doubtful",
        severity: Severity::Medium,
        doubts: &["pub-counted-twice", "total-fell"],
        title: "A console log counts otherwise than messages were sent",
        consequence: "Rates of that counter are not those of messages; take what receivers or the broker count.",
    },
    Form {
        flaw: "F19",
        code: "console-gap",
        severity: Severity::Medium,
        doubts: &["pause"],
        title: "A console log has a gap",
        consequence: "The load tool, its host or its terminal stood still, or nothing moved: the load was not that of the plan.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::DETECTORS;

    #[test]
    fn every_form_belongs_to_a_flaw_and_every_doubt_to_one_form() {
        assert!(FORMS.iter().all(|form| DETECTORS.iter().any(|detector| detector.flaw == form.flaw)));
        let mut doubts: Vec<&str> = FORMS.iter().flat_map(|form| form.doubts).copied().collect();
        let count = doubts.len();
        doubts.sort_unstable();
        doubts.dedup();
        assert_eq!(doubts.len(), count);
    }
}
