//! The place of received bytes in the messages of a connection: head, body, or unknown. Heads at a known place are
//! judged; no byte is ever changed. The bytes that hyper reads after a complete head, beyond the body of its request,
//! belong to a pipelined request: from there on the place is unknown, and no head of the connection is judged again.
//! (Proxies do not pipeline to a server, and a client that does can only mislead itself.)

use super::head_scan::HeadScan;

/// The place of the next byte.
pub(super) enum MessagePlace {
    Head(HeadScan),
    /// The head is complete, and its request has not started: whether these bytes after it are its body is not known yet.
    AfterHead {
        bytes: u64,
        has_bare_lf: bool,
    },
    /// Bytes of the body that are still to come.
    Body {
        left: u64,
    },
    Chunks {
        scan: ChunkScan,
        request_started: bool,
        has_bare_lf: bool,
    },
    Unknown,
}

impl Default for MessagePlace {
    fn default() -> MessagePlace {
        MessagePlace::Head(HeadScan::default())
    }
}

impl MessagePlace {
    /// Follows received bytes. Returns whether bytes follow the end of a head.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> bool {
        let mut beyond_head = false;
        while !bytes.is_empty() {
            match self {
                MessagePlace::Head(scan) => {
                    let Some(rest) = scan.scan(bytes) else { return beyond_head };
                    let has_bare_lf = scan.has_bare_lf();
                    *self = if scan.has_coding() {
                        MessagePlace::Chunks { scan: ChunkScan::default(), request_started: false, has_bare_lf }
                    } else {
                        MessagePlace::AfterHead { bytes: 0, has_bare_lf }
                    };
                    bytes = rest;
                    beyond_head |= !rest.is_empty();
                }
                MessagePlace::AfterHead { bytes: so_far, .. } => {
                    *so_far = so_far.saturating_add(count(bytes));
                    return true;
                }
                MessagePlace::Body { left } => {
                    let body = count(bytes).min(*left);
                    *left = left.saturating_sub(body);
                    bytes = usize::try_from(body).ok().and_then(|body| bytes.get(body..)).unwrap_or(&[]);
                    beyond_head = true;
                    if *left == 0 {
                        *self = MessagePlace::default();
                    }
                }
                MessagePlace::Chunks { scan, request_started, .. } => {
                    beyond_head = true;
                    bytes = scan.scan(bytes);
                    if scan.is_complete() && *request_started {
                        *self = MessagePlace::default();
                    } else if !bytes.is_empty() {
                        *self = MessagePlace::Unknown;
                    }
                }
                MessagePlace::Unknown => return true,
            }
        }
        beyond_head
    }

    /// Notes that hyper has read a head, and the length of its body unless it is in chunks. Returns whether the request may
    /// be served: a bare LF in its head is refused.
    pub(super) fn request_started(&mut self, body: Option<u64>) -> bool {
        let (next, has_bare_lf) = match (std::mem::replace(self, MessagePlace::Unknown), body) {
            (MessagePlace::AfterHead { bytes, has_bare_lf }, Some(body)) => {
                let next = match body.checked_sub(bytes) {
                    Some(0) => MessagePlace::default(),
                    Some(left) => MessagePlace::Body { left },
                    None => MessagePlace::Unknown,
                };
                (next, has_bare_lf)
            }
            (MessagePlace::Chunks { scan, has_bare_lf, .. }, None) => {
                let next = if scan.is_complete() {
                    MessagePlace::default()
                } else {
                    MessagePlace::Chunks { scan, request_started: true, has_bare_lf }
                };
                (next, has_bare_lf)
            }
            // hyper has found the end of a head where no empty line ends it.
            (MessagePlace::Head(scan), _) => (MessagePlace::Unknown, scan.has_bare_lf()),
            (MessagePlace::AfterHead { has_bare_lf, .. } | MessagePlace::Chunks { has_bare_lf, .. }, _) => {
                (MessagePlace::Unknown, has_bare_lf)
            }
            (MessagePlace::Body { .. } | MessagePlace::Unknown, _) => (MessagePlace::Unknown, false),
        };
        *self = next;
        !has_bare_lf
    }
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Finds the end of a body in chunks. Whether the chunks are valid is hyper's judgement.
#[derive(Default)]
pub(super) struct ChunkScan {
    part: ChunkPart,
    /// Bytes of the present line so far, or of the chunk's data that are still to come.
    bytes: u64,
    size: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum ChunkPart {
    #[default]
    Size,
    Extension,
    /// Data, and the line end behind it.
    Data,
    Trailer,
    Complete,
}

impl ChunkScan {
    fn is_complete(&self) -> bool {
        self.part == ChunkPart::Complete
    }

    /// Scans the next bytes. Returns those that follow the last chunk.
    fn scan<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = bytes;
        while let Some((byte, others)) = rest.split_first() {
            match self.part {
                ChunkPart::Complete => return rest,
                ChunkPart::Data => {
                    let data = count(rest).min(self.bytes);
                    self.bytes = self.bytes.saturating_sub(data);
                    rest = usize::try_from(data).ok().and_then(|data| rest.get(data..)).unwrap_or(&[]);
                    if self.bytes == 0 {
                        (self.part, self.size) = (ChunkPart::Size, 0);
                    }
                    continue;
                }
                ChunkPart::Size | ChunkPart::Extension if *byte == b'\n' => {
                    (self.part, self.bytes) = if self.size == 0 {
                        (ChunkPart::Trailer, 0)
                    } else {
                        (ChunkPart::Data, self.size.saturating_add(2))
                    };
                }
                ChunkPart::Size => match char::from(*byte).to_digit(16) {
                    Some(digit) => self.size = self.size.saturating_mul(16).saturating_add(u64::from(digit)),
                    None => self.part = ChunkPart::Extension,
                },
                ChunkPart::Extension => {}
                ChunkPart::Trailer if *byte == b'\n' => {
                    self.part = if self.bytes == 1 { ChunkPart::Complete } else { ChunkPart::Trailer };
                    self.bytes = 0;
                }
                ChunkPart::Trailer => self.bytes = self.bytes.saturating_add(1),
            }
            rest = others;
        }
        rest
    }
}
