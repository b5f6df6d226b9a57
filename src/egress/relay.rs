//! Requests that are passed on for a client: the answer's body comes as it is sent, and an error says whether the request
//! may have arrived.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::HOST;
use hyper::{Request, Response, Uri};
use tokio::time::timeout;

use super::byte_allowance::ByteAllowance;
use super::client::{ClientInner, EgressClient, OutboundRequest, SendError};
use super::pool::PooledConnection;
use super::target::Origin;

/// The reason why a request that was passed on has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForwardError {
    /// No byte of it left.
    NotSent(SendError),
    /// The request left, in whole or in part, and may have arrived.
    Unknown(SendError),
}

/// The body of an answer, piece by piece. Its connection is kept for another request once the body has ended.
pub struct RelayedBody {
    body: Incoming,
    /// A body of unknown length was read to its end.
    has_ended: bool,
    connection: Option<PooledConnection>,
    client: Arc<ClientInner>,
    origin: Origin,
}

impl Body for RelayedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.has_ended |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RelayedBody {
    fn drop(&mut self) {
        if (self.has_ended || self.body.is_end_stream())
            && let Some(connection) = self.connection.take()
        {
            self.client.pool.put(&self.origin, connection);
        }
    }
}

impl EgressClient {
    /// Sends a request once, and returns the answer once its head is there. The request keeps its own headers, but for
    /// `Host`.
    ///
    /// # Errors
    /// See [`ForwardError`]. `head_max` bounds the time from the sending to the head.
    pub async fn forward(
        &self,
        call: OutboundRequest<'_>,
        head_max: Duration,
    ) -> Result<Response<RelayedBody>, ForwardError> {
        let origin = &call.target.origin;
        let mut request = forwarded(&call);
        while let Some(connection) = self.0.pool.take(origin) {
            connection.allowance.renew(usize::MAX);
            match self.send_once(origin, connection, request, head_max).await {
                // The node has just closed it.
                Err((Some(unsent), _)) => request = unsent,
                Err((None, error)) => return Err(ForwardError::Unknown(error)),
                Ok(response) => return Ok(response),
            }
        }
        let connected = timeout(self.0.options.timeout, self.connect(origin, ByteAllowance::new(usize::MAX))).await;
        let connection = connected.unwrap_or(Err(SendError::TimedOut)).map_err(ForwardError::NotSent)?;
        self.send_once(origin, connection, request, head_max).await.map_err(|(unsent, error)| match unsent {
            Some(_) => ForwardError::NotSent(error),
            None => ForwardError::Unknown(error),
        })
    }

    /// Sends a request on a connection. Gives it back if no byte of it left.
    async fn send_once(
        &self,
        origin: &Origin,
        mut connection: PooledConnection,
        request: Request<Full<Bytes>>,
        head_max: Duration,
    ) -> Result<Response<RelayedBody>, (Option<Request<Full<Bytes>>>, SendError)> {
        match timeout(head_max, connection.sender.try_send_request(request)).await {
            Err(_) => Err((None, SendError::TimedOut)),
            Ok(Err(mut error)) => Err((error.take_message(), SendError::Broken)),
            Ok(Ok(response)) => Ok(response.map(|body| RelayedBody {
                body,
                has_ended: false,
                connection: Some(connection),
                client: Arc::clone(&self.0),
                origin: origin.clone(),
            })),
        }
    }
}

fn forwarded(call: &OutboundRequest<'_>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = Uri::from(call.target.path.clone());
    *request.headers_mut() = call.headers.clone();
    request.headers_mut().insert(HOST, call.target.host_header.clone());
    request
}
