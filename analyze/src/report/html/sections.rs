//! The parts of the page, each from the figures to HTML.

use super::super::experiment::StepKind;
use super::super::figures::{Figure, Figures, Row, StepFigures};
use super::super::format::{bytes, contrast, estimate, number, pooled, repeats};
use super::super::main_rows;
use super::super::text::Text;
use super::super::verdict::{VerdictLine, anchor};
use super::{both, details, escape, fill, list, paragraph, say, slug, table};
use crate::audit::{Proof, Severity};
use crate::claims::{Judged, Relation, Verdict as Judgement};
use crate::text;

/// What is compared, in one paragraph.
pub(super) fn lead(figures: &Figures) -> String {
    let words: Vec<&str> =
        [&figures.plan.title, &figures.plan.purpose].into_iter().flatten().map(String::as_str).collect();
    let targets: Vec<String> = figures
        .targets
        .iter()
        .enumerate()
        .map(|(place, target)| {
            let version = target.version.as_deref().map_or_else(|| say("version unknown", "版本未知"), escape);
            format!(
                "{}<strong>{}</strong> = {} ({version})",
                marker(place),
                escape(&target.label),
                escape(&target.title)
            )
        })
        .collect();
    let n = figures.repeats;
    let end = text!("Repeats of each step: {n}.", "每个步骤重复 {n} 次。");
    let plain = Text::pair(
        "These runs were made without a playbook: targets, steps and repeats are those of the runs' tags.",
        "这些运行不是由 playbook 启动的：被测对象、步骤与重复次数取自运行的标签。",
    );
    let plain = if figures.is_plain { both(&plain) } else { String::new() };
    format!("{} {}. {} {plain}", escape(&words.join(". ")), targets.join(", "), both(&end))
}

/// Sentences as a list, each of which begins with a link to its evidence.
pub(super) fn sentences(lines: &[VerdictLine], class: &str) -> String {
    let item = |line: &VerdictLine| {
        let link = |text: &str, colon: &str| match text.split_once(colon) {
            Some((subject, rest)) => {
                let (anchor, rest) = (slug(&line.anchor), escape(rest));
                format!("<a href=\"#{anchor}\">{}</a>{colon}{rest}", escape(subject))
            }
            None => format!("<a href=\"#{}\">{}</a>", slug(&line.anchor), escape(text)),
        };
        super::spans(&link(&line.text.en, ": "), &link(&line.text.zh, "："))
    };
    let items: Vec<String> = lines.iter().map(item).collect();
    if items.is_empty() {
        return paragraph(&Text::pair("There is nothing to compare.", "没有可比较的内容。"));
    }
    list("ol", class, &items)
}

/// What stands against the figures as a whole.
pub(super) fn caveats(figures: &Figures) -> String {
    let items: Vec<String> = super::super::caveats(figures).iter().map(both).collect();
    list("ul", "", &items)
}

/// The figures that a reader asks for first.
pub(super) fn main_table(figures: &Figures) -> String {
    let rows = main_rows(figures);
    let mut last = "";
    let mut table_rows: Vec<Vec<String>> = Vec::new();
    for (step, row) in &rows {
        let mut cells = Vec::new();
        if step.name != last {
            last = &step.name;
            let height = rows.iter().filter(|(other, _)| other.name == step.name).count();
            let (anchor, name) = (slug(&anchor(&step.name)), escape(&step.name));
            cells.push(format!("<th scope=\"rowgroup\" rowspan=\"{height}\"><a href=\"#{anchor}\">{name}</a></th>"));
        }
        cells.extend(row_cells(figures, row));
        table_rows.push(cells);
    }
    table_rows.extend(memory_row(figures));
    let head = head(figures, &[("Step", "步骤"), ("Quantity", "指标")]);
    table("main-figures", &Text::pair("Main figures by step", "各步骤的主要指标"), &head, &table_rows)
}

fn head(figures: &Figures, first: &[(&str, &str)]) -> Vec<String> {
    let mut head: Vec<String> = first.iter().map(|(en, zh)| say(en, zh)).collect();
    let target = |(place, target): (usize, &super::super::experiment::Target)| {
        format!("{}{} {}", marker(place), escape(&target.label), escape(&target.name))
    };
    head.extend(figures.targets.iter().enumerate().map(target));
    if let [a, b] = figures.targets.as_slice() {
        let (a, b) = (&a.label, &b.label);
        head.push(both(&text!("{a} against {b}", "{a} 相对 {b}")));
    }
    head
}

