//! Line ends in heads. hyper accepts a bare LF as the end of a line, which RFC 9112 (2.2) allows; a proxy in front that
//! does not would see other headers than the server, and the two would disagree about the end of the request. So a
//! request whose head has a bare LF is refused.

/// The header that says that the body is in chunks, in lower case.
const CODING: &[u8] = b"transfer-encoding:";

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
    /// Bytes of [`CODING`] with which the present line begins.
    coding_bytes: usize,
    has_coding: bool,
    has_bare_lf: bool,
}

impl HeadScan {
    /// Scans the next bytes of the head, up to its end. Returns the bytes that follow the head once it is complete.
    pub(super) fn scan<'b>(&mut self, mut bytes: &'b [u8]) -> Option<&'b [u8]> {
        while !self.complete {
            let Some(at) = memchr::memchr(b'\n', bytes) else {
                if !bytes.is_empty() {
                    self.note_coding(bytes);
                    self.after_cr = bytes.last() == Some(&b'\r');
                    self.line_bytes = self.line_bytes.saturating_add(bytes.len());
                }
                return None;
            };
            let (line, rest) = bytes.split_at(at.saturating_add(1));
            self.note_coding(line);
            let after_cr = match line {
                [.., before, _] => *before == b'\r',
                _ => self.after_cr,
            };
            self.has_bare_lf |= !after_cr;
            self.line_bytes = self.line_bytes.saturating_add(line.len());
            let empty = self.line_bytes == 2 && after_cr;
            self.complete = empty && self.started;
            self.started |= !empty;
            (self.line_bytes, self.after_cr, self.coding_bytes) = (0, false, 0);
            bytes = rest;
        }
        Some(bytes)
    }

    /// Compares the next bytes of a line with the name of the header of codings.
    fn note_coding(&mut self, bytes: &[u8]) {
        if self.coding_bytes != self.line_bytes {
            return;
        }
        // Most headers begin with another letter.
        if self.line_bytes == 0 && bytes.first().is_none_or(|byte| !byte.eq_ignore_ascii_case(&CODING[0])) {
            return;
        }
        let Some(left) = CODING.get(self.coding_bytes..) else { return };
        let same = left.iter().zip(bytes).take_while(|(name, byte)| **name == byte.to_ascii_lowercase()).count();
        self.coding_bytes = self.coding_bytes.saturating_add(same);
        self.has_coding |= same == left.len();
    }

    /// Returns whether the head says that the body has a transfer coding: hyper serves chunks only.
    pub(super) fn has_coding(&self) -> bool {
        self.has_coding
    }

    /// Returns whether a line of the head ended in a bare LF.
    pub(super) fn has_bare_lf(&self) -> bool {
        self.has_bare_lf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a scan in two pieces finds, which is the same wherever they are cut: whether a line ended in a bare LF,
    /// whether there is a coding, and how many bytes follow the head.
    fn scanned(text: &str) -> (bool, bool, Option<usize>) {
        let mut results = (0..=text.len()).map(|cut| {
            let mut scan = HeadScan::default();
            let (first, second) = text.as_bytes().split_at(cut);
            let rest = match scan.scan(first) {
                Some(rest) => Some(rest.len() + second.len()),
                None => scan.scan(second).map(<[u8]>::len),
            };
            (scan.has_bare_lf(), scan.has_coding(), rest)
        });
        let first = results.next().expect("one");
        assert!(results.all(|other| other == first), "the cut matters: {text:?}");
        first
    }

    #[test]
    fn a_head_ends_at_its_empty_line_and_a_body_is_not_judged() {
        assert_eq!(scanned("POST / HTTP/1.1\r\nHost: a\r\n\r\n{\n\"a\": 1\n}\r\n\n"), (false, false, Some(13)));
        assert_eq!(scanned("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), (false, false, Some(0)));
    }

    #[test]
    fn a_bare_line_feed_in_a_head_is_noted() {
        assert_eq!(scanned("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n"), (true, false, Some(0)));
        assert_eq!(scanned("GET / HTTP/1.1\n\n"), (true, false, None));
        assert_eq!(scanned("\r\nGET / HTTP/1.1\nA: b"), (true, false, None));
        assert_eq!(scanned("A: b\r\n\nGET"), (true, false, None));
    }

    #[test]
    fn a_coding_is_found_in_any_case_and_only_as_a_name() {
        assert_eq!(scanned("POST / HTTP/1.1\r\ntransfer-Encoding: chunked\r\n\r\n0"), (false, true, Some(1)));
        assert_eq!(
            scanned("POST / HTTP/1.1\r\nX-Transfer-Encoding: a\r\nTransfer-Encodin: b\r\n\r\n"),
            (false, false, Some(0))
        );
    }
}
