//! A process of a CLI that runs one prompt, or is spoken to.

use std::fmt::Debug;

use aod_plugin_sdk::{
    Answer, Context, Conversation, Exit, Fork, Injection, Out, OutputSource, Prompt, Setting,
};

use crate::conversation::AcpConversation;
use crate::dialect::Dialect;
use crate::profile::Profile;

/// The two ways in which a CLI is run.
pub trait Modes: Debug + Sized + 'static {
    /// One prompt a process.
    type Print: Conversation + Debug;
    /// What it tells beside the protocol when it is spoken to.
    type Dialect: Dialect;

    /// Whether a process is spoken to, which its first prompt decides.
    fn is_spoken_to(context: &Context, settings: &[Setting]) -> bool;

    /// Begins to read a process that runs one prompt.
    fn print(context: &Context) -> Self::Print;

    /// What is known of a process that is spoken to.
    fn spoken_to(context: &Context) -> (Profile, Self::Dialect);
}

/// A process of a CLI that runs one prompt, or is spoken to.
#[derive(Debug)]
pub struct Process<M: Modes> {
    context: Context,
    state: Option<Vec<u8>>,
    /// Known once the first prompt is.
    mode: Option<Mode<M>>,
}

#[derive(Debug)]
enum Mode<M: Modes> {
    Print(Box<M::Print>),
    SpokenTo(Box<AcpConversation<M::Dialect>>),
}

impl<M: Modes> Process<M> {
    /// Begins to read a process, or goes on with one from its state.
    #[must_use]
    pub fn new(context: Context, state: Option<Vec<u8>>) -> Self {
        let mut new = Self {
            context,
            state,
            mode: None,
        };
        // Only one that is spoken to has a state.
        if new.state.is_some() {
            new.mode = Some(new.spoken_to());
        }
        new
    }

    fn spoken_to(&mut self) -> Mode<M> {
        let (profile, dialect) = M::spoken_to(&self.context);
        let state = self.state.take();
        let context = self.context.clone();
        let process = AcpConversation::new(profile, dialect, context, state.as_deref());
        Mode::SpokenTo(Box::new(process))
    }

    fn mode(&mut self) -> &mut dyn Conversation {
        let mode = match self.mode.take() {
            Some(mode) => mode,
            None if M::is_spoken_to(&self.context, &[]) => self.spoken_to(),
            None => Mode::Print(Box::new(M::print(&self.context))),
        };
        match self.mode.insert(mode) {
            Mode::SpokenTo(process) => &mut **process,
            Mode::Print(print) => &mut **print,
        }
    }
}

impl<M: Modes> Conversation for Process<M> {
    fn prompt(&mut self, prompt: Prompt, out: &mut Out) {
        if self.mode.is_none() && M::is_spoken_to(&self.context, &prompt.settings) {
            self.mode = Some(self.spoken_to());
        }
        self.mode().prompt(prompt, out);
    }

    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        self.mode().line(source, line, out);
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        self.mode().finish(exit, out);
    }

    fn inject(&mut self, injection: Injection, out: &mut Out) {
        self.mode().inject(injection, out);
    }

    fn interrupt(&mut self, out: &mut Out) {
        self.mode().interrupt(out);
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        self.mode().answer(answer, out);
    }

    fn configure(&mut self, settings: Vec<Setting>, out: &mut Out) {
        self.mode().configure(settings, out);
    }

    fn fork(&mut self, fork: Fork, out: &mut Out) {
        self.mode().fork(fork, out);
    }

    fn close(&mut self, out: &mut Out) {
        self.mode().close(out);
    }

    fn tick(&mut self, elapsed_ms: u64, out: &mut Out) {
        self.mode().tick(elapsed_ms, out);
    }

    fn state(&self) -> Option<Vec<u8>> {
        match self.mode.as_ref()? {
            Mode::SpokenTo(process) => process.state(),
            Mode::Print(_) => None,
        }
    }
}
