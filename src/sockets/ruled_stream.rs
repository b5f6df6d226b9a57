//! A stream with a rule: it fails as the rule says, and otherwise passes every byte on as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A rule for the bytes of a stream.
pub trait StreamRule {
    /// Judges bytes that were read.
    ///
    /// # Errors
    /// The stream fails with it.
    fn read(&mut self, bytes: usize) -> io::Result<()>;

    /// Judges an attempt to write. Returns it as it is, or the error with which the stream fails.
    fn written(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>>;
}

/// A stream that fails once its rule says so.
pub struct RuledStream<S, R> {
    stream: S,
    rule: R,
}

impl<S, R> RuledStream<S, R> {
    pub fn new(stream: S, rule: R) -> RuledStream<S, R> {
        RuledStream { stream, rule }
    }
}

impl<S: AsyncRead + Unpin, R: StreamRule + Unpin> AsyncRead for RuledStream<S, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.rule.read(buffer.filled().len().saturating_sub(before)))
    }
}

impl<S: AsyncWrite + Unpin, R: StreamRule + Unpin> AsyncWrite for RuledStream<S, R> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.rule.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.rule.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
