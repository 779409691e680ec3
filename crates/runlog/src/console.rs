//! Console logs of emqtt_bench and `loadgen`: what a terminal showed, with everything that was typed in between.
//!
//! A run begins with a command line of the tool, with `Start with N workers, ...`, or where the time steps back. Each line of a counter is
//! `1m28s recv total=2816 rate=32.00/sec`: the time since the begin, the counter's name, its total, and its rate since its last
//! line. emqtt_bench tells of single clients that fail between them: `client(7): EXIT for {shutdown,tcp_closed}`. Colours are
//! taken out. Lines of anything else are a terminal's own; a line that begins as a counter's and does not end as one is damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Loaded, Result, Warning, Warnings, write};

/// No log of a terminal is larger; a larger file is something else.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// One run of a log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConsoleRun {
    /// The line, from 1, at which it begins.
    pub line: u64,
    /// The command line of the tool as it was typed before the run, shell variables filled in where the log shows them being
    /// set.
    pub command: Option<String>,
    /// What its counters showed, by name.
    pub counters: BTreeMap<String, Vec<ConsoleSample>>,
    /// Clients that the tool told of as failed.
    pub failures: BTreeMap<ClientFailure, Failures>,
}

/// What may happen to a single client of emqtt_bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientFailure {
    /// `client(7): connect error - ..`: it did not connect.
    Connect,
    /// `client(7): publish error - ..`: a message was not sent.
    Publish,
    /// `client(7): EXIT for ..`: it lost its connection.
    Disconnect,
}

/// Lines that tell of one kind of failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// The first one's line in the file, from 1.
    pub line: u64,
    /// Time of the last line of a counter before it, s.
    pub after_s: u64,
    /// What it said.
    pub text: String,
}

/// One line of a counter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConsoleSample {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Time since the begin of the run, s.
    pub at_s: u64,
    /// The counter.
    pub total: u64,
    /// Per second, as the tool printed it.
    pub rate: f64,
}

/// Text files (`.txt`, `.log`) of at most [`FILE_BYTES_MAX`] in a directory at any depth, in the order of their paths: logs, if
/// [`read`] finds runs in them. Metadata of runs is left out, and so is what was set aside.
///
/// # Errors
/// A directory cannot be read.
pub fn find(directory: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("read directory", &folder))? {
            let entry = entry.map_err(Error::io("read directory", &folder))?;
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            let is_text = path.extension().is_some_and(|extension| extension == "txt" || extension == "log");
            let is_metadata = entry.file_name() == write::GUIDE_META;
            let is_small = || entry.metadata().is_ok_and(|metadata| metadata.len() <= FILE_BYTES_MAX);
            if kind.is_dir() && entry.file_name() != write::SET_ASIDE {
                folders.push(path);
            } else if kind.is_file() && is_text && !is_metadata && is_small() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a log lies in a folder beside the events of a playbook, which keeps there what its tools said on their terminals.
pub fn is_of_playbook(log: &Path) -> bool {
    log.parent().and_then(Path::parent).is_some_and(|home| home.join(write::EVENTS).is_file())
}

/// Reads a log.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Loaded<Vec<ConsoleRun>>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    Ok(parse(path, &bytes))
}

/// The same for text that is in memory; `path` names it in warnings.
pub fn parse(path: &Path, bytes: &[u8]) -> Loaded<Vec<ConsoleRun>> {
    let (mut runs, mut damage) = (Vec::<ConsoleRun>::new(), Warnings::default());
    let (mut begins, mut last_s, mut shell) = (true, 0, Shell::default());
    // Clients may fail before the first line of a counter.
    let mut failures = BTreeMap::new();
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = plain(text);
        let text = text.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default().trim();
        if text.starts_with("Start with ") && text.contains(" workers") {
            begins = true;
            continue;
        }
        let mut words = text.split_ascii_whitespace();
        let Some(at_s) = words.next().and_then(elapsed_s) else {
            if let Some(failure) = client_failure(text) {
                let after_s = if begins { 0 } else { last_s };
                let of_run = runs.last_mut().filter(|_| !begins).map_or(&mut failures, |run| &mut run.failures);
                let first = Failures { count: 0, line, after_s, text: text.chars().take(TEXT_CHARS_MAX).collect() };
                of_run.entry(failure).or_insert(first).count += 1;
            } else {
                begins |= shell.read(text);
            }
            continue;
        };
        let (Some(name), Some(total)) = (words.next(), words.next()) else { continue };
        // `publish_latency avg=3ms` and its like are no counters.
        let Some(total) = total.strip_prefix("total=") else { continue };
        let rate = words.next().and_then(|word| word.strip_prefix("rate=")?.strip_suffix("/sec"));
        let rate = rate.and_then(|rate| rate.parse().ok()).filter(|rate: &f64| rate.is_finite());
        let (Ok(total), Some(rate), None) = (total.parse(), rate, words.next()) else {
            let message = format!("begins as a line of {name:?} and does not end as one: dropped");
            damage.push(Warning::new(path, Some(line), message));
            continue;
        };
        if begins || at_s < last_s {
            let (command, failures) = (shell.command.take(), std::mem::take(&mut failures));
            runs.push(ConsoleRun { line, command, failures, ..ConsoleRun::default() });
        }
        (begins, last_s) = (false, at_s);
        let run = runs.last_mut().expect("the first line of a counter begins a run");
        run.counters.entry(name.to_owned()).or_default().push(ConsoleSample { line, at_s, total, rate });
    }
    Loaded { value: runs, warnings: damage.list("damaged lines") }
}

