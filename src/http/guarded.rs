//! A socket that notes what passes through it, so that `pace` knows what its connection is doing.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::Pace;

/// A socket under watch.
pub(super) struct Guarded<S> {
    socket: S,
    pace: Rc<Pace>,
    /// A byte that came while a stream was being sent: it belongs to the next request.
    early: Option<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    pub(super) fn new(socket: S, pace: Rc<Pace>) -> Guarded<S> {
        Guarded { socket, pace, early: None }
    }

    /// Who closes his half has sent his request and waits for the answer; but nobody waits so for the end of a stream.
    /// Nothing else would show that the client of a quiet stream has gone, and its place would stay taken.
    fn left_its_stream(&mut self, context: &mut Context<'_>) -> bool {
        if !self.pace.is_streaming() || self.early.is_some() {
            return false;
        }
        let mut byte = [0u8; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
            Poll::Pending => false,
            Poll::Ready(Err(_)) => true,
            Poll::Ready(Ok(())) => {
                self.early = buffer.filled().first().copied();
                self.early.is_none()
            }
        }
    }

    fn noted<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            self.pace.stuck();
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(byte) = self.early.take() {
            buffer.put_slice(&[byte]);
            self.pace.heard();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        match &polled {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.pace.heard(),
            Poll::Ready(_) => {}
            Poll::Pending => self.pace.listening(),
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.noted(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        self.noted(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes when it has handed everything over.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        if let Poll::Ready(Ok(())) = &polled {
            self.pace.flushed();
            if self.left_its_stream(context) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        self.noted(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_shutdown(context);
        self.noted(polled)
    }
}