/// Quantity, one cell per target, and the comparison.
fn row_cells(figures: &Figures, row: &Row) -> Vec<String> {
    let mut cells = vec![row_head(&row.metric.axis())];
    cells.extend(row.figures.iter().map(figure_cell));
    if figures.targets.len() == 2 {
        let words = row.contrast.as_ref().map_or_else(|| Text::same("–"), contrast);
        cells.push(format!("<td class=\"words\">{}</td>", both(&words)));
    }
    cells
}

fn figure_cell(figure: &Figure) -> String {
    let void = |(repeat, reason): &(u32, String)| text!("repeat {repeat}: {reason}", "第 {repeat} 次：{reason}");
    let voids = Text::listed(&figure.voids.iter().map(void).collect::<Vec<_>>());
    let (value, note) = match (&figure.estimate, &figure.pooled) {
        (Some(found), _) => {
            let repeats = repeats(found);
            let note = if voids.is_empty() { repeats } else { Text::listed(&[repeats, voids]) };
            (escape(&estimate(found)), note)
        }
        (None, Some(found)) => {
            let count = number(found.count as f64);
            (escape(&pooled(found)), text!("all repeats pooled, {count} messages", "合并所有重复，{count} 条消息"))
        }
        (None, None) if voids.is_empty() => (
            format!("<span class=\"failed\">{}</span>", say("failed", "失败")),
            Text::pair("no valid repeat", "没有有效的重复"),
        ),
        (None, None) => (format!("<span class=\"failed\">{}</span>", say("none", "无")), voids),
    };
    format!("<td class=\"number\">{value}<small>{}</small></td>", both(&note))
}

fn memory_row(figures: &Figures) -> Option<Vec<String>> {
    let estimates: Vec<_> = figures.memory.iter().map(|memory| memory.bytes_per_connection.as_ref()).collect();
    if estimates.iter().all(Option::is_none) {
        return None;
    }
    let all = say("all ramps", "全部建连步骤");
    let what = Text::pair("Memory per idle connection (slope), B", "每个空闲连接的内存（斜率），B");
    let mut cells = vec![format!("<th scope=\"rowgroup\"><a href=\"#memory\">{all}</a></th>"), row_head(&what)];
    cells.extend(estimates.iter().map(|found| match found {
        Some(found) => {
            format!("<td class=\"number\">{}<small>{}</small></td>", escape(&estimate(found)), both(&repeats(found)))
        }
        None => format!("<td class=\"number\">–<small>{}</small></td>", say("no valid repeat", "没有有效的重复")),
    }));
    if let [a, b] = estimates.as_slice() {
        let difference = a.zip(*b).and_then(|(a, b)| crate::stats::Contrast::between(a, b));
        let words = difference.as_ref().map_or_else(|| Text::same("–"), contrast);
        cells.push(format!("<td class=\"words\">{}</td>", both(&words)));
    }
    Some(cells)
}

/// What became of published figures.
pub(super) fn claims(figures: &Figures) -> String {
    let sets = &figures.checks.claims;
    if sets.is_empty() {
        return paragraph(&Text::pair(
            "No claims were given that these runs can test: none of the figures above is compared with a published one.",
            "没有给出这些运行可以检验的声明：以上数据没有与任何已发布的数据比较。",
        ));
    }
    let of_set = |(index, set): (usize, &super::super::checks::ClaimSet)| {
        let rows: Vec<Vec<String>> = set.judged.iter().map(claim_row).collect();
        let head = heads(&[
            ("Claim", "声明"),
            ("Published", "发布值"),
            ("By the publisher's window", "按发布者的窗口"),
            ("Verdict", "结论"),
            ("By ours", "按我们的窗口"),
            ("Verdict", "结论"),
            ("Why", "原因"),
        ]);
        let caption = Text::same(set.title.as_str());
        let count = |verdict: Judgement| set.judged.iter().filter(|claim| claim.verdict == verdict).count();
        let parts: Vec<Text> = VERDICTS
            .into_iter()
            .map(|verdict| {
                let (n, words) = (count(verdict), verdict_words(verdict));
                text!("{n} {words}", "{n} 个{words}"; words)
            })
            .collect();
        let (title, parts) = (&set.title, Text::join(&parts, &Text::pair(", ", "，")));
        let summary = text!("{title}: {parts}", "{title}：{parts}"; parts);
        format!("<p>{}</p>\n", escape(&set.document))
            + &details(&summary, &table(&format!("claims-{index}"), &caption, &head, &rows))
    };
    sets.iter().enumerate().map(of_set).collect()
}

