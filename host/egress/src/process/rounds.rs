//! Requests to a model: how many a turn may make is held here, where each of them passes.
//!
//! What counts is a request that offers the model tools, as each step of an agent's work does. What
//! CLIs ask besides, such as a title for the conversation or how many tokens a text has, offers none.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aod_launch::{Allowance, AllowanceReport};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{self, HeaderMap};
use hyper::{Request, StatusCode};
use memchr::memchr2;
use tokio::sync::oneshot;

use super::front::Fronted;
use super::gateway::Refused;
use super::http::Body;
use super::reporter::tell_starter;

/// The key under which requests have tools.
const TOOLS: &[u8] = b"tools";

/// Counts requests. Clones count together.
#[derive(Clone)]
pub(super) struct Rounds(Arc<Allowance>);

/// So much of a request is read before anything of it is sent, at most.
const MOST_AHEAD: usize = 8 << 20;

/// Says how many requests the turn may make, where one was not let through.
pub(super) type Stopped = oneshot::Receiver<u32>;

impl Rounds {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self(Arc::new(allowance))
    }

    /// The same request. Where it counts, and another one was the last that may be made meanwhile, its
    /// upstream never gets the whole of it.
    ///
    /// # Errors
    /// Where it counts, and all were made that may be: its upstream gets nothing of it.
    pub(super) async fn watch(
        &self,
        request: Request<Body>,
    ) -> Result<(Request<Body>, Stopped), Refused> {
        let (sender, stopped) = oneshot::channel();
        if counts_tokens(request.uri().path()) {
            return Ok((request, stopped));
        }
        let (head, mut body) = request.into_parts();
        let begin = match is_encoded(&head.headers) {
            // What cannot be read counts.
            true => Scan::Found,
            false => Scan::default(),
        };
        if self.0.is_spent().unwrap_or_default() {
            body = self.look_ahead(body, begin).await?;
        }
        let watched = Watched {
            body,
            scan: begin,
            rounds: self.clone(),
            passes: Passes::Unknown,
            sender: Some(sender),
        };
        Ok((Request::from_parts(head, watched.boxed()), stopped))
    }

    /// Reads a body before anything of it is sent, as all requests are made that may be; gives the same
    /// body where there are no tools in it, or not among the first of its bytes.
    async fn look_ahead(&self, mut body: Body, mut scan: Scan) -> Result<Body, Refused> {
        let mut ahead = VecDeque::new();
        let mut length = 0;
        let mut refused = None;
        while let Some(frame) = body.frame().await {
            let Some(data) = frame.map_err(broken_off)?.into_data().ok() else {
                continue;
            };
            if refused.is_some() {
                // Read to its end: whoever still sends would not hear the answer.
                continue;
            }
            if scan.take(&data) {
                refused = self
                    .0
                    .is_spent()
                    .unwrap_or_default()
                    .then(|| self.spend())
                    .flatten();
            }
            if refused.is_some() {
                ahead.clear();
                continue;
            }
            length += data.len();
            ahead.push_back(Frame::data(data));
            // Or the next turn has begun.
            if length > MOST_AHEAD || scan == Scan::Found {
                break;
            }
        }
        match refused {
            Some(most) => Err(refused_after(most)),
            None => Ok(Fronted {
                front: ahead,
                rest: Some(body),
            }
            .boxed()),
        }
    }

    /// Counts a request; says how many there may be where it is one too many, and has told so.
    fn spend(&self) -> Option<u32> {
        // What cannot be counted is not counted.
        let most = self.0.spend().ok()?.err()?;
        tell_starter(&AllowanceReport::RequestsSpent { most });
        Some(most)
    }
}

/// What is said to whoever asks once more. Clients take this status for an end.
pub(super) fn refused_after(most: u32) -> Refused {
    Refused(
        StatusCode::BAD_REQUEST,
        "limit",
        format!("the turn has made the {most} requests to its model that it may (max_rounds)"),
    )
}

fn broken_off(_: hyper::Error) -> Refused {
    let message = "the request broke off".to_owned();
    Refused(StatusCode::BAD_REQUEST, "request", message)
}

/// Whether a path is one that counts the tokens of a request, rather than making it.
fn counts_tokens(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.to_ascii_lowercase().contains("count")
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING);
    encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// A request's body on its way.
struct Watched {
    body: Body,
    scan: Scan,
    rounds: Rounds,
    passes: Passes,
    sender: Option<oneshot::Sender<u32>>,
}

