//! Answers to requests that came in one piece leave in one piece: hyper hands each over by itself, and a call of the
//! system for each would cost more than making it. (hyper's own `pipeline_flush` has no bound: a client that never reads
//! would fill the memory.)

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// How much is held back at most; what is longer goes out at once.
const HELD_BYTES_MAX: usize = 16 * 1024;

/// What has been answered and not yet sent.
#[derive(Default)]
pub(super) struct CoalescedWrites {
    bytes: Vec<u8>,
    sent: usize,
}

impl CoalescedWrites {
    /// Whether nothing is held back.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the pieces, or sends them if they are too long. What was held before goes first.
    pub(super) fn write<S: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = pieces.iter().fold(0usize, |sum, piece| sum.saturating_add(piece.len()));
        if self.bytes.len().saturating_add(length) > HELD_BYTES_MAX {
            ready!(self.send(socket, context))?;
        }
        if length > HELD_BYTES_MAX {
            return Pin::new(socket).poll_write_vectored(context, pieces);
        }
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(HELD_BYTES_MAX);
        }
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        Poll::Ready(Ok(length))
    }

    /// Sends all of it, and gives its memory back: connections are many.
    pub(super) fn send<S: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(left) = self.bytes.get(self.sent..).filter(|left| !left.is_empty()) {
            match ready!(Pin::new(&mut *socket).poll_write(context, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent = self.sent.saturating_add(sent),
            }
        }
        *self = CoalescedWrites::default();
        Poll::Ready(Ok(()))
    }
}
