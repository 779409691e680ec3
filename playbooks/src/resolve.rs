//! Which brokers are compared: finds the programs of the targets, installs with `--yes`, falls back to an A/A control.

use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

use crate::catalog;
use crate::remote::protocol::Found;
use crate::tools::Tools;
use crate::typed::{Choice, Install, Target};

/// One side of the comparison.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// `A`, `B`, ...
    pub(crate) label: String,
    /// The target's name, or `<name>-control` for the second side of an A/A control.
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) exe: PathBuf,
    /// The program that starts it, where that is another.
    pub(crate) starter: Option<String>,
    /// First line that the program says of itself; absent when it is not here yet.
    pub(crate) version: Option<String>,
    pub(crate) sha256: Option<String>,
    /// Where it runs already.
    pub(crate) address: Option<SocketAddrV4>,
    /// What a reader must know about how this side came about.
    pub(crate) notes: Vec<String>,
}

/// What may be done about a target that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Plan with it as if it were here.
    Assume,
    /// Say how to install it, or fall back.
    Refuse,
    /// Install it.
    Install,
}

/// The machine that the brokers run on, as a place to look for their programs.
pub(crate) trait Shelf {
    /// The program of a target, if it is there, or once it was installed where that is allowed.
    fn found(&self, target: &Target, may_install: bool) -> Result<Option<Found>>;

    /// Where a tool of this workspace would lie.
    fn tool(&self, name: &str) -> String;

    /// `on this machine`, for messages.
    fn place(&self) -> String;
}

impl Shelf for Tools {
    fn found(&self, target: &Target, may_install: bool) -> Result<Option<Found>> {
        found(target, self, may_install)
    }

    fn tool(&self, name: &str) -> String {
        self.path(name)
    }

    fn place(&self) -> String {
        "on this machine".to_owned()
    }
}

/// The program of a target on this machine.
pub(crate) fn found(target: &Target, tools: &Tools, may_install: bool) -> Result<Option<Found>> {
    let (exe, note) = match find(target, tools) {
        Some(exe) => (exe, None),
        None if may_install => {
            let (exe, note) = installed(target, tools)?;
            (exe, Some(note))
        }
        None => return Ok(None),
    };
    let starter = target.start.program.as_ref().map(|program| {
        let path = in_path(program);
        let path =
            path.with_context(|| format!("target {}: {program}, which starts it, is not in PATH", target.name))?;
        Ok::<_, anyhow::Error>(path.display().to_string())
    });
    Ok(Some(Found {
        starter: starter.transpose()?,
        version: version(&exe, target),
        sha256: runlog::host::file_sha256(&exe),
        exe: exe.display().to_string(),
        note,
    }))
}

/// Finds every side, in the order of the choices.
pub(crate) fn sides(choices: &[Choice], shelf: &dyn Shelf, absent: Absent) -> Result<Vec<Side>> {
    let mut sides: Vec<Side> = Vec::new();
    for choice in choices {
        let label = char::from(b'A' + sides.len() as u8).to_string();
        let found = match choice.any_of.as_slice() {
            [name] if name.contains('@') => external(name, &label),
            names => {
                let targets: Vec<Target> = names.iter().map(|name| catalog::target(name)).collect::<Result<_>>()?;
                side(&targets, &label, shelf, absent)
            }
        };
        let side = match found {
            Ok(side) => side,
            Err(error) if choice.or_control && !sides.is_empty() => control(&sides[0], &label, &error),
            Err(error) => return Err(error),
        };
        sides.push(renamed_if_twice(side, &sides));
    }
    match sides.len() {
        0 => bail!("an experiment needs at least one target"),
        27.. => bail!("{} targets: at most 26", sides.len()),
        _ => Ok(sides),
    }
}

/// A broker that runs already: `NAME@HOST:PORT`.
fn external(text: &str, label: &str) -> Result<Side> {
    let (name, place) = text.split_once('@').context("checked by the caller")?;
    let target = catalog::target(name)?;
    if !target.external {
        bail!("target {name} is started here, so it has no address; `external@{place}` is a broker that runs already");
    }
    let mut addresses = place.to_socket_addrs().with_context(|| format!("cannot resolve '{place}' (HOST:PORT)"))?;
    let address = addresses.find_map(|address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    });
    let address = address.with_context(|| format!("'{place}' has no IPv4 address"))?;
    let where_from = if address.ip().is_loopback() {
        "its process is the one that listens there"
    } else {
        "unless it runs on a host of an inventory, its CPU, memory and network are not measured"
    };
    let note = format!("{label}: {place} is {address}; {where_from}");
    let nothing = Found { exe: String::new(), starter: None, version: None, sha256: None, note: None };
    Ok(Side { address: Some(address), ..made(&target, label, nothing, vec![note]) })
}