fn claim_row(claim: &Judged) -> Vec<String> {
    let bound = match claim.relation {
        Relation::Equals => "",
        Relation::AtLeast => "≥ ",
        Relation::AtMost => "≤ ",
    };
    let (decimals, unit) = (claim.decimals, &claim.unit);
    let found = |value: Option<f64>| {
        format!("<td class=\"number\">{}</td>", value.map_or("–".to_owned(), |value| format!("{value:.decimals$}")))
    };
    let verdict = |verdict: Judgement| {
        let class = if verdict == Judgement::NotReproduced { " class=\"failed\"" } else { "" };
        format!("<td><span{class}>{}</span></td>", both(&verdict_words(verdict)))
    };
    let source = format!("{}<small>{}</small>", escape(&claim.text), escape(&claim.source));
    vec![
        format!("<th scope=\"row\">{source}</th>"),
        format!("<td class=\"number\">{bound}{:.decimals$} {}</td>", claim.published, escape(unit)),
        found(claim.found_published),
        verdict(claim.verdict),
        found(claim.found_ours),
        verdict(claim.verdict_ours),
        cell(&claim.reason),
    ]
}

fn verdict_words(verdict: Judgement) -> Text {
    let zh = match verdict {
        Judgement::Reproduced => "复现",
        Judgement::WithinTolerance => "在容差内",
        Judgement::NotReproduced => "未复现",
        Judgement::NotTestable => "无法检验",
    };
    Text::pair(verdict.words(), zh)
}

const VERDICTS: [Judgement; 4] =
    [Judgement::Reproduced, Judgement::WithinTolerance, Judgement::NotReproduced, Judgement::NotTestable];

/// The flaws that the data shows.
pub(super) fn audit(figures: &Figures) -> String {
    let audit = &figures.checks.audit;
    let rows: Vec<Vec<String>> = audit
        .findings
        .iter()
        .map(|finding| {
            let proofs = proofs(&finding.evidence);
            let severity = match finding.severity {
                Severity::High => Text::pair("high", "高"),
                Severity::Medium => Text::pair("medium", "中"),
                Severity::Low => Text::pair("low", "低"),
            };
            vec![
                format!("<th scope=\"row\">{} {}</th>", escape(finding.flaw), escape(finding.code)),
                format!("<td>{}</td>", both(&severity)),
                cell(&finding.title),
                format!("<td>{proofs}</td>"),
                cell(&finding.consequence),
            ]
        })
        .collect();
    let (clean, hidden) = (audit.clean.len(), audit.not_visible.len());
    let rest = paragraph(&text!(
        "{clean} flaws were looked for and not found; {hidden} cannot be seen in these data.",
        "另有 {clean} 种缺陷已检查但未发现；{hidden} 种无法由这些数据看出。"
    ));
    if rows.is_empty() {
        return paragraph(&Text::pair("No flaw was found.", "没有发现缺陷。")) + &rest;
    }
    let head = heads(&[
        ("Flaw", "缺陷"),
        ("Severity", "严重度"),
        ("Finding", "发现"),
        ("Evidence", "证据"),
        ("Consequence", "后果"),
    ]);
    table("audit-findings", &Text::pair("What the audit found", "审计发现"), &head, &rows) + &rest
}

