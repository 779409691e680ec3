//! The report as one HTML page that needs nothing else: no script, no font, no network.
//!
//! The page's structure is in the files of `html/`, where `[[English|中文]]` stands for a text in both languages; here the
//! parts are filled in. The page holds both languages, and a pair of radio buttons decides by style alone which is shown.
//! Everything that comes from data is escaped.

mod evidence;
mod manifests;
mod sections;

pub(super) use self::sections::verdict_words;
use super::charts::Chart;
use super::figures::Figures;
use super::picture;
use super::text::{Lang, Text};
use crate::text;

/// Where the page's data lies and what lies beside it.
pub struct Surroundings<'a> {
    /// Directory of the experiment.
    pub dir: String,
    /// Names of the other forms, beside the page.
    pub siblings: &'a [String],
    /// The language that is shown first.
    pub lang: Lang,
}

/// The whole page.
pub fn page(figures: &Figures, charts: &[(String, Chart)], around: &Surroundings) -> String {
    let siblings: Vec<String> = around.siblings.iter().map(|name| format!("<code>{}</code>", escape(name))).collect();
    let siblings = match siblings.as_slice() {
        [] => String::new(),
        names => {
            format!("{} {}.", say("The same figures lie beside this page:", "同样的数据在本页旁："), names.join(", "))
        }
    };
    let checked = |lang| if around.lang == lang { " checked" } else { "" };
    fill(
        include_str!("html/page.html"),
        &[
            ("lang", around.lang.tag()),
            ("style", &style(around.lang)),
            ("checked_en", checked(Lang::En)),
            ("checked_zh", checked(Lang::Zh)),
            ("title", &escape(&title(figures))),
            ("lead", &sections::lead(figures)),
            ("headline", &sections::sentences(&figures.headline, "headline")),
            ("caveats", &sections::caveats(figures)),
            ("verdicts", &sections::sentences(&figures.verdicts, "verdicts")),
            ("main_table", &sections::main_table(figures)),
            ("charts", &charts.iter().map(|(id, chart)| figure(id, chart)).collect::<String>()),
            ("steps", &figures.steps.iter().map(|step| sections::step(figures, step)).collect::<String>()),
            ("failed", &sections::failed(figures)),
            ("claims", &sections::claims(figures)),
            ("audit", &sections::audit(figures)),
            ("declared", &manifests::declared(figures)),
            ("windows", &evidence::windows(figures)),
            ("steady", &evidence::steady(figures)),
            ("noise", &evidence::noise(figures)),
            ("configurations", &manifests::configurations(figures)),
            ("targets", &manifests::targets(figures)),
            ("hosts", &manifests::hosts(figures)),
            ("differences", &manifests::differences(figures)),
            ("slates", &evidence::slates(figures)),
            ("accounts", &evidence::accounts(figures)),
            ("observers", &evidence::observers(figures)),
            ("clocks", &evidence::clocks(figures)),
            ("tools", &manifests::tools(figures)),
            ("dir", &escape(&around.dir)),
            ("siblings", &siblings),
            ("warnings", &evidence::warnings(figures)),
            ("commands", &manifests::commands(figures)),
            ("files", &manifests::files(figures)),
            ("version", &escape(runlog::version())),
        ],
    )
}

/// The style sheet, for a page that shows this language first.
pub(crate) fn style(lang: Lang) -> String {
    let hidden = if lang == Lang::En { Lang::Zh } else { Lang::En };
    include_str!("html/style.css").trim_end().replace("LANG_HIDDEN", hidden.tag())
}

/// All charts of the page.
pub fn charts(figures: &Figures) -> Vec<(String, Chart)> {
    picture::all(figures)
}

/// Replaces `{{name}}`, and `[[English|中文]]` by both forms; what is filled in is not looked at again.
pub(crate) fn fill(template: &str, slots: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(template.len() + slots.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '[']) {
        let (before, from) = rest.split_at(at);
        page.push_str(before);
        if let Some(inner) = from.strip_prefix("{{") {
            let (name, after) = inner.split_once("}}").expect("a template closes what it opens");
            page.push_str(slots.iter().find(|(slot, _)| *slot == name).expect("a template's slots are all filled").1);
            rest = after;
        } else if let Some(inner) = from.strip_prefix("[[") {
            let (pair, after) = inner.split_once("]]").expect("a template closes what it opens");
            let (en, zh) = pair.split_once('|').expect("a template has both languages");
            page.push_str(&spans(en, zh));
            rest = after;
        } else {
            page.push_str(&from[..1]);
            rest = &from[1..];
        }
    }
    page.push_str(rest);
    page
}

