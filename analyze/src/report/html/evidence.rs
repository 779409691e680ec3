//! What makes a figure checkable: windows, steadiness, noise, message counts, clean slates, clocks, observers, damage.

use super::super::figures::Figures;
use super::super::format::{number, percent};
use super::super::steady::{Course, Steadiness};
use super::super::text::Text;
use super::super::timeline::Timeline;
use super::super::verdict::anchor;
use super::{
    both, code, details, escape, heads, list, not_recorded, paragraph, row_head, say, slug, table, value_cell,
};
use crate::text;

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

/// How rate, memory and connections of each point went in its window.
pub(super) fn steady(figures: &Figures) -> String {
    let mut rows = Vec::new();
    for step in &figures.steps {
        for (timeline, found) in step.timelines.iter().flat_map(|t| t.steady.iter().map(move |found| (t, found))) {
            rows.push((found.course, steady_row(&step.name, timeline, found)));
        }
    }
    if rows.is_empty() {
        return not_recorded("samples over time in the measured window", "测量窗口内随时间的采样");
    }
    let count = |course| rows.iter().filter(|(known, _)| *known == course).count();
    let [flat, up, down, unknown] = [Course::Steady, Course::Rises, Course::Falls, Course::Unknown].map(count);
    let n = rows.len();
    let summary = text!(
        "{n} series: {flat} flat, {up} rise, {down} fall, {unknown} with too few samples to tell",
        "{n} 个序列：{flat} 个平稳，{up} 个上升，{down} 个下降，{unknown} 个样本太少无法判断"
    );
    let head = heads(&[
        ("Step", "步骤"),
        ("Point", "点"),
        ("Quantity", "指标"),
        ("Samples", "样本"),
        ("Window, s", "窗口，s"),
        ("Median", "中位数"),
        ("Slope per s [95 %]", "每秒斜率 [95 %]"),
        ("Change over the window", "窗口内的变化"),
        ("p", "p"),
        ("Course", "走势"),
    ]);
    let caption = Text::pair(
        "Mann and Kendall's test (serial dependence allowed for) with Theil and Sen's slope",
        "Mann–Kendall 检验（计入序列相关）与 Theil–Sen 斜率",
    );
    let moving: Vec<Vec<String>> = rows
        .iter()
        .filter(|(course, _)| matches!(course, Course::Rises | Course::Falls))
        .map(|(_, row)| row.clone())
        .collect();
    let shown = if moving.is_empty() {
        String::new()
    } else {
        table("not-steady", &Text::pair("Series that are not flat", "不平稳的序列"), &head, &moving)
    };
    let all: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| row).collect();
    format!("<p>{}.</p>\n", both(&summary)) + &shown + &details(&summary, &table("steadiness", &caption, &head, &all))
}

fn steady_row(step: &str, timeline: &Timeline, found: &Steadiness) -> Vec<String> {
    let number_cell = |text: &str| format!("<td class=\"number\">{}</td>", escape(text));
    let (label, repeat) = (&timeline.label, timeline.repeat);
    let point = match timeline.is_failed {
        true => text!("{label} #{repeat} (failed point)", "{label} #{repeat}（失败的点）"),
        false => Text::same(format!("{label} #{repeat}")),
    };
    let words = match found.course {
        Course::Steady => Text::pair("flat", "平稳"),
        Course::Rises => Text::pair("rises", "上升"),
        Course::Falls => Text::pair("falls", "下降"),
        Course::Unknown => Text::pair("too few samples", "样本太少"),
    };
    let class = if matches!(found.course, Course::Rises | Course::Falls) { " class=\"failed\"" } else { "" };
    let trend = found.trend.as_ref();
    let slope = trend.map_or("–".to_owned(), |trend| {
        let (low, high) = trend.slope_ci95;
        format!("{} [{}, {}]", number(trend.slope), number(low), number(high))
    });
    let change = found.change().map_or("–".to_owned(), |change| {
        let share =
            if found.level == 0.0 { String::new() } else { format!(" ({})", percent(100.0 * change / found.level)) };
        format!("{}{share}", number(change))
    });
    let p = trend.map_or("–".to_owned(), |trend| match trend.p {
        p if p < 0.001 => "< 0.001".to_owned(),
        p => format!("{p:.3}"),
    });
    vec![
        format!("<th scope=\"row\"><a href=\"#{}\">{}</a></th>", slug(&anchor(step)), escape(step)),
        format!("<td>{}</td>", both(&point)),
        format!("<td>{}</td>", both(&found.quantity.axis())),
        number_cell(&found.samples.to_string()),
        number_cell(&number(found.window_s)),
        number_cell(&number(found.level)),
        number_cell(&slope),
        number_cell(&change),
        number_cell(&p),
        format!("<td><span{class}>{}</span></td>", both(&words)),
    ]
}