/// The first few places, and how many there are beside them.
fn proofs(evidence: &[Proof]) -> String {
    let place = |proof: &Proof| {
        let mut parts: Vec<&str> = proof.file.rsplit('/').take(2).collect();
        parts.reverse();
        let at = proof.at.as_ref().map_or_else(String::new, |at| format!(" ({:.1} s)", at.run_s));
        format!("<li><code>{}</code>{at}: {}</li>", escape(&parts.join("/")), escape(&proof.text))
    };
    let shown: String = evidence.iter().take(PROOFS_SHOWN).map(place).collect();
    let more = evidence.len().saturating_sub(PROOFS_SHOWN);
    let more = match more {
        0 => String::new(),
        n => format!(
            "<li>{}</li>",
            both(&text!("{n} more in the JSON beside this page", "另有 {n} 处，见本页旁的 JSON"))
        ),
    };
    format!("<ul class=\"proofs\">{shown}{more}</ul>")
}

const PROOFS_SHOWN: usize = 4;

/// What was said of the settings against what was found.
pub(super) fn declared(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .checks
        .declared
        .iter()
        .map(|row| {
            let is_met = row.observed.iter().all(|(value, _)| *value == row.declared) && !row.observed.is_empty();
            let observed: Vec<String> =
                row.observed.iter().map(|(value, n)| format!("{} (n={n})", escape(value))).collect();
            let verdict = match (row.observed.is_empty(), is_met) {
                (true, _) => Text::pair("not recorded", "未记录"),
                (_, true) => Text::pair("as declared", "与声明一致"),
                _ => Text::pair("differs", "不一致"),
            };
            let class = if is_met || row.observed.is_empty() { "" } else { " class=\"failed\"" };
            vec![
                format!("<th scope=\"row\" class=\"code\">{}</th>", escape(&row.setting)),
                code(Some(&row.declared)),
                format!("<td class=\"code\">{}</td>", observed.join("<br>")),
                format!("<td><span{class}>{}</span></td>", both(&verdict)),
                cell(&row.source),
            ]
        })
        .collect();
    if rows.is_empty() {
        return not_recorded("a declaration of the settings that should be in force", "应当生效的参数声明");
    }
    let head = heads(&[
        ("Setting", "参数"),
        ("Declared", "声明"),
        ("Observed", "实测"),
        ("Verdict", "结论"),
        ("Source", "来源"),
    ]);
    table("declared", &Text::pair("Declared settings against observed ones", "声明的参数与实测值"), &head, &rows)
}

/// Everything about one step.
pub(super) fn step(figures: &Figures, step: &StepFigures) -> String {
    let rows: Vec<Vec<String>> = step.rows.iter().map(|row| row_cells(figures, row)).collect();
    let failed: Vec<String> = step
        .failed
        .iter()
        .map(|failed| {
            let (label, target, repeat) = (&failed.label, &failed.target, failed.repeat);
            let point = text!("Failed: {label} {target}, repeat {repeat}", "失败：{label} {target}，第 {repeat} 次");
            format!("<span class=\"failed\">{}</span>: {}", both(&point), escape(&failed.reasons.join("; ")))
        })
        .collect();
    let length = step.measured_s.map_or_else(Text::default, |seconds| {
        let seconds = number(seconds);
        text!("Measured: {seconds} s.", "测量时长：{seconds} s。")
    });
    let purpose = step.purpose.clone().map_or_else(|| kind_text(step.kind), Text::same);
    let name = &step.name;
    let caption = text!("All figures of {name}", "{name} 的全部数据");
    let id = anchor(name);
    fill(
        include_str!("step.html"),
        &[
            ("id", &slug(&id)),
            ("name", &escape(name)),
            ("purpose", &format!("{}. {}", both(&purpose), both(&length))),
            ("failed", &if failed.is_empty() { String::new() } else { list("ul", "", &failed) }),
            ("table", &table(&format!("{id}-figures"), &caption, &head(figures, &[("Quantity", "指标")]), &rows)),
        ],
    )
}

fn kind_text(kind: StepKind) -> Text {
    match kind {
        StepKind::Idle => Text::pair("Nobody is connected", "无人连接"),
        StepKind::Connections => Text::pair("Connections that only live", "仅保持连接"),
        StepKind::Latency => Text::pair("Latency of probes", "探测消息的延迟"),
        StepKind::Throughput => Text::pair("Messages from publishers to subscribers", "从发布者到订阅者的消息"),
    }
}

