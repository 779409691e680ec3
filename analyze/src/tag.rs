//! Tags of the published form, `A-axmq-qos0-256-1to10-run1`: label, target, step and repeat of a run that no playbook started.
//!
//! Any other tag is a step of its own, of an unnamed target.

/// What a tag of the published form says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// One capital letter, which tells the sides of a comparison apart.
    pub label: &'a str,
    /// The broker under test.
    pub target: &'a str,
    /// What was done: the same for all targets and repeats.
    pub step: &'a str,
    /// Which repeat of the step, from 1 to [`REPEATS_MAX`].
    pub repeat: u32,
}

impl<'a> Tag<'a> {
    /// Reads a tag; `None` where it is of another form.
    pub fn parse(tag: &'a str) -> Option<Self> {
        let mut words = tag.splitn(3, '-');
        let (label, target, rest) = (words.next()?, words.next()?, words.next()?);
        let is_label = label.len() == 1 && label.bytes().all(|b| b.is_ascii_uppercase());
        if !is_label || target.is_empty() || rest.is_empty() {
            return None;
        }
        let numbered = rest.rsplit_once("-run").and_then(|(step, number)| Some((step, repeat(number)?)));
        let (step, repeat) = numbered.unwrap_or((rest, 1));
        Some(Self { label, target, step, repeat })
    }
}

fn repeat(digits: &str) -> Option<u32> {
    let number: u32 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    (number > 0).then_some(number.min(REPEATS_MAX))
}

/// A tag that claims a higher repeat is not believed: points are laid out for every repeat.
pub const REPEATS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_tags_and_others() {
        let of = |label, target, step, repeat| Some(Tag { label, target, step, repeat });
        assert_eq!(Tag::parse("A-axmq-qos0-256-1to10-run2"), of("A", "axmq", "qos0-256-1to10", 2));
        assert_eq!(Tag::parse("B-emqx-c1m-conn100k-idle"), of("B", "emqx", "c1m-conn100k-idle", 1));
        assert_eq!(Tag::parse("A-x-fan-run4000000000"), of("A", "x", "fan", REPEATS_MAX));
        assert_eq!(Tag::parse("A-x-fan-run0"), of("A", "x", "fan-run0", 1));
        assert_eq!(Tag::parse("A-x-fan-run+3"), of("A", "x", "fan-run+3", 1));
        for other in ["", "-", "mine", "A-axmq", "A--x", "AB-x-y", "a-x-y", "Ä-x-y", "A-x-"] {
            assert_eq!(Tag::parse(other), None, "{other}");
        }
    }
}
