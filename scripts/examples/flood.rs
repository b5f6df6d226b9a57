//! Overload test: ten times more orders than the server can accept; its goodput meanwhile, and its recovery. Loopback only.
//!
//!   cargo run --release --example flood -- PUBLIC ADMIN [TIMES [SECONDS]]
//!
//! First a closed loop (the peak), then TIMES (10) that rate offered for SECONDS (10) as an open loop, then the closed loop
//! again. All figures are of the same run, so they are given as ratios. The test fails only far beyond good figures: goodput
//! below half of the peak, or a server that is less than half as fast afterwards, or has ten times the latency.

#![allow(clippy::print_stdout, reason = "the results are printed")]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

type Failure = Box<dyn Error>;

/// Connections while the peak is measured.
const STEADY: usize = 128;
/// Connections of the flood, at most.
const FLOOD: usize = 6000;
const STEADY_SECONDS: u64 = 4;
const DROP: &str = r#"{"sku":"FLOOD","name":"Flood","currency":"EUR","unit_price":1,"total":4000000000,"starts_at":"2020-01-01T00:00:00Z","reservation_seconds":86400}"#;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or_else(|| default.into());
    let public: SocketAddr = argument(0, "127.0.0.1:8080").parse()?;
    let admin: SocketAddr = argument(1, "127.0.0.1:8081").parse()?;
    let (times, seconds): (f64, u64) = (argument(2, "10").parse()?, argument(3, "10").parse()?);
    if !public.ip().is_loopback() || !admin.ip().is_loopback() {
        return Err("only a server on this machine may be flooded".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(public, admin, times, Duration::from_secs(seconds)))
}

/// The number of rounds, until one is good: a disk that others use changes its pace from minute to minute, and a server that collapses
/// does so every time.
const ROUNDS: usize = 3;

async fn run(public: SocketAddr, admin: SocketAddr, times: f64, long: Duration) -> Result<(), Failure> {
    let shop = Rc::new(Shop::open(public, admin).await?);
    shop.load(STEADY, Pace::ClosedLoop, Duration::from_secs(1)).await?;
    let mut found = Ok(());
    for _ in 0..ROUNDS {
        found = round(&shop, times, long).await?;
        match &found {
            Ok(()) => break,
            Err(what) => println!("{what}"),
        }
    }
    Ok(found?)
}

/// Peak, flood, peak; and the first demand that is not met.
async fn round(shop: &Rc<Shop>, times: f64, long: Duration) -> Result<Result<(), &'static str>, Failure> {
    let before = shop.load(STEADY, Pace::ClosedLoop, Duration::from_secs(STEADY_SECONDS)).await?;
    println!("before: {before}");
    let flood = shop.load(FLOOD, Pace::PerSecond(before.orders_per_second() * times), long).await?;
    println!("flood:  {flood}");
    let after = shop.load(STEADY, Pace::ClosedLoop, Duration::from_secs(STEADY_SECONDS)).await?;
    println!("after:  {after}");

    // The peak without the flood is the lower of the two.
    let peak = before.orders_per_second().min(after.orders_per_second());
    let goodput = flood.orders_per_second() / peak;
    let speed = after.orders_per_second() / before.orders_per_second();
    let lateness = after.p99().as_secs_f64() / before.p99().as_secs_f64();
    let offered = flood.requests_per_second() / peak;
    println!("offered {offered:.1} times the peak; {:.0} % were rejected", flood.rejected_percent());
    println!("goodput under the flood / peak: {goodput:.2}");
    println!("peak after / before:            {speed:.2}");
    println!("p99 after / before:             {lateness:.2}");
    let demands = [
        (goodput >= 0.5, "goodput collapsed under the flood"),
        (speed >= 0.5, "the server did not recover its pace"),
        (lateness <= 10.0, "the server did not recover its latency"),
    ];
    Ok(demands.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, what)| Err(what)))
}

/// The pace of requests.
#[derive(Clone, Copy)]
enum Pace {
    /// Each connection sends its next request after a response.
    ClosedLoop,
    /// At this rate, as long as a connection is free.
    PerSecond(f64),
}

/// The figures of a load.
struct Load {
    took: Duration,
    orders: u64,
    rejected: u64,
    answers: Histogram<u64>,
}

#[allow(clippy::cast_precision_loss, reason = "counts of a few seconds")]
impl Load {
    fn orders_per_second(&self) -> f64 {
        self.orders as f64 / self.took.as_secs_f64()
    }
    fn requests_per_second(&self) -> f64 {
        (self.orders + self.rejected) as f64 / self.took.as_secs_f64()
    }
    fn rejected_percent(&self) -> f64 {
        100.0 * self.rejected as f64 / (self.orders + self.rejected) as f64
    }
    fn p99(&self) -> Duration {
        Duration::from_micros(self.answers.value_at_quantile(0.99))
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (orders, all) = (self.orders_per_second(), self.requests_per_second());
        write!(f, "{orders:.0} orders/s of {all:.0} requests/s, p99 {:.1?} of orders", self.p99())
    }
}

