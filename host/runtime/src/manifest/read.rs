//! From text to declarations.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use aod_resources::HOME_VARIABLE;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::oauth::{self, RawOauth};
use super::usage::{self, RawUsage};
use super::{Declaration, Location, Manifest, ManifestError, ModelEntry, Position, units};
use crate::check::{is_name, is_variable_name, split_model};
use crate::digest::Digest;
use crate::limits::{Limits, MAX_CALL_DEADLINE, MAX_COMPILE_DEADLINE, MAX_MEMORY};
use crate::settings::Settings;
use crate::types::InstallStep;

const MIN_MEMORY: usize = 1 << 20;
const MIN_CALL_DEADLINE: Duration = Duration::from_millis(10);
const MIN_COMPILE_DEADLINE: Duration = Duration::from_millis(1);

/// A mistake and where it is, in bytes.
pub(super) struct Mistake {
    span: Range<usize>,
    problem: String,
}

impl Mistake {
    pub(super) fn new(span: Range<usize>, problem: impl Into<String>) -> Self {
        Self {
            span,
            problem: problem.into(),
        }
    }
}

impl From<toml::de::Error> for Mistake {
    fn from(error: toml::de::Error) -> Self {
        Self {
            span: error.span().unwrap_or_default(),
            problem: error.message().to_owned(),
        }
    }
}

/// The file and its text, to say where mistakes are.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn position(&self, span: &Range<usize>) -> Position {
        Position::at(self.text, span.start)
    }

    fn error(&self, mistake: Mistake) -> ManifestError {
        let position = self.position(&mistake.span);
        let at = Location {
            file: self.path.to_owned(),
            position,
        };
        ManifestError {
            at,
            problem: mistake.problem,
        }
    }
}

pub(super) fn manifest(path: &Path, text: &str) -> Manifest {
    let source = Source { path, text };
    let mut manifest = Manifest {
        path: path.to_owned(),
        runtimes: IndexMap::new(),
        errors: Vec::new(),
        complete: true,
    };
    let (document, syntax) = DeTable::parse_recoverable(text);
    manifest.complete = syntax.is_empty();
    for (key, value) in document.into_inner() {
        if key.get_ref() != "runtime" {
            let problem = format!(
                "unknown key `{}`; this file has [runtime.NAME] tables only",
                key.get_ref()
            );
            manifest
                .errors
                .push(source.error(Mistake::new(key.span(), problem)));
            continue;
        }
        let span = value.span();
        let DeValue::Table(runtimes) = value.into_inner() else {
            let problem = "`runtime` is not a table; write [runtime.NAME]";
            manifest
                .errors
                .push(source.error(Mistake::new(span, problem)));
            continue;
        };
        for (name, value) in runtimes {
            let declared = declaration(&source, &name, value).map_err(|m| source.error(m));
            manifest
                .runtimes
                .insert(name.into_inner().into_owned(), declared);
        }
    }
    // What follows a syntax error may be missing or wrong, so the runtime in whose tables it is
    // does not load, whatever could be read of it. Its first syntax error is the one to mend first:
    // the others, and what seems to be missing, may follow from it.
    let mut broken = HashSet::new();
    for error in syntax {
        let mistake = Mistake::from(error);
        let owner = owner(text, mistake.span.start);
        let error = source.error(mistake);
        match owner.filter(|name| is_name(name)) {
            Some(name) => {
                if broken.insert(name) {
                    manifest.runtimes.insert(name.to_owned(), Err(error));
                }
            }
            None => manifest.errors.push(error),
        }
    }
    manifest
}

