//! Reads over HTTP, beside a bare hyper server that answers the same bytes from constants: hot ones of a drop, whose body
//! is ready, of a waiting room, and cold ones of an order, which is read from the file each time.
//!
//! Both have one serving thread, the same settings of hyper and of the sockets, and the same client: one thread that
//! keeps one request open on each of its connections, or 16 in one piece (pipelined). They take short turns, so that
//! whatever else the machine does meets both; what counts is the ratio, pair by pair. It says what routing, versions,
//! metrics, the request's own headers and the file cost. The clock of each serving thread tells its time on the CPU,
//! which other programs cannot stretch as much.
//!
//! `cargo bench --bench reads`; `FIRSTCOME_BENCH_PAIRS` sets how many pairs (9).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

mod measure;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use firstcome::config::{Config, PinCore};
use firstcome::engine::{Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, Outcome, Subject};
use firstcome::server::start;
use firstcome::types::digest_key::KeyScope;
use firstcome::types::{ChallengeRule, Currency, DropId, IdentityLimits, RoomDraw, RoomSpec, UnitPrice};
use firstcome::writer::{Class, Submission, WriterHandle, WriterReply};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use measure::{cpu_time, find_thread, is_smoke_test, median, spread};
use serde_json::json;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many connections the client keeps busy.
const CONNECTIONS: usize = 64;
/// How often the sides take turns within a pair, and how long one is driven at a time.
const TURNS: usize = 10;
const TURN: Duration = Duration::from_millis(100);
/// What the README promises.
const RATIO_AIM: f64 = 0.9;
/// The name of our serving thread.
const OUR_THREAD: &str = "fc-http-0";

fn main() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut config = Config::defaults();
    config.data = scratch.path().join("data");
    config.public_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin_listen = config.public_listen;
    config.wire_listen = config.public_listen;
    config.http_threads = 1;
    config.pin_core = PinCore::Off;
    config.storefront.enabled = true;
    let running = start(config.clone(), |message, _| panic!("the writer ended: {message}")).expect("a server");
    let drop_id = make_drop(&running.writer, b"1", None);
    let opens_at = running.writer.clock.now().plus_millis(-1);
    let room = RoomSpec {
        opens_at,
        draw: RoomDraw::Arrival,
        admit_per_second: 1_000,
        order_seconds: 120,
        oversubscribe_percent: 100,
    };
    let with_room = make_drop(&running.writer, b"2", Some(Box::new(room)));
    let address = running.server.public_address;
    let order_id = make_order(address, drop_id);
    println!("{CONNECTIONS} connections, one serving thread each");
    let hot = format!("/v1/drops/{drop_id}");
    beside_bare(&config, address, &Asked { what: "drop, hot", path: &hot, bare: "bare-hot", pipelined: &[1, 16] });
    for number in 3..=100u32 {
        make_drop(&running.writer, &number.to_be_bytes(), None);
    }
    for (what, limit, bare) in [("10 of 100 drops", 10, "bare-10"), ("100 of 100 drops", 100, "bare-100")] {
        let path = format!("/v1/drops?limit={limit}");
        beside_bare(&config, address, &Asked { what, path: &path, bare, pipelined: &[1] });
    }
    let list = Asked { what: "storefront's list, 24 of 100 drops, hot", path: "/", bare: "bare-list", pipelined: &[1] };
    beside_bare(&config, address, &list);
    let room = format!("/v1/drops/{with_room}/room");
    beside_bare(&config, address, &Asked { what: "room, hot", path: &room, bare: "bare-room", pipelined: &[1] });
    let cold = format!("/v1/orders/{order_id}");
    beside_bare(&config, address, &Asked { what: "order, cold", path: &cold, bare: "bare-cold", pipelined: &[1] });
    running.stop().expect("an orderly end");
}

/// What is asked for, and how many times in one piece.
struct Asked<'a> {
    what: &'a str,
    path: &'a str,
    /// The name of the bare server's thread.
    bare: &'static str,
    pipelined: &'a [usize],
}

fn beside_bare(config: &Config, address: SocketAddr, asked: &Asked<'_>) {
    let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", asked.path);
    let answer = ask(address, &request);
    let bare_address = serve_bare(config, asked.bare, Answered::of(&answer));
    let bare_answer = ask(bare_address, &request);
    assert_eq!(answer.len(), bare_answer.len(), "both answer with as many bytes: {answer}\n{bare_answer}");
    for &pipelined in asked.pipelined {
        let side = |name, thread, address| {
            Side::new(name, thread, address, &request.repeat(pipelined), answer.len(), pipelined)
        };
        println!("\n# {}, {pipelined} in one piece, {} bytes an answer", asked.what, answer.len());
        let (ours, bare) = (side("firstcome", OUR_THREAD, address), side("bare hyper", asked.bare, bare_address));
        let (per_second, ratio) = compare(ours, bare);
        let figure = json!({ "per_second": per_second, "ratio": ratio });
        measure::record(&format!("{}, {pipelined}", asked.what), figure);
    }
}

