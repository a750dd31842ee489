//! An adapter's turn as a fold over the log: what is recorded goes in, what it means comes out.

mod dialogue;
mod lines;
mod tell;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use aod_log::{Kind, Reader, Record};
use aod_resources::Usage;
use aod_resources::event::{EventBody, Level};
use aod_runtime::types::{
    Action, Description, Event, Exit, Failure, OutputStream, Reaction, TurnContext,
};
use aod_runtime::{Adapter, AdapterError};
use aod_supervisor::Exited;

use self::dialogue::Dialogue;
use self::lines::{Lines, Origin, Pending};
use self::tell::{Account, Numbers};
use super::conclude::cause;
use crate::events::EventWriter;
use crate::{Error, Result};

pub(super) use self::dialogue::{Due, Standing, Wanted, for_stdin};

/// Lines are handed over in batches of about this many bytes.
const BATCH: usize = 256 << 10;
/// How much of stderr is kept for messages.
const STDERR_TAIL: usize = 4 << 10;
/// After so many failed calls a turn goes on without its adapter.
const MAX_FAILURES: u32 = 3;

/// What the host is to do outside of the log.
#[derive(Debug)]
pub(crate) enum Deed {
    /// Keep this for the next turn.
    Remember(String),
    /// Have the supervisor do this, the deed of this number in the turn.
    Outside(u64, aod_supervisor::Effect),
}

/// The state of a fold.
pub(crate) struct Fold {
    adapter: Arc<Adapter>,
    context: TurnContext,
    turn: Option<aod_runtime::Turn>,
    failed_calls: u32,
    begun: bool,
    pending: [Pending; 2],
    /// The stream that has whole lines pending, if any has.
    current: OutputStream,
    numbers: Numbers,
    dialogue: Dialogue,
    pub(crate) usage: Usage,
    pub(crate) failure: Option<Failure>,
    pub(crate) remember: Option<String>,
    pub(crate) exited: Option<Exited>,
    /// Where that stands.
    end: Origin,
    stderr_tail: String,
}

impl Fold {
    /// Begins at the turn's `Begin` record, wherever in front of it the reader stands.
    pub(crate) fn new(adapter: Arc<Adapter>, context: TurnContext) -> Self {
        Self {
            adapter,
            numbers: Numbers::new(context.turn),
            context,
            turn: None,
            failed_calls: 0,
            begun: false,
            pending: Default::default(),
            current: OutputStream::Stdout,
            dialogue: Dialogue::default(),
            usage: Usage::default(),
            failure: None,
            remember: None,
            exited: None,
            end: Origin::default(),
            stderr_tail: String::new(),
        }
    }

    /// What the adapter says of its CLI.
    pub(crate) fn description(&self) -> &Description {
        self.adapter.description()
    }