/// How much equal things differed.
pub(super) fn noise(figures: &Figures) -> String {
    let noise = &figures.noise;
    let controls: String = noise
        .controls
        .iter()
        .map(|(a, b)| {
            paragraph(&text!(
                "{a} and {b} are the same program (equal SHA-256): their differences are noise by design, a control.",
                "{a} 与 {b} 是同一程序（SHA-256 相同）：二者之差按设计即为噪声，是对照。"
            ))
        })
        .collect();
    if noise.rows.is_empty() {
        return controls
            + &paragraph(&Text::pair(
                "Not known: no target has two repeats of a step, so nothing says how much equal runs differ.",
                "未知：没有被测对象对同一步骤有两次重复，因此不知道相同的运行相差多少。",
            ));
    }
    let rows: Vec<Vec<String>> = noise
        .rows
        .iter()
        .map(|row| {
            let shown = |value: Option<f64>| {
                let text = value.map_or("–".to_owned(), |value| percent(value).trim_start_matches('+').to_owned());
                format!("<td class=\"number\">{}</td>", escape(&text))
            };
            let mut cells = vec![
                format!("<th scope=\"row\"><a href=\"#{}\">{}</a></th>", slug(&anchor(&row.step)), escape(&row.step)),
                row_head(&row.metric.name()),
            ];
            cells.extend(row.spread_percent.iter().map(|spread| shown(*spread)));
            if figures.targets.len() == 2 {
                let difference = row.difference_percent.map_or("–".to_owned(), percent);
                cells.push(format!("<td class=\"number\">{}</td>", escape(&difference)));
                let words = match row.is_beyond() {
                    Some(true) => Text::pair("beyond the noise seen", "超出所见噪声"),
                    Some(false) => Text::pair("within the noise seen", "在所见噪声之内"),
                    None => Text::pair("not known", "未知"),
                };
                cells.push(format!("<td>{}</td>", both(&words)));
            }
            cells
        })
        .collect();
    let mut head = heads(&[("Step", "步骤"), ("Quantity", "指标")]);
    head.extend(figures.targets.iter().map(|target| {
        let label = &target.label;
        both(&text!("{label} against itself", "{label} 相对自身"))
    }));
    if let [a, b] = figures.targets.as_slice() {
        let (a, b) = (&a.label, &b.label);
        head.push(both(&text!("{a} against {b}", "{a} 相对 {b}")));
        head.push(say("Reading", "解读"));
    }
    let (n, within) = (rows.len(), noise.rows.iter().filter(|row| row.is_beyond() == Some(false)).count());
    let beyond = noise.rows.iter().filter(|row| row.is_beyond() == Some(true)).count();
    let summary = match figures.targets.len() {
        2 => text!(
            "{n} figures: {beyond} differences are beyond the noise seen, {within} within it",
            "{n} 项数据：{beyond} 项差异超出所见噪声，{within} 项在其内"
        ),
        _ => text!("The noise of {n} figures", "{n} 项数据的噪声"),
    };
    let repeats = figures.repeats;
    let caption = text!(
        "Greatest less least of {repeats} repeats, percent of their mean",
        "{repeats} 次重复的最大值减最小值，占均值的百分比"
    );
    controls
        + &format!("<p>{}.</p>\n", both(&summary))
        + &details(&caption, &table("noise-floor", &caption, &head, &rows))
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

/// What was wrong with files.
pub(super) fn warnings(figures: &Figures) -> String {
    if figures.warnings.is_empty() {
        return paragraph(&Text::pair("No file was damaged.", "没有损坏的文件。"));
    }
    let items: Vec<String> = figures.warnings.iter().map(|text| escape(text)).collect();
    let head = paragraph(&Text::pair("Damage and doubts found while reading:", "读取时发现的损坏与疑点："));
    head + &list("ul", "", &items)
}
