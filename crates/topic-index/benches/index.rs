//! What the index and the retained map cost: nanoseconds per operation and bytes per entry.
//!
//! `cargo bench -p topic-index [-- NAME_PART]`. Topics are asked in random order, so that the caches are as cold as they
//! are for a broker with a million subscriptions; "hot" asks one topic again and again. Bytes are those asked of the
//! allocator, rounded up as glibc's malloc does (8 of header, multiples of 16, at least 32), less the text of the
//! entries; a value is 8 bytes, which are included.
//!
//! On two cores of an AMD EPYC (Zen 3, virtual, busy with other work), a million entries each:
//!
//! | case | bytes beyond text | match, random topics | match, one topic |
//! |---|---|---|---|
//! | exact | 58 | 0.10 us | 0.02 us |
//! | `site/+/device/{i}/#`, 1 match | 29 | 0.36 us | 0.20 us |
//! | `a/{i}/+`, 1 match | 41 | 0.27 us | 0.12 us |
//! | `site/+/device/{i}/#` under 9 broad ones, 10 matches | 29 | 0.5 to 0.9 us | 0.37 us |
//! | 10 shapes for each of 100k devices, 10 matches | 43 | 1.4 to 2.2 us | 0.68 us |
//! | retained topics | 56 | get: 1.1 to 2.0 us | |

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use topic_index::{FilterIndex, TopicMap};

const ENTRIES: u64 = 1_000_000;
const LOOKUPS: u64 = 1_000_000;
const BATCH_LEN: usize = 50;

type MakeFilter = fn(u64) -> String;

/// A set of filters and the topics that are asked of it.
struct Case {
    name: &'static str,
    filter: MakeFilter,
    topic: MakeFilter,
    matches: u64,
}

const CASES: &[Case] = &[
    Case { name: "exact, 1 match", filter: exact, topic: exact, matches: 1 },
    Case { name: "exact, no match", filter: exact, topic: |n| format!("site/{n}/none"), matches: 0 },
    Case {
        name: "site/+/device/{i}/#, 1 match",
        filter: |n| format!("site/+/device/{n}/#"),
        topic: |n| format!("site/{}/device/{n}/temperature", n % 100),
        matches: 1,
    },
    Case {
        name: "a/{i}/+, 1 match",
        filter: |n| format!("a/{n}/+"),
        topic: |n| format!("a/{n}/temperature"),
        matches: 1,
    },
    Case {
        name: "1M of site/+/device/{i}/# under 9 broad ones, 10 matches",
        filter: under_broad_ones,
        topic: |n| format!("site/{}/device/{}/temperature", n % 100, n.max(9)),
        matches: 10,
    },
    Case {
        name: "10 shapes for each of 100k devices, 10 matches",
        filter: |n| ten_shapes(n / 10, n % 10),
        topic: |n| format!("site/{}/device/{}/sensor/temperature", n / 10 % 100, n / 10),
        matches: 10,
    },
];

fn exact(n: u64) -> String {
    format!("site/{}/device/{n}/temperature", n % 100)
}

fn under_broad_ones(n: u64) -> String {
    const BROAD: [&str; 9] = [
        "#",
        "+/#",
        "site/#",
        "site/+/device/#",
        "+/+/+/+/+",
        "+/+/device/+/#",
        "site/+/+/+/temperature",
        "+/+/+/+/temperature",
        "site/+/device/+/temperature",
    ];
    BROAD.get(n as usize).map_or_else(|| format!("site/+/device/{n}/#"), |filter| (*filter).to_owned())
}

