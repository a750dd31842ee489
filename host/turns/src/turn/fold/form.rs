//! The form that a turn's answer must have.

pub use aod_egress::json_schema;
use aod_resources::event::{Failure, FailureKind, StopKind, TurnResult};
use serde_json::Value;
use serde_json::value::RawValue;

/// Holds a result against the form that was asked for, if one was: the answer is what the CLI gives
/// as one, or its text. One that does not fit fails the turn.
pub(super) fn hold(result: &mut TurnResult, schema: Option<&str>) {
    let (Some(schema), StopKind::Completed, false) = (schema, result.stop, result.is_error) else {
        return;
    };
    match read(result, schema) {
        Ok(answer) => result.structured = Some(answer),
        Err(problem) => {
            result.structured = None;
            result.stop = StopKind::Failed;
            result.is_error = true;
            result.failure = Some(Failure {
                kind: FailureKind::Output,
                message: format!("the answer does not fit output_schema: {problem}"),
                retry_at: None,
            });
        }
    }
}

fn read(result: &TurnResult, schema: &str) -> Result<Box<RawValue>, String> {
    let text = match (&result.structured, &result.text) {
        (Some(structured), _) => structured.get(),
        (None, Some(text)) => unfenced(text),
        (None, None) => return Err("there is none".to_owned()),
    };
    let answer: Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let schema = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    let form = json_schema(&schema)?;
    form.validate(&answer).map_err(|error| {
        let place = error.instance_path().to_string();
        match place.is_empty() {
            true => error.to_string(),
            false => format!("at {place}: {error}"),
        }
    })?;
    serde_json::value::to_raw_value(&answer).map_err(|error| error.to_string())
}

/// A text without the fence that models like to put around code.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text
        .strip_prefix("```json")
        .or_else(|| text.strip_prefix("```"))
        .and_then(|rest| rest.strip_suffix("```"));
    inner.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(text: &str, schema: &Value) -> TurnResult {
        let mut result = TurnResult {
            stop: StopKind::Completed,
            text: Some(text.to_owned()),
            structured: None,
            is_error: false,
            stop_reason: None,
            duration_ms: None,
            failure: None,
        };
        hold(&mut result, Some(&schema.to_string()));
        result
    }

    #[test]
    fn an_answer_that_fits_is_given_as_a_value() {
        let schema =
            json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
        for text in ["{\"n\": 1}", "\n```json\n{\"n\": 1}\n```\n"] {
            let result = held(text, &schema);
            assert_eq!(result.structured.unwrap().get(), r#"{"n":1}"#);
            assert!(!result.is_error);
        }
        for (text, wanted) in [
            ("{}", "\"n\""),
            ("{\"n\": \"x\"}", "at /n"),
            ("done", "no JSON"),
        ] {
            let result = held(text, &schema);
            let failure = result.failure.unwrap();
            assert_eq!(failure.kind, FailureKind::Output);
            assert!(failure.message.contains(wanted), "{}", failure.message);
        }
    }

    #[test]
    fn schemas_that_lead_away_or_in_a_circle_do_no_harm() {
        assert!(json_schema(&json!({"$ref": "http://127.0.0.1/x"})).is_err());
        assert!(json_schema(&json!({"type": 3})).is_err());
        assert!(json_schema(&json!({"pattern": "("})).is_err());
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        ] {
            if let Ok(form) = json_schema(&schema) {
                let _ = form.is_valid(&json!({"n": [1]}));
            }
        }
    }
}