/// What was typed at a prompt.
#[derive(Default)]
struct Shell {
    variables: BTreeMap<String, String>,
    /// The last command line of a tool.
    command: Option<String>,
    /// Whether the next line belongs to it.
    continues: bool,
}

impl Shell {
    /// Reads a line that is no counter's, and tells whether a tool was called in it.
    fn read(&mut self, line: &str) -> bool {
        if std::mem::take(&mut self.continues) {
            let rest = self.filled(line);
            self.take(&rest, true);
            return false;
        }
        // A prompt ends with "# " or "$ ", and what stands behind a later "#" is a comment.
        let typed = ["# ", "$ "].iter().filter_map(|end| line.split_once(end)).find(|(prompt, _)| is_prompt(prompt));
        let typed = typed.map_or(line, |(_, typed)| typed);
        let words = || typed.split_ascii_whitespace().take_while(|word| !word.starts_with('#'));
        let mut is_call = false;
        if let Some((name, value)) = words().next().and_then(|word| word.split_once('='))
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            self.variables.insert(name.to_owned(), value.trim_matches(['"', '\'']).to_owned());
        } else if words().take(COMMAND_WORDS).any(is_tool) {
            let command = self.filled(typed);
            self.take(&command, false);
            is_call = true;
        }
        is_call
    }

    fn take(&mut self, text: &str, is_more: bool) {
        self.continues = text.ends_with('\\');
        let text = text.trim_end_matches('\\').trim();
        match &mut self.command {
            Some(command) if is_more => {
                command.push(' ');
                command.push_str(text);
            }
            command => *command = Some(text.to_owned()),
        }
    }

    /// A line without quotes, `$NAME` and `${NAME}` replaced where the name is known.
    fn filled(&self, line: &str) -> String {
        let word = |word: &str| {
            let bare: String = word.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
            let name = bare.strip_prefix('$').map(|name| name.trim_start_matches('{').trim_end_matches('}'));
            name.and_then(|name| self.variables.get(name)).cloned().unwrap_or(bare)
        };
        line.split_ascii_whitespace().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// Whether this stands before what is typed, as `root@host:~/bin` does.
fn is_prompt(text: &str) -> bool {
    text.contains('@') && !text.contains(' ')
}

/// Whether a word names one of the tools, with any path before it.
fn is_tool(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("emqtt_bench" | "loadgen"))
}

/// A tool stands at the begin of its command line, behind `sudo`, `taskset -c 1` and their like.
const COMMAND_WORDS: usize = 8;

/// A line without the sequences by which a terminal is coloured.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.strip_prefix('[').and_then(|codes| codes.find(|c: char| ('@'..='~').contains(&c)));
        plain.push_str(end.map_or(part, |end| &part[end + 2..]));
    }
    plain
}

/// What a line such as `client(7): EXIT for {shutdown,tcp_closed}` tells of.
fn client_failure(line: &str) -> Option<ClientFailure> {
    let (client, what) = line.split_once("): ")?;
    client.strip_prefix("client(")?.parse::<u64>().ok()?;
    let kinds = [
        ("connect error", ClientFailure::Connect),
        ("publish error", ClientFailure::Publish),
        ("EXIT for", ClientFailure::Disconnect),
    ];
    kinds.into_iter().find(|(begin, _)| what.starts_with(begin)).map(|(_, kind)| kind)
}

/// Of a line that stands as evidence.
const TEXT_CHARS_MAX: usize = 120;

