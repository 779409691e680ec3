//! How much memory the broker holds, and how much it may: the two figures of the memory budget.
//!
//! Every byte counts, whoever holds it: queues, retained messages, sessions, the topic index, output. So the allocator
//! itself counts. Each thread adds up what it takes and gives back for itself, and tells the others only when that has
//! changed by [`STEP_BYTES`]: no atomic operation per message, and an error of at most a step per thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator, with an account.
pub(crate) struct Accounted;

/// Change of a thread's account from which on it is told to all.
const STEP_BYTES: isize = 64 * 1024;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    /// What this thread has taken (or, below zero, given back) and not told.
    static UNTOLD: Cell<isize> = const { Cell::new(0) };
}

/// Bytes taken from the allocator and not given back, its own overhead included as far as it is known.
pub(crate) fn in_use_bytes() -> usize {
    usize::try_from(IN_USE.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Half of the memory that this process may use: of the machine's, or of its control group's limit. The rest is for
/// the kernel's socket buffers, for what allocators lose to fragmentation, and for others.
pub(crate) fn default_budget_bytes() -> usize {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total_bytes(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(group_limits_bytes).chain(machine);
    limits.min().map_or(usize::MAX, |bytes| bytes / 2)
}

fn mem_total_bytes(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

/// The limits that hold for a line of `/proc/self/cgroup`: those of the group and of the groups around it.
fn group_limits_bytes(line: &str) -> Vec<usize> {
    let mut parts = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
        return Vec::new();
    };
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let group = Path::new(group.trim_start_matches('/'));
    // Inside a container the group's path may not exist, and the root is the group.
    let files = group.ancestors().map(|group| Path::new(root).join(group).join(file));
    // "max": none.
    files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).collect()
}

/// What an allocation takes from the heap: a header of eight bytes, multiples of sixteen, at least 32 (glibc's malloc).
fn size_bytes(asked: usize) -> isize {
    ((asked + 8).next_multiple_of(16)).max(32).cast_signed()
}

fn note(change: isize) {
    // Not there any more while the thread ends: the account is off by as much.
    let _ = UNTOLD.try_with(|untold| {
        let sum = untold.get() + change;
        if sum.abs() < STEP_BYTES {
            untold.set(sum);
        } else {
            untold.set(0);
            IN_USE.fetch_add(sum, Ordering::Relaxed);
        }
    });
}

// SAFETY: every call goes to the system's allocator unchanged. The account allocates nothing: its thread-local is
// initialized at compile time and has no destructor.
unsafe impl GlobalAlloc for Accounted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(size_bytes(layout.size()));
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(size_bytes(layout.size()));
        // SAFETY: the caller keeps to the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-size_bytes(layout.size()));
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(size_bytes(new_size) - size_bytes(layout.size()));
        // SAFETY: the caller keeps to the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_allocations_show_and_go() {
        const BYTES: usize = 64 * 1024 * 1024;
        // Other tests allocate at the same time, but not that much.
        let near = |left: usize, right: usize| left.abs_diff(right) < BYTES / 4;
        let before = in_use_bytes();
        let mut held = vec![1_u8; BYTES];
        assert!(near(in_use_bytes(), before + BYTES));
        held.reserve_exact(BYTES);
        assert!(near(in_use_bytes(), before + 2 * BYTES));
        std::thread::spawn(move || drop(held)).join().unwrap();
        assert!(near(in_use_bytes(), before));
    }

    #[test]
    fn the_budget_is_a_share_of_what_there_is() {
        assert_eq!(mem_total_bytes("MemFree: 1 kB\nMemTotal:       16384 kB\n"), Some(16 * 1024 * 1024));
        assert_eq!(mem_total_bytes("MemTotal: much"), None);
        let total = mem_total_bytes(&std::fs::read_to_string("/proc/meminfo").unwrap()).unwrap();
        assert!((1..=total / 2).contains(&default_budget_bytes()));
        assert_eq!(group_limits_bytes("4:cpu:/x"), []);
        assert_eq!(group_limits_bytes("damaged"), []);
    }
}
