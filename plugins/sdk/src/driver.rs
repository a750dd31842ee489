use crate::{
    Adapter, Context, Conversation, Description, Exit, Input, Launch, Out, OutputSource, Prompt,
    Reaction, Refusal,
};

/// Runs an adapter's conversation as the host does: what `export_adapter!` exports, and what tests
/// use.
#[allow(
    missing_debug_implementations,
    reason = "a conversation need not be printable"
)]
pub struct Driver<A: Adapter> {
    conversation: A::Conversation,
}

impl<A: Adapter> Driver<A> {
    /// Begins a conversation.
    ///
    /// Options that cannot be read are taken for none: `describe` and `prepare` have refused them.
    #[must_use]
    pub fn new(context: Context, state: Option<Vec<u8>>) -> Self {
        let options = options::<A>(&context.options).unwrap_or_default();
        Self {
            conversation: A::conversation(&options, context, state),
        }
    }

    /// Takes an input.
    pub fn receive(&mut self, input: Input) -> Reaction {
        self.with(|conversation, out| match input {
            Input::Prompt(prompt) => conversation.prompt(prompt, out),
            Input::Inject(injection) => conversation.inject(injection, out),
            Input::Cancel(id) => conversation.cancel(&id, out),
            Input::Interrupt => conversation.interrupt(out),
            Input::Answer(answer) => conversation.answer(answer, out),
            Input::StopTask(task) => conversation.stop_task(&task, out),
            Input::CleanUp => conversation.clean_up(out),
            Input::Configure(settings) => conversation.configure(settings, out),
            Input::Fork(fork) => conversation.fork(fork, out),
            Input::Close => conversation.close(out),
        })
    }

    /// Takes consecutive lines of one source.
    pub fn feed(&mut self, source: OutputSource, lines: &str) -> Reaction {
        self.with(|conversation, out| {
            out.lines(source, lines, |source, line, out| {
                conversation.line(source, line, out);
            });
        })
    }

    /// Takes the passing of time.
    pub fn tick(&mut self, elapsed_ms: u64) -> Reaction {
        self.with(|conversation, out| conversation.tick(elapsed_ms, out))
    }

    /// Everything that is needed to go on from here.
    #[must_use]
    pub fn state(&self) -> Option<Vec<u8>> {
        self.conversation.state()
    }

    /// Takes the end of the process.
    pub fn finish(&mut self, exit: Exit) -> Reaction {
        self.with(|conversation, out| conversation.finish(exit, out))
    }

    fn with(&mut self, call: impl FnOnce(&mut A::Conversation, &mut Out)) -> Reaction {
        let mut out = Out::default();
        call(&mut self.conversation, &mut out);
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

/// Calls [`Adapter::prepare`].
///
/// # Errors
///
/// The options cannot be read, or the CLI cannot be started as asked.
pub fn prepare<A: Adapter>(context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
    let options = options::<A>(&context.options)
        .map_err(|problem| crate::failure::unsupported("options", &problem))?;
    A::prepare(&options, context, prompt)
}

fn options<A: Adapter>(json: &str) -> Result<A::Options, String> {
    if json.trim().is_empty() {
        return Ok(A::Options::default());
    }
    serde_json::from_str(json).map_err(|error| format!("options: {error}"))
}
