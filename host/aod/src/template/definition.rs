//! What a definition is read from: a file, standard input, flags.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use super::Fields;

/// The largest file of a definition.
const LARGEST: u64 = 16 << 20;
/// What the server says of a definition, and nobody else: `show` has it, and it goes in nowhere.
const OF_THE_SERVER: [&str; 5] = ["id", "type", "archived_at", "created_at", "updated_at"];

/// A definition that is written down.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Source {
    /// Read a JSON object from this file, or from standard input (`-`). What flags say wins over
    /// it. What `show` prints will do.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    from: Option<PathBuf>,
}

impl Source {
    /// Its fields; none where there is no file.
    pub(super) fn fields(&self) -> Result<Fields> {
        let Some(path) = &self.from else {
            return Ok(Fields::new());
        };
        let text = read(path)?;
        let mut fields: Fields = serde_json::from_str(&text)
            .with_context(|| format!("{} has no JSON object", path.display()))?;
        for name in OF_THE_SERVER {
            fields.remove(name);
        }
        Ok(fields)
    }
}

/// Reads a text; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<String> {
    let failed = || format!("cannot read {}", path.display());
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin()
            .lock()
            .take(LARGEST + 1)
            .read_to_string(&mut text),
        false => std::fs::File::open(path)
            .with_context(failed)?
            .take(LARGEST + 1)
            .read_to_string(&mut text),
    };
    read.with_context(failed)?;
    ensure!(
        text.len() as u64 <= LARGEST,
        "{} is too large",
        path.display()
    );
    Ok(text)
}

/// Sets a field that was given.
pub(super) fn set(fields: &mut Fields, name: &str, value: Option<impl Serialize>) -> Result<()> {
    if let Some(value) = value {
        fields.insert(name.to_owned(), serde_json::to_value(value)?);
    }
    Ok(())
}

/// Puts entries into a field that is an object.
pub(super) fn merge(
    fields: &mut Fields,
    name: &str,
    entries: BTreeMap<String, Value>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let field = fields
        .entry(name)
        .or_insert_with(|| Value::Object(Fields::new()));
    if field.is_null() {
        *field = Value::Object(Fields::new());
    }
    let Value::Object(object) = field else {
        bail!("{name} should be an object");
    };
    object.extend(entries);
    Ok(())
}

/// Refuses a change that changes nothing.
pub(super) fn changes(fields: Fields) -> Result<Fields> {
    ensure!(
        fields.keys().any(|name| name != "version"),
        "nothing is to be changed: say what, with flags or --from FILE"
    );
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_show_prints_goes_in_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.json");
        let shown = json!({"id": "i", "type": "agent", "name": "n", "version": 3,
            "archived_at": null, "created_at": "c", "updated_at": "u"});
        std::fs::write(&file, shown.to_string()).unwrap();
        let fields = Source { from: Some(file) }.fields().unwrap();
        assert_eq!(Value::Object(fields), json!({"name": "n", "version": 3}));
    }

    #[test]
    fn entries_join_those_of_the_file() {
        let mut fields = Fields::new();
        fields.insert("vars".to_owned(), json!({"A": "1", "B": "2"}));
        let entries = BTreeMap::from([("B".to_owned(), json!("3"))]);
        merge(&mut fields, "vars", entries.clone()).unwrap();
        assert_eq!(fields["vars"], json!({"A": "1", "B": "3"}));
        fields.insert("vars".to_owned(), json!(3));
        assert!(merge(&mut fields, "vars", entries).is_err());
    }
}
