//! A socket that notes what passes through it, so that `timeouts` knows what its connection is doing and `head_scan` sees
//! every head. (Not those that a client sends before it has an answer to the one before: hyper has them already. No proxy
//! does that to a server, and a client alone deceives nobody but itself.)

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head_scan::HeadScan;
use super::timeouts::{BytesOf, ConnectionTimeouts};
use super::write_coalescing::CoalescedWrites;

/// A socket under watch. A clone is the same one: hyper has one, and who polls hyper another.
pub(super) struct MonitoredStream<S>(Rc<RefCell<MonitoredSocket<S>>>);

struct MonitoredSocket<S> {
    socket: S,
    timeouts: Rc<ConnectionTimeouts>,
    writes: CoalescedWrites,
    /// More was read than one head. Unless that is its body, answers are held back until all of it is answered, or what
    /// is left must wait.
    more: bool,
    /// A byte that came while a stream was being sent: it belongs to the next request.
    early: Option<u8>,
    scan: HeadScan,
    /// The client has closed its half.
    ended: bool,
    /// We have closed ours.
    shut: bool,
}

impl<S> Clone for MonitoredStream<S> {
    fn clone(&self) -> MonitoredStream<S> {
        MonitoredStream(Rc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> MonitoredStream<S> {
    pub(super) fn new(socket: S, timeouts: Rc<ConnectionTimeouts>) -> MonitoredStream<S> {
        let scan = HeadScan::default();
        let writes = CoalescedWrites::default();
        MonitoredStream(Rc::new(RefCell::new(MonitoredSocket {
            socket,
            timeouts,
            writes,
            more: false,
            early: None,
            scan,
            ended: false,
            shut: false,
        })))
    }

    /// Sends what is held back. To be called whenever hyper has come to a halt: nobody knows how long it waits.
    ///
    /// # Errors
    /// What the socket says.
    pub(super) fn send_coalesced(&self, context: &mut Context<'_>) -> io::Result<()> {
        let mut socket = self.0.borrow_mut();
        if socket.writes.is_empty() {
            return Ok(());
        }
        if socket.send_coalesced(context)?.is_ready() {
            let _all_of_it = socket.flush(context)?;
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> MonitoredSocket<S> {
    /// Who closes his half has sent his request and waits for the answer; but nobody waits so for the end of a stream.
    /// Nothing else would show that the client of a quiet stream has gone, and its place would stay taken.
    fn left_its_stream(&mut self, context: &mut Context<'_>) -> bool {
        if !self.timeouts.is_streaming() || self.early.is_some() {
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
        match self.timeouts.heard() {
            BytesOf::NewHead => self.scan = HeadScan::default(),
            BytesOf::Head => {}
            BytesOf::Other => {
                self.more = true;
                return;
            }
        }
        if let Some(new) = buffer.filled_mut().get_mut(before..) {
            self.more = self.scan.look(new);
        }
    }

    fn send_coalesced(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.writes.send(&mut self.socket, context);
        self.noted(polled)
    }

    fn noted<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            self.timeouts.stuck();
        }
        polled
    }

    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Whoever reads on has dealt with all that was read before.
        self.more = false;
        let before = buffer.filled().len();
        if let Some(byte) = self.early.take() {
            buffer.put_slice(&[byte]);
            self.heard(buffer, before);
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        match &polled {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.heard(buffer, before),
            Poll::Ready(_) => self.ended = true,
            Poll::Pending => self.timeouts.listening(),
        }
        polled
    }

    fn write(&mut self, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = if (self.more && !self.timeouts.has_body()) || !self.writes.is_empty() {
            self.writes.write(&mut self.socket, context, pieces)
        } else {
            Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
        };
        self.noted(polled)
    }

    /// hyper flushes when it has handed everything over.
    fn flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.writes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        if let Poll::Ready(Ok(())) = &polled {
            self.timeouts.flushed();
            if self.left_its_stream(context) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        self.noted(polled)
    }

    /// Closes our half, then reads what still comes until the client closes his, for a bounded time. A socket that is
    /// closed with unread bytes resets the connection, and the client loses an answer such as 413.
    fn shut_down(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(self.send_coalesced(context))?;
            let polled = Pin::new(&mut self.socket).poll_shutdown(context);
            ready!(self.noted(polled))?;
            self.shut = true;
        }
        if self.ended || !self.timeouts.leaving() {
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MonitoredStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MonitoredStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().shut_down(context)
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
        let timeouts = Rc::new(ConnectionTimeouts::new(&Config::defaults().limits, false, Instant::now()));
        let (mut client, socket) = duplex(64);
        let mut stream = MonitoredStream::new(socket, Rc::clone(&timeouts));
        let server = async {
            let mut some = [0u8; 32];
            stream.read_exact(&mut some).await.expect("heard");
            timeouts.requested(false);
            timeouts.answered(false);
            stream.write_all(b"too large").await.expect("answered");
            stream.shutdown().await.expect("ended");
            drop(stream);
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

    #[test]
    fn answers_to_heads_that_came_together_leave_together_and_those_to_a_single_one_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let timeouts = Rc::new(ConnectionTimeouts::new(&Config::defaults().limits, false, Instant::now()));
            let (mut client, socket) = duplex(100_000);
            let mut stream = MonitoredStream::new(socket, Rc::clone(&timeouts));
            let mut answer = async |heads: &str, body: bool, answers: [&[u8]; 2]| {
                client.write_all(heads.as_bytes()).await.expect("sent");
                let mut heard = vec![0u8; heads.len()];
                stream.read_exact(&mut heard).await.expect("heard");
                timeouts.requested(body);
                timeouts.answered(false);
                for bytes in answers {
                    stream.write_all(bytes).await.expect("taken");
                    stream.flush().await.expect("flushed");
                }
                let mut before = [0u8; 100_000];
                let before = tokio::select! {
                    biased;
                    read = client.read(&mut before) => read.expect("read"),
                    () = std::future::ready(()) => 0,
                };
                std::future::poll_fn(|context| Poll::Ready(stream.send_coalesced(context))).await.expect("sent");
                let mut after = vec![0u8; answers.concat().len() - before];
                client.read_exact(&mut after).await.expect("read");
                (before, after.len())
            };
            assert_eq!(answer("A\r\n\r\n", false, [b"one", b"two"]).await, (6, 0));
            assert_eq!(answer("A\r\n\r\nB\r\n\r\n", false, [b"one", b"two"]).await, (0, 6));
            assert_eq!(answer("A\r\n\r\nB\r\n\r\n", false, [b"one", &[b'x'; 20_000]]).await, (20_003, 0), "too long");
            assert_eq!(answer("A\r\n\r\nits body", true, [b"one", b"two"]).await, (6, 0));
        });
    }
}
