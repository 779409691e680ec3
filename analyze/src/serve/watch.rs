//! What the runs of an experiment show just now: by bounded work, however long they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use runlog::clock::{self, NS_PER_S};
use runlog::table::Table;
use runlog::{Edge, EventKind, Run, columns};
use serde::Serialize;

/// Knows the runs that it has seen, so that each is opened once.
pub struct Watch {
    dir: PathBuf,
    known: BTreeMap<PathBuf, Known>,
    started_mono_ns: u64,
}

struct Known {
    run: Run,
    /// Whether its tool has written its summary.
    is_done: bool,
}

/// One look.
#[derive(Debug, Default, Serialize)]
pub struct Snapshot {
    /// The directory.
    pub dir: String,
    /// When, UTC.
    pub utc: String,
    /// Headline of the plan, where there is one.
    pub title: Option<String>,
    /// Points that the plan has.
    pub points_planned: Option<usize>,
    /// Points of which some run has been found.
    pub points_begun: usize,
    /// Runs found.
    pub runs: usize,
    /// Those that have their summary.
    pub runs_done: usize,
    /// The phase that was begun last and has not ended: step and name.
    pub phase: Option<(String, String)>,
    /// Those that grow, the newest first.
    pub live: Vec<Live>,
    /// The latest events, the newest first: UTC, kind, text.
    pub events: Vec<Told>,
    /// What looking costs.
    pub cost: Cost,
}

/// A run that grows.
#[derive(Debug, Serialize)]
pub struct Live {
    /// Role and tag.
    pub name: String,
    /// Step, label and repeat.
    pub point: String,
    /// Seconds since its last row.
    pub age_s: f64,
    /// Name and value of what its last interval shows, with the name in Chinese.
    pub now: Vec<Named>,
    /// Place of its target among all, by its letter: its colour.
    #[serde(skip)]
    pub place: usize,
    /// The line that a picture shows: its name in both languages, and (seconds before now, value).
    pub line: Option<Curve>,
}

/// A counter of a load tool.
type Count = fn(&runlog::write::CounterRow) -> u64;
/// An event in words: UTC, kind, text.
pub type Told = (String, String, String);
/// A name in both languages and a value.
pub type Named = (&'static str, &'static str, f64);
/// A name in both languages and points.
pub type Curve = (&'static str, &'static str, Vec<(f64, f64)>);

/// The last rows of a run.
struct Rows {
    last_wall_ns: u64,
    now: Vec<Named>,
    line: Option<Curve>,
}

/// What this program has used.
#[derive(Debug, Default, Serialize)]
pub struct Cost {
    /// CPU since its start, s.
    pub cpu_s: f64,
    /// The same as percent of one core.
    pub cpu_percent: f64,
    /// The last look took so long, ms.
    pub look_ms: f64,
}

