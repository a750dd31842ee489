//! The poll loop of one CLI process and the turns that it serves.

mod begin;

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aod_launch::{
    AllowanceReport, CallReport, CredentialReport, EgressServer, LimitExceeded, LimitPoller,
    Process, RenewedCredential, Status, TokenReport,
};
use aod_log::{Batch, Kind, Meta, Pace, Writer};
use aod_supervisor::{
    CredentialRecord, Exited, Interrupt, Reason, Redactor, Request, StartFailure,
};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::calls::{CallLog, Calls};
use super::clients::{Clients, refusal};
use super::ending::{Action, Ending, Event};
use super::failure::Failure;
use super::feed::Feed;
use super::harden::trim_heap;
use super::now::now_micros;
use super::output::{LARGE_PIPE, Output, Sink};
use super::requests::{HandlerContext, RequestHandler};

/// How much is read from a pipe at once: the larger size once a read has filled the smaller one.
const LARGE_READ: usize = 256 << 10;
const SMALL_READ: usize = 8 << 10;
/// How long lines are gathered that come one by one and fast.
const GATHER: Duration = Duration::from_millis(2);
/// A batch buffer of more than this is freed after use.
const KEPT_BATCH: usize = 512 << 10;
/// Once the CLI has ended, the processes it left behind may write for so long before they are
/// killed.
const LINGER_MS: u64 = 250;
/// Once the CLI has ended, its pipes are read for at most so long.
const DRAIN_MS: u64 = 2_000;
/// Once the CLI has ended, what serves its network may say for so long what it has not said yet. It
/// is less than [`LINGER_MS`], and so not swept up as an orphan meanwhile.
const LAST_WORDS_MS: u64 = 200;
/// How often orphans are killed meanwhile.
const SWEEP_MS: u64 = 50;
/// What was killed and has not ended after so long is killed again.
const KILL_AGAIN_MS: u64 = 2_000;
/// How long killed processes may take to die before the turn is recorded as ended all the same.
const LAST_SWEEP: Duration = Duration::from_secs(1);
/// So many reports of connections that were refused are recorded for a process.
const MAX_NETWORK_REPORTS: u32 = 300;
/// So many requests to the model that were refused are recorded for a turn: its CLI may go on trying.
const MAX_REFUSALS: u32 = 3;
/// So often a process's servers are recorded to have refused a credential: whoever has them do so
/// would have it renewed for ever.
const MAX_REFUSED: u32 = 100;
/// So long after the last event, buffers are freed.
const REST_MS: u64 = 1_000;

/// A CLI that runs, and its turn.
pub struct Turn {
    log: Writer,
    batch: Batch,
    log_error: Option<String>,
    redactor: Redactor,
    begun: bool,
    process: Process,
    /// The way out of the sandbox's network namespace.
    egress: Option<EgressServer>,
    /// What of it is closed last of all, since nobody is to wait for it.
    network_left: Option<Vec<OwnedFd>>,
    /// How many of its reports are on record.
    network_reports: u32,
    /// The last turn whose requests to the model are counted.
    allowed: Option<u32>,
    /// The last turn of which requests to the model were refused, and how often that is on record.
    refused: (u32, u32),
    /// What credentials are by now, of which the network's program is yet to be told.
    credentials: Vec<RenewedCredential>,
    /// How many credentials its servers are on record as having refused.
    refused_credentials: u32,
    /// Calls of tools that wait for somebody's answer.
    calls: Calls,
    status: Option<Status>,
    gone_at: u64,
    outputs: [Output; 2],
    feed: Feed,
    clients: Clients,
    requests: RequestHandler,
    socket: PathBuf,
    ending: Ending,
    interrupt: Interrupt,
    limits: LimitPoller,
    over_limit: Option<LimitExceeded>,
    /// When it was killed last, if it was.
    killed_at: Option<u64>,
    started: Instant,
    buffer: Vec<u8>,
    pace: Pace,
    /// Whether what is appended next is forced to the disk at once.
    must_sync: bool,
}

