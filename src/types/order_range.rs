//! The range of orders that an undo is about.

use std::fmt;

use super::Seq;

/// The last orders of a drop at the time of a preview, named by the numbers of the first and the last: a repeat is about
/// the same orders, even if more were sold in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderRange {
    pub first: Seq,
    pub last: Seq,
}

/// Maximum number of digits, so that every such number is a [`Seq`].
const DIGITS_MAX: usize = 14;

impl OrderRange {
    /// Parses `first-last` in the one spelling that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<OrderRange> {
        let (first, last) = text.split_once('-')?;
        let number = |digits: &str| {
            let fits = digits.len() <= DIGITS_MAX && !digits.starts_with(['0', '+']);
            digits.parse().ok().filter(|_| fits).and_then(Seq::new)
        };
        Some(OrderRange { first: number(first)?, last: number(last)? })
    }
}

impl fmt::Display for OrderRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_in_the_spelling_in_which_it_is_written() {
        let run = OrderRange::parse("1201-1234").expect("a run");
        assert_eq!((run.first.get(), run.last.get(), run.to_string().as_str()), (1201, 1234, "1201-1234"));
        for bad in ["", "-", "1", "1-", "-1", "0-1", "01-2", "+1-2", "1-2-3", "1 -2", "1-100000000000000", "a-b"] {
            assert_eq!(OrderRange::parse(bad), None, "{bad}");
        }
    }
}
