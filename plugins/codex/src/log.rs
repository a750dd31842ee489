//! What the CLI logs to stderr and does not say in its stream; see `launch::LOG`.

use std::collections::BTreeMap;

use aod_plugin_sdk::failure::reset_time_ms;
use aod_plugin_sdk::{Context, McpState, Out, plain, title};

use crate::launch::LOG_VARIABLE;

/// The MCP servers, and how they stand as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    told: BTreeMap<String, Option<McpState>>,
    /// Whether the log tells of them at all.
    is_logged: bool,
}

impl Servers {
    pub(crate) fn new(context: &Context) -> Self {
        let names = context.mcp_servers.iter().map(|server| &server.name);
        Self {
            told: names.map(|name| (name.clone(), None)).collect(),
            is_logged: !context.has_secret(LOG_VARIABLE),
        }
    }

    /// Takes a line of the log; returns whether it was about MCP servers.
    pub(crate) fn line(&mut self, line: &str, out: &mut Out) -> bool {
        let line = plain(line);
        let Some((_, said)) = line.split_once(" codex_mcp::") else {
            return false;
        };
        out.absorb();
        let Some((_, about)) = said.split_once("server_name=") else {
            return true;
        };
        let (name, rest) = match about.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => about.split_once(' ').unwrap_or((about, "")),
        };
        if said.contains("startup failed") {
            let why = rest.split_once("error=").map(|(_, why)| why);
            self.stands(name, McpState::Failed, why.and_then(cause), out);
        } else if said.contains("omitting pending") {
            let why = "not ready in time: the model is asked without it";
            self.stands(name, McpState::Connecting, Some(why.to_owned()), out);
        } else if said.contains("without an exact ready client") {
            self.stands(name, McpState::Failed, None, out);
        }
        true
    }

    /// The app server says how a server stands. That it begins is said so soon and so often that it
    /// is no news.
    pub(crate) fn said(&mut self, name: &str, state: &str, why: Option<&str>, out: &mut Out) {
        out.absorb();
        match state {
            _ if !self.told.contains_key(name) => {}
            "ready" => self.stands(name, McpState::Ready, None, out),
            "failed" => self.stands(name, McpState::Failed, why.and_then(cause), out),
            "cancelled" => self.stands(name, McpState::Failed, Some(state.to_owned()), out),
            _ => {}
        }
    }

    /// What was told so far, by name: the states of [`restore`](Self::restore).
    pub(crate) fn told(&self) -> BTreeMap<String, String> {
        let word = |state: &Option<McpState>| match state {
            Some(McpState::Ready) => "ready",
            Some(McpState::Failed) => "failed",
            Some(_) => "connecting",
            None => "",
        };
        let each = self.told.iter();
        each.map(|(name, state)| (name.clone(), word(state).to_owned()))
            .collect()
    }

    pub(crate) fn restore(&mut self, told: &BTreeMap<String, String>) {
        for (name, word) in told {
            let state = match word.as_str() {
                "ready" => McpState::Ready,
                "failed" => McpState::Failed,
                "connecting" => McpState::Connecting,
                _ => continue,
            };
            self.told.insert(name.clone(), Some(state));
        }
    }

    /// A server has answered a call.
    pub(crate) fn answered(&mut self, name: &str, out: &mut Out) {
        if self.told.get(name) != Some(&Some(McpState::Ready)) {
            self.told.insert(name.to_owned(), Some(McpState::Ready));
            out.mcp_server(name, McpState::Ready, None);
        }
    }

    /// The model has answered: the servers of which nothing bad was heard were there.
    pub(crate) fn settle(&mut self, out: &mut Out) {
        if !self.is_logged {
            return;
        }
        for (name, state) in &mut self.told {
            if state.is_none() {
                *state = Some(McpState::Ready);
                out.mcp_server(name, McpState::Ready, None);
            }
        }
    }

    fn stands(&mut self, name: &str, state: McpState, why: Option<String>, out: &mut Out) {
        let before = self.told.insert(name.to_owned(), Some(state)).flatten();
        // What failed with a reason has failed.
        if before == Some(state) || (before == Some(McpState::Failed) && why.is_none()) {
            self.told.insert(name.to_owned(), before);
            return;
        }
        out.mcp_server(name, state, why);
    }
}

/// Why a server did not start: the last of the causes. What comes before it is a list of the CLI's
/// own types.
fn cause(why: &str) -> Option<String> {
    title(why.rsplit_once("] error: ").map_or(why, |(_, why)| why))
}

/// When the CLI tries again, in milliseconds since the Unix epoch, from a line that begins with its
/// time and says how long it waits.
pub(crate) fn retry_at_ms(line: &str) -> Option<u64> {
    let line = &*plain(line);
    let (_, said) = line.split_once(" codex_core::responses_retry: ")?;
    let (_, wait) = said.split_once(" in ")?;
    let (wait, _) = wait.split_once(')')?;
    let milliseconds = match wait.strip_suffix("ms") {
        Some(number) => number.parse::<f64>().ok()?,
        None => wait.strip_suffix('s')?.parse::<f64>().ok()? * 1000.0,
    };
    let wait = std::time::Duration::try_from_secs_f64(milliseconds / 1000.0).ok()?;
    reset_time_ms(line)?.checked_add(u64::try_from(wait.as_millis()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::retry_at_ms;

    #[test]
    fn a_wait_counts_from_the_lines_own_time() {
        let line = "2026-11-24T14:30:53.908246Z  WARN codex_core::responses_retry: stream \
                    disconnected - retrying sampling request (1/5 in 59.997s)... turn_id=0";
        assert_eq!(retry_at_ms(line), Some(1_795_530_653_000 + 59_997));
        assert_eq!(
            retry_at_ms(&line.replace("59.997s", "186ms")),
            Some(1_795_530_653_000 + 186)
        );
        assert_eq!(retry_at_ms(&line.replace("59.997s", "1m")), None);
        assert_eq!(retry_at_ms(&line.replace("59.997s", "-1s")), None);
        assert_eq!(retry_at_ms("codex_core::responses_retry"), None);
    }
}