/// Points without figures, with their reasons.
pub(super) fn failed(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .steps
        .iter()
        .flat_map(|step| step.failed.iter().map(move |failed| (step, failed)))
        .map(|(step, failed)| {
            let link = format!("<a href=\"#{}\">{}</a>", slug(&anchor(&step.name)), escape(&step.name));
            vec![
                format!("<th scope=\"row\">{link}</th>"),
                cell(&format!("{} {}", failed.label, failed.target)),
                cell(&failed.repeat.to_string()),
                cell(&failed.reasons.join("; ")),
            ]
        })
        .collect();
    if rows.is_empty() {
        return paragraph(&Text::pair(
            "None: every step against every target in every repeat passed its gates.",
            "无：每个步骤、每个被测对象、每次重复都通过了门限检查。",
        ));
    }
    let head = heads(&[("Step", "步骤"), ("Target", "被测对象"), ("Repeat", "重复"), ("Reason", "原因")]);
    table("failed-points", &Text::pair("Points without figures", "没有数据的点"), &head, &rows)
}

/// Every broker run in the published windows and in ours: how much the rule decides.
pub(super) fn windows(figures: &Figures) -> String {
    let shown = |value: Option<f64>| format!("<td class=\"number\">{}</td>", value.map_or("–".to_owned(), number));
    let mut rows = Vec::new();
    for run in &figures.windows {
        for (index, (name, window)) in run.windows.named().into_iter().enumerate() {
            let mut cells = Vec::new();
            if index == 0 {
                cells.push(format!("<th scope=\"rowgroup\" rowspan=\"4\">{}</th>", escape(&run.tag)));
            }
            cells.push(format!("<th scope=\"row\">{name}</th>"));
            cells.push(format!("<td class=\"number\">{}</td>", window.rows));
            cells.extend([window.rx_mib_s, window.tx_mib_s, window.ctxt_s, window.retrans_s].map(shown));
            let ends = window.estab_min.zip(window.estab_max);
            let ends = ends.map_or("–".to_owned(), |(least, most)| format!("{} … {}", number(least), number(most)));
            cells.push(format!("<td class=\"number\">{ends}</td>"));
            cells.extend([window.rss_mib, window.cpu_percent].map(shown));
            rows.push(cells);
        }
    }
    if rows.is_empty() {
        return not_recorded("no samples of a broker's host", "没有服务端主机的采样");
    }
    let head = heads(&[
        ("Run", "运行"),
        ("Window", "窗口"),
        ("Intervals", "区间数"),
        ("RX, MiB/s", "接收，MiB/s"),
        ("TX, MiB/s", "发送，MiB/s"),
        ("Context switches/s", "上下文切换/s"),
        ("Retransmissions/s", "重传/s"),
        ("Connections (min … max)", "连接数（最小 … 最大）"),
        ("RSS, MiB", "RSS，MiB"),
        ("CPU, % of a core", "CPU，单核 %"),
    ]);
    let n = figures.windows.len();
    let caption = Text::pair("The same runs by four window rules", "同一运行在四种窗口规则下的数值");
    details(
        &text!("{n} runs of a broker's host", "服务端主机的 {n} 次运行"),
        &table("window-rules", &caption, &head, &rows),
    )
}

/// The brokers.
pub(super) fn targets(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .targets
        .iter()
        .enumerate()
        .map(|(place, target)| {
            vec![
                format!("<th scope=\"row\">{}{} {}</th>", marker(place), escape(&target.label), escape(&target.title)),
                code(target.version.as_deref()),
                code(target.exe.as_deref()),
                code(target.sha256.as_deref()),
                code(target.argv.first().map(String::as_str)),
            ]
        })
        .collect();
    let head = heads(&[
        ("Target", "被测对象"),
        ("Version", "版本"),
        ("Executable", "可执行文件"),
        ("SHA-256", "SHA-256"),
        ("Command line (of one step)", "命令行（其中一步）"),
    ]);
    table("brokers", &Text::pair("The brokers under test", "被测服务端"), &head, &rows)
}