/// The runtime whose table headers stand before an offset.
fn owner(text: &str, offset: usize) -> Option<&str> {
    let end = text[offset.min(text.len())..]
        .find('\n')
        .map_or(text.len(), |newline| offset + newline);
    let header = text[..end]
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with('['))?;
    let path = header.trim_start().trim_start_matches('[').trim_start();
    let name = path
        .strip_prefix("runtime")?
        .trim_start()
        .strip_prefix('.')?
        .trim_start();
    let name = name.trim_start_matches('"');
    Some(&name[..name.find(['.', ']', '"', ' ', '\t']).unwrap_or(name.len())])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRuntime {
    component: Spanned<String>,
    sha256: Option<Spanned<String>>,
    command: Option<Spanned<String>>,
    install: Option<Spanned<RawInstall>>,
    enabled: Option<bool>,
    #[serde(default)]
    env: IndexMap<Spanned<String>, Spanned<String>>,
    limits: Option<RawLimits>,
    turn_memory: Option<Spanned<String>>,
    options: Option<Spanned<toml::Table>>,
    #[serde(default)]
    usage: RawUsage,
    #[serde(default)]
    oauth: RawOauth,
    #[serde(default)]
    models: Vec<RawModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInstall {
    npm: Option<String>,
    steps: Option<Vec<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    memory: Option<Spanned<String>>,
    call_deadline: Option<Spanned<String>>,
    compile_deadline: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    id: Spanned<String>,
    label: Option<String>,
    #[serde(default)]
    hidden: bool,
}

fn declaration(
    source: &Source<'_>,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    value: Spanned<DeValue<'_>>,
) -> Result<Declaration, Mistake> {
    if !is_name(name.get_ref()) {
        let problem = format!(
            "`{}` is not a name for a runtime: use a-z, 0-9 and -, at most 63, a letter first",
            name.get_ref()
        );
        return Err(Mistake::new(name.span(), problem));
    }
    let value_span = value.span();
    let raw = RawRuntime::deserialize(value.into_deserializer()).map_err(|error| {
        let mut mistake = Mistake::from(error);
        if mistake.span.is_empty() {
            mistake.span = value_span;
        }
        mistake
    })?;
    let sha256 = raw.sha256.as_ref().map(digest).transpose()?;
    let folder = source.path.parent().unwrap_or(Path::new(""));
    if raw.component.get_ref().is_empty() {
        return Err(Mistake::new(
            raw.component.span(),
            "`component` names no file",
        ));
    }
    let command = raw
        .command
        .map(|program| command(folder, program))
        .transpose()?;
    Ok(Declaration {
        component: folder.join(raw.component.get_ref()),
        component_at: source.position(&raw.component.span()),
        sha256,
        sha256_at: raw.sha256.as_ref().map(|pin| source.position(&pin.span())),
        enabled: raw.enabled.unwrap_or(true),
        settings: Settings {
            command,
            install: raw.install.map(install).transpose()?,
            env: raw.env.into_iter().map(env).collect::<Result<_, _>>()?,
            limits: raw.limits.map(limits).transpose()?.unwrap_or_default(),
            turn_memory: raw.turn_memory.map(turn_memory).transpose()?,
            options: raw.options.map_or(Ok("{}".to_owned()), options)?,
            usage: usage::usage(raw.usage)?,
            oauth: oauth::oauth(raw.oauth)?,
        },
        models: models(source, raw.models)?,
    })
}

fn digest(pin: &Spanned<String>) -> Result<Digest, Mistake> {
    pin.get_ref()
        .parse()
        .map_err(|error| Mistake::new(pin.span(), format!("`sha256`: {error}")))
}

/// A program's name as it is, and its path from the file's folder on.
fn command(folder: &Path, command: Spanned<String>) -> Result<String, Mistake> {
    let span = command.span();
    let text = command.into_inner();
    if text.is_empty() || text.ends_with('/') || text.contains('\0') {
        return Err(Mistake::new(span, "`command` names no program"));
    }
    if !text.contains('/') {
        return Ok(text);
    }
    std::path::absolute(folder.join(&text))
        .ok()
        .and_then(|path| without_parents(&path).to_str().map(str::to_owned))
        .ok_or_else(|| Mistake::new(span, "`command` has no absolute path in UTF-8"))
}

/// A path without `..`: each takes away the part before it.
fn without_parents(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn install(install: Spanned<RawInstall>) -> Result<Vec<InstallStep>, Mistake> {
    let span = install.span();
    match install.into_inner() {
        RawInstall {
            npm: Some(package),
            steps: None,
        } => {
            if package.is_empty() || package.starts_with('-') {
                return Err(Mistake::new(
                    span,
                    format!("{package:?} is not an npm package"),
                ));
            }
            Ok(vec![InstallStep::Npm(package)])
        }
        RawInstall {
            npm: None,
            steps: Some(steps),
        } => {
            if steps
                .iter()
                .any(|argv| argv.first().is_none_or(String::is_empty))
            {
                return Err(Mistake::new(span, "an install step names no program"));
            }
            Ok(steps.into_iter().map(InstallStep::Run).collect())
        }
        _ => Err(Mistake::new(
            span,
            "`install` is either { npm = \"package@version\" } or { steps = [[\"command\", …]] }",
        )),
    }
}

fn env((name, value): (Spanned<String>, Spanned<String>)) -> Result<(String, String), Mistake> {
    if !is_variable_name(name.get_ref()) {
        let problem = format!(
            "`{}` is not the name of an environment variable",
            name.get_ref()
        );
        return Err(Mistake::new(name.span(), problem));
    }
    if name.get_ref() == HOME_VARIABLE {
        let problem = format!("`{HOME_VARIABLE}` is set by the sandbox and cannot be changed");
        return Err(Mistake::new(name.span(), problem));
    }
    if value.get_ref().contains('\0') {
        let problem = format!("the value of `{}` holds a NUL byte", name.get_ref());
        return Err(Mistake::new(value.span(), problem));
    }
    Ok((name.into_inner(), value.into_inner()))
}

fn limits(raw: RawLimits) -> Result<Limits, Mistake> {
    let mut limits = Limits::default();
    if let Some(memory) = raw.memory {
        limits.memory = units::size(memory.get_ref())
            .filter(|bytes| (MIN_MEMORY..=MAX_MEMORY).contains(bytes))
            .ok_or_else(|| {
                let problem = "`memory` is a size from \"1MiB\" to \"1GiB\", such as \"64MiB\"";
                Mistake::new(memory.span(), problem)
            })?;
    }
    if let Some(deadline) = raw.call_deadline {
        limits.call_deadline = units::duration(deadline.get_ref())
            .filter(|time| (MIN_CALL_DEADLINE..=MAX_CALL_DEADLINE).contains(time))
            .ok_or_else(|| {
                let problem =
                    "`call_deadline` is a time from \"10ms\" to \"30s\", such as \"250ms\"";
                Mistake::new(deadline.span(), problem)
            })?;
    }
    if let Some(deadline) = raw.compile_deadline {
        limits.compile_deadline = units::duration(deadline.get_ref())
            .filter(|time| (MIN_COMPILE_DEADLINE..=MAX_COMPILE_DEADLINE).contains(time))
            .ok_or_else(|| {
                let problem =
                    "`compile_deadline` is a time from \"1ms\" to \"600s\", such as \"60s\"";
                Mistake::new(deadline.span(), problem)
            })?;
    }
    Ok(limits)
}

fn turn_memory(size: Spanned<String>) -> Result<u64, Mistake> {
    units::size(size.get_ref())
        .filter(|bytes| *bytes > 0)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| {
            let problem = "`turn_memory` is a size such as \"600MiB\"";
            Mistake::new(size.span(), problem)
        })
}

fn options(table: Spanned<toml::Table>) -> Result<String, Mistake> {
    let span = table.span();
    let json = json(toml::Value::Table(table.into_inner()));
    json.map(|json| json.to_string())
        .map_err(|problem| Mistake::new(span, problem))
}

fn json(value: toml::Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .ok_or_else(|| format!("`options` cannot hold {number}: JSON has no such number"))?
            .into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items
            .into_iter()
            .map(json)
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        toml::Value::Table(table) => {
            let entries = table
                .into_iter()
                .map(|(key, value)| Ok((key, json(value)?)));
            serde_json::Value::Object(entries.collect::<Result<_, String>>()?)
        }
    })
}

fn models(source: &Source<'_>, raw: Vec<RawModel>) -> Result<Vec<ModelEntry>, Mistake> {
    let mut seen = HashSet::new();
    raw.into_iter()
        .map(|model| {
            let (id, span) = (model.id.get_ref().clone(), model.id.span());
            if split_model(&id).is_none() {
                let problem =
                    format!("`{id}` is not a canonical model id: write provider/model-id");
                return Err(Mistake::new(span, problem));
            }
            if !seen.insert(id.clone()) {
                return Err(Mistake::new(span, format!("model `{id}` comes twice")));
            }
            let at = source.position(&span);
            Ok(ModelEntry {
                id,
                label: model.label,
                hidden: model.hidden,
                at,
            })
        })
        .collect()
}
