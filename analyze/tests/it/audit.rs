//! The audit: what it finds in the published runs, one flaw at a time in runs of a model, and nothing in clean ones.

use std::fs;
use std::path::Path;

use analyze::audit::{self, Audit};
use analyze::claims::{ClaimsFile, Evidence};
use runlog::summary::{ConnectSummary, DisconnectSummary, PublishSummary, ReceiveSummary};
use runlog::{LoadSummary, Percentiles, ProbeSummary, Role, Run};

use crate::model::{self, Host, pair, tool_run};
use crate::support::{analyze, expect_file, published, stderr, stdout};
use crate::tree;

#[test]
fn findings_of_the_published_runs() {
    let Some(published) = published() else { return };
    let text = stdout(&analyze([Path::new("audit"), &published]));
    expect_file("audit-axmq.md", &text.replace(&format!("{}/", published.display()), ""));
}

#[test]
fn console_logs_are_evidence_with_file_and_line() {
    let home = tempfile::tempdir().unwrap();
    let mut log = "$ emqtt_bench sub -c 40 -t x\nStart with 2 workers, addrs pool size: 1\n".to_owned();
    log += "2s connect_succ total=40 rate=20.00/sec\n2s sub total=38 rate=19.00/sec\n2s connect_fail total=1 rate=1.00/sec\n";
    let mut total = 0;
    for second in 3..90 {
        total += if second < 40 { 5_000 } else { 12 };
        log += &format!("{second}s recv total={total} rate=1.00/sec\n");
    }
    log += "client(9): EXIT for {shutdown,tcp_closed}\n91s recv total=\n";
    let file = home.path().join("a.log");
    fs::write(&file, log).unwrap();
    // A directory that holds no run but a log, and the log itself.
    for place in [home.path(), &file] {
        let output = analyze([Path::new("audit"), place]);
        let text = stdout(&output);
        for (code, evidence) in [
            ("F3 console-clients-lost (high)", "a.log:93`, at 89 s: 1 such lines, the first after 1:29: client(9)"),
            ("F4 console-clients-missing (high)", "a.log:4`, at 2 s: 38 subscriptions were granted"),
            ("F4 console-clients-missing (high)", "a.log:5`, at 2 s: connect_fail counts 1, first at 0:02"),
            ("F6 console-delivery-collapse (high)", "recv falls from 5,000/s (its best) to 12"),
        ] {
            assert!(text.contains(code) && text.contains(evidence), "{code} {evidence} is missing from {text}");
        }
        assert!(stderr(&output).contains("a.log:94:"), "{}", stderr(&output));
    }
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&analyze([Path::new("audit"), &file, Path::new("--format=json")]))).unwrap();
    let lost = json["findings"].as_array().unwrap().iter().find(|f| f["code"] == "console-clients-lost").unwrap();
    assert_eq!(lost["evidence"][0]["line"], 93);
    let output = analyze([Path::new("audit"), &home.path().join("absent.log")]);
    assert!(!output.status.success() && stderr(&output).contains("absent.log"), "{}", stderr(&output));
}

