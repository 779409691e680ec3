//! A plan for people: a runbook to follow by hand (`--format md`), and the plain commands as a script (`--format sh`).

use std::fmt::Write as _;

use crate::plan::{Phase, Plan, PlannedCheck, PlannedPhase, PlannedProcess, PlannedStep, ProcessKind};

/// The runbook in Markdown.
pub(crate) fn markdown(plan: &Plan) -> String {
    let mut text = format!("# {}\n\n{}\n\n", plan.title, plan.purpose);
    let _ =
        writeln!(text, "About {:.0} s in {} steps. Results go to `{}`.\n", plan.expected_s, plan.steps.len(), plan.dir);
    for target in &plan.targets {
        let version = target.version.as_deref().unwrap_or("version unknown");
        let _ = writeln!(text, "- **{}**: {} ({version}), `{}`", target.label, target.title, target.exe);
    }
    for host in &plan.hosts {
        let _ = writeln!(text, "- Host `{}`: {} on `{}`", host.name, host.address, host.interface);
    }
    for (heading, lines) in [("Sources", &plan.sources), ("Mind", &plan.caveats), ("Notes", &plan.notes)] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{heading}:\n");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "- {line}");
            });
        }
    }
    text.push_str(
        "\nProcess ids are remembered in shell variables (`PID_broker`), `UTC` is the present second. Each process gets a \
         terminal of its own, or `&`.\n",
    );
    for (number, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(text, "\n## {}. {}\n\n{}\n", number + 1, step.label(), step.purpose);
        for file in &step.broker.files {
            let _ = writeln!(text, "Write `{}`:\n\n```\n{}\n```\n", file.path, file.text.trim_end());
        }
        let on = |host: &str| if plan.hosts.is_empty() { String::new() } else { format!("# on {host}\n") };
        if !step.manifest.is_empty() {
            let _ = writeln!(
                text,
                "Each must end with 0, now and after the step:\n\n```sh\n{}\n```\n",
                checks(&step.manifest)
            );
        }
        if step.broker.argv.is_empty() {
            let _ = writeln!(text, "The broker runs already, on {}.\n", step.broker.address);
        } else {
            let _ =
                writeln!(text, "Start the broker, and wait until it accepts connections on {}:\n", step.broker.address);
            let _ = writeln!(text, "```sh\n{}{}\n```\n", on(&step.broker.host), broker_command(step));
        }
        let _ = writeln!(text, "It must deliver (each ends with 0):\n\n```sh\n{}\n```\n", checks(&step.smoke));
        for phase in &step.phases {
            let starting = starting(step, phase.name).map(|process| on(&process.host) + &command(step, process));
            let starting: Vec<String> = starting.collect();
            let colon = if starting.is_empty() { "." } else { ":" };
            let _ = writeln!(text, "**{}**, {}{colon}\n", phase.name.as_str(), lasts(phase.name, phase.expected_ms));
            if !starting.is_empty() {
                let _ = writeln!(text, "```sh\n{}\n```\n", starting.join("\n"));
            }
            if phase.name == Phase::Measure {
                for (at_ms, action, name) in step.actions() {
                    let (at, signal) = (at_ms as f64 / 1e3, action.signal());
                    let _ = writeln!(text, "{at} s after its begin, send {signal} to `{name}`.\n");
                }
                for process in step.processes.iter().filter(|process| process.ends_by_itself) {
                    let _ = writeln!(text, "It lasts at least until `{}` has ended by itself.\n", process.name);
                }
            }
            if phase.name == Phase::Drain && step.senders().next().is_some() {
                let names: Vec<String> = step.senders().map(|process| format!("`{}`", process.name)).collect();
                let _ = writeln!(text, "At its begin, stop {} with SIGTERM.\n", names.join(", "));
            }
        }
        let _ = writeln!(text, "Stop everything with SIGTERM, the last started first, the broker last.");
    }
    text
}

/// The plain commands as a POSIX shell script, step after step. It judges nothing and marks no phases.
pub(crate) fn shell(plan: &Plan) -> String {
    let mut text = format!(
        "#!/bin/sh\n# {}: {}\n# The plain commands of `playbook plan`; gates and phase marks are the runner's.\nset -eu\n\n{SHELL_HELPERS}",
        plan.name, plan.title
    );
    for step in &plan.steps {
        let _ = writeln!(text, "\n# {}: {}", step.label(), step.purpose);
        let _ = writeln!(text, "mkdir -p {}", quoted(&format!("{}/logs", step.dir)));
        for (name, value) in &step.env {
            let _ = writeln!(text, "export {name}={}", quoted(value));
        }
        for file in &step.broker.files {
            let folder = file.path.rsplit_once('/').map_or(".", |(folder, _)| folder);
            let _ = writeln!(text, "mkdir -p {}", quoted(folder));
            let _ =
                writeln!(text, "cat >{} <<'END_OF_FILE'\n{}\nEND_OF_FILE", quoted(&file.path), file.text.trim_end());
        }
        if !step.manifest.is_empty() {
            let _ = writeln!(text, "{}", checks(&step.manifest));
        }
        if !step.broker.argv.is_empty() {
            let _ = writeln!(text, "{} >{} 2>&1 &", broker_command(step), quoted(&step.broker.log));
            text.push_str("PID_broker=$!; started=\"$PID_broker\"\n");
        }
        let (host, port) = step.broker.address.rsplit_once(':').unwrap_or((&step.broker.address, "1883"));
        let _ = writeln!(text, "await_port {host} {port}\n{}", checks(&step.smoke));
        for phase in &step.phases {
            let _ = writeln!(text, "echo {}", quoted(&format!("{}: {}", step.label(), phase.name.as_str())));
            for process in starting(step, phase.name) {
                let pid = variable(&process.name);
                let _ = writeln!(text, "UTC=$(date -u +%Y%m%dT%H%M%SZ)");
                let _ = writeln!(text, "{} >{} 2>&1 &", command(step, process), quoted(&process.log));
                let _ = writeln!(text, "{pid}=$!; started=\"$! $started\"");
                if process.awaits_ready {
                    let sign = if process.kind == ProcessKind::Collector { FIRST_SAMPLE } else { READY_EVENT };
                    let dir = with_variables(&process.run_dir, &[]);
                    let _ = writeln!(text, "await_ready \"${pid}\" {dir} {} {sign}", phase.limit_ms.div_ceil(1_000));
                }
            }
            match phase.name {
                Phase::Ramp => {}
                Phase::Measure => text.push_str(&measure(step, phase)),
                Phase::Settle => text.push_str(&sleep(phase.expected_ms)),
                Phase::Drain => {
                    for process in step.senders() {
                        let _ = writeln!(text, "stop \"${}\"", variable(&process.name));
                    }
                    text.push_str(&sleep(phase.expected_ms));
                }
            }
        }
        text.push_str("stop_all\n");
    }
    text
}

