//! A bound of the bytes that one exchange may read from the network, below TLS and HTTP: a server that sends responses
//! 1xx, records of TLS or pieces of a chunk without an end costs no more than this, however long it may send.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use crate::sockets::StreamRule;

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
}

impl StreamRule for ByteAllowance {
    fn read(&mut self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(bytes);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        left.map(drop).ok_or_else(|| io::Error::other("the response has too many bytes"))
    }

    fn written(&mut self, written: Poll<io::Result<usize>>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        written
    }
}
