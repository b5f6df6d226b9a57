//! Connection test: thousands of connections at once and without pacing, each served, then held idle, served again and
//! closed; and the server's memory and descriptors meanwhile. Loopback only.
//!
//!   cargo run --release --example crowd -- PUBLIC ADMIN [CONNECTIONS [MEGABYTES]]
//!
//! Fails if a connection is not served, if the server takes more than MEGABYTES (200) while all are open, or if it does
//! not come back to the connections and descriptors that it had before.

#![allow(clippy::print_stdout, reason = "the results are printed")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::LocalSet;
use tokio::time::timeout;

type Failure = Box<dyn Error>;

/// The longest wait, above that of a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections per source address: loopback has many addresses, each with its own ports.
const PER_ADDRESS: usize = 20_000;
/// Requests before all, so that each serving thread has opened its files.
const WARM_UP: usize = 100;
const REQUEST: &[u8] = b"GET /v1/drops/1 HTTP/1.1\r\nHost: crowd\r\n\r\n";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or_else(|| default.into());
    let public: SocketAddr = argument(0, "127.0.0.1:8080").parse()?;
    let admin: SocketAddr = argument(1, "127.0.0.1:8081").parse()?;
    let (connections, megabytes): (usize, f64) = (argument(2, "10000").parse()?, argument(3, "200").parse()?);
    if !public.ip().is_loopback() || !admin.ip().is_loopback() {
        return Err("only a server on this machine may be loaded".into());
    }
    raise_descriptor_limit(connections)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(public, admin, connections, megabytes))
}

async fn run(public: SocketAddr, admin: SocketAddr, connections: usize, megabytes: f64) -> Result<(), Failure> {
    for number in 0..WARM_UP {
        timeout(PATIENCE, request(connect(public, number).await?)).await??;
    }
    let before = wait_for(admin, "no other connection is open", |figures| figures.connections == 0.0).await?;
    println!("before: {before}");

    let started = Instant::now();
    let arrivals: Vec<_> = (0..connections).map(|n| tokio::task::spawn_local(connect(public, n))).collect();
    let mut streams = Vec::with_capacity(connections);
    for arrival in arrivals {
        streams.push(timeout(PATIENCE, arrival).await???);
    }
    println!("{connections} connected at once in {:.2?}", started.elapsed());
    let silent = wait_for(admin, "all are accepted", |figures| figures.connections >= count(connections)).await?;
    println!("silent: {silent}");

    for round in ["first", "second"] {
        let started = Instant::now();
        let served: Vec<_> = streams.into_iter().map(|stream| tokio::task::spawn_local(request(stream))).collect();
        streams = Vec::with_capacity(connections);
        for stream in served {
            streams.push(timeout(PATIENCE, stream).await???);
        }
        println!("each served a {round} time, together in {:.2?}", started.elapsed());
    }
    let idle = Figures::of(admin).await?;
    println!("idle:   {idle}");
    let of_one = (idle.resident - before.resident) / count(connections);
    println!("        {:.1} kB for each connection", of_one / 1e3);

    drop(streams);
    let back =
        |figures: &Figures| figures.connections <= before.connections && figures.descriptors <= before.descriptors;
    let after = wait_for(admin, "connections and descriptors are released", back).await?;
    println!("after:  {after}");
    if idle.resident > megabytes * 1e6 {
        return Err(format!(
            "{:.0} MB resident with {connections} connections; the limit is {megabytes}",
            idle.resident / 1e6
        )
        .into());
    }
    println!("within {megabytes} MB");
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a count of connections")]
fn count(connections: usize) -> f64 {
    connections as f64
}

async fn connect(public: SocketAddr, number: usize) -> Result<TcpStream, std::io::Error> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number / PER_ADDRESS).unwrap_or(u8::MAX).saturating_add(1);
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
    socket.connect(public).await
}

/// One request on a connection that stays open; its response is read to the end.
async fn request(mut stream: TcpStream) -> Result<TcpStream, std::io::Error> {
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
            let length: usize = lengths.filter_map(|length| length.parse().ok()).next().unwrap_or(0);
            if !head.starts_with("HTTP/1.1 200 ") {
                return Err(std::io::Error::other(format!("not served: {head}")));
            }
            if body.len() >= length {
                return Ok(stream);
            }
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::Error::other("closed instead of served"));
        }
    }
}

/// The server's own figures.
struct Figures {
    connections: f64,
    descriptors: f64,
    resident: f64,
}

impl Figures {
    async fn of(admin: SocketAddr) -> Result<Figures, Failure> {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut text)).await??;
        let value = |name: &str| -> Result<f64, Failure> {
            let line = text.lines().find(|line| line.starts_with(name)).ok_or_else(|| format!("no {name}"))?;
            Ok(line.rsplit(' ').next().unwrap_or("").parse()?)
        };
        Ok(Figures {
            connections: value("firstcome_connections{listener=\"public\"}")?,
            descriptors: value("firstcome_open_descriptors ")?,
            resident: value("firstcome_resident_memory_bytes ")?,
        })
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { connections, descriptors, resident } = self;
        write!(f, "{connections} connections, {descriptors} descriptors, {:.1} MB resident", resident / 1e6)
    }
}

async fn wait_for(admin: SocketAddr, what: &str, holds: impl Fn(&Figures) -> bool) -> Result<Figures, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let figures = Figures::of(admin).await?;
        if holds(&figures) {
            return Ok(figures);
        }
        if Instant::now() > deadline {
            return Err(format!("timed out while waiting until {what}; {figures}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn raise_descriptor_limit(connections: usize) -> Result<(), Failure> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let needed = u64::try_from(connections)?.saturating_add(64);
    if limit.current.is_some_and(|max| max < needed) {
        return Err(format!("{connections} connections need {needed} descriptors: ulimit -n").into());
    }
    Ok(())
}