#[test]
fn what_the_published_runs_must_show() {
    let Some(published) = published() else { return };
    let audit = audit::run(&model::discover(&published));
    for (code, file, text) in [
        ("whole-second-stamps", "qos0-256-1to10-run1-20251230T135910Z", "+8.7 %"),
        ("whole-second-stamps", "B-emqx-qos0-256-N2N", "+15.8 %"),
        ("window-sensitive", "A-axmq-qos0-256-N2N", "53.0 by tail60, 92.7 by rows60"),
        ("rule-mix", "A-axmq-qos0-256-N2N", "printed 94.4 MiB/s; tail60 as stated gives 54.2, rows60 gives 94.4"),
        (
            "connections-lost",
            "A-axmq-qos0-256-1to10",
            "4,010 connections until 276 s, 3,327 from 277 s, 1,804 at the end",
        ),
        ("connections-lost", "A-axmq-qos0-256-N2N", "6,147 at the end"),
        ("only-acknowledgements", "B-emqx-qos0-256-1to10", "packets sent have 66 B"),
        (
            "clients-missing",
            "B-emqx-qos0-256-1to10",
            "never more than 4,000 connections, axmq qos0-256-1to10 had 4,010",
        ),
        ("memory-grows", "A-axmq-qos0-256-1to10", "+47.6 MiB/s"),
        ("delivery-collapse", "A-axmq-qos0-1024-1to10", "sent fell from 959 to 7.8 MiB/s"),
        ("collapse-at-memory-limit", "A-axmq-qos0-1024-1to10", "98.8 % of the broker's own limit"),
        ("run-not-published", "A-axmq-qos0-1024-1to10", "no figure"),
        ("period-stretched", "A-axmq-c1m-conn500k", "2.55 s instead of 1.00 s"),
        ("period-stretched", "B-emqx-c1m-conn1000k", "4.44 s instead of 1.00 s"),
        (
            "sysctl-not-as-documented",
            "meta.txt",
            "net.ipv4.tcp_wmem = 4096 4194304 16777216, documented 4096 4096 16777216",
        ),
        ("role-missing", "A-axmq-qos0-256-1to10", "no run of the load's host"),
        ("role-missing", "AXMQ", "no run of a prober"),
        ("single-run", "B-emqx-qos0-256-N2N", "1 run"),
        ("packets-are-buffers", "A-axmq-qos0-256-1to10", "TCP segments each"),
        ("curves-cross", "AXMQ", "p99: axmq 33981, emqx 17073 us"),
        ("idle-traffic-differs", "A-axmq-c1m-conn1000k", "16,220 packets/s"),
    ] {
        let finding = audit.findings.iter().filter(|finding| finding.code == code);
        let proofs: Vec<_> = finding.flat_map(|finding| &finding.evidence).collect();
        let is_there = proofs.iter().any(|proof| proof.file.contains(file) && proof.text.contains(text));
        assert!(is_there, "{code} of {file} with {text:?} is missing; found {proofs:#?}");
    }
    assert!(!codes(&audit).contains(&"sysctl-differs"), "both targets ran with the same settings");
}

#[test]
fn order_of_directories_changes_nothing() {
    let Some(published) = published() else { return };
    let forward = analyze([Path::new("audit"), &published.join("runs"), &published.join("runs1")]);
    let backward = analyze([Path::new("audit"), &published.join("runs1"), &published.join("runs")]);
    assert_eq!(stdout(&forward), stdout(&backward));
}

/// Each flaw shows where it is, and only there.
#[test]
fn one_flaw_at_a_time() {
    type Change = fn(&mut Host);
    let cases: [(&str, Change); 19] = [
        ("whole-second-stamps", |host| host.period_s = 1.1),
        ("bias-differs", |host| host.period_s = if is_b(host) { 1.1 } else { 1.0 }),
        ("window-sensitive", |host| host.messages_per_s = |s| if s < 255.0 { [50e3; 2] } else { [20e3; 2] }),
        ("connections-lost", |host| host.connections = |s| if s < 270.0 { 5e3 } else { 2e3 }),
        ("only-acknowledgements", |host| host.packet_bytes = |s| if s < 100.0 { [300.0; 2] } else { [300.0, 66.0] }),
        ("clients-missing", |host| {
            if is_b(host) {
                host.connections = |_| 4_990.0;
            }
        }),
        ("memory-grows", |host| host.rss_mib = |s| 100.0 + 10.0 * s),
        ("memory-drifts", |host| host.rss_mib = |s| 500.0 + 0.3 * s),
        ("delivery-collapse", |host| host.messages_per_s = |s| if s < 200.0 { [50e3; 2] } else { [50e3, 1e3] }),
        ("collapse-at-memory-limit", |host| {
            host.messages_per_s = |s| if s < 200.0 { [50e3; 2] } else { [50e3, 1e3] };
            host.rss_mib = |s| 100.0 + 20.0 * s.min(200.0);
        }),
        ("sysctl-differs", |host| {
            if is_b(host) {
                host.sysctls = "net.core.somaxconn = 128\n";
            }
        }),
        ("single-run", |host| {
            if !host.tag.ends_with("run1") {
                host.samples = 0;
            }
        }),
        ("few-repeats", |host| {
            if host.tag.ends_with("run3") {
                host.samples = 0;
            }
        }),
        ("targets-apart", |host| host.begin_s += if is_b(host) { 7200 } else { 0 }),
        ("period-stretched", |host| {
            if is_b(host) {
                host.period_s = 2.0;
            }
        }),
        ("packets-are-buffers", |host| host.packet_bytes = |_| [300.0, 3000.0]),
        ("sampling-gap", |host| host.gap_s = 30.0),
        ("rate-drifts", |host| host.messages_per_s = |s| [50e3, 50e3 + 60.0 * s]),
        ("ramp-in-run", |host| host.connections = |s| (s * 100.0).min(5e3)),
    ];
    let clean = audit_of(&pair(|_| {}).1, &[]);
    let base = codes(&clean);
    assert_eq!(base, ["bytes-only", "no-cpu", "role-missing", "no-kernel-memory"], "all that this format lacks");
    for (code, change) in cases {
        let audit = audit_of(&pair(change).1, &[]);
        assert!(codes(&audit).contains(&code), "{code} was not found: {:?}", codes(&audit));
    }
}

