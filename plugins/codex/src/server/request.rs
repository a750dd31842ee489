//! What is written to the app server, each message a line.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{Block, Context, Fragment, Prompt, Template, text, text_of};

use crate::{API_KEY, EFFORT};

/// The request that a process begins with; the only one that the launch has, and not the fold.
pub(crate) const INITIALIZE: u64 = 0;

/// With the parts of the protocol that may still change: those that clean up what a command left.
pub(crate) fn initialize() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "{{\"id\":{INITIALIZE},\"method\":\"initialize\",\"params\":{{\"clientInfo\":{{\
         \"name\":\"aod\",\"title\":\"aod\",\"version\":\"{version}\"}},\"capabilities\":{{\
         \"experimentalApi\":true,\"requestAttestation\":false}}}}}}\n"
    )
}

pub(super) fn initialized() -> Vec<Fragment> {
    text("{\"method\":\"initialized\"}\n")
}

fn begin(id: u64, method: &str) -> Template {
    let mut request = Template::default();
    request
        .text(&format!("{{\"id\":{id},\"method\":"))
        .json_text(method)
        .text(",\"params\":{");
    request
}

fn end(mut request: Template) -> Vec<Fragment> {
    request.text("}}\n");
    request.finish()
}

/// A request whose parameters are texts.
pub(super) fn plain(id: u64, method: &str, parameters: &[(&str, &str)]) -> Vec<Fragment> {
    let mut request = begin(id, method);
    for (index, (name, value)) in parameters.iter().enumerate() {
        if index > 0 {
            request.text(",");
        }
        request.json_text(name).text(":").json_text(value);
    }
    end(request)
}

/// Hands over the key, which the server then keeps in memory.
pub(super) fn login(id: u64) -> Vec<Fragment> {
    let mut request = begin(id, "account/login/start");
    request
        .text("\"type\":\"apiKey\",\"apiKey\":")
        .json_secret(API_KEY);
    end(request)
}

/// Begins a thread, or goes on with one, or copies one. What the agent's author adds to the system
/// prompt stands in the configuration.
pub(super) fn thread(
    id: u64,
    method: &str,
    thread: Option<&str>,
    last_turn: Option<&str>,
    context: &Context,
) -> Vec<Fragment> {
    let mut request = begin(id, method);
    if let Some(thread) = thread {
        request
            .text("\"threadId\":")
            .json_text(thread)
            .text(",\"excludeTurns\":true,");
    }
    if let Some(turn) = last_turn {
        request.text("\"lastTurnId\":").json_text(turn).text(",");
    }
    request
        .text("\"cwd\":")
        .json_text(&context.paths.workspace)
        .text(",\"model\":")
        .json_text(context.model_id())
        .text(",\"approvalPolicy\":\"never\",\"sandbox\":\"danger-full-access\"");
    end(request)
}

/// A prompt. The effort stays as it was set last; `resets_effort`: it is to be the model's own.
pub(super) fn turn(
    id: u64,
    thread: &str,
    prompt: &Prompt,
    policy: &str,
    model: &str,
    resets_effort: bool,
) -> Vec<Fragment> {
    let mut request = begin(id, "turn/start");
    request.text("\"threadId\":").json_text(thread);
    write_input(&mut request, &prompt.blocks);
    request.text(",\"approvalPolicy\":").json_text(policy);
    if let Some(effort) = prompt.setting_text(EFFORT) {
        request.text(",\"effort\":").json_text(&effort);
    } else if resets_effort {
        // No other request takes an effort back.
        request
            .text(",\"collaborationMode\":{\"mode\":\"default\",\"settings\":{\"model\":")
            .json_text(model)
            .text(",\"reasoning_effort\":null,\"developer_instructions\":null}}");
    }
    if let Some(schema) = &prompt.output_schema {
        // Line ends stand between its tokens only, if at all.
        request
            .text(",\"outputSchema\":")
            .text(&schema.replace(['\n', '\r'], " "));
    }
    end(request)
}

/// More for a turn that runs.
pub(super) fn steer(id: u64, thread: &str, turn: &str, blocks: &[Block]) -> Vec<Fragment> {
    let mut request = begin(id, "turn/steer");
    request
        .text("\"threadId\":")
        .json_text(thread)
        .text(",\"expectedTurnId\":")
        .json_text(turn);
    write_input(&mut request, blocks);
    end(request)
}

/// The server reads images where the host has put them, so that they do not pass through the log.
fn write_input(request: &mut Template, blocks: &[Block]) {
    request.text(",\"input\":[");
    for (index, block) in blocks.iter().enumerate() {
        if index > 0 {
            request.text(",");
        }
        match block {
            Block::Image(image) => request
                .text("{\"type\":\"localImage\",\"path\":")
                .json_text(&image.path),
            Block::Text(_) | Block::File(_) => request
                .text("{\"type\":\"text\",\"text\":")
                .json_text(&text_of(std::slice::from_ref(block))),
        };
        request.text("}");
    }
    request.text("]");
}

/// The reply to a request of the server's; `result` is a JSON value.
pub(super) fn reply(id: &str, result: &str) -> Vec<Fragment> {
    text(format!("{{\"id\":{id},\"result\":{result}}}\n"))
}

/// The reply to a request that was not offered to be served.
pub(super) fn not_served(id: &str, method: &str) -> Vec<Fragment> {
    let mut line = format!("{{\"id\":{id},\"error\":{{\"code\":-32601,\"message\":");
    write_string(&mut line, &format!("this client has no method {method}"));
    line.push_str("}}\n");
    text(line)
}
