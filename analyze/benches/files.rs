//! What a large file costs: `cargo bench -p analyze --bench files -- [ROWS] [REPEATS]`.
//!
//! A raw.csv in the published format is made (by default 1,000,000 rows, about 175 MB: eleven days of a sample each second), and
//! `analyze` is run on it as a user runs it. Wall time, CPU time and the greatest resident memory are those that the kernel
//! accounts to each process.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, default: u64| words.get(at).map_or(default, |word| word.parse().expect("a number"));
    let (rows, repeats) = (number(0, 1_000_000), number(1, 5).max(1));
    let home = tempfile::tempdir().expect("a directory for the file");
    let dir = home.path().join("broker-A-model-large-run1-20260101T000000Z");
    fs::create_dir(&dir).expect("a new directory");
    let raw = dir.join("raw.csv");
    let bytes = generate(&raw, rows);
    println!("{rows} rows, {:.1} MB, {repeats} repeats; medians", bytes as f64 / 1e6);
    println!("{:<24} {:>8} {:>8} {:>10}", "", "wall s", "CPU s", "RSS MiB");
    let output = home.path().join("rates.csv");
    let [raw, dir, output] = [&raw, &dir, &output].map(|path| path.to_str().expect("a plain path"));
    for (name, arguments) in [
        ("rates", vec!["rates", raw, "-o", output]),
        ("rates --compat", vec!["rates", raw, "-o", output, "--compat"]),
        ("summary", vec!["summary", dir]),
        ("audit", vec!["audit", dir]),
    ] {
        let mut costs: Vec<Cost> = (0..repeats).map(|_| run(&arguments)).collect();
        costs.sort_by(|a, b| a.wall_s.total_cmp(&b.wall_s));
        let Cost { wall_s, cpu_s, rss_mib } = costs[costs.len() / 2];
        println!("{name:<24} {wall_s:>8.2} {cpu_s:>8.2} {rss_mib:>10.0}");
    }
}

/// What one process took.
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    rss_mib: f64,
}

#[expect(clippy::zombie_processes, reason = "wait4 takes it, and with it what it used")]
fn run(arguments: &[&str]) -> Cost {
    let begin = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_analyze"));
    let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid one; it holds plain integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables of the types that the call fills, and the process is our own child, which
    // nobody else waits for.
    let found = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    assert!(found > 0 && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "analyze {arguments:?} failed");
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    Cost {
        wall_s: begin.elapsed().as_secs_f64(),
        cpu_s: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        rss_mib: usage.ru_maxrss as f64 / 1024.0,
    }
}

/// Writes a file as the published sampler writes it and returns its size: a sample each 1.1 s with whole-second stamps, a load
/// that rises, holds with some noise and ends, and memory that grows. The same rows every time.
fn generate(path: &Path, rows: u64) -> u64 {
    let mut file = BufWriter::new(File::create_new(path).expect("a new file"));
    let mut line = String::from(
        "time_utc,iface,rx_bytes,rx_packets,tx_bytes,tx_packets,ctxt,intr,softirq_net_rx,softirq_net_tx,tcp_insegs,\
         tcp_outsegs,tcp_retranssegs,tcp_estab,proc_rss_kb,proc_vsz_kb\n",
    );
    let (mut state, mut bytes, mut packets, mut switches) =
        (42_u64, 830_000_000_000_u64, 1_900_000_000_u64, 4_000_000_000_u64);
    for row in 0..rows {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = state >> 54;
        let is_loaded = row > rows / 10 && row < rows - rows / 10;
        let load = if is_loaded { 60_000 + noise } else { 20 };
        (bytes, packets, switches) = (bytes + load * 330, packets + load, switches + 9_000 + noise);
        let utc = runlog::clock::utc_text((1_767_000_000 + row * 11 / 10) * runlog::clock::NS_PER_S);
        let estab = if is_loaded { 4_010 } else { 0 };
        writeln!(
            line,
            "{utc},eth0,{bytes},{packets},{},{},{switches},{},{},{},{},{},{},{estab},{},{}",
            bytes * 3,
            packets * 2,
            switches * 2,
            packets / 3,
            packets / 900,
            packets + 7,
            packets * 2 + 9,
            row / 50,
            900_000 + row / 10 + noise,
            5_400_000 + row / 100
        )
        .expect("a String takes everything");
        file.write_all(line.as_bytes()).expect("the disk takes the file");
        line.clear();
    }
    file.flush().expect("the disk takes the file");
    drop(file);
    fs::metadata(path).expect("the file is there").len()
}
