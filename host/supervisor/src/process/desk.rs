//! What the host asks for: each request is answered, and what it changes is recorded.

use std::collections::HashSet;

use aod_log::{Batch, Kind, Meta};
use aod_supervisor::{Answer, Deed, Fragment, Note, Redactor, Reply, Request, Secret};
use zeroize::Zeroizing;

use super::clients::refusal;
use super::ending::Event;
use super::feed::Feed;
use super::turn::now_micros;

/// Questions whose ids are longer than this are refused; so are more of them than
/// [`MOST_QUESTIONS`].
const LONGEST_ID: usize = 1 << 10;
const MOST_QUESTIONS: usize = 1 << 16;

/// What was asked so far, and what is needed to do it.
pub struct Desk {
    turn: u32,
    /// For what is written to stdin; none where nothing can be written.
    secrets: Vec<Secret>,
    /// The number of the next deed.
    next: u64,
    /// The number of the next tick.
    ticks: u64,
    answered: HashSet<String>,
    interrupted: bool,
}

/// What a request may change.
pub struct Hands<'a> {
    pub feed: &'a mut Feed,
    pub batch: &'a mut Batch,
    pub redactor: &'a Redactor,
    /// The number of the last entry in the log; what stands in the batch comes after it.
    pub last_id: u64,
}

impl Desk {
    pub fn new(turn: u32, secrets: Vec<Secret>) -> Self {
        Self {
            turn,
            secrets,
            next: 0,
            ticks: 0,
            answered: HashSet::new(),
            interrupted: false,
        }
    }

    /// Carries a request out; says what that means for the turn's end.
    pub fn take(&mut self, request: Request, hands: &mut Hands<'_>) -> (Reply, Option<Event>) {
        match request {
            Request::Ping => (done(), None),
            Request::Terminate => (done(), Some(Event::Terminate)),
            Request::Interrupt => {
                if !self.interrupted {
                    self.interrupted = true;
                    self.record(Kind::Interrupt, b"{}", hands);
                }
                (done(), Some(Event::Interrupt))
            }
            Request::Deed { seq, deed } => self.deed(seq, &deed, hands),
            Request::Answer(answer) => self.answer(answer, hands),
            Request::Tick { seq, after } => (self.tick(seq, after, hands), None),
        }
    }

    fn deed(&mut self, seq: u64, deed: &Deed, hands: &mut Hands<'_>) -> (Reply, Option<Event>) {
        if seq < self.next {
            return (done(), None);
        }
        if seq > self.next {
            let reason = format!("deed {} comes before deed {seq}", self.next);
            return (refusal(&reason), None);
        }
        self.next += 1;
        match deed {
            Deed::Write(fragments) => match self.write(fragments, hands) {
                Ok(()) => (done(), Some(Event::Activity)),
                Err(reason) => {
                    // Recorded as well: a host that asks again must not think that it was done.
                    let reply = refusal(&reason);
                    self.note(&Note::Refused { reason }, hands);
                    (reply, None)
                }
            },
            Deed::CloseStdin => {
                self.note(&Note::CloseStdin, hands);
                hands.feed.close();
                (done(), None)
            }
            Deed::EndTurn => {
                self.note(&Note::EndTurn, hands);
                hands.feed.close();
                (done(), Some(Event::ResultSeen))
            }
        }
    }

    fn write(&self, fragments: &[Fragment], hands: &mut Hands<'_>) -> Result<(), String> {
        let mut filled = Zeroizing::new(String::new());
        let mut shown = String::new();
        for fragment in fragments {
            let (Fragment::Secret(name) | Fragment::JsonSecret(name)) = fragment else {
                if let Fragment::Text(text) = fragment {
                    filled.push_str(text);
                    shown.push_str(text);
                }
                continue;
            };
            let secret = self.secrets.iter().find(|secret| secret.name == *name);
            let secret = secret.ok_or_else(|| {
                format!("it names the secret {name:?}, which this turn does not have")
            })?;
            shown.push_str(&format!("[redacted:{name}]"));
            if matches!(fragment, Fragment::JsonSecret(_)) {
                let quoted = Zeroizing::new(serde_json::Value::from(&*secret.value).to_string());
                filled.push_str(&quoted[1..quoted.len() - 1]);
            } else {
                filled.push_str(&secret.value);
            }
        }
        hands.feed.admits(filled.len())?;
        let meta = Meta::new(Kind::Stdin, self.turn, now_micros());
        hands
            .batch
            .push(meta, &hands.redactor.redact(shown.as_bytes()))
            .map_err(|_| "it is too long for one record".to_owned())?;
        hands.feed.add(filled.as_bytes());
        Ok(())
    }

    fn answer(&mut self, answer: Answer, hands: &mut Hands<'_>) -> (Reply, Option<Event>) {
        if self.answered.contains(&answer.question) {
            return (refusal("the question has been answered"), None);
        }
        if answer.question.len() > LONGEST_ID || self.answered.len() >= MOST_QUESTIONS {
            return (refusal("too many questions, or too long an id"), None);
        }
        let json = serde_json::to_vec(&answer).unwrap_or_default();
        self.record(Kind::Answer, &json, hands);
        self.answered.insert(answer.question);
        (done(), Some(Event::Activity))
    }

    fn tick(&mut self, seq: u64, after: u64, hands: &mut Hands<'_>) -> Reply {
        if seq < self.ticks {
            return done();
        }
        // The batch may hold output that nobody has read yet.
        if after < hands.last_id || !hands.batch.is_empty() {
            return refusal("something was recorded meanwhile");
        }
        self.ticks += 1;
        self.record(Kind::Tick, b"{}", hands);
        done()
    }

    fn note(&self, note: &Note, hands: &mut Hands<'_>) {
        let json = serde_json::to_vec(note).unwrap_or_default();
        self.record(Kind::Note, &json, hands);
    }

    fn record(&self, kind: Kind, json: &[u8], hands: &mut Hands<'_>) {
        let meta = Meta::new(kind, self.turn, now_micros());
        let pushed = hands.batch.push(meta, &hands.redactor.redact(json));
        // Far below what a record takes: requests are bounded.
        debug_assert!(pushed.is_ok());
    }
}

fn done() -> Reply {
    Reply {
        ok: true,
        error: None,
    }
}