#[test]
fn idle_connections() {
    let idle = |host: &mut Host| {
        host.packet_bytes = |_| [66.0; 2];
        host.messages_per_s = |_| [50.0; 2];
        host.connections = |_| 20e3;
    };
    let quiet = audit_of(&pair(idle).1, &[]);
    assert_eq!(codes(&quiet), ["no-cpu", "role-missing", "no-kernel-memory", "no-connect-figures"]);
    let one_is_busy = pair(|host| {
        idle(host);
        if is_b(host) {
            host.messages_per_s = |_| [5e3; 2];
        }
    });
    assert!(codes(&audit_of(&one_is_busy.1, &[])).contains(&"idle-traffic-differs"));
}

/// What the publisher says is compared with what the runs show.
#[test]
fn declared_and_published_figures() {
    let file = |rest: &str| {
        let head = "title = \"t\"\ndocument = \"doc\"\n[[declared]]\ntags = [\"*-load-*\"]\nsection = \"1\"\n";
        ClaimsFile::parse("f", &format!("{head}{rest}")).unwrap()
    };
    let claim = |id: &str, expression: &str, value: &str| {
        format!(
            "[[claim]]\nid = \"{id}\"\ntext = \"x\"\nsection = \"2\"\nunit = \"u\"\nrule = \"tail60\"\nexpression = '{expression}'\nvalue = {value}\n"
        )
    };
    let (_home, runs) = pair(|_| {});
    let all_used = claim("all", "estab{}", "5000");
    let honest = "sysctls = { \"net.core.somaxconn\" = \"4096\" }\nconnections = 5000\ninterval_s = 1.0\n\
                  offered_per_s = 45000.0\npayload_bytes = 200\n";
    let base = codes_of(&runs, &[file(&format!("{honest}{all_used}"))]);
    assert_eq!(base, ["bytes-only", "no-cpu", "role-missing", "no-kernel-memory"]);
    for (code, declared) in [
        ("run-not-published", String::new()),
        ("clients-missing", format!("connections = 6000\n{all_used}")),
        ("offered-less", format!("offered_per_s = 90000.0\npayload_bytes = 200\n{all_used}")),
        ("sysctl-not-as-documented", format!("sysctls = {{ \"net.core.somaxconn\" = \"128\" }}\n{all_used}")),
        ("sysctl-undocumented", format!("sysctls = {{ \"vm.swappiness\" = \"1\" }}\n{all_used}")),
        ("sysctl-not-recorded", format!("sysctls = {{ \"vm.swappiness\" = \"1\" }}\n{all_used}")),
        ("period-stretched", format!("interval_s = 0.5\n{all_used}")),
        (
            "curves-cross",
            [("a", "one", "p95", "1"), ("b", "one", "p99", "9"), ("c", "two", "p95", "4"), ("d", "two", "p99", "4")]
                .map(|(id, target, p, value)| claim(id, &format!("latency_{p}_us{{target=\"{target}\"}}"), value))
                .concat(),
        ),
    ] {
        let found = codes_of(&runs, &[file(&declared)]);
        assert!(found.contains(&code.to_owned()), "{code} was not found: {found:?}");
    }
    // Only one of the published rules gives the printed figure, and not the stated one.
    let (_changing, runs) = pair(|host| host.messages_per_s = |s| if s < 255.0 { [50e3; 2] } else { [20e3; 2] });
    let found = codes_of(&runs, &[file(&claim("a", "rx_pps{tag=\"A-one-load-run1\"}", "33333"))]);
    assert!(!found.contains(&"rule-mix".to_owned()), "no rule gives this figure: {found:?}");
    let by_trim = audit_value(&runs, "rx_pps{tag=\"A-one-load-run1\"}", analyze::claims::Rule::Trim20To90);
    let found = codes_of(&runs, &[file(&claim("a", "rx_pps{tag=\"A-one-load-run1\"}", &format!("{by_trim:.0}")))]);
    assert!(found.contains(&"rule-mix".to_owned()), "{found:?}");
}

