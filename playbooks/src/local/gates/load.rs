//! Load tools and probers: what their own summaries, counters and events say.

use runlog::summary::GENERATOR_LAG_LIMIT_US;
use runlog::{Event, LoadSummary, Percentiles, ProbeSummary, Run, Summary, hlog, topics};

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
        match generator(process, run, summary, measure) {
            Gate { failure: remark @ Some(_), .. } if process.saturates => {
                Gate { remark, ..Gate::judged("generator", &process.name, None) }
            }
            gate => gate,
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

/// Whether the generator kept its own plan. How late it was counts in the measure phase, as far as its log tells: the tool itself judges
/// its whole run, the moment included in which all tools of the step start at once.
fn generator(process: &PlannedProcess, run: &Run, summary: &LoadSummary, measure: Option<Window>) -> Gate {
    let is_late = |lag: &Percentiles| lag.p99.is_some_and(|us| us > GENERATOR_LAG_LIMIT_US);
    let was_late = summary.publish.as_ref().is_some_and(|publish| is_late(&publish.own_lag_us));
    let measured = measure.and_then(|window| own_lag(run, window));
    // Beside the lag, what it says is that a worker was busy.
    let was_busy = summary.generator_reasons.len() > usize::from(was_late);
    let reasons = summary.generator_reasons.join("; ");
    let late_ms = summary.publish.as_ref().map_or(0.0, |publish| publish.late_max_us as f64 / 1e3);
    let whole = format!(
        "the generator could not keep its own plan: {reasons} (latest send {late_ms:.1} ms after its due time)"
    );
    let judged = |failure| Gate::judged("generator", &process.name, failure);
    match measured {
        _ if was_busy => judged(Some(whole)),
        None => judged(was_late.then_some(whole)),
        Some(lag) if is_late(&lag) => {
            let ms = lag.p99.unwrap_or_default() / 1e3;
            judged(Some(format!(
                "the generator could not keep its own plan: in the measure phase 1 % of the messages whose client was free were sent \
                 {ms:.1} ms late or later (limit {} ms)",
                GENERATOR_LAG_LIMIT_US / 1e3
            )))
        }
        Some(_) => {
            Gate { remark: was_late.then(|| format!("{reasons}, but not in the measure phase")), ..judged(None) }
        }
    }
}

/// The generator's own lag in the measure phase, us; `None` where no interval of its log lies in it.
fn own_lag(run: &Run, (begin_ns, end_ns): Window) -> Option<Percentiles> {
    let meta = run.meta.as_ref()?;
    let wall = |mono_ns: u64| (mono_ns + meta.started_wall_ns).saturating_sub(meta.started_mono_ns);
    let log = run.latency().ok()?.value;
    let measured = log.iter().filter(|interval| interval.is_within(wall(begin_ns), wall(end_ns)));
    Some(Percentiles::of_histogram(&hlog::merge(measured, Some(hlog::OWN_LAG))?, 1e-3, 0))
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

/// A subscriber that receives nothing of what others publish for it is a role that was lost: what is measured then is a broker
/// that delivers to nobody.
pub(super) fn lost_roles(written: &[Written<'_>]) -> Vec<Gate> {
    let loads: Vec<(&PlannedProcess, &Run, LoadSummary)> = written
        .iter()
        .filter_map(|(process, run)| match run.summary() {
            Ok(Some(Summary::Load(summary))) => Some((*process, *run, *summary)),
            _ => None,
        })
        .collect();
    let published = |subscriber: &Run| -> u64 {
        let heard = loads.iter().filter(|(_, publisher, _)| topics::may_hear(subscriber, publisher));
        heard.filter_map(|(.., summary)| Some(summary.publish.as_ref()?.written)).sum()
    };
    let receivers = loads.iter().filter_map(|(process, run, summary)| Some((process, run, summary.receive.as_ref()?)));
    receivers
        .filter_map(|(process, run, receive)| {
            let sent = Some(published(run)).filter(|sent| *sent > 0)?;
            let nothing = format!("received nothing, while {sent} messages were published for it");
            Some(Gate::judged("roles", &process.name, (receive.delivered == 0).then_some(nothing)))
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
    use std::path::Path;

    use runlog::clock::NS_PER_S;
    use runlog::summary::{PublishSummary, ReceiveSummary};
    use runlog::write::CounterRow;
    use runlog::{Meta, Role, RunDir};

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

    /// The verdict over a run whose first second was late and whose second one was not, or one that was busy.
    fn generator_of(measure: Option<(u64, u64)>, has_log: bool, was_busy: bool) -> Gate {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lag = Percentiles { p99: Some(17_100.0), ..Percentiles::default() };
        let publish = PublishSummary { own_lag_us: lag, ..PublishSummary::default() };
        let mut reasons = vec!["1 % were sent 17.1 ms late".to_owned()];
        reasons.extend(was_busy.then(|| "a worker used 97 % of a core".to_owned()));
        let summary = LoadSummary { publish: Some(publish), generator_reasons: reasons, ..LoadSummary::default() };
        let run = written(folder.path(), "pub", summary.clone(), serde_json::Value::Null);
        let (begun, mono_ns) =
            run.meta.as_ref().map(|meta| (meta.started_wall_ns, meta.started_mono_ns)).expect("written");
        if has_log {
            let mut log = RunDir::reopen(&run.path).and_then(|dir| dir.latency_log()).expect("writable");
            for (second, lag_ns) in [(0, 50_000_000), (1, 90_000)] {
                let mut histogram = hlog::histogram();
                histogram.record_n(lag_ns, 1_000).expect("in range");
                log.append(Some(hlog::OWN_LAG), begun + second * NS_PER_S, NS_PER_S, &histogram).expect("writable");
            }
        }
        let measure = measure.map(|(from_s, to_s)| (mono_ns + from_s * NS_PER_S, mono_ns + to_s * NS_PER_S));
        generator(&process("pub"), &Run::open(&run.path), &summary, measure)
    }

    #[test]
    fn a_generator_is_late_where_figures_are_taken_from() {
        let later = generator_of(Some((1, 2)), true, false);
        assert!(later.failure.is_none() && later.remark.is_some_and(|text| text.contains("not in the measure phase")));
        let all = generator_of(Some((0, 2)), true, false).failure.expect("half of them were late");
        assert!(all.contains("50.") && all.contains("limit 5 ms"), "{all}");
        for gate in [generator_of(None, true, false), generator_of(Some((1, 2)), false, false)] {
            assert!(gate.failure.is_some_and(|why| why.contains("17.1 ms")), "the whole run counts");
        }
        assert!(generator_of(Some((1, 2)), true, true).failure.is_some_and(|why| why.contains("97 %")));
    }

    /// A load tool's run with this summary and configuration.
    fn written(folder: &Path, name: &str, summary: LoadSummary, config: serde_json::Value) -> Run {
        let dir = RunDir::create(folder.join(name)).expect("a new directory");
        let mut meta = Meta::of_this_process("loadgen", "1", Role::Loadgen, name, None);
        meta.config = config;
        dir.write_meta(&meta).expect("writable");
        dir.write_summary(&LoadSummary { tool: "loadgen".into(), ..summary }).expect("writable");
        Run::open(dir.path())
    }

    #[test]
    fn payloads_of_which_none_is_verified_fail_where_they_are_stamped_and_are_remarked_elsewhere() {
        let verdict = |verified: u64, stamped: Option<bool>| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let run = |name, summary, config| written(folder.path(), name, summary, config);
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
    fn a_subscriber_without_messages_is_lost_only_while_somebody_publishes_for_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let topic = |topic: &str| serde_json::json!({"topics": [topic]});
        let receive = || LoadSummary { receive: Some(ReceiveSummary::default()), ..LoadSummary::default() };
        let sub = written(folder.path(), "sub", receive(), topic("bench/%i"));
        let other = written(folder.path(), "other", receive(), topic("bench/other/%i"));
        let publish = PublishSummary { written: 7, ..PublishSummary::default() };
        let publish = LoadSummary { publish: Some(publish), ..LoadSummary::default() };
        let sender = written(folder.path(), "pub", publish, topic("bench/%i"));
        let (s, o, p) = (process("sub"), process("other"), process("pub"));
        assert_eq!(lost_roles(&[(&s, &sub)]), []);
        let gates = lost_roles(&[(&s, &sub), (&o, &other), (&p, &sender)]);
        assert_eq!((gates.len(), gates[0].process.as_str()), (1, "sub"));
        assert!(gates[0].failure.as_ref().is_some_and(|why| why.contains("7 messages")), "{gates:?}");
    }
}
