//! Load tools and probers: what their own summaries, counters and events say.

use runlog::{Event, LoadSummary, ProbeSummary, Run, Summary};

use super::{Gate, Window, Written};
use crate::plan::PlannedProcess;

/// What a load tool's own summary, counters and events say.
pub(super) fn judge(process: &PlannedProcess, run: &Run, measure: Option<Window>) -> Vec<Gate> {
    match run.summary() {
        Ok(Some(Summary::Load(summary))) => judge_load(process, run, &summary, measure),
        Ok(Some(Summary::Probe(summary))) => judge_probe(process, &summary),
        Ok(Some(Summary::Collect(_) | Summary::Other(_))) => {
            let reason = format!("{} was written by another tool", run.summary_path().display());
            vec![Gate::failed("summary", &process.name, reason)]
        }
        Ok(None) => vec![Gate::failed("summary", &process.name, format!("no {}", run.summary_path().display()))],
        Err(error) => vec![Gate::failed("summary", &process.name, error.to_string())],
    }
}

fn judge_load(process: &PlannedProcess, run: &Run, summary: &LoadSummary, measure: Option<Window>) -> Vec<Gate> {
    let reasons = if summary.failures.is_empty() { "it gives no reason".into() } else { summary.failures.join("; ") };
    let mut gates = vec![
        Gate::judged("summary", &process.name, (!summary.ok).then_some(reasons)),
        match generator_failure(summary) {
            remark @ Some(_) if process.saturates => Gate { remark, ..Gate::judged("generator", &process.name, None) },
            failure => Gate::judged("generator", &process.name, failure),
        },
        Gate::judged("payload", &process.name, damage(run, summary)),
    ];
    if let Some(asked) = process.connections {
        gates.push(Gate::judged(
            "role-count",
            &process.name,
            role_count_failure(process, run, summary, asked, measure),
        ));
    }
    gates
}

fn generator_failure(summary: &LoadSummary) -> Option<String> {
    let late_ms = summary.publish.as_ref().map_or(0.0, |publish| publish.late_max_us as f64 / 1e3);
    let text = format!("the generator could not keep its own plan (latest send {late_ms:.1} ms after its due time)");
    summary.generator_limited.then_some(text)
}

/// Bytes that were not what a broker may send: damaged payloads, and what is no MQTT. The tool keeps the bytes.
fn damage(run: &Run, summary: &LoadSummary) -> Option<String> {
    let corrupted = summary.receive.as_ref().map_or(0, |receive| receive.corrupted);
    let events = run.events().map(|events| events.value).unwrap_or_default();
    let kept: Vec<&Event> = events.iter().filter(|event| event.name == EVIDENCE).collect();
    let first = kept.first().map(|event| format!("; first evidence: {}", event.detail)).unwrap_or_default();
    (corrupted > 0 || !kept.is_empty())
        .then(|| format!("{corrupted} payloads were damaged, {} packets kept as evidence{first}", kept.len()))
}

/// All clients that were asked for connect, and none is missing at any moment of the measure phase: minimum and maximum
/// of the gauge, never its median.
fn role_count_failure(
    process: &PlannedProcess,
    run: &Run,
    summary: &LoadSummary,
    asked: u64,
    measure: Option<Window>,
) -> Option<String> {
    let succeeded = summary.connect.succeeded;
    if succeeded != asked {
        let reasons: Vec<String> =
            summary.connect.by_reason.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
        return Some(format!("{succeeded} of {asked} clients connected ({})", reasons.join(", ")));
    }
    let (begin, end) = measure?;
    let end = process.stop_ms.map_or(end, |after_ms| end.min(begin + after_ms * NS_PER_MS));
    let rows = match run.counters() {
        Ok(loaded) => loaded.value,
        Err(error) => return Some(error.to_string()),
    };
    let gauges = rows.iter().filter(|row| (begin..=end).contains(&row.mono_ns)).map(|row| row.connected);
    let (least, most) = gauges.fold((u64::MAX, 0), |(least, most), gauge| (least.min(gauge), most.max(gauge)));
    match (least, most) {
        (u64::MAX, _) => Some("no counter was written during the measure phase".into()),
        _ if least == asked && most == asked => None,
        _ => Some(format!("between {least} and {most} of {asked} clients were connected during the measure phase")),
    }
}

fn judge_probe(process: &PlannedProcess, summary: &ProbeSummary) -> Vec<Gate> {
    let failure = (!summary.ok).then(|| {
        let counts = format!("{} of {} probes arrived", summary.received, summary.sent);
        if summary.failures.is_empty() { counts } else { format!("{counts}; {}", summary.failures.join("; ")) }
    });
    let corrupted = summary.corrupted;
    vec![
        Gate::judged("summary", &process.name, failure),
        Gate::judged("prober", &process.name, disturbance(summary)),
        Gate::judged("payload", &process.name, (corrupted > 0).then(|| format!("{corrupted} payloads were damaged"))),
    ]
}

