//! What can go wrong with a run directory, and what is only worth a warning.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure that leaves nothing to work with. Damage that leaves something is a [`Warning`].
///
/// The text is complete in itself: it ends with the reason, so there is no further `source()` to print.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be made, read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// The verb: `read`, `create`, `append to`.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the system answered.
        reason: std::io::Error,
    },
    /// A run directory must be new: mixing two runs in one would make both worthless.
    #[error("run directory {} is not empty: give a new directory, or remove what is in it", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A JSON file is not what it should be.
    #[error("{}: not valid: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        reason: serde_json::Error,
    },
    /// `RUNLOG_CONTEXT` is set and is not a context.
    #[error("environment variable {variable} is not a run context: {reason}; value: {value:?}")]
    Context {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// Why it does not parse.
        reason: serde_json::Error,
    },
    /// A CSV file has no usable header.
    #[error("{}:1: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with its first line.
        reason: String,
    },
    /// A column was asked for that the file does not have.
    #[error("{}: no column {column:?}; it has: {present}", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The missing column.
        column: String,
        /// The columns that are there.
        present: String,
    },
    /// A row was written with another number of cells than the header has: a bug of the writer.
    #[error("{}: a row of {cells} cells under a header of {columns}", path.display())]
    RowShape {
        /// The file.
        path: PathBuf,
        /// Cells in the row.
        cells: usize,
        /// Columns of the header.
        columns: usize,
    },
    /// A histogram could not be made or encoded.
    #[error("{}: histogram: {reason}", path.display())]
    Histogram {
        /// The file.
        path: PathBuf,
        /// What the histogram library said.
        reason: String,
    },
    /// A name that is not a role.
    #[error("unknown role {0:?}: it is one of broker, loadgen, prober")]
    UnknownRole(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |reason| Error::Io { action, path: path.to_owned(), reason }
    }
}

/// Damage or doubt that a reader found and went on from; never dropped silently.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// The file in question.
    pub file: PathBuf,
    /// The line, counted from 1, where one is to blame.
    pub line: Option<u64>,
    /// What is wrong and what was done about it.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(file: &Path, line: Option<u64>, message: impl Into<String>) -> Self {
        Warning { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.message),
            None => write!(f, "{}: {}", self.file.display(), self.message),
        }
    }
}

/// Warnings of one kind of which there may be millions: the first few, and a count of the others.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    first: Vec<Warning>,
    next: Option<Warning>,
    more: u64,
}

impl Warnings {
    /// Adds one.
    pub fn push(&mut self, warning: Warning) {
        if self.first.len() < Self::SHOWN_MAX {
            self.first.push(warning);
        } else {
            self.next.get_or_insert(warning);
            self.more += 1;
        }
    }

    /// The first ones, and one that says how many more `what` there are and where the next is.
    pub fn list(&self, what: &str) -> Vec<Warning> {
        let more = self
            .next
            .iter()
            .map(|next| Warning { message: format!("{} more {what}, this one the next", self.more), ..next.clone() });
        self.first.iter().cloned().chain(more).collect()
    }

    const SHOWN_MAX: usize = 5;
}

/// What was read, and what was wrong with the rest.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The usable part.
    pub value: T,
    /// One entry per damaged or doubtful place.
    pub warnings: Vec<Warning>,
}
