//! Clients that take their time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::http::until;
use super::peer::{Site, bytes, ping, pong, reserve};

const SHORT: Duration = Duration::from_millis(100);

#[test]
fn who_says_nothing_is_closed() {
    let site = Site::open(|config| config.wire.first_frame_timeout = SHORT);
    let mut silent: Vec<_> = (0..20).map(|_| site.connect()).collect();
    for peer in &mut silent {
        assert_eq!(peer.hear(), None);
    }
    let mut half = site.connect();
    half.send_bytes(&bytes(&[reserve(1, "ann")])[..5]).expect("sent");
    assert_eq!(half.hear(), None, "half a frame is no frame");
    assert_eq!(site.closed("silent"), 21.0);
    site.end();
}

#[test]
fn an_idle_connection_is_closed_after_its_answer_and_one_that_speaks_is_not() {
    let site = Site::open(|config| config.wire.idle_timeout = 10 * SHORT);
    let (mut idle, mut busy) = (site.connect(), site.connect());
    assert_eq!(idle.ask(reserve(1, "ann")).no(), 0);
    let mut asked = 0;
    while site.closed("idle") < 1.0 {
        assert_eq!(busy.ask(ping("busy")), pong("busy"));
        asked += 1;
    }
    assert_eq!((idle.hear(), asked > 0), (None, true));
    site.end();
}

#[test]
fn an_address_has_its_share_of_connections_and_http_and_frames_share_it() {
    let site = Site::open(|config| {
        config.limits.loopback_is_client = true;
        config.limits.connections_per_address_max = 4;
    });
    let mut held: Vec<_> = (0..3).map(|_| site.connect()).collect();
    for peer in &mut held {
        assert_eq!(peer.ask(ping("in")), pong("in"));
    }
    // The fourth place is taken by one of HTTP; it has it when it is answered.
    let mut http = TcpStream::connect(site.server.0.server.public_address).expect("connected");
    http.write_all(b"GET /v1/drops HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    assert!(http.read(&mut [0; 1024]).expect("answered") > 0, "it is in");
    let served = || {
        let mut peer = site.connect();
        let _closed_already = peer.send_bytes(&bytes(&[ping("in")]));
        peer.hear().is_some()
    };
    until("it is let in", || !served());
    assert!(site.server.metric("firstcome_connections_refused_total{reason=\"address\"}") >= 1.0);
    drop(http);
    until("there is room again", served);
    drop(held);
    let open = || site.server.metric("firstcome_connections{listener=\"wire\"}");
    until("those of this address have left", || open() == 0.0);
    site.end();
}