impl Turn {
    /// Runs the CLI to its last record.
    pub fn run(mut self) {
        // Before anybody is served.
        self.open_gateways();
        self.feed.advance();
        while !self.is_over() {
            let quiet = !self.wait();
            // The end before requests: a CLI that has ended can no longer be asked to stop.
            self.look_for_end();
            self.happens(Event::Time);
            if self.kill_again_at().is_some_and(|at| self.now() >= at) {
                self.kill();
            }
            self.poll_limits();
            // What it tells was there before what the CLI made of it, and belongs to the turn that
            // is being asked to end.
            self.serve_network();
            let read = self.read();
            self.serve();
            // Before a reply tells of a turn's beginning or end, and before the CLI is told anything.
            self.open_gateways();
            self.keep_calls();
            self.append();
            self.sync();
            self.renew_credentials();
            // The CLI is told, and replies are given, only once what was asked is in the log.
            self.feed.advance();
            self.clients.flush();
            self.calls.tell(self.egress.as_mut());
            if self.ending.is_gone() && self.since_gone() >= LINGER_MS {
                self.process.sweep();
            }
            if quiet {
                self.rest();
            }
            self.gather(read);
        }
        self.finish();
    }

    fn is_over(&self) -> bool {
        self.ending.is_gone()
            && self.egress.is_none()
            && (self.outputs.iter().all(|output| output.pipe.is_none())
                || self.since_gone() >= DRAIN_MS)
    }

    /// Waits until something happens or is due; false where nothing happened. The caller then tries
    /// everything: all descriptors are non-blocking.
    fn wait(&self) -> bool {
        let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(8);
        for pipe in self
            .outputs
            .iter()
            .filter_map(|output| output.pipe.as_ref())
        {
            polled.push(PollFd::new(pipe, PollFlags::IN));
        }
        if let Some(pipe) = self.feed.wants() {
            polled.push(PollFd::new(pipe, PollFlags::OUT));
        }
        if !self.ending.is_gone() {
            polled.push(PollFd::from_borrowed_fd(
                self.process.pidfd(),
                PollFlags::IN,
            ));
        }
        for socket in self.egress.iter().flat_map(EgressServer::wanted) {
            polled.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
        }
        if let Some(pipe) = self.egress.as_ref().and_then(EgressServer::wanted_to_write) {
            polled.push(PollFd::from_borrowed_fd(pipe, PollFlags::OUT));
        }
        for (client, flags) in self.clients.wants() {
            polled.push(PollFd::from_borrowed_fd(client, flags));
        }
        let timeout = self.longest_wait().map(|wait| Timespec {
            tv_sec: wait.as_secs().cast_signed(),
            tv_nsec: wait.subsec_nanos().into(),
        });
        matches!(rustix::event::poll(&mut polled, timeout.as_ref()), Ok(1..))
    }

