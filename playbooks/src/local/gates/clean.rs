//! The state from which a step begins.

use std::fs;

/// Sockets in TIME_WAIT in the network of the thread that asks; absent where the kernel does not say.
pub(crate) fn time_wait() -> Option<u64> {
    time_wait_of(&fs::read_to_string("/proc/thread-self/net/sockstat").ok()?)
}

/// The number after `tw` in the line of TCP.
fn time_wait_of(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find(|line| line.starts_with("TCP:"))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "tw");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text() {
        let text = "sockets: used 183\nTCP: inuse 6 orphan 0 tw 42 alloc 9 mem 1\nUDP: inuse 2 mem 0\n";
        assert_eq!(time_wait_of(text), Some(42));
        assert_eq!(time_wait_of("sockets: used 183\n"), None);
        assert!(time_wait().is_some(), "this kernel says it");
    }
}
