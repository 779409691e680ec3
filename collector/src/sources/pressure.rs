//! `/proc/pressure`: time in which tasks waited for CPU, memory or disk. Absent on kernels built without it.

use std::path::Path;

use anyhow::{Context, Result};
use runlog::columns;

use crate::procfile::ProcFile;
use crate::row::Row;
use crate::sources::Source;

/// Pressure stall information of the host.
#[derive(Debug)]
pub(crate) struct Pressure {
    files: Vec<(ProcFile, Option<&'static str>, Option<&'static str>)>,
}

impl Pressure {
    /// Opens the source.
    pub(crate) fn open() -> Result<Pressure> {
        let open = |(name, some, full)| {
            let path = Path::new("/proc/pressure").join(name);
            Ok((ProcFile::open(&path).with_context(|| path.display().to_string())?, some, full))
        };
        let files = [
            ("cpu", Some(columns::PSI_CPU_SOME_US), Some(columns::PSI_CPU_FULL_US)),
            ("memory", Some(columns::PSI_MEM_SOME_US), Some(columns::PSI_MEM_FULL_US)),
            ("io", Some(columns::PSI_IO_SOME_US), Some(columns::PSI_IO_FULL_US)),
        ];
        let mut files = files.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        // Only of kernels that account for interrupts.
        files.extend(open(("irq", None, Some(columns::PSI_IRQ_FULL_US))).ok());
        Ok(Pressure { files })
    }
}

impl Source for Pressure {
    fn name(&self) -> &'static str {
        "pressure"
    }

    fn sample(&mut self, row: &mut Row) -> Result<()> {
        for (file, some, full) in &mut self.files {
            let text = file.read().context("/proc/pressure")?;
            for (prefix, column) in [("some ", *some), ("full ", *full)] {
                if let (Some(column), Some(total)) = (column, total_us(text, prefix)) {
                    row.set(column, total);
                }
            }
        }
        Ok(())
    }
}

/// The `total=` of a line. The library's parser insists on both lines, of which older kernels lack one for the CPU.
fn total_us(text: &str, prefix: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(prefix))?;
    line.split(' ').find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::captured::captured;

    #[test]
    fn files_of_several_kernels() {
        for (kernel, file, some, full) in [
            ("5.10", "pressure_cpu", 124_211_113, None),
            ("6.1", "pressure_cpu", 538_340, Some(0)),
            ("6.18", "pressure_cpu", 2_489_034_653, Some(0)),
            ("6.18", "pressure_memory", 5_639_700, Some(2_443_189)),
            ("6.18", "pressure_io", 37_120_229, Some(10_929_560)),
        ] {
            let text = captured(kernel, file);
            assert_eq!((total_us(&text, "some "), total_us(&text, "full ")), (Some(some), full), "{kernel} {file}");
        }
    }
}