/// Text as it may stand in HTML, also in attributes.
pub(crate) fn escape(text: &str) -> String {
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

/// A text in both languages, escaped; once where they are the same.
pub(crate) fn both(text: &Text) -> String {
    if text.en == text.zh { escape(&text.en) } else { spans(&escape(&text.en), &escape(&text.zh)) }
}

/// As [`both`], of fixed text.
pub(crate) fn say(en: &str, zh: &str) -> String {
    spans(&escape(en), &escape(zh))
}

/// Both forms, HTML already.
fn spans(en: &str, zh: &str) -> String {
    format!("<span lang=\"en\">{en}</span><span lang=\"zh\">{zh}</span>")
}

/// A name as it may stand in an id and behind `#`: anything but letters, digits and a few signs becomes its number.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.') {
            slug.push(character);
        } else {
            slug.push_str(&format!("_{:x}", character as u32));
        }
    }
    slug
}

fn title(figures: &Figures) -> String {
    let names: Vec<String> = figures.targets.iter().map(|target| format!("{} {}", target.label, target.name)).collect();
    format!("{}: {}", figures.experiment, names.join(" / "))
}

fn figure(id: &str, chart: &Chart) -> String {
    let id = slug(id);
    // The picture is one image to a screen reader, described in words; its texts would be read out without order.
    let width = chart.picture.width() * 4 / 5;
    let described = format!("<svg role=\"img\" aria-labelledby=\"{id}-alt\" style=\"min-width:{width}px\" ");
    let svg = chart.picture.both().replacen("<svg ", &described, 1);
    fill(
        include_str!("html/figure.html"),
        &[
            ("id", &id),
            ("class", if width > COLUMN_PX { "wide" } else { "narrow" }),
            ("title", &both(&chart.title)),
            ("svg", &svg),
            ("caption", &both(&chart.caption)),
            ("alt", &both(&chart.alt)),
        ],
    )
}

/// The narrowest column of charts, `33rem` in the style sheet.
const COLUMN_PX: u32 = 528;

fn details(summary: &Text, body: &str) -> String {
    fill(include_str!("html/details.html"), &[("summary", &both(summary)), ("body", body)])
}

/// A table whose head cells and body cells are HTML already; `id` is unique on the page.
pub(crate) fn table(id: &str, caption: &Text, head: &[String], rows: &[Vec<String>]) -> String {
    let head: String = head.iter().map(|cell| format!("<th scope=\"col\">{cell}</th>")).collect();
    let body: String = rows.iter().map(|cells| format!("<tr>{}</tr>\n", cells.concat())).collect();
    let (id, caption) = (format!("{}-table", slug(id)), both(caption));
    // A box that scrolls must be reachable without a mouse.
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}-caption\">\
         <table id=\"{id}\"><caption id=\"{id}-caption\">{caption}</caption>\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )
}

fn list(kind: &str, class: &str, items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{item}</li>\n")).collect();
    format!("<{kind} class=\"{class}\">\n{items}</{kind}>\n")
}

fn paragraph(text: &Text) -> String {
    format!("<p>{}</p>\n", both(text))
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
    format!("<span class=\"marker t{}\" aria-hidden=\"true\"></span>", place % 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_and_their_content_is_left_alone() {
        assert_eq!(fill("a{{x}}b{{y}}c{{x}}", &[("x", "{{y}}"), ("y", "2")]), "a{{y}}b2c{{y}}");
        assert_eq!(fill("[1] {2} [[a|b]]", &[]), "[1] {2} <span lang=\"en\">a</span><span lang=\"zh\">b</span>");
    }

    #[test]
    fn data_cannot_become_markup() {
        assert_eq!(escape("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
        assert_eq!(slug("a b\"><script>"), "a_20b_22_3e_3cscript_3e");
    }
}