#[test]
fn what_load_tools_and_probers_say() {
    let good = LoadSummary {
        tool: "loadgen".to_owned(),
        mode: "pub".to_owned(),
        ok: true,
        clients: 10,
        connect: ConnectSummary { attempted: 10, succeeded: 10, ..ConnectSummary::default() },
        publish: Some(PublishSummary { offered: 1000, written: 1000, acked: 1000, ..PublishSummary::default() }),
        receive: Some(ReceiveSummary { delivered: 1000, ..ReceiveSummary::default() }),
        ..LoadSummary::default()
    };
    type Change = fn(&mut LoadSummary);
    let cases: [(&str, Change); 7] = [
        ("messages-lost", |s| s.receive.as_mut().unwrap().lost = 3),
        ("acks-missing", |s| s.publish.as_mut().unwrap().acked = 900),
        ("connections-lost", |s| {
            s.disconnected = DisconnectSummary { total: 2, by_reason: [("ECONNRESET".to_owned(), 2)].into() };
        }),
        ("clients-missing", |s| s.connect.succeeded = 9),
        ("payload-corrupted", |s| s.receive.as_mut().unwrap().corrupted = 1),
        ("offered-less", |s| s.publish.as_mut().unwrap().written = 900),
        ("generator-saturated", |s| s.generator_limited = true),
    ];
    assert_eq!(codes_of(&tool_run(Role::Loadgen, "loadgen", &good).1, &[]), [""; 0]);
    for (code, change) in cases {
        let mut summary = good.clone();
        change(&mut summary);
        let found = codes_of(&tool_run(Role::Loadgen, "loadgen", &summary).1, &[]);
        assert!(found.contains(&code.to_owned()), "{code} was not found: {found:?}");
    }
    let (home, _) = pair(|host| {
        if !host.tag.ends_with("run1") {
            host.samples = 0;
        }
    });
    let mut deaf = good.clone();
    deaf.receive.as_mut().unwrap().delivered = 0;
    model::add_tool_run(home.path(), Role::Loadgen, "loadgen", "A-one-load-run1", &deaf);
    assert!(codes_of(&model::discover(home.path()), &[]).contains(&"nothing-delivered".to_owned()));

    let curve = |p99: f64| Percentiles { count: 2000, p99: Some(p99), ..Percentiles::default() };
    let probe = |due: f64, sent: f64, lag: f64, lost: u64| ProbeSummary {
        tool: "prober".to_owned(),
        ok: true,
        sent: 2000,
        lost,
        latency_us: curve(due),
        uncorrected_latency_us: curve(sent),
        send_lag_us: curve(lag),
        ..ProbeSummary::default()
    };
    for (summary, expected) in [
        (probe(100.0, 95.0, 5.0, 0), &[][..]),
        (probe(500.0, 100.0, 5.0, 0), &["coordinated-omission"]),
        (probe(100.0, 95.0, 80.0, 0), &["prober-late"]),
        (probe(100.0, 95.0, 5.0, 3), &["probes-lost"]),
    ] {
        assert_eq!(codes_of(&tool_run(Role::Prober, "prober", &summary).1, &[]), expected);
    }
}

