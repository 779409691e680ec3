//! What the runner and the agent on a host say to each other: one line of JSON each, requests on the agent's standard input,
//! answers and news on its standard output.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::plan::{PlannedFile, ProcessKind};

/// From the runner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Comes back with the answer.
    pub(crate) id: u64,
    pub(crate) ask: Ask,
}

/// What the runner wants.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// Who are you? Answer: [`Answer::Facts`].
    Hello {
        /// By which the other hosts reach this one.
        address: Ipv4Addr,
    },
    /// What do your clocks show? Answer: [`Answer::Clock`]. Also the sign that the runner is still there.
    Clock,
    /// Have you got the program of a target? Answer: [`Answer::Found`].
    Find {
        /// Name of the target file, for messages.
        file: String,
        /// Its text.
        text: String,
        /// Whether it may be installed.
        may_install: bool,
    },
    /// Which of these programs are not there? Answer: [`Answer::Absent`].
    Programs { paths: Vec<String> },
    /// A step begins: an empty folder with these folders and files in it.
    Begin { folder: String, folders: Vec<String>, files: Vec<PlannedFile> },
    /// Start a process. Answer: [`Answer::Started`].
    Start(StartProcess),
    /// Send a process a signal.
    Signal { name: String, signal: i32 },
    /// Does this address accept a connection from you? Answer: [`Answer::Accepts`].
    Accepts { address: SocketAddr, limit_ms: u64 },
    /// The end of a process's log. Answer: [`Answer::Words`].
    LastWords { name: String },
    /// All of it. Answer: [`Answer::Words`].
    Output { name: String },
    /// How many sockets are in TIME_WAIT? Answer: [`Answer::TimeWait`].
    TimeWait,
    /// That was all: the host stays tuned until Ansible restores it.
    Bye,
}

/// A process to start; paths are the host's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StartProcess {
    pub(crate) name: String,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) log: String,
    pub(crate) cpus: Vec<usize>,
    /// What says that it is ready, and in which run directory.
    pub(crate) watched: Option<(ProcessKind, String)>,
}

/// From the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    Answer { id: u64, result: Result<Answer, String> },
    News(News),
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Done,
    Facts(Facts),
    Clock { mono_ns: u64, wall_ns: u64 },
    Found(Option<Found>),
    Absent(Vec<String>),
    Started { pid: u32 },
    Accepts(bool),
    Words(String),
    TimeWait(Option<u64>),
}

/// What the agent tells without being asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum News {
    /// A process does what it was started for.
    Ready { name: String },
    /// A process has ended.
    Ended {
        name: String,
        /// As of wait(2).
        wait_status: i32,
        last_words: String,
    },
}

/// What a plan must know of a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Version of the agent's program: both sides must speak the same protocol.
    pub(crate) version: String,
    pub(crate) user: String,
    /// Most files that a process may open.
    pub(crate) files_max: u64,
    pub(crate) boot_id: Option<String>,
    /// The interface that has the asked address; absent when none has.
    pub(crate) interface: Option<String>,
}

/// The program of a target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) exe: String,
    /// The program that starts it, where that is another.
    pub(crate) starter: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) sha256: Option<String>,
    /// What was done to have it.
    pub(crate) note: Option<String>,
}
