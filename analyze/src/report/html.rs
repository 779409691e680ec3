//! The report as one HTML page that needs nothing else: no script, no font, no network.
//!
//! The page's structure is in the files of `html/`; here the parts are filled in. Everything that comes from data is escaped.

use super::charts::Chart;
use super::experiment::StepKind;
use super::figures::{Figure, Figures, Row, StepFigures};
use super::format::{bytes, contrast, count, estimate, number, pooled, repeats};
use super::verdict::anchor;
use super::{main_rows, picture};
use crate::stats::estimate::{INTERVAL_REPEATS_MIN, chance_apart};

/// The whole page.
pub fn page(figures: &Figures, dir: &str, siblings: &[String]) -> String {
    let siblings: Vec<String> = siblings.iter().map(|name| format!("<code>{}</code>", escape(name))).collect();
    fill(
        include_str!("html/page.html"),
        &[
            ("style", include_str!("html/style.css").trim_end()),
            ("title", &escape(&title(figures))),
            ("lead", &lead(figures)),
            ("caveats", &caveats(figures)),
            ("verdicts", &verdicts(figures)),
            ("main_table", &main_table(figures)),
            ("charts", &charts(figures)),
            ("steps", &figures.steps.iter().map(|step| step_section(figures, step)).collect::<String>()),
            ("failed", &failed_table(figures)),
            ("targets", &targets(figures)),
            ("hosts", &hosts(figures)),
            ("tools", &tools(figures)),
            ("dir", &escape(dir)),
            ("siblings", &siblings.join(" and ")),
            ("warnings", &warnings(figures)),
            ("commands", &commands(figures)),
            ("files", &files(figures)),
            ("version", &escape(runlog::version())),
        ],
    )
}

