//! What an agent is asked: words of the command line, files, and what is piped in.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aod_resources::{Limits, kind_of_image};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::client::{Block, Prompt, PromptRequest};
use crate::signals::Stops;

/// What stands for standard input.
const STANDARD: &str = "-";
/// The most that is sent with a prompt, as the server takes no longer requests by default.
const LARGEST: u64 = 1_400_000;
/// A longer text that is piped in comes as a file beside the prompt.
const IN_PROMPT: usize = 256 << 10;
/// When a user who has not noticed is told that standard input is waited for.
const HINT: Duration = Duration::from_secs(3);

/// What is asked, and what holds for the turn.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Ask {
    /// What the agent is asked; `-` reads it from standard input.
    ///
    /// What is piped in besides comes along as context: `git diff | aod run "review this"`.
    prompt: Option<String>,
    /// Read what the agent is asked from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "prompt", value_hint = clap::ValueHint::FilePath)]
    prompt_file: Option<PathBuf>,
    /// Let this file come along. Can be given several times.
    #[arg(long = "file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Let this image come along: PNG, JPEG, GIF or WebP. Can be given several times.
    #[arg(long = "image", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    images: Vec<PathBuf>,
    /// Leave standard input alone, also where it is no terminal.
    #[arg(long)]
    no_stdin: bool,
    /// Seconds that the turn may take.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// An upper bound for the turn: max_rounds, max_output_tokens or max_cost_usd. Can be given
    /// several times.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
    /// Requests to the model that the turn may make.
    #[arg(long, hide = true)]
    max_rounds: Option<u32>,
    /// Tokens that the model may write in it.
    #[arg(long, hide = true)]
    max_output_tokens: Option<u64>,
    /// US dollars that it may cost.
    #[arg(long, hide = true)]
    max_cost_usd: Option<f64>,
    /// A value for an option of the runtime (`aod runtime show NAME` lists them). Can be given
    /// several times.
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    settings: Vec<String>,
    /// The JSON Schema that the answer must fit: a file, or the schema itself. The answer is then
    /// JSON.
    #[arg(long, value_name = "FILE|JSON")]
    schema: Option<String>,
}

impl Ask {
    /// Puts the request together; waits for standard input where that has a part in it.
    pub(crate) async fn request(&self, stops: &mut Stops) -> Result<PromptRequest> {
        Ok(PromptRequest {
            prompt: self.prompt(stops).await?,
            timeout: self.timeout,
            settings: pairs("--set", &self.settings)?
                .into_iter()
                .map(|(name, value)| (name, scalar(value)))
                .collect(),
            limits: self.limits()?,
            output_schema: self.schema.as_deref().map(schema).transpose()?,
            when_busy: None,
        })
    }

    async fn prompt(&self, stops: &mut Stops) -> Result<Prompt> {
        let is_stdin = |text: &str| text == STANDARD;
        let from_stdin = self.prompt.as_deref().is_some_and(is_stdin)
            || self.prompt_file.as_deref() == Some(Path::new(STANDARD));
        let mut context = None;
        let mut text = if from_stdin {
            words(stdin(stops).await?, "standard input")?
        } else if let Some(file) = &self.prompt_file {
            words(read(file)?, &file.display().to_string())?
        } else if let Some(text) = &self.prompt {
            if !self.no_stdin && is_piped() {
                context = Some(stdin(stops).await?).filter(|context| !context.is_empty());
            }
            text.clone()
        } else if !self.no_stdin && is_piped() {
            words(stdin(stops).await?, "standard input")?
        } else {
            bail!(
                "say what the agent is to do: give a prompt, `-` for standard input, or \
                 --prompt-file FILE"
            );
        };
        ensure!(
            !text.trim().is_empty(),
            "the prompt is empty: say what the agent is to do"
        );
        let mut blocks = Vec::new();
        match context.map(String::from_utf8) {
            Some(Ok(context)) if context.len() <= IN_PROMPT => {
                let context = context.trim_end();
                text.push_str(&format!("\n\n<stdin>\n{context}\n</stdin>"));
            }
            Some(Ok(context)) => blocks.push(file("stdin.txt", context.as_bytes())),
            Some(Err(error)) => blocks.push(file("stdin.bin", error.as_bytes())),
            None => {}
        }
        for path in &self.images {
            let bytes = read(path)?;
            let media_type = kind_of_image(&bytes).with_context(|| {
                format!(
                    "{} is no PNG, JPEG, GIF or WebP image: let it come along with --file",
                    path.display()
                )
            })?;
            let data = BASE64.encode(&bytes);
            blocks.push(Block::Image { media_type, data });
        }
        for path in &self.files {
            let name = path.file_name().with_context(|| {
                format!("{} has no name that the file could have", path.display())
            })?;
            blocks.push(file(&name.to_string_lossy(), &read(path)?));
        }
        Ok(match blocks.is_empty() {
            true => Prompt::Text(text),
            false => {
                blocks.insert(0, Block::Text { text });
                Prompt::Blocks(blocks)
            }
        })
    }

