//! Request bodies: read once, checked whole, every problem reported at once.
//!
//! The reply to a bad body is the public API's: 422 with `detail` as a list of
//! `{"type","loc","msg","input"}`. Deserialising with serde would stop at the first problem, so
//! the fields are taken one by one from the parsed JSON and what is wrong is noted.

use std::cell::RefCell;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use axum::http::header::EXPECT;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::Limits;
use crate::error::ApiError;

/// One thing wrong with a body.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// A word for programs, such as `missing` or `string_too_long`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where: `["body", "mcp_servers", 0, "name"]`.
    loc: Vec<Value>,
    /// What, for people.
    msg: String,
    /// What was given; `null` where that may be a secret.
    input: Value,
}

/// The problems found so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// The value that was read, if nothing was wrong with the body.
    ///
    /// # Errors
    /// 422 with every problem.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, ApiError> {
        let problems = self.0.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(ApiError::invalid(problems)),
        }
    }
}

/// A parsed body.
#[derive(Debug)]
pub struct Body {
    /// The bytes as they came, for idempotency.
    pub bytes: Bytes,
    value: Value,
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request).await?;
        // The parser's own message would quote the position only, but nothing more is promised.
        let value =
            serde_json::from_slice(&bytes).map_err(|_| ApiError::bad_request("Invalid JSON"))?;
        Ok(Self { bytes, value })
    }
}

/// The limit where the server has set none.
const DEFAULT_LIMIT: usize = 2 << 20;
/// How much of a body that is too large is read and thrown away, in multiples of the limit.
const DRAINED: usize = 8;

/// Reads a body. One that is too large is read on for a while before it is refused: a connection
/// that is closed while its client still writes is reset, and the client never sees the reply.
async fn read(request: Request) -> Result<Bytes, ApiError> {
    let limit = request
        .extensions()
        .get::<Limits>()
        .map_or(DEFAULT_LIMIT, |limits| limits.body);
    // Such a client waits for leave before it writes, and is refused instead.
    let waits = request.headers().contains_key(EXPECT);
    let announced = request.body().size_hint().lower();
    let too_large = || ApiError::too_large("the request body is larger than the server takes");
    if waits && usize::try_from(announced).is_ok_and(|announced| announced > limit) {
        return Err(too_large());
    }
    let mut stream = request.into_body().into_data_stream();
    let mut whole = BytesMut::new();
    let mut seen = 0usize;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk
            .map_err(|_| ApiError::bad_request("the request body ended before it was whole"))?;
        seen = seen.saturating_add(chunk.len());
        if seen <= limit {
            whole.extend_from_slice(&chunk);
        } else {
            whole = BytesMut::new();
        }
        if seen > limit.saturating_mul(DRAINED) {
            break;
        }
    }
    if seen > limit {
        Err(too_large())
    } else {
        Ok(whole.freeze())
    }
}

impl Body {
    /// The body as an object to take fields from.
    pub fn object<'a>(&'a self, problems: &'a Problems) -> Option<Object<'a>> {
        Field {
            value: &self.value,
            loc: Loc::Root,
            problems,
            secret: false,
        }
        .object()
    }
}

/// The way from the body to a field, kept on the stack of those who descend.
#[derive(Clone, Copy, Debug)]
enum Loc<'a> {
    Root,
    Key(&'a Loc<'a>, &'a str),
    Index(&'a Loc<'a>, usize),
}

impl Loc<'_> {
    fn path(&self) -> Vec<Value> {
        match self {
            Self::Root => vec![json!("body")],
            Self::Key(parent, key) => {
                let mut path = parent.path();
                path.push(json!(key));
                path
            }
            Self::Index(parent, index) => {
                let mut path = parent.path();
                path.push(json!(index));
                path
            }
        }
    }
}

/// A value in a body, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    value: &'a Value,
    loc: Loc<'a>,
    problems: &'a Problems,
    secret: bool,
}

