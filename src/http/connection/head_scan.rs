//! Line ends in heads. hyper accepts a bare LF as the end of a line, which RFC 9112 (2.2) allows; a proxy in front that
//! does not would see other headers than the server, and the two would disagree about the end of the request. So a bare
//! LF is replaced by a byte that no head may contain, and hyper rejects the request.

/// The byte that replaces a bare LF.
const INVALID: u8 = 0;

/// Scans a head as its bytes are received.
#[derive(Default)]
pub(super) struct HeadScan {
    /// Bytes of the present line so far.
    line_bytes: usize,
    after_cr: bool,
    /// A line that is not empty has come: empty ones may precede a request line.
    started: bool,
    /// The empty line has come: the body follows.
    complete: bool,
}

impl HeadScan {
    /// Scans the next bytes of the head, up to its end. Returns whether bytes follow the head.
    pub(super) fn scan(&mut self, mut bytes: &mut [u8]) -> bool {
        while !self.complete && !bytes.is_empty() {
            let Some(at) = memchr::memchr(b'\n', bytes) else {
                self.after_cr = bytes.last() == Some(&b'\r');
                self.line_bytes = self.line_bytes.saturating_add(bytes.len());
                return false;
            };
            let (line, rest) = bytes.split_at_mut(at.saturating_add(1));
            let after_cr = match line {
                [.., before, _] => *before == b'\r',
                _ => self.after_cr,
            };
            match line.last_mut() {
                Some(end) if !after_cr => *end = INVALID,
                Some(_) | None => {}
            }
            self.line_bytes = self.line_bytes.saturating_add(line.len());
            let empty = self.line_bytes == 2 && after_cr;
            self.complete = empty && self.started;
            self.started |= !empty;
            (self.line_bytes, self.after_cr) = (0, false);
            bytes = rest;
        }
        !bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes after a scan in two pieces, which is the same wherever they are cut.
    fn scanned(text: &str) -> String {
        let mut results = (0..=text.len()).map(|cut| {
            let (mut bytes, mut scan) = (text.as_bytes().to_vec(), HeadScan::default());
            let (first, second) = bytes.split_at_mut(cut);
            scan.scan(first);
            scan.scan(second);
            String::from_utf8_lossy(&bytes).replace('\0', "!")
        });
        let first = results.next().expect("one");
        assert!(results.all(|other| other == first), "the cut matters: {text:?}");
        first
    }

    #[test]
    fn heads_with_complete_line_ends_and_bodies_stay_unchanged() {
        let request = "POST / HTTP/1.1\r\nHost: a\r\n\r\n{\n\"a\": 1\n}\r\n\n";
        assert_eq!(scanned(request), request);
    }

    #[test]
    fn a_bare_line_feed_in_a_head_is_made_invalid() {
        assert_eq!(scanned("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n"), "GET / HTTP/1.1\r\nA: b!C: d\r\n\r\n");
        assert_eq!(scanned("GET / HTTP/1.1\n\n"), "GET / HTTP/1.1!!");
        assert_eq!(scanned("\r\nGET / HTTP/1.1\nA: b"), "\r\nGET / HTTP/1.1!A: b");
        assert_eq!(scanned("A: b\r\n\nGET"), "A: b\r\n!GET");
    }
}