/// `1m28s` as seconds.
fn elapsed_s(text: &str) -> Option<u64> {
    let (mut sum, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
        let unit_s = match rest.as_bytes()[digits] {
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        sum = sum.checked_add(rest[..digits].parse::<u64>().ok()?.checked_mul(unit_s)?)?;
        rest = &rest[digits + 1..];
    }
    text.ends_with('s').then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_runs_with_colours_typing_and_damage() {
        let log =
            b"root@host:~# ./emqtt_bench sub\nStart with 2 workers, addrs pool size: 1 and req interval: 8 ms \n\n\
                    \x1b[32m59s sub total=5 rate=5.00/sec\x1b[0m\r\n1m1s connect_succ total=5 rate=2.50/sec\n\
                    1m1s publish_latency avg=3ms\n1m2s recv total=12\n1h1m3s recv total=40 rate=8.00/sec\n^C\n\
                    Start with 2 workers, addrs pool size: 1\n1s sub total=1 rate=1.00/sec\n";
        let loaded = parse(Path::new("log"), log);
        let [first, second] = loaded.value.as_slice() else { panic!("{:?}", loaded.value) };
        assert_eq!((first.line, second.line), (4, 11));
        assert_eq!(first.counters["sub"], [ConsoleSample { line: 4, at_s: 59, total: 5, rate: 5.0 }]);
        assert_eq!(first.counters["connect_succ"][0].at_s, 61);
        assert_eq!(first.counters["recv"], [ConsoleSample { line: 8, at_s: 3_663, total: 40, rate: 8.0 }]);
        assert_eq!(second.counters.len(), 1);
        assert_eq!(loaded.warnings.iter().map(|warning| warning.line).collect::<Vec<_>>(), [Some(7)]);
    }

    #[test]
    fn the_command_line_of_each_run_is_kept() {
        let log = b"root@h:~# N=40   # pairs\nQ=\"1\"\n# a comment about emqtt_bench\n\
                    ./emqtt_bench sub -c \"${N}\" -q $Q -t x/%i \\\n  -V 4\n1s sub total=1 rate=1.00/sec\n\
                    user@h:~$ sudo /opt/emqtt_bench pub -c $UNKNOWN\n1s pub total=1 rate=1.00/sec\n\
                    Start with 2 workers\n1s pub total=1 rate=1.00/sec\n";
        let runs = parse(Path::new("log"), log).value;
        let commands: Vec<Option<&str>> = runs.iter().map(|run| run.command.as_deref()).collect();
        let expected =
            [Some("./emqtt_bench sub -c 40 -q 1 -t x/%i -V 4"), Some("sudo /opt/emqtt_bench pub -c $UNKNOWN"), None];
        assert_eq!(commands, expected);
    }

    #[test]
    fn clients_that_fail_belong_to_the_run_they_are_told_in() {
        let log = b"$ emqtt_bench sub -c 4\nclient(1): connect error - econnrefused\n1s sub total=3 rate=3.00/sec\n\
                    5s recv total=9 rate=2.00/sec\nclient(2): EXIT for {shutdown,tcp_closed}\nclient(3): EXIT for {shutdown,tcp_closed}\n\
                    client(x): EXIT for nothing\nStart with 2 workers\n1s sub total=1 rate=1.00/sec\n";
        let runs = parse(Path::new("log"), log).value;
        let of = |count, line, after_s, text: &str| Failures { count, line, after_s, text: text.to_owned() };
        let expected = BTreeMap::from([
            (ClientFailure::Connect, of(1, 2, 0, "client(1): connect error - econnrefused")),
            (ClientFailure::Disconnect, of(2, 5, 5, "client(2): EXIT for {shutdown,tcp_closed}")),
        ]);
        assert_eq!(runs[0].failures, expected);
        assert_eq!(runs[1].failures, BTreeMap::new());
    }

    #[test]
    fn hostile_bytes_are_no_lines() {
        for bytes in [
            b"\xff\x1b[".as_slice(),
            b"\x1b[\x1b[31",
            b"99999999999999999999s a total=1 rate=1/sec",
            b"s a total=1",
            "é1s x total=1 rate=1/sec".as_bytes(),
        ] {
            assert_eq!(parse(Path::new("log"), bytes).value, []);
        }
    }

    #[test]
    fn the_published_log_has_three_runs() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/axmq/axmq-n2n-qos0-1-2.txt");
        if !path.exists() {
            eprintln!("SKIPPED: {} is absent", path.display());
            return;
        }
        let loaded = read(&path).unwrap();
        assert_eq!(loaded.warnings, []);
        assert_eq!(loaded.value.len(), 3);
        for (qos, run) in loaded.value.iter().enumerate() {
            let command = run.command.as_deref().unwrap();
            assert!(command.contains(" -c 4000 ") && command.ends_with(&format!(" -q {qos}")), "{command}");
            assert_eq!(run.counters["sub"].last().unwrap().total, 4_000);
            assert!(run.counters["recv"].is_sorted_by_key(|sample| (sample.at_s, sample.total)));
        }
        let recv: usize = loaded.value.iter().map(|run| run.counters["recv"].len()).sum();
        assert_eq!(recv, 983);
        let ConsoleSample { at_s, total, rate, .. } = loaded.value[0].counters["recv"][0];
        assert_eq!((at_s, total, rate), (88, 2_816, 32.0));
    }
}