/// The machines, each with its facts and settings.
pub(super) fn hosts(figures: &Figures) -> String {
    if figures.manifest.hosts.is_empty() {
        return not_recorded("the runs carry no host manifest", "运行中没有主机清单");
    }
    let of_host = |(index, host): (usize, &super::super::manifest::Host)| {
        let facts: Vec<Vec<String>> =
            host.facts().iter().map(|(name, value)| vec![row_head(name), value_cell(value.as_deref())]).collect();
        let name = &host.manifest.hostname;
        let columns = heads(&[("Fact", "事实"), ("Value", "值")]);
        let facts = table(&format!("host-{index}"), &text!("Host {name}", "主机 {name}"), &columns, &facts);
        let settings: Vec<Vec<String>> = host
            .manifest
            .sysctls
            .iter()
            .map(|(name, value)| {
                vec![format!("<th scope=\"row\" class=\"code\">{}</th>", escape(name)), code(Some(value))]
            })
            .collect();
        let n = settings.len();
        let caption = text!("Kernel settings of {name}", "{name} 的内核参数");
        let columns = heads(&[("Setting", "参数"), ("Value", "值")]);
        let settings = table(&format!("host-{index}-settings"), &caption, &columns, &settings);
        facts + &details(&text!("{n} kernel settings of {name}", "{name} 的 {n} 个内核参数"), &settings)
    };
    let roles: Vec<&str> =
        figures.manifest.hosts.iter().flat_map(|host| host.roles.iter().map(String::as_str)).collect();
    let missing: Vec<&str> =
        runlog::Role::ALL.iter().map(|role| role.as_str()).filter(|role| !roles.contains(role)).collect();
    let gap = if missing.is_empty() {
        String::new()
    } else {
        let missing = missing.join(", ");
        paragraph(&text!("Not recorded: a manifest of the role {missing}.", "未记录：角色 {missing} 的主机清单。"))
    };
    figures.manifest.hosts.iter().enumerate().map(of_host).collect::<String>() + &gap
}

/// Settings that are not the same everywhere.
pub(super) fn differences(figures: &Figures) -> String {
    let provenance = &figures.provenance;
    if provenance.compared == 0 {
        return not_recorded("no settings to compare", "没有可比较的参数");
    }
    let n = provenance.compared;
    if provenance.differences.is_empty() {
        return paragraph(&text!(
            "Of {n} settings none differs between targets or roles.",
            "{n} 个参数在各被测对象与角色之间没有差异。"
        ));
    }
    let rows: Vec<Vec<String>> = provenance
        .differences
        .iter()
        .map(|difference| {
            let values: Vec<String> = difference
                .values
                .iter()
                .map(|(place, value)| format!("{}: {}", escape(place), escape(value)))
                .collect();
            vec![
                format!("<th scope=\"row\" class=\"code\">{}</th>", escape(&difference.setting)),
                format!("<td class=\"code\">{}</td>", values.join("<br>")),
            ]
        })
        .collect();
    let m = rows.len();
    let head = heads(&[("Setting", "参数"), ("Target and role: value", "被测对象与角色：值")]);
    let caption = text!("{m} of {n} settings differ", "{n} 个参数中有 {m} 个不同");
    table("setting-differences", &caption, &head, &rows)
}

