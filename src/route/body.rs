//! Bodies of answers: made here, or passed on piece by piece as a node sends them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::permit::ShardPermit;
use crate::egress::RelayedBody;

/// The body of an answer of the router.
pub(super) type RouteBody = Either<Full<Bytes>, PassedBody>;

/// Longest time between two pieces of a body: four heartbeats of an event stream.
const PIECE_MAX: Duration = Duration::from_secs(60);

type PassError = Box<dyn std::error::Error + Send + Sync>;

/// A node's body that is passed on. It counts among the answers of its shard until its end.
pub(super) struct PassedBody {
    body: RelayedBody,
    /// Ends the answer of a node that hangs.
    timer: Pin<Box<Sleep>>,
    _permit: ShardPermit,
}

impl PassedBody {
    pub(super) fn new(body: RelayedBody, permit: ShardPermit) -> PassedBody {
        PassedBody { body, timer: Box::pin(tokio::time::sleep(PIECE_MAX)), _permit: permit }
    }
}

impl Body for PassedBody {
    type Data = Bytes;
    type Error = PassError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.timer.as_mut().reset(Instant::now() + PIECE_MAX);
            return Poll::Ready(frame.map(|frame| frame.map_err(PassError::from)));
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Some(Err("the node sent nothing for too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns a body that is sent whole.
pub(super) fn whole(bytes: impl Into<Bytes>) -> RouteBody {
    Either::Left(Full::new(bytes.into()))
}
