//! A process and its turns as a fold over the log: what is recorded goes into its adapter, what it
//! means comes out.

mod again;
mod begin;
mod calls;
mod counted;
mod coverage;
mod dialogue;
mod form;
mod ids;
mod last;
mod limits;
mod lines;
mod network;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use aod_log::{Kind, Reader, Record};
use aod_resources::event::{Event, EventBody, Failure, Level, Notice, StopKind, TurnResult};
use aod_resources::{ReachedLimit, Timestamp, Usage};
use aod_runtime::types::{
    Action, Context, Description, Emitted, Exit, Input, Item, OutputSource, Prompt, Reaction,
    TurnReference,
};
use aod_runtime::{Adapter, Conversation};
use aod_streams::events::EventWriter;
use aod_supervisor::{Exited, TurnEnded};

use self::again::Again;
use self::begin::notices_of;
use self::counted::Counted;
use self::coverage::{LineCoverage, unparsed};
use self::dialogue::Dialogue;
use self::ids::EventIdAllocator;
use self::last::Last;
use self::limits::Rounds;
use self::lines::{Lines, Origin, Pending};
use self::usage::TurnUsage;
use super::attachments::Attachments;
use super::conclude::cause;
use super::context::Start;
use super::measure;
use crate::{Error, Result};

pub(super) use self::dialogue::{Due, QuestionState, TimerAction, for_stdin};
pub use self::form::json_schema;
pub(super) use self::limits::{TurnLimits, limit_text, stop_by};

/// Lines are handed over in batches of about this many bytes, and of no more lines than this: what
/// an adapter makes of each line counts towards the bounds of a call's time and reply.
const BATCH: usize = 256 << 10;
const BATCH_LINES: usize = 4096;
/// What a record counts for beside its content, where reading is bounded.
const RECORD: usize = 64;
/// How much of stderr is kept for messages.
const STDERR_TAIL: usize = 4 << 10;
/// After so many failed calls a turn goes on without its adapter.
const MAX_FAILURES: u32 = 3;

/// What the host is to do outside of the log.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Keep this for the next turn; nothing: the next turn begins afresh.
    Remember(Option<String>),
    /// Have the supervisor do this, the effect of this number in the turn.
    Outside(u64, aod_supervisor::Effect),
    /// Note what was asked, under this id: the question, or the call of a tool.
    Asked(String, serde_json::Value),
    /// Note that the question of this id waits for no answer any more.
    Settled(String),
}

/// How an adapter ends a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closing {
    /// The process stays.
    Rest,
    /// The process is to exit.
    Close,
}

/// What reading on has come to.
pub(crate) struct Advance {
    /// What is to be done.
    pub(crate) effects: Vec<Effect>,
    /// Whether there is more to be read.
    pub(crate) is_behind: bool,
}

/// What a fold begins with.
pub(crate) struct FoldInput {
    pub(crate) adapter: Arc<Adapter>,
    pub(crate) context: Context,
    /// The prompts of the process's turns so far, the last of which is the one to be told; those
    /// before it were told by an earlier host.
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) start: Start,
    pub(crate) rests: bool,
    pub(crate) attachments: Attachments,
}