    /// How long to wait at most: until the next thing is due.
    fn longest_wait(&self) -> Option<Duration> {
        let now = self.now();
        let due = self.ending.deadline().map(|at| at.saturating_sub(now));
        let sweep = self.ending.is_gone().then_some(SWEEP_MS);
        let rest = (self.buffer.capacity() + self.batch.capacity() > 0).then_some(REST_MS);
        let looks = self.over_limit.is_none() && !self.ending.is_gone();
        let look = self.limits.due().filter(|_| looks);
        let look = look.map(|at| at.saturating_sub(now));
        let again = self.kill_again_at().map(|at| at.saturating_sub(now));
        let millis = [due, sweep, rest, look, again].into_iter().flatten().min();
        let sync = self.log.sync_due();
        match (millis.map(Duration::from_millis), sync) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    fn poll_limits(&mut self) {
        if self.ending.is_gone() || self.over_limit.is_some() {
            return;
        }
        self.over_limit = self.limits.poll(self.now(), self.process.id());
        if self.over_limit.is_some() {
            self.happens(Event::OverLimit);
        }
    }

    fn look_for_end(&mut self) {
        if self.status.is_none() {
            self.status = self.process.status();
            if self.status.is_some() {
                self.gone_at = self.now();
                if self.over_limit.is_none() {
                    self.over_limit = self.process.out_of_memory();
                    if self.over_limit.is_some() {
                        self.happens(Event::OverLimit);
                    }
                }
                self.happens(Event::Gone);
                self.feed.abandon();
            }
        }
    }

    fn happens(&mut self, event: Event) {
        let action = self.ending.apply(self.now(), event);
        self.act(action);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::None => {}
            Action::CloseStdin => self.feed.close(),
            // Its adapter asks the CLI over stdin, when the host has read the recorded interrupt.
            Action::Signal
                if self.interrupt.by_dialogue
                    && matches!(self.ending.reason(), Reason::Interrupted | Reason::Limit) => {}
            Action::Signal => {
                if let Some(signal) = self.interrupt.signal {
                    self.process.signal(signal, self.interrupt.to);
                }
            }
            Action::Kill => self.kill(),
        }
    }

    fn kill(&mut self) {
        self.killed_at = Some(self.now());
        self.process.kill();
    }

    /// When to kill it again, with more force where there is more.
    fn kill_again_at(&self) -> Option<u64> {
        let at = self.killed_at.filter(|_| !self.ending.is_gone())?;
        Some(at.saturating_add(KILL_AGAIN_MS))
    }

    /// Reads one block of each stream, and says how many bytes there were. No more is read than is
    /// then appended: a CLI that is faster than the log blocks at its pipe.
    fn read(&mut self) -> usize {
        let mut read = 0;
        for output in &mut self.outputs {
            let Some(pipe) = &mut output.pipe else {
                continue;
            };
            if self.buffer.is_empty() {
                self.buffer = vec![0; SMALL_READ];
            }
            let mut sink = Sink {
                batch: &mut self.batch,
                redactor: &self.redactor,
                turn: self.requests.turn(),
                time: now_micros(),
                begun: &mut self.begun,
            };
            match pipe.read(&mut self.buffer) {
                Ok(0) => {
                    output.pipe = None;
                    output.lines.finish(&mut sink);
                }
                Ok(count) => {
                    read += count;
                    output.lines.take(&self.buffer[..count], &mut sink);
                    if count == self.buffer.len() && count < LARGE_READ {
                        self.buffer = vec![0; LARGE_READ];
                        output.grow();
                    }
                }
                Err(error) if is_transient(&error) => {}
                Err(_) => output.pipe = None,
            }
        }
        if read > 0 {
            self.happens(Event::Activity);
        }
        read
    }

    /// Lets lines gather that come one by one and fast: all that is done for one costs the same for
    /// many. A CLI that writes so much that its pipe could fill up meanwhile is not kept waiting.
    fn gather(&mut self, read: usize) {
        if (1..SMALL_READ).contains(&read) {
            let wait = self.pace.wait(Instant::now());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
        }
    }

    /// Reads what the CLI wrote before it ended. All of it is in the pipes now, so one pipe's size is
    /// read at most, and what other processes go on to write is not waited for.
    fn drain(&mut self) {
        for _ in 0..LARGE_PIPE / SMALL_READ {
            if self.read() == 0 {
                break;
            }
            self.append();
        }
    }

    fn serve(&mut self) {
        let now = self.now();
        let mut actions = Vec::new();
        let mut context = HandlerContext {
            feed: &mut self.feed,
            batch: &mut self.batch,
            redactor: &self.redactor,
            last_id: self.log.last_id(),
            outputs: &mut self.outputs,
            begun: &mut self.begun,
            ending: &mut self.ending,
            now,
            actions: &mut actions,
            must_sync: &mut self.must_sync,
            calls: &mut self.calls,
            credentials: &mut self.credentials,
        };
        let requests = &mut self.requests;
        self.clients.read(|request| {
            if context.ending.is_gone() && request != Request::Ping {
                return refusal("the turn is over");
            }
            requests.handle(request, &mut context)
        });
        for action in actions {
            self.act(action);
        }
    }