/// A prober that sends late charges the delay to the broker. At the median and at p95 its own delay must be the smaller part
/// of what it measures.
fn disturbance(summary: &ProbeSummary) -> Option<String> {
    let (own, whole) = (&summary.send_lag_us, &summary.latency_us);
    let judged = ["p50", "p95"].into_iter().filter_map(|name| Some((name, own.get(name)?, whole.get(name)?)));
    let mut disturbed = judged.filter(|(_, own, whole)| *own > OWN_DELAY_SHARE_MAX * whole);
    disturbed.next().map(|(name, own, whole)| {
        format!("the prober itself was late: {own:.0} us of the {whole:.0} us at {name} are its own delay in sending")
    })
}

/// Of payloads that arrive, some must be verified: a receiver that recognises none of them checks nothing, and does not know
/// whether all were damaged. Where the publishers' payloads cannot be verified, that is a remark.
pub(super) fn unverified(written: &[Written<'_>]) -> Option<Gate> {
    let (mut delivered, mut verified, mut receiver) = (0, 0, None);
    let (mut senders, mut stamped) = (0, 0);
    for (process, run) in written {
        let Ok(Some(Summary::Load(summary))) = run.summary() else { continue };
        if let Some(receive) = summary.receive.as_ref().filter(|receive| receive.delivered > 0) {
            delivered += receive.delivered;
            verified += receive.verified;
            receiver = receiver.or(Some(process.name.as_str()));
        }
        if summary.publish.as_ref().is_some_and(|publish| publish.written > 0) {
            let config = run.meta.as_ref().map(|meta| &meta.config);
            let is_stamped = config.is_some_and(|config| config["payload_stamped"] == true);
            senders += 1;
            stamped += u32::from(is_stamped);
        }
    }
    let receiver = receiver.filter(|_| verified == 0 && senders > 0)?;
    Some(if stamped == senders {
        let reason = format!(
            "not one of {delivered} payloads is what its publisher wrote, and all publishers stamp theirs: every one was \
             damaged, or they are another publisher's"
        );
        Gate::failed("payload", receiver, reason)
    } else {
        let text = format!(
            "not one of {delivered} payloads could be verified, as publishers sent some without a stamp (a text of the \
             user's, or less than 16 bytes): only the smoke test has looked at payloads"
        );
        Gate { remark: Some(text), ..Gate::judged("payload", receiver, None) }
    })
}

/// A subscriber that receives nothing while others publish is a role that was lost: what is measured then is a broker that
/// delivers to nobody.
pub(super) fn lost_roles(written: &[Written<'_>]) -> Vec<Gate> {
    let loads: Vec<(&PlannedProcess, LoadSummary)> = written
        .iter()
        .filter_map(|(process, run)| match run.summary() {
            Ok(Some(Summary::Load(summary))) => Some((*process, *summary)),
            _ => None,
        })
        .collect();
    let sent: u64 = loads.iter().filter_map(|(_, summary)| Some(summary.publish.as_ref()?.written)).sum();
    let receivers = loads.iter().filter_map(|(process, summary)| Some((process, summary.receive.as_ref()?)));
    receivers
        .filter(|_| sent > 0)
        .map(|(process, receive)| {
            let nothing = format!("received nothing, while {sent} messages were published");
            Gate::judged("roles", &process.name, (receive.delivered == 0).then_some(nothing))
        })
        .collect()
}

/// The event that loadgen writes for bytes that it kept.
const EVIDENCE: &str = "evidence";

/// Half: beyond it the figure says more of the prober than of the broker.
const OWN_DELAY_SHARE_MAX: f64 = 0.5;

const NS_PER_MS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use runlog::summary::{PublishSummary, ReceiveSummary};
    use runlog::write::CounterRow;
    use runlog::{Meta, Percentiles, Role, RunDir};

    use super::*;
    use crate::local::gates::tests::process;

    /// The role-count gate over a run of 10 clients whose gauge had these values at 1, 2, 3, ... ns.
    fn role_count(succeeded: u64, gauges: &[u64], measure: Option<(u64, u64)>) -> Option<String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = RunDir::create(folder.path().join("run")).expect("a new directory");
        let mut counters = dir.counters_writer().expect("writable");
        for (mono_ns, connected) in (1..).zip(gauges.iter().copied()) {
            counters.append(&CounterRow { mono_ns, connected, ..CounterRow::default() }).expect("writable");
        }
        let mut summary = LoadSummary::default();
        summary.connect.succeeded = succeeded;
        summary.connect.by_reason = [("ECONNREFUSED".to_owned(), 10 - succeeded.min(10))].into();
        role_count_failure(&process("conn"), &Run::open(dir.path()), &summary, 10, measure)
    }

    #[test]
    fn role_count_looks_at_every_moment_of_the_measure_phase_and_at_no_other() {
        assert_eq!(role_count(10, &[3, 10, 10, 10, 0], Some((2, 4))), None);
        let dip = role_count(10, &[10, 10, 9, 10, 10], Some((2, 4))).expect("a client was missing");
        assert_eq!(dip, "between 9 and 10 of 10 clients were connected during the measure phase");
        let more = role_count(10, &[10, 11, 10], Some((1, 3))).expect("one too many");
        assert!(more.contains("between 10 and 11"), "{more}");
    }

    #[test]
    fn role_count_wants_every_client_and_a_witness() {
        let refused = role_count(7, &[7, 7], Some((1, 2))).expect("three are missing");
        assert_eq!(refused, "7 of 10 clients connected (ECONNREFUSED: 3)");
        let unseen = role_count(10, &[10], Some((5, 9))).expect("nobody looked");
        assert!(unseen.contains("no counter"), "{unseen}");
    }

    #[test]
    fn a_prober_that_is_late_itself_is_disturbed() {
        let latency = |p50, p95| Percentiles { p50: Some(p50), p95: Some(p95), ..Percentiles::default() };
        let probed = |own, whole| ProbeSummary { send_lag_us: own, latency_us: whole, ..ProbeSummary::default() };
        assert_eq!(disturbance(&probed(latency(0.1, 40.0), latency(22.0, 81.0))), None);
        let late = disturbance(&probed(latency(0.1, 900.0), latency(22.0, 1_000.0))).expect("p95 is the prober's");
        assert!(late.contains("900 us of the 1000 us at p95"), "{late}");
        assert_eq!(disturbance(&probed(latency(0.1, 40.0), latency(22.0, f64::INFINITY))), None);
        assert_eq!(disturbance(&ProbeSummary::default()), None, "too few probes say nothing");
    }

    #[test]
    fn payloads_of_which_none_is_verified_fail_where_they_are_stamped_and_are_remarked_elsewhere() {
        let verdict = |verified: u64, stamped: Option<bool>| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let run = |name: &str, summary: LoadSummary, config: serde_json::Value| {
                let dir = RunDir::create(folder.path().join(name)).expect("a new directory");
                let mut meta = Meta::of_this_process("loadgen", "1", Role::Loadgen, name, None);
                meta.config = config;
                dir.write_meta(&meta).expect("writable");
                dir.write_summary(&LoadSummary { tool: "loadgen".into(), ..summary }).expect("writable");
                Run::open(dir.path())
            };
            let receive = ReceiveSummary { delivered: 9, verified, ..ReceiveSummary::default() };
            let publish = PublishSummary { written: 9, ..PublishSummary::default() };
            let sub = LoadSummary { receive: Some(receive), ..LoadSummary::default() };
            let sub = run("sub", sub, serde_json::Value::Null);
            let sender = LoadSummary { publish: Some(publish), ..LoadSummary::default() };
            let sender = run("pub", sender, serde_json::json!({"payload_stamped": stamped}));
            let (s, p) = (process("sub"), process("pub"));
            unverified(&[(&s, &sub), (&p, &sender)])
        };
        assert_eq!(verdict(1, Some(true)), None);
        let failed = verdict(0, Some(true)).expect("nothing was verified");
        assert!(failed.failure.is_some_and(|why| why.contains("not one of 9")) && failed.process == "sub");
        for stamped in [Some(false), None] {
            let remarked = verdict(0, stamped).expect("nothing was verified");
            assert!(remarked.failure.is_none() && remarked.remark.is_some(), "{stamped:?}");
        }
    }

    #[test]
    fn a_subscriber_without_messages_is_lost_only_while_somebody_publishes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = |name: &str, summary: LoadSummary| {
            let dir = RunDir::create(folder.path().join(name)).expect("a new directory");
            let summary = LoadSummary { tool: "loadgen".into(), ..summary };
            dir.write_summary(&summary).expect("writable");
            Run::open(dir.path())
        };
        let receive = ReceiveSummary::default();
        let sub = run("sub", LoadSummary { receive: Some(receive), ..LoadSummary::default() });
        let publish = PublishSummary { written: 7, ..PublishSummary::default() };
        let sender = run("pub", LoadSummary { publish: Some(publish), ..LoadSummary::default() });
        let (s, p) = (process("sub"), process("pub"));
        assert_eq!(lost_roles(&[(&s, &sub)]), []);
        let gates = lost_roles(&[(&s, &sub), (&p, &sender)]);
        assert_eq!((gates.len(), gates[0].process.as_str()), (1, "sub"));
        assert!(gates[0].failure.as_ref().is_some_and(|why| why.contains("7 messages")), "{gates:?}");
    }
}
