//! What a sample is made of: one file per group of counters, all of one shape. A source opens its files once and fills
//! its columns at each sample; adding one means copying the nearest.

#[cfg(test)]
mod captured;
mod cgroup;
mod cpu;
mod memory;
mod network;
mod pressure;
mod target;
mod tcp;

pub(crate) use cgroup::Cgroup;
pub(crate) use cpu::Cpu;
pub(crate) use memory::Memory;
pub(crate) use network::Network;
pub(crate) use pressure::Pressure;
pub(crate) use target::Target;
pub(crate) use tcp::Tcp;

use anyhow::Result;

use crate::row::Row;

/// A group of counters.
pub(crate) trait Source {
    /// The group's name in messages.
    fn name(&self) -> &'static str;

    /// Reads the counters as they are now into the row.
    ///
    /// # Errors
    /// A file that was there is gone or has another form: the group's cells stay empty in this row.
    fn sample(&mut self, row: &mut Row) -> Result<()>;
}
