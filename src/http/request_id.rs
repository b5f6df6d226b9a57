//! The id of a request, which its response, its problem and its line in the access log have.

use hyper::header::HeaderValue;

use crate::types::hex;

/// The id of a request.
#[derive(Clone, Debug)]
pub enum RequestId {
    /// The value of the header that the client sent, which is valid.
    Given(HeaderValue),
    /// A number that its worker gave it. Its text is made where it is needed: most requests need it once.
    Numbered(u64),
}

impl RequestId {
    /// Returns the client's id if it is valid: 1 to 64 letters, digits, `-`, `_` or `.`.
    #[must_use]
    pub fn given(value: &HeaderValue) -> Option<RequestId> {
        let bytes = value.as_bytes();
        let is_valid = (1..=64).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        is_valid.then(|| RequestId::Given(value.clone()))
    }

    /// Returns the id as a header's value; a number as 16 hexadecimal digits.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        match self {
            RequestId::Given(value) => value.clone(),
            RequestId::Numbered(number) => {
                HeaderValue::from_bytes(&hex::of_u64(*number)).unwrap_or(HeaderValue::from_static("none"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_id_is_kept_if_it_is_valid_and_a_number_is_16_digits() {
        let given = |text| RequestId::given(&HeaderValue::from_static(text)).map(|id| id.header());
        assert_eq!(given("a-B_3."), Some(HeaderValue::from_static("a-B_3.")));
        assert_eq!([given(""), given("a b"), given("a\"b")], [None, None, None]);
        assert_eq!(RequestId::Numbered(0x2a).header(), "000000000000002a");
        let long = |length| RequestId::given(&HeaderValue::from_str(&"x".repeat(length)).expect("valid")).is_some();
        assert_eq!([long(64), long(65)], [true, false]);
    }
}