/// The state of a fold.
pub(crate) struct Fold {
    adapter: Arc<Adapter>,
    context: Context,
    /// The prompt of the turn that runs, or ran last.
    prompt: Prompt,
    /// Those of the turns that follow.
    following: VecDeque<Prompt>,
    /// Turns before this one were told by an earlier host.
    told_from: u32,
    start: Start,
    /// Whether the process may stay when its turn is over.
    rests: bool,
    attachments: Attachments,
    conversation: Option<Conversation>,
    /// What a new conversation goes on from, which had been told all turns before this one.
    state: Option<Vec<u8>>,
    failed_calls: u32,
    begun: bool,
    /// When the turn began, until its agent has said or done something.
    is_silent_since: Option<i64>,
    pending: [Pending; 2],
    /// The source that has whole lines pending, if any has.
    current: OutputSource,
    ids: EventIdAllocator,
    last: Last,
    dialogue: Dialogue,
    usage: TurnUsage,
    /// What its providers said that it used.
    counted: Counted,
    /// Tokens that servers refuse, each with which refusal of the process's it is, until the host has
    /// said what they are by now.
    refused_tokens: BTreeMap<String, u64>,
    /// How many refusals of tokens are on record.
    refusals: u64,
    rounds: Rounds,
    /// The limits that hold in the turn.
    limits: TurnLimits,
    /// The limit that has ended it.
    pub(crate) limit: Option<ReachedLimit>,
    /// Whether its answer was asked for once more.
    again: Again,
    /// How the turn was asked to end, if it was.
    closing: Option<Closing>,
    pub(crate) failure: Option<Failure>,
    /// What the turn came to, as was told last.
    pub(crate) result: Option<TurnResult>,
    /// What the adapter last asked to be kept, or to be forgotten.
    pub(crate) remember: Option<Option<String>>,
    /// How the turn ended, if its process stays.
    pub(crate) ended: Option<TurnEnded>,
    pub(crate) exited: Option<Exited>,
    /// Where that stands.
    end: Origin,
    stderr_tail: String,
}

/// Whether an event tells what an agent says or does.
const fn is_of_agent(body: &EventBody) -> bool {
    use EventBody::{Message, MessageDelta, Reasoning, ReasoningDelta, ToolCall};
    matches!(
        body,
        MessageDelta(_) | Message(_) | ReasoningDelta(_) | Reasoning(_) | ToolCall(_)
    )
}

impl Fold {
    /// Begins at the process's first `Begin` record, wherever in front of it the reader stands.
    ///
    /// # Panics
    /// Without a prompt.
    pub(crate) fn new(input: FoldInput) -> Self {
        let mut following = VecDeque::from(input.prompts);
        let told_from = following.back().map_or(0, |prompt| prompt.turn);
        #[expect(clippy::expect_used, reason = "every process has a first turn")]
        let prompt = following.pop_front().expect("a prompt");
        Self {
            ids: EventIdAllocator::new(prompt.turn),
            adapter: input.adapter,
            context: input.context,
            prompt,
            following,
            told_from,
            start: input.start,
            rests: input.rests,
            attachments: input.attachments,
            conversation: None,
            state: None,
            failed_calls: 0,
            begun: false,
            is_silent_since: None,
            pending: Default::default(),
            current: OutputSource::Stdout,
            last: Last::default(),
            dialogue: Dialogue::default(),
            usage: TurnUsage::default(),
            counted: Counted::default(),
            refused_tokens: BTreeMap::new(),
            refusals: 0,
            rounds: Rounds::default(),
            limits: TurnLimits::default(),
            limit: None,
            again: Again::No,
            closing: None,
            failure: None,
            result: None,
            remember: None,
            ended: None,
            exited: None,
            end: Origin::default(),
            stderr_tail: String::new(),
        }
    }

    /// The process is given another turn: its `Begin` will follow.
    pub(crate) fn expect(&mut self, prompt: Prompt) {
        self.following.push_back(prompt);
    }

    /// What the turn has used.
    pub(crate) fn usage(&self) -> Usage {
        self.usage.sum
    }

    /// What the adapter says of its CLI.
    pub(crate) fn description(&self) -> &Description {
        self.adapter.description()
    }

    /// What speaks for the CLI.
    pub(crate) fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// How many refusals of tokens are on record.
    pub(crate) const fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Tokens that servers refuse, by their variables, with which refusal that is, from 1.
    pub(crate) fn refused_tokens(&self) -> impl Iterator<Item = (&str, u64)> {
        let tokens = self.refused_tokens.iter();
        tokens.map(|(variable, number)| (variable.as_str(), *number))
    }

    /// The credentials whose tokens can be renewed.
    pub(crate) fn oauth(&self) -> impl Iterator<Item = &str> {
        self.adapter.oauth().keys().map(String::as_str)
    }

