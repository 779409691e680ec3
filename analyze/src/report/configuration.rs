//! How the brokers were set up: the files, options and limits that were in force, from the plan and from the collectors'
//! metadata. Secrets are blotted out.

use std::collections::BTreeMap;

use runlog::secrets;
use serde::Serialize;
use serde_json::Value;

use super::experiment::Experiment;

/// The settings of one target.
#[derive(Debug, Default, Serialize)]
pub struct Configuration {
    /// Label of the target.
    pub label: String,
    /// Its files, as they were written for its first step.
    pub files: Vec<ConfigurationFile>,
    /// Command line of the first step.
    pub argv: Vec<String>,
    /// Environment that the plan adds.
    pub environment: BTreeMap<String, String>,
    /// What the broker's process ran under: limits of the process and of its cgroup, processors, niceness, package.
    pub process: BTreeMap<String, String>,
}

/// One file of a target.
#[derive(Debug, Serialize)]
pub struct ConfigurationFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Steps and repeats for which it was written.
    pub steps: usize,
    /// Lines that are not the same in all of them, such as the one with the port.
    pub changing: Vec<String>,
}

/// The settings of each target that says something of them.
pub fn of(experiment: &Experiment, plan: &Value) -> Vec<Configuration> {
    let found = experiment.targets.iter().map(|target| of_target(experiment, plan, &target.label));
    found.filter(|found| !found.files.is_empty() || !found.process.is_empty() || !found.argv.is_empty()).collect()
}

fn of_target(experiment: &Experiment, plan: &Value, label: &str) -> Configuration {
    let steps = plan.get("steps").and_then(Value::as_array).into_iter().flatten();
    let of_label = steps.filter(|step| step.get("label").and_then(Value::as_str) == Some(label));
    let brokers: Vec<&Value> = of_label.filter_map(|step| step.get("broker")).collect();
    let mut found = Configuration { label: label.to_owned(), ..Configuration::default() };
    if let Some(first) = brokers.first() {
        let argv = first.get("argv").and_then(Value::as_array).into_iter().flatten();
        found.argv = secrets::without_secrets(argv.filter_map(|word| Some(word.as_str()?.to_owned())));
        let environment = first.get("env").and_then(Value::as_object).into_iter().flatten();
        let pairs: Vec<String> =
            environment.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
        found.environment = secrets::environment(&pairs.join("\0"));
    }
    found.files = files(&brokers);
    let run = experiment.points.iter().filter(|point| experiment.targets[point.target].label == label);
    let mut processes = run.filter_map(|point| point.broker.as_ref()?.meta.as_ref()?.process.as_ref());
    if let Some(process) = processes.next() {
        let mut add = |name: &str, value: Option<String>| {
            found.process.extend(value.map(|value| (name.to_owned(), value)));
        };
        add("package", process.package.clone());
        add("processors", process.cpus_allowed.clone());
        add("niceness", process.nice.map(|nice| nice.to_string()));
        for (name, [soft, hard]) in &process.ulimits {
            add(&format!("limit: {name}"), Some(format!("{soft} / {hard}")));
        }
        for (name, value) in &process.cgroup_limits {
            add(&format!("cgroup: {name}"), Some(value.clone()));
        }
    }
    found
}

/// Each file by its name, with what changes between the steps.
fn files(brokers: &[&Value]) -> Vec<ConfigurationFile> {
    let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for file in brokers.iter().filter_map(|broker| broker.get("files")?.as_array()).flatten() {
        let (Some(path), Some(text)) =
            (file.get("path").and_then(Value::as_str), file.get("text").and_then(Value::as_str))
        else {
            continue;
        };
        texts.entry(path.rsplit('/').next().unwrap_or(path).to_owned()).or_default().push(text);
    }
    let file = |(name, texts): (String, Vec<&str>)| {
        let first = texts[0];
        let is_everywhere = |line: &&str| texts.iter().all(|text| text.lines().any(|other| other == *line));
        let changing = first.lines().filter(|line| !is_everywhere(line)).map(secrets::configuration).collect();
        ConfigurationFile { name, text: secrets::configuration(first.trim()), steps: texts.len(), changing }
    };
    texts.into_iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_shown_once_with_the_lines_that_change() {
        let broker = |port: u32| {
            let text = format!("\nlistener {port} 127.0.0.1\nallow_anonymous true\npassword_file /x\n");
            json!({"files": [{"path": format!("/runs/{port}/mosquitto.conf"), "text": text}]})
        };
        let brokers = [broker(1883), broker(1884)];
        let found = files(&brokers.iter().collect::<Vec<_>>());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].steps), ("mosquitto.conf", 2));
        assert_eq!(found[0].changing, ["listener 1883 127.0.0.1"]);
        assert!(found[0].text.starts_with("listener 1883") && found[0].text.contains("password_file ***"));
    }
}
