//! Streaming a reply: what to send, when to wait, how to end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use serde_json::Value;

use crate::script::End;

/// Time given to what was sent to leave, before a connection is broken off.
const BEFORE_DROP: Duration = Duration::from_millis(50);

/// One server-sent event of a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's name, for APIs that name them.
    pub name: Option<String>,
    /// The data: one line.
    pub data: String,
    /// Whether it is a piece of the model's output, which `slow` paces.
    pub delta: bool,
}

impl Event {
    /// An event named as its `type` field.
    #[must_use]
    pub fn typed(data: &Value) -> Self {
        let name = data["type"].as_str().map(str::to_owned);
        Self {
            name,
            ..Self::plain(data)
        }
    }

    /// An event without a name.
    #[must_use]
    pub fn plain(data: &Value) -> Self {
        Self {
            name: None,
            data: data.to_string(),
            delta: false,
        }
    }

    /// Marks the event as a piece of the model's output.
    #[must_use]
    pub fn as_delta(self) -> Self {
        Self {
            delta: true,
            ..self
        }
    }

    fn bytes(&self) -> Bytes {
        match &self.name {
            Some(name) => format!("event: {name}\ndata: {}\n\n", self.data).into(),
            None => format!("data: {}\n\n", self.data).into(),
        }
    }
}

enum Step {
    Wait(Duration),
    Send(Bytes),
    Hang,
    Drop,
}

/// A body that streams events.
pub fn events(events: &[Event], pace: Duration, end: End) -> Body {
    let mut steps = VecDeque::with_capacity(events.len() * 2 + 1);
    for event in events {
        if event.delta && !pace.is_zero() {
            steps.push_back(Step::Wait(pace));
        }
        steps.push_back(Step::Send(event.bytes()));
    }
    body(steps, end)
}

/// A body that gives one JSON value after a wait, or the beginning of it when it is to break off.
pub fn whole(value: &Value, wait: Duration, end: End) -> Body {
    let text = value.to_string();
    let mut steps = VecDeque::from([Step::Wait(wait)]);
    match end {
        End::Whole => steps.push_back(Step::Send(text.into())),
        End::Drop | End::Cut => {
            steps.push_back(Step::Send(Bytes::copy_from_slice(&text.as_bytes()[..1])));
        }
        End::Hang => {}
    }
    body(steps, end)
}

fn body(mut steps: VecDeque<Step>, end: End) -> Body {
    match end {
        End::Whole | End::Cut => {}
        End::Hang => steps.push_back(Step::Hang),
        End::Drop => steps.extend([Step::Wait(BEFORE_DROP), Step::Drop]),
    }
    Body::from_stream(futures::stream::unfold(steps, |mut steps| async move {
        loop {
            let item = match steps.pop_front()? {
                Step::Wait(time) => {
                    tokio::time::sleep(time).await;
                    continue;
                }
                Step::Send(bytes) => Ok(bytes),
                Step::Hang => match std::future::pending::<Infallible>().await {},
                Step::Drop => Err(io::Error::other("broken off as the prompt asked")),
            };
            return Some((item, steps));
        }
    }))
}
