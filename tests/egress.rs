//! The HTTP client for other servers: connections go to checked addresses only (also when a name changes), responses are
//! bounded, redirects are not followed, certificates are verified.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use firstcome::egress::{
    AddressGuard, ClientOptions, EgressClient, OutboundRequest, OutboundResponse, SendError, Target,
};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Starts a server that replies with `answer` to the n-th request, and counts connections.
fn server(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, answer) = (Arc::clone(&connections), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
            std::thread::spawn(move || serve(stream, |n| answer(n), &requests));
        }
    });
    (address, connections)
}

fn serve(mut stream: TcpStream, answer: impl Fn(usize) -> Vec<u8>, requests: &AtomicUsize) {
    let (mut bytes, mut piece) = (Vec::new(), [0u8; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
        if bytes.ends_with(b"hello") {
            bytes.clear();
            let answer = answer(requests.fetch_add(1, Ordering::SeqCst));
            if answer.is_empty() || stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

fn loopback() -> AddressGuard {
    AddressGuard::new(vec!["127.0.0.0/8".parse().expect("a network")])
}

fn short() -> ClientOptions {
    ClientOptions { timeout: Duration::from_secs(5), response_bytes_max: 1000, ..ClientOptions::default() }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

async fn post(client: &EgressClient, url: &str) -> Result<OutboundResponse, SendError> {
    let target = Target::parse(url, client.guard()).expect("a good URL");
    let (headers, body) = (HeaderMap::new(), Bytes::from_static(b"hello"));
    client.send(OutboundRequest { target: &target, method: Method::POST, headers, body }).await
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn a_connection_is_reused_and_replaced_once_it_is_broken() {
    // Every third request gets no response: the server closes the connection.
    let (address, connections) = server(|n| if n % 3 == 2 { Vec::new() } else { ok("fine") });
    let client = EgressClient::new(loopback(), short()).expect("a client");
    run(async {
        for _ in 0..6 {
            let reply = post(&client, &format!("http://{address}/x")).await.expect("answered");
            assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"fine"[..]));
        }
    });
    let made = connections.load(Ordering::SeqCst);
    assert!((2..=4).contains(&made), "{made} connections");
}

#[test]
fn redirects_are_not_followed_and_long_responses_are_cut() {
    let (address, _) = server(|n| match n {
        0 => b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".to_vec(),
        1 => ok(&"x".repeat(1_000_000)),
        2 => {
            let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("X-Long: {}\r\n", "y".repeat(900)).repeat(40));
            head.into_bytes()
        }
        _ => ok("fine"),
    });
    let client = EgressClient::new(loopback(), short()).expect("a client");
    let url = format!("http://{address}/");
    run(async {
        assert_eq!(post(&client, &url).await.expect("answered").status, 302);
        assert_eq!(post(&client, &url).await.expect("answered").body.len(), 1000);
        assert_eq!(post(&client, &url).await.expect_err("a head without end"), SendError::Broken);
        assert_eq!(post(&client, &url).await.expect("answered").status, 200);
    });
}

/// Starts a server that answers each request with `head`, and then `piece` for ever; counts the bytes that it could send.
fn endless(head: &'static [u8], piece: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut bytes, counted) = ([0u8; 4096], Arc::clone(&counted));
            std::thread::spawn(move || {
                let _request = stream.read(&mut bytes);
                let many = piece.repeat(1000);
                let mut next = stream.write_all(head);
                while next.is_ok() {
                    counted.fetch_add(many.len(), Ordering::SeqCst);
                    next = stream.write_all(&many);
                }
            });
        }
    });
    (address, sent)
}

#[test]
fn a_response_that_does_not_end_costs_a_bounded_number_of_bytes() {
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Far longer than any of them may take.
    let options = ClientOptions { timeout: Duration::from_secs(60), ..short() };
    let client = EgressClient::new(loopback(), options).expect("a client");
    /// The begin of a response, the piece that is sent over and over, and the result.
    type Case = (&'static [u8], &'static [u8], Result<usize, SendError>);
    let cases: [Case; 6] = [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", Err(SendError::Broken)),
        (b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", Err(SendError::Broken)),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", Err(SendError::Broken)),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x", Ok(1000)),
        (CHUNKED, b"1\r\nx\r\n", Ok(1000)),
        (CHUNKED, b"1;e=e\r\nx\r\n", Ok(1000)),
    ];
    for (head, piece, expected) in cases {
        let (address, sent) = endless(head, piece);
        let found = run(post(&client, &format!("http://{address}/"))).map(|reply| reply.body.len());
        let shown = String::from_utf8_lossy(piece);
        assert_eq!(found, expected, "{shown:?}");
        // Buffers of the sockets hold some megabytes at most.
        let sent = sent.load(Ordering::SeqCst);
        assert!(sent < 16 << 20, "{shown:?}: {sent} bytes");
    }
}

