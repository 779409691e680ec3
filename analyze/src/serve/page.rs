//! A look as HTML, with the report's own parts: tables, charts, both languages.

use super::watch::{Live, Snapshot};
use crate::report::charts::frame::{Axis, Legend};
use crate::report::charts::lines::{self, Backdrop, Line};
use crate::report::format::number;
use crate::report::html::{both, escape, fill, say, style, table};
use crate::report::text::{Lang, Text};
use crate::text;

/// The page with its first content.
pub fn whole(snapshot: &Snapshot, lang: Lang) -> String {
    let title = snapshot.title.as_deref().unwrap_or(&snapshot.dir);
    let checked = |of| if lang == of { " checked" } else { "" };
    fill(
        include_str!("page.html"),
        &[
            ("lang", lang.tag()),
            ("title", &escape(title)),
            ("style", &style(lang)),
            ("checked_en", checked(Lang::En)),
            ("checked_zh", checked(Lang::Zh)),
            ("part", &part(snapshot)),
        ],
    )
}

/// What changes.
pub fn part(snapshot: &Snapshot) -> String {
    let (runs, done, begun) = (snapshot.runs, snapshot.runs_done, snapshot.points_begun);
    let planned = snapshot.points_planned.map_or_else(|| "?".to_owned(), |planned| planned.to_string());
    let progress = text!(
        "{begun} of {planned} points begun; {done} of {runs} runs are complete.",
        "已开始 {begun} / {planned} 个点；{runs} 次运行中已完成 {done} 次。"
    );
    let phase = snapshot.phase.as_ref().map_or_else(
        || Text::pair("No phase is on.", "当前没有进行中的阶段。"),
        |(step, phase)| text!("Now: {step}, phase {phase}.", "当前：{step}，阶段 {phase}。"),
    );
    let cards: String = snapshot.live.iter().map(card).collect();
    let cards = if cards.is_empty() {
        format!("<p>{}</p>", say("No run is growing.", "没有正在写入的运行。"))
    } else {
        format!("<div class=\"cards\">{cards}</div>")
    };
    let rows: Vec<Vec<String>> = snapshot
        .events
        .iter()
        .map(|(utc, kind, text)| {
            let cells = [format!("<th scope=\"row\">{}</th>", escape(utc))].into_iter();
            cells.chain([kind, text].map(|cell| format!("<td>{}</td>", escape(cell)))).collect()
        })
        .collect();
    let head = [say("Time", "时间"), say("Kind", "类别"), say("Event", "事件")];
    let events = table("events", &Text::pair("The latest events", "最近的事件"), &head, &rows);
    let (cpu, percent, look) =
        (number(snapshot.cost.cpu_s), number(snapshot.cost.cpu_percent), number(snapshot.cost.look_ms));
    let cost = text!(
        "This server has used {cpu} s of CPU ({percent} % of a core); the last look took {look} ms.",
        "本服务已用 {cpu} s CPU（单核 {percent} %）；最近一次查看耗时 {look} ms。"
    );
    format!(
        "<p><strong>{}</strong> {} <small>{}</small></p>\n<h2>{}</h2>\n{cards}\n<h2>{}</h2>\n{events}\n<footer><p>{}</p></footer>\n",
        both(&phase),
        both(&progress),
        escape(&snapshot.utc),
        say("What runs now", "正在运行"),
        say("Events", "事件"),
        both(&cost)
    )
}

fn card(live: &Live) -> String {
    let values: String = live
        .now
        .iter()
        .map(|(en, zh, value)| format!("<dt>{}</dt><dd>{}</dd>", both(&Text::pair(*en, *zh)), number(*value)))
        .collect();
    let age = number(live.age_s);
    let age = text!("last row {age} s ago", "最后一行在 {age} s 前");
    let picture = live
        .line
        .as_ref()
        .map_or_else(String::new, |(en, zh, points)| picture(live.place, &Text::pair(*en, *zh), points));
    format!(
        "<section class=\"card\"><h3>{}</h3><p>{} <small>{}</small></p><dl>{values}</dl>{picture}</section>\n",
        escape(&live.name),
        escape(&live.point),
        both(&age)
    )
}

fn picture(target: usize, title: &Text, points: &[(f64, f64)]) -> String {
    let begin = points.first().map_or(-1.0, |(t, _)| *t).min(-0.1);
    let x = Axis::within(begin..0.0, Text::pair("seconds before now", "距现在的秒数"));
    let y = Axis::from_zero(points.iter().map(|(_, v)| *v).fold(0.0, f64::max) * 1.05, title.clone());
    let line = Line { target, points: points.to_vec(), width: 2, has_markers: false, is_failed: false };
    let drawn = lines::draw(SIZE, &x, &y, &[line], &Backdrop::default(), &Legend::default());
    let svg = drawn.expect("drawing on a string cannot fail").both();
    // The figures above say it in words.
    svg.replacen("<svg ", "<svg aria-hidden=\"true\" ", 1)
}

const SIZE: (u32, u32) = (460, 220);