/// How each point began.
pub(super) fn slates(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .provenance
        .slates
        .iter()
        .map(|slate| {
            let count = |value: Option<u64>| value_cell(value.map(|v| v.to_string()).as_deref());
            vec![
                format!("<th scope=\"row\">{}</th>", escape(&slate.point)),
                code(slate.boot_id.as_deref()),
                count(slate.pid.map(u64::from)),
                value_cell(slate.age_s.map(number).as_deref()),
                count(slate.time_wait),
                count(slate.conntrack),
                value_cell(slate.load1.map(number).as_deref()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return not_recorded(
            "boot ids, process starts, TIME_WAIT and conntrack at the begin of each point",
            "各点开始时的启动标识、进程启动时间、TIME_WAIT 与连接跟踪",
        );
    }
    let head = heads(&[
        ("Point", "点"),
        ("Boot of the broker's host", "服务端主机的启动标识"),
        ("Process id", "进程号"),
        ("Age of the process, s", "进程年龄，s"),
        ("TIME_WAIT", "TIME_WAIT"),
        ("Tracked connections", "连接跟踪"),
        ("Load average", "平均负载"),
    ]);
    let n = rows.len();
    let caption = Text::pair("How each point began", "每个点如何开始");
    details(&text!("How {n} points began", "{n} 个点的起始状态"), &table("clean-slates", &caption, &head, &rows))
}

/// Where the messages went.
pub(super) fn accounts(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .provenance
        .accounts
        .iter()
        .map(|account| {
            let mut cells = vec![format!("<th scope=\"row\">{}</th>", escape(&account.point))];
            let counts = [
                account.offered,
                account.attempted,
                account.written,
                account.acked,
                account.delivered,
                account.lost,
                account.duplicated,
                account.out_of_order,
                account.corrupted,
            ];
            cells.extend(counts.map(|count| format!("<td class=\"number\">{}</td>", number(count as f64))));
            let verdict =
                if account.is_whole() { say("adds up", "吻合") } else { say("does not add up", "不吻合") };
            cells.push(format!("<td>{verdict}</td>"));
            cells
        })
        .collect();
    if rows.is_empty() {
        return not_recorded("message counts of publishers and subscribers", "发布端与订阅端的消息计数");
    }
    let head = heads(&[
        ("Point", "点"),
        ("Offered", "应发"),
        ("Attempted", "尝试"),
        ("Written", "写出"),
        ("Acknowledged", "确认"),
        ("Delivered", "投递"),
        ("Lost", "丢失"),
        ("Duplicated", "重复"),
        ("Out of order", "乱序"),
        ("Corrupted", "损坏"),
        ("Verdict", "结论"),
    ]);
    let caption = Text::pair("Message counts over the whole run of each point", "每个点全程的消息计数");
    table("message-accounts", &caption, &head, &rows)
}

/// What observing cost.
pub(super) fn observers(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .provenance
        .observers
        .iter()
        .map(|observer| {
            let counts = [observer.ticks, observer.late, observer.missed, observer.sample_us_max];
            let mut cells = vec![format!("<th scope=\"row\">{}</th>", escape(&observer.point))];
            cells.extend(counts.map(|count| format!("<td class=\"number\">{}</td>", number(count as f64))));
            cells.push(format!("<td class=\"number\">{}</td>", number(observer.cpu_percent)));
            cells
        })
        .collect();
    if rows.is_empty() {
        return not_recorded("the collectors' own cost", "采集器自身的开销");
    }
    let head = heads(&[
        ("Collector", "采集器"),
        ("Samples", "样本"),
        ("Late", "迟到"),
        ("Missed", "缺失"),
        ("Longest sample, µs", "最长采样，µs"),
        ("CPU, % of a core", "CPU，单核 %"),
    ]);
    let n = rows.len();
    let caption = Text::pair("What the collectors say of themselves", "采集器自述");
    details(&text!("The cost of {n} collectors", "{n} 个采集器的开销"), &table("observers", &caption, &head, &rows))
}

/// What is known of the clocks.
pub(super) fn clocks(figures: &Figures) -> String {
    let hosts = &figures.manifest.hosts;
    let known: Vec<_> = hosts.iter().filter(|host| host.manifest.clock_source.is_some()).collect();
    if known.is_empty() {
        return not_recorded(
            "clock source, synchronisation and error bound of any host",
            "任何主机的时钟源、同步状态与误差界",
        );
    }
    let mut items: Vec<String> = known
        .iter()
        .map(|host| {
            let (name, source) = (&host.manifest.hostname, host.manifest.clock_source.as_deref().unwrap_or_default());
            let sync = host.manifest.clock_sync.as_ref();
            let sync = match sync.map(|sync| (sync.synchronised, sync.max_error_us)) {
                Some((true, Some(us))) => text!("synchronised, error at most {us} µs", "已同步，误差不超过 {us} µs"),
                Some((true, None)) => Text::pair("synchronised, error bound not recorded", "已同步，误差界未记录"),
                Some((false, _)) => Text::pair("not synchronised", "未同步"),
                None => Text::pair("synchronisation not recorded", "同步状态未记录"),
            };
            both(&text!("{name}: clock source {source}; wall clock {sync}", "{name}：时钟源 {source}；墙上时钟{sync}"; sync))
        })
        .collect();
    let one_host = Text::pair(
        "All stamps come from CLOCK_MONOTONIC of one machine, so latencies and phase marks carry no error between clocks.",
        "所有时间戳来自同一台机器的 CLOCK_MONOTONIC，因此延迟与阶段标记没有时钟间误差。",
    );
    let several = Text::pair(
        "Not recorded: a bound of the error between the clocks of these hosts. Latencies are taken on one host each.",
        "未记录：这些主机之间的时钟误差界。每个延迟都在同一主机上测得。",
    );
    items.push(both(if hosts.len() == 1 { &one_host } else { &several }));
    list("ul", "", &items)
}

/// The tools and where they come from.
pub(super) fn tools(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .manifest
        .tools
        .iter()
        .map(|tool| {
            vec![
                format!("<th scope=\"row\">{}</th>", escape(&tool.tool)),
                cell(&tool.version),
                code(tool.git_commit.as_deref()),
                code(tool.binary_sha256.as_deref()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return not_recorded("which tools, of which commit, made these runs", "由哪些工具、哪个提交生成了这些运行");
    }
    let commit = figures.plan.commit.as_deref().map_or(String::new(), |commit| {
        format!("<p>{} <code>{}</code></p>", say("Checkout:", "代码检出："), escape(commit))
    });
    let head = heads(&[
        ("Tool", "工具"),
        ("Version", "版本"),
        ("Commit", "提交"),
        ("SHA-256 of the executable", "可执行文件的 SHA-256"),
    ]);
    table("tools", &Text::pair("Tools", "工具"), &head, &rows) + &commit
}

/// What was wrong with files.
pub(super) fn warnings(figures: &Figures) -> String {
    if figures.warnings.is_empty() {
        return paragraph(&Text::pair("No file was damaged.", "没有损坏的文件。"));
    }
    let items: Vec<String> = figures.warnings.iter().map(|text| escape(text)).collect();
    let head = paragraph(&Text::pair("Damage and doubts found while reading:", "读取时发现的损坏与疑点："));
    head + &list("ul", "", &items)
}

/// How every run was started.
pub(super) fn commands(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .manifest
        .commands
        .iter()
        .map(|command| {
            vec![
                format!("<th scope=\"row\" class=\"code\">{}</th>", escape(&command.run)),
                code(Some(&command.argv)),
                code(command.seed.map(|seed| seed.to_string()).as_deref()),
                code(command.git_commit.as_deref()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return not_recorded("command lines and seeds of the tools", "各工具的命令行与随机种子");
    }
    let head = heads(&[("Run", "运行"), ("Command line", "命令行"), ("Seed", "种子"), ("Commit", "提交")]);
    let n = rows.len();
    let caption = Text::pair("Command line of every run", "每次运行的命令行");
    details(&text!("Command lines of {n} runs", "{n} 次运行的命令行"), &table("commands", &caption, &head, &rows))
}

/// Every file with its hash.
pub(super) fn files(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures
        .manifest
        .files
        .iter()
        .map(|file| {
            vec![
                format!("<th scope=\"row\" class=\"code\">{}</th>", escape(&file.path)),
                format!("<td class=\"number\">{}</td>", file.bytes),
                code(file.sha256.as_deref()),
            ]
        })
        .collect();
    let (n, total) = (rows.len(), bytes(figures.manifest.files.iter().map(|file| file.bytes).sum()));
    let head = heads(&[("File", "文件"), ("Bytes", "字节"), ("SHA-256", "SHA-256")]);
    let table = table("files", &Text::pair("Files", "文件"), &head, &rows);
    details(&text!("{n} files, {total}", "{n} 个文件，{total}"), &table)
}

fn heads(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(en, zh)| if en == zh { escape(en) } else { say(en, zh) }).collect()
}

fn row_head(text: &Text) -> String {
    format!("<th scope=\"row\">{}</th>", both(text))
}

fn cell(text: &str) -> String {
    format!("<td>{}</td>", escape(text))
}

/// A value, or that nobody wrote it down.
fn value_cell(value: Option<&str>) -> String {
    value.map_or_else(|| format!("<td>{}</td>", say("not recorded", "未记录")), cell)
}

fn code(value: Option<&str>) -> String {
    value
        .filter(|value| !value.is_empty())
        .map_or_else(|| value_cell(None), |value| format!("<td class=\"code\">{}</td>", escape(value)))
}

fn not_recorded(en: &str, zh: &str) -> String {
    paragraph(&text!("Not recorded: {en}.", "未记录：{zh}。"))
}

fn marker(place: usize) -> String {
    format!("<span class=\"marker t{place}\" aria-hidden=\"true\"></span>")
}
