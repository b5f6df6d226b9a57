//! The requests of the crowd, written into a reused buffer.

use super::buyer::{Buyer, BuyerStep};

/// The constant parts of the requests to one drop.
pub(super) struct Requests {
    host: String,
    drop_read: Vec<u8>,
    order_head: Vec<u8>,
    order_body: String,
    /// `rush-<seed>-`: before the buyer's number.
    who: String,
}

impl Requests {
    /// The requests of the crowd of a seed to one drop.
    pub(super) fn new(authority: &str, drop: u32, seed: u64) -> Requests {
        let who = format!("rush-{seed}-");
        let host = format!(" HTTP/1.1\r\nHost: {authority}\r\n");
        let order_head =
            format!("POST /v1/drops/{drop}/orders{host}Content-Type: application/json\r\nIdempotency-Key: {who}");
        Requests {
            drop_read: format!("GET /v1/drops/{drop}{host}\r\n").into_bytes(),
            order_head: order_head.into_bytes(),
            order_body: format!("{{\"buyer\":\"{who}"),
            host,
            who,
        }
    }

    /// The request that reads the drop.
    pub(super) fn read_drop(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.drop_read);
    }

    /// The request of a buyer's step.
    pub(super) fn step(&self, buyer: &Buyer, step: BuyerStep, out: &mut Vec<u8>) {
        out.clear();
        match step {
            BuyerStep::Order | BuyerStep::Repeat | BuyerStep::AskTwice => self.order(buyer, step, out),
            BuyerStep::CheckOut => self.check_out(buyer, out),
            BuyerStep::Cancel => {
                self.order_line(b"POST", buyer, b"/cancel", out);
                out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
            }
            BuyerStep::ReadLapsed => {
                self.order_line(b"GET", buyer, b"", out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn order(&self, buyer: &Buyer, step: BuyerStep, out: &mut Vec<u8>) {
        const AFTER_THE_BUYER: &[u8] = b"\",\"quantity\":1}";
        let number = Digits::of(u64::from(buyer.number));
        let key = Digits::of(u64::from(buyer.key_of(step)));
        let bytes = self.order_body.len() + number.text().len() + AFTER_THE_BUYER.len();
        out.extend_from_slice(&self.order_head);
        out.extend_from_slice(number.text());
        out.push(b'-');
        out.extend_from_slice(key.text());
        out.extend_from_slice(b"\r\nContent-Length: ");
        out.extend_from_slice(Digits::of(bytes as u64).text());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(self.order_body.as_bytes());
        out.extend_from_slice(number.text());
        out.extend_from_slice(AFTER_THE_BUYER);
    }

    fn check_out(&self, buyer: &Buyer, out: &mut Vec<u8>) {
        let body = format!("{{\"contact\":{{\"email\":\"{}{}@example.com\"}}}}", self.who, buyer.number);
        self.order_line(b"POST", buyer, b"/checkout", out);
        out.extend_from_slice(b"Content-Type: application/json\r\nContent-Length: ");
        out.extend_from_slice(Digits::of(body.len() as u64).text());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body.as_bytes());
    }

    /// The request line of an order's route, and the host.
    fn order_line(&self, method: &[u8], buyer: &Buyer, action: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(method);
        out.extend_from_slice(b" /v1/orders/");
        if let Some(held) = buyer.order {
            out.extend_from_slice(held.id.to_string().as_bytes());
        }
        out.extend_from_slice(action);
        out.extend_from_slice(self.host.as_bytes());
    }
}

/// A number in decimal, without an allocation.
struct Digits {
    bytes: [u8; 20],
    from: usize,
}

impl Digits {
    fn of(mut value: u64) -> Digits {
        let mut digits = Digits { bytes: [b'0'; 20], from: 20 };
        loop {
            digits.from -= 1;
            digits.bytes[digits.from] += u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
            if value == 0 {
                return digits;
            }
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_whole_http_request() {
        let requests = Requests::new("127.0.0.1:8080", 7, 42);
        let mut out = b"left over".to_vec();
        requests.step(&Buyer::new(1_234, 0), BuyerStep::AskTwice, &mut out);
        let expected = "POST /v1/drops/7/orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n\
                        Idempotency-Key: rush-42-1234-1\r\nContent-Length: 37\r\n\r\n\
                        {\"buyer\":\"rush-42-1234\",\"quantity\":1}";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn content_length_is_the_length_of_the_body() {
        let requests = Requests::new("h:1", u32::MAX, u64::MAX);
        let mut out = Vec::new();
        for step in [BuyerStep::Order, BuyerStep::CheckOut, BuyerStep::Cancel] {
            requests.step(&Buyer::new(u32::MAX, 9), step, &mut out);
            let text = String::from_utf8_lossy(&out).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{text}");
        }
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for value in [0, 9, 10, 1_000, u64::MAX] {
            assert_eq!(Digits::of(value).text(), value.to_string().as_bytes());
        }
    }
}
