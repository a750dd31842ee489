use super::Recording;
use crate::{
    Action, Adapter, Context, Driver, Event, EventBody, Failure, Input, OutputSource, Prompt,
    Reaction,
};

/// All that an adapter made of a process with one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Actions, with `event.line` counted from the start of the replay; those at the end of the
    /// process among them.
    pub actions: Vec<Action>,
    /// Lines absorbed, counted in the same way.
    pub absorbed: Vec<u32>,
}

impl Replay {
    /// What the events tell.
    pub fn events(&self) -> impl Iterator<Item = &EventBody> {
        self.envelopes().map(|event| &event.body)
    }

    /// The events, with the turn and the call that they belong to.
    pub fn envelopes(&self) -> impl Iterator<Item = &Event> {
        self.actions.iter().filter_map(|action| match action {
            Action::Emit(event) => Some(event),
            _ => None,
        })
    }

    /// Why the turn failed, as its result tells.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.events().find_map(|event| match event {
            EventBody::TurnResult(result) => result.failure.as_ref(),
            _ => None,
        })
    }

    /// What the adapter wants remembered in the end.
    #[must_use]
    pub fn remembered(&self) -> Option<&str> {
        self.actions
            .iter()
            .rev()
            .find_map(|action| match action {
                Action::Remember(token) => Some(Some(token.as_str())),
                Action::Forget => Some(None),
                _ => None,
            })
            .flatten()
    }
}

/// Gives a new conversation its prompt and recorded output, stdout before stderr, in batches of as
/// many lines as `sizes` says and one by one after that, and the end of the process.
///
/// # Panics
///
/// A line has no event and is not absorbed either, or both.
pub fn replay<A: Adapter>(
    context: Context,
    prompt: Prompt,
    recording: &Recording,
    sizes: impl IntoIterator<Item = usize>,
) -> Replay {
    let mut sizes = sizes.into_iter().chain(std::iter::repeat(1));
    let mut driver = Driver::<A>::new(context, None);
    let mut actions = driver.receive(Input::Prompt(prompt)).actions;
    let mut absorbed = Vec::new();
    let mut base = 0;
    let streams = [
        (OutputSource::Stdout, &recording.stdout),
        (OutputSource::Stderr, &recording.stderr),
    ];
    for (source, output) in streams {
        let mut lines = output.split_inclusive('\n').peekable();
        while lines.peek().is_some() {
            let size = sizes.next().unwrap_or(1).max(1);
            let batch: Vec<&str> = lines.by_ref().take(size).collect();
            let reaction = driver.feed(source, &batch.concat());
            assert_nothing_lost(&reaction, batch.len());
            absorbed.extend(reaction.absorbed.iter().map(|line| line + base));
            // As in a host, output puts off the wish to be woken.
            actions.retain(|action| !matches!(action, Action::WakeAfter(_)));
            actions.extend(counted_from(base, reaction.actions));
            base += u32::try_from(batch.len()).unwrap_or(u32::MAX);
        }
    }
    actions.extend(counted_from(
        base,
        driver.finish(recording.exit.clone()).actions,
    ));
    Replay { actions, absorbed }
}

fn counted_from(base: u32, actions: Vec<Action>) -> impl Iterator<Item = Action> {
    actions.into_iter().map(move |mut action| {
        if let Action::Emit(event) = &mut action {
            event.line += base;
        }
        action
    })
}

fn assert_nothing_lost(reaction: &Reaction, lines: usize) {
    for line in (0..).take(lines) {
        let told = reaction
            .actions
            .iter()
            .any(|action| matches!(action, Action::Emit(event) if event.line == line));
        let absorbed = reaction.absorbed.contains(&line);
        assert!(
            told != absorbed,
            "line {line}: event {told}, absorbed {absorbed}"
        );
    }
}