/// Replaces `{{name}}`; what is filled in is not looked at again.
fn fill(template: &str, slots: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(template.len() + slots.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("a template closes what it opens");
        page.push_str(before);
        page.push_str(slots.iter().find(|(slot, _)| *slot == name).expect("a template's slots are all filled").1);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// Text as it may stand in HTML, also in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn title(figures: &Figures) -> String {
    let names: Vec<String> = figures.targets.iter().map(|target| format!("{} {}", target.label, target.name)).collect();
    format!("{}: {}", figures.experiment, names.join(" against "))
}

fn lead(figures: &Figures) -> String {
    let words: Vec<&str> =
        [&figures.plan.title, &figures.plan.purpose].into_iter().flatten().map(String::as_str).collect();
    let targets: Vec<String> = figures
        .targets
        .iter()
        .enumerate()
        .map(|(place, target)| {
            let version = target.version.as_deref().unwrap_or("version unknown");
            format!(
                "{}<strong>{}</strong> is {} ({})",
                marker(place),
                escape(&target.label),
                escape(&target.title),
                escape(version)
            )
        })
        .collect();
    format!("{} {}. Repeats of each step: {}.", escape(&words.join(". ")), targets.join(", "), figures.repeats)
}

fn caveats(figures: &Figures) -> String {
    let mut items = Vec::new();
    let hosts = figures.manifest.hosts.len();
    if figures.manifest.is_shared_host {
        let cpus = figures.manifest.hosts[0].manifest.cpus;
        items.push(format!(
            "<strong>Broker, load generator, prober and collectors shared one machine with {cpus} CPUs.</strong> What one takes the \
             others lack: throughput and latency include that competition, and a broker that uses less CPU leaves more to its own \
             load. Figures of this kind rank; they do not state what a broker can do on hardware of its own."
        ));
    } else if hosts == 0 {
        items.push("The runs do not say on which machines they ran.".to_owned());
    }
    items.extend(match figures.repeats {
        0..2 => Some("With a single repeat nothing is known of the noise: a difference may be chance.".to_owned()),
        n if (n as usize) < INTERVAL_REPEATS_MIN => Some(format!(
            "With {} repeats there are no confidence intervals, only ranges, and they prove little: the ranges of two equal \
             brokers lie apart in one comparison out of {}.",
            count(n as usize),
            number(1.0 / chance_apart(n as usize, n as usize))
        )),
        _ => None,
    });
    items.extend(figures.plan.caveats.iter().chain(&figures.plan.notes).map(|text| escape(text)));
    list("ul", "", &items)
}

fn verdicts(figures: &Figures) -> String {
    let item = |line: &super::verdict::VerdictLine| match line.text.split_once(": ") {
        Some((subject, rest)) => {
            format!("<a href=\"#{}\">{}</a>: {}", escape(&line.anchor), escape(subject), escape(rest))
        }
        None => format!("<a href=\"#{}\">{}</a>", escape(&line.anchor), escape(&line.text)),
    };
    let items: Vec<String> = figures.verdicts.iter().map(item).collect();
    if items.is_empty() { "<p>There is nothing to compare.</p>".to_owned() } else { list("ol", "verdicts", &items) }
}

fn main_table(figures: &Figures) -> String {
    let rows = main_rows(figures);
    let mut last = "";
    let mut table_rows: Vec<Vec<String>> = Vec::new();
    for (step, row) in &rows {
        let mut cells = Vec::new();
        if step.name != last {
            last = &step.name;
            let height = rows.iter().filter(|(other, _)| other.name == step.name).count();
            let (anchor, name) = (anchor(&step.name), escape(&step.name));
            cells.push(format!("<th scope=\"rowgroup\" rowspan=\"{height}\"><a href=\"#{anchor}\">{name}</a></th>"));
        }
        cells.extend(row_cells(figures, row));
        table_rows.push(cells);
    }
    table_rows.extend(memory_row(figures));
    table("Main figures by step", &head(figures, &["Step", "Quantity"]), &table_rows)
}

fn head(figures: &Figures, first: &[&str]) -> Vec<String> {
    let mut head: Vec<String> = first.iter().map(|text| (*text).to_owned()).collect();
    head.extend(
        figures
            .targets
            .iter()
            .enumerate()
            .map(|(place, target)| format!("{}{} {}", marker(place), escape(&target.label), escape(&target.name))),
    );
    if figures.targets.len() == 2 {
        head.push(format!("{} against {}", escape(&figures.targets[0].label), escape(&figures.targets[1].label)));
    }
    head
}

/// Quantity, one cell per target, and the comparison.
fn row_cells(figures: &Figures, row: &Row) -> Vec<String> {
    let mut cells = vec![format!("<th scope=\"row\">{}, {}</th>", escape(row.metric.title()), escape(row.unit))];
    cells.extend(row.figures.iter().map(figure_cell));
    if figures.targets.len() == 2 {
        let words = row.contrast.as_ref().map_or("–".to_owned(), contrast);
        cells.push(format!("<td class=\"words\">{}</td>", escape(&words)));
    }
    cells
}

fn figure_cell(figure: &Figure) -> String {
    let voids: Vec<String> = figure.voids.iter().map(|(repeat, reason)| format!("repeat {repeat}: {reason}")).collect();
    let notes = escape(&voids.join("; "));
    match &figure.estimate {
        Some(found) => {
            let notes = if notes.is_empty() { notes } else { format!("; {notes}") };
            format!(
                "<td class=\"number\">{}<small>{}{notes}</small></td>",
                escape(&estimate(found)),
                escape(&repeats(found))
            )
        }
        None if let Some(found) = &figure.pooled => {
            let count = number(found.count as f64);
            format!(
                "<td class=\"number\">{}<small>all repeats pooled, {count} messages</small></td>",
                escape(&pooled(found))
            )
        }
        None if voids.is_empty() => {
            "<td class=\"number\"><span class=\"failed\">failed</span><small>no valid repeat</small></td>".to_owned()
        }
        None => format!("<td class=\"number\"><span class=\"failed\">none</span><small>{notes}</small></td>"),
    }
}

fn memory_row(figures: &Figures) -> Option<Vec<String>> {
    let estimates: Vec<_> = figures.memory.iter().map(|memory| memory.bytes_per_connection.as_ref()).collect();
    if estimates.iter().all(Option::is_none) {
        return None;
    }
    let mut cells = vec![
        "<th scope=\"rowgroup\"><a href=\"#memory\">all ramps</a></th>".to_owned(),
        "<th scope=\"row\">Memory per idle connection (slope), B</th>".to_owned(),
    ];
    cells.extend(estimates.iter().map(|found| match found {
        Some(found) => {
            format!("<td class=\"number\">{}<small>{}</small></td>", escape(&estimate(found)), escape(&repeats(found)))
        }
        None => "<td class=\"number\">–<small>no valid repeat</small></td>".to_owned(),
    }));
    if let [a, b] = estimates.as_slice() {
        let difference = a.zip(*b).and_then(|(a, b)| crate::stats::Contrast::between(a, b));
        cells.push(format!(
            "<td class=\"words\">{}</td>",
            escape(&difference.as_ref().map_or("–".to_owned(), contrast))
        ));
    }
    Some(cells)
}

fn charts(figures: &Figures) -> String {
    let all: String = picture::all(figures).iter().map(|(id, chart)| figure(id, chart)).collect();
    format!("<div class=\"charts\">\n{all}</div>")
}

fn figure(id: &str, chart: &Chart) -> String {
    // The picture is one image to a screen reader, described in words; its texts would be read out without order.
    let described = format!("<svg role=\"img\" aria-label=\"{}\" ", escape(&chart.alt));
    let svg = chart.svg.replacen("<svg ", &described, 1);
    fill(
        include_str!("html/figure.html"),
        &[("id", &escape(id)), ("title", &escape(&chart.title)), ("svg", &svg), ("caption", &escape(&chart.caption))],
    )
}

fn step_section(figures: &Figures, step: &StepFigures) -> String {
    let rows: Vec<Vec<String>> = step.rows.iter().map(|row| row_cells(figures, row)).collect();
    let failed: Vec<String> = step
        .failed
        .iter()
        .map(|failed| {
            let point = format!("{} {}, repeat {}", failed.label, failed.target, failed.repeat);
            format!("<span class=\"failed\">Failed: {}</span>: {}", escape(&point), escape(&failed.reasons.join("; ")))
        })
        .collect();
    let length = step.measured_s.map_or(String::new(), |s| format!(" Measure phase: {} s.", number(s)));
    let body = table(&format!("All figures of {}", step.name), &head(figures, &["Quantity"]), &rows);
    fill(
        include_str!("html/step.html"),
        &[
            ("id", &escape(&anchor(&step.name))),
            ("name", &escape(&step.name)),
            ("purpose", &format!("{}.{length}", escape(step.purpose.as_deref().unwrap_or(kind_text(step.kind))))),
            ("failed", &if failed.is_empty() { String::new() } else { list("ul", "", &failed) }),
            ("table", &body),
        ],
    )
}

fn kind_text(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Idle => "Nobody is connected",
        StepKind::Connections => "Connections that only live",
        StepKind::Latency => "Latency of probes",
        StepKind::Throughput => "Messages from publishers to subscribers",
    }
}