fn ten_shapes(device: u64, shape: u64) -> String {
    let site = device % 100;
    match shape {
        0 => format!("site/+/device/{device}/#"),
        1 => format!("site/{site}/device/{device}/#"),
        2 => format!("site/{site}/+/{device}/#"),
        3 => format!("+/{site}/device/{device}/sensor/+"),
        4 => format!("+/+/device/{device}/sensor/temperature"),
        5 => format!("site/{site}/device/{device}/+/temperature"),
        6 => format!("site/+/+/{device}/sensor/+"),
        7 => format!("site/+/device/{device}/sensor/+"),
        8 => format!("+/{site}/+/{device}/+/+"),
        _ => format!("site/{site}/device/{device}/+/+"),
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    for case in CASES.iter().filter(|case| is_wanted(case.name)) {
        measure_filters(case);
    }
    if is_wanted("retained") {
        measure_retained();
    }
}

fn measure_filters(case: &Case) {
    println!("{}", case.name);
    let filters: Vec<String> = shuffled(ENTRIES).map(case.filter).collect();
    let topics: Vec<String> = shuffled(LOOKUPS).map(case.topic).collect();
    let text: usize = filters.iter().map(String::len).sum();

    let before = held();
    let mut index = FilterIndex::new();
    let insert_ns = each(&filters, |filter| {
        index.get_or_insert_with(filter, || 7_u64);
    });
    let bytes = (held() - before - text as isize) as f64 / ENTRIES as f64;
    println!("    {bytes:7.1} bytes a filter beyond its text of {}", text as u64 / ENTRIES);
    println!("    {insert_ns}  insert");

    let mut visits = 0;
    let match_ns = each(&topics, |topic| index.for_each_match(topic, |value| visits += *value / 7));
    assert_eq!(visits, case.matches * LOOKUPS, "matches of {}", case.name);
    println!("    {match_ns}  match, random topics");
    let hot = (case.topic)(ENTRIES / 2);
    let hot_ns = each(&topics, |_| index.for_each_match(black_box(&hot), |value| visits += *value));
    println!("    {hot_ns}  match, one topic");
    black_box(visits);
    drop(hot);

    let remove_ns = each(&filters, |filter| {
        index.remove(filter);
    });
    println!("    {remove_ns}  remove");
    assert_eq!(held(), before, "an empty index holds no memory");
}

fn measure_retained() {
    println!("retained, 1M topics");
    let topics: Vec<String> = shuffled(ENTRIES).map(exact).collect();
    let text: usize = topics.iter().map(String::len).sum();
    let before = held();
    let mut map = TopicMap::new();
    let insert_ns = each(&topics, |topic| {
        map.insert(topic, 7_u64);
    });
    let bytes = (held() - before - text as isize) as f64 / ENTRIES as f64;
    println!("    {bytes:7.1} bytes a topic beyond its text of {}", text as u64 / ENTRIES);
    println!("    {insert_ns}  insert");
    let mut visits = 0;
    let get_ns = each(&topics, |topic| visits += map.get(topic).copied().unwrap_or_default());
    println!("    {get_ns}  get, random topics");
    let one: Vec<String> = shuffled(ENTRIES).map(|n| format!("site/{}/+/{n}/temperature", n % 100)).collect();
    let one_ns = each(&one, |filter| map.for_each_match(filter, |_, value| visits += *value));
    println!("    {one_ns}  match of site/{{s}}/+/{{i}}/temperature, 1 topic");
    for filter in ["#", "site/+/device/+/temperature", "site/7/#", "+/+/+/+/none"] {
        let start = Instant::now();
        let mut matches = 0_u32;
        map.for_each_match(filter, |_, _| matches += 1);
        println!("    {:7.1} ms  match of {filter}, {matches} topics", start.elapsed().as_secs_f64() * 1e3);
    }
    black_box(visits);
    let remove_ns = each(&topics, |topic| {
        map.remove(topic);
    });
    println!("    {remove_ns}  remove");
}

/// Does an operation for each text, in batches.
fn each(texts: &[String], mut operation: impl FnMut(&str)) -> Cost {
    let mut batches_ns = Vec::with_capacity(texts.len() / BATCH_LEN + 1);
    for batch in texts.chunks_exact(BATCH_LEN) {
        let start = Instant::now();
        for text in batch {
            operation(text);
        }
        batches_ns.push(start.elapsed().as_nanos() as f64);
    }
    batches_ns.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| batches_ns[(batches_ns.len() as f64 * share) as usize];
    Cost { median_ns: at(0.5) / BATCH_LEN as f64, rare_us: at(0.999) / 1e3, longest_us: at(0.99999) / 1e3 }
}

/// What an operation takes: the median over batches, which other work on the machine does not move, and the slowest
/// batches, in which a table grew or the machine did something else.
struct Cost {
    median_ns: f64,
    rare_us: f64,
    longest_us: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median_ns, rare_us, longest_us } = self;
        write!(f, "{median_ns:7.1} ns; batch of {BATCH_LEN}: p99.9 {rare_us:6.1} us, longest {longest_us:6.1} us")
    }
}

/// The numbers below `end`, a power of ten, each once, in an order that no cache can foresee.
fn shuffled(end: u64) -> impl Iterator<Item = u64> {
    (0..end).map(move |n| (n * 7_368_787 + 12_345) % end)
}

/// Bytes that the program holds, rounded up as malloc does.
fn held() -> isize {
    HELD.load(Ordering::Relaxed) as isize
}

static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(rounded(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(rounded(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(rounded(size), Ordering::Relaxed);
        HELD.fetch_sub(rounded(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn rounded(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}
