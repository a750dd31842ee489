//! Requests' bodies on their way: what of them is there already goes out in one piece, and one that may
//! have to be sent once more is kept for that.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::front::Fronted;
use super::http::Body;

/// So much of all requests may be in memory at once, besides what each connection needs. What is
/// more is passed on as it comes, and not sent again.
const BUDGET: usize = 3 << 20;
/// So much of a request is gathered before it is passed on, where it is on its way already.
const GATHERED: usize = 128 << 10;
/// How often whoever reads a connection is given time for it, without anything coming.
const TURNS: u32 = 2;

/// The memory for all bodies. Clones share it.
#[derive(Clone)]
pub(super) struct Bodies(Arc<Semaphore>);

/// A request's body as it is sent.
struct Sending {
    body: Fronted<Body>,
    kept: Arc<Mutex<Kept>>,
}

/// What was sent of a body.
struct Kept {
    state: State,
    /// Empty where it is not kept to be sent again.
    pieces: Vec<Bytes>,
    /// For the pieces, or for what was gathered.
    permit: Option<OwnedSemaphorePermit>,
    budget: Bodies,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is more.
    Partly,
    Wholly,
    /// It will not be sent again.
    Not,
}

/// A request's body, to be sent once more.
pub(super) struct KeptBody(Arc<Mutex<Kept>>);

/// A request without its body, to be sent once more.
pub(super) struct KeptHead {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Bodies {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET)))
    }

    /// The same request, whose body goes out in as few pieces as can be; where it is to be kept,
    /// with what sends it again.
    ///
    /// # Errors
    /// Where its client breaks off.
    pub(super) async fn gather(
        &self,
        request: Request<Body>,
        is_kept: bool,
    ) -> Result<(Request<Body>, KeptBody), hyper::Error> {
        let (head, mut body) = request.into_parts();
        let mut kept = Kept {
            state: if is_kept { State::Partly } else { State::Not },
            pieces: Vec::new(),
            permit: None,
            budget: self.clone(),
        };
        let mut front = VecDeque::new();
        let (mut size, mut idle) = (0, 0);
        while size < GATHERED && idle <= TURNS && !body.is_end_stream() {
            match at_hand(&mut body).await {
                Some(Some(frame)) => {
                    let frame = frame?;
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    let has_room = kept.take(&frame);
                    front.push_back(frame);
                    (size, idle) = (size + length, 0);
                    if !has_room {
                        break;
                    }
                }
                Some(None) => break,
                None => {
                    idle += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        let rest = (!body.is_end_stream()).then_some(body);
        if rest.is_none() {
            kept.end();
        }
        let kept = Arc::new(Mutex::new(kept));
        let again = KeptBody(kept.clone());
        let body = Fronted { front, rest };
        let sending = Sending { body, kept };
        Ok((Request::from_parts(head, sending.boxed()), again))
    }

    fn permit(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        let size = u32::try_from(size).ok()?;
        self.0.clone().try_acquire_many_owned(size).ok()
    }
}

impl Kept {
    /// Counts, and keeps, a piece that is sent; whether there was room for it.
    fn take(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else {
            // Trailers, which nobody sends again in the same way.
            self.give_up();
            return true;
        };
        let Some(permit) = self.budget.permit(data.len()) else {
            self.give_up();
            return false;
        };
        match &mut self.permit {
            Some(all) => all.merge(permit),
            None => self.permit = Some(permit),
        }
        if self.state == State::Partly {
            self.pieces.push(data.clone());
        }
        true
    }

    fn end(&mut self) {
        if self.state == State::Partly {
            self.state = State::Wholly;
        }
    }

    fn give_up(&mut self) {
        self.state = State::Not;
        self.pieces = Vec::new();
    }
}

impl KeptBody {
    /// Whether all of it was sent and kept.
    pub(super) fn is_whole(&self) -> bool {
        lock(&self.0).state == State::Wholly
    }

    /// The same body, if all of it was sent and kept.
    fn again(&self) -> Option<Body> {
        let pieces = {
            let kept = lock(&self.0);
            (kept.state == State::Wholly).then(|| kept.pieces.clone())
        };
        let body = Fronted {
            front: pieces?.into_iter().map(Frame::data).collect(),
            rest: None,
        };
        let sending = Sending {
            body,
            kept: self.0.clone(),
        };
        Some(sending.boxed())
    }
}

impl KeptHead {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        }
    }

    /// The request, if all of its body was sent and kept.
    pub(super) fn with(self, body: &KeptBody) -> Option<Request<Body>> {
        let mut request = Request::new(body.again()?);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        Some(request)
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        // What was there when it began is counted.
        let is_counted = !this.body.front.is_empty();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if let (Poll::Ready(polled), false) = (&polled, is_counted) {
            let mut kept = lock(&this.kept);
            match polled {
                // What is passed on as it comes counts only as far as it is kept.
                Some(Ok(frame)) if kept.state == State::Partly => drop(kept.take(frame)),
                Some(Err(_)) => kept.give_up(),
                _ => {}
            }
            if polled.is_none() || this.body.is_end_stream() {
                kept.end();
            }
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

/// The next frame of a body, if it is at hand.
async fn at_hand<B: HttpBody + Unpin>(
    body: &mut B,
) -> Option<Option<Result<Frame<B::Data>, B::Error>>> {
    poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        })
    })
    .await
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // Nothing can panic while it is being changed.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