    /// Lets the sandbox use its credentials in turns, and not between them, and each turn make as many
    /// requests as it may.
    fn open_gateways(&mut self) {
        let in_turn = self.ending.is_in_turn();
        let turn = self.requests.turn();
        let most = self.requests.max_requests();
        let is_next = self.allowed.replace(turn) != Some(turn);
        let told = self.egress.as_ref().map(|egress| {
            if is_next {
                egress.allow(most)?;
            }
            egress.set_in_use(in_turn)
        });
        if matches!(told, Some(Err(_))) {
            // Rather no network than one that is open at the wrong time.
            self.egress = None;
        }
    }

    /// Has the gateways use what credentials are by now, which is hidden from then on.
    fn renew_credentials(&mut self) {
        for credential in std::mem::take(&mut self.credentials) {
            let value = credential.value.as_ref();
            if let Some(value) = value.and_then(|value| std::str::from_utf8(value.expose()).ok()) {
                self.redactor = self.redactor.and(&credential.credential, value);
            }
            if let Some(egress) = &mut self.egress {
                egress.renew(&credential);
            }
        }
    }

    /// Starts what serves the sandbox's network when it is wanted, and records what it reports.
    fn serve_network(&mut self) {
        let Some(egress) = &mut self.egress else {
            return;
        };
        if self.ending.is_gone() {
            // Nobody is left to connect, and its program is not to be swept up as an orphan.
            egress.finish();
        }
        let turn = self.requests.turn();
        let meta = Meta::new(Kind::Network, turn, now_micros());
        let takes_calls = self.ending.is_running();
        let mut record = |line: &[u8]| {
            if let Ok(report) = serde_json::from_slice::<CallReport>(line) {
                let mut log = CallLog {
                    turn,
                    batch: &mut self.batch,
                    redactor: &self.redactor,
                };
                self.calls.take(report, takes_calls, &mut log);
            } else if let Ok(CredentialReport::CredentialRefused(name)) =
                serde_json::from_slice(line)
            {
                if self.refused_credentials < MAX_REFUSED {
                    self.refused_credentials += 1;
                    let refused = CredentialRecord::CredentialRefused(name);
                    let json = serde_json::to_vec(&refused).unwrap_or_default();
                    let _ = self.batch.push(meta, &self.redactor.redact(&json));
                }
            } else if let Ok(report) = serde_json::from_slice::<TokenReport>(line) {
                // Numbers of the host's own, which hide no secret.
                let json = serde_json::to_vec(&report).unwrap_or_default();
                let _ = self.batch.push(meta, &json);
            } else if let Ok(report) = serde_json::from_slice::<AllowanceReport>(line) {
                let (last, times) = self.refused;
                let times = if last == turn { times } else { 0 };
                if times < MAX_REFUSALS {
                    self.refused = (turn, times + 1);
                    let json = serde_json::to_vec(&report).unwrap_or_default();
                    let _ = self.batch.push(meta, &json);
                }
            } else if self.network_reports < MAX_NETWORK_REPORTS {
                self.network_reports += 1;
                // A line is far shorter than the longest record.
                let _ = self.batch.push(meta, &self.redactor.redact(line));
            }
        };
        // What cannot be started now is tried again with the next connection.
        let _ = egress.advance(&mut record);
        let has_ended = !egress.is_running() || self.since_gone() >= LAST_WORDS_MS;
        if self.ending.is_gone() && has_ended {
            self.network_left = self.egress.take().map(EgressServer::end);
        }
    }

