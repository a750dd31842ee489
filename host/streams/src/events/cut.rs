//! Large fields, which are cut in pages.

use serde_json::Value;

/// So many bytes of a field are given.
pub(super) const FIELD: usize = 64 << 10;
/// A text that is no longer is kept whole in any case: it may be one of a type's words.
const WORD: usize = 256;
/// An object keeps so many keys however little may be given: all that a type has.
const KEYS: usize = 64;

/// Cuts the fields of an event that are larger than [`FIELD`], and names them in `truncated`. None
/// where there is nothing to cut, or the event cannot be read.
pub(super) fn cut(event: &[u8]) -> Option<Vec<u8>> {
    if event.len() <= FIELD {
        return None;
    }
    // It is nested 128 levels deep at most, or is not read.
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(event) else {
        return None;
    };
    let mut truncated = Vec::new();
    for (name, value) in &mut fields {
        let mut left = FIELD;
        if shorten(value, &mut left) {
            truncated.push(name.clone());
        }
    }
    if truncated.is_empty() {
        return None;
    }
    truncated.sort_unstable();
    fields.insert("truncated".to_owned(), truncated.into());
    serde_json::to_vec(&fields).ok()
}

/// Keeps what fits into `left` bytes: the beginnings of texts, and the first items of lists. Says
/// whether anything was cut. What stands in the place of an object is an object with the same
/// keys, unless it has very many.
fn shorten(value: &mut Value, left: &mut usize) -> bool {
    match value {
        Value::String(text) => shorten_text(text, left),
        Value::Array(items) => {
            let mut was_cut = false;
            let mut kept = 0;
            for item in items.iter_mut() {
                if *left == 0 {
                    break;
                }
                was_cut |= shorten(item, left);
                kept += 1;
            }
            was_cut |= kept < items.len();
            items.truncate(kept);
            was_cut
        }
        Value::Object(fields) => {
            let mut was_cut = false;
            let mut kept = 0;
            fields.retain(|name, value| {
                if *left == 0 && kept >= KEYS {
                    was_cut = true;
                    return false;
                }
                kept += 1;
                *left = left.saturating_sub(name.len() + 4);
                was_cut |= shorten(value, left);
                true
            });
            was_cut
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            *left = left.saturating_sub(8);
            false
        }
    }
}

fn shorten_text(text: &mut String, left: &mut usize) -> bool {
    let is_long = text.len() > (*left).max(WORD);
    if is_long {
        text.truncate(text.floor_char_boundary(*left));
        *left = 0;
    } else {
        // With its quotes and a comma.
        *left = left.saturating_sub(text.len() + 3);
    }
    is_long
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cut_value(event: &Value) -> Option<Value> {
        let text = serde_json::to_vec(event).unwrap();
        cut(&text).map(|text| serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn what_is_large_is_cut_and_named_and_the_rest_stays() {
        let long = "é".repeat(FIELD);
        let many: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        let keys: serde_json::Map<_, _> =
            many.iter().map(|name| (name.clone(), json!(1))).collect();
        let event = json!({
            "id": "1.0", "type": "tool.result", "call_id": "c", "text": long,
            "output": [{"type": "text", "text": "a"}, {"type": "text", "text": long}, {"type": "text"}],
            "many": many, "keys": keys, "small": {"a": [1, 2]},
        });
        let cut = cut_value(&event).unwrap();
        assert_eq!(cut["truncated"], json!(["keys", "many", "output", "text"]));
        assert_eq!(cut["text"].as_str().unwrap().len(), FIELD);
        assert_eq!(cut["output"][0], event["output"][0]);
        assert_eq!(cut["output"][1]["type"], "text");
        let text = cut["output"][1]["text"].as_str().unwrap();
        assert!(text.len() > FIELD - 200 && long.starts_with(text));
        assert_eq!(cut["small"], event["small"]);
        for field in ["many", "keys"] {
            let size = cut[field].to_string().len();
            assert!((FIELD / 2..FIELD * 2).contains(&size), "{field}: {size}");
        }
    }

    #[test]
    fn what_is_small_stays_as_it_stood() {
        assert_eq!(cut_value(&json!({"text": "x".repeat(FIELD / 2)})), None);
        // Together they are long, and each is not.
        let half = "x".repeat(FIELD - 10);
        assert_eq!(cut_value(&json!({"a": half, "b": half})), None);
    }
}
