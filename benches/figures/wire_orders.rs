//! Orders over the wire protocol: connections that each keep a number of RESERVE in flight, until each has its answer.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use firstcome::wire::messages::{Reply, Request, Reserve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::machine::{syncs_per_second, worked_ms};
use super::over_http::median;
use super::program::Program;
use super::server::Server;
use super::table::{Table, number};

/// Orders of one connection without an answer, at most.
const IN_FLIGHT: u32 = 32;
/// Connections of the figure that has the aim.
const CONNECTIONS: u32 = 64;
/// Orders of a run, unless `FIRSTCOME_BENCH_RESERVES` says how many.
const ORDERS: u32 = 400_000;
/// The longest time of a run.
const RUN_WITHIN: Duration = Duration::from_secs(120);

/// The figures of one run.
struct Run {
    per_second: f64,
    /// CPU time of the server for an order, all its threads, in microseconds.
    cpu_us: f64,
    /// The median time of an answer, and the 99th percentile, in milliseconds.
    p50_ms: f64,
    p99_ms: f64,
}

/// The figure: 64 connections; beside it 8 and 1 of them, and what the machine itself can do.
pub(crate) fn reserves(program: &Program, table: &mut Table) -> Result<(), String> {
    let orders = std::env::var("FIRSTCOME_BENCH_RESERVES").ok().and_then(|count| count.parse().ok()).unwrap_or(ORDERS);
    let server = Server::start(program)?;
    let before = syncs_per_second(server.directory())?;
    let mut series = Series { server: &server, buyers: 0 };
    let mut rates = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..3 {
        let run = series.run(CONNECTIONS, orders)?;
        rates.push(run.per_second);
        cpu.push(run.cpu_us);
    }
    let some: Vec<(u32, Run)> = [(8, orders / 4), (1, orders / 20)]
        .into_iter()
        .map(|(n, of)| Ok((n, series.run(n, of)?)))
        .collect::<Result<_, String>>()?;
    let after = syncs_per_second(server.directory())?;
    server.stop()?;
    let what = format!("orders over the wire, full, {CONNECTIONS} connections x {IN_FLIGHT} (median of 3)");
    table.at_least(&what, median(rates), 100_000.0, "/s");
    table.shown("... CPU of the server for each", median(cpu), " us");
    for (connections, run) in some {
        let what = format!("... {connections} connections x {IN_FLIGHT}");
        table.shown(&what, run.per_second, "/s");
        table.shown("... CPU of the server for each", run.cpu_us, " us");
        table.shown("... p50 of an answer", run.p50_ms, " ms");
        table.shown("... p99", run.p99_ms, " ms");
    }
    table.shown("the machine: fdatasync of one page, before", before, "/s");
    table.shown("... and afterwards", after, "/s");
    Ok(())
}

/// Runs at one server, each with buyers and a drop of its own.
struct Series<'a> {
    server: &'a Server<'a>,
    buyers: u32,
}

impl Series<'_> {
    /// Sells this many units by as many orders, and compares the books.
    fn run(&mut self, connections: u32, orders: u32) -> Result<Run, String> {
        let each = (orders / connections).max(1);
        let all = each * connections;
        let drop_id = self.server.create_drop(all)?;
        let first = self.buyers;
        self.buyers += all;
        let (_, cpu_before) = worked_ms(self.server.process())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
        let (took, books) = runtime.block_on(async {
            let address = self.server.wire().to_owned();
            let mut streams = Vec::new();
            for _ in 0..connections {
                let stream = TcpStream::connect(&address).await.map_err(|error| format!("{address}: {error}"))?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                streams.push(stream);
            }
            let began = Instant::now();
            let mut tasks = JoinSet::new();
            for (number, stream) in (0..).zip(streams) {
                tasks.spawn(order(stream, drop_id, first + number * each, each));
            }
            let mut books = Vec::new();
            let joined = async {
                while let Some(ended) = tasks.join_next().await {
                    books.extend(ended.map_err(|error| error.to_string())??);
                }
                Ok::<_, String>(())
            };
            tokio::time::timeout(RUN_WITHIN, joined).await.map_err(|_| "orders over the wire took too long")??;
            Ok::<_, String>((began.elapsed(), books))
        })?;
        let (_, cpu_after) = worked_ms(self.server.process())?;
        let distinct: HashSet<[u8; 16]> = books.iter().map(|(id, _)| *id).collect();
        let held = self.server.held(drop_id)?;
        if distinct.len() as u64 != u64::from(all) || held != u64::from(all) {
            return Err(format!(
                "{} distinct orders and {held} units held of {}",
                distinct.len(),
                number(f64::from(all))
            ));
        }
        let mut times: Vec<f64> = books.iter().map(|(_, took)| took.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(f64::NAN);
        Ok(Run {
            per_second: f64::from(all) / took.as_secs_f64(),
            cpu_us: (cpu_after - cpu_before) * 1e3 / f64::from(all),
            p50_ms: at(50),
            p99_ms: at(99),
        })
    }
}

/// Orders once for each of these buyers on one connection; gives each order's id and the time of its answer.
async fn order(
    mut stream: TcpStream,
    drop_id: u32,
    first: u32,
    count: u32,
) -> Result<Vec<([u8; 16], Duration)>, String> {
    let (mut out, mut received, mut piece) = (Vec::new(), Vec::new(), vec![0; 16 * 1024]);
    let (mut sent, mut answered) = (Vec::new(), Vec::new());
    let wanted = usize::try_from(count).map_err(|error| error.to_string())?;
    while answered.len() < wanted {
        while sent.len() < wanted && sent.len() - answered.len() < IN_FLIGHT as usize {
            let number = first + u32::try_from(sent.len()).map_err(|error| error.to_string())?;
            let buyer = format!("wire-{number:010}");
            let mut key = [0; 16];
            key[..4].copy_from_slice(&number.to_be_bytes());
            if !Request::Reserve(Reserve { drop_id, quantity: 1, key, buyer: buyer.as_bytes() }).write(&mut out) {
                return Err("a RESERVE does not fit its frame".into());
            }
            sent.push(Instant::now());
        }
        if !out.is_empty() {
            stream.write_all(&out).await.map_err(|error| error.to_string())?;
            out.clear();
        }
        let read = stream.read(&mut piece).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed a connection".into());
        }
        received.extend_from_slice(&piece[..read]);
        let (now, mut taken) = (Instant::now(), 0);
        while let Some((reply, length)) = Reply::first(&received[taken..]).map_err(|error| error.to_string())? {
            taken += length;
            let Reply::Reserved(reserved) = reply else { return Err(format!("another reply: {reply:?}")) };
            let since = *sent.get(answered.len()).ok_or("a reply without an order")?;
            if reserved.reason != 0 {
                return Err(format!("an order was refused: reason {}", reserved.reason));
            }
            answered.push((reserved.order_id, now.saturating_duration_since(since)));
        }
        received.drain(..taken);
    }
    Ok(answered)
}