    /// Withdraws calls that nobody will answer, and stops the turn's clock while one waits.
    fn keep_calls(&mut self) {
        let is_held = self.egress.as_ref().is_some_and(EgressServer::is_running);
        if self.calls.is_waiting() && !(is_held && self.ending.is_running()) {
            self.calls.withdraw_all(&mut CallLog {
                turn: self.requests.turn(),
                batch: &mut self.batch,
                redactor: &self.redactor,
            });
        }
        self.happens(match self.calls.is_waiting() {
            true => Event::Hold,
            false => Event::Release,
        });
    }

    /// Appends the batch with one call.
    fn append(&mut self) {
        if self.log_error.is_some() {
            self.batch.clear();
        } else if let Err(error) = self.log.append(&mut self.batch) {
            self.log_failed(&error);
        }
        if self.batch.capacity() > KEPT_BATCH {
            self.batch.shrink_to(0);
            trim_heap();
        }
    }

    fn sync(&mut self) {
        let must_sync = std::mem::take(&mut self.must_sync);
        if self.log_error.is_some() {
            return;
        }
        let synced = match must_sync {
            true => self.log.sync(),
            false => self.log.sync_if_due(),
        };
        if let Err(error) = synced {
            self.log_failed(&error);
        }
    }

    /// Kills the CLI, because nothing it does can be recorded any more, and drops all clients, so
    /// that no reply confirms what is not in the log.
    fn log_failed(&mut self, error: &aod_log::Error) {
        let Failure(_, message) = Failure::new(StartFailure::Log, "output was lost", error);
        self.log_error = Some(message);
        // Before its pipes are closed, which would end it with another reason.
        self.happens(Event::LogFailed);
        self.batch.clear();
        for output in &mut self.outputs {
            output.pipe = None;
        }
        self.feed.abandon();
        self.clients.drop_all();
    }

    /// Frees buffers that were needed while there was much output.
    fn rest(&mut self) {
        if self.buffer.capacity() + self.batch.capacity() > 0 {
            self.buffer = Vec::new();
            self.batch.shrink_to(0);
            trim_heap();
        }
        for output in &mut self.outputs {
            output.shrink();
        }
    }

    fn finish(mut self) {
        // Whoever waits for this waits for what it still has to do, whatever the CLI has used.
        self.limits.end();
        self.drain();
        for output in &mut self.outputs {
            output.pipe = None;
            output.lines.finish(&mut Sink {
                batch: &mut self.batch,
                redactor: &self.redactor,
                turn: self.requests.turn(),
                time: now_micros(),
                begun: &mut self.begun,
            });
        }
        self.append();
        let deadline = Instant::now() + LAST_SWEEP;
        while !self.process.sweep() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        let [stdout, stderr] = &mut self.outputs;
        let (out, err) = (stdout.lines.take_counts(), stderr.lines.take_counts());
        let over_limit = self.over_limit.map(|exceeded| exceeded.to_string());
        let exited = Exited {
            code: self.status.and_then(|status| status.code),
            signal: self.status.and_then(|status| status.signal),
            reason: self.ending.reason(),
            killed: self.killed_at.is_some(),
            replaced_bytes: out.replaced + err.replaced,
            output_bytes: out.bytes + err.bytes,
            error: self.log_error.take().or(over_limit),
        };
        record_exited(&mut self.log, self.requests.turn(), &exited);
        let _ = std::fs::remove_file(&self.socket);
        let network_left = self.network_left.take();
        // The log's lock is released with the writer, here.
        drop(self);
        drop(network_left);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn since_gone(&self) -> u64 {
        self.now().saturating_sub(self.gone_at)
    }
}

/// Appends the turn's last record, for which the log reserves space, and syncs. Where even that
/// fails, the host finds the lock free and no such record, and fails the turn.
fn record_exited(log: &mut Writer, turn: u32, exited: &Exited) {
    let mut batch = Batch::new();
    let json = serde_json::to_vec(exited).unwrap_or_default();
    let _ = batch
        .push(Meta::new(Kind::Exited, turn, now_micros()), &json)
        .and_then(|()| log.append_final(&mut batch))
        .and_then(|_| log.sync());
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
