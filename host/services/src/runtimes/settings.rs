//! What users set, held against the options that an adapter declares.

use aod_runtime::types::OptionDeclaration;
use indexmap::IndexMap;
use serde_json::Value;

use crate::{Error, Result};

/// Checks that each setting is one of the options, and has a value that the option's schema takes.
pub(super) fn check(
    runtime: &str,
    options: &[OptionDeclaration],
    settings: &IndexMap<String, Value>,
) -> Result<()> {
    for (id, value) in settings {
        let option = options.iter().find(|option| option.id == *id);
        let problem = match option {
            None => unknown(runtime, options),
            Some(option) => match refused(option, value) {
                Some(problem) => problem,
                None => continue,
            },
        };
        return Err(Error::Setting {
            id: id.clone(),
            problem,
        });
    }
    Ok(())
}

fn unknown(runtime: &str, options: &[OptionDeclaration]) -> String {
    let known: Vec<&str> = options.iter().map(|option| option.id.as_str()).collect();
    match known.is_empty() {
        true => format!("runtime {runtime:?} has no options"),
        false => format!(
            "runtime {runtime:?} has no such option: it has {}",
            known.join(", ")
        ),
    }
}

/// Why a value is none of an option's. A schema that cannot be used takes every value: the
/// adapter looks at it once more.
fn refused(option: &OptionDeclaration, value: &Value) -> Option<String> {
    let schema: Value = serde_json::from_str(&option.schema).ok()?;
    let validator = aod_turns::json_schema(&schema).ok()?;
    let problem = validator.validate(value).err()?.to_string();
    // The problem itself names two at most, and a type where there is one.
    let choices = schema["enum"].as_array().into_iter().flatten();
    let choices: Vec<String> = choices.map(Value::to_string).collect();
    Some(match choices.is_empty() {
        true => problem,
        false => format!("{value} should be one of {}", choices.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use aod_runtime::types::OptionScope;
    use serde_json::json;

    use super::*;

    fn checked(settings: Value) -> Result<(), String> {
        let options = [OptionDeclaration {
            id: "effort".to_owned(),
            label: String::new(),
            description: String::new(),
            schema: r#"{"enum": ["low", "medium", "high", "max"], "type": "string"}"#.to_owned(),
            default: "null".to_owned(),
            scope: OptionScope::Turn,
        }];
        let settings: IndexMap<String, Value> = serde_json::from_value(settings).unwrap();
        check("demo", &options, &settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_is_an_option_of_the_runtime_and_fits_its_schema() {
        assert_eq!(checked(json!({})), Ok(()));
        assert_eq!(checked(json!({"effort": "low"})), Ok(()));
        let unknown = checked(json!({"effrot": "low"})).unwrap_err();
        assert!(unknown.starts_with("settings.effrot: "), "{unknown}");
        assert!(unknown.contains("effort"), "{unknown}");
        for value in [json!(3), json!("HIGH"), json!(null)] {
            let wrong = checked(json!({"effort": value})).unwrap_err();
            for choice in ["low", "medium", "high", "max"] {
                assert!(wrong.contains(choice), "{wrong}");
            }
        }
    }
}
