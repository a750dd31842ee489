//! Calls of tools that wait for somebody's answer, whether the host lives or not.

use std::collections::BTreeMap;

use aod_launch::{CallAnswer, CallReply, CallReport, EgressServer, HeldCall};
use aod_log::{Batch, Kind, Meta};
use aod_supervisor::{Answer, AskedCall, CallRecord, Redactor};

use super::now::now_micros;

/// What the ids of calls begin with. No adapter's question has such an id.
const PREFIX: &str = "aod-call-";
/// So many may wait at once; further ones are answered at once that there is no answer.
const MOST: usize = 64;

/// The calls that wait, and which were there before.
#[derive(Default)]
pub struct Calls {
    /// The egress program's numbers, by the ids under which users answer.
    held: BTreeMap<String, u64>,
    /// How many were asked in the process's life.
    asked: u64,
    /// What the egress program is to be told once the batch is in the log.
    replies: Vec<CallReply>,
}

/// Where calls are recorded.
pub struct CallLog<'a> {
    pub turn: u32,
    pub batch: &'a mut Batch,
    pub redactor: &'a Redactor,
}

impl CallLog<'_> {
    fn record(&mut self, record: &CallRecord) {
        let json = serde_json::to_vec(record).unwrap_or_default();
        let meta = Meta::new(Kind::Call, self.turn, now_micros());
        // A report is far shorter than the longest record.
        let _ = self.batch.push(meta, &self.redactor.redact(&json));
    }
}

impl Calls {
    /// Whether any waits.
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes what the egress program reports of calls; `takes` is whether a turn runs that may ask.
    pub fn take(&mut self, report: CallReport, takes: bool, log: &mut CallLog<'_>) {
        match report {
            CallReport::CallHeld(call) if takes && self.held.len() < MOST => {
                self.hold(call, log);
            }
            CallReport::CallHeld(call) => self.replies.push(CallReply {
                id: call.id,
                answer: None,
            }),
            CallReport::CallDropped(id) => {
                let held = self.held.iter().find(|(_, held)| **held == id);
                if let Some(request_id) = held.map(|(request_id, _)| request_id.clone()) {
                    self.held.remove(&request_id);
                    log.record(&CallRecord::Withdrawn { request_id });
                }
            }
        }
    }

    fn hold(&mut self, call: HeldCall, log: &mut CallLog<'_>) {
        self.asked += 1;
        let request_id = format!("{PREFIX}{}-{}", log.turn, self.asked);
        log.record(&CallRecord::Asked(AskedCall {
            request_id: request_id.clone(),
            kind: call.kind,
            server: call.server,
            tool: call.tool,
            input: call.input,
            deadline_ms: call.deadline_ms,
            default: call.default,
        }));
        self.held.insert(request_id, call.id);
    }

    /// Whether an answer to this would be one to a call that waits no more.
    pub fn is_over(&self, question: &str) -> bool {
        question.starts_with(PREFIX) && !self.held.contains_key(question)
    }

    /// Gives a call the answer that was recorded, if one of this id waits.
    pub fn answer(&mut self, answer: &Answer) {
        if let Some(id) = self.held.remove(&answer.question) {
            self.replies.push(CallReply {
                id,
                answer: Some(CallAnswer {
                    content: answer.value.clone(),
                    is_error: answer.is_error,
                }),
            });
        }
    }

    /// Nobody will answer those that wait: the turn is being stopped, or is over, or whoever held
    /// them has ended.
    pub fn withdraw_all(&mut self, log: &mut CallLog<'_>) {
        for (request_id, id) in std::mem::take(&mut self.held) {
            self.replies.push(CallReply { id, answer: None });
            log.record(&CallRecord::Withdrawn { request_id });
        }
    }

    /// Tells the egress program what has become of calls. Call it once that is in the log.
    pub fn tell(&mut self, egress: Option<&mut EgressServer>) {
        let replies = std::mem::take(&mut self.replies);
        let Some(egress) = egress else { return };
        for reply in &replies {
            if let Ok(line) = serde_json::to_vec(reply) {
                egress.tell(&line);
            }
        }
        egress.flush();
    }
}
