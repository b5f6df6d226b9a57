//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::Either;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::accept::Place;
use super::begun::Begun;
use super::guarded::Guarded;
pub(super) use super::pace::CAUSES;
use super::pace::{Cause, Pace};
use crate::config::Limits;

/// hyper's own default; setting it to the same value would cost a slower parser.
const HYPER_HEADERS_MAX: usize = 100;
/// Where there is no deadline, the timer still needs one.
const FAR: Duration = Duration::from_secs(3600);

/// How hyper reads requests. Its header time-out is off because `pace` has that and more; it answers one request after
/// the other, so that one is in flight however many a client sends at once; and who closes his half gets his answer.
pub(super) fn http(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).half_close(true).max_buf_size(limits.header_bytes_max);
    if limits.headers_max != HYPER_HEADERS_MAX {
        builder.max_headers(limits.headers_max);
    }
    builder
}

/// The connection under TLS, if it manages the handshake in time. That includes the wait for its turn: a crowd of
/// handshakes must not take the cores from those who are in.
pub(super) async fn handshake(tls: TlsAcceptor, stream: TcpStream, place: &Place) -> Option<TlsStream<TcpStream>> {
    let site = &place.door.core.site;
    let handshake = async {
        let _turn = site.handshakes.acquire().await.map_err(std::io::Error::other)?;
        tls.accept(stream).await
    };
    match tokio::time::timeout(site.config.limits.tls_handshake_timeout, handshake).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => place.door.closed[Cause::Handshake as usize].increment(1),
    }
    None
}

/// Serves one connection to its end.
pub(super) async fn serve<S>(stream: S, peer: IpAddr, is_proxy: bool, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = Instant::now();
    let (core, limits) = (&place.door.core, &place.door.core.site.config.limits);
    let pace = Rc::new(Pace::new(limits, is_proxy, accepted));
    let service = service_fn(|request: Request<Incoming>| {
        pace.requested(!request.body().is_end_stream());
        let (mut begun, pace) = (Begun::new(core, peer, request), &pace);
        poll_fn(move |context| {
            begun.poll(context).map(|mut response| {
                if pace.answered(matches!(response.body(), Either::Right(_))) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            })
        })
    });
    let socket = Guarded::new(stream, Rc::clone(&pace));
    let mut connection = pin!(place.door.http.serve_connection(TokioIo::new(socket.clone()), service));
    let mut old_at = accepted.checked_add(limits.connection_age_max);
    let mut timer = pin!(tokio::time::sleep(FAR));
    let mut stopping = core.site.stopping.clone();
    let mut stop = pin!(stopping.changed());
    let mut closing = false;
    let ended = poll_fn(|context| {
        loop {
            let polled = connection.as_mut().poll(context);
            let sent = socket.send_held(context);
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(ended.map_err(|error| tracing::debug!(%error, "a connection ended early")));
            }
            if let Err(error) = sent {
                tracing::debug!(%error, "a client has gone");
                return Poll::Ready(Err(()));
            }
            if let Poll::Ready(cause) = watch(timer.as_mut(), &pace, &mut old_at, context) {
                place.door.closed[cause as usize].increment(1);
                return Poll::Ready(Err(()));
            }
            if closing || stop.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            // What is in flight is answered, and said to be the last.
            closing = true;
            connection.as_mut().graceful_shutdown();
        }
    });
    // Clients break off, time out and talk nonsense all day: that is theirs to notice.
    let _theirs = ended.await;
}

/// Waits for what becomes overdue. One timer per connection: it is moved when a deadline comes nearer, not when it moves
/// away; then it wakes once too early and is set anew.
fn watch(
    mut timer: Pin<&mut Sleep>,
    pace: &Pace,
    old_at: &mut Option<Instant>,
    context: &mut Context<'_>,
) -> Poll<Cause> {
    loop {
        let slow = pace.deadline();
        let next = [slow.map(|(at, _)| at), *old_at].into_iter().flatten().min();
        if let Some(next) = next.filter(|next| *next < timer.deadline().into_std()) {
            timer.as_mut().reset(next.into());
        }
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let now = Instant::now();
        match slow {
            Some((at, cause)) if at <= now => return Poll::Ready(cause),
            Some(_) | None => {}
        }
        if old_at.is_some_and(|at| at <= now) {
            *old_at = None;
            pace.grown_old();
        }
        timer.as_mut().reset(next.unwrap_or(now + FAR).into());
    }
}
