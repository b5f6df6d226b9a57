//! `traceparent` of W3C Trace Context: the client's trace that a request belongs to.

use crate::types::hex;

/// A trace of the client, and the client's span that sent the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
}

/// `00-` trace `-` span `-` flags.
const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;
const SAMPLED: u8 = 1;

impl TraceParent {
    /// Parses a header. `None` if it is malformed or not sampled. Any client may send one, so it is used as a number only.
    #[must_use]
    pub fn read(header: &[u8]) -> Option<TraceParent> {
        let (known, rest) = header.split_at_checked(LENGTH)?;
        let [version] = bytes(known.get(..2)?)?;
        let more_may_follow = version != 0;
        if version == 0xff || !(rest.is_empty() || more_may_follow && rest.starts_with(b"-")) {
            return None;
        }
        if [2, 35, 52].iter().any(|at| known.get(*at) != Some(&b'-')) {
            return None;
        }
        let parent = TraceParent { trace: bytes(known.get(3..35)?)?, span: bytes(known.get(36..52)?)? };
        let [flags] = bytes(known.get(53..)?)?;
        let named = parent.trace != [0; 16] && parent.span != [0; 8];
        (named && flags & SAMPLED != 0).then_some(parent)
    }

    #[must_use]
    pub fn trace_id(&self) -> String {
        hex::encode(&self.trace)
    }

    #[must_use]
    pub fn span_id(&self) -> String {
        hex::encode(&self.span)
    }
}

/// Decodes exactly N bytes of lower-case hexadecimal digits.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (hex::value(*high)? << 4) | hex::value(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_sampled_parent_is_taken_over() {
        for good in [
            format!("00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-ff"),
            format!("01-{TRACE}-{SPAN}-01"),
            format!("fe-{TRACE}-{SPAN}-01-what-comes-later"),
        ] {
            let parent = TraceParent::read(good.as_bytes()).unwrap_or_else(|| panic!("{good}"));
            assert_eq!((parent.trace_id().as_str(), parent.span_id().as_str()), (TRACE, SPAN), "{good}");
        }
    }

    #[test]
    fn one_that_is_not_sampled_or_not_well_formed_is_none() {
        let zeros = "0".repeat(32);
        for bad in [
            format!("00-{TRACE}-{SPAN}-00"),
            format!("00-{TRACE}-{SPAN}-02"),
            format!("00-{TRACE}-{SPAN}-0"),
            format!("00-{TRACE}-{SPAN}-011"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-001"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}_{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}_01"),
            format!("00-{}g-{SPAN}-01", &TRACE[1..]),
            format!(" 00-{TRACE}-{SPAN}-01"),
            "00".into(),
            String::new(),
            "-".repeat(LENGTH),
            "\u{e4}".repeat(LENGTH),
        ] {
            assert_eq!(TraceParent::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