/// The server under load, and the counts.
struct Shop {
    public: SocketAddr,
    path: String,
    buyers: Cell<u64>,
    orders: Cell<u64>,
    rejected: Cell<u64>,
    answers: RefCell<Histogram<u64>>,
}

impl Shop {
    async fn open(public: SocketAddr, admin: SocketAddr) -> Result<Shop, Failure> {
        let mut stream = TcpStream::connect(admin).await?;
        let head =
            "POST /v1/drops HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let key = std::process::id();
        let request = format!("{head}Idempotency-Key: flood-{key}\r\nContent-Length: {}\r\n\r\n{DROP}", DROP.len());
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let id = answer.split("\"id\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let id = id.ok_or_else(|| format!("no drop: {answer}"))?;
        Ok(Shop {
            public,
            path: format!("/v1/drops/{id}/orders"),
            buyers: Cell::new(0),
            orders: Cell::new(0),
            rejected: Cell::new(0),
            answers: RefCell::new(Histogram::new_with_bounds(1, 60_000_000, 3)?),
        })
    }

    async fn load(self: &Rc<Shop>, connections: usize, pace: Pace, long: Duration) -> Result<Load, Failure> {
        let mut streams = Vec::with_capacity(connections);
        for _ in 0..connections {
            streams.push(TcpStream::connect(self.public).await?);
        }
        self.orders.set(0);
        self.rejected.set(0);
        self.answers.borrow_mut().reset();
        let start = Instant::now();
        let arrivals = Rc::new(Semaphore::new(0));
        let until = start + long;
        let buyers: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                let (shop, arrivals) = (Rc::clone(self), Rc::clone(&arrivals));
                tokio::task::spawn_local(async move { shop.buy(stream, pace, &arrivals, until).await })
            })
            .collect();
        if let Pace::PerSecond(rate) = pace {
            offer(rate, &arrivals, start, until).await;
        }
        // Connections that still wait for a permit get one, and see that the time is over.
        arrivals.add_permits(connections);
        for buyer in buyers {
            buyer.await??;
        }
        let answers = self.answers.borrow().clone();
        Ok(Load { took: start.elapsed(), orders: self.orders.get(), rejected: self.rejected.get(), answers })
    }

    /// One connection's buyers, one after the other.
    async fn buy(
        &self,
        mut stream: TcpStream,
        pace: Pace,
        arrivals: &Semaphore,
        until: Instant,
    ) -> Result<(), std::io::Error> {
        let mut answer = Vec::with_capacity(2048);
        loop {
            if let Pace::PerSecond(_) = pace
                && let Ok(permit) = arrivals.acquire().await
            {
                permit.forget();
            }
            let sent = Instant::now();
            if sent >= until {
                return Ok(());
            }
            let buyer = self.buyers.get();
            self.buyers.set(buyer + 1);
            let body = format!(r#"{{"buyer":"b{buyer}","quantity":1}}"#);
            let request = format!(
                "POST {} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nIdempotency-Key: k{buyer}\r\nContent-Length: {}\r\n\r\n{body}",
                self.path,
                body.len()
            );
            stream.write_all(request.as_bytes()).await?;
            match read_answer(&mut stream, &mut answer).await? {
                201 => {
                    self.orders.set(self.orders.get() + 1);
                    let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.answers.borrow_mut().saturating_record(micros);
                }
                503 => self.rejected.set(self.rejected.get() + 1),
                status => return Err(std::io::Error::other(format!("answered with {status}"))),
            }
        }
    }
}

/// Offers requests at a rate, as far as connections are free.
async fn offer(rate: f64, arrivals: &Semaphore, start: Instant, until: Instant) {
    let mut offered = 0;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
        let due = (rate * start.elapsed().as_secs_f64()) as usize;
        let free = arrivals.available_permits() == 0;
        if free {
            arrivals.add_permits(due.saturating_sub(offered).min(FLOOD));
        }
        offered = due;
    }
}

/// Reads one response to its end, and gives its status.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<u16, std::io::Error> {
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(std::io::Error::other("closed instead of answered"));
        }
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&answer[..head]);
        let lengths = text.lines().filter_map(|line| line.strip_prefix("content-length: "));
        let length: usize = lengths.filter_map(|length| length.parse().ok()).next().unwrap_or(0);
        if answer.len() >= head + 4 + length {
            return text
                .get(9..12)
                .and_then(|status| status.parse().ok())
                .ok_or_else(|| std::io::Error::other("no status"));
        }
    }
}
