//! A bound of the bytes that one exchange may read from the network, below TLS and HTTP: a server that sends responses
//! 1xx, records of TLS or pieces of a chunk without an end costs no more than this, however long it may send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes that the exchange in progress may still read.
#[derive(Clone)]
pub(super) struct ByteAllowance(Arc<AtomicUsize>);

impl ByteAllowance {
    pub(super) fn new(bytes: usize) -> ByteAllowance {
        ByteAllowance(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Begins an exchange that may read so many bytes.
    pub(super) fn renew(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(bytes);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        left.map(drop).ok_or_else(|| io::Error::other("the response has too many bytes"))
    }
}

/// A stream that fails once its allowance is used up.
pub(super) struct ByteLimitedStream<S> {
    stream: S,
    allowance: ByteAllowance,
}

impl<S> ByteLimitedStream<S> {
    pub(super) fn new(stream: S, allowance: ByteAllowance) -> ByteLimitedStream<S> {
        ByteLimitedStream { stream, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ByteLimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.allowance.take(buffer.filled().len().saturating_sub(before)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ByteLimitedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
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