fn failed_table(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .steps
        .iter()
        .flat_map(|step| step.failed.iter().map(move |failed| (step, failed)))
        .map(|(step, failed)| {
            vec![
                format!("<th scope=\"row\"><a href=\"#{}\">{}</a></th>", anchor(&step.name), escape(&step.name)),
                format!("<td>{} {}</td>", escape(&failed.label), escape(&failed.target)),
                format!("<td>{}</td>", failed.repeat),
                format!("<td>{}</td>", escape(&failed.reasons.join("; "))),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "<p>None: every step against every target in every repeat passed its gates.</p>".to_owned();
    }
    let head = ["Step", "Target", "Repeat", "Reason"].map(str::to_owned);
    table("Points without figures", &head, &rows)
}

fn targets(figures: &Figures) -> String {
    let unknown = || "unknown".to_owned();
    let rows: Vec<Vec<String>> = figures
        .targets
        .iter()
        .enumerate()
        .map(|(place, target)| {
            let cell =
                |text: Option<&String>| format!("<td class=\"code\">{}</td>", escape(text.unwrap_or(&unknown())));
            vec![
                format!("<th scope=\"row\">{}{} {}</th>", marker(place), escape(&target.label), escape(&target.title)),
                cell(target.version.as_ref()),
                cell(target.exe.as_ref()),
                cell(target.sha256.as_ref()),
                format!("<td class=\"code\">{}</td>", target.argv.first().map_or(String::new(), |argv| escape(argv))),
            ]
        })
        .collect();
    table(
        "The brokers under test",
        &["Target", "Version", "Executable", "SHA-256", "Command line (of one step)"].map(str::to_owned),
        &rows,
    )
}

fn hosts(figures: &Figures) -> String {
    let of_host = |host: &super::manifest::Host| {
        let row = |name: &str, value: &str| {
            vec![format!("<th scope=\"row\">{}</th>", escape(name)), format!("<td>{}</td>", escape(value))]
        };
        let facts: Vec<Vec<String>> = host.facts().iter().map(|(name, value)| row(name, value)).collect();
        let sysctls: Vec<Vec<String>> = host.sysctls().iter().map(|(name, value)| row(name, value)).collect();
        let columns = ["Fact", "Value"].map(str::to_owned);
        let facts = table(&format!("Host {}", host.manifest.hostname), &columns, &facts);
        let all = format!(
            "Kernel settings ({} more are in the runs' metadata)",
            host.manifest.sysctls.len().saturating_sub(sysctls.len())
        );
        let settings = details(&all, &table("Kernel settings", &["Setting", "Value"].map(str::to_owned), &sysctls));
        format!("{facts}{settings}")
    };
    if figures.manifest.hosts.is_empty() {
        return "<p>The runs carry no host manifest.</p>".to_owned();
    }
    figures.manifest.hosts.iter().map(of_host).collect()
}

fn tools(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .manifest
        .tools
        .iter()
        .map(|tool| {
            vec![
                format!("<th scope=\"row\">{}</th>", escape(&tool.tool)),
                format!("<td>{}</td>", escape(&tool.version)),
                format!("<td class=\"code\">{}</td>", escape(tool.git_commit.as_deref().unwrap_or("unknown"))),
                format!("<td class=\"code\">{}</td>", escape(tool.binary_sha256.as_deref().unwrap_or("unknown"))),
            ]
        })
        .collect();
    let commit = figures.plan.commit.as_deref();
    let checkout = commit.map_or(String::new(), |commit| format!("<p>Checkout: <code>{}</code></p>", escape(commit)));
    let tools = table("Tools", &["Tool", "Version", "Commit", "SHA-256 of the executable"].map(str::to_owned), &rows);
    tools + &checkout
}

fn warnings(figures: &Figures) -> String {
    if figures.warnings.is_empty() {
        return "<p>No file was damaged.</p>".to_owned();
    }
    let items: Vec<String> = figures.warnings.iter().map(|text| escape(text)).collect();
    format!("<p>Damage and doubts found while reading:</p>{}", list("ul", "", &items))
}

fn commands(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .manifest
        .commands
        .iter()
        .map(|command| {
            vec![
                format!("<th scope=\"row\" class=\"code\">{}</th>", escape(&command.run)),
                format!("<td class=\"code\">{}</td>", escape(&command.argv)),
                format!("<td class=\"code\">{}</td>", command.seed.map_or("–".to_owned(), |seed| seed.to_string())),
            ]
        })
        .collect();
    let table = table("Command line of every run", &["Run", "Command line", "Seed"].map(str::to_owned), &rows);
    details(&format!("Command lines of {} runs", rows.len()), &table)
}

fn files(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .manifest
        .files
        .iter()
        .map(|file| {
            vec![
                format!("<th scope=\"row\" class=\"code\">{}</th>", escape(&file.path)),
                format!("<td class=\"number\">{}</td>", file.bytes),
                format!("<td class=\"code\">{}</td>", file.sha256.as_deref().unwrap_or("unreadable")),
            ]
        })
        .collect();
    let total: u64 = figures.manifest.files.iter().map(|file| file.bytes).sum();
    let table = table("Files", &["File", "Bytes", "SHA-256"].map(str::to_owned), &rows);
    details(&format!("{} files, {}", rows.len(), bytes(total)), &table)
}

fn details(summary: &str, body: &str) -> String {
    fill(include_str!("html/details.html"), &[("summary", &escape(summary)), ("body", body)])
}

/// A table whose head cells and body cells are HTML already.
fn table(caption: &str, head: &[String], rows: &[Vec<String>]) -> String {
    let head: String = head.iter().map(|cell| format!("<th scope=\"col\">{cell}</th>")).collect();
    let body: String = rows.iter().map(|cells| format!("<tr>{}</tr>\n", cells.concat())).collect();
    let caption = escape(caption);
    // A box that scrolls must be reachable without a mouse.
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table><caption>{caption}</caption>\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )
}

fn list(kind: &str, class: &str, items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{item}</li>\n")).collect();
    format!("<{kind} class=\"{class}\">\n{items}</{kind}>\n")
}

fn marker(place: usize) -> String {
    format!("<span class=\"marker t{place}\" aria-hidden=\"true\"></span>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_and_their_content_is_left_alone() {
        assert_eq!(fill("a{{x}}b{{y}}c{{x}}", &[("x", "{{y}}"), ("y", "2")]), "a{{y}}b2c{{y}}");
    }

    #[test]
    fn data_cannot_become_markup() {
        assert_eq!(escape("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
