//! No memory is asked for per probe: a run of ten times the probes asks about as often as a short one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use clap::Parser;
use prober::Args;

use crate::support::Broker;

/// The system's allocator, counting what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_memory_is_asked_for_per_probe() {
    let broker = Broker::ours();
    for qos in ["0", "1", "2"] {
        let asked_by = |probes: &str| {
            let (port, place) = (broker.port.to_string(), tempfile::tempdir().unwrap());
            let run_dir = place.path().join("run").display().to_string();
            let words = ["prober", "-h", "127.0.0.1", "-p", &port, "-q", qos, "-i", "0.25", "-n", probes];
            let args = Args::parse_from(words.into_iter().chain(["--run-dir", &run_dir]));
            let before = ASKED.get();
            prober::run(&args).unwrap();
            ASKED.get() - before
        };
        let (few, many) = (asked_by("400"), asked_by("4000"));
        // 3,600 further probes. What is left is asked for once a second, and in growing the last lists.
        assert!(many < few + 360, "QoS {qos}: asked {few} times for 400 probes, {many} times for 4000");
    }
}
