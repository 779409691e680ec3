//! A small network for one step: a namespace for each host of the plan, and a bridge between them.
//!
//! The namespaces have no names. Only this process's descriptors and the processes inside hold them, so the kernel takes them
//! away, with their interfaces and addresses, when the runner ends in whatever way: there is nothing that a killed runner
//! could leave for the next one to find. Nothing is made in the network of this machine, so two runs cannot collide.
//!
//! The bridge has a namespace of its own: its traffic is counted on none of the hosts. iproute2's `ip` makes the interfaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Uid;

use crate::layout::{Layout, PROBER, SUT, TESTER};
use crate::plan::PlannedHost;

/// The namespaces of one step.
pub(crate) struct Network {
    /// Holds the bridge: without it the kernel would take the pairs of interfaces away.
    _bridge: OwnedFd,
    hosts: BTreeMap<String, OwnedFd>,
}

/// Three hosts: the broker's, the load's with [`SECONDARIES`] further addresses (the guide's chapters 2.4 and 2.5), and the
/// prober's.
pub(crate) fn layout(cpus: &[usize]) -> Layout {
    let secondary = (1..=SECONDARIES).map(|last| Ipv4Addr::new(10, 77, 1, last)).collect();
    let host = |name: &str, last: u8, secondary: Vec<Ipv4Addr>| PlannedHost {
        name: name.to_owned(),
        interface: INTERFACE.to_owned(),
        address: Ipv4Addr::new(10, 77, 0, last),
        secondary,
        folder: None,
        boot_id: None,
    };
    let hosts = vec![host(SUT, 1, Vec::new()), host(TESTER, 2, secondary), host(PROBER, 3, Vec::new())];
    Layout::of_hosts(hosts, PORT, cpus)
}

/// Says what is missing, if something is, by making such a network and letting it go again.
pub(crate) fn preflight(hosts: &[PlannedHost]) -> Result<()> {
    if !Uid::effective().is_root() {
        bail!("network namespaces are made by root only; run it as root, or without `--in netns`");
    }
    Network::make(hosts).map(drop)
}

impl Network {
    /// Makes the namespaces, joins them, and gives them their addresses.
    pub(crate) fn make(hosts: &[PlannedHost]) -> Result<Self> {
        let bridge = namespace()?;
        ip(bridge.as_fd(), "link set lo up\nlink add hub type bridge\nlink set hub up\n")?;
        let mut made = BTreeMap::new();
        for (number, host) in hosts.iter().enumerate() {
            let inside = namespace()?;
            let path = format!("/proc/{}/fd/{}", std::process::id(), inside.as_raw_fd());
            let port = format!("port{number}");
            let interface = &host.interface;
            ip(
                bridge.as_fd(),
                &format!(
                    "link add {port} type veth peer name {interface} netns {path}\nlink set {port} master hub up\n"
                ),
            )?;
            let addresses = [host.address].into_iter().chain(host.secondary.iter().copied());
            let bound: Vec<String> =
                addresses.map(|address| format!("addr add {address}/{PREFIX} dev {interface}\n")).collect();
            ip(inside.as_fd(), &format!("link set lo up\n{}link set {interface} up\n", bound.concat()))?;
            within(inside.as_fd(), || std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", PORT_RANGE))?
                .context("cannot widen the range of ports")?;
            made.insert(host.name.clone(), inside);
        }
        Ok(Self { _bridge: bridge, hosts: made })
    }

    /// The namespace of a host.
    pub(crate) fn host(&self, name: &str) -> Result<BorrowedFd<'_>> {
        self.hosts.get(name).map(AsFd::as_fd).with_context(|| format!("the plan has no host {name}"))
    }

    /// Whether a connection from this host to the address is accepted.
    pub(crate) fn accepts(&self, from: &str, address: &SocketAddr, limit: Duration) -> bool {
        self.on(from, || TcpStream::connect_timeout(address, limit).is_ok()).unwrap_or(false)
    }

    /// Does something on a host.
    pub(crate) fn on<T: Send>(&self, host: &str, action: impl FnOnce() -> T + Send) -> Result<T> {
        within(self.host(host)?, action)
    }
}

/// Lets the command's process enter the namespace before it becomes the program, as `ip netns exec` does: /sys shows the
/// namespace's interfaces, and what was mounted for control groups stays.
pub(crate) fn enter(command: &mut Command, namespace: BorrowedFd<'_>) {
    let namespace = namespace.as_raw_fd();
    // SAFETY: between fork and exec only system calls on numbers and constant C strings are made; the descriptor is that of
    // an open namespace, which the caller's `Network` keeps open until the child has been started.
    unsafe { command.pre_exec(move || move_into(BorrowedFd::borrow_raw(namespace)).map_err(Into::into)) };
}

fn move_into(namespace: BorrowedFd<'_>) -> nix::Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&std::ffi::CStr>;
    mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    // A place that surely exists, hidden for this process only and only between these lines.
    let kept = mount(Some(c"/sys/fs/cgroup"), c"/mnt", none, MsFlags::MS_BIND | MsFlags::MS_REC, none).is_ok();
    mount(Some(c"sysfs"), c"/sys", Some(c"sysfs"), MsFlags::empty(), none)?;
    if kept {
        mount(Some(c"/mnt"), c"/sys/fs/cgroup", none, MsFlags::MS_MOVE, none)?;
    }
    Ok(())
}

/// A new namespace. Made by a thread of its own, because the caller stays where it is.
fn namespace() -> Result<OwnedFd> {
    let made = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).context("this kernel, or the container around us, refuses it")?;
        Ok(OwnedFd::from(File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")?))
    });
    made.join().map_err(|_| anyhow!("its thread panicked")).flatten().context("cannot make a network namespace")
}

/// Does something in a namespace, on a thread of its own.
fn within<T: Send>(namespace: BorrowedFd<'_>, action: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let there = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
            Ok(action())
        });
        there.join().map_err(|_| anyhow!("a thread in a network namespace panicked")).flatten()
    })
}

/// Runs these commands of ip(8) in a namespace.
fn ip(namespace: BorrowedFd<'_>, commands: &str) -> Result<()> {
    let program = IP_PLACES.iter().find(|place| Path::new(place).is_file());
    let program = program.context("iproute2's `ip` is needed (Debian: apt-get install iproute2)")?;
    let mut command = Command::new(program);
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    enter(&mut command, namespace);
    let mut child = command.spawn().with_context(|| format!("cannot start {program} in a network namespace"))?;
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    // It may end at the first bad line; what it says then is the better message.
    let _ = stdin.write_all(commands.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().context("cannot wait for ip")?;
    if !output.status.success() {
        bail!("ip failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "));
    }
    Ok(())
}

/// Where distributions put it.
const IP_PLACES: &[&str] = &["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];

/// Name of each host's interface.
const INTERFACE: &str = "eth0";

/// All hosts are neighbours in 10.77.0.0/16, which exists only inside.
const PREFIX: u8 = 16;

/// Every step has a network of its own, so the usual port is always free.
const PORT: u16 = 1883;

/// Further addresses of the load's host: the guide binds 20; 40 carry a million connections at 25,000 ports each.
const SECONDARIES: u8 = 40;

const PORT_RANGE: &str = "1024 65535";
