//! Hosts to reach by SSH, on one machine: each a network, a process table and an sshd of its own, joined by a bridge.
//!
//! Nothing of it has a name outside: killing the first process of a host takes all of the host away.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::unistd::Uid;

use crate::support::wait_for;

/// Whether such a test can run here; says why not.
pub(crate) fn can_run() -> bool {
    let absent = ["ansible-playbook", "ip", "nsenter", "setpriv", "ssh", "ssh-keygen", "sshd", "unshare"];
    let absent = absent.into_iter().find(|program| in_path(program).is_none());
    let reason = match (Uid::effective().is_root(), absent) {
        (false, _) => "not root".to_owned(),
        (true, Some(program)) => format!("no {program} in PATH"),
        (true, None) => return true,
    };
    eprintln!("skipped: {reason}, so no hosts over SSH");
    false
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The hosts, and the place from where they are reached.
pub(crate) struct SshLab {
    folder: PathBuf,
    /// In the order of their addresses, from 10.78.0.1 on.
    pub(crate) hosts: Vec<Host>,
    controller: Namespaces,
    _bridge: Namespaces,
}

/// A host.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    space: Namespaces,
}

/// The first process of new namespaces; killing it ends all that is in them.
struct Namespaces {
    first: Child,
    network: PathBuf,
}

impl Namespaces {
    /// `monotonic_s`: how far the monotonic clock inside is ahead, where the kernel has namespaces for that.
    fn make(monotonic_s: u64, script: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--mount-proc",
            "--fork",
            "--kill-child",
        ]);
        if monotonic_s > 0 {
            command.args(["--time", "--monotonic", &monotonic_s.to_string()]);
        }
        let first = command.args(["sh", "-c", script]).stdin(Stdio::null()).spawn().expect("setpriv starts");
        let path = format!("/proc/{}/ns/net", first.id());
        let ours = fs::read_link("/proc/self/ns/net").expect("Linux has namespaces");
        let mut network = ours.clone();
        wait_for("a network namespace", || {
            network = fs::read_link(&path).expect("it lives");
            network != ours
        });
        Self { first, network }
    }

    /// A command in its network.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.first.id())).arg("--").arg(program);
        command
    }

    fn ip(&self, line: &str) {
        let output = self.command("ip").args(line.split_whitespace()).output().expect("nsenter starts");
        assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

/// Whether this kernel can give a process a monotonic clock of its own.
pub(crate) fn has_time_namespaces() -> bool {
    let unshare = Command::new("unshare").args(["--time", "--monotonic", "1", "--fork", "true"]).output();
    unshare.is_ok_and(|output| output.status.success())
}

impl SshLab {
    /// Hosts of these names, with their clocks so many seconds ahead of ours; keys and sshd's files go into a folder.
    pub(crate) fn start(folder: &Path, hosts: &[(&str, u64)]) -> Self {
        fs::create_dir_all("/run/sshd").expect("sshd's own folder");
        let key = folder.join("key");
        keygen(&key);
        let bridge = Namespaces::make(0, "exec sleep infinity");
        bridge.ip("link add hub type bridge");
        bridge.ip("link set hub up");
        let controller = Namespaces::make(0, "exec sleep infinity");
        join(&bridge, &controller, 99);
        let mut known = String::new();
        let start = |(number, (name, ahead_s)): (u8, &(&str, u64))| {
            let address = Ipv4Addr::new(10, 78, 0, number);
            let own = folder.join(name);
            fs::create_dir_all(&own).expect("created");
            keygen(&own.join("host_key"));
            let public = fs::read_to_string(own.join("host_key.pub")).expect("a public key");
            known += &format!("{address} {public}");
            let config = format!(
                "ListenAddress {address}\nHostKey {own}/host_key\nAuthorizedKeysFile {key}.pub\nPidFile none\nUsePAM no\n\
                 StrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n\
                 Subsystem sftp internal-sftp\n",
                own = own.display(),
                key = key.display(),
            );
            fs::write(own.join("sshd_config"), config).expect("written");
            let sshd = in_path("sshd").expect("looked for");
            let script = format!(
                "mount -t sysfs sysfs /sys; until ip -4 addr show eth0 2>/dev/null | grep -q inet; do sleep 0.05; done; \
                 exec {} -D -e -f {}/sshd_config 2>{}/sshd.log",
                sshd.display(),
                own.display(),
                own.display(),
            );
            let space = Namespaces::make(*ahead_s, &script);
            join(&bridge, &space, number);
            Host { name: (*name).to_owned(), address, space }
        };
        let hosts = (1..).zip(hosts).map(start).collect();
        fs::write(folder.join("known_hosts"), known).expect("written");
        let lab = Self { folder: folder.to_owned(), hosts, controller, _bridge: bridge };
        for host in &lab.hosts {
            wait_for("sshd", || lab.accepts(SocketAddr::from((host.address, 22))));
        }
        lab
    }

    /// A command that runs where the hosts can be reached from, with sbin in its PATH.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.controller.command(program);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).expect("a host of this name")
    }

    /// Whether somebody listens there, seen from where the hosts are reached.
    pub(crate) fn accepts(&self, address: SocketAddr) -> bool {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.controller.first.id())).expect("it lives");
        let connect = move || {
            nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).expect("root may");
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
        };
        std::thread::spawn(connect).join().expect("it does not panic")
    }
}

impl Host {
    /// Names of the programs that run on it, besides sshd and what holds the host.
    pub(crate) fn programs(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
        let here = entries.filter(|entry| {
            fs::read_link(entry.path().join("ns/net")).is_ok_and(|network| network == self.space.network)
        });
        let name = |entry: fs::DirEntry| Some(fs::read_to_string(entry.path().join("comm")).ok()?.trim().to_owned());
        let mut names: Vec<String> = here.filter_map(name).collect();
        names.retain(|name| !matches!(name.as_str(), "sshd" | "unshare"));
        names.sort();
        names
    }

    /// Starts a program on it that stays; it ends with the host.
    pub(crate) fn start(&self, program: &str, args: &[&str]) -> Child {
        let of = |space: &str| format!("/proc/{}/ns/{space}", self.space.first.id());
        let (processes, mounts) = (of("pid_for_children"), of("mnt"));
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", of("net"))).arg(format!("--pid={processes}")).arg(format!("--mount={mounts}"));
        command.arg("--").arg(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("nsenter starts")
    }

    /// A sysctl of its network.
    pub(crate) fn sysctl(&self, path: &str) -> String {
        let output = self.space.command("cat").arg(format!("/proc/sys/{path}")).output().expect("nsenter starts");
        String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Its IPv4 addresses beside loopback's.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let output = self.space.command("ip").args(["-o", "-4", "addr", "show", "dev", "eth0"]).output();
        let text = String::from_utf8_lossy(&output.expect("nsenter starts").stdout).into_owned();
        text.lines().filter_map(|line| Some(line.split_whitespace().nth(3)?.to_owned())).collect()
    }
}

fn join(bridge: &Namespaces, space: &Namespaces, number: u8) {
    bridge.ip(&format!("link add port{number} type veth peer name eth0 netns {}", space.first.id()));
    bridge.ip(&format!("link set port{number} master hub up"));
    space.ip("link set lo up");
    space.ip("link set eth0 up");
    space.ip(&format!("addr add 10.78.0.{number}/24 dev eth0"));
}

fn keygen(path: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).output();
    let made = made.expect("ssh-keygen starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
}
