//! Messages to a service manager, as in sd_notify(3) (`Type=notify` of a systemd unit): it waits for a start until the server
//! accepts connections, and knows an orderly end from a fault. Nothing is sent without the variable `NOTIFY_SOCKET`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells that the listeners accept connections.
pub(super) fn ready() {
    tell("READY=1");
}

/// Tells that the server has begun to end.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

fn tell(state: &str) {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else { return };
    if let Err(error) = send(&place, state) {
        tracing::warn!("the service manager at {} (NOTIFY_SOCKET) was not told {state}: {error}", place.display());
    }
}

/// Sends one datagram to a path, or to an abstract name behind an `@` (the crate `sd-notify` knows paths only). A manager that
/// reads nothing holds up no server.
fn send(place: &OsStr, state: &str) -> io::Result<()> {
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}