/// Both sides in turn; gives the median of our rate and of the ratio to the other one.
fn compare(mut ours: Side, mut bare: Side) -> (f64, f64) {
    ours.drive();
    bare.drive();
    println!("pair  firstcome/s  bare/s  ratio  ratio by CPU time");
    let turns = if is_smoke_test() { 1 } else { TURNS };
    let mut ratios = Vec::new();
    let mut cpu_ratios = Vec::new();
    for pair in 1..=measure::pairs(9) {
        let (mut a, mut b) = (Round::default(), Round::default());
        for _ in 0..turns {
            a += ours.drive();
            b += bare.drive();
        }
        let (ratio, cpu_ratio) = (a.per_second() / b.per_second(), b.cpu_us() / a.cpu_us());
        println!("{pair:4}  {:11.0}  {:6.0}  {ratio:5.3}  {cpu_ratio:5.3}", a.per_second(), b.per_second());
        ratios.push(ratio);
        cpu_ratios.push(cpu_ratio);
        ours.rounds.push(a);
        bare.rounds.push(b);
    }
    for side in [&ours, &bare] {
        side.report();
    }
    println!("ratio by CPU time: {}", spread(&mut cpu_ratios));
    println!("ratio: {}; the aim for hot ones, one by one, is {RATIO_AIM}", spread(&mut ratios));
    let mut rates: Vec<f64> = ours.rounds.iter().map(Round::per_second).collect();
    (median(&mut rates), median(&mut ratios))
}

/// A drop of usual length.
fn make_drop(writer: &WriterHandle, key: &[u8], room: Option<Box<RoomSpec>>) -> DropId {
    let digests = &writer.digest_key;
    let spec = DropSpec {
        sku: "BENCH-1".into(),
        name: "Bench sneaker, limited".into(),
        description: Some("As many bytes as a short description of a limited drop has.".into()),
        image_url: Some("https://img.example/bench-1.webp".into()),
        currency: Currency::new("EUR").expect("a currency"),
        unit_price: UnitPrice::new(14_900).expect("a price"),
        total: 10_000,
        starts_at: writer.clock.now(),
        ends_at: None,
        per_buyer_limit: 2,
        reservation_seconds: 120,
        payment_seconds: 900,
        identity_limits: IdentityLimits::default(),
        challenge: ChallengeRule::default(),
        room,
        commitment: None,
        blind_ms: 0,
    };
    let key = CommandKey {
        digest: digests.command_key(KeyScope::CreateDrop, "bench", key),
        params: digests.params(b"bench"),
    };
    let command = Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) }));
    let ticket = writer.submit(Submission { command, private_data: None, class: Class::Operator }).expect("room");
    let WriterReply::Decided(decided) = ticket.wait() else { panic!("the drop was not decided") };
    let Outcome::Accepted(Effect::Changed { subject: Subject::Drop(id), .. }) = decided.outcome else {
        panic!("no drop: {decided:?}")
    };
    id
}

