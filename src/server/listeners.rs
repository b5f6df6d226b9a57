//! The listeners of the server, bound before anything is served.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Config, somaxconn};
use crate::exit;

/// The error that kept the server from starting.
#[derive(thiserror::Error, Debug)]
pub(super) enum ServerError {
    #[error("{address} is in use by another program; stop it, or choose another address with {flag}")]
    InUse {
        address: SocketAddr,
        /// The flag that sets the address.
        flag: &'static str,
    },
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Listen {
        address: SocketAddr,
        /// The flag that sets the address.
        flag: &'static str,
        source: std::io::Error,
    },
    #[error("a worker thread could not start: {0}")]
    Thread(std::io::Error),
}

impl ServerError {
    /// Returns the exit code of a process that ends with this error.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            ServerError::InUse { .. } => exit::UNAVAILABLE,
            ServerError::Listen { .. } => exit::USAGE,
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

fn bind(
    address: SocketAddr,
    flag: &'static str,
    count: usize,
    backlog: i32,
) -> Result<(SocketAddr, Vec<TcpListener>), ServerError> {
    let failed = |source: std::io::Error| {
        let in_use = source.kind() == std::io::ErrorKind::AddrInUse;
        if in_use { ServerError::InUse { address, flag } } else { ServerError::Listen { address, flag, source } }
    };
    // Bound once without SO_REUSEPORT: with it, two servers would silently share a port.
    let alone = socket(address, false).map_err(failed)?;
    let address = alone.local_addr().ok().and_then(|bound| bound.as_socket()).unwrap_or(address);
    drop(alone);
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = socket(address, true).map_err(failed)?;
        socket.listen(backlog).map_err(failed)?;
        listeners.push(TcpListener::from(socket));
    }
    Ok((address, listeners))
}

fn socket(address: SocketAddr, reuse_port: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