impl Watch {
    /// Watches a directory.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            bail!("{} is no directory: give the one that a playbook writes its runs to", dir.display());
        }
        Ok(Self { dir: dir.to_owned(), known: BTreeMap::new(), started_mono_ns: clock::mono_ns() })
    }

    /// Looks.
    ///
    /// # Errors
    /// When the directory cannot be listed any more.
    pub fn look(&mut self) -> Result<Snapshot> {
        let begin_ns = clock::mono_ns();
        self.find_runs()?;
        let plan = runlog::read::plan(&self.dir).ok().flatten().unwrap_or_default();
        let text = |key: &str| plan.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        let contexts = self.known.values().filter_map(|known| known.run.context.as_ref());
        let points: BTreeSet<_> = contexts.map(|c| (c.step.clone(), c.label.clone(), c.repeat)).collect();
        let now_ns = clock::wall_ns();
        let mut live: Vec<(u64, Live)> =
            self.growing().filter_map(|run| Some((run.utc.unwrap_or(0), Live::of(run, now_ns)?))).collect();
        live.sort_by(|a, b| (b.0, &b.1.name).cmp(&(a.0, &a.1.name)));
        live.retain(|(_, live)| live.age_s < STALE_S);
        let (events, phase) = self.events();
        let cpu_s = clock::self_cpu_ns() as f64 / NS_PER_S as f64;
        let up_s = (clock::mono_ns() - self.started_mono_ns) as f64 / NS_PER_S as f64;
        Ok(Snapshot {
            dir: self.dir.display().to_string(),
            utc: clock::utc_text(now_ns),
            title: text("title").or(text("experiment")),
            points_planned: plan.get("steps").and_then(|steps| steps.as_array()).map(Vec::len),
            points_begun: points.len(),
            runs: self.known.len(),
            runs_done: self.known.values().filter(|known| known.is_done).count(),
            phase,
            live: live.into_iter().map(|(_, live)| live).collect(),
            events,
            cost: Cost {
                cpu_s,
                cpu_percent: 100.0 * cpu_s / up_s.max(1.0),
                look_ms: (clock::mono_ns() - begin_ns) as f64 / 1e6,
            },
        })
    }

    fn find_runs(&mut self) -> Result<()> {
        let paths = runlog::read::find(std::slice::from_ref(&self.dir)).context("cannot look for runs")?;
        let present: BTreeSet<&PathBuf> = paths.iter().collect();
        self.known.retain(|path, _| present.contains(path));
        for path in &paths {
            // A run whose metadata was not yet there when it was found is opened again.
            let is_open = self.known.get(path).is_some_and(|known| known.run.meta.is_some() || known.is_done);
            if !is_open {
                self.known.insert(path.clone(), Known { run: Run::open(path), is_done: false });
            }
        }
        for known in self.known.values_mut().filter(|known| !known.is_done) {
            known.is_done = known.run.summary_path().exists();
        }
        Ok(())
    }

    /// The newest runs without a summary.
    fn growing(&self) -> impl Iterator<Item = &Run> {
        let mut runs: Vec<&Run> = self.known.values().filter(|known| !known.is_done).map(|known| &known.run).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.utc));
        runs.into_iter().take(LIVE_MAX)
    }

    /// The latest events beside the runs that were begun last, and the phase that they say is on.
    fn events(&self) -> (Vec<Told>, Option<(String, String)>) {
        let mut by_time: Vec<&Run> = self.known.values().map(|known| &known.run).collect();
        by_time.sort_by_key(|run| std::cmp::Reverse(run.utc));
        let mut homes: Vec<PathBuf> = Vec::new();
        for home in by_time.iter().filter_map(|run| run.path.parent()) {
            if homes.len() < HOMES_MAX && !homes.iter().any(|known| known == home) {
                homes.push(home.to_owned());
            }
        }
        let places = homes.into_iter().chain(self.growing().map(|run| run.path.clone()));
        let mut events: Vec<_> =
            places.flat_map(|place| Run::open(place).events_tail(EVENT_BYTES_MAX).unwrap_or_default()).collect();
        events.sort_by_key(|event| event.wall_ns);
        let step = |event: &runlog::Event| crate::phases::detail(event, "step").unwrap_or_default().to_owned();
        let marked: Vec<_> = events.iter().filter(|e| e.kind == EventKind::Phase && !step(e).is_empty()).collect();
        let phase = marked.last().filter(|event| event.edge == Some(Edge::Begin)).map(|e| (step(e), e.name.clone()));
        let told = events.iter().rev().take(EVENTS_MAX).map(|event| {
            let reason = crate::phases::detail(event, "reason").or(crate::phases::detail(event, "text"));
            let edge = event.edge.map_or("", |edge| if edge == Edge::Begin { "begin" } else { "end" });
            let passed = match event.detail.get("passed").and_then(serde_json::Value::as_bool) {
                Some(true) => "passed",
                Some(false) => "FAILED",
                None => "",
            };
            let parts = [step(event).as_str(), event.name.as_str(), edge, passed, reason.unwrap_or("")]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" ");
            let kind = format!("{:?}", event.kind).to_lowercase();
            (clock::utc_text(event.wall_ns), kind, parts)
        });
        (told.collect(), phase)
    }
}

impl Live {
    /// The last rows of a run; `None` when there are fewer than two yet.
    fn of(run: &Run, now_ns: u64) -> Option<Self> {
        let context = run.context.as_ref();
        let point = context.map_or_else(String::new, |c| format!("{} {} #{}", c.step, c.label, c.repeat));
        let Rows { last_wall_ns, now, line } =
            if run.counters_path().exists() { Self::of_tool(run)? } else { Self::of_host(run)? };
        let age_s = now_ns.saturating_sub(last_wall_ns) as f64 / NS_PER_S as f64;
        let name = format!("{} {}", run.role, run.tag);
        let place =
            context.and_then(|context| context.label.bytes().next()).map_or(0, |letter| letter.wrapping_sub(b'A'));
        Some(Self { name, point, place: usize::from(place), age_s, now, line })
    }

