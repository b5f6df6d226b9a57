//! Webhooks of payment providers: sent to the shard of the order that they name. Their signatures are the nodes' business, so
//! a forged body reaches at most another shard, which refuses it.

use http_body_util::{BodyExt, Limited};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::body::{RouteBody, whole};
use super::forward::PassedRequest;
use super::problems::RouteProblem;
use super::view::ShardsView;
use super::worker::RouteWorker;
use crate::types::shard::{NumberedOrder, Shard};
use crate::types::{IgnoredReason, OrderId};

/// Places of an order's id in the bodies of providers.
const IDS: [&str; 3] = ["/data/order_id", "/data/object/metadata/order_id", "/data/object/client_reference_id"];
/// Place of an order's number in a body of PayOS.
const NUMBER: &str = "/data/orderCode";
/// An answer to a webhook is some hundred bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Passes a webhook on to the shard of its order. One that names no order, such as a refund, which names its payment alone, goes
/// to every shard: the one that has the payment applies it, the others keep it as an event of an order that they do not have.
///
/// # Errors
/// A shard does not answer: the provider sends the webhook again.
pub(super) async fn receive(
    worker: &RouteWorker,
    request: &PassedRequest,
) -> Result<Response<RouteBody>, RouteProblem> {
    let places = places(&worker.view, &request.body);
    let mut first = None;
    for place in places {
        let response = worker.passed(place, request).await?;
        if response.status() != StatusCode::OK {
            return Ok(response);
        }
        let (response, is_ignored) = read(worker, place, response).await?;
        if !is_ignored {
            return Ok(response);
        }
        first = first.or(Some(response));
    }
    first.ok_or(RouteProblem::ShardNotNamed)
}

/// Returns the shards that a webhook goes to, until one of them applies it.
fn places(view: &ShardsView, body: &[u8]) -> Vec<usize> {
    let all = || (0..view.shards.len()).collect();
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return all() };
    let by_id = || {
        IDS.iter()
            .filter_map(|pointer| OrderId::parse(body.pointer(pointer)?.as_str()?))
            .next()
            .map(|id| id.secret.shard())
    };
    let by_number = || NumberedOrder::of(body.pointer(NUMBER)?.as_u64()?).map(|order| order.shard);
    let Some(shard) = by_id().or_else(by_number) else { return all() };
    // An id that was made before there were shards names a random one; its order is of shard 0.
    let mut places: Vec<usize> = [shard, Shard::SINGLE].iter().filter_map(|shard| view.find(*shard)).collect();
    places.dedup();
    if places.is_empty() { all() } else { places }
}

/// Reads a node's answer. Returns it, and whether the shard has applied nothing.
async fn read(
    worker: &RouteWorker,
    place: usize,
    response: Response<RouteBody>,
) -> Result<(Response<RouteBody>, bool), RouteProblem> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|_| RouteProblem::unavailable(worker.view.shards[place].shard))?.to_bytes();
    let result: Value = serde_json::from_slice(&body).unwrap_or_default();
    let may_be_elsewhere = [IgnoredReason::UnknownOrder, IgnoredReason::UnknownPayment];
    let reason = result["reason"].as_str();
    let is_ignored = may_be_elsewhere.iter().any(|unknown| reason == Some(unknown.as_str()));
    Ok((Response::from_parts(parts, whole(body)), is_ignored))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::route::view::tests::view_of;
    use crate::types::Seq;
    use crate::types::order_id::OrderSecret;
    use crate::types::shard::NumberSeries;

    #[test]
    fn a_webhook_goes_to_the_shard_of_its_order_or_to_all() {
        let view = view_of(&[(0, 1), (1, 1), (7, 1)]);
        let seq = Seq::new(9).expect("in range");
        let id = |shard| OrderId { seq, secret: OrderSecret::from_random(Shard::new(shard), [3; 10]) }.to_string();
        let number = |shard| Shard::new(shard).order_number(NumberSeries::of(&[1; 16], 1), seq);
        for (body, expected) in [
            (json!({ "data": { "order_id": id(7) } }), vec![2, 0]),
            (json!({ "data": { "object": { "metadata": { "order_id": id(1) } } } }), vec![1, 0]),
            (json!({ "data": { "object": { "client_reference_id": id(0) } } }), vec![0]),
            (json!({ "data": { "orderCode": number(7) } }), vec![2, 0]),
            (json!({ "data": { "orderCode": 12 } }), vec![0]),
            (json!({ "data": { "order_id": id(9) } }), vec![0]),
            (json!({ "data": { "object": { "payment_intent": "pi_1" } } }), vec![0, 1, 2]),
            (json!("x"), vec![0, 1, 2]),
        ] {
            assert_eq!(places(&view, body.to_string().as_bytes()), expected, "{body}");
        }
        assert_eq!(places(&view, b"not JSON"), [0, 1, 2]);
    }
}
