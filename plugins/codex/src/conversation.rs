//! A process of the CLI: one of `codex exec`, or one of `codex app-server`.

use aod_plugin_sdk::{
    Answer, Context, Conversation, Exit, Fork, Injection, InjectionState, Out, OutputSource, Prompt,
};

use crate::exec::Exec;
use crate::launch::is_spoken_to;
use crate::server::Server;

/// A process of the CLI.
#[derive(Debug)]
pub struct CodexConversation {
    context: Context,
    process: Process,
}

#[derive(Debug)]
enum Process {
    Exec(Box<Exec>),
    Server(Box<Server>),
}

impl CodexConversation {
    pub(crate) fn new(context: Context, state: Option<&[u8]>) -> Self {
        let process = match context.live {
            true => Process::Server(Box::new(Server::new(context.clone(), state))),
            // Unless its prompt says that it asks.
            false => Process::Exec(Box::new(Exec::new(&context))),
        };
        Self { context, process }
    }

    fn server(&mut self) -> Option<&mut Server> {
        match &mut self.process {
            Process::Server(server) => Some(server),
            Process::Exec(_) => None,
        }
    }
}

impl Conversation for CodexConversation {
    fn prompt(&mut self, prompt: Prompt, out: &mut Out) {
        if matches!(self.process, Process::Exec(_)) && is_spoken_to(&self.context, &prompt) {
            self.process = Process::Server(Box::new(Server::new(self.context.clone(), None)));
        }
        match &mut self.process {
            Process::Exec(exec) => exec.prompt(prompt, out),
            Process::Server(server) => server.prompt(prompt, out),
        }
    }

    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        match &mut self.process {
            Process::Exec(exec) => exec.line(source, line, out),
            Process::Server(server) => server.line(source, line, out),
        }
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        match &mut self.process {
            Process::Exec(exec) => exec.finish(exit, out),
            Process::Server(server) => server.finish(&exit, out),
        }
    }

    fn inject(&mut self, injection: Injection, out: &mut Out) {
        match self.server() {
            Some(server) => server.inject(injection, out),
            None => {
                let why = "this process reads nothing but its prompt";
                out.injected(injection.id, InjectionState::Refused, Some(why));
            }
        }
    }

    /// One that runs a single prompt is stopped by a signal.
    fn interrupt(&mut self, out: &mut Out) {
        if let Some(server) = self.server() {
            server.interrupt(out);
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        if let Some(server) = self.server() {
            server.answer(&answer, out);
        }
    }

    fn stop_task(&mut self, task_id: &str, out: &mut Out) {
        if let Some(server) = self.server() {
            server.stop_task(task_id, out);
        }
    }

    fn clean_up(&mut self, out: &mut Out) {
        if let Some(server) = self.server() {
            server.clean_up(out);
        }
    }

    fn fork(&mut self, fork: Fork, out: &mut Out) {
        match self.server() {
            Some(server) => server.fork(fork, out),
            None => {
                let kind = aod_plugin_sdk::FailureKind::Unsupported;
                let why = "this process reads nothing but its prompt";
                out.forked(fork.id, Err(aod_plugin_sdk::failure::failure(kind, why)));
            }
        }
    }

    fn tick(&mut self, _: u64, out: &mut Out) {
        if let Some(server) = self.server() {
            server.tick(out);
        }
    }

    fn state(&self) -> Option<Vec<u8>> {
        match &self.process {
            Process::Exec(_) => None,
            Process::Server(server) => server.state(),
        }
    }
}
