//! Idle connections, kept for the next request to the same origin: a TLS handshake per delivery would cost both sides
//! more than the delivery.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::byte_allowance::ByteAllowance;
use super::target::Origin;

/// A connection, and the task that drives it; dropping the connection ends the task.
pub(super) struct PooledConnection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// Renewed by each request on this connection.
    pub(super) allowance: ByteAllowance,
    driver: JoinHandle<()>,
}

impl PooledConnection {
    pub(super) fn new(
        sender: SendRequest<Full<Bytes>>,
        allowance: ByteAllowance,
        driver: JoinHandle<()>,
    ) -> PooledConnection {
        PooledConnection { sender, allowance, driver }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        // A server that never ends its response would keep the task, and the socket with it.
        self.driver.abort();
    }
}

/// Idle connections by origin.
pub(super) struct ConnectionPool {
    idle: Mutex<BTreeMap<Origin, Vec<(Instant, PooledConnection)>>>,
    idle_per_origin_max: usize,
    idle_max: Duration,
}

impl ConnectionPool {
    pub(super) fn new(idle_per_origin_max: usize, idle_max: Duration) -> ConnectionPool {
        ConnectionPool { idle: Mutex::default(), idle_per_origin_max, idle_max }
    }

    /// Removes and returns the most recently used connection that is still usable.
    pub(super) fn take(&self, origin: &Origin) -> Option<PooledConnection> {
        let mut pool = self.idle.lock();
        let idle = pool.get_mut(origin)?;
        while let Some((since, connection)) = idle.pop() {
            if since.elapsed() < self.idle_max && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        pool.remove(origin);
        None
    }

    /// Keeps a connection whose response has been read to its end, and drops connections that were idle too long.
    pub(super) fn put(&self, origin: &Origin, connection: PooledConnection) {
        let mut pool = self.idle.lock();
        pool.retain(|_, idle| {
            idle.retain(|(since, connection)| since.elapsed() < self.idle_max && !connection.sender.is_closed());
            !idle.is_empty()
        });
        let idle = pool.entry(origin.clone()).or_default();
        if idle.len() < self.idle_per_origin_max {
            idle.push((Instant::now(), connection));
        }
    }
}
