//! A client that says exactly what a test wants, and a good one beside it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use firstcome::config::ConnectionLimits;

use super::http::{Server, serve_with, until};

/// Longer than any deadline of a test: who waits so long waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);

/// A raw connection.
pub(crate) struct Raw {
    stream: TcpStream,
    heard: Vec<u8>,
}

/// What a connection said, and whether it still stands.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) closed: bool,
}

impl Said {
    /// The statuses of all answers.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let answers = self.text.match_indices("HTTP/1.1 ");
        answers.filter_map(|(at, _)| self.text.get(at + 9..at + 12)?.parse().ok()).collect()
    }
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Raw {
        Raw::over(TcpStream::connect(address).expect("connected"))
    }

    pub(crate) fn over(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        Raw { stream, heard: Vec::new() }
    }

    /// Sends as much as the server takes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The client has said all.
    pub(crate) fn close_its_half(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shut");
    }

    /// Reads until this has been said so often.
    pub(crate) fn hear(&mut self, word: &str, times: usize) -> Said {
        let said = self.hear_unless_closed(word, times);
        assert!(!said.closed, "it ended before it said {word} {times} times: {}", said.text);
        said
    }

    /// The same, or until the server closes the connection.
    pub(crate) fn hear_unless_closed(&mut self, word: &str, times: usize) -> Said {
        loop {
            let text = String::from_utf8_lossy(&self.heard).into_owned();
            if text.matches(word).count() >= times {
                return Said { text, closed: false };
            }
            if !self.read() {
                return Said { text, closed: true };
            }
        }
    }

    /// Reads until the server closes the connection.
    pub(crate) fn hear_all(&mut self) -> Said {
        while self.read() {}
        Said { text: String::from_utf8_lossy(&self.heard).into_owned(), closed: true }
    }

    /// Reads once; `false` at the end.
    fn read(&mut self) -> bool {
        let mut bytes = [0u8; 16_384];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.heard.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("neither answered nor closed: {error}"),
        }
    }
}

/// A good client: it reads a drop over and over on one connection, and always gets it.
pub(crate) struct Good {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Good {
    fn start(address: SocketAddr) -> Good {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (first, served_first) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut served = 0;
            let mut raw = Raw::connect(address);
            while !stopped.load(Ordering::SeqCst) {
                raw.heard.clear();
                raw.send(LOOK).expect("sent");
                let said = raw.hear("\"version\"", 1);
                assert!(said.text.starts_with("HTTP/1.1 200 "), "{}", said.text);
                if said.text.contains("connection: close") {
                    raw = Raw::connect(address);
                }
                served += 1;
                let _heard = first.send(());
                std::thread::park_timeout(Duration::from_millis(5));
            }
            served
        });
        served_first.recv().expect("the good client is served");
        Good { stop, thread }
    }
}

/// A server with a drop of nine units and a good client.
pub(crate) struct Site {
    pub(crate) server: Server,
    good: Good,
    _scratch: tempfile::TempDir,
}

impl Site {
    /// Peers on this machine are clients here, not proxies.
    pub(crate) fn open(change: impl FnOnce(&mut ConnectionLimits)) -> Site {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = serve_with(scratch.path(), |config| {
            config.limits.loopback_is_client = true;
            // Floods are the subject here, and not how often a client may ask.
            (config.admission.address_reads, config.admission.address_writes) = (0, 0);
            (config.admission.address_buyers, config.admission.tier_writes) = (0, [0; 4]);
            change(&mut config.limits);
        });
        assert_eq!(server.create(9).status, 201);
        let good = Good::start(server.0.server.public_address);
        Site { server, good, _scratch: scratch }
    }

    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(self.server.0.server.public_address)
    }

    /// How many connections were closed for this cause.
    pub(crate) fn closed(&self, cause: &str) -> f64 {
        self.server.metric(&format!("firstcome_connections_closed_total{{cause=\"{cause}\"}}"))
    }

    /// The good client was served all the time, and nothing of the others is left.
    pub(crate) fn end(self) {
        self.good.stop.store(true, Ordering::SeqCst);
        assert!(self.good.thread.join().expect("the good client was served") > 0);
        let open = || self.server.metric("firstcome_connections{listener=\"public\"}");
        until("all places are given back", || open() == 0.0);
        self.server.stop();
    }
}

/// A request for an order with a key of its own.
pub(crate) fn order(key: &str, headers: &str) -> String {
    let body = format!(r#"{{"buyer":"{key}","quantity":1}}"#);
    let length = body.len();
    format!(
        "POST /v1/drops/1/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// A request for the drop.
pub(crate) const LOOK: &str = "GET /v1/drops/1 HTTP/1.1\r\nHost: shop\r\n\r\n";
