//! A socket that notes what passes through it, so that `pace` knows what its connection is doing and `head_scan` sees
//! every head. (Not those that a client sends before it has an answer to the one before: hyper has them already. No proxy
//! does that to a server, and a client alone deceives nobody but itself.)

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head_scan::HeadScan;
use super::pace::{Heard, Pace};

/// A socket under watch.
pub(super) struct Guarded<S> {
    socket: S,
    pace: Rc<Pace>,
    /// A byte that came while a stream was being sent: it belongs to the next request.
    early: Option<u8>,
    scan: HeadScan,
    /// The client has closed its half.
    ended: bool,
    /// We have closed ours.
    shut: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    pub(super) fn new(socket: S, pace: Rc<Pace>) -> Guarded<S> {
        Guarded { socket, pace, early: None, scan: HeadScan::default(), ended: false, shut: false }
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

    /// Bytes came: those of a head are looked at.
    fn heard(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        match self.pace.heard() {
            Heard::NewHead => self.scan = HeadScan::default(),
            Heard::Head => {}
            Heard::Other => return,
        }
        if let Some(new) = buffer.filled_mut().get_mut(before..) {
            self.scan.look(new);
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
            let before = buffer.filled().len();
            buffer.put_slice(&[byte]);
            self.heard(buffer, before);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        match &polled {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.heard(buffer, before),
            Poll::Ready(_) => self.ended = true,
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

    /// Closes our half, then reads what still comes until the client closes his, for a bounded time. A socket that is
    /// closed with unread bytes resets the connection, and the client loses an answer such as 413.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            let polled = Pin::new(&mut self.socket).poll_shutdown(context);
            ready!(self.noted(polled))?;
            self.shut = true;
        }
        if self.ended || !self.pace.leaving() {
            return Poll::Ready(Ok(()));
        }
        let mut scrap = [0u8; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scrap);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::config::Config;

    #[test]
    fn after_the_last_answer_what_a_client_still_sends_is_read_so_that_it_can_read_the_answer() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let pace = Rc::new(Pace::new(&Config::defaults().limits, false, Instant::now()));
        let (mut client, socket) = duplex(64);
        let mut guarded = Guarded::new(socket, Rc::clone(&pace));
        let server = async {
            let mut some = [0u8; 32];
            guarded.read_exact(&mut some).await.expect("heard");
            pace.requested();
            pace.answered(false);
            guarded.write_all(b"too large").await.expect("answered");
            guarded.shutdown().await.expect("ended");
            drop(guarded);
        };
        // Its half is closed when it has the answer.
        let sending = async move {
            client.write_all(&[b'x'; 10_000]).await.expect("all of it is taken");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("answered");
            answer
        };
        let (answer, ()) = runtime.block_on(async { tokio::join!(sending, server) });
        assert_eq!(answer, "too large");
    }
}