    fn limits(&self) -> Result<Limits> {
        let mut limits = Limits {
            max_rounds: self.max_rounds,
            max_output_tokens: self.max_output_tokens,
            max_cost_usd: self.max_cost_usd,
        };
        for (name, value) in pairs("--limit", &self.limits)? {
            let wrong = || format!("--limit {name}: {value:?} is no number that it takes");
            match name.as_str() {
                "max_rounds" => limits.max_rounds = Some(value.parse().with_context(wrong)?),
                "max_output_tokens" => {
                    limits.max_output_tokens = Some(value.parse().with_context(wrong)?);
                }
                "max_cost_usd" => limits.max_cost_usd = Some(value.parse().with_context(wrong)?),
                _ => bail!(
                    "there is no limit {name:?}: max_rounds, max_output_tokens and max_cost_usd are"
                ),
            }
        }
        Ok(limits)
    }
}

/// What `NAME=VALUE` says, as often as it was given.
pub(crate) fn pairs(option: &str, given: &[String]) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for text in given {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let Some((name, value)) = pair else {
            // It may be a secret, of which nothing is said.
            bail!("{option} takes NAME=VALUE");
        };
        pairs.insert(name.to_owned(), value.to_owned());
    }
    Ok(pairs)
}

/// A value of an option: JSON where it is that, else text.
pub(crate) fn scalar(value: String) -> Value {
    match serde_json::from_str(&value) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            value
        }
        _ => Value::String(value),
    }
}

fn schema(given: &str) -> Result<Value> {
    let is_inline = given.trim_start().starts_with(['{', '[']);
    let text = match is_inline {
        true => given.to_owned(),
        false => std::fs::read_to_string(given)
            .with_context(|| format!("--schema: cannot read {given}"))?,
    };
    serde_json::from_str(&text).context("--schema is no JSON")
}

fn file(name: &str, bytes: &[u8]) -> Block {
    Block::File {
        name: name.to_owned(),
        data: BASE64.encode(bytes),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(failed)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .with_context(failed)?;
    fits(bytes, &path.display().to_string())
}

fn fits(bytes: Vec<u8>, what: &str) -> Result<Vec<u8>> {
    ensure!(
        bytes.len() as u64 <= LARGEST,
        "{what} has more than {LARGEST} bytes, which is too much for a prompt: put it into the \
         workspace of a session with `aod session files put`, and name it in the prompt"
    );
    Ok(bytes)
}

fn words(bytes: Vec<u8>, what: &str) -> Result<String> {
    let text = String::from_utf8(bytes)
        .ok()
        .with_context(|| format!("the prompt in {what} is not UTF-8"))?;
    Ok(text.trim_end().to_owned())
}

/// Whether something may be piped in: what is neither a terminal nor, like `/dev/null`, a device.
fn is_piped() -> bool {
    use rustix::fs::{FileType, fstat};

    fstat(std::io::stdin()).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Fifo | FileType::RegularFile | FileType::Socket
        )
    })
}

/// Reads standard input to its end, in a thread that nothing waits for: a process may end with a
/// pipe that is still open.
async fn stdin(stops: &mut Stops) -> Result<Vec<u8>> {
    let (send, mut whole) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut bytes = Vec::new();
            let read = std::io::stdin()
                .lock()
                .take(LARGEST + 1)
                .read_to_end(&mut bytes);
            // Nobody waits any more where it cannot be sent.
            let _ = send.send(read.map(|_| bytes));
        })?;
    let early = stops.before(tokio::time::timeout(HINT, &mut whole)).await?;
    let read = match early {
        Ok(read) => read?,
        Err(_) => {
            eprintln!(
                "reading standard input to its end; where nothing is to come from there, use \
                 --no-stdin"
            );
            stops.before(whole).await??
        }
    };
    fits(
        read.context("cannot read standard input")?,
        "standard input",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_settings_are_read_and_refused_by_name() {
        let ask = |limits: &[&str]| Ask {
            limits: limits.iter().map(|it| (*it).to_owned()).collect(),
            ..Ask::default()
        };
        let limits = ask(&["max_rounds=3", "max_cost_usd=0.5"]).limits().unwrap();
        assert_eq!(
            (limits.max_rounds, limits.max_cost_usd),
            (Some(3), Some(0.5))
        );
        for (wrong, named) in [("rounds=3", "rounds"), ("max_rounds=x", "max_rounds")] {
            let error = format!("{:#}", ask(&[wrong]).limits().unwrap_err());
            assert!(error.contains(named), "{error}");
        }
        assert!(ask(&["max_rounds"]).limits().is_err());
        assert_eq!(scalar("high".to_owned()), "high");
        assert_eq!(scalar("true".to_owned()), true);
        assert_eq!(scalar("3".to_owned()), 3);
        assert_eq!(scalar("\"3\"".to_owned()), "\"3\"");
    }

    #[test]
    fn a_pair_that_is_none_is_not_shown() {
        let error = pairs("--var", &["s3cret".to_owned()])
            .unwrap_err()
            .to_string();
        assert_eq!(error, "--var takes NAME=VALUE");
    }
}