    /// Whether the turn was given a secret of that name.
    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.context.secrets.iter().any(|known| known == name)
    }

    /// The last lines of stderr.
    pub(crate) fn stderr_tail(&self) -> &str {
        &self.stderr_tail
    }

    /// Reads what is there, up to the turn's `Exited`, stores the events that it gives, and
    /// returns what is to be done. Blocks for as long as the adapter computes.
    pub(crate) fn advance(
        &mut self,
        reader: &mut Reader,
        events: &mut EventWriter,
    ) -> Result<Vec<Deed>> {
        let mut step = Step::new(events);
        while self.exited.is_none() {
            let Some(record) = reader.next().map_err(Error::internal)? else {
                break;
            };
            if record.turn == self.context.turn {
                self.take(&record, &mut step).map_err(Error::internal)?;
            }
        }
        self.hand_over(&mut step).map_err(Error::internal)?;
        if self.exited.is_some() {
            self.hand_over_rest(&mut step).map_err(Error::internal)?;
        }
        step.events.flush().map_err(Error::internal)?;
        Ok(step.deeds)
    }

    fn take(&mut self, record: &Record<'_>, step: &mut Step<'_>) -> io::Result<()> {
        let origin = Origin {
            entry: record.id,
            time: record.time,
        };
        match record.kind {
            Kind::Begin => {
                // The adapter begins with the first thing that it is fed: most of the time a
                // silent turn's instance would be all that it costs.
                self.begun = true;
                self.numbers.begin(origin);
            }
            Kind::Stdout | Kind::Stderr if self.begun => {
                let stream = match record.kind {
                    Kind::Stdout => OutputStream::Stdout,
                    _ => OutputStream::Stderr,
                };
                let text = record.text();
                if stream != self.current || self.pending().bytes() + text.len() > BATCH {
                    self.hand_over(step)?;
                    self.current = stream;
                }
                if stream == OutputStream::Stderr {
                    keep_tail(&mut self.stderr_tail, text);
                }
                self.pending().push(text, origin);
                self.dialogue.heard();
            }
            Kind::Answer | Kind::Tick | Kind::Interrupt | Kind::Stdin | Kind::Note
                if self.begun =>
            {
                // What was said before it is heard before it.
                self.hand_over(step)?;
                self.numbers.reach(origin);
                self.take_dialogue(record, step)?;
            }
            Kind::Exited if self.begun => {
                self.end = origin;
                // What cannot be read is judged as a death without a word.
                self.exited = Some(serde_json::from_slice(record.payload).unwrap_or(Exited {
                    code: None,
                    signal: None,
                    reason: aod_supervisor::Reason::LogError,
                    killed: false,
                    replaced_bytes: 0,
                    output_bytes: 0,
                    error: Some("the record of the turn's end cannot be read".to_owned()),
                }));
            }
            _ => {}
        }
        Ok(())
    }

    fn pending(&mut self) -> &mut Pending {
        &mut self.pending[slot(self.current)]
    }

    /// Whole lines only: a line that goes on in a record to come waits for its end.
    fn hand_over(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        let lines = self.pending().take();
        self.feed_all(self.current, lines, step)
    }

    /// Either stream may have ended within a line.
    fn hand_over_rest(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        let other = match self.current {
            OutputStream::Stdout => OutputStream::Stderr,
            OutputStream::Stderr => OutputStream::Stdout,
        };
        for stream in [self.current, other] {
            let lines = self.pending[slot(stream)].take_rest();
            self.feed_all(stream, lines, step)?;
        }
        Ok(())
    }

    fn feed_all(
        &mut self,
        stream: OutputStream,
        lines: Lines,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        if lines.len() == 0 {
            return Ok(());
        }
        for lines in lines.stretches() {
            self.feed(stream, &lines, step)?;
        }
        Ok(())
    }

    /// Feeds lines. Where that fails they are fed one by one to a new instance, so that one bad
    /// line costs no other, and the same one costs the same however lines were batched.
    fn feed(&mut self, stream: OutputStream, lines: &Lines, step: &mut Step<'_>) -> io::Result<()> {
        let first = lines.lines.first().filter(|line| !line.too_long);
        let is_fed = first.is_some();
        if let Some(first) = first.filter(|_| self.turn.is_none()) {
            self.begin_turn_at(first.origin, step)?;
        }
        let fed = match &mut self.turn {
            Some(turn) if is_fed => turn.feed(stream, &lines.text),
            _ => return self.pass_on(lines, 0..lines.len(), step),
        };
        match fed {
            Ok(reaction) => self.react_to(reaction, lines, step),
            Err(error) if lines.len() > 1 => {
                tracing::debug!(%error, "an adapter's call failed; once more, line by line");
                self.turn = None;
                self.begin_turn(step)?;
                for line in 0..lines.len() {
                    self.feed(stream, &lines.part(line..line + 1), step)?;
                }
                Ok(())
            }
            Err(error) => {
                self.numbers.reach(lines.lines[0].origin);
                self.fail(&error, step)?;
                self.pass_on(lines, 0..1, step)?;
                self.begin_turn(step)
            }
        }
    }

    /// Passes lines on as they stand.
    fn pass_on(
        &mut self,
        lines: &Lines,
        which: impl IntoIterator<Item = usize>,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        for line in which {
            self.numbers.reach(lines.lines[line].origin);
            self.tell(tell::unparsed(lines.line(line)), step)?;
        }
        Ok(())
    }

    /// Begins with a new instance of the adapter, unless there were too many.
    fn begin_turn(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        while self.turn.is_none() && self.failed_calls < MAX_FAILURES {
            match self.adapter.begin_turn(&self.context) {
                Ok(turn) => self.turn = Some(turn),
                Err(error) => self.fail(&error, step)?,
            }
        }
        Ok(())
    }

    /// [`Fold::begin_turn`], told as what came of a record.
    fn begin_turn_at(&mut self, origin: Origin, step: &mut Step<'_>) -> io::Result<()> {
        if self.failed_calls < MAX_FAILURES {
            self.numbers.reach(origin);
            self.begin_turn(step)?;
        }
        Ok(())
    }

    /// A call that fails costs the turn's instance.
    fn fail(&mut self, error: &AdapterError, step: &mut Step<'_>) -> io::Result<()> {
        let session = &self.context.session_id;
        tracing::warn!(%error, session, "an adapter's call failed");
        self.failed_calls += 1;
        self.turn = None;
        let consequence = match self.failed_calls {
            ..MAX_FAILURES => "",
            _ => "; what follows is passed on as it stands",
        };
        let notice = EventBody::Notice {
            level: Level::Warning,
            text: format!("the runtime's adapter failed: {error}{consequence}"),
        };
        self.tell(notice, step)
    }

    /// What the adapter makes of lines, and an event for each line that it has forgotten.
    fn react_to(
        &mut self,
        reaction: Reaction,
        lines: &Lines,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        if let Some(last) = lines.lines.last() {
            self.dialogue.told(last.origin.time);
        }
        let mut account = Account::new(lines, &reaction);
        for action in reaction.actions {
            if let Action::Emit(emitted) = &action {
                let (forgotten, origin) = account.before(emitted.line);
                self.pass_on(lines, forgotten, step)?;
                if let Some(origin) = origin {
                    self.numbers.reach(origin);
                }
            }
            self.act(action, step)?;
        }
        self.pass_on(lines, account.rest(), step)
    }

    fn act(&mut self, action: Action, step: &mut Step<'_>) -> io::Result<()> {
        match action {
            Action::Emit(emitted) => self.note(emitted.event, step)?,
            Action::Remember(token) => {
                self.remember = Some(token.clone());
                step.deeds.push(Deed::Remember(token));
            }
            Action::WriteStdin(text) => {
                self.outside(aod_supervisor::Effect::Write(for_stdin(text)), step);
            }
            Action::CloseStdin => self.outside(aod_supervisor::Effect::CloseStdin, step),
            Action::EndTurn => self.outside(aod_supervisor::Effect::Close, step),
            Action::Ask(question) => self.ask(question, step)?,
            Action::WakeAfter(milliseconds) => self.dialogue.wake(milliseconds),
        }
        Ok(())
    }

    fn note(&mut self, event: Event, step: &mut Step<'_>) -> io::Result<()> {
        match &event {
            Event::Usage(usage) => self.usage += tell::usage(usage),
            Event::TurnResult(result) => self.failure.clone_from(&result.failure),
            _ => {}
        }
        self.tell(self.numbers.body(event), step)
    }

    fn tell(&mut self, body: EventBody, step: &mut Step<'_>) -> io::Result<()> {
        step.events.push(&self.numbers.event(body))
    }

    /// Takes the end of a turn whose supervisor has gone without recording one: what came last
    /// may lack its line end.
    pub(crate) fn break_off(&mut self, events: &mut EventWriter) -> Result<()> {
        let mut step = Step::new(events);
        self.hand_over_rest(&mut step).map_err(Error::internal)?;
        step.events.sync().map_err(Error::internal)
    }

    /// Tells the adapter that the process has ended, takes its last word, and forces the turn's
    /// events to the disk.
    pub(crate) fn finish(&mut self, exited: &Exited, events: &mut EventWriter) -> Result<()> {
        let mut step = Step::new(events);
        self.conclude(exited, &mut step).map_err(Error::internal)?;
        step.events.sync().map_err(Error::internal)
    }

    fn conclude(&mut self, exited: &Exited, step: &mut Step<'_>) -> io::Result<()> {
        let exit = Exit {
            code: exited.code,
            signal: exited.signal,
            cause: cause(exited.reason),
            stderr_tail: self.stderr_tail.clone(),
        };
        if self.turn.is_none() {
            self.begin_turn_at(self.end, step)?;
        }
        let Some(turn) = self.turn.take() else {
            return Ok(());
        };
        self.numbers.reach(self.end);
        match turn.finish(&exit) {
            Ok(conclusion) => {
                for event in conclusion.events {
                    self.note(event, step)?;
                }
                if conclusion.failure.is_some() {
                    self.failure = conclusion.failure;
                }
                if conclusion.remember.is_some() {
                    self.remember = conclusion.remember;
                }
                Ok(())
            }
            Err(error) => self.fail(&error, step),
        }
    }
}

/// Where the results of a step go.
struct Step<'a> {
    events: &'a mut EventWriter,
    deeds: Vec<Deed>,
}

impl<'a> Step<'a> {
    fn new(events: &'a mut EventWriter) -> Self {
        Self {
            events,
            deeds: Vec::new(),
        }
    }
}

const fn slot(stream: OutputStream) -> usize {
    match stream {
        OutputStream::Stdout => 0,
        OutputStream::Stderr => 1,
    }
}

/// Keeps the last bytes of a text, whole characters only.
fn keep_tail(tail: &mut String, more: &str) {
    tail.push_str(more);
    if tail.len() > STDERR_TAIL {
        let mut cut = tail.len() - STDERR_TAIL;
        while !tail.is_char_boundary(cut) {
            cut += 1;
        }
        tail.drain(..cut);
    }
}
