//! Requests of the host: each is answered, and what it changes is recorded.

use std::collections::HashSet;

use aod_log::{Batch, Kind, Meta};
use aod_supervisor::{
    Answer, Conclusion, ConclusionKind, CredentialRecord, CredentialUpdate, Effect, Fragment,
    NextTurn, Note, Redactor, RenewedCredential, Reply, Request, Secret, TurnEnded, TurnInput,
};

use super::calls::Calls;
use super::clients::refusal;
use super::ending::{Action, Ending, Event};
use super::feed::Feed;
use super::now::now_micros;
use super::output::Output;

/// Questions whose ids are longer than this are refused; so are more of them than
/// [`MOST_QUESTIONS`].
const LONGEST_ID: usize = 1 << 10;
const MOST_QUESTIONS: usize = 1 << 16;
/// So much may users tell one turn.
const MOST_INPUTS: usize = 1 << 12;

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
    /// The ids of what users have told the turn.
    inputs: HashSet<String>,
    interrupted: bool,
    /// Whether the event that ends the turn for those who follow it is on record.
    concluded: bool,
    /// The most requests to its model that the turn may make.
    max_requests: Option<u32>,
}

/// The parts of a turn that a request may use or change.
pub struct HandlerContext<'a> {
    pub feed: &'a mut Feed,
    pub batch: &'a mut Batch,
    pub redactor: &'a Redactor,
    /// The number of the last entry in the log; the entries of the batch come after it.
    pub last_id: u64,
    pub outputs: &'a mut [Output; 2],
    /// Whether the turn has had output.
    pub begun: &'a mut bool,
    pub ending: &'a mut Ending,
    /// Milliseconds since the process began.
    pub now: u64,
    /// What the turn's end wants done.
    pub actions: &'a mut Vec<Action>,
    /// Whether the log is to be forced to the disk with this.
    pub must_sync: &'a mut bool,
    /// Calls of tools that wait for somebody's answer.
    pub calls: &'a mut Calls,
    /// What credentials are by now.
    pub credentials: &'a mut Vec<RenewedCredential>,
}

impl HandlerContext<'_> {
    fn happens(&mut self, event: Event) {
        self.actions.push(self.ending.apply(self.now, event));
    }
}

impl RequestHandler {
    pub fn new(turn: u32, secrets: Vec<Secret>, max_requests: Option<u32>) -> Self {
        Self {
            turn,
            secrets,
            next: 0,
            ticks: 0,
            answered: HashSet::new(),
            inputs: HashSet::new(),
            interrupted: false,
            concluded: false,
            max_requests,
        }
    }

    /// The number of the turn that runs, or ran last.
    pub const fn turn(&self) -> u32 {
        self.turn
    }

    /// The most requests to its model that this turn may make.
    pub const fn max_requests(&self) -> Option<u32> {
        self.max_requests
    }

    /// Carries out a request, and answers the reply.
    pub fn handle(&mut self, request: Request, context: &mut HandlerContext<'_>) -> Reply {
        match request {
            Request::Ping => done(),
            Request::Terminate => {
                context.happens(Event::Terminate);
                done()
            }
            Request::Interrupt => {
                if !self.interrupted && !context.ending.is_resting() {
                    self.interrupted = true;
                    self.record(Kind::Interrupt, b"{}", context);
                }
                context.happens(Event::Interrupt);
                done()
            }
            Request::Limit(limit) => self.limit(&limit, context),
            Request::Effect { seq, effect } => self.effect(seq, &effect, context),
            Request::Answer(answer) => self.answer(answer, context),
            Request::Input(input) => self.input(input, context),
            Request::Credential(update) => self.credential(update, context),
            Request::Tick { seq, after } => self.tick(seq, after, context),
            Request::Conclude(conclusion) => self.conclude(&conclusion, context),
            Request::Turn(next) => self.next_turn(next, context),
            Request::Close => {
                context.happens(Event::Close);
                done()
            }
        }
    }

    fn limit(&mut self, limit: &serde_json::Value, context: &mut HandlerContext<'_>) -> Reply {
        if self.interrupted || !context.ending.is_running() {
            return refusal("the turn is over, or is being stopped");
        }
        self.interrupted = true;
        self.record(Kind::Interrupt, limit.to_string().as_bytes(), context);
        context.happens(Event::Limit);
        done()
    }

    /// Ends the turn. What the CLI says from now on is late.
    fn end_turn(&mut self, context: &mut HandlerContext<'_>) -> Reply {
        if !context.ending.may_rest() {
            self.note(&Note::Stopping, context);
            return done();
        }
        let [stdout, stderr] = &mut *context.outputs;
        let (out, err) = (stdout.lines.take_counts(), stderr.lines.take_counts());
        let ended = TurnEnded {
            reason: context.ending.reason(),
            replaced_bytes: out.replaced + err.replaced,
            output_bytes: out.bytes + err.bytes,
        };
        let json = serde_json::to_vec(&ended).unwrap_or_default();
        self.record(Kind::TurnEnded, &json, context);
        context.happens(Event::EndTurn);
        done()
    }

