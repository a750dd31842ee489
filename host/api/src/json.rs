//! Reading JSON with nothing lost: a key that stands twice in an object is told, where other
//! parsers take the last value and say nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::problem::{Loc, MOST_PROBLEMS, Problem};

/// Reads a body, with a problem for each key that stands twice.
///
/// # Errors
/// It is no JSON.
pub(crate) fn read(bytes: &[u8]) -> Result<(Value, Vec<Problem>), serde_json::Error> {
    let mut twice = Vec::new();
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let reader = Reader {
        loc: &Loc::Root("body"),
        twice: &mut twice,
    };
    let value = reader.deserialize(&mut from)?;
    from.end()?;
    Ok((value, twice))
}

/// Reads the value at a place. It goes no deeper than the parser, which stops at 128 levels.
struct Reader<'a> {
    loc: &'a Loc<'a>,
    twice: &'a mut Vec<Problem>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let reader = Reader {
                loc: &Loc::Index(self.loc, list.len()),
                twice: &mut *self.twice,
            };
            match items.next_element_seed(reader)? {
                Some(item) => list.push(item),
                None => return Ok(list.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let loc = Loc::Key(self.loc, &key);
            let value = entries.next_value_seed(Reader {
                loc: &loc,
                twice: &mut *self.twice,
            })?;
            if map.contains_key(&key) && self.twice.len() < MOST_PROBLEMS {
                let msg = "Field given twice";
                self.twice
                    .push(Problem::new("value_error", &loc, msg, None));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_given_twice_is_told_with_its_place() {
        let body = br#"{"a":1,"b":[{"c":1,"c":2}],"a":2,"d":{"":0,"":0,"":0}}"#;
        let (value, twice) = read(body).unwrap();
        assert_eq!(value, json!({"a": 2, "b": [{"c": 2}], "d": {"": 0}}));
        let places: Vec<Value> = twice
            .iter()
            .map(|it| serde_json::to_value(it).unwrap()["loc"].take())
            .collect();
        let d = json!(["body", "d", ""]);
        assert_eq!(
            places,
            [
                json!(["body", "b", 0, "c"]),
                json!(["body", "a"]),
                d.clone(),
                d
            ]
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bytes in [
            &b""[..],
            b"{",
            b"{} x",
            b"{}{}",
            b"NaN",
            b"1e999",
            br#""\ud800""#,
            b"\xff",
            &b"[".repeat(100_000),
        ] {
            assert!(read(bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_reads(text in r#"[\[\]{}:,"0-9a-c.e+ -]{0,24}|true|null"#) {
            let theirs: Option<Value> = serde_json::from_str(&text).ok();
            let ours = read(text.as_bytes()).ok().map(|(value, _)| value);
            prop_assert_eq!(ours, theirs);
        }
    }
}