/// The choices of `--targets a,b`.
pub(crate) fn choices(names: &str) -> Vec<Choice> {
    names.split(',').map(|name| Choice { any_of: vec![name.trim().to_owned()], or_control: false }).collect()
}

/// The program of a target, if this machine has it.
pub(crate) fn find(target: &Target, tools: &Tools) -> Option<PathBuf> {
    if let Some(sibling) = &target.find.sibling {
        return Some(PathBuf::from(tools.path(sibling))).filter(|path| path.is_file());
    }
    let elsewhere = target
        .find
        .folders
        .iter()
        .map(PathBuf::from)
        .chain([cache_of(target, tools).join("bin"), cache_of(target, tools).join("node_modules/.bin")]);
    let in_path = path_folders().filter(|_| !target.find.only_folders);
    let folders: Vec<PathBuf> = in_path.chain(elsewhere).collect();
    target.find.programs.iter().find_map(|program| in_folders(program, folders.iter()))
}

/// A program by name, where PATH has it.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    in_folders(program, path_folders().collect::<Vec<_>>().iter())
}

fn in_folders<'a>(program: &str, mut folders: impl Iterator<Item = &'a PathBuf>) -> Option<PathBuf> {
    folders.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()))
}

fn path_folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

fn side(targets: &[Target], label: &str, shelf: &dyn Shelf, absent: Absent) -> Result<Side> {
    if let Some(target) = targets.iter().find(|target| target.external) {
        bail!("target {0} runs already: say where, as in --targets {0}@127.0.0.1:1883", target.name);
    }
    let mut failures = Vec::new();
    for target in targets {
        match shelf.found(target, absent == Absent::Install) {
            Ok(Some(found)) => return Ok(made(target, label, found, failures)),
            Ok(None) => {}
            Err(error) => match absent {
                Absent::Install => failures.push(format!("{} could not be had: {error:#}", target.title)),
                Absent::Assume => {}
                Absent::Refuse => return Err(error),
            },
        }
    }
    match absent {
        Absent::Assume => assumed(&targets[0], label, shelf),
        Absent::Refuse => bail!("{}", how_to_get(targets, shelf)),
        Absent::Install => bail!("{}; tried: {}", how_to_get(targets, shelf), failures.join("; ")),
    }
}

fn made(target: &Target, label: &str, found: Found, notes: Vec<String>) -> Side {
    Side {
        label: label.to_owned(),
        name: target.name.clone(),
        version: found.version,
        sha256: found.sha256,
        target: target.clone(),
        exe: PathBuf::from(found.exe),
        starter: found.starter,
        address: None,
        notes: notes.into_iter().chain(found.note).collect(),
    }
}

fn assumed(target: &Target, label: &str, shelf: &dyn Shelf) -> Result<Side> {
    let exe = match (&target.find.sibling, target.find.programs.first()) {
        (Some(sibling), _) => shelf.tool(sibling),
        (None, Some(program)) => program.clone(),
        (None, None) => bail!("target {}: [find] names neither a sibling nor programs", target.name),
    };
    let note = format!("{label}: {} was not found {}; the plan assumes it in PATH", target.title, shelf.place());
    let starter = target.start.program.clone();
    Ok(made(target, label, Found { exe, starter, version: None, sha256: None, note: None }, vec![note]))
}

/// The second side of an A/A control: what differs between the two is noise.
fn control(first: &Side, label: &str, reason: &anyhow::Error) -> Side {
    let note = format!(
        "no second broker, so {label} is {} once more: an A/A control, whose differences are noise ({reason:#})",
        first.target.title
    );
    Side { label: label.to_owned(), notes: vec![note], ..first.clone() }
}

fn renamed_if_twice(side: Side, before: &[Side]) -> Side {
    if before.iter().any(|other| other.name == side.name) {
        return Side { name: format!("{}-control", side.name), ..side };
    }
    side
}

fn how_to_get(targets: &[Target], shelf: &dyn Shelf) -> String {
    let ways: Vec<String> = targets.iter().map(|target| format!("{} ({})", target.name, ways(target))).collect();
    format!("not {}: {}", shelf.place(), ways.join("; "))
}

fn ways(target: &Target) -> String {
    let way = |install: &Install| match install {
        Install::Apt { packages, .. } => format!("--yes as root: apt-get install {}", packages.join(" ")),
        Install::Cargo { name, version, .. } => format!("--yes: cargo install {name} --version {version}"),
        Install::Npm { package, version } => format!("--yes: npm install {package}@{version}"),
    };
    let ways: Vec<String> = target.install.iter().map(way).collect();
    if ways.is_empty() { "install it as its vendor says".into() } else { ways.join(", or ") }
}