    fn conclude(&mut self, conclusion: &Conclusion, context: &mut HandlerContext<'_>) -> Reply {
        if !context.ending.is_resting() {
            return refusal("the process does not rest");
        }
        if conclusion.turn != self.turn {
            return refusal("another turn was the last");
        }
        if !std::mem::replace(&mut self.concluded, true) {
            let kind = match conclusion.kind {
                ConclusionKind::Exit => Kind::Exit,
                ConclusionKind::Error => Kind::Error,
            };
            self.record(kind, conclusion.payload.to_string().as_bytes(), context);
            *context.must_sync = true;
        }
        done()
    }

    fn next_turn(&mut self, next: NextTurn, context: &mut HandlerContext<'_>) -> Reply {
        let NextTurn {
            turn,
            begin,
            timeout_ms,
            max_requests,
        } = next;
        if !context.ending.is_resting() {
            // Whoever has no reply asks again.
            return match turn == self.turn {
                true => done(),
                false => refusal("the process does not rest"),
            };
        }
        if turn <= self.turn {
            return refusal("the turn is over");
        }
        // It knows no secrets but those that it has; the record may not show them either.
        let begin = context.redactor.redact_str(&begin.to_string()).into_owned();
        let secrets = std::mem::take(&mut self.secrets);
        *self = Self::new(turn, secrets, max_requests);
        *context.begun = false;
        self.record(Kind::Begin, begin.as_bytes(), context);
        context.happens(Event::Turn { timeout_ms });
        done()
    }

    fn effect(&mut self, seq: u64, effect: &Effect, context: &mut HandlerContext<'_>) -> Reply {
        if seq < self.next {
            return done();
        }
        if seq > self.next {
            let reason = format!("effect {} comes before effect {seq}", self.next);
            return refusal(&reason);
        }
        self.next += 1;
        match effect {
            Effect::Write(fragments) => match self.write(fragments, context) {
                Ok(()) => {
                    context.happens(Event::Activity);
                    done()
                }
                Err(reason) => {
                    // Recorded, so that a host that asks again does not take it for carried out.
                    let reply = refusal(&reason);
                    self.note(&Note::Refused { reason }, context);
                    reply
                }
            },
            Effect::CloseStdin => {
                self.note(&Note::CloseStdin, context);
                context.feed.close();
                done()
            }
            Effect::EndTurn => self.end_turn(context),
            Effect::Close => {
                self.note(&Note::Close, context);
                context.feed.close();
                context.happens(Event::Close);
                done()
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

    fn answer(&mut self, answer: Answer, context: &mut HandlerContext<'_>) -> Reply {
        if self.answered.contains(&answer.question) {
            return refusal("the question has been answered");
        }
        if context.calls.is_over(&answer.question) {
            return refusal("the call waits for no answer any more");
        }
        if answer.question.len() > LONGEST_ID || self.answered.len() >= MOST_QUESTIONS {
            return refusal("too many questions, or too long an id");
        }
        let json = serde_json::to_vec(&answer).unwrap_or_default();
        self.record(Kind::Answer, &json, context);
        context.calls.answer(&answer);
        self.answered.insert(answer.question);
        context.happens(Event::Activity);
        done()
    }

    fn input(&mut self, input: TurnInput, context: &mut HandlerContext<'_>) -> Reply {
        if self.inputs.contains(&input.id) {
            return done();
        }
        if context.ending.is_resting() || !context.ending.may_rest() {
            return refusal("the turn is over, or is being stopped");
        }
        if input.id.len() > LONGEST_ID || self.inputs.len() >= MOST_INPUTS {
            return refusal("too many inputs, or too long an id");
        }
        let json = serde_json::to_vec(&input).unwrap_or_default();
        self.record(Kind::Input, &json, context);
        self.inputs.insert(input.id);
        context.happens(Event::Activity);
        done()
    }

    fn credential(&self, update: CredentialUpdate, context: &mut HandlerContext<'_>) -> Reply {
        let CredentialUpdate {
            credential,
            problem,
        } = update;
        if credential.credential.len() > LONGEST_ID {
            return refusal("too long a name");
        }
        if credential.is_answer {
            let told = CredentialRecord::CredentialTold {
                credential: credential.credential.clone(),
                problem,
            };
            let json = serde_json::to_vec(&told).unwrap_or_default();
            self.record(Kind::Network, &json, context);
        }
        context.credentials.push(credential);
        done()
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