/// The id of an order.
fn make_order(address: SocketAddr, drop_id: DropId) -> String {
    let body = r#"{"buyer":"bench","quantity":1}"#;
    let answer = ask(
        address,
        &format!(
            "POST /v1/drops/{drop_id}/orders HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Idempotency-Key: bench\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let (_, after) = answer.split_once("\"id\":\"").expect("an id");
    after.split('"').next().expect("its end").into()
}

/// One answer as text, asked for on a connection of its own.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    let mut piece = [0u8; 4096];
    loop {
        let read = stream.read(&mut piece).expect("an answer");
        assert!(read > 0, "the answer broke off: {answer}");
        answer.push_str(std::str::from_utf8(&piece[..read]).expect("text"));
        if let Some((head, body)) = answer.split_once("\r\n\r\n") {
            assert!(head.starts_with("HTTP/1.1 20"), "{head}");
            if body.len() >= header(head, "content-length").parse().expect("a length") {
                return answer;
            }
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let found = head.lines().filter_map(|line| line.split_once(": ")).find(|(found, _)| *found == name);
    found.unwrap_or_else(|| panic!("no {name} in {head}")).1
}

/// Headers that hyper writes itself.
const HYPERS: [&str; 2] = ["content-length", "date"];

/// The answer of the real server, for the bare one to repeat.
#[derive(Clone)]
struct Answered {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answered {
    fn of(answer: &str) -> Answered {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        let others = head.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| !HYPERS.contains(name));
        let header = |(name, value): (&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_str(value).expect("a value"))
        };
        let headers = others.map(header).collect();
        Answered { headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}

/// Starts the bare server on its own thread; it lives as long as the process.
fn serve_bare(config: &Config, thread: &str, answered: Answered) -> SocketAddr {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_reuse_address(true).expect("reused");
    socket.set_reuse_port(true).expect("shared");
    socket.set_nonblocking(true).expect("not blocking");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    socket.listen(config.limits.listen_backlog).expect("listening");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("an address");
    let (header_read_timeout, buffer_bytes) = (config.limits.header_read_timeout, config.limits.header_bytes_max);
    let serve = move || {
        let builder = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        builder.expect("a runtime").block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let answered = answered.clone();
                tokio::task::spawn_local(async move {
                    stream.set_nodelay(true).expect("no delay");
                    let service = service_fn(|_| std::future::ready(Ok::<_, Infallible>(answered.response())));
                    let mut builder = http1::Builder::new();
                    builder
                        .timer(TokioTimer::new())
                        .header_read_timeout(header_read_timeout)
                        .max_buf_size(buffer_bytes);
                    let _client_left = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    };
    std::thread::Builder::new().name(thread.into()).spawn(serve).expect("a thread");
    address
}

/// One of the two servers, with the client's connections to it.
struct Side {
    name: &'static str,
    thread: String,
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
    pipelined: usize,
    rounds: Vec<Round>,
}

/// What one server did in one pair.
#[derive(Default)]
struct Round {
    requests: u32,
    took: Duration,
    cpu: Duration,
}

impl Round {
    fn per_second(&self) -> f64 {
        f64::from(self.requests) / self.took.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.requests)
    }
}

impl AddAssign for Round {
    fn add_assign(&mut self, turn: Round) {
        self.requests += turn.requests;
        self.took += turn.took;
        self.cpu += turn.cpu;
    }
}

impl Side {
    fn new(
        name: &'static str,
        thread: &str,
        address: SocketAddr,
        request: &str,
        answer_bytes: usize,
        pipelined: usize,
    ) -> Side {
        let connect = |_| {
            let stream = TcpStream::connect(address).expect("connected");
            stream.set_nodelay(true).expect("no delay");
            stream
        };
        Side {
            name,
            thread: find_thread(thread),
            streams: (0..CONNECTIONS).map(connect).collect(),
            request: request.into(),
            answer: vec![0; answer_bytes * pipelined],
            pipelined,
            rounds: Vec::new(),
        }
    }

    /// Drives the server for a turn. Each connection has one request open; answers are taken in turn and replaced at
    /// once: two system calls for each, less than the server needs, so that it is the server that limits the pace.
    /// Every answer has the same length: none of their headers changes its own.
    fn drive(&mut self) -> Round {
        let cpu = cpu_time(&self.thread);
        let started = Instant::now();
        for stream in &mut self.streams {
            stream.write_all(&self.request).expect("sent");
        }
        let (mut requests, pipelined) = (0u32, u32::try_from(self.pipelined).expect("few"));
        let mut last_lap = false;
        while !last_lap {
            last_lap = started.elapsed() >= TURN;
            for stream in &mut self.streams {
                stream.read_exact(&mut self.answer).expect("an answer");
                assert!(self.answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "another answer");
                requests += pipelined;
                if !last_lap {
                    stream.write_all(&self.request).expect("sent");
                }
            }
        }
        Round { requests, took: started.elapsed(), cpu: cpu_time(&self.thread).saturating_sub(cpu) }
    }

    fn report(&self) {
        let mut rates: Vec<f64> = self.rounds.iter().map(Round::per_second).collect();
        let mut cpu: Vec<f64> = self.rounds.iter().map(Round::cpu_us).collect();
        let mut busy: Vec<f64> =
            self.rounds.iter().map(|round| 100.0 * round.cpu.as_secs_f64() / round.took.as_secs_f64()).collect();
        println!(
            "{:10}  {:6.0} requests/s, {:5.2} us of CPU time each, serving thread {:.0} % busy (medians)",
            self.name,
            median(&mut rates),
            median(&mut cpu),
            median(&mut busy)
        );
    }
}
