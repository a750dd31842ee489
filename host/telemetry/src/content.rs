//! Prompts, answers, and what tools are given and give, where they are asked for.

use opentelemetry::KeyValue;
use serde_json::json;

/// So much of a text is sent, in bytes.
const MOST: usize = 16 << 10;

/// An attribute of a text, cut where it is too long.
pub(crate) fn text(key: &'static str, text: &str) -> KeyValue {
    KeyValue::new(key, cut(text).to_owned())
}

/// An attribute of one message, in the form that the conventions have for them.
pub(crate) fn message(key: &'static str, role: &str, text: &str) -> KeyValue {
    let messages = json!([{
        "role": role,
        "parts": [{ "type": "text", "content": cut(text) }],
    }]);
    KeyValue::new(key, messages.to_string())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ä".repeat(MOST);
        assert_eq!(cut(&long).len(), MOST);
        assert_eq!(cut(&format!("a{long}")).len(), MOST - 1);
        assert_eq!(cut("short"), "short");
    }
}
