//! A kernel for the machine: an installed one, or Debian's package unpacked into the cache (never installed).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A kernel image and the modules that the machine needs.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// As in `6.1.0-50-amd64`.
    pub(crate) version: String,
    pub(crate) image: PathBuf,
    /// In the order of loading.
    pub(crate) modules: Vec<PathBuf>,
}

/// Finds a usable kernel in `given`, else among the installed ones, else in the cache, else fetches one.
pub(crate) fn find(given: Option<&Path>, cache: &Path, may_fetch: bool) -> Result<Kernel> {
    if let Some(root) = given {
        return in_root(root).with_context(|| format!("no usable kernel in {}", root.display()));
    }
    let unpacked = cache.join("kernel");
    let mut failures = Vec::new();
    for root in [Path::new("/"), &unpacked] {
        match in_root(root) {
            Ok(kernel) => return Ok(kernel),
            Err(error) => failures.push(format!("{}: {error:#}", root.display())),
        }
    }
    if !may_fetch {
        bail!(
            "no kernel for the machine ({}); let --yes fetch Debian's package {PACKAGE} into {} (it is unpacked there, not \
             installed), or give --vm-kernel a folder that holds boot/vmlinuz-VERSION and lib/modules/VERSION",
            failures.join("; "),
            unpacked.display()
        );
    }
    fetch(&unpacked)?;
    in_root(&unpacked).with_context(|| format!("the package unpacked in {} is not usable", unpacked.display()))
}

/// The newest kernel below a root folder whose modules are there too.
fn in_root(root: &Path) -> Result<Kernel> {
    let boot = root.join("boot");
    let entries = fs::read_dir(&boot).with_context(|| format!("cannot list {}", boot.display()))?;
    let mut versions: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()))
        .filter(|version| modules_dir(root, version).is_dir())
        .collect();
    versions.sort();
    let version = versions.pop().with_context(|| format!("no vmlinuz-VERSION with modules in {}", boot.display()))?;
    let dir = modules_dir(root, &version);
    let modules = needed(&dir).with_context(|| format!("modules of {version}"))?;
    Ok(Kernel { image: boot.join(format!("vmlinuz-{version}")), version, modules })
}

fn modules_dir(root: &Path, version: &str) -> PathBuf {
    root.join("lib/modules").join(version)
}

/// The files of [`MODULES`] and of what they depend on, in the order of loading.
fn needed(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).with_context(|| format!("cannot read {name}"));
    let (dependencies, builtin) = (read("modules.dep")?, read("modules.builtin")?);
    order(MODULES, &dependencies, &builtin).map(|files| files.iter().map(|file| dir.join(file)).collect())
}

/// From `modules.dep` (`file: its dependencies, the last to be loaded first`) and `modules.builtin`, modprobe(8)'s files.
fn order(wanted: &[&str], dependencies: &str, builtin: &str) -> Result<Vec<String>> {
    let built_in: BTreeSet<String> = builtin.lines().map(name_of).collect();
    let mut files: Vec<String> = Vec::new();
    for module in wanted {
        if built_in.contains(*module) {
            continue;
        }
        let line =
            dependencies.lines().find(|line| line.split(':').next().is_some_and(|file| name_of(file) == *module));
        let Some((file, needs)) = line.and_then(|line| line.split_once(':')) else {
            bail!(
                "module {module} is neither built in nor there: take a kernel for virtual machines with 9p, such as {PACKAGE}"
            );
        };
        for file in needs.split_whitespace().rev().chain([file]) {
            if !files.iter().any(|known| known == file) {
                files.push(file.to_owned());
            }
        }
    }
    Ok(files)
}

/// `kernel/fs/9p/9p.ko.xz` is `9p`; dashes and underscores are alike.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// Fetches Debian's package and unpacks it.
fn fetch(into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
    if !has_depmod() {
        crate::resolve::apt(&[DEPMOD_PACKAGE.to_owned()], None)
            .with_context(|| format!("depmod, of package {DEPMOD_PACKAGE}, lists the modules of the kernel"))?;
    }
    let package = concrete_package()?;
    eprintln!("fetching {package} (about 70 MB), unpacked into {}", into.display());
    run(Command::new("apt-get").args(["download", "-q", &package]).current_dir(into))?;
    let entries = fs::read_dir(into).with_context(|| format!("cannot list {}", into.display()))?;
    let debs: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "deb"))
        .collect();
    for deb in &debs {
        run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(into))?;
        fs::remove_file(deb).with_context(|| format!("cannot remove {}", deb.display()))?;
    }
    let version = package.trim_start_matches("linux-image-");
    run(Command::new("depmod").env("PATH", with_sbin()).arg("-b").arg(into).arg(version))
}

/// What [`PACKAGE`], which is empty, depends on.
fn concrete_package() -> Result<String> {
    let ask = || -> Result<Option<String>> {
        let output = Command::new("apt-cache")
            .args(["depends", PACKAGE])
            .stdin(Stdio::null())
            .output()
            .context("cannot start apt-cache, which fetching Debian's kernel needs")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().find_map(|line| Some(line.trim().strip_prefix("Depends: linux-image-")?.to_owned())))
    };
    let found = match ask()? {
        Some(found) => Some(found),
        None => {
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            ask()?
        }
    };
    let version = found.with_context(|| format!("apt-cache knows no package {PACKAGE}"))?;
    Ok(format!("linux-image-{version}"))
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let status = status.with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Whether depmod(8) is there, which lists the modules of the unpacked kernel; small images of Debian lack it.
fn has_depmod() -> bool {
    std::env::split_paths(&with_sbin()).any(|folder| folder.join("depmod").is_file())
}

/// depmod lies where an ordinary user's PATH does not look.
fn with_sbin() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Debian's kernel for this architecture.
const PACKAGE: &str = "linux-image-amd64";
/// Debian's package of depmod(8).
const DEPMOD_PACKAGE: &str = "kmod";

/// The shared folder, and exact counts of sockets for the collector.
const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "inet_diag", "tcp_diag"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_after_what_they_depend_on_and_once() {
        let dep = "kernel/net/9p/9pnet.ko:\nkernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko\nkernel/fs/9p/9p.ko.xz: kernel/fs/netfs.ko kernel/net/9p/9pnet.ko\n";
        let files = order(&["virtio_pci", "9pnet_virtio", "9p"], dep, "kernel/drivers/virtio/virtio-pci.ko\n").unwrap();
        let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
        assert_eq!(names, ["virtio", "virtio_ring", "9pnet", "9pnet_virtio", "netfs", "9p"]);
        let error = order(&["9p"], "", "").expect_err("not there").to_string();
        assert!(error.contains("9p is neither built in nor there"), "{error}");
    }
}
