//! Requests to the CLI beside the conversation, and its replies.

use std::collections::BTreeMap;

use aod_plugin_sdk::json::{MaybeText, Text};
use aod_plugin_sdk::{Level, Out};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::requests::{self, Value};

/// The requests of a process, each with a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// How many were made.
    pub(crate) made: u64,
    /// What those are for that have no reply yet.
    open: BTreeMap<String, Purpose>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To stop what runs.
    Interrupt,
    /// To change a setting.
    Setting,
    /// To stop work in the background.
    StopTask,
    /// To take back what waits.
    TakeBack,
}

/// What the CLI replied.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Reply<'a> {
    request_id: Text<'a>,
    error: MaybeText<'a>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

/// What the reply to an interrupt tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Interrupted<'a> {
    #[serde(borrow)]
    still_queued: Vec<Text<'a>>,
}

impl Control {
    /// Asks the CLI to stop what runs.
    pub(crate) fn interrupt(&mut self, out: &mut Out) {
        self.ask(Purpose::Interrupt, "interrupt", &[], out);
    }

    /// Asks the CLI to take back what was said under this id, if it still waits.
    pub(crate) fn take_back(&mut self, uuid: &str, out: &mut Out) {
        let more = [("message_uuid", Value::Text(uuid))];
        self.ask(Purpose::TakeBack, "cancel_async_message", &more, out);
    }

    /// Asks the CLI to stop work in the background.
    pub(crate) fn stop_task(&mut self, id: &str, out: &mut Out) {
        let more = [("task_id", Value::Text(id))];
        self.ask(Purpose::StopTask, "stop_task", &more, out);
    }

    /// Asks the CLI to change a setting.
    pub(crate) fn set(&mut self, subtype: &str, more: (&str, Value<'_>), out: &mut Out) {
        self.ask(Purpose::Setting, subtype, &[more], out);
    }

    fn ask(&mut self, purpose: Purpose, subtype: &str, more: &[(&str, Value<'_>)], out: &mut Out) {
        self.made += 1;
        let id = format!("aod-{}", self.made);
        out.write_stdin(requests::control(&id, subtype, more));
        self.open.insert(id, purpose);
    }

    /// Takes the CLI's reply. One to a request that is not known is nobody's business.
    pub(crate) fn replied(&mut self, reply: Option<&RawValue>, out: &mut Out) {
        out.absorb();
        let reply: Reply<'_> = reply
            .and_then(|reply| serde_json::from_str(reply.get()).ok())
            .unwrap_or_default();
        let Some(purpose) = self.open.remove(&*reply.request_id) else {
            return;
        };
        match (purpose, reply.error.0) {
            (Purpose::Interrupt, None) => {
                // What waits would run in spite of the interrupt.
                let left: Interrupted<'_> = reply
                    .response
                    .and_then(|response| serde_json::from_str(response.get()).ok())
                    .unwrap_or_default();
                for uuid in left.still_queued {
                    self.take_back(&uuid, out);
                }
            }
            (Purpose::Setting, Some(error)) => {
                out.coded_notice(Level::Warning, "setting_refused", &*error);
            }
            (Purpose::StopTask, Some(error)) => {
                out.coded_notice(Level::Warning, "stop_task_refused", &*error);
            }
            (Purpose::Interrupt, Some(error)) => {
                out.coded_notice(Level::Warning, "interrupt_refused", &*error);
            }
            (Purpose::Setting | Purpose::StopTask | Purpose::TakeBack, _) => {}
        }
    }
}
