//! Listeners, bound before anything is served, and the loop that accepts from one.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::exit;

/// Time that connections get to finish when the server stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Pause of accepting when the process is out of descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The reason why a listener could not be bound.
#[derive(thiserror::Error, Debug)]
pub enum ListenError {
    #[error("{address} is in use by another program; stop it, or choose another address with {flag}")]
    InUse {
        address: SocketAddr,
        /// The flag that sets the address.
        flag: &'static str,
    },
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Refused {
        address: SocketAddr,
        /// The flag that sets the address.
        flag: &'static str,
        source: io::Error,
    },
}

impl ListenError {
    /// Returns the exit code of a process that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ListenError::InUse { .. } => exit::UNAVAILABLE,
            ListenError::Refused { .. } => exit::USAGE,
        }
    }
}

/// Binds so many listeners to an address that the kernel shares its connections among them. Returns the address, whose port
/// the system has chosen if it was 0.
///
/// # Errors
/// The address is in use or invalid.
pub fn bind(
    address: SocketAddr,
    flag: &'static str,
    count: usize,
    backlog: i32,
) -> Result<(SocketAddr, Vec<TcpListener>), ListenError> {
    let failed = |source: io::Error| {
        let in_use = source.kind() == io::ErrorKind::AddrInUse;
        if in_use { ListenError::InUse { address, flag } } else { ListenError::Refused { address, flag, source } }
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

fn socket(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepts connections from one listener until the server stops.
pub async fn accept_until_stop(
    listener: &tokio::net::TcpListener,
    mut stopping: watch::Receiver<bool>,
    mut accepted: impl FnMut(TcpStream, SocketAddr),
    mut failed: impl AsyncFnMut(&io::Error),
) {
    loop {
        let result = tokio::select! {
            result = listener.accept() => result,
            _ = stopping.changed() => return,
        };
        match result {
            Ok((stream, peer)) => accepted(stream, peer),
            // A client that left already is no reason to wait.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => failed(&error).await,
        }
    }
}
