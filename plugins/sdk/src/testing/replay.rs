use super::Recording;
use crate::{Action, Adapter, Conclusion, Driver, Event, OutputStream, Reaction, TurnContext};

/// All that an adapter made of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Actions, with `emitted.line` counted from the start of the replay.
    pub actions: Vec<Action>,
    /// Lines absorbed, counted in the same way.
    pub absorbed: Vec<u32>,
    /// The conclusion.
    pub conclusion: Conclusion,
}

impl Replay {
    /// The events, those of the conclusion included.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        let told = self.actions.iter().filter_map(|action| match action {
            Action::Emit(emitted) => Some(&emitted.event),
            _ => None,
        });
        told.chain(&self.conclusion.events)
    }

    /// What the adapter wants remembered in the end.
    #[must_use]
    pub fn remembered(&self) -> Option<&str> {
        let last = self.actions.iter().rev().find_map(|action| match action {
            Action::Remember(token) => Some(token.as_str()),
            _ => None,
        });
        self.conclusion.remember.as_deref().or(last)
    }
}

/// Feeds recorded output to a new turn, stdout before stderr, in batches of as many lines as
/// `sizes` says, and one by one when it has ended.
///
/// # Panics
///
/// A line has no event and is not absorbed either, or both.
pub fn replay<A: Adapter>(
    context: TurnContext,
    recording: &Recording,
    sizes: impl IntoIterator<Item = usize>,
) -> Replay {
    let mut sizes = sizes.into_iter().chain(std::iter::repeat(1));
    let mut driver = Driver::<A>::new(context);
    let mut actions = Vec::new();
    let mut absorbed = Vec::new();
    let mut base = 0;
    let streams = [
        (OutputStream::Stdout, &recording.stdout),
        (OutputStream::Stderr, &recording.stderr),
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
            actions.extend(reaction.actions.into_iter().map(|mut action| {
                if let Action::Emit(emitted) = &mut action {
                    emitted.line += base;
                }
                action
            }));
            base += u32::try_from(batch.len()).unwrap_or(u32::MAX);
        }
    }
    Replay {
        actions,
        absorbed,
        conclusion: driver.finish(recording.exit.clone()),
    }
}

fn assert_nothing_lost(reaction: &Reaction, lines: usize) {
    for line in (0..).take(lines) {
        let told = reaction
            .actions
            .iter()
            .any(|action| matches!(action, Action::Emit(emitted) if emitted.line == line));
        let absorbed = reaction.absorbed.contains(&line);
        assert!(
            told != absorbed,
            "line {line}: event {told}, absorbed {absorbed}"
        );
    }
}
