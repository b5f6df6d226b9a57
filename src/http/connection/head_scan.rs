//! Line ends in heads. hyper takes a bare LF for the end of a line, which RFC 9112 (2.2) allows; a proxy in front that
//! does not would see other headers than we do, and where a request ends would be a matter of opinion. So a bare LF is
//! made a byte that no head may hold, and hyper refuses the request.

/// What is put in the place of a bare LF.
const REFUSED: u8 = 0;

/// Reads over a head as its bytes come.
#[derive(Default)]
pub(super) struct HeadScan {
    /// Bytes of the present line so far.
    line: usize,
    after_cr: bool,
    /// A line with something in it has come: empty ones may stand before a request line.
    begun: bool,
    /// The empty line has come: what follows is the body.
    complete: bool,
}

impl HeadScan {
    /// Looks at the next bytes of the head, up to its end. Returns whether anything follows that.
    pub(super) fn look(&mut self, mut bytes: &mut [u8]) -> bool {
        while !self.complete && !bytes.is_empty() {
            let Some(at) = memchr::memchr(b'\n', bytes) else {
                self.after_cr = bytes.last() == Some(&b'\r');
                self.line = self.line.saturating_add(bytes.len());
                return false;
            };
            let (line, rest) = bytes.split_at_mut(at.saturating_add(1));
            let after_cr = match line {
                [.., before, _] => *before == b'\r',
                _ => self.after_cr,
            };
            match line.last_mut() {
                Some(end) if !after_cr => *end = REFUSED,
                Some(_) | None => {}
            }
            self.line = self.line.saturating_add(line.len());
            let empty = self.line == 2 && after_cr;
            self.complete = empty && self.begun;
            self.begun |= !empty;
            (self.line, self.after_cr) = (0, false);
            bytes = rest;
        }
        !bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of bytes that come in two pieces, wherever they are cut.
    fn looked(text: &str) -> String {
        let mut results = (0..=text.len()).map(|cut| {
            let (mut bytes, mut scan) = (text.as_bytes().to_vec(), HeadScan::default());
            let (first, second) = bytes.split_at_mut(cut);
            scan.look(first);
            scan.look(second);
            String::from_utf8_lossy(&bytes).replace('\0', "!")
        });
        let first = results.next().expect("one");
        assert!(results.all(|other| other == first), "the cut matters: {text:?}");
        first
    }

    #[test]
    fn heads_with_whole_line_ends_stay_as_they_are_and_bodies_too() {
        let request = "POST / HTTP/1.1\r\nHost: a\r\n\r\n{\n\"a\": 1\n}\r\n\n";
        assert_eq!(looked(request), request);
    }

    #[test]
    fn a_bare_line_feed_in_a_head_is_spoilt() {
        assert_eq!(looked("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n"), "GET / HTTP/1.1\r\nA: b!C: d\r\n\r\n");
        assert_eq!(looked("GET / HTTP/1.1\n\n"), "GET / HTTP/1.1!!");
        assert_eq!(looked("\r\nGET / HTTP/1.1\nA: b"), "\r\nGET / HTTP/1.1!A: b");
        assert_eq!(looked("A: b\r\n\nGET"), "A: b\r\n!GET");
    }
}
