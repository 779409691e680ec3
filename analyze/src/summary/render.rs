//! A summary as Markdown and as CSV.

use std::fmt::Write as _;

use serde_json::Value;

use super::RunSummary;
use super::window::FIGURES;

/// A table in Markdown: one line per run and window, and the doubts below.
pub fn markdown(summaries: &[RunSummary]) -> String {
    let mut text = String::from(
        "| run | window | RX MiB/s | TX MiB/s (MB/s) | TX 95 % | TX moves by | TX packets/s | OutSegs/s | ctxt/s | retrans/s | connections (min..max) | RSS MiB | VSZ MiB | CPU % of a core | CPU µs/message |\n\
         | :-- | :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n",
    );
    for summary in summaries {
        for (name, w) in summary.windows.named().into_iter().filter(|(_, w)| w.rows > 0) {
            let sent = match (w.tx_mib_s, w.tx_mb_s) {
                (Some(mib), Some(mb)) => format!("{} ({})", decimal(mib, 1), decimal(mb, 1)),
                _ => NONE.to_owned(),
            };
            let interval = w.ci95.get(SENT);
            let interval =
                interval.map_or(NONE.to_owned(), |(low, high)| format!("{}–{}", decimal(*low, 1), decimal(*high, 1)));
            let moves = w.sensitivity_percent.get(SENT).map_or(NONE.to_owned(), |percent| format!("{percent:.1} %"));
            let connections = match (w.estab, w.estab_min, w.estab_max) {
                (Some(estab), Some(min), Some(max)) => format!("{estab:.0} ({min:.0}..{max:.0})"),
                _ => NONE.to_owned(),
            };
            let cell = |value: Option<f64>, decimals| value.map_or(NONE.to_owned(), |v| decimal(v, decimals));
            let row = [
                cell(w.rx_mib_s, 1),
                sent,
                interval,
                moves,
                cell(w.tx_pps, 0),
                cell(w.tcp_outsegs_s, 0),
                cell(w.ctxt_s, 0),
                cell(w.retrans_s, 2),
                connections,
                cell(w.rss_mib, 2),
                cell(w.vsz_mib, 2),
                cell(w.cpu_percent, 1),
                cell(w.cpu_us_per_message, 2),
            ];
            push(&mut text, format_args!("| {} {} | {name} | {} |\n", summary.role, summary.tag, row.join(" | ")));
        }
    }
    for summary in summaries.iter().filter(|summary| !summary.doubts.is_empty()) {
        push(&mut text, format_args!("\n{} {} ({}):\n", summary.role, summary.tag, summary.dir));
        for doubt in &summary.doubts {
            push(&mut text, format_args!("- {}: {}\n", doubt.code, doubt.message));
        }
    }
    text
}

/// With the given decimals, and more for a small value that they would round away.
fn decimal(value: f64, decimals: usize) -> String {
    let decimals = if value != 0.0 && value.abs() < 1.0 && decimals > 0 { decimals.max(3) } else { decimals };
    format!("{value:.decimals$}")
}

/// One line per run and window; the columns are the JSON form's names, with the ends of each figure's interval and its
/// sensitivity behind them.
pub fn csv(summaries: &[RunSummary]) -> String {
    let mut text = String::new();
    for summary in summaries {
        for (name, window) in summary.windows.named().into_iter().filter(|(_, window)| window.rows > 0) {
            let value = serde_json::to_value(window).expect("a window is plain numbers");
            let plain = |(name, value): (&String, &Value)| (!value.is_object()).then(|| (name.clone(), value.clone()));
            let mut cells: Vec<(String, Value)> =
                value.as_object().expect("a struct is an object").iter().filter_map(plain).collect();
            for (figure, _) in FIGURES {
                let (low, high) = window.ci95.get(figure).copied().unzip();
                cells.push((format!("{figure}_low"), low.into()));
                cells.push((format!("{figure}_high"), high.into()));
                let sensitivity = window.sensitivity_percent.get(figure).copied();
                cells.push((format!("{figure}_sensitivity_percent"), sensitivity.into()));
            }
            if text.is_empty() {
                let names: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
                push(
                    &mut text,
                    format_args!("dir,role,tag,target,samples,duration_s,period_s,window,{}\n", names.join(",")),
                );
            }
            let cells: Vec<String> =
                cells.iter().map(|(_, v)| if v.is_null() { String::new() } else { v.to_string() }).collect();
            let identity =
                [&summary.dir, &summary.role, &summary.tag, summary.target.as_ref().unwrap_or(&String::new())]
                    .map(|t| quoted(t));
            push(
                &mut text,
                format_args!(
                    "{},{},{},{},{name},{}\n",
                    identity.join(","),
                    summary.samples,
                    summary.duration_s,
                    summary.period_s,
                    cells.join(",")
                ),
            );
        }
    }
    text
}

/// A cell of a CSV file.
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("a String takes everything");
}

const SENT: &str = "tx_mib_s";
const NONE: &str = "–";