    fn of_tool(run: &Run) -> Option<Rows> {
        let rows = run.counters_tail(TAIL_BYTES_MAX).ok()?;
        let [.., before, last] = rows.as_slice() else { return None };
        let elapsed_s = (last.mono_ns.saturating_sub(before.mono_ns)) as f64 / NS_PER_S as f64;
        let rate = |of: fn(&runlog::write::CounterRow) -> u64| {
            if elapsed_s > 0.0 { of(last).saturating_sub(of(before)) as f64 / elapsed_s } else { 0.0 }
        };
        let now = vec![
            ("connected", "已连接", last.connected as f64),
            ("connecting/s", "建连/s", rate(|row| row.connect_succ)),
            ("offered/s", "应发/s", rate(|row| row.offered)),
            ("written/s", "写出/s", rate(|row| row.written)),
            ("received/s", "接收/s", rate(|row| row.received)),
            ("lost", "丢失", last.lost as f64),
            ("disconnected", "断开", last.disconnected as f64),
            ("CPU, % of a core", "CPU，单核 %", rate(|row| row.self_cpu_us) / 1e4),
        ];
        let before_now = |row: &runlog::write::CounterRow| row.mono_ns as f64 / 1e9 - last.mono_ns as f64 / 1e9;
        // What a reader wants to see move: deliveries, else what is sent, else connections.
        let (en, zh, count): (_, _, Option<Count>) = if last.received > 0 {
            ("received, msg/s", "接收，条/s", Some(|row| row.received))
        } else if last.written > 0 {
            ("sent, msg/s", "发送，条/s", Some(|row| row.written))
        } else {
            ("clients connected", "已连接的客户端", None)
        };
        let points = rows.windows(2).filter(|pair| pair[1].mono_ns > pair[0].mono_ns).map(|pair| {
            let dt_s = (pair[1].mono_ns - pair[0].mono_ns) as f64 / NS_PER_S as f64;
            let level = pair[1].connected as f64;
            let value = count.map_or(level, |of| of(&pair[1]).saturating_sub(of(&pair[0])) as f64 / dt_s);
            (before_now(&pair[1]), value)
        });
        let points: Vec<(f64, f64)> = points.collect();
        let points = points[points.len().saturating_sub(POINTS_MAX)..].to_vec();
        Some(Rows { last_wall_ns: last.wall_ns, now, line: Some((en, zh, points)) })
    }

    fn of_host(run: &Run) -> Option<Rows> {
        let table = run.raw_tail(TAIL_BYTES_MAX).ok()?;
        let stamps = table.numbers(columns::MONO_NS).ok()?;
        let walls = table.numbers(columns::WALL_NS).ok()?;
        let last = stamps.len().checked_sub(1).filter(|last| *last > 0)?;
        let elapsed_s = stamps[last]?.checked_sub(stamps[last - 1]?)? as f64 / NS_PER_S as f64;
        let column = |name: &str| table.numbers(name).unwrap_or_default();
        let rate = |table: &Table, name: &str| {
            let counts = table.numbers(name).ok()?;
            let grown = counts.get(last).copied()??.checked_sub(counts.get(last - 1).copied()??)?;
            (elapsed_s > 0.0).then(|| grown as f64 / elapsed_s)
        };
        let level = |name: &str| column(name).get(last).copied().flatten().map(|level| level as f64);
        let cpu = rate(&table, columns::PROC_CPU_USER_US).zip(rate(&table, columns::PROC_CPU_SYS_US));
        let now = [
            ("RSS, MiB", "RSS，MiB", level(columns::PROC_RSS_KB).map(|kib| kib / 1024.0)),
            ("CPU, % of a core", "CPU，单核 %", cpu.map(|(user, system)| (user + system) / 1e4)),
            ("TCP sockets", "TCP 套接字", level(columns::TCP_ESTAB)),
            ("sent, MiB/s", "发送，MiB/s", rate(&table, columns::TX_BYTES).map(|bytes| bytes / MIB)),
            ("received, MiB/s", "接收，MiB/s", rate(&table, columns::RX_BYTES).map(|bytes| bytes / MIB)),
            ("context switches/s", "上下文切换/s", rate(&table, columns::CTXT)),
            ("retransmissions/s", "重传/s", rate(&table, columns::TCP_RETRANSSEGS)),
        ];
        let now = now.into_iter().filter_map(|(en, zh, value)| Some((en, zh, value?))).collect();
        let end_ns = stamps[last]? as f64;
        let rss = column(columns::PROC_RSS_KB);
        let points = stamps
            .iter()
            .zip(&rss)
            .filter_map(|(stamp, kib)| Some((((*stamp)? as f64 - end_ns) / 1e9, (*kib)? as f64 / 1024.0)));
        let points: Vec<(f64, f64)> = points.collect();
        let points = points[points.len().saturating_sub(POINTS_MAX)..].to_vec();
        let line = (points.len() > 1).then_some(("memory (RSS), MiB", "内存（RSS），MiB", points));
        Some(Rows { last_wall_ns: walls.get(last).copied()??, now, line })
    }
}

/// Of each growing file so much is read at most, bytes.
const TAIL_BYTES_MAX: u64 = 64 * 1024;
const EVENT_BYTES_MAX: u64 = 16 * 1024;
/// Growing runs that are looked at.
const LIVE_MAX: usize = 16;
/// Directories of a target's repeat whose events are looked at.
const HOMES_MAX: usize = 2;
const EVENTS_MAX: usize = 12;
const POINTS_MAX: usize = 120;
/// A run without a summary whose last row is older was killed.
const STALE_S: f64 = 30.0;
const MIB: f64 = 1_048_576.0;
