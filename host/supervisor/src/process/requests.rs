//! Requests of the host: each is answered, and what it changes is recorded.

use std::collections::HashSet;

use aod_log::{Batch, Kind, Meta};
use aod_supervisor::{Answer, Effect, Fragment, Note, Redactor, Reply, Request, Secret};

use super::clients::refusal;
use super::ending::Event;
use super::feed::Feed;
use super::now::now_micros;

/// Questions whose ids are longer than this are refused; so are more of them than
/// [`MOST_QUESTIONS`].
const LONGEST_ID: usize = 1 << 10;
const MOST_QUESTIONS: usize = 1 << 16;

/// Carries out requests, and knows which have been carried out.
pub struct RequestHandler {
    turn: u32,
    /// Filled in where effects name them; empty where nothing can be written to stdin.
    secrets: Vec<Secret>,
    /// The number of the next effect.
    next: u64,
    /// The number of the next tick.
    ticks: u64,
    answered: HashSet<String>,
    interrupted: bool,
}

/// The parts of a turn that a request may use or change.
pub struct HandlerContext<'a> {
    pub feed: &'a mut Feed,
    pub batch: &'a mut Batch,
    pub redactor: &'a Redactor,
    /// The number of the last entry in the log; the entries of the batch come after it.
    pub last_id: u64,
}

impl RequestHandler {
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

    /// Carries out a request. Answers the reply, and what it means for the turn's end, if anything.
    pub fn handle(
        &mut self,
        request: Request,
        context: &mut HandlerContext<'_>,
    ) -> (Reply, Option<Event>) {
        match request {
            Request::Ping => (done(), None),
            Request::Terminate => (done(), Some(Event::Terminate)),
            Request::Interrupt => {
                if !self.interrupted {
                    self.interrupted = true;
                    self.record(Kind::Interrupt, b"{}", context);
                }
                (done(), Some(Event::Interrupt))
            }
            Request::Effect { seq, effect } => self.effect(seq, &effect, context),
            Request::Answer(answer) => self.answer(answer, context),
            Request::Tick { seq, after } => (self.tick(seq, after, context), None),
        }
    }

    fn effect(
        &mut self,
        seq: u64,
        effect: &Effect,
        context: &mut HandlerContext<'_>,
    ) -> (Reply, Option<Event>) {
        if seq < self.next {
            return (done(), None);
        }
        if seq > self.next {
            let reason = format!("effect {} comes before effect {seq}", self.next);
            return (refusal(&reason), None);
        }
        self.next += 1;
        match effect {
            Effect::Write(fragments) => match self.write(fragments, context) {
                Ok(()) => (done(), Some(Event::Activity)),
                Err(reason) => {
                    // Recorded, so that a host that asks again does not take it for carried out.
                    let reply = refusal(&reason);
                    self.note(&Note::Refused { reason }, context);
                    (reply, None)
                }
            },
            Effect::CloseStdin => {
                self.note(&Note::CloseStdin, context);
                context.feed.close();
                (done(), None)
            }
            Effect::Close => {
                self.note(&Note::Close, context);
                context.feed.close();
                (done(), Some(Event::Close))
            }
        }
    }

    fn write(
        &self,
        fragments: &[Fragment],
        context: &mut HandlerContext<'_>,
    ) -> Result<(), String> {
        let filled = Fragment::fill(fragments, &self.secrets).map_err(|name| {
            format!("it names the secret {name:?}, which this turn does not have")
        })?;
        context.feed.admits(filled.text.len())?;
        let meta = Meta::new(Kind::Stdin, self.turn, now_micros());
        context
            .batch
            .push(meta, &context.redactor.redact(filled.shown.as_bytes()))
            .map_err(|_| "it is too long for one record".to_owned())?;
        context.feed.add(filled.text.as_bytes());
        Ok(())
    }

    fn answer(
        &mut self,
        answer: Answer,
        context: &mut HandlerContext<'_>,
    ) -> (Reply, Option<Event>) {
        if self.answered.contains(&answer.question) {
            return (refusal("the question has been answered"), None);
        }
        if answer.question.len() > LONGEST_ID || self.answered.len() >= MOST_QUESTIONS {
            return (refusal("too many questions, or too long an id"), None);
        }
        let json = serde_json::to_vec(&answer).unwrap_or_default();
        self.record(Kind::Answer, &json, context);
        self.answered.insert(answer.question);
        (done(), Some(Event::Activity))
    }

    fn tick(&mut self, seq: u64, after: u64, context: &mut HandlerContext<'_>) -> Reply {
        if seq < self.ticks {
            return done();
        }
        // The batch may hold output that the host cannot have read yet.
        if after < context.last_id || !context.batch.is_empty() {
            return refusal("something was recorded meanwhile");
        }
        self.ticks += 1;
        self.record(Kind::Tick, b"{}", context);
        done()
    }

    fn note(&self, note: &Note, context: &mut HandlerContext<'_>) {
        let json = serde_json::to_vec(note).unwrap_or_default();
        self.record(Kind::Note, &json, context);
    }

    fn record(&self, kind: Kind, json: &[u8], context: &mut HandlerContext<'_>) {
        let meta = Meta::new(kind, self.turn, now_micros());
        let pushed = context.batch.push(meta, &context.redactor.redact(json));
        // A request is at most `MAX_REQUEST` long, far below the longest record.
        debug_assert!(pushed.is_ok());
    }
}

fn done() -> Reply {
    Reply {
        ok: true,
        error: None,
    }
}
