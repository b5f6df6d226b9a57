//! A server under a service manager that waits for its word, as systemd does with `Type=notify`.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::process::{Client, Process};
use rustix::process::Signal;

/// The next message of the server.
fn heard(manager: &UnixDatagram) -> String {
    manager.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let mut message = [0; 256];
    let length = manager.recv(&mut message).expect("told in time");
    String::from_utf8_lossy(&message[..length]).trim_end().into()
}

fn is_silent(manager: &UnixDatagram) -> bool {
    manager.set_nonblocking(true).expect("set");
    let silent = manager.recv(&mut [0; 256]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    manager.set_nonblocking(false).expect("set");
    silent
}

#[test]
fn a_service_manager_is_told_when_the_server_serves_and_when_it_begins_to_end() {
    let scratch = tempfile::tempdir().expect("scratch");
    let path = scratch.path().join("notify");
    let name = format!("firstcome-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
    for (socket, manager) in [
        (path.to_str().expect("a path").to_owned(), UnixDatagram::bind(&path).expect("bound")),
        (format!("@{name}"), UnixDatagram::bind_addr(&abstract_name).expect("bound")),
    ] {
        let mut server = Process::start(&scratch.path().join("data"), &[("NOTIFY_SOCKET", socket)]);
        assert_eq!(heard(&manager), "READY=1");
        let mut client = Client::connect(server.admin).expect("it accepts from then on");
        assert_eq!(client.get("/readyz").expect("answered").status, 200);
        assert!(is_silent(&manager), "it is said once, and an end only when there is one");
        server.signal(Signal::TERM);
        assert_eq!(heard(&manager), "STOPPING=1");
        assert!(server.wait().success());
        assert!(is_silent(&manager));
    }
}

#[test]
fn a_service_manager_that_is_gone_stops_no_sale() {
    let scratch = tempfile::tempdir().expect("scratch");
    let gone = scratch.path().join("nobody").to_str().expect("a path").to_owned();
    let mut server = Process::start(&scratch.path().join("data"), &[("NOTIFY_SOCKET", gone)]);
    server.create_drop(1);
    let mut client = Client::connect(server.public).expect("connected");
    assert_eq!(client.order("a").expect("answered").status, 201);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}
