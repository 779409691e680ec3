//! A plan for people: a runbook to follow by hand (`--format md`), and the plain commands as a script (`--format sh`).

use std::fmt::Write as _;

use crate::plan::{Phase, Plan, PlannedCheck, PlannedProcess, PlannedStep};

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
            let _ = writeln!(text, "**{}**, {}:\n", phase.name.as_str(), lasts(phase.name, phase.expected_ms));
            let starting = starting(step, phase.name);
            let starting: Vec<String> = starting.map(|process| on(&process.host) + &command(step, process)).collect();
            if !starting.is_empty() {
                let _ = writeln!(text, "```sh\n{}\n```\n", starting.join("\n"));
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
            for process in starting(step, phase.name) {
                let _ = writeln!(text, "UTC=$(date -u +%Y%m%dT%H%M%SZ)");
                let _ = writeln!(text, "{} >{} 2>&1 &", command(step, process), quoted(&process.log));
                let _ = writeln!(text, "{}=$!; started=\"$! $started\"; sleep 1", variable(&process.name));
            }
            let _ = writeln!(text, "sleep {}  # {}", phase.expected_ms as f64 / 1e3, phase.name.as_str());
        }
        text.push_str("stop_all\n");
    }
    text
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
stop_all() {
    for pid in $started; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    started=""
}
trap stop_all EXIT INT TERM
await_port() {
    tries=0
    until python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)' "$1" "$2" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { echo "nothing accepts connections on $1:$2" >&2; exit 1; }
        sleep 0.1
    done
}
"#;

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
