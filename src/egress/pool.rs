//! Connections that wait for another call to the same host: a TLS handshake per delivery would cost both sides more
//! than the delivery.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::target::Origin;

/// Servers commonly close after 60 s or more; below that a call rarely meets a connection that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// More are not in flight to one host.
const IDLE_PER_ORIGIN_MAX: usize = 8;

/// A connection, and the task that moves its bytes, which ends with it.
pub(super) struct PooledConnection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl PooledConnection {
    pub(super) fn new(sender: SendRequest<Full<Bytes>>, driver: JoinHandle<()>) -> PooledConnection {
        PooledConnection { sender, driver }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        // A peer that never ends its answer would keep the task, and the socket with it.
        self.driver.abort();
    }
}

/// Connections by whom they are with.
#[derive(Default)]
pub(super) struct ConnectionPool(Mutex<BTreeMap<Origin, Vec<(Instant, PooledConnection)>>>);

impl ConnectionPool {
    /// The connection that was used last, if it is still good.
    pub(super) fn take(&self, origin: &Origin) -> Option<PooledConnection> {
        let mut pool = self.0.lock();
        let idle = pool.get_mut(origin)?;
        while let Some((since, connection)) = idle.pop() {
            if since.elapsed() < IDLE_MAX && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        pool.remove(origin);
        None
    }

    /// Keeps a connection whose answer has been read to its end, and lets those go that waited too long.
    pub(super) fn put(&self, origin: &Origin, connection: PooledConnection) {
        let mut pool = self.0.lock();
        pool.retain(|_, idle| {
            idle.retain(|(since, connection)| since.elapsed() < IDLE_MAX && !connection.sender.is_closed());
            !idle.is_empty()
        });
        let idle = pool.entry(origin.clone()).or_default();
        if idle.len() < IDLE_PER_ORIGIN_MAX {
            idle.push((Instant::now(), connection));
        }
    }
}
