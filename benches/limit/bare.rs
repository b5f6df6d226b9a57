//! The bare server: what a durable answer costs before anything is decided.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crossbeam_channel::{Receiver, Sender, bounded};
use firstcome::config::Config;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::sync::oneshot;

/// The names of its serving thread and of its writer.
pub(crate) const THREADS: [&str; 2] = ["bare-http", "bare-writer"];
/// The most commands that wait, and the most of one batch: those of our writer by default.
const QUEUE: usize = 8192;
const BATCH: usize = 512;

/// The members of an order that the bare server reads.
#[derive(Deserialize)]
struct NewOrder<'a> {
    buyer: &'a str,
    quantity: u32,
}

/// A request on its way to the writer.
struct Queued {
    answer: oneshot::Sender<()>,
}

/// The answer to every request.
#[derive(Clone)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Takes over what our server answered; hyper itself writes the length and the date.
    fn of(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        let mut headers = HeaderMap::new();
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            if name != CONTENT_LENGTH && name != DATE {
                headers.append(name, HeaderValue::from_str(value).expect("a value"));
            }
        }
        Answer { headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }
}

/// Starts the server; it lives as long as the process.
pub(crate) fn serve(config: &Config, scratch: &Path, answer: &str, bytes_per_order: usize) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
    listener.set_nonblocking(true).expect("not blocking");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = bounded(QUEUE);
    let file = File::create(scratch.join("bare.log")).expect("a file");
    let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new().name(name.into()).spawn(work).expect("a thread")
    };
    spawn(THREADS[1], Box::new(move || write(file, &receiver, bytes_per_order)));
    let (config, answer) = (config.clone(), Answer::of(answer));
    spawn(THREADS[0], Box::new(move || accept(&config, listener, &sender, &answer)));
    address
}

fn accept(config: &Config, listener: TcpListener, sender: &Sender<Queued>, answer: &Answer) {
    let builder = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    builder.expect("a runtime").block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let (sender, answer) = (sender.clone(), answer.clone());
            let (timeout, buffer) = (config.limits.header_read_timeout, config.limits.header_bytes_max);
            tokio::task::spawn_local(async move {
                stream.set_nodelay(true).expect("no delay");
                let service = service_fn(|request| order(request, &sender, &answer));
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(timeout).max_buf_size(buffer);
                let _client_left = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

/// Reads an order, waits until its bytes are durable, and answers.
async fn order(
    request: Request<Incoming>,
    sender: &Sender<Queued>,
    answer: &Answer,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert!(request.headers().contains_key("idempotency-key"), "the client sends a key");
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let order: NewOrder<'_> = serde_json::from_slice(&body).expect("an order");
    assert!(!order.buyer.is_empty() && order.quantity == 1, "the client orders one unit");
    let (reply, durable) = oneshot::channel();
    sender.send(Queued { answer: reply }).expect("the writer lives");
    durable.await.expect("the writer answers");
    let mut response = Response::new(Full::new(answer.body.clone()));
    *response.status_mut() = StatusCode::CREATED;
    *response.headers_mut() = answer.headers.clone();
    Ok(response)
}

/// Writes batches: as many bytes for each order as our writer, one `fdatasync`, then the answers.
fn write(mut file: File, receiver: &Receiver<Queued>, bytes_per_order: usize) {
    let mut batch = Vec::with_capacity(BATCH);
    let bytes = vec![0x5a; bytes_per_order * BATCH];
    while let Ok(first) = receiver.recv() {
        batch.push(first);
        batch.extend(receiver.try_iter().take(BATCH - 1));
        file.write_all(&bytes[..bytes_per_order * batch.len()]).expect("written");
        file.sync_data().expect("durable");
        for queued in batch.drain(..) {
            let _client_left = queued.answer.send(());
        }
    }
}
