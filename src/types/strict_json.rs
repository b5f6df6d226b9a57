//! JSON read without ambiguity: a member that is there twice is a mistake, not a choice of the reader (RFC 8259, 4;
//! RFC 7493, 2.3). Else what one program checks and what the next one uses could be two values.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The reason why a text is not read.
#[derive(Debug)]
pub enum Mistake {
    NotJson(serde_json::Error),
    /// A member is there twice: its JSON pointer.
    Repeated(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::NotJson(error) => error.fmt(f),
            Mistake::Repeated(pointer) => write!(f, "the member {pointer:?} is there twice"),
        }
    }
}

/// Reads JSON whose objects have each member once.
///
/// # Errors
/// What is wrong, and where.
pub fn parse(body: &[u8]) -> Result<Value, Mistake> {
    let repeated = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Strict { place: &Place::Root, repeated: &repeated }.deserialize(&mut deserializer);
    let read = read.and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| repeated.take().map_or(Mistake::NotJson(error), Mistake::Repeated))
}

/// Returns a number without a fraction in any spelling: to JSON Schema `2`, `2.0` and `2e0` are the same integer.
#[must_use]
pub fn whole_number(value: &Value) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    // Up to 2^53 every integer has its own float.
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_991.0)?;
    format!("{number:.0}").parse().ok()
}

/// The place of a value in the text. It lies on the stack, so that a place costs nothing until a mistake names it.
enum Place<'p> {
    Root,
    Member(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

impl Place<'_> {
    /// Returns the JSON pointer (RFC 6901).
    fn pointer(&self) -> String {
        match self {
            Place::Root => String::new(),
            Place::Member(parent, name) => {
                format!("{}/{}", parent.pointer(), name.replace('~', "~0").replace('/', "~1"))
            }
            Place::Item(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

/// Reads the value at a place.
struct Strict<'p> {
    place: &'p Place<'p>,
    /// The pointer of the first repeated member.
    repeated: &'p RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let place = Place::Item(self.place, list.len());
            let Some(item) = items.next_element_seed(Strict { place: &place, repeated: self.repeated })? else { break };
            list.push(item);
        }
        Ok(list.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let place = Place::Member(self.place, &name);
            if map.contains_key(&name) {
                self.repeated.replace(Some(place.pointer()));
                return Err(A::Error::custom("a member is there twice"));
            }
            let value = members.next_value_seed(Strict { place: &place, repeated: self.repeated })?;
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_json_can_say_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,0.5,"x\u00e9",true,false,null,{}],"b":{"c":[]},"n":18446744073709551615}"#;
        assert_eq!(parse(text.as_bytes()).expect("JSON"), serde_json::from_str::<Value>(text).expect("JSON"));
    }

    #[test]
    fn a_member_that_is_there_twice_is_a_mistake_with_its_place_at_any_depth() {
        for (text, place) in [
            (r#"{"a":1,"a":1}"#, "/a"),
            (r#"{"x":[{},{"b":1,"c":2,"b":3}]}"#, "/x/1/b"),
            (r#"{"a":1,"\u0061":2}"#, "/a"),
            (r#"{"":{"~/":1,"~/":1}}"#, "//~0~1"),
            (r#"{"a":1,"a":{"b":1,"b":2}}"#, "/a"),
        ] {
            let mistake = parse(text.as_bytes()).expect_err(text);
            assert!(matches!(&mistake, Mistake::Repeated(pointer) if pointer == place), "{text}: {mistake}");
        }
        for text in ["", "{", r#"{"a":1} x"#, r#"{"a":1,}"#, r#"[1,"#] {
            assert!(matches!(parse(text.as_bytes()), Err(Mistake::NotJson(_))), "{text}");
        }
    }
}