#[test]
fn a_run_of_our_own_tools_has_few_flaws() {
    let audit = audit::run(&model::discover(tree::quickstart()));
    let grave: Vec<_> = audit.findings.iter().filter(|finding| finding.severity == audit::Severity::High).collect();
    assert!(grave.is_empty(), "{grave:#?}");
    let clean: Vec<&str> = audit.clean.iter().map(|clean| clean.flaw).collect();
    for flaw in ["F1", "F2", "F3", "F4", "F6", "F7", "F8", "F9", "F11", "F12", "F13", "F15", "F16", "F21"] {
        assert!(clean.contains(&flaw), "{flaw} was not looked for or was found: {audit:#?}");
    }
}

/// What only our own collector records: the broker's processes, the canary, the load tool's threads.
#[test]
fn what_the_collector_saw() {
    let home = tempfile::tempdir().unwrap();
    let to = home.path().join("quickstart");
    ["ours-1", "mosquitto-1"].iter().for_each(|target| tree::copy_step(target, "nn-q0", &to));
    let found = || codes_of(&model::discover(home.path()), &[]);
    let clean = found();
    let broker = fs::read_dir(to.join("ours-1")).unwrap().map(|entry| entry.unwrap().path());
    let broker = broker.into_iter().find(|path| path.join("raw.csv").exists()).unwrap();
    let raw = fs::read_to_string(broker.join("raw.csv")).unwrap();
    let with = |column: &str, value: &str| {
        let at = raw.lines().next().unwrap().split(',').position(|name| name == column).unwrap();
        let changed = raw.lines().enumerate().map(|(row, line)| {
            let mut cells: Vec<&str> = line.split(',').collect();
            if row == 14 {
                cells[at] = value;
            }
            cells.join(",") + "\n"
        });
        fs::write(broker.join("raw.csv"), changed.collect::<String>()).unwrap();
        found()
    };
    for (code, column, value) in [
        ("broker-gone", "proc_count", "0"),
        ("broker-gone", "cgroup_oom_kills", "1"),
        ("canary-late", "canary_late_us_max", "1500000"),
    ] {
        assert!(!clean.contains(&code.to_owned()), "{clean:?}");
        assert!(with(column, value).contains(&code.to_owned()), "{code} was not found by {column}");
    }
    fs::write(broker.join("raw.csv"), &raw).unwrap();

    let (begin, step) = (first_stamp(&raw), 250_000_000);
    let lines = |of: &dyn Fn(u64) -> String| (0..=20).map(of).collect::<String>();
    let row =
        |tick: u64, pid: u64, name: &str| format!("{},{pid},{name},0,0,0,0,0,0,1,9,1000,2000\n", begin + tick * step);
    let processes =
        "mono_ns,pid,comm,cpu_user_us,cpu_sys_us,vol_ctxt,invol_ctxt,minflt,majflt,threads,fds,rss_kb,vsz_kb\n";
    // The helper is there when the measure phase begins, and not any more in its second half.
    let of = |tick| row(tick, 10, "broker") + &if tick < 13 { row(tick, 11, "helper") } else { String::new() };
    fs::write(broker.join("processes.csv"), processes.to_owned() + &lines(&of)).unwrap();
    let audit = audit::run(&model::discover(home.path()));
    let gone = audit.findings.iter().find(|finding| finding.code == "broker-gone").unwrap();
    assert!(gone.evidence[0].text.ends_with("1 of 2 processes of the broker ended: helper"), "{gone:#?}");
    fs::remove_file(broker.join("processes.csv")).unwrap();

    let publisher = fs::read_dir(to.join("ours-1")).unwrap().map(|entry| entry.unwrap().path());
    let publisher = publisher.into_iter().find(|path| path.to_string_lossy().contains("nn-q0-pub")).unwrap();
    let threads = |share: u64| {
        let of = |tick: u64| format!("{},7,8,worker,{},0,0,0\n", begin + tick * step, tick * 2_500 * share);
        let text = "mono_ns,pid,tid,comm,cpu_us,wait_us,vol_ctxt,invol_ctxt\n".to_owned() + &lines(&of);
        fs::write(publisher.join("threads.csv"), text).unwrap();
        found().contains(&"generator-saturated".to_owned())
    };
    assert!(!threads(60) && threads(98));
}

