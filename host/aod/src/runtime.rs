//! `aod runtime` and `aod model`: what agents can be made of, and how more of it is made.

mod check;
mod template;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::complete;
use crate::output::outln;

#[derive(Debug, Subcommand)]
pub(crate) enum RuntimeCommand {
    /// List the server's runtimes with their health.
    #[command(visible_alias = "ls")]
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one runtime: adapter, CLI, models, credentials, and what is wrong with it.
    Show {
        /// Its name in runtimes.toml.
        #[arg(add = ArgValueCandidates::new(complete::runtimes))]
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check components without a server, a CLI or a key. Exits with 1 where one fails.
    ///
    /// Looks at the interface's version and the imports, at what the adapter says of itself, at
    /// its plans for turns of many kinds, and at how it reads output: rubbish always, and recorded
    /// output of its CLI with --transcript. All under the limits of a server.
    Check(check::Check),
    /// Write the project of a new runtime adapter, in Rust, with all that it is made with.
    ///
    /// What is written builds anywhere; its README has the commands.
    New {
        /// The runtime's name: a-z, 0-9 and -, a letter first.
        name: String,
        /// The folder to write it into; one that is not there or empty. Else `./NAME`.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Make a component of a core module that was built for wasm32-unknown-unknown.
    Pack {
        /// The module.
        #[arg(value_name = "IN.wasm")]
        module: PathBuf,
        /// Where the component goes; a file that is there is replaced.
        #[arg(value_name = "OUT.wasm")]
        component: PathBuf,
    },
    /// Make the server read runtimes.toml and the components now. It does so by itself when they
    /// change; this waits, and says what came of it. Exits with 1 where a runtime cannot be loaded.
    Reload {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// List the models and the runtimes that serve them.
    #[command(visible_alias = "list")]
    Ls {
        /// Only those that this runtime serves.
        #[arg(long, value_name = "NAME")]
        runtime: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl RuntimeCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::List { json } => {
                let listed = ask(Method::GET, "/runtimes")?;
                for error in listed["errors"].as_array().into_iter().flatten() {
                    eprintln!("aod: {}", error.as_str().unwrap_or_default());
                }
                print(json, &listed["data"], table)?;
                if listed["data"].as_array().is_some_and(Vec::is_empty) {
                    eprintln!("aod: the server's runtimes.toml declares no runtimes");
                }
            }
            Self::Show { name, json } => {
                let path = format!("/runtimes/{}", crate::client::segment(&name));
                print(json, &ask(Method::GET, &path)?, shown)?;
            }
            Self::Check(check) => return check.run(),
            Self::New { name, dir } => {
                let dir = dir.unwrap_or_else(|| PathBuf::from(&name));
                template::write(&name, &dir)?;
                outln!("{}", dir.display())?;
                eprintln!("Written. Its README.md says how to build, check and use it.");
            }
            Self::Pack { module, component } => pack(&module, &component)?,
            Self::Reload { json } => {
                let report = ask(Method::POST, "/runtimes/reload")?;
                let runtimes = &report["runtimes"];
                print(json, runtimes, changes)?;
                let mut each = runtimes.as_array().into_iter().flatten();
                if each.any(|runtime| !runtime["error"].is_null()) {
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl ModelCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self::Ls { runtime, json } = self;
        let mut listed = ask(Method::GET, "/models")?;
        let mut models = listed["data"].take();
        if let (Some(runtime), Value::Array(models)) = (runtime, &mut models) {
            let runtime = json!(runtime);
            models.retain(|model| {
                let serving = model["runtimes"].as_array();
                serving.is_some_and(|serving| serving.contains(&runtime))
            });
        }
        print(json, &models, catalog)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn ask(method: Method, path: &str) -> Result<Value> {
    let client = Client::from_env()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(client.json(method, path, None))
}

fn print(json: bool, value: &Value, text: fn(&Value) -> String) -> Result<()> {
    match json {
        true => outln!("{value:#}")?,
        false => crate::output::write(format_args!("{}", text(value)))?,
    }
    Ok(())
}

fn pack(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let module = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let component = aod_runtime::pack::pack(&module).with_context(|| from.display().to_string())?;
    // By rename, so that a server that watches the folder never reads half a component.
    let partial = to.with_extension("wasm.partial");
    std::fs::write(&partial, &component)
        .and_then(|()| std::fs::rename(&partial, to))
        .with_context(|| format!("cannot write {}", to.display()))?;
    let kib = component.len().div_ceil(1024);
    eprintln!("{}: {kib} KiB", to.display());
    Ok(())
}

fn rows(value: &Value, row: impl Fn(&Value) -> String) -> String {
    let rows = value.as_array().into_iter().flatten();
    rows.map(row).collect()
}

fn get<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

fn table(runtimes: &Value) -> String {
    rows(runtimes, |runtime| {
        let models = runtime["models"].as_array().map_or(0, Vec::len);
        let adapter = format!(
            "{} {}",
            get(runtime, "adapter"),
            get(runtime, "adapter_version")
        );
        let line = format!(
            "{:<16}  {:<9}  {adapter:<20}  {models:>3} models  {}\n",
            get(runtime, "name"),
            get(runtime, "health"),
            get(runtime, "command"),
        );
        let untested = (runtime["cli_tested"] == false).then(|| {
            format!(
                "{} is of version {}; its adapter was tested with {}",
                get(runtime, "command"),
                get(runtime, "cli_version"),
                get(runtime, "tested")
            )
        });
        let notes = ["error", "warning"].into_iter();
        let notes = notes.filter_map(|key| runtime[key].as_str().map(str::to_owned));
        let notes = notes.chain(untested);
        notes.fold(line, |text, note| format!("{text}{:18}{note}\n", ""))
    })
}

fn shown(runtime: &Value) -> String {
    let Value::Object(fields) = runtime else {
        return String::new();
    };
    let fields = fields.iter().filter(|(_, value)| !value.is_null());
    let lines = fields.map(|(key, value)| {
        let name = key.replace('_', " ");
        match value {
            Value::String(text) => format!("{name:<20}{text}\n"),
            Value::Array(items) if items.is_empty() => format!("{name:<20}-\n"),
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(at, item)| {
                    let head = if at == 0 { name.as_str() } else { "" };
                    format!("{head:<20}{}\n", item_text(item))
                });
                items.collect()
            }
            other => format!("{name:<20}{other}\n"),
        }
    });
    lines.collect()
}

fn item_text(item: &Value) -> String {
    match item {
        Value::String(text) => text.clone(),
        item if item["variable"].is_string() => format!(
            "{} as {} ({})",
            get(item, "name"),
            get(item, "variable"),
            get(item, "label")
        ),
        option if option["id"].is_string() => {
            format!("{}: {}", get(option, "id"), get(option, "description"))
        }
        capability => match capability["values"].as_array() {
            None => get(capability, "name").to_owned(),
            Some(values) => {
                let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
                format!("{} ({})", get(capability, "name"), values.join(", "))
            }
        },
    }
}

fn changes(runtimes: &Value) -> String {
    rows(runtimes, |runtime| {
        let error = runtime["error"].as_str().unwrap_or_default();
        let line = format!(
            "{:<16}  {:<9}  {error}",
            get(runtime, "name"),
            get(runtime, "change")
        );
        format!("{}\n", line.trim_end())
    })
}

fn catalog(models: &Value) -> String {
    rows(models, |model| {
        let runtimes = model["runtimes"].as_array().into_iter().flatten();
        let runtimes: Vec<&str> = runtimes.filter_map(Value::as_str).collect();
        format!("{:<40}  {}\n", get(model, "id"), runtimes.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_below_the_runtime() {
        let listed = json!([
            {"name": "a", "health": "ready", "adapter": "x", "adapter_version": "1.0.0",
             "command": "cat", "models": ["x/y"], "error": null},
            {"name": "b", "health": "failed", "models": [], "error": "runtimes.toml:3:1: no"},
        ]);
        let text = table(&listed);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].starts_with("a ") && lines[0].contains("1 models"),
            "{text}"
        );
        assert_eq!(lines[2].trim(), "runtimes.toml:3:1: no");
        let text = changes(&json!([{"name": "a", "change": "unchanged", "error": null}]));
        assert_eq!(text, "a                 unchanged\n");
    }

    #[test]
    fn a_version_that_was_not_tested_has_a_line() {
        let mut runtime = json!({"name": "a", "health": "ready", "command": "cat", "models": [],
            "tested": "<2", "cli_version": "2.1.0", "cli_tested": false, "error": null});
        let text = table(&json!([runtime]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1].trim(),
            "cat is of version 2.1.0; its adapter was tested with <2"
        );
        for tested in [json!(true), Value::Null] {
            runtime["cli_tested"] = tested;
            assert_eq!(table(&json!([runtime])).lines().count(), 1);
        }
    }

    #[test]
    fn nothing_is_shown_of_what_is_not_there() {
        let text = shown(
            &json!({"name": "a", "error": null, "models": ["x/y", "x/z"],
            "credentials": [{"name": "runtime_token:a", "variable": "A", "label": "key"}]}),
        );
        assert!(!text.contains("error"), "{text}");
        assert!(text.contains("\n                    x/z\n"), "{text}");
        assert!(text.contains("runtime_token:a as A (key)"), "{text}");
    }
}
