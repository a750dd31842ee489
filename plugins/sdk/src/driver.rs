use crate::{
    Adapter, Answer, Conclusion, Description, Exit, Out, OutputStream, Plan, Reaction, Turn,
    TurnContext,
};

/// Runs an adapter's turn as the host does: what `export_adapter!` exports, and what tests use.
#[allow(missing_debug_implementations, reason = "a turn need not be printable")]
pub struct Driver<A: Adapter> {
    turn: A::Turn,
}

impl<A: Adapter> Driver<A> {
    /// Begins a turn.
    ///
    /// Options that cannot be read are taken for none: `describe` and `plan` have refused them.
    #[must_use]
    pub fn new(context: TurnContext) -> Self {
        let options = options::<A>(&context.options).unwrap_or_default();
        Self {
            turn: A::turn(&options, context),
        }
    }

    /// Takes consecutive lines of one stream.
    pub fn feed(&mut self, source: OutputStream, lines: &str) -> Reaction {
        let mut out = Out::default();
        out.lines(source, lines, |source, line, out| {
            self.turn.line(source, line, out);
        });
        out.into_reaction()
    }

    /// Takes the answer to a question.
    pub fn answer(&mut self, answer: Answer) -> Reaction {
        self.with(|turn, out| turn.answer(answer, out))
    }

    /// Takes the passing of time.
    pub fn tick(&mut self, elapsed_ms: u64) -> Reaction {
        self.with(|turn, out| turn.tick(elapsed_ms, out))
    }

    /// Takes the user's wish to stop.
    pub fn interrupt(&mut self) -> Reaction {
        self.with(|turn, out| turn.interrupt(out))
    }

    /// Takes the end of the process.
    pub fn finish(&mut self, exit: Exit) -> Conclusion {
        self.turn.finish(exit)
    }

    fn with(&mut self, call: impl FnOnce(&mut A::Turn, &mut Out)) -> Reaction {
        let mut out = Out::default();
        call(&mut self.turn, &mut out);
        out.into_reaction()
    }
}

/// Calls [`Adapter::describe`] with options as the host has them, a JSON object.
///
/// # Errors
///
/// The options cannot be read, or the adapter refuses them.
pub fn describe<A: Adapter>(json: &str) -> Result<Description, String> {
    A::describe(&options::<A>(json)?)
}

/// Calls [`Adapter::plan`].
///
/// # Errors
///
/// The options cannot be read, or the turn cannot be run.
pub fn plan_turn<A: Adapter>(context: &TurnContext) -> Result<Plan, String> {
    A::plan(&options::<A>(&context.options)?, context)
}

fn options<A: Adapter>(json: &str) -> Result<A::Options, String> {
    if json.trim().is_empty() {
        return Ok(A::Options::default());
    }
    serde_json::from_str(json).map_err(|error| format!("options: {error}"))
}
