//! The listeners of the server, bound before anything is served.

use std::net::{SocketAddr, TcpListener};

use crate::config::{Config, somaxconn};
use crate::exit;
use crate::sockets::{ListenError, bind};

/// The error that kept the server from starting.
#[derive(thiserror::Error, Debug)]
pub(super) enum ServerError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("a worker thread could not start: {0}")]
    Thread(std::io::Error),
}

impl ServerError {
    /// Returns the exit code of a process that ends with this error.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            ServerError::Listen(error) => error.exit_code(),
            ServerError::Thread(_) => exit::SYSTEM,
        }
    }
}

/// Bound listeners.
pub(super) struct Listeners {
    pub(super) public_address: SocketAddr,
    pub(super) admin_address: SocketAddr,
    pub(super) wire_address: SocketAddr,
    /// The listeners of each worker.
    pub(super) workers: Vec<WorkerListeners>,
    pub(super) admin: Vec<TcpListener>,
}

/// The listeners of one worker.
pub(super) struct WorkerListeners {
    pub(super) public: Vec<TcpListener>,
    pub(super) wire: Vec<TcpListener>,
}

impl Listeners {
    /// Binds all listeners before the first accept, so that no worker gets all connections.
    ///
    /// # Errors
    /// If an address is in use or invalid.
    pub(super) fn bind(config: &Config) -> Result<Listeners, ServerError> {
        let (threads, backlog) = (config.serving_threads(), config.limits.listen_backlog);
        let each = config.limits.listeners_per_thread(threads, somaxconn());
        let all = threads.saturating_mul(each);
        let (public_address, mut public) = bind(config.public_listen, "--public", all, backlog)?;
        let (wire_address, mut wire) = bind(config.wire_listen, "--wire", all, backlog)?;
        let mut workers = Vec::with_capacity(threads);
        while !public.is_empty() {
            let share = |free: &mut Vec<TcpListener>| free.split_off(free.len().saturating_sub(each));
            workers.push(WorkerListeners { public: share(&mut public), wire: share(&mut wire) });
        }
        let (admin_address, admin) = bind(config.admin_listen, "--admin", 1, backlog)?;
        Ok(Listeners { public_address, admin_address, wire_address, workers, admin })
    }
}