/// Tries each way to install a target in turn; the program, and what was done.
fn installed(target: &Target, tools: &Tools) -> Result<(PathBuf, String)> {
    let mut failures = Vec::new();
    for install in &target.install {
        match run_install(install, target, tools) {
            Ok(note) => match find(target, tools) {
                Some(exe) => return Ok((exe, note)),
                None => failures.push("installed, and still not found".to_owned()),
            },
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if failures.is_empty() {
        bail!("{}", ways(target));
    }
    bail!("{}", failures.join("; "))
}

fn run_install(install: &Install, target: &Target, tools: &Tools) -> Result<String> {
    match install {
        Install::Apt { packages, service } => apt(packages, service.as_deref()),
        Install::Npm { package, version } => npm(package, version, target, tools),
        Install::Cargo { name, version, locked, needs, takes } => {
            if let Some(program) = needs.iter().find(|program| in_path(program).is_none()) {
                bail!("building {name} needs {program}, which is not in PATH");
            }
            eprintln!("installing {name} {version} by cargo: {takes}");
            let root = cache_of(target, tools);
            let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut command = Command::new(program);
            command.args(["install", name, "--version", version, "--root"]).arg(&root);
            if *locked {
                command.arg("--locked");
            }
            checked(&mut command)?;
            Ok(format!("{name} {version} was built from crates.io into {}", root.display()))
        }
    }
}

/// Installs a package of the npm registry into a folder of its own, without running its scripts.
fn npm(package: &str, version: &str, target: &Target, tools: &Tools) -> Result<String> {
    if in_path("npm").is_none() {
        bail!("npm is not in PATH");
    }
    let root = cache_of(target, tools);
    std::fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    eprintln!("installing {package} {version} by npm into {}", root.display());
    let mut command = Command::new("npm");
    command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&root);
    checked(command.arg(format!("{package}@{version}")))?;
    Ok(format!("{package} {version} was installed by npm into {}", root.display()))
}

/// Installs Debian packages without letting them start a service.
pub(crate) fn apt(packages: &[String], service: Option<&str>) -> Result<String> {
    if !Uid::effective().is_root() {
        bail!("apt-get needs root");
    }
    eprintln!("installing {} by apt-get; its service is not started", packages.join(" "));
    let guard = ServiceGuard::place()?;
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    checked(Command::new("apt-get").args(["update", "-qq"]).envs(quiet))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages).envs(quiet);
    checked(&mut install)?;
    drop(guard);
    let kept = service.map(keep_stopped).unwrap_or_default();
    Ok(format!("{} was installed by apt-get{kept}", packages.join(" ")))
}

/// Keeps the unit from starting at the next boot too, and stops it in case something has started it meanwhile.
fn keep_stopped(unit: &str) -> String {
    let systemctl = |verb: &str| {
        let mut command = Command::new("systemctl");
        command.args([verb, unit]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let (disabled, _) = (systemctl("disable"), systemctl("stop"));
    let later = if disabled { "disabled" } else { "left as the package has it for the next boot" };
    format!("; its service {unit} was not started, and is {later}")
}

/// Debian asks `/usr/sbin/policy-rc.d` whether a package may start its service; ours says no, and goes when dropped.
struct ServiceGuard {
    placed: bool,
}

impl ServiceGuard {
    fn place() -> Result<Self> {
        let path = Path::new(Self::PATH);
        if path.exists() {
            return Ok(Self { placed: false });
        }
        std::fs::write(path, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {}", Self::PATH))?;
        let guard = Self { placed: true };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).with_context(|| format!("cannot make {} executable", Self::PATH))?;
        Ok(guard)
    }

    const PATH: &'static str = "/usr/sbin/policy-rc.d";
}

impl Drop for ServiceGuard {
    fn drop(&mut self) {
        if self.placed
            && let Err(error) = std::fs::remove_file(Self::PATH)
        {
            eprintln!("cannot remove {}, which keeps services from starting: {error}; remove it by hand", Self::PATH);
        }
    }
}

fn cache_of(target: &Target, tools: &Tools) -> PathBuf {
    tools.cache().join(&target.name)
}

/// Runs a command with its output on standard error: standard output belongs to the result table.
fn checked(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// The first line with a number that the program says of itself, on either stream and with any exit code.
fn version(exe: &Path, target: &Target) -> Option<String> {
    let mut command = match target.version.command.split_first() {
        Some((program, args)) => {
            let mut command = Command::new(program);
            command.args(args);
            command
        }
        None => {
            let mut command = Command::new(exe);
            command.args(&target.version.args);
            command
        }
    };
    let output = command.stdin(Stdio::null()).output().ok()?;
    // A program may say it with any exit code; a command that was written for it may not fail.
    if !target.version.command.is_empty() && !output.status.success() {
        return None;
    }
    let streams = [output.stdout, output.stderr];
    let texts = streams.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let lines = texts.flat_map(|text| text.lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>());
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    // Some draw a banner first.
    lines.iter().find(|line| line.chars().any(|c| c.is_ascii_digit())).or(lines.first()).cloned()
}
