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

    #[test]
    fn text_of_old_and_new_kernels() {
        let old = "some avg10=18.73 avg60=22.72 avg300=17.42 total=124211113\n";
        let new = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n";
        assert_eq!((total_us(old, "some "), total_us(old, "full ")), (Some(124_211_113), None));
        assert_eq!((total_us(new, "some "), total_us(new, "full ")), (Some(5), Some(3)));
    }
}