impl<'a> Field<'a> {
    /// Notes that this value is wrong.
    pub fn problem(&self, kind: &'static str, msg: impl Into<String>) {
        let input = match self.value {
            _ if self.secret => Value::Null,
            Value::String(text) if text.len() > 200 => {
                json!(format!("{}…", text.chars().take(100).collect::<String>()))
            }
            Value::Array(_) | Value::Object(_) => Value::Null,
            scalar => scalar.clone(),
        };
        self.problems.0.borrow_mut().push(Problem {
            kind,
            loc: self.loc.path(),
            msg: msg.into(),
            input,
        });
    }

    /// The same value, never repeated in a reply.
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// An object.
    pub fn object(self) -> Option<Object<'a>> {
        match self.value {
            Value::Object(map) => Some(Object { map, field: self }),
            _ => {
                self.problem("dict_type", "Input should be an object");
                None
            }
        }
    }

    /// A string of `min` to `max` characters.
    pub fn string(&self, min: usize, max: usize) -> Option<&'a str> {
        let Value::String(text) = self.value else {
            self.problem("string_type", "Input should be a string");
            return None;
        };
        if text.contains('\0') {
            self.problem("value_error", "Input should not contain a NUL character");
            return None;
        }
        // Bytes bound characters from above, so long texts are counted only where it matters.
        if text.len() < min || (text.len() < min * 4 && text.chars().count() < min) {
            let plural = if min == 1 { "" } else { "s" };
            self.problem(
                "string_too_short",
                format!("String should have at least {min} character{plural}"),
            );
            return None;
        }
        if text.len() > max && text.chars().count() > max {
            self.problem(
                "string_too_long",
                format!("String should have at most {max} characters"),
            );
            return None;
        }
        Some(text)
    }

    /// A name for people, of 1 to 200 characters.
    pub fn name(&self) -> Option<String> {
        self.string(1, 200).map(str::to_owned)
    }

    /// A whole number from `min` to `max`.
    pub fn integer(&self, min: i64, max: i64) -> Option<i64> {
        let Some(number) = self.value.as_i64() else {
            self.problem("int_type", "Input should be a whole number");
            return None;
        };
        if number < min {
            self.problem(
                "greater_than_equal",
                format!("Input should be greater than or equal to {min}"),
            );
            return None;
        }
        if number > max {
            self.problem(
                "less_than_equal",
                format!("Input should be less than or equal to {max}"),
            );
            return None;
        }
        Some(number)
    }

    /// A UUID.
    pub fn uuid(&self) -> Option<Uuid> {
        let Value::String(text) = self.value else {
            self.problem("uuid_type", "Input should be a UUID");
            return None;
        };
        match Uuid::try_parse(text) {
            Ok(id) => Some(id),
            Err(_) => {
                self.problem("uuid_parsing", "Input should be a valid UUID");
                None
            }
        }
    }

    /// A list of at most `max` items, each read by `item`. Items that are wrong are noted and
    /// left out.
    pub fn list<T>(
        &self,
        max: usize,
        mut item: impl FnMut(Field<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(values) = self.value else {
            self.problem("list_type", "Input should be a list");
            return None;
        };
        if values.len() > max {
            self.problem("too_long", format!("List should have at most {max} items"));
            return None;
        }
        Some(
            values
                .iter()
                .enumerate()
                .filter_map(|(index, value)| {
                    let loc = Loc::Index(&self.loc, index);
                    item(Field {
                        value,
                        loc,
                        problems: self.problems,
                        secret: self.secret,
                    })
                })
                .collect(),
        )
    }

    /// An object from strings to what `entry` reads. Entries that are wrong are noted and left
    /// out.
    pub fn map<T>(
        &self,
        mut entry: impl FnMut(&str, Field<'_>) -> Option<T>,
    ) -> Option<IndexMap<String, T>> {
        let Value::Object(map) = self.value else {
            self.problem("dict_type", "Input should be an object");
            return None;
        };
        Some(
            map.iter()
                .filter_map(|(key, value)| {
                    let loc = Loc::Key(&self.loc, key);
                    let field = Field {
                        value,
                        loc,
                        problems: self.problems,
                        secret: self.secret,
                    };
                    Some((key.clone(), entry(key, field)?))
                })
                .collect(),
        )
    }
}

/// An object in a body, to take fields from.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    map: &'a Map<String, Value>,
    field: Field<'a>,
}

