//! A shorter list that still fails.

use std::time::{Duration, Instant};

/// Leaves out pieces of a failing list, large ones first, as long as what remains fails.
pub(super) fn shrink<T: Clone>(list: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    /// Attempts cost a broker each; a failure that depends on chance would keep this busy for long.
    const ATTEMPTS: usize = 400;
    /// The same for long lists: no attempt begins later than this.
    const PATIENCE: Duration = Duration::from_secs(120);
    let end = Instant::now() + PATIENCE;
    let mut short = list.to_vec();
    let mut piece = short.len().div_ceil(2);
    let mut attempts = 0;
    while piece > 0 && attempts < ATTEMPTS && Instant::now() < end {
        let (mut at, mut shorter) = (0, false);
        while at < short.len() && attempts < ATTEMPTS && Instant::now() < end {
            let to = (at + piece).min(short.len());
            let candidate = [&short[..at], &short[to..]].concat();
            attempts += 1;
            if fails(&candidate) {
                short = candidate;
                shorter = true;
            } else {
                at = to;
            }
        }
        // Single ones again and again: leaving one out may make another one needless.
        piece = if piece > 1 { piece / 2 } else { usize::from(shorter) };
    }
    short
}

#[test]
fn finds_the_few_that_matter() {
    let list: Vec<u32> = (0..100).collect();
    let needed = [13, 57, 90];
    let mut attempts = 0;
    let short = shrink(&list, |candidate| {
        attempts += 1;
        needed.iter().all(|number| candidate.contains(number))
    });
    assert_eq!(short, needed);
    assert!(attempts < 200, "{attempts} attempts");
    assert_eq!(shrink(&list, |candidate| candidate.len() > 40).len(), 41);
}