    /// Whether the turn was given a secret of that name.
    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.context.secrets.iter().any(|known| known == name)
    }

    /// The last lines of stderr.
    pub(crate) fn stderr_tail(&self) -> &str {
        &self.stderr_tail
    }

    /// Reads what is there, up to the turn's `Exited` and until it has read `most` bytes, stores the
    /// events that it gives, and returns what is to be done. Blocks for as long as the adapter
    /// computes.
    pub(crate) fn advance(
        &mut self,
        reader: &mut Reader,
        events: &mut EventWriter,
        most: usize,
    ) -> Result<Advance> {
        let mut step = Step::new(events);
        let mut read = 0;
        let mut is_behind = true;
        while self.exited.is_none() && read < most {
            let Some(record) = reader.next().map_err(Error::internal)? else {
                is_behind = false;
                break;
            };
            read += record.payload.len() + RECORD;
            if record.kind == Kind::Begin
                && self
                    .following
                    .front()
                    .is_some_and(|next| next.turn == record.turn)
            {
                self.next_turn(&mut step).map_err(Error::internal)?;
            }
            if record.turn == self.prompt.turn {
                self.take(&record, &mut step).map_err(Error::internal)?;
            }
            // Its end is committed before what follows is told.
            if record.kind == Kind::TurnEnded && self.is_told() {
                break;
            }
        }
        self.hand_over(&mut step).map_err(Error::internal)?;
        if self.exited.is_some() {
            self.hand_over_rest(&mut step).map_err(Error::internal)?;
        }
        step.events.flush().map_err(Error::internal)?;
        Ok(Advance {
            effects: step.effects,
            is_behind: is_behind && self.exited.is_none(),
        })
    }

    /// Whether what the turn gives is to be told: not if an earlier host has.
    pub(super) const fn is_told(&self) -> bool {
        self.prompt.turn >= self.told_from
    }

    /// Goes on with the next turn of the process.
    fn next_turn(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        self.hand_over(step)?;
        let Some(prompt) = self.following.pop_front() else {
            return Ok(());
        };
        // What was to be done for the last turn's sake comes too late.
        step.effects
            .retain(|effect| matches!(effect, Effect::Remember(_)));
        self.ids = self.ids.next_turn(prompt.turn);
        self.prompt = prompt;
        self.last = self.last.next_turn();
        self.dialogue = Dialogue::default();
        self.usage = TurnUsage::default();
        self.counted = Counted::default();
        self.refused_tokens.clear();
        self.rounds = Rounds::default();
        self.limit = None;
        self.again = Again::No;
        self.closing = None;
        self.failure = None;
        self.result = None;
        self.remember = None;
        self.ended = None;
        self.stderr_tail.clear();
        self.begun = false;
        Ok(())
    }

    fn take(&mut self, record: &Record<'_>, step: &mut Step<'_>) -> io::Result<()> {
        let origin = Origin {
            entry: record.id,
            time: record.time,
        };
        match record.kind {
            Kind::Begin => {
                self.begun = true;
                self.is_silent_since = Some(origin.time);
                self.ids.begin(origin);
                self.last.begin(origin.time);
                self.limits = limits_of(record.payload);
                self.tell_start(&notices_of(record.payload), step)?;
                if self.conversation.is_some() {
                    self.dialogue.told(origin.time);
                    let prompt = Input::Prompt(self.prompt.clone());
                    self.call(step, |conversation| conversation.receive(&prompt))?;
                // Otherwise the adapter begins with the first line that it is fed: most of the
                // time a silent turn's instance would be all that it costs.
                } else if self.start.is_dialogue {
                    self.dialogue.told(origin.time);
                    self.begin(step)?;
                }
            }
            Kind::TurnEnded if self.begun => {
                self.hand_over(step)?;
                self.ids.reach(origin);
                self.dialogue.done();
                self.tell_last(step)?;
                self.ended = serde_json::from_slice(record.payload).ok();
                self.keep_state(step)?;
            }
            Kind::Stdout | Kind::Stderr if self.begun => {
                let source = match record.kind {
                    Kind::Stdout => OutputSource::Stdout,
                    _ => OutputSource::Stderr,
                };
                let text = record.text();
                let pending = self.pending();
                let is_full = pending.bytes() + text.len() > BATCH || pending.len() >= BATCH_LINES;
                if source != self.current || is_full {
                    self.hand_over(step)?;
                    self.current = source;
                }
                if source == OutputSource::Stderr {
                    keep_tail(&mut self.stderr_tail, text);
                }
                self.pending().push(text, origin);
                self.dialogue.heard();
            }
            Kind::Answer
            | Kind::Input
            | Kind::Tick
            | Kind::Interrupt
            | Kind::Stdin
            | Kind::Note
                if self.begun =>
            {
                // What was said before it is heard before it.
                self.hand_over(step)?;
                self.ids.reach(origin);
                self.take_dialogue(record, step)?;
            }
            Kind::Network if self.begun => {
                self.hand_over(step)?;
                self.ids.reach(origin);
                self.take_network(record, step)?;
            }
            Kind::Call if self.begun => {
                self.hand_over(step)?;
                self.ids.reach(origin);
                self.take_call(record, step)?;
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

    /// Either source may have ended within a line.
    fn hand_over_rest(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        let other = match self.current {
            OutputSource::Stdout => OutputSource::Stderr,
            _ => OutputSource::Stdout,
        };
        for source in [self.current, other] {
            let lines = self.pending[slot(source)].take_rest();
            self.feed_all(source, lines, step)?;
        }
        Ok(())
    }

    fn feed_all(
        &mut self,
        source: OutputSource,
        lines: Lines,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        if lines.len() == 0 {
            return Ok(());
        }
        for lines in lines.stretches() {
            self.feed(source, &lines, step)?;
        }
        Ok(())
    }

    /// Feeds lines. Where that fails they are fed one by one to a new instance, so that one bad
    /// line costs no other, and the same one costs the same however lines were batched.
    fn feed(&mut self, source: OutputSource, lines: &Lines, step: &mut Step<'_>) -> io::Result<()> {
        let first = lines.lines.first().filter(|line| !line.too_long);
        let is_fed = first.is_some();
        if let Some(first) = first.filter(|_| self.conversation.is_none()) {
            self.begin_at(first.origin, step)?;
        }
        let fed = match &mut self.conversation {
            Some(conversation) if is_fed => conversation.feed(source, &lines.text),
            _ => return self.pass_on(lines, 0..lines.len(), step),
        };
        match fed {
            Ok(reaction) => self.react_to(reaction, lines, step),
            Err(error) if lines.len() > 1 => {
                tracing::debug!(%error, "an adapter's call failed; once more, line by line");
                self.conversation = None;
                self.replace(step)?;
                for line in 0..lines.len() {
                    self.feed(source, &lines.part(line..line + 1), step)?;
                }
                Ok(())
            }
            Err(error) => {
                self.ids.reach(lines.lines[0].origin);
                self.fail(&error, step)?;
                self.pass_on(lines, 0..1, step)?;
                self.replace(step)
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
            self.ids.reach(lines.lines[line].origin);
            self.tell(unparsed(lines.line(line)), step)?;
        }
        Ok(())
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
        let mut coverage = LineCoverage::new(lines, &reaction);
        for action in reaction.actions {
            if let Action::Emit(emitted) = &action {
                let (forgotten, origin) = coverage.before(emitted.line);
                self.pass_on(lines, forgotten, step)?;
                if let Some(origin) = origin {
                    self.ids.reach(origin);
                }
            }
            self.act(action, step)?;
        }
        self.pass_on(lines, coverage.rest(), step)
    }

    fn act_all(&mut self, reaction: Reaction, step: &mut Step<'_>) -> io::Result<()> {
        reaction
            .actions
            .into_iter()
            .try_for_each(|action| self.act(action, step))
    }

    fn act(&mut self, action: Action, step: &mut Step<'_>) -> io::Result<()> {
        match action {
            Action::Emit(emitted) => self.emit(emitted, step)?,
            Action::Remember(token) => self.remember(Some(token), step),
            Action::Forget => self.remember(None, step),
            Action::WriteStdin(text) => {
                let text = match self.is_told() {
                    true => for_stdin(text, &self.attachments)?,
                    // An earlier host has had it written: it only counts.
                    false => Vec::new(),
                };
                self.outside(aod_supervisor::Effect::Write(text), step);
            }
            Action::CloseStdin => self.outside(aod_supervisor::Effect::CloseStdin, step),
            Action::EndTurn => {
                if !self.ask_again(step)? {
                    self.end_turn(Closing::Rest, step);
                }
            }
            Action::Close => {
                self.tell_held(step)?;
                self.end_turn(Closing::Close, step);
            }
            Action::Ask(question) => self.ask(question, step)?,
            Action::Withdraw(question) => self.withdraw(question, step)?,
            Action::WakeAfter(milliseconds) => self.dialogue.wake(milliseconds),
            // What the CLI does by itself is told as a part of the turn that its process serves.
            Action::OpenTurn(cause) => {
                let text = "the CLI goes on by itself";
                let started = notice(Level::Info, "turn.unasked", text);
                tracing::debug!(?cause, "a CLI begins a turn by itself");
                self.tell(started, step)?;
            }
            Action::Injected(outcome) => self.tell_input(outcome, step)?,
            // Nobody has asked for it.
            Action::Forked(_) => {}
        }
        Ok(())
    }

    /// Without a process that is to stay, both ways to end a turn come to the same.
    fn end_turn(&mut self, how: Closing, step: &mut Step<'_>) {
        let (closing, effect) = match how {
            Closing::Rest if self.rests => (how, aod_supervisor::Effect::EndTurn),
            _ => (Closing::Close, aod_supervisor::Effect::Close),
        };
        // A process at rest may still be closed; all else was said.
        if self.closing.is_none_or(|earlier| earlier < closing) {
            self.closing = Some(closing);
            self.outside(effect, step);
        }
    }

    /// Keeps what another instance would go on from, between turns.
    fn keep_state(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        let Some(conversation) = &mut self.conversation else {
            return Ok(());
        };
        match conversation.state() {
            Ok(state) => self.state = state,
            Err(error) => self.fail(&error, step)?,
        }
        Ok(())
    }

    fn remember(&mut self, token: Option<String>, step: &mut Step<'_>) {
        self.remember = Some(token.clone());
        if self.is_told() {
            step.effects.push(Effect::Remember(token));
        }
    }

    /// Tells what an adapter emits, with the host's numbers in the place of the adapter's.
    fn emit(&mut self, emitted: Emitted, step: &mut Step<'_>) -> io::Result<()> {
        let Emitted {
            turn,
            inside,
            item,
            mut body,
            ..
        } = emitted;
        let is_difference = item != Item::TurnTotal;
        match &mut body {
            EventBody::Usage(used) => {
                if !is_difference {
                    *used = self.usage.difference(used.clone());
                }
                self.usage.add(used);
            }
            EventBody::TurnResult(result) => {
                result.duration_ms.get_or_insert(self.ids.elapsed());
                // What the CLI has done to its end was not stopped, though that was asked for.
                let is_done = result.stop == StopKind::Completed && !result.is_error;
                match self.limit_met().filter(|_| !is_done) {
                    Some(limit) => stop_by(result, &limit),
                    None => {
                        form::hold(result, self.prompt.output_schema.as_deref());
                        limits::name(result, &self.limits.asked);
                    }
                }
                if self.wants_answer_again(result) {
                    return Ok(());
                }
                self.compare_counted(result, step)?;
                self.failure.clone_from(&result.failure);
                self.result = Some(result.clone());
            }
            EventBody::MessageDelta(delta) | EventBody::ReasoningDelta(delta) => {
                if let Item::About(item) = item {
                    delta.message = self.ids.reserve(item);
                }
            }
            EventBody::MessageDiscarded(discarded) => {
                if let Item::About(item) = item {
                    // What comes under this number from now on is another message.
                    discarded.message = self.ids.redeem(item);
                }
            }
            _ => {}
        }
        let is_current = match turn {
            TurnReference::None => false,
            TurnReference::Number(turn) => turn == self.prompt.turn,
            _ => true,
        };
        if is_current {
            self.note_files(&body);
            if let EventBody::TurnResult(result) = body {
                return self.tell_end(inside, result, step);
            }
        }
        let mut event = match (turn, item) {
            (TurnReference::None, _) => self.ids.late_event(None, body),
            (TurnReference::Number(turn), _) if turn != self.prompt.turn => {
                self.ids.late_event(Some(turn), body)
            }
            (_, Item::Whole(item)) => {
                let ordinal = self.ids.redeem(item);
                self.ids.event_at(ordinal, body)
            }
            _ => self.ids.event(body),
        };
        event.inside = inside;
        if event.turn == Some(self.prompt.turn) {
            self.rounds.take(&event, is_difference);
        }
        self.push(&event, step)
    }

    fn tell(&mut self, body: EventBody, step: &mut Step<'_>) -> io::Result<()> {
        let event = self.ids.event(body);
        self.push(&event, step)
    }

    fn push(&mut self, event: &Event, step: &mut Step<'_>) -> io::Result<()> {
        if let Some(began) = self.is_silent_since
            && self.is_told()
            && is_of_agent(&event.body)
        {
            self.is_silent_since = None;
            let began = Timestamp::from_micros(began);
            measure::first_event(self.adapter.runtime(), began, event.at);
        }
        match self.is_told() {
            true => step.events.push(event),
            false => Ok(()),
        }
    }

    /// Says that what the turn wrote from here on is not told.
    pub(crate) fn cut_short(&mut self, events: &mut EventWriter) -> Result<()> {
        let mut step = Step::new(events);
        let text = "the session was terminated before all that its turn had written was told here; \
                    the native stream has all of it";
        self.tell(notice(Level::Warning, "events.cut", text), &mut step)
            .and_then(|()| self.tell_last(&mut step))
            .map_err(Error::internal)?;
        step.events.sync().map_err(Error::internal)
    }

    /// Takes the end of a turn whose supervisor has gone without recording one: what came last
    /// may lack its line end.
    pub(crate) fn break_off(&mut self, events: &mut EventWriter) -> Result<()> {
        let mut step = Step::new(events);
        self.hand_over_rest(&mut step)
            .and_then(|()| self.tell_last(&mut step))
            .map_err(Error::internal)?;
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
        if self.conversation.is_none() {
            self.begin_at(self.end, step)?;
        }
        let Some(conversation) = self.conversation.take() else {
            return self.tell_last(step);
        };
        self.ids.reach(self.end);
        match conversation.finish(&exit) {
            Ok(reaction) => self.act_all(reaction, step)?,
            Err(error) => self.fail(&error, step)?,
        }
        self.tell_last(step)
    }
}

/// Something for the session's readers to know that no adapter has told.
pub(super) fn notice(level: Level, code: &str, text: impl Into<String>) -> EventBody {
    EventBody::Notice(Notice {
        level,
        text: text.into(),
        code: Some(code.to_owned()),
    })
}

/// The limits that a turn's `Begin` keeps.
fn limits_of(begin: &[u8]) -> TurnLimits {
    #[derive(serde::Deserialize)]
    struct Begin {
        #[serde(default)]
        limits: TurnLimits,
        #[serde(default)]
        endpoints: Vec<super::context::GivenEndpoint>,
    }
    let Ok(begin) = serde_json::from_slice::<Begin>(begin) else {
        return TurnLimits::default();
    };
    let endpoints = begin.endpoints;
    TurnLimits {
        gateways_count: !endpoints.is_empty() && endpoints.iter().all(|it| it.is_gateway),
        ..begin.limits
    }
}

/// Where the results of a step go.
struct Step<'a> {
    events: &'a mut EventWriter,
    effects: Vec<Effect>,
}

impl<'a> Step<'a> {
    fn new(events: &'a mut EventWriter) -> Self {
        Self {
            events,
            effects: Vec::new(),
        }
    }
}

const fn slot(source: OutputSource) -> usize {
    match source {
        OutputSource::Stdout => 0,
        _ => 1,
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
