//! What is written to the CLI's stdin, each message a line of JSON.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{Block, Fragment, Template, text, text_of};

/// The kinds of images that the CLI takes.
pub(crate) const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What somebody says to the agent. The CLI tells by `uuid` what becomes of it.
pub(crate) fn user(uuid: &str, blocks: &[Block], at_once: bool) -> Vec<Fragment> {
    let mut line = Template::default();
    line.text("{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":");
    if blocks.iter().any(is_image) {
        line.text("[");
        for (index, block) in blocks.iter().enumerate() {
            line.text(if index > 0 { "," } else { "" });
            write_block(&mut line, block);
        }
        line.text("]");
    } else {
        // Only a text can be a command of the CLI's own.
        line.json_text(&text_of(blocks));
    }
    line.text("},\"parent_tool_use_id\":null,\"session_id\":\"\",\"uuid\":")
        .json_text(uuid);
    if at_once {
        line.text(",\"priority\":\"now\"");
    }
    line.text("}\n");
    line.finish()
}

fn is_image(block: &Block) -> bool {
    matches!(block, Block::Image(image) if IMAGES.contains(&image.media_type.as_str()))
}

fn write_block(line: &mut Template, block: &Block) {
    match block {
        Block::Image(image) if is_image(block) => {
            line.text("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":")
                .json_text(&image.media_type)
                .text(",\"data\":\"")
                .attachment(&image.id)
                .text("\"}}");
        }
        _ => {
            line.text("{\"type\":\"text\",\"text\":")
                .json_text(&text_of(std::slice::from_ref(block)))
                .text("}");
        }
    }
}

/// A request that the CLI does something; `more` is what follows its name, as members of an object.
pub(crate) fn control(id: &str, subtype: &str, more: &[(&str, Value<'_>)]) -> Vec<Fragment> {
    let mut line = "{\"type\":\"control_request\",\"request_id\":".to_owned();
    write_string(&mut line, id);
    line.push_str(",\"request\":{\"subtype\":");
    write_string(&mut line, subtype);
    for (name, value) in more {
        line.push(',');
        write_string(&mut line, name);
        line.push(':');
        match value {
            Value::Text(text) => write_string(&mut line, text),
            Value::Json(json) => line.push_str(json),
        }
    }
    line.push_str("}}\n");
    text(line)
}

/// A member's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// What is JSON already.
    Json(&'a str),
}

/// What stands in the place of a secret's value.
const TAKEN_OUT: &str = "[redacted:";

/// The reply that lets a call be, with this input. `always`: what is to be allowed from now on.
///
/// Older CLIs want the input back even if it is as it was. One that secrets were taken out of is not
/// sent, since the call would be made without them.
pub(crate) fn allow(request: &str, input: &str, always: Option<&str>) -> Vec<Fragment> {
    let mut line = begin_reply(request, "success");
    line.push_str("\"response\":{\"behavior\":\"allow\"");
    if !input.contains(TAKEN_OUT) {
        line.push_str(",\"updatedInput\":");
        line.push_str(input);
    }
    if let Some(always) = always {
        line.push_str(",\"updatedPermissions\":");
        line.push_str(always);
    }
    line.push_str("}}}\n");
    text(line)
}

/// The reply that does not let a call be, with words for the model.
pub(crate) fn deny(request: &str, message: &str) -> Vec<Fragment> {
    let mut line = begin_reply(request, "success");
    line.push_str("\"response\":{\"behavior\":\"deny\",\"message\":");
    write_string(&mut line, message);
    line.push_str("}}}\n");
    text(line)
}

/// The reply to a request that nobody has offered to serve.
pub(crate) fn unknown(request: &str, subtype: &str) -> Vec<Fragment> {
    let mut line = begin_reply(request, "error");
    line.push_str("\"error\":");
    write_string(&mut line, &format!("this client has no {subtype}"));
    line.push_str("}}\n");
    text(line)
}

fn begin_reply(request: &str, subtype: &str) -> String {
    let mut line = "{\"type\":\"control_response\",\"response\":{\"subtype\":".to_owned();
    write_string(&mut line, subtype);
    line.push_str(",\"request_id\":");
    write_string(&mut line, request);
    line.push(',');
    line
}