/// The measure phase: its time, what is done to loads in its course, and the end of those that end by themselves.
fn measure(step: &PlannedStep, phase: &PlannedPhase) -> String {
    let (mut text, mut passed_ms) = (String::new(), 0);
    for (at_ms, action, name) in step.actions() {
        text.push_str(&sleep(at_ms - passed_ms));
        passed_ms = at_ms;
        let signal = action.signal().as_str().trim_start_matches("SIG");
        let _ = writeln!(text, "kill -{signal} \"${}\"", variable(name));
    }
    text.push_str(&sleep(phase.expected_ms.saturating_sub(passed_ms)));
    for process in step.processes.iter().filter(|process| process.ends_by_itself) {
        let _ = writeln!(text, "wait \"${}\" || echo \"{} ended with $?\" >&2", variable(&process.name), process.name);
    }
    text
}

fn sleep(ms: u64) -> String {
    format!("sleep {}\n", ms as f64 / 1e3)
}

fn starting(step: &PlannedStep, phase: Phase) -> impl Iterator<Item = &PlannedProcess> {
    step.processes.iter().filter(move |process| process.start == phase)
}

fn lasts(phase: Phase, expected_ms: u64) -> String {
    match phase {
        Phase::Ramp => format!("until all clients are ready, about {} s", expected_ms as f64 / 1e3),
        _ => format!("{} s", expected_ms as f64 / 1e3),
    }
}

fn broker_command(step: &PlannedStep) -> String {
    let env = step.broker.env.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
    let words = step.broker.argv.iter().map(|word| quoted(word));
    env.chain(words).collect::<Vec<_>>().join(" ")
}

/// The commands of checks, one a line.
fn checks(checks: &[PlannedCheck]) -> String {
    let line = |check: &PlannedCheck| check.argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn command(step: &PlannedStep, process: &PlannedProcess) -> String {
    let names = step.processes.iter().map(|process| process.name.as_str()).chain(["broker"]);
    let names: Vec<&str> = names.collect();
    process.argv.iter().map(|word| with_variables(word, &names)).collect::<Vec<_>>().join(" ")
}

/// A word with what only the run can know as shell variables, within double quotes.
fn with_variables(word: &str, names: &[&str]) -> String {
    if !word.contains("${") {
        return quoted(word);
    }
    let filled = names.iter().fold(word.to_owned(), |word, name| {
        word.replace(&format!("${{PID:{name}}}"), &format!("${{{}}}", variable(name)))
    });
    format!("\"{filled}\"")
}

fn variable(process: &str) -> String {
    let name: String = process.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("PID_{name}")
}

/// A word for a POSIX shell: as it is where nothing in it is special, else within single quotes.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

const SHELL_HELPERS: &str = r#"started=""
stop() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
    left=""
    for pid in $started; do [ "$pid" = "$1" ] || left="$left $pid"; done
    started="$left"
}
stop_all() { for one in $started; do stop "$one"; done; }
trap stop_all EXIT INT TERM
await_port() {
    tries=0
    until python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)' "$1" "$2" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { echo "nothing accepts connections on $1:$2" >&2; exit 1; }
        sleep 0.1
    done
}
# await_ready PID DIRECTORY SECONDS FILE PATTERN
await_ready() {
    tries=0
    until grep -q "$5" "$2/$4" 2>/dev/null; do
        tries=$((tries + 1))
        kill -0 "$1" 2>/dev/null || { echo "it has ended, and was to write $2" >&2; exit 1; }
        [ "$tries" -lt $(($3 * 10)) ] || { echo "not ready after $3 s: $2" >&2; exit 1; }
        sleep 0.1
    done
}
"#;

/// File and pattern that show what [`crate::local::site::Watched`] looks for.
const READY_EVENT: &str = r#"events.jsonl '"name":"ready"'"#;
const FIRST_SAMPLE: &str = "raw.csv '^[0-9]'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("bench/nn/%i"), "bench/nn/%i");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$share/g/t"), "'$share/g/t'");
        assert_eq!(with_variables("${PID:collect-a}", &["collect-a"]), "\"${PID_collect_a}\"");
        assert_eq!(with_variables("x-${UTC}", &[]), "\"x-${UTC}\"");
    }
}
