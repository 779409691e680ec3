//! The machine's initial file system: a cpio archive (`newc`, as the kernel's Documentation/driver-api/early-userspace
//! describes) with the programs of the plan at the paths that they have here, the analyzer beside the first process, the
//! libraries that they load, the modules, and the plan.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::kernel::Kernel;
use crate::local;
use crate::plan::{Plan, Steady};

/// Where the guest finds the plan.
pub(super) const PLAN: &str = "/playbook/plan.json";
/// Where the guest finds its modules, named in the order of loading.
pub(super) const MODULES: &str = "/playbook/modules";
/// The first process.
pub(super) const INIT: &str = "/playbook/init";

/// Writes the archive.
pub(super) fn write(path: &Path, plan: &Plan, kernel: &Kernel) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(path)?));
    for folder in ["/dev", "/proc", "/sys", "/tmp", "/run", "/root", "/home-share", MODULES] {
        archive.folder(Path::new(folder))?;
    }
    archive.file(
        Path::new("/etc/passwd"),
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    )?;
    archive.file(Path::new("/etc/group"), 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    archive.file(Path::new("/etc/hosts"), 0o644, b"127.0.0.1 localhost\n")?;
    archive.file(Path::new(PLAN), 0o644, serde_json::to_string(plan).context("a plan is always JSON")?.as_bytes())?;
    for (number, module) in kernel.modules.iter().enumerate() {
        let name = module.file_name().context("a module is a file")?.to_string_lossy();
        archive.copy(module, Path::new(&format!("{MODULES}/{number:02}-{name}")), 0o644)?;
    }
    let runner = std::env::current_exe().context("cannot tell where this program lies")?;
    archive.copy(&runner, Path::new(INIT), 0o755)?;
    let mut programs: BTreeSet<PathBuf> = Plan::program_paths(&plan.steps).into_iter().map(PathBuf::from).collect();
    for program in &programs {
        archive.copy(program, program, 0o755)?;
    }
    if let Some(analyze) = local::analyze().filter(|_| plan.steps.iter().any(|step| step.steady != Steady::Off)) {
        archive.copy(&analyze, &Path::new(INIT).with_file_name(local::ANALYZE), 0o755)?;
        programs.insert(analyze);
    }
    programs.insert(runner);
    let libraries: BTreeSet<PathBuf> =
        programs.iter().map(|program| libraries(program)).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    for library in libraries {
        archive.copy(&library, &library, 0o755)?;
    }
    archive.end()
}

/// The shared libraries and the loader of a program, by ldd(1).
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).stdin(Stdio::null()).output();
    let output = output.context("cannot start ldd, which tells the libraries of a program")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect())
}

/// A `newc` archive under way.
struct Archive<W: Write> {
    out: W,
    written: u64,
    inode: u32,
    folders: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self { out, written: 0, inode: 0, folders: BTreeSet::new() }
    }

    /// A folder, and those above it.
    fn folder(&mut self, path: &Path) -> Result<()> {
        if path == Path::new("/") || !self.folders.insert(path.to_path_buf()) {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.folder(above)?;
        }
        Ok(self.entry(path, 0o040_755, &[])?)
    }

    /// A file with these bytes.
    fn file(&mut self, path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
        self.folder(path.parent().context("a file lies in a folder")?)?;
        Ok(self.entry(path, 0o100_000 | mode, bytes)?)
    }

    /// A file of this machine.
    fn copy(&mut self, from: &Path, to: &Path, mode: u32) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(to, mode, &bytes)
    }

    fn end(mut self) -> Result<()> {
        self.entry(Path::new("/TRAILER!!!"), 0, &[])?;
        Ok(self.out.flush()?)
    }

    fn entry(&mut self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let name = path.strip_prefix("/").unwrap_or(path).as_os_str().as_encoded_bytes();
        self.inode += 1;
        let links = if mode & 0o040_000 != 0 { 2 } else { 1 };
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            0,
            u32::try_from(bytes.len()).map_err(|_| io::Error::other("a file of 4 GiB and more does not fit"))?,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            0,
        ];
        self.put(b"070701")?;
        for field in fields {
            self.put(format!("{field:08x}").as_bytes())?;
        }
        self.put(name)?;
        self.put(&[0])?;
        self.pad()?;
        self.put(bytes)?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Names and contents begin at multiples of four.
    fn pad(&mut self) -> io::Result<()> {
        let over = (self.written % 4) as usize;
        if over == 0 { Ok(()) } else { self.put(&[0; 4][over..]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_is_read_by_cpio() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file(Path::new("/a/b/odd"), 0o644, b"12345").unwrap();
        archive.file(Path::new("/a/even"), 0o755, b"1234").unwrap();
        archive.end().unwrap();
        let names: Vec<&str> = ["a", "a/b", "a/b/odd", "a/even", "TRAILER!!!"].to_vec();
        let mut at = 0;
        let hex =
            |from: usize| usize::from_str_radix(std::str::from_utf8(&bytes[from..from + 8]).unwrap(), 16).unwrap();
        for name in names {
            assert_eq!(&bytes[at..at + 6], b"070701", "{name} begins where it must");
            let (size, name_size) = (hex(at + 6 + 6 * 8), hex(at + 6 + 11 * 8));
            assert_eq!(&bytes[at + 110..at + 110 + name_size - 1], name.as_bytes());
            at = (at + 110 + name_size).next_multiple_of(4);
            at = (at + size).next_multiple_of(4);
        }
        assert_eq!(at, bytes.len());
    }
}
