//! Targets, hosts, settings, tools and files.

use super::super::configuration::{Configuration, ConfigurationFile};
use super::super::figures::Figures;
use super::super::format::bytes;
use super::super::text::Text;
use super::{
    both, cell, code, details, escape, heads, marker, not_recorded, paragraph, row_head, say, table, value_cell,
};
use crate::text;

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

/// How each broker was set up: files, command line, environment, limits.
pub(super) fn configurations(figures: &Figures) -> String {
    if figures.configurations.is_empty() {
        return not_recorded(
            "configuration files, environment and limits of the brokers",
            "服务端的配置文件、环境与限制",
        );
    }
    figures.configurations.iter().enumerate().map(|(index, found)| configuration(figures, index, found)).collect()
}

fn configuration(figures: &Figures, index: usize, found: &Configuration) -> String {
    let label = &found.label;
    let name = figures.targets.iter().find(|target| target.label == *label).map_or("", |target| target.name.as_str());
    let mut parts: String = found.files.iter().map(configuration_file).collect();
    if found.files.is_empty() {
        parts += &paragraph(&Text::pair(
            "No configuration file: what the command line does not say is the vendor's default.",
            "没有配置文件：命令行未说明的都是厂商默认值。",
        ));
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |what: &str, value: &str| {
        rows.push(vec![format!("<th scope=\"row\" class=\"code\">{}</th>", escape(what)), code(Some(value))]);
    };
    if !found.argv.is_empty() {
        add("argv", &found.argv.join(" "));
    }
    found.environment.iter().for_each(|(name, value)| add(&format!("environment: {name}"), value));
    found.process.iter().for_each(|(name, value)| add(name, value));
    let caption = text!("What {label} {name} ran under", "{label} {name} 的运行条件");
    let columns = heads(&[("Setting", "参数"), ("Value", "值")]);
    let n = found.files.len();
    let summary = text!("{label} {name}: {n} files, command line, limits", "{label} {name}：{n} 个文件、命令行与限制");
    details(&summary, &(parts + &table(&format!("configuration-{index}"), &caption, &columns, &rows)))
}

fn configuration_file(file: &ConfigurationFile) -> String {
    let (name, steps) = (&file.name, file.steps);
    let title = text!("{name}, written for {steps} steps and repeats", "{name}，为 {steps} 个步骤与重复写出");
    let changing = file.changing.join("; ");
    let changing = if changing.is_empty() {
        Text::pair("The same in all of them.", "各处相同。")
    } else {
        text!("The text of the first; these lines change: {changing}", "首个的文本；以下各行会变：{changing}")
    };
    let pre = format!("<pre tabindex=\"0\"><code>{}</code></pre>\n", escape(&file.text));
    format!("<p><strong>{}</strong>: {}</p>\n{pre}", both(&title), both(&changing))
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