impl Object<'_> {
    /// A field that must be there and not null.
    pub fn required<T>(&self, key: &str, read: impl FnOnce(Field<'_>) -> Option<T>) -> Option<T> {
        match self.map.get(key) {
            Some(value) => read(self.at(key, value)),
            None => {
                self.at(key, &Value::Null)
                    .problem("missing", "Field required");
                None
            }
        }
    }

    /// A field that may be left out or be null. The outer `Option` is `None` where it is wrong.
    pub fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(Field<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => read(self.at(key, value)).map(Some),
        }
    }

    /// As [`Object::optional`], telling `null` (`Some(None)`) from left out (`None`), for updates.
    pub fn nullable<T>(
        &self,
        key: &str,
        read: impl FnOnce(Field<'_>) -> Option<T>,
    ) -> Option<Option<Option<T>>> {
        match self.map.get(key) {
            None => Some(None),
            Some(Value::Null) => Some(Some(None)),
            Some(value) => read(self.at(key, value)).map(|read| Some(Some(read))),
        }
    }

    /// Whether a field is given.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn at<'b>(&'b self, key: &'b str, value: &'b Value) -> Field<'b> {
        Field {
            value,
            loc: Loc::Key(&self.field.loc, key),
            problems: self.field.problems,
            secret: self.field.secret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(value: Value) -> Body {
        Body {
            bytes: Bytes::new(),
            value,
        }
    }

    #[test]
    fn all_problems_come_at_once_and_say_where() {
        let body = body(json!({"name": "", "servers": [{"x": 1}, {"name": 7}], "n": 99}));
        let problems = Problems::default();
        let object = body.object(&problems).unwrap();
        object.required("name", |f| f.string(1, 10).map(str::to_owned));
        object.required("gone", |f| f.uuid());
        object.optional("n", |f| f.integer(1, 10));
        object.required("servers", |f| {
            f.list(5, |item| {
                item.object()?
                    .required("name", |f| f.string(1, 5).map(str::to_owned))
            })
        });
        let found: Vec<_> = problems
            .0
            .into_inner()
            .into_iter()
            .map(|p| (p.kind, serde_json::to_string(&p.loc).unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                ("string_too_short", r#"["body","name"]"#.to_owned()),
                ("missing", r#"["body","gone"]"#.to_owned()),
                ("less_than_equal", r#"["body","n"]"#.to_owned()),
                ("missing", r#"["body","servers",0,"name"]"#.to_owned()),
                ("string_type", r#"["body","servers",1,"name"]"#.to_owned()),
            ]
        );
    }

    #[test]
    fn a_secret_is_not_repeated() {
        let body = body(json!({"env_vars": {"KEY": 17171717}}));
        let problems = Problems::default();
        let object = body.object(&problems).unwrap();
        object.optional("env_vars", |f| {
            f.secret()
                .map(|_, value| value.string(0, 10).map(str::to_owned))
        });
        let text = serde_json::to_string(&problems.0.into_inner()).unwrap();
        assert!(text.contains("KEY") && !text.contains("17171717"), "{text}");
    }

    fn request(length: usize, limit: usize) -> Request {
        let mut request = Request::new(axum::body::Body::from(vec![b' '; length]));
        request.extensions_mut().insert(Limits { body: limit });
        request
    }

    #[tokio::test]
    async fn a_body_is_as_large_as_the_limit_and_no_larger() {
        assert_eq!(read(request(100, 100)).await.unwrap().len(), 100);
        assert!(read(request(101, 100)).await.is_err());
        let mut asks = request(101, 100);
        asks.headers_mut()
            .insert(EXPECT, "100-continue".parse().unwrap());
        assert!(read(asks).await.is_err());
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let body = body(json!({"name": "äöüß"}));
        let problems = Problems::default();
        let object = body.object(&problems).unwrap();
        assert_eq!(
            object
                .required("name", |f| f.string(4, 4).map(str::to_owned))
                .unwrap(),
            "äöüß"
        );
        assert!(
            object
                .required("name", |f| f.string(5, 9).map(str::to_owned))
                .is_none()
        );
        assert!(
            object
                .required("name", |f| f.string(1, 3).map(str::to_owned))
                .is_none()
        );
    }
}
