//! The beginning of a turn.

use std::os::unix::net::UnixListener;
use std::time::Instant;

use aod_launch::{Input, LimitPoller, Output as Outputs, Pipes, Process, StartOptions, start};
use aod_log::{Batch, Kind, Meta, Pace, Writer};
use aod_supervisor::{
    Exited, Fragment, Reason, Redactor, StartFailure, Started, Stdin, TurnSpec, listen,
};
use rustix::fs::Mode;

use super::{GATHER, Turn, record_exited};
use crate::process::calls::Calls;
use crate::process::clients::Clients;
use crate::process::ending::Ending;
use crate::process::failure::{Failure, with_causes};
use crate::process::feed::Feed;
use crate::process::now::now_micros;
use crate::process::output::Output;
use crate::process::requests::RequestHandler;

impl Turn {
    /// Records the turn's beginning and starts its CLI.
    pub fn begin(spec: TurnSpec, mut log: Writer) -> Result<(Self, Started), Failure> {
        let stdin = FirstInput::of(&spec)?;
        let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = listen(&spec.control_socket)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| {
                let what = format!("no control socket at {}", spec.control_socket.display());
                Failure::new(StartFailure::Control, &what, &error)
            })?;
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let redactor = Redactor::new(
            spec.secrets
                .iter()
                .filter(|secret| !secret.is_open)
                .map(|secret| (secret.name.as_str(), secret.value.as_str())),
        );
        let after_id = log.last_id();
        let mut batch = Batch::new();
        let begin = spec.begin.to_string();
        let begin = redactor.redact(begin.as_bytes());
        batch
            .push(Meta::new(Kind::Begin, spec.turn, now_micros()), &begin)
            .and_then(|()| log.append(&mut batch))
            .map_err(|error| Failure::new(StartFailure::Log, "no beginning", &error))?;
        let options = StartOptions {
            input: if stdin.is_none() {
                Input::Null
            } else {
                Input::Pipe
            },
            output: Outputs::Separate,
            umask: Some(umask.bits()),
        };
        let (process, pipes) = match start(&spec.launch, options) {
            Ok(started) => started,
            Err(error) => {
                let failure = Failure(StartFailure::Launch, with_causes(&error));
                record_exited(
                    &mut log,
                    spec.turn,
                    &Exited {
                        code: None,
                        signal: None,
                        reason: Reason::StartFailed,
                        killed: false,
                        replaced_bytes: 0,
                        output_bytes: 0,
                        error: Some(failure.1.clone()),
                    },
                );
                let _ = std::fs::remove_file(&spec.control_socket);
                return Err(failure);
            }
        };
        let started = Started {
            supervisor_pid: std::process::id(),
            pid: process.id(),
            generation: log.generation(),
            after_id,
        };
        Ok((
            Self::new(spec, stdin, process, pipes, listener, redactor, log),
            started,
        ))
    }

    fn new(
        mut spec: TurnSpec,
        stdin: Option<FirstInput>,
        process: Process,
        pipes: Pipes,
        listener: UnixListener,
        redactor: Redactor,
        log: Writer,
    ) -> Self {
        let (first, closing) = match stdin {
            None => (Vec::new(), true),
            Some(input) => (input.text, input.closing),
        };
        // Where nothing can be written to stdin, no secret is filled in.
        let secrets = match closing {
            true => Vec::new(),
            false => std::mem::take(&mut spec.secrets),
        };
        let asks = spec.interrupt.signal.is_some();
        Self {
            log,
            batch: Batch::new(),
            log_error: None,
            redactor,
            begun: false,
            process,
            egress: pipes.egress,
            network_left: None,
            network_reports: 0,
            allowed: None,
            refused: (0, 0),
            credentials: Vec::new(),
            refused_credentials: 0,
            calls: Calls::default(),
            status: None,
            gone_at: 0,
            outputs: [
                Output::new(Some(pipes.stdout), Kind::Stdout),
                Output::new(pipes.stderr, Kind::Stderr),
            ],
            feed: Feed::new(pipes.stdin, first, closing),
            clients: Clients::new(listener),
            requests: RequestHandler::new(spec.turn, secrets, spec.max_requests),
            socket: spec.control_socket.clone(),
            ending: Ending::new(spec.clock, asks),
            interrupt: spec.interrupt,
            limits: LimitPoller::new(&spec.launch).for_own_command(),
            over_limit: None,
            killed_at: None,
            started: Instant::now(),
            buffer: Vec::new(),
            pace: Pace::new(GATHER),
            must_sync: false,
        }
        // The specification, with what it holds, is dropped and overwritten here.
    }
}

/// What the CLI reads first.
struct FirstInput {
    text: Vec<u8>,
    /// Whether nothing follows it.
    closing: bool,
}

impl FirstInput {
    /// With its secrets filled in; none where there is no stdin.
    fn of(spec: &TurnSpec) -> Result<Option<Self>, Failure> {
        let (fragments, closing) = match &spec.stdin {
            Stdin::None => return Ok(None),
            Stdin::Text(fragments) => (fragments, true),
            Stdin::Open(fragments) => (fragments, false),
        };
        let mut filled = Fragment::fill(fragments, &spec.secrets).map_err(|name| {
            let message = format!(
                "the runtime's adapter asks for the secret {name:?}, which this turn does not have"
            );
            Failure(StartFailure::Spec, message)
        })?;
        Ok(Some(Self {
            text: std::mem::take(&mut *filled.text).into_bytes(),
            closing,
        }))
    }
}
