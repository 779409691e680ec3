//! The columns of every CSV file: names, units and kinds.
//!
//! `raw.csv` starts with the guide's 16 columns (its chapter 5), same names, same units, so that the guide's readers
//! read ours. Behind them come ours, then one group per core ([`core_column`]) and one per further interface
//! ([`interface_column`]). Readers go by name, keep columns that
//! they do not know, and take an empty cell as "not known at this tick". Units are the last word of a name.

/// What a column's numbers are, which decides what may be computed from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not a number.
    Text,
    /// A point in time, ns.
    Stamp,
    /// Only grows while its source lives; use differences. A decrease is a reset.
    Counter,
    /// A level; use as it is.
    Gauge,
}

/// One column: its name and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The name in the header.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
}

/// Kind of a column by its name, for every column of this module and the per-core ones.
pub fn kind(name: &str) -> Option<Kind> {
    let lists = [RAW, COUNTERS, SAMPLES, PROCESSES, THREADS];
    let known = lists.into_iter().flatten().find(|column| column.name == name);
    let family = is_core_column(name) || is_interface_column(name);
    known.map(|column| column.kind).or_else(|| family.then_some(Kind::Counter))
}

/// Name of a counter's rate in `rates.csv`, such as `rx_bytes_per_s`: the guide's form.
pub fn rate_column(counter: &str) -> String {
    format!("{counter}_per_s")
}

/// The levels that the guide's script passes on, in its order.
pub const GUIDE_LEVELS: [&str; 3] = [TCP_ESTAB, PROC_RSS_KB, PROC_VSZ_KB];

/// Whether the guide's script takes a column as something else than a counter.
pub fn is_guide_level(name: &str) -> bool {
    GUIDE_LEVELS.contains(&name) || name == TIME_UTC || name == IFACE
}

/// Last column of a `rates.csv` of ours: the elapsed time that the row's rates are over, s.
pub const DT_S: &str = "dt_s";

/// Name of a per-core column, such as `cpu3_softirq_ticks`.
pub fn core_column(core: usize, class: &str) -> String {
    format!("cpu{core}_{class}_ticks")
}

/// The classes that have a per-core column.
pub const CORE_CLASSES: [&str; 6] = ["user", "system", "softirq", "steal", "iowait", "idle"];

/// Name of a column of one more interface, such as `if_eth1_rx_bytes`; `None` for an interface whose name holds what a
/// header of a CSV file cannot.
pub fn interface_column(iface: &str, counter: &str) -> Option<String> {
    let plain = !iface.is_empty() && iface.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"'));
    plain.then(|| format!("if_{iface}_{counter}"))
}

/// The counters that every other interface of the host has: those that [`IFACE`] has in columns without prefix.
pub const INTERFACE_COUNTERS: [&str; 8] =
    [RX_BYTES, RX_PACKETS, RX_ERRORS, RX_DROPPED, TX_BYTES, TX_PACKETS, TX_ERRORS, TX_DROPPED];

/// Number of the guide's columns, which come first in [`RAW`].
pub const GUIDE_COUNT: usize = 16;

/// Number of columns from [`RAW`]'s start up to and with the stamps: a file that has these can be turned into rates.
pub const STAMPED_COUNT: usize = GUIDE_COUNT + 2;

