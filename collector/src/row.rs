//! One row of `raw.csv` while it is being filled.

use std::collections::HashMap;

use runlog::columns::{self, CORE_CLASSES};
use runlog::write::TableWriter;

/// What one sample found. A column that no source filled stays an empty cell: unknown is not zero.
#[derive(Debug, Default)]
pub(crate) struct Row {
    values: HashMap<&'static str, u64>,
    cores: Vec<[u64; CORE_CLASSES.len()]>,
}

impl Row {
    /// Empties all cells.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.cores.clear();
    }

    /// Fills a cell; `column` is one of the names in [`columns`].
    pub(crate) fn set(&mut self, column: &'static str, value: u64) {
        debug_assert!(columns::kind(column).is_some(), "{column} is no column of raw.csv");
        self.values.insert(column, value);
    }

    /// What was filled in.
    pub(crate) fn get(&self, column: &str) -> Option<u64> {
        self.values.get(column).copied()
    }

    /// Fills the cells of the next core, in the order of [`CORE_CLASSES`].
    pub(crate) fn push_core(&mut self, ticks: [u64; CORE_CLASSES.len()]) {
        self.cores.push(ticks);
    }

    /// Appends the row. `cores` is the number of cores that the file has columns for.
    pub(crate) fn write(
        &self,
        time_utc: &str,
        iface: &str,
        cores: usize,
        table: &mut TableWriter,
    ) -> runlog::Result<()> {
        for column in columns::RAW {
            match column.name {
                columns::TIME_UTC => table.text(time_utc),
                columns::IFACE => table.text(iface),
                name => table.maybe(self.get(name)),
            };
        }
        for core in 0..cores {
            for class in 0..CORE_CLASSES.len() {
                table.maybe(self.cores.get(core).map(|ticks| ticks[class]));
            }
        }
        table.end_row()
    }
}