fn first_stamp(raw: &str) -> u64 {
    let at = raw.lines().next().unwrap().split(',').position(|name| name == "mono_ns").unwrap();
    raw.lines().nth(1).unwrap().split(',').nth(at).unwrap().parse().unwrap()
}

/// A quarter more bytes for the same messages.
#[test]
fn bytes_that_are_not_messages() {
    let home = tempfile::tempdir().unwrap();
    let to = home.path().join("quickstart");
    for (target, bytes) in [("ours-1", 1_250_000), ("mosquitto-1", 1_000_000)] {
        tree::copy_step(target, "nn-q0", &to);
        for entry in fs::read_dir(to.join(target)).unwrap() {
            let path = entry.unwrap().path().join("raw.csv");
            let Ok(raw) = fs::read_to_string(&path) else { continue };
            let at = raw.lines().next().unwrap().split(',').position(|name| name == "tx_bytes").unwrap();
            let changed = raw.lines().enumerate().map(|(row, line)| {
                let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
                if row > 0 {
                    cells[at] = (bytes * row).to_string();
                }
                cells.join(",") + "\n"
            });
            fs::write(&path, changed.collect::<String>()).unwrap();
        }
    }
    let audit = audit::run(&model::discover(home.path()));
    let finding = audit.findings.iter().find(|finding| finding.code == "bytes-are-not-messages").unwrap();
    let text = &finding.evidence[0].text;
    assert_eq!(text, "mosquitto against ours at nn-q0: -20 % in bytes sent, +0 % in messages received");
}

#[test]
fn exit_codes_and_rubbish() {
    let (home, _) = pair(|_| {});
    let audit = |more: &[&str]| {
        let arguments = [&["audit", home.path().to_str().unwrap()], more].concat();
        analyze(arguments)
    };
    assert!(audit(&[]).status.success());
    assert!(audit(&["--fail-on", "high"]).status.success());
    let failed = audit(&["--fail-on", "medium"]);
    assert!(!failed.status.success() && stderr(&failed).contains("findings of severity medium or higher"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&audit(&["--format", "json"]))).unwrap();
    assert_eq!(json["findings"][0]["flaw"], "F7");
    let csv = stdout(&audit(&["--format", "csv"]));
    assert!(
        csv.starts_with("flaw,code,severity,title,file,run_s,utc,evidence,consequence,line\nF7,bytes-only,medium,")
    );
    let missing = audit(&["--against", "/nowhere/claims.toml"]);
    assert!(!missing.status.success() && stderr(&missing).contains("cannot read /nowhere/claims.toml"));

    let run = fs::read_dir(home.path()).unwrap().next().unwrap().unwrap().path();
    fs::write(run.join("raw.csv"), b"\xff\x00rubbish").unwrap();
    let damaged = audit(&[]);
    assert!(!damaged.status.success() && stderr(&damaged).contains("raw.csv"), "{}", stderr(&damaged));
    assert!(String::from_utf8_lossy(&damaged.stdout).contains("bytes-only"), "the other runs are still looked at");
}

fn is_b(host: &Host) -> bool {
    host.tag.starts_with('B')
}

fn audit_of(runs: &[Run], published: &[ClaimsFile]) -> Audit {
    audit::examine(&Evidence::of(runs), &[], published)
}

fn audit_value(runs: &[Run], expression: &str, rule: analyze::claims::Rule) -> f64 {
    let tree = analyze::claims::expression::parse(expression).unwrap();
    Evidence::of(runs).value(&tree, rule).unwrap().value
}

fn codes(audit: &Audit) -> Vec<&str> {
    audit.findings.iter().map(|finding| finding.code).collect()
}

fn codes_of(runs: &[Run], published: &[ClaimsFile]) -> Vec<String> {
    codes(&audit_of(runs, published)).into_iter().map(str::to_owned).collect()
}
