//! Answers of a provider that are passed on as they come, and looked at for the tokens that they
//! say were used.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aod_egress::UsageFields;
use aod_launch::TokenCounts;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap};
use hyper::{Response, StatusCode};

use super::events::Events;
use super::figures::Figures;
use super::gathered::Gathered;
use super::http::Body;
use super::marks::Marks;
use super::tokens::Tokens;

/// Looks at answers.
pub(super) struct Counter {
    fields: Arc<UsageFields>,
    marks: Option<Marks>,
    tokens: Tokens,
}

impl Counter {
    pub(super) fn new(fields: UsageFields, tokens: Tokens) -> Self {
        Self {
            marks: Marks::of(&fields),
            fields: Arc::new(fields),
            tokens,
        }
    }

    /// The same answer, whose figures are counted when it is passed on.
    pub(super) fn count(&self, answer: Response<Incoming>) -> Response<Body> {
        let (head, body) = answer.into_parts();
        let format = Format::of(head.status, &head.headers);
        if format == Some(Format::Encoded) {
            self.tokens.add(TokenCounts {
                unread: 1,
                ..TokenCounts::default()
            });
        }
        let figures = || Figures::new(self.fields.clone());
        let reader = match format {
            Some(Format::Json) => Reader::Json(figures()),
            Some(Format::Events) => Reader::Events(Events::new(figures(), self.marks.clone())),
            Some(Format::Encoded) | None => {
                return Response::from_parts(head, Gathered::new(body).boxed());
            }
        };
        let counted = Counted {
            body,
            reader: Box::new(reader),
            told: TokenCounts::default(),
            tokens: self.tokens.clone(),
        };
        Response::from_parts(head, Gathered::new(counted).boxed())
    }
}

/// How an answer that may have figures is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Events,
    /// In an encoding that nobody asked for.
    Encoded,
}

impl Format {
    fn of(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let value = |name| headers.get(name).and_then(|it| it.to_str().ok());
        let media_type = value(header::CONTENT_TYPE)?.to_ascii_lowercase();
        let media_type = media_type.split(';').next()?.trim();
        let format = match media_type.split_once('/')? {
            ("text", "event-stream") => Self::Events,
            (_, subtype) if subtype.contains("json") => Self::Json,
            _ => return None,
        };
        let encoding = value(header::CONTENT_ENCODING).unwrap_or("identity");
        match status.is_success() {
            true if encoding.trim().eq_ignore_ascii_case("identity") => Some(format),
            true => Some(Self::Encoded),
            false => None,
        }
    }
}

enum Reader {
    Json(Figures),
    Events(Events),
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) -> TokenCounts {
        match self {
            Self::Json(figures) => {
                figures.take(bytes);
                figures.counts()
            }
            Self::Events(events) => {
                events.take(bytes);
                events.counts()
            }
        }
    }
}

/// A body whose figures are counted.
struct Counted {
    body: Incoming,
    reader: Box<Reader>,
    /// What of its figures is counted.
    told: TokenCounts,
    tokens: Tokens,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    let counts = this.reader.take(bytes);
                    this.tokens.add(counts.since(this.told));
                    this.told = counts;
                }
                // Whoever asked may be done once it has this.
                if this.body.is_end_stream() {
                    this.tokens.tell();
                }
            }
            Poll::Ready(_) => this.tokens.tell(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Also where nobody wants the rest of it.
impl Drop for Counted {
    fn drop(&mut self) {
        self.tokens.tell();
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};

    use super::*;

    #[test]
    fn answers_are_read_that_have_figures() {
        for (status, media_type, encoding, wanted) in [
            (200, "application/json", "", Some(Format::Json)),
            (
                200,
                "application/json; charset=utf-8",
                "identity",
                Some(Format::Json),
            ),
            (201, "application/vnd.x+JSON", "", Some(Format::Json)),
            (200, "application/x-ndjson", "", Some(Format::Json)),
            (
                200,
                "Text/Event-Stream;charset=utf-8",
                "",
                Some(Format::Events),
            ),
            (200, "text/event-stream", "gzip", Some(Format::Encoded)),
            (200, "text/plain", "gzip", None),
            (200, "image/png", "", None),
            (429, "application/json", "", None),
            (200, "", "", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, media_type.parse().unwrap());
            if !encoding.is_empty() {
                headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Format::of(status, &headers), wanted, "{media_type}");
        }
    }
}
