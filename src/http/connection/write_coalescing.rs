//! Coalesces the responses to pipelined requests into one write: hyper writes each by itself, and a system call for each
//! would cost more than the response itself. (hyper's own `pipeline_flush` has no bound: a client that never reads would
//! fill the memory.)

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes held back at most; a longer response is written at once.
const HELD_BYTES_MAX: usize = 16 * 1024;

/// Responses that are held back.
#[derive(Default)]
pub(super) struct CoalescedWrites {
    bytes: Vec<u8>,
    sent: usize,
}

impl CoalescedWrites {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Holds the pieces back, or writes them if they are too long. Bytes held before are written first.
    pub(super) fn write<S: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = pieces.iter().fold(0usize, |sum, piece| sum.saturating_add(piece.len()));
        if self.bytes.len().saturating_add(length) > HELD_BYTES_MAX {
            ready!(self.flush(socket, context))?;
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

    /// Writes all bytes held back, and releases their memory: connections are many.
    pub(super) fn flush<S: AsyncWrite + Unpin>(
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
