//! A body of which the beginning was read already.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// What was read of a body, and what follows, where there may be more.
pub(super) struct Fronted<B> {
    pub(super) front: VecDeque<Frame<Bytes>>,
    pub(super) rest: Option<B>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Fronted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        match (this.front.pop_front(), &mut this.rest) {
            (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
            (None, Some(rest)) => Pin::new(rest).poll_frame(context),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.front.is_empty() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.front.iter().filter_map(Frame::data_ref);
        let front: usize = data.map(Bytes::len).sum();
        let front = u64::try_from(front).unwrap_or(u64::MAX);
        let rest = self.rest.as_ref().map(HttpBody::size_hint);
        let rest = rest.unwrap_or_else(|| SizeHint::with_exact(0));
        let mut all = SizeHint::new();
        all.set_lower(rest.lower().saturating_add(front));
        if let Some(upper) = rest.upper() {
            all.set_upper(upper.saturating_add(front));
        }
        all
    }
}
