//! Bodies of batches of orders.

use std::io::Write as _;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::requests::{self, OrderRequest};
use crate::api::problem::Problem;
use crate::api::validation::fields::BodyFields;
use crate::api::validation::rules;
use crate::types::DropId;

/// The most orders of a batch.
pub const BATCH_ORDERS_MAX: usize = 100;

/// An order of a batch.
pub struct BatchOrder {
    pub drop_id: DropId,
    pub key: Box<str>,
    pub order: OrderRequest,
}

/// `POST /v1/orders:batch`.
///
/// # Errors
/// `malformed`, or `validation` with every mistake of every order.
pub fn parse_batch(body: &[u8]) -> Result<Vec<BatchOrder>, Problem> {
    BodyFields::read(body, batch)
}

fn batch(fields: &mut BodyFields) -> Option<Vec<BatchOrder>> {
    fields.objects("orders", "NewBatchOrder", 1..=BATCH_ORDERS_MAX, batch_order)
}

fn batch_order(fields: &mut BodyFields) -> Option<BatchOrder> {
    let drop_id = fields.required("drop_id", rules::whole_u32(1));
    let key = fields.required("key", rules::idempotency_key());
    // No token proves the buyer.
    let order = requests::order(fields, None, &mut false);
    Some(BatchOrder { drop_id: DropId::new(drop_id?)?, key: key?, order: order? })
}

/// The result of an order: the status and the body that a request of its own would get.
pub struct BatchResult {
    pub status: StatusCode,
    /// An order, a place in the line, or a problem.
    pub body: Bytes,
    /// An earlier request with the key had the same effect.
    pub repeated: bool,
}

impl BatchResult {
    /// Returns the name of the member with the body.
    fn member(&self) -> &'static str {
        match self.status {
            StatusCode::CREATED => "order",
            StatusCode::ACCEPTED => "standby",
            _ => "problem",
        }
    }
}

/// Returns the body of a response with the result of each order, in their order.
#[must_use]
pub fn batch_body(results: &[BatchResult]) -> Bytes {
    let length = results.iter().map(|result| result.body.len().saturating_add(48)).sum();
    let mut body = Vec::with_capacity(length);
    body.extend_from_slice(b"{\"results\":[");
    for (index, result) in results.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _infallible = write!(body, "{comma}{{\"status\":{},\"{}\":", result.status.as_u16(), result.member());
        body.extend_from_slice(&result.body);
        body.extend_from_slice(if result.repeated { b",\"repeated\":true}" } else { b"}" });
    }
    body.extend_from_slice(b"]}");
    Bytes::from(body)
}

/// Returns the schemas of the request.
pub(super) fn request_schemas() -> Vec<(&'static str, Value)> {
    let mut order = BodyFields::describe(batch_order);
    order["properties"]["key"]["description"] = "The idempotency key of this order.".into();
    order["properties"]["standby"]["description"] = requests::STANDBY.into();
    // A batch has no token that proves its buyers.
    if let Some(required) = order["required"].as_array_mut() {
        required.push("buyer".into());
    }
    vec![("NewOrderBatch", BodyFields::describe(batch)), ("NewBatchOrder", order)]
}

/// Returns the schema of the response.
pub(super) fn response_schema() -> Value {
    let refer = |schema: &str| json!({ "$ref": format!("#/components/schemas/{schema}") });
    let result = json!({
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": { "type": "integer", "minimum": 201, "maximum": 599, "description":
                "The status that a request of its own would get. `order` comes with 201, `standby` with 202, else `problem`." },
            "order": refer("Order"),
            "standby": refer("Standby"),
            "problem": refer("OrderProblem"),
            "repeated": { "type": "boolean", "const": true, "description":
                "Present if an earlier request with the key had the same effect." },
        },
    });
    let results = json!({
        "type": "array", "minItems": 1, "maxItems": BATCH_ORDERS_MAX, "items": result,
        "description": "The result of each order, in the order of the request.",
    });
    json!({ "type": "object", "required": ["results"], "properties": { "results": results } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(body: &Value) -> Vec<String> {
        match parse_batch(body.to_string().as_bytes()) {
            Err(Problem::Validation(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            Err(problem) => panic!("{problem:?}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn every_mistake_of_every_order_is_told_with_its_place() {
        let good = json!({ "drop_id": 1, "key": "k", "buyer": "b", "quantity": 1 });
        let wrong = json!({ "drop_id": 0, "key": "a b", "quantity": 0, "contact": { "email": 7 }, "more": 1 });
        let expected = [
            "/orders/1/drop_id",
            "/orders/1/key",
            "/orders/1/buyer",
            "/orders/1/quantity",
            "/orders/1/contact/email",
            "/orders/1/more",
            "/orders/2",
        ];
        assert_eq!(mistakes(&json!({ "orders": [good, wrong, 7] })), expected);
        assert_eq!(mistakes(&json!({ "orders": [] })), ["/orders"]);
        assert_eq!(mistakes(&json!({})), ["/orders"]);
        assert_eq!(mistakes(&json!({ "orders": vec![good.clone(); BATCH_ORDERS_MAX + 1] })), ["/orders"]);
        assert_eq!(mistakes(&json!({ "orders": vec![good; BATCH_ORDERS_MAX] })), [""; 0]);
    }
}
