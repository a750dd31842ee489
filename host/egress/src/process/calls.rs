//! Calls that wait for somebody's answer. The starter records them, and says what is answered.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use aod_launch::{CallAnswer, CallReply, CallReport, HeldCall, HeldKind};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::renewals::Renewals;
use super::reporter::tell_starter;

/// So many may wait at once.
const MOST: usize = 64;
/// The longest input of a call, in bytes of JSON.
pub(super) const MAX_INPUT: usize = 256 << 10;

/// All calls that wait. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    next: u64,
    calls: HashMap<u64, oneshot::Sender<Option<CallAnswer>>>,
}

/// What is asked of whoever answers.
pub(super) struct Question<'a> {
    pub(super) kind: HeldKind,
    pub(super) server: Option<&'a str>,
    pub(super) tool: &'a str,
    pub(super) input: &'a RawValue,
    pub(super) timeout_ms: u32,
    pub(super) default: CallAnswer,
}

impl Calls {
    /// Waits for an answer; there is none where the turn is stopped first, or too many wait. The
    /// starter is told where whoever waits goes away.
    pub(super) async fn ask(&self, question: Question<'_>) -> Option<CallAnswer> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut waiting = self.lock();
            if waiting.calls.len() >= MOST {
                return None;
            }
            waiting.next += 1;
            let id = waiting.next;
            waiting.calls.insert(id, sender);
            id
        };
        let leaving = Leaving { calls: self, id };
        tell_starter(&CallReport::CallHeld(HeldCall {
            id,
            kind: question.kind,
            server: question.server.map(str::to_owned),
            tool: question.tool.to_owned(),
            input: question.input.to_owned(),
            deadline_ms: question.timeout_ms,
            default: question.default,
        }));
        let answer = answer.await.ok().flatten();
        drop(leaving);
        answer
    }

    /// Asks whether a tool may be called; `Err` says why it may not, for the model.
    pub(super) async fn permit(
        &self,
        server: Option<&str>,
        tool: &str,
        input: &RawValue,
        timeout_ms: u32,
    ) -> Result<(), String> {
        let question = Question {
            kind: HeldKind::Permission,
            server,
            tool,
            input,
            timeout_ms,
            default: CallAnswer {
                content: CallAnswer::DENY.to_owned(),
                is_error: false,
            },
        };
        match self.ask(question).await {
            Some(answer) if answer.content == CallAnswer::ALLOW => Ok(()),
            Some(_) => Err(format!(
                "the user did not allow the tool {tool:?} this time"
            )),
            None => Err(WITHDRAWN.to_owned()),
        }
    }

    /// Passes answers on, as the starter gives them, and credentials to `renewals`, until it ends.
    pub(super) async fn take_replies(self, replies: OwnedFd, renewals: Renewals) -> io::Result<()> {
        let mut lines = BufReader::new(pipe::Receiver::from_owned_fd(replies)?).lines();
        while let Some(line) = lines.next_line().await?.map(Zeroizing::new) {
            if let Ok(credential) = serde_json::from_str(&line) {
                renewals.take(credential);
                continue;
            }
            let Ok(reply) = serde_json::from_str::<CallReply>(&line) else {
                continue;
            };
            let sender = self.lock().calls.remove(&reply.id);
            if let Some(sender) = sender {
                // Whoever waited may have gone away.
                let _ = sender.send(reply.answer);
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // Nothing can panic while it is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of a call that will not be answered.
pub(super) const WITHDRAWN: &str = "the call was not answered: the turn is being stopped, or too \
    many calls wait";

/// Tells the starter where whoever waited goes away without an answer.
struct Leaving<'a> {
    calls: &'a Calls,
    id: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.calls.lock().calls.remove(&self.id).is_some() {
            tell_starter(&CallReport::CallDropped(self.id));
        }
    }
}

/// A value as text that stands in a report.
pub(super) fn raw(value: &Value) -> Box<RawValue> {
    // A value was JSON before.
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