/// Whether a body is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passes {
    /// That is still to be seen.
    Unknown,
    Yes,
    /// The turn has made so many requests.
    No(u32),
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        loop {
            let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
            if this.passes == Passes::Unknown {
                let data = frame.as_ref().and_then(|it| it.as_ref().ok()?.data_ref());
                if this.scan.take(data.map_or(&[], |data| &data[..])) {
                    this.passes = this.rounds.spend().map_or(Passes::Yes, Passes::No);
                }
            }
            let Passes::No(most) = this.passes else {
                return Poll::Ready(frame);
            };
            // Read to its end: whoever still sends would not hear the answer.
            if matches!(frame, None | Some(Err(_))) {
                if let Some(sender) = this.sender.take() {
                    let _ = sender.send(most);
                }
                // The request is given up now, which drops this.
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !matches!(self.passes, Passes::No(_)) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Looks for tools in JSON that passes by: a list under the key `tools` of the outermost object that
/// is not empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scan {
    #[default]
    Begin,
    At {
        /// How many objects and lists are open.
        depth: u32,
        place: JsonPosition,
    },
    Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonPosition {
    /// Between what means something.
    Between,
    /// In front of a key of the outermost object.
    BeforeKey,
    /// In such a key, which begins as [`TOOLS`] does, so far.
    Key(usize),
    Text,
    Escape,
    /// Behind the key, and whether its list has begun.
    Tools(bool),
}

impl Scan {
    /// Reads on; says whether there are tools.
    fn take(&mut self, mut bytes: &[u8]) -> bool {
        while let (Some((&byte, rest)), false) = (bytes.split_first(), *self == Self::Found) {
            if let Self::At {
                place: JsonPosition::Text,
                ..
            } = self
            {
                // Most of a request is text.
                let Some(end) = memchr2(b'"', b'\\', bytes) else {
                    return false;
                };
                self.step(bytes[end]);
                bytes = &bytes[end + 1..];
            } else {
                self.step(byte);
                bytes = rest;
            }
        }
        *self == Self::Found
    }

    fn step(&mut self, byte: u8) {
        let (depth, place) = match *self {
            Self::Begin => (0, JsonPosition::Between),
            Self::At { depth, place } => (depth, place),
            Self::Found => return,
        };
        let (depth, place) = match (place, byte) {
            (JsonPosition::Escape, _) => (depth, JsonPosition::Text),
            (JsonPosition::Text | JsonPosition::Key(_), b'\\') => (depth, JsonPosition::Escape),
            (JsonPosition::Key(read), b'"') if read == TOOLS.len() => {
                (depth, JsonPosition::Tools(false))
            }
            (JsonPosition::Text | JsonPosition::Key(_), b'"') => (depth, JsonPosition::Between),
            (JsonPosition::Text, _) => (depth, JsonPosition::Text),
            (JsonPosition::Key(read), byte) => match TOOLS.get(read) == Some(&byte) {
                true => (depth, JsonPosition::Key(read + 1)),
                false => (depth, JsonPosition::Text),
            },
            (JsonPosition::Tools(_), b' ' | b'\t' | b'\r' | b'\n')
            | (JsonPosition::Tools(false), b':') => (depth, place),
            (JsonPosition::Tools(false), b'[') => (depth + 1, JsonPosition::Tools(true)),
            (JsonPosition::Tools(true), b']') => (depth.saturating_sub(1), JsonPosition::Between),
            (JsonPosition::Tools(true), _) => {
                *self = Self::Found;
                return;
            }
            (_, b'"') if place == JsonPosition::BeforeKey => (depth, JsonPosition::Key(0)),
            (_, b'"') => (depth, JsonPosition::Text),
            (_, b'{') if depth == 0 => (1, JsonPosition::BeforeKey),
            (_, b'{' | b'[') => (depth.saturating_add(1), JsonPosition::Between),
            (_, b'}' | b']') => (depth.saturating_sub(1), JsonPosition::Between),
            (_, b',') if depth == 1 => (1, JsonPosition::BeforeKey),
            _ if place == JsonPosition::BeforeKey => (depth, place),
            _ => (depth, JsonPosition::Between),
        };
        *self = Self::At { depth, place };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn has_tools(text: &str, size: usize) -> bool {
        let mut scan = Scan::default();
        text.as_bytes().chunks(size).any(|part| scan.take(part))
    }

    #[test]
    fn tools_are_seen_where_requests_have_them() {
        for (text, wanted) in [
            (r#"{"model":"m","tools":[{"name":"x"}]}"#, true),
            (r#"{"tools" : [ "a"]}"#, true),
            (r#"{"messages":[{"a":[1,{}]}],"tools":[{}]}"#, true),
            (r#"{"text":"\"tools\":[{}]","n":1}"#, false),
            (r#"{"a":{"tools":[{}]}}"#, false),
            (r#"{"a":[{"tools":[{}]}]}"#, false),
            (r#"{"tools":[]}"#, false),
            (r#"{"tools":[],"tools":[1]}"#, true),
            (r#"{"tools":null,"x":[1]}"#, false),
            (r#"{"tools":{},"x":[1]}"#, false),
            (
                r#"{"toolsx":[1],"xtools":[1],"tool":[1],"\u0074ools":[1]}"#,
                false,
            ),
            (r#"["tools",[1]]"#, false),
            (r#""tools""#, false),
            ("", false),
            ("tools", false),
        ] {
            for size in [1, 3, 1000] {
                assert_eq!(has_tools(text, size), wanted, "{text} {size}");
            }
        }
    }

    #[test]
    fn tokens_are_counted_without_a_request() {
        assert!(counts_tokens("/v1/messages/count_tokens"));
        assert!(counts_tokens("/v1beta/models/m:countTokens"));
        assert!(!counts_tokens("/v1/accounts/messages"));
        assert!(!counts_tokens("/v1beta/models/m:streamGenerateContent"));
    }

    /// What a parser of the whole says.
    fn parsed(text: &str) -> Option<bool> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let tools = value.as_object()?.get("tools");
        Some(
            tools
                .and_then(|it| it.as_array())
                .is_some_and(|it| !it.is_empty()),
        )
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i32>().prop_map(Into::into),
            "[a-z\"\\\\\\[\\]{}:, ]{0,8}".prop_map(Into::into),
            Just("tools".into()),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof![Just("tools".to_owned()), "[a-z\"\\\\]{0,6}"];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::vec((key, inner), 0..4)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_a_parser_says(value in json(), size in 1_usize..9) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                if let Some(wanted) = parsed(&text) {
                    prop_assert_eq!(has_tools(&text, size), wanted, "{}", text);
                }
            }
        }

        #[test]
        fn any_bytes_can_be_read(text in "[\\[\\]{}\":,\\\\tols ]{0,64}", size in 1_usize..9) {
            prop_assert_eq!(has_tools(&text, size), has_tools(&text, 1000));
        }
    }
}