#[test]
fn a_server_without_response_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let options = ClientOptions { timeout: Duration::from_millis(100), ..short() };
    let client = EgressClient::new(loopback(), options).expect("a client");
    assert_eq!(run(post(&client, &format!("http://{address}/"))).expect_err("silence"), SendError::TimedOut);
    drop(listener);
    assert_eq!(run(post(&client, &format!("http://{address}/"))).expect_err("no listener"), SendError::Unreachable);
}

#[test]
fn every_address_of_a_name_is_checked_again_at_every_connection() {
    let (address, connections) = server(|_| ok("fine"));
    let resolutions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&resolutions);
    let resolve = move |name: &str| -> std::io::Result<Vec<IpAddr>> {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
        Ok(match name {
            "inside.example" => parse(&["127.0.0.1"]),
            "mixed.example" => parse(&["10.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.1"]),
            "private.example" => parse(&["10.0.0.1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]),
            "nowhere.example" => Vec::new(),
            // Public when it is checked, and private when it is called.
            "rebound.example" if counted.fetch_add(1, Ordering::SeqCst) == 0 => parse(&["93.184.215.14"]),
            "rebound.example" => parse(&["10.0.0.1"]),
            other => panic!("{other}"),
        })
    };
    let options = ClientOptions { resolve: Some(Arc::new(resolve)), ..short() };
    let client = EgressClient::new(loopback(), options).expect("a client");
    let url = |host: &str| format!("http://{host}:{}/", address.port());
    run(async {
        assert_eq!(post(&client, &url("inside.example")).await.expect("answered").status, 200);
        assert_eq!(
            post(&client, &url("mixed.example")).await.expect("answered").status,
            200,
            "the one allowed address"
        );
        assert_eq!(connections.load(Ordering::SeqCst), 2);
        assert_eq!(post(&client, &url("private.example")).await.expect_err("refused"), SendError::Forbidden);
        assert_eq!(post(&client, &url("nowhere.example")).await.expect_err("refused"), SendError::Unresolved);
        let target = Target::parse("https://rebound.example/", client.guard()).expect("a good URL");
        assert_eq!(client.check_addresses(&target).await, Ok(()));
        assert_eq!(post(&client, "https://rebound.example/").await.expect_err("refused"), SendError::Forbidden);
    });
    assert_eq!(connections.load(Ordering::SeqCst), 2, "no other address was called");
}

#[test]
fn the_resolution_of_a_name_is_bounded() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let resolve = move |_: &str| -> std::io::Result<Vec<IpAddr>> {
        let _released = held.lock().recv();
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    };
    let options = ClientOptions {
        resolve: Some(Arc::new(resolve)),
        resolve_timeout: Duration::from_millis(20),
        ..ClientOptions::default()
    };
    let client = EgressClient::new(loopback(), options).expect("a client");
    run(async {
        let target = Target::parse("https://inside.example/", client.guard()).expect("a good URL");
        assert_eq!(client.check_addresses(&target).await, Err(SendError::TimedOut));
        drop(release);
    });
}

#[test]
fn a_certificate_is_valid_for_its_name_and_from_its_authority_only() {
    let made = rcgen::generate_simple_self_signed(vec!["inside.example".into()]).expect("made");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = rustls::Stream::new(&mut tls, &mut stream);
            let (mut bytes, mut piece) = (Vec::new(), [0u8; 4096]);
            while !bytes.ends_with(b"hello") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => bytes.extend_from_slice(&piece[..read]),
                }
            }
            let _gone = stream.write_all(&ok("secret"));
        }
    });
    let resolve = Some(Arc::new(|_: &str| Ok(vec![IpAddr::from([127, 0, 0, 1])])) as firstcome::egress::Resolve);
    let trusting = ClientOptions { authorities: vec![certificate], resolve: resolve.clone(), ..short() };
    let trusting = EgressClient::new(loopback(), trusting).expect("a client");
    let web = EgressClient::new(loopback(), ClientOptions { resolve, ..short() }).expect("a client");
    run(async {
        let good = format!("https://inside.example:{port}/");
        assert_eq!(&post(&trusting, &good).await.expect("answered").body[..], b"secret");
        assert_eq!(post(&web, &good).await.expect_err("an unknown authority"), SendError::Tls);
        let other = format!("https://other.example:{port}/");
        assert_eq!(post(&trusting, &other).await.expect_err("another name"), SendError::Tls);
    });
}
