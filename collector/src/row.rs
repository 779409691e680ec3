//! One row of `raw.csv` while it is being filled.

use std::collections::HashMap;
use std::sync::Arc;

use runlog::columns::{self, CORE_CLASSES, INTERFACE_COUNTERS};
use runlog::write::TableWriter;

/// What one sample found. A column that no source filled stays an empty cell: unknown is not zero.
#[derive(Debug, Default)]
pub(crate) struct Row {
    values: HashMap<&'static str, u64>,
    cores: Vec<[u64; CORE_CLASSES.len()]>,
    /// The further interfaces that the file has columns for.
    names: Vec<Arc<str>>,
    interfaces: Vec<Option<[u64; INTERFACE_COUNTERS.len()]>>,
}

impl Row {
    /// A row of a file with columns for these interfaces beside the main one.
    pub(crate) fn with_interfaces(names: &[String]) -> Row {
        Row { names: names.iter().map(|name| Arc::from(name.as_str())).collect(), ..Row::default() }
    }

    /// The further interfaces.
    pub(crate) fn interfaces(&self) -> Vec<Arc<str>> {
        self.names.clone()
    }

    /// Fills the cells of the next of them, in the order of [`INTERFACE_COUNTERS`]; one that is gone has none.
    pub(crate) fn push_interface(&mut self, counters: Option<[u64; INTERFACE_COUNTERS.len()]>) {
        self.interfaces.push(counters);
    }

    /// Empties all cells.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.cores.clear();
        self.interfaces.clear();
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
        for interface in 0..self.names.len() {
            for counter in 0..INTERFACE_COUNTERS.len() {
                let counters = self.interfaces.get(interface).copied().flatten();
                table.maybe(counters.map(|counters| counters[counter]));
            }
        }
        table.end_row()
    }
}
