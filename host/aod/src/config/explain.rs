//! The settings in force, with where each comes from.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Overrides, Settings};

/// Settings that have no value unless one is given.
const OPTIONAL: [(&str, &str); 9] = [
    ("limits", "user_day_rounds"),
    ("limits", "user_day_output_tokens"),
    ("limits", "user_day_cost_usd"),
    ("admission", "memory"),
    ("egress", "ca_file"),
    ("retention", "age"),
    ("retention", "bytes"),
    ("retention", "files"),
    ("telemetry", "endpoint"),
];

impl Settings {
    /// The settings in force as TOML, with where each comes from.
    pub(crate) fn explain(file: Option<&Path>, flags: Overrides) -> Result<String> {
        let figment = Self::figment(file, flags)?;
        let settings: Self = figment.extract().context("the configuration is wrong")?;
        let value = toml::Table::try_from(&settings)?;
        let mut text = String::new();
        let origin = |key: &str| match figment.find_metadata(key) {
            Some(metadata) => match &metadata.source {
                // What this program says itself: a flag of its command line, or a default.
                Some(figment::Source::Code(_)) if metadata.name.contains("Overrides") => {
                    "command line".to_owned()
                }
                Some(figment::Source::Code(_)) | None if !metadata.name.contains("environment") => {
                    "default".to_owned()
                }
                Some(source) => source.to_string(),
                None => metadata.name.to_string(),
            },
            None => "default".to_owned(),
        };
        let (sections, plain): (Vec<_>, Vec<_>) =
            value.iter().partition(|(_, value)| value.is_table());
        for (key, value) in plain {
            writeln!(text, "{key} = {value}  # {}", origin(key))?;
        }
        for (section, keys) in sections {
            writeln!(text, "\n[{section}]")?;
            for (key, value) in keys.as_table().into_iter().flatten() {
                writeln!(
                    text,
                    "{key} = {value}  # {}",
                    origin(&format!("{section}.{key}"))
                )?;
            }
            // TOML has no word for what is not set.
            let unset = OPTIONAL.iter().filter(|(of, _)| of == section);
            for (_, key) in unset.filter(|(_, key)| keys.get(key).is_none()) {
                writeln!(text, "# {key} is not set")?;
            }
        }
        Ok(text)
    }
}
