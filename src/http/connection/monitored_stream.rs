//! A socket that reports reads and writes to `timeouts`, and received bytes to `message_place`. It never changes a byte.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::message_place::MessagePlace;
use super::timeouts::ConnectionTimeouts;
use super::write_coalescing::CoalescedWrites;
use crate::failpoints::{self, Bug};

/// A monitored socket. A clone is the same one: hyper has one, and the task that polls hyper has another.
pub(super) struct MonitoredStream<S>(Rc<RefCell<MonitoredSocket<S>>>);

struct MonitoredSocket<S> {
    socket: S,
    timeouts: Rc<ConnectionTimeouts>,
    writes: CoalescedWrites,
    /// More than one head was read. Unless the rest is a body, responses are held back until all requests have theirs, or
    /// the next has to wait.
    pipelined: bool,
    /// A byte that came while an event stream was being sent: it belongs to the next request.
    early: Option<u8>,
    place: MessagePlace,
    /// The client has closed its half.
    input_ended: bool,
    /// The server has closed its half.
    output_ended: bool,
}

impl<S> Clone for MonitoredStream<S> {
    fn clone(&self) -> MonitoredStream<S> {
        MonitoredStream(Rc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> MonitoredStream<S> {
    pub(super) fn new(socket: S, timeouts: Rc<ConnectionTimeouts>) -> MonitoredStream<S> {
        let writes = CoalescedWrites::default();
        MonitoredStream(Rc::new(RefCell::new(MonitoredSocket {
            socket,
            timeouts,
            writes,
            pipelined: false,
            early: None,
            place: MessagePlace::default(),
            input_ended: false,
            output_ended: false,
        })))
    }

    /// Notes that hyper has read a head, and the length of its body unless it is in chunks. Returns whether the request may
    /// be served: a head with a bare LF is refused.
    pub(super) fn request_started(&self, body: Option<u64>) -> bool {
        let mut socket = self.0.borrow_mut();
        socket.timeouts.request_started(body != Some(0));
        socket.place.request_started(body)
    }

    /// Writes the responses held back. To be called whenever hyper waits, since it may wait for long.
    ///
    /// # Errors
    /// The socket's error.
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
    /// Returns whether the client of an event stream has disconnected. A client that closes its half waits for its response,
    /// but an event stream has no end. Nothing else would show that the client of a quiet stream is gone, and its permit
    /// would stay taken.
    fn left_stream(&mut self, context: &mut Context<'_>) -> bool {
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

    /// Notes received bytes, and their place in the messages.
    fn received(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let serving = self.timeouts.received();
        let in_head = matches!(self.place, MessagePlace::Head(_));
        let beyond_head = buffer.filled().get(before..).is_some_and(|new| self.place.received(new));
        self.pipelined = beyond_head || serving;
        if failpoints::enabled(Bug::AlteredBody)
            && !in_head
            && let Some(last) = buffer.filled_mut().iter_mut().rev().find(|byte| **byte == b'\n')
        {
            *last = 0;
        }
    }

    fn send_coalesced(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.writes.flush(&mut self.socket, context);
        self.note_blocked(polled)
    }

    fn note_blocked<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            self.timeouts.write_blocked();
        }
        polled
    }

    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // hyper reads again only when it has handled everything it read before.
        self.pipelined = false;
        let before = buffer.filled().len();
        if let Some(byte) = self.early.take() {
            buffer.put_slice(&[byte]);
            self.received(buffer, before);
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        match &polled {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.received(buffer, before),
            Poll::Ready(_) => self.input_ended = true,
            Poll::Pending => self.timeouts.waiting_for_bytes(),
        }
        polled
    }

    fn write(&mut self, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = if (self.pipelined && !self.timeouts.has_body()) || !self.writes.is_empty() {
            self.writes.write(&mut self.socket, context, pieces)
        } else {
            Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
        };
        self.note_blocked(polled)
    }

    /// hyper flushes when it has written a whole response.
    fn flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.writes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        if let Poll::Ready(Ok(())) = &polled {
            self.timeouts.flushed();
            if self.left_stream(context) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        self.note_blocked(polled)
    }

    /// Closes the server's half, then discards input until the client closes its half, for a bounded time. Closing a socket
    /// with unread bytes resets the connection, and the client loses a response such as 413.
    fn shut_down(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.output_ended {
            ready!(self.send_coalesced(context))?;
            let polled = Pin::new(&mut self.socket).poll_shutdown(context);
            ready!(self.note_blocked(polled))?;
            self.output_ended = true;
        }
        if self.input_ended || !self.timeouts.linger() {
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
    fn after_the_last_response_input_is_discarded_so_that_the_client_can_read_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let timeouts = Rc::new(ConnectionTimeouts::new(&Config::defaults().limits, false, Instant::now()));
        let (mut client, socket) = duplex(64);
        let mut stream = MonitoredStream::new(socket, Rc::clone(&timeouts));
        let server = async {
            let mut some = [0u8; 32];
            stream.read_exact(&mut some).await.expect("heard");
            timeouts.request_started(false);
            timeouts.response_started(false);
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
    fn responses_to_pipelined_requests_leave_together_and_others_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let timeouts = Rc::new(ConnectionTimeouts::new(&Config::defaults().limits, false, Instant::now()));
            let (mut client, socket) = duplex(100_000);
            let mut stream = MonitoredStream::new(socket, Rc::clone(&timeouts));
            let mut answer = async |heads: &str, body: bool, answers: [&[u8]; 2]| {
                client.write_all(heads.as_bytes()).await.expect("sent");
                let mut heard = vec![0u8; heads.len()];
                stream.read_exact(&mut heard).await.expect("heard");
                assert!(stream.request_started(Some(if body { 8 } else { 0 })), "no bare LF");
                timeouts.response_started(false);
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
