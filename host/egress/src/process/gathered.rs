//! Answers' bodies on their way: what of them is there already goes out in one piece.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::front::Fronted;
use super::room::at_once;

/// So many frames are gathered, besides what their bytes are bounded by.
const MOST_FRAMES: usize = 16;
/// How often whoever reads them is given time, without any coming. One that writes to a client asks
/// twice before it lets others go on.
const TURNS: u32 = 2;

/// A body whose frames are handed out together, as far as they are there: whatever is handed out
/// before there is no further one is a single write to the client. None waits for one that is still
/// to come.
pub(super) struct Gathered<B: HttpBody> {
    body: Fronted<B>,
    size: usize,
    /// How often none has come.
    idle: u32,
    /// Whether what was gathered is being handed out.
    is_ready: bool,
    /// What has ended it.
    error: Option<B::Error>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> Gathered<B> {
    pub(super) const fn new(body: B) -> Self {
        Self {
            body: Fronted {
                front: VecDeque::new(),
                rest: Some(body),
            },
            size: 0,
            idle: 0,
            is_ready: false,
            error: None,
        }
    }

    /// Takes the frames that are at hand; whether there may be further ones as soon as whoever reads
    /// them has had time for it.
    fn take(&mut self, context: &mut Context<'_>) -> bool {
        let Fronted { front, rest } = &mut self.body;
        self.idle += 1;
        while let (Some(body), true) = (
            &mut *rest,
            self.size < at_once() && front.len() < MOST_FRAMES,
        ) {
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.idle = 0;
                    self.size += frame.data_ref().map_or(0, Bytes::len);
                    front.push_back(frame);
                    // Whoever asks may wait for the end alone by now.
                    rest.take_if(|body| body.is_end_stream());
                }
                Poll::Ready(end) => {
                    self.error = end.and_then(Result::err);
                    *rest = None;
                }
                Poll::Pending => return !front.is_empty() && self.idle < TURNS,
            }
        }
        false
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Gathered<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if this.body.front.is_empty() {
            (this.is_ready, this.size, this.idle) = (false, 0, 0);
        }
        if !this.is_ready && this.take(context) {
            // Whoever reads the next ones has this time.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.is_ready = true;
        match this.body.front.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if this.body.rest.is_some() => Poll::Pending,
            None => Poll::Ready(this.error.take().map(Err)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.error.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

    use super::*;

    type Said = Result<&'static str, &'static str>;

    /// A body that consists of what a test says.
    struct Source(UnboundedReceiver<Said>);

    impl HttpBody for Source {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            let said = self.0.poll_recv(context);
            said.map(|it| it.map(|it| it.map(|text| Frame::data(Bytes::from(text)))))
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn gathered() -> (UnboundedSender<Said>, Gathered<Source>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Gathered::new(Source(receiver)))
    }

    /// What it hands out until it waits, and whether it wants to be asked again at once; `None` is its
    /// end.
    fn handed_out(body: &mut Gathered<Source>) -> (Vec<Option<Said>>, bool) {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        let mut all = Vec::new();
        while let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut context) {
            let Some(frame) = frame else {
                all.push(None);
                break;
            };
            let said = frame.map(|frame| {
                let text = frame.into_data().unwrap();
                let text: &'static str = String::from_utf8(text.into()).unwrap().leak();
                text
            });
            all.push(Some(said));
        }
        (all, wakes.0.load(Ordering::Relaxed) > 0)
    }

    #[test]
    fn what_is_there_is_handed_out_together_and_waits_for_nothing() {
        let (say, mut body) = gathered();
        assert_eq!(handed_out(&mut body), (vec![], false));
        for text in ["a", "b"] {
            say.send(Ok(text)).unwrap();
        }
        // Whoever reads them has time for one more.
        assert_eq!(handed_out(&mut body), (vec![], true));
        assert_eq!(handed_out(&mut body), (vec![], true));
        say.send(Ok("c")).unwrap();
        assert_eq!(handed_out(&mut body), (vec![], true));
        assert_eq!(handed_out(&mut body), (vec![], true));
        let all = ["a", "b", "c"].map(|text| Some(Ok(text)));
        assert_eq!(handed_out(&mut body), (all.to_vec(), false));
        say.send(Ok("d")).unwrap();
        assert_eq!(handed_out(&mut body), (vec![], true));
        assert_eq!(handed_out(&mut body), (vec![], true));
        assert_eq!(handed_out(&mut body), (vec![Some(Ok("d"))], false));
        assert!(!body.is_end_stream());
    }

    #[test]
    fn its_end_and_its_error_come_behind_what_was_there() {
        for (end, wanted) in [(None, None), (Some(Err("broken")), Some(Err("broken")))] {
            let (say, mut body) = gathered();
            say.send(Ok("a")).unwrap();
            if let Some(end) = end {
                say.send(end).unwrap();
            }
            drop(say);
            let mut all = vec![Some(Ok("a")), wanted];
            if wanted.is_some() {
                all.push(None);
            }
            assert_eq!(handed_out(&mut body), (all, false));
            assert!(body.is_end_stream());
        }
    }

    #[test]
    fn what_is_gathered_is_bounded() {
        let long: &str = "x".repeat(at_once()).leak();
        for (text, count) in [("a", MOST_FRAMES), (long, 1)] {
            let (say, mut body) = gathered();
            for _ in 0..=count {
                say.send(Ok(text)).unwrap();
            }
            assert!(!body.take(&mut Context::from_waker(Waker::noop())));
            assert_eq!(body.body.front.len(), count);
        }
    }
}