macro_rules! columns {
    ($(#[$list_doc:meta])* $list:ident; $($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal;)*) => {
        $($(#[$doc])* pub const $constant: &str = $name;)*
        $(#[$list_doc])*
        pub const $list: &[Column] = &[$(Column { name: $name, kind: Kind::$kind },)*];
    };
}

columns! {
    /// `raw.csv`, in order; the per-core columns follow.
    RAW;
    /// UTC second of the sample, `2025-12-30T13:59:10Z`.
    TIME_UTC = Text "time_utc";
    /// The network interface that the `rx_`/`tx_` columns are of.
    IFACE = Text "iface";
    /// Bytes received by the interface (`/proc/net/dev`).
    RX_BYTES = Counter "rx_bytes";
    /// Packets received by the interface; with receive offload one is a merged buffer, not a frame.
    RX_PACKETS = Counter "rx_packets";
    /// Bytes sent by the interface.
    TX_BYTES = Counter "tx_bytes";
    /// Packets sent by the interface; with segmentation offload one is a large buffer, not a frame.
    TX_PACKETS = Counter "tx_packets";
    /// Context switches of the host (`/proc/stat`).
    CTXT = Counter "ctxt";
    /// Interrupts of the host (`/proc/stat`).
    INTR = Counter "intr";
    /// `NET_RX` softirqs, all cores.
    SOFTIRQ_NET_RX = Counter "softirq_net_rx";
    /// `NET_TX` softirqs, all cores.
    SOFTIRQ_NET_TX = Counter "softirq_net_tx";
    /// TCP segments received (`/proc/net/snmp`).
    TCP_INSEGS = Counter "tcp_insegs";
    /// TCP segments sent.
    TCP_OUTSEGS = Counter "tcp_outsegs";
    /// TCP segments sent again.
    TCP_RETRANSSEGS = Counter "tcp_retranssegs";
    /// Established connections. The guide: sockets of the broker's port, listed by `ss` at each tick. Ours: `CurrEstab` of
    /// the network namespace, which also counts foreign connections, and both ends of one over loopback.
    TCP_ESTAB = Gauge "tcp_estab";
    /// Resident memory of the target, KiB; ours: the sum over its processes.
    PROC_RSS_KB = Gauge "proc_rss_kb";
    /// Virtual memory of the target, KiB; ours: the sum over its processes.
    PROC_VSZ_KB = Gauge "proc_vsz_kb";
    /// `CLOCK_MONOTONIC` when the counters of this row were read.
    MONO_NS = Stamp "mono_ns";
    /// `CLOCK_REALTIME` at the same moment.
    WALL_NS = Stamp "wall_ns";
    /// How long after its planned moment this sample began, us.
    LATE_US = Gauge "late_us";
    /// How long reading the counters took, us; without what is read at a slow beat, which comes last.
    SAMPLE_US = Gauge "sample_us";
    /// CPU time that the collector itself has used, us.
    SELF_CPU_US = Counter "self_cpu_us";
    /// Host CPU time in user mode, clock ticks (`host.clock_ticks_per_s` in meta.json).
    CPU_USER_TICKS = Counter "cpu_user_ticks";
    /// Host CPU time of niced processes, ticks.
    CPU_NICE_TICKS = Counter "cpu_nice_ticks";
    /// Host CPU time in the kernel, ticks.
    CPU_SYSTEM_TICKS = Counter "cpu_system_ticks";
    /// Host CPU time idle, ticks.
    CPU_IDLE_TICKS = Counter "cpu_idle_ticks";
    /// Host CPU time idle with a disk request under way, ticks.
    CPU_IOWAIT_TICKS = Counter "cpu_iowait_ticks";
    /// Host CPU time in hard interrupts, ticks.
    CPU_IRQ_TICKS = Counter "cpu_irq_ticks";
    /// Host CPU time in soft interrupts, ticks.
    CPU_SOFTIRQ_TICKS = Counter "cpu_softirq_ticks";
    /// Host CPU time that the hypervisor gave to others, ticks.
    CPU_STEAL_TICKS = Counter "cpu_steal_ticks";
    /// Tasks that run or could run.
    PROCS_RUNNING = Gauge "procs_running";
    /// Tasks that wait for a disk.
    PROCS_BLOCKED = Gauge "procs_blocked";
    /// Time in which some task waited for a CPU, us (`/proc/pressure/cpu`).
    PSI_CPU_SOME_US = Counter "psi_cpu_some_us";
    /// Time in which some task waited for memory, us.
    PSI_MEM_SOME_US = Counter "psi_mem_some_us";
    /// Time in which all tasks waited for memory, us.
    PSI_MEM_FULL_US = Counter "psi_mem_full_us";
    /// Time in which some task waited for a disk, us.
    PSI_IO_SOME_US = Counter "psi_io_some_us";
    /// Time in which all tasks waited for a disk, us.
    PSI_IO_FULL_US = Counter "psi_io_full_us";
    /// Time in which all runnable tasks of some group waited for a CPU, us (kernels from 5.13 on).
    PSI_CPU_FULL_US = Counter "psi_cpu_full_us";
    /// Time that went to interrupts, us (kernels from 6.1 on that are built to tell).
    PSI_IRQ_FULL_US = Counter "psi_irq_full_us";
    /// Load average over one minute, hundredths (`/proc/loadavg`).
    LOAD_1MIN_CENTI = Gauge "load_1min_centi";
    /// Load average over five minutes, hundredths.
    LOAD_5MIN_CENTI = Gauge "load_5min_centi";
    /// Load average over fifteen minutes, hundredths.
    LOAD_15MIN_CENTI = Gauge "load_15min_centi";
    /// Tasks (processes and threads) of the host.
    TASKS = Gauge "tasks";
    /// Steps of the wall clock that the collector has seen; each is an event that says by how much.
    CLOCK_STEPS = Counter "clock_steps";
    /// Memory that could be had without swapping, KiB.
    MEM_AVAILABLE_KB = Gauge "mem_available_kb";
    /// Kernel slab caches, KiB; sockets live here.
    SLAB_KB = Gauge "slab_kb";
    /// Page tables, KiB.
    PAGETABLES_KB = Gauge "pagetables_kb";
    /// The part of the slab caches that cannot be taken back, KiB.
    SLAB_UNRECLAIM_KB = Gauge "slab_unreclaim_kb";
    /// Kernel stacks of all tasks, KiB.
    KERNEL_STACK_KB = Gauge "kernel_stack_kb";
    /// Swap in use, KiB.
    SWAP_USED_KB = Gauge "swap_used_kb";
    /// Sockets of all sorts.
    SOCK_USED = Gauge "sock_used";
    /// TCP sockets in use (IPv4).
    SOCK_TCP_INUSE = Gauge "sock_tcp_inuse";
    /// TCP sockets without an owner.
    SOCK_TCP_ORPHAN = Gauge "sock_tcp_orphan";
    /// TCP sockets in `TIME_WAIT`.
    SOCK_TCP_TW = Gauge "sock_tcp_tw";
    /// TCP sockets allocated, in any state.
    SOCK_TCP_ALLOC = Gauge "sock_tcp_alloc";
    /// Memory of TCP socket buffers, pages.
    SOCK_TCP_MEM_PAGES = Gauge "sock_tcp_mem_pages";
    /// TCP sockets in use (IPv6; `/proc/net/sockstat6`).
    SOCK_TCP6_INUSE = Gauge "sock_tcp6_inuse";
    /// Connections begun.
    TCP_ACTIVE_OPENS = Counter "tcp_active_opens";
    /// Connections accepted.
    TCP_PASSIVE_OPENS = Counter "tcp_passive_opens";
    /// Connection attempts that failed.
    TCP_ATTEMPT_FAILS = Counter "tcp_attempt_fails";
    /// Connections reset.
    TCP_ESTAB_RESETS = Counter "tcp_estab_resets";
    /// Resets sent.
    TCP_OUT_RSTS = Counter "tcp_out_rsts";
    /// Accept queue was full (`/proc/net/netstat`).
    TCP_LISTEN_OVERFLOWS = Counter "tcp_listen_overflows";
    /// SYNs dropped for any reason.
    TCP_LISTEN_DROPS = Counter "tcp_listen_drops";
    /// Retransmission timers that fired.
    TCP_TIMEOUTS = Counter "tcp_timeouts";
    /// Connections aborted because memory ran out.
    TCP_ABORT_ON_MEMORY = Counter "tcp_abort_on_memory";
    /// Packets dropped because a socket's backlog was full.
    TCP_BACKLOG_DROP = Counter "tcp_backlog_drop";
    /// Segments received with an error.
    TCP_IN_ERRS = Counter "tcp_in_errs";
    /// SYN and SYN-ACK segments sent again.
    TCP_SYN_RETRANS = Counter "tcp_syn_retrans";
    /// SYN cookies sent: the queue of half-open connections was full.
    TCP_SYNCOOKIES_SENT = Counter "tcp_syncookies_sent";
    /// SYNs dropped because that queue was full.
    TCP_REQ_Q_FULL_DROP = Counter "tcp_req_q_full_drop";
    /// Connections aborted after too many retransmissions.
    TCP_ABORT_ON_TIMEOUT = Counter "tcp_abort_on_timeout";
    /// Times that memory of TCP went above its pressure mark (`net.ipv4.tcp_mem`).
    TCP_MEMORY_PRESSURES = Counter "tcp_memory_pressures";
    /// Packets dropped because a socket's receive buffer was full.
    TCP_RCVQ_DROP = Counter "tcp_rcvq_drop";
    /// Packets that the interface dropped on receipt.
    RX_DROPPED = Counter "rx_dropped";
    /// Receive errors of the interface.
    RX_ERRORS = Counter "rx_errors";
    /// Packets dropped on sending.
    TX_DROPPED = Counter "tx_dropped";
    /// Send errors of the interface.
    TX_ERRORS = Counter "tx_errors";
    /// Packets dropped because a core's backlog was full (`/proc/net/softnet_stat`).
    SOFTNET_DROPPED = Counter "softnet_dropped";
    /// Times that a core's receive budget ran out.
    SOFTNET_SQUEEZED = Counter "softnet_squeezed";
    /// Packets taken from the cores' receive backlogs.
    SOFTNET_PROCESSED = Counter "softnet_processed";
    /// Tracked connections; empty without conntrack.
    CONNTRACK_COUNT = Gauge "conntrack_count";
    /// Packets dropped by connection tracking, for want of room among others (`/proc/net/stat/nf_conntrack`).
    CONNTRACK_DROP = Counter "conntrack_drop";
    /// Connections that could not be entered into the table.
    CONNTRACK_INSERT_FAILED = Counter "conntrack_insert_failed";
    /// Established sockets whose local port is the watched one: exact, by `sock_diag` at a slow beat, empty in between.
    PORT_ESTAB = Gauge "port_estab";
    /// Processes of the target: it and its descendants. 0 when it is gone.
    PROC_COUNT = Gauge "proc_count";
    /// CPU time of the target in user mode, us.
    PROC_CPU_USER_US = Counter "proc_cpu_user_us";
    /// CPU time of the target in the kernel, us.
    PROC_CPU_SYS_US = Counter "proc_cpu_sys_us";
    /// Threads of the target.
    PROC_THREADS = Gauge "proc_threads";
    /// Open file descriptors of the target.
    PROC_FDS = Gauge "proc_fds";
    /// Voluntary context switches, all threads of the target.
    PROC_VOL_CTXT = Counter "proc_vol_ctxt";
    /// Involuntary context switches, all threads of the target.
    PROC_INVOL_CTXT = Counter "proc_invol_ctxt";
    /// Page faults of the target without disk access.
    PROC_MINFLT = Counter "proc_minflt";
    /// Page faults of the target with disk access.
    PROC_MAJFLT = Counter "proc_majflt";
    /// Proportional resident memory of the target, KiB (`smaps_rollup`), at a slow beat, empty in between.
    PROC_PSS_KB = Gauge "proc_pss_kb";
    /// Anonymous resident memory of the target, KiB, at the same slow beat.
    PROC_ANON_KB = Gauge "proc_anon_kb";
    /// Process id of the target; another one after a restart. Empty when it is gone.
    PROC_PID = Gauge "proc_pid";
    /// Times that the target was replaced by another process; its counters begin anew with each.
    PROC_RESTARTS = Counter "proc_restarts";
    /// CPU time of the target's cgroup, us.
    CGROUP_CPU_US = Counter "cgroup_cpu_us";
    /// CPU time of the target's cgroup in user mode, us.
    CGROUP_CPU_USER_US = Counter "cgroup_cpu_user_us";
    /// CPU time of the target's cgroup in the kernel, us.
    CGROUP_CPU_SYS_US = Counter "cgroup_cpu_sys_us";
    /// Periods in which the cgroup was stopped because its CPU quota was used up.
    CGROUP_THROTTLED = Counter "cgroup_throttled";
    /// Time for which it was stopped, us.
    CGROUP_THROTTLED_US = Counter "cgroup_throttled_us";
    /// Memory charged to the cgroup, bytes: page cache and kernel memory included.
    CGROUP_MEM_BYTES = Gauge "cgroup_mem_bytes";
    /// Memory of the cgroup's socket buffers, bytes, at the slow beat, empty in between.
    CGROUP_SOCK_BYTES = Gauge "cgroup_sock_bytes";
    /// Kernel memory of the cgroup, bytes, at the slow beat, empty in between.
    CGROUP_KERNEL_BYTES = Gauge "cgroup_kernel_bytes";
    /// Allocations that met the cgroup's memory limit.
    CGROUP_MEM_MAX_HITS = Counter "cgroup_mem_max_hits";
    /// Processes of the cgroup that were killed for want of memory.
    CGROUP_OOM_KILLS = Counter "cgroup_oom_kills";
    /// Wake-ups of the canary that were due since the last row. Far fewer than planned: it stood still.
    CANARY_COUNT = Gauge "canary_count";
    /// The latest of them, or how long the one that is due has been waiting by now, us.
    CANARY_LATE_US_MAX = Gauge "canary_late_us_max";
    /// Open connections of the TCP echo.
    ECHO_CONNECTIONS = Gauge "echo_connections";
    /// Bytes that the TCP echo has sent back.
    ECHO_BYTES = Counter "echo_bytes";
}

/// `counters.csv` of loadgen and prober, in order; cumulative unless said. [`crate::write::CounterRow`] has their meaning.
pub const COUNTERS: &[Column] = &[
    Column { name: MONO_NS, kind: Kind::Stamp },
    Column { name: WALL_NS, kind: Kind::Stamp },
    Column { name: "connected", kind: Kind::Gauge },
    Column { name: "connect_succ", kind: Kind::Counter },
    Column { name: "connect_fail", kind: Kind::Counter },
    Column { name: "disconnected", kind: Kind::Counter },
    Column { name: "offered", kind: Kind::Counter },
    Column { name: "attempted", kind: Kind::Counter },
    Column { name: "written", kind: Kind::Counter },
    Column { name: "acked", kind: Kind::Counter },
    Column { name: "received", kind: Kind::Counter },
    Column { name: "received_bytes", kind: Kind::Counter },
    Column { name: "lost", kind: Kind::Counter },
    Column { name: "duplicated", kind: Kind::Counter },
    Column { name: "out_of_order", kind: Kind::Counter },
    Column { name: "corrupted", kind: Kind::Counter },
    Column { name: SELF_CPU_US, kind: Kind::Counter },
];

/// When a probe was due.
pub const DUE_NS: &str = "due_ns";
/// When it came back.
pub const RECEIVED_NS: &str = "received_ns";

/// `samples.csv` of the prober: one line per measured probe in the order of receipt; lost ones come last and have no
/// `received_ns`. All stamps are `CLOCK_MONOTONIC`.
pub const SAMPLES: &[Column] = &[
    Column { name: "sequence", kind: Kind::Gauge },
    Column { name: DUE_NS, kind: Kind::Stamp },
    Column { name: "sent_ns", kind: Kind::Stamp },
    Column { name: RECEIVED_NS, kind: Kind::Stamp },
    // 1 for a probe that a prober which waits for each answer would have sent too, else 0.
    Column { name: "closed_loop", kind: Kind::Gauge },
    // The pair of publisher and subscriber, from 0; each counts its own sequence.
    Column { name: "pair", kind: Kind::Gauge },
];

/// `processes.csv` of the collector: one line per process of the target and sample.
pub const PROCESSES: &[Column] = &[
    Column { name: MONO_NS, kind: Kind::Stamp },
    Column { name: "pid", kind: Kind::Gauge },
    Column { name: "comm", kind: Kind::Text },
    Column { name: "cpu_user_us", kind: Kind::Counter },
    Column { name: "cpu_sys_us", kind: Kind::Counter },
    Column { name: "vol_ctxt", kind: Kind::Counter },
    Column { name: "invol_ctxt", kind: Kind::Counter },
    Column { name: "minflt", kind: Kind::Counter },
    Column { name: "majflt", kind: Kind::Counter },
    Column { name: "threads", kind: Kind::Gauge },
    Column { name: "fds", kind: Kind::Gauge },
    Column { name: "rss_kb", kind: Kind::Gauge },
    Column { name: "vsz_kb", kind: Kind::Gauge },
];

/// `threads.csv` of the collector: one line per thread of the target at the slow beat. `cpu_us` and `wait_us` are the time
/// that it ran and the time that it was ready and waited for a core (`/proc/PID/task/TID/schedstat`).
pub const THREADS: &[Column] = &[
    Column { name: MONO_NS, kind: Kind::Stamp },
    Column { name: "pid", kind: Kind::Gauge },
    Column { name: "tid", kind: Kind::Gauge },
    Column { name: "comm", kind: Kind::Text },
    Column { name: "cpu_us", kind: Kind::Counter },
    Column { name: "wait_us", kind: Kind::Counter },
    Column { name: "vol_ctxt", kind: Kind::Counter },
    Column { name: "invol_ctxt", kind: Kind::Counter },
];

fn is_core_column(name: &str) -> bool {
    let Some((core, class)) = name.strip_prefix("cpu").and_then(|rest| rest.split_once('_')) else { return false };
    let class = class.strip_suffix("_ticks").unwrap_or_default();
    !core.is_empty() && core.bytes().all(|b| b.is_ascii_digit()) && CORE_CLASSES.contains(&class)
}

fn is_interface_column(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("if_") else { return false };
    let suffix = |counter: &str| rest.strip_suffix(counter).is_some_and(|head| head.len() > 1 && head.ends_with('_'));
    INTERFACE_COUNTERS.into_iter().any(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_columns_come_first() {
        let guide = "time_utc,iface,rx_bytes,rx_packets,tx_bytes,tx_packets,ctxt,intr,softirq_net_rx,softirq_net_tx,\
                     tcp_insegs,tcp_outsegs,tcp_retranssegs,tcp_estab,proc_rss_kb,proc_vsz_kb";
        let ours: Vec<&str> = RAW[..GUIDE_COUNT].iter().map(|column| column.name).collect();
        assert_eq!(ours.join(","), guide);
        assert_eq!(RAW[STAMPED_COUNT - 1].name, WALL_NS);
    }

    #[test]
    fn names_are_unique_and_have_a_kind() {
        let mut names: Vec<&str> = RAW.iter().map(|column| column.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RAW.len());
        assert_eq!(kind(TCP_ESTAB), Some(Kind::Gauge));
        assert_eq!(kind(&core_column(12, "softirq")), Some(Kind::Counter));
        assert_eq!(kind("cpu_colour_ticks"), None);
        assert_eq!(kind("colour"), None);
        assert_eq!(interface_column("wlan_0", TX_DROPPED).as_deref(), Some("if_wlan_0_tx_dropped"));
        assert_eq!(kind("if_wlan_0_tx_dropped"), Some(Kind::Counter));
        assert_eq!(
            (kind("if_tx_dropped"), kind("if__tx_dropped"), interface_column("a,b", RX_BYTES)),
            (None, None, None)
        );
    }
}
