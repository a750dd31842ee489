//! `aod session files`: a client of `/sessions/{id}/files`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::client::Client;
use crate::output::outln;
use crate::session::Target;

/// What stands for standard input or output.
const STANDARD: &str = "-";

/// What a path in a URL has as it is, apart from letters and digits.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

#[derive(Debug, Subcommand)]
pub(crate) enum FilesCommand {
    /// List what is in the workspace, or in a folder of it.
    Ls {
        #[command(flatten)]
        target: Target,
        /// The folder, relative to the workspace; the workspace itself where nothing is said.
        path: Option<PathBuf>,
        /// List what is in its folders as well.
        #[arg(short, long)]
        recursive: bool,
        /// List what fits this, in all folders, such as `**/*.rs`.
        #[arg(long)]
        glob: Option<String>,
        /// Print a line of JSON for each.
        #[arg(long)]
        json: bool,
    },
    /// Download a file; or a folder as a tar archive.
    Get {
        #[command(flatten)]
        target: Target,
        /// The file, relative to the workspace.
        path: PathBuf,
        /// Where to put it, or `-` for standard output; the working directory where nothing is said.
        to: Option<PathBuf>,
    },
    /// Upload a file, in the place of one that is there.
    Put {
        #[command(flatten)]
        target: Target,
        /// The file of this machine, or `-` for standard input.
        from: PathBuf,
        /// Where to put it, relative to the workspace.
        path: PathBuf,
        /// Unpack it as a tar archive, compressed by Zstandard or not, into the folder of that path.
        #[arg(long)]
        unpack: bool,
        /// Let it be executed.
        #[arg(long, conflicts_with = "unpack")]
        executable: bool,
    },
    /// Delete a file, or a folder with all that is in it.
    Rm {
        #[command(flatten)]
        target: Target,
        /// The file, relative to the workspace.
        path: PathBuf,
    },
    /// Move a file or folder.
    Mv {
        #[command(flatten)]
        target: Target,
        /// The file, relative to the workspace.
        from: PathBuf,
        /// Its new path.
        to: String,
        /// Replace a file that has the new path.
        #[arg(long)]
        overwrite: bool,
    },
}

impl FilesCommand {
    pub(crate) async fn run(self, client: &Client) -> Result<()> {
        match self {
            Self::Ls {
                target,
                path,
                recursive,
                glob,
                json,
            } => {
                let path = path.unwrap_or_default();
                let mut query = format!("?path={}&recursive={recursive}", encoded(&path));
                if let Some(glob) = glob {
                    query.push_str(&format!("&glob={}", encoded(Path::new(&glob))));
                }
                list(client, target.id(client).await?, &query, json).await
            }
            Self::Get { target, path, to } => {
                get(client, target.id(client).await?, &path, to).await
            }
            Self::Put {
                target,
                from,
                path,
                unpack,
                executable,
            } => {
                let body = match from == Path::new(STANDARD) {
                    true => {
                        Body::wrap_stream(tokio_util::io::ReaderStream::new(tokio::io::stdin()))
                    }
                    false => {
                        let file = tokio::fs::File::open(&from).await;
                        let file =
                            file.with_context(|| format!("cannot read {}", from.display()))?;
                        Body::wrap_stream(tokio_util::io::ReaderStream::new(file))
                    }
                };
                let mut at = format!("{}?unpack={unpack}", at(target.id(client).await?, &path)?);
                if executable {
                    at.push_str("&executable=true");
                }
                let request = client.request(Method::PUT, &at).body(body);
                let put: Value = client.accept(request).await?.json().await?;
                match put["unpacked"]["entries"].as_u64() {
                    Some(entries) => eprintln!("unpacked {entries} entries"),
                    None => eprintln!("put {}", shown(&put["path"])),
                }
                Ok(())
            }
            Self::Rm { target, path } => {
                let at = at(target.id(client).await?, &path)?;
                client.send(Method::DELETE, &at, None).await?;
                eprintln!("deleted {}", path.display());
                Ok(())
            }
            Self::Mv {
                target,
                from,
                to,
                overwrite,
            } => {
                let body = json!({"to": to, "overwrite": overwrite});
                let at = at(target.id(client).await?, &from)?;
                let moved = client.json(Method::POST, &at, Some(&body)).await?;
                eprintln!("moved to {}", shown(&moved["path"]));
                Ok(())
            }
        }
    }
}

async fn list(client: &Client, session: Uuid, query: &str, json: bool) -> Result<()> {
    let mut after = String::new();
    loop {
        let path = format!("/sessions/{session}/files{query}{after}");
        let page = client.json(Method::GET, &path, None).await?;
        for entry in page["data"].as_array().into_iter().flatten() {
            match json {
                true => outln!("{entry}")?,
                false => outln!("{}", row(entry))?,
            }
        }
        let Some(next) = page["next"].as_str() else {
            return Ok(());
        };
        after = format!("&after={}", encoded(Path::new(next)));
    }
}

async fn get(client: &Client, session: Uuid, path: &Path, to: Option<PathBuf>) -> Result<()> {
    let mut reply = client.send(Method::GET, &at(session, path)?, None).await?;
    let is_archive = reply.headers().get("content-length").is_none();
    let to = match to {
        Some(to) => to,
        None => {
            let name = path.file_name().context("name where to put it")?;
            let mut name = PathBuf::from(name);
            if is_archive {
                name.as_mut_os_string().push(".tar");
            }
            name
        }
    };
    if to == Path::new(STANDARD) {
        let mut stdout = tokio::io::stdout();
        while let Some(piece) = reply.chunk().await? {
            stdout.write_all(&piece).await?;
        }
        return Ok(stdout.flush().await?);
    }
    // What is there stays until the new one is whole.
    let folder = to.parent().filter(|it| !it.as_os_str().is_empty());
    let draft = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut file = tokio::fs::File::from_std(draft.as_file().try_clone()?);
    while let Some(piece) = reply.chunk().await? {
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    draft.persist(&to)?;
    eprintln!("got {}", to.display());
    Ok(())
}

/// The path of the API for a file.
fn at(session: Uuid, path: &Path) -> Result<String> {
    // Libraries for URLs take such parts out of them.
    if path
        .components()
        .any(|part| !matches!(part, std::path::Component::Normal(_)))
    {
        bail!(
            "{} should be relative to the workspace, without `..`",
            path.display()
        );
    }
    Ok(format!("/sessions/{session}/files/{}", encoded(path)))
}

fn encoded(path: &Path) -> String {
    percent_encode(path.as_os_str().as_encoded_bytes(), PATH).to_string()
}

/// A name for a terminal: an agent may have put control characters into it.
fn shown(path: &Value) -> String {
    let path = path.as_str().unwrap_or_default();
    match path.chars().any(char::is_control) {
        true => path.escape_debug().to_string(),
        false => path.to_owned(),
    }
}

fn row(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let kind = match text("type").as_str() {
        "folder" => 'd',
        "symlink" => 'l',
        "other" => '?',
        _ => '-',
    };
    let mut row = format!(
        "{kind} {} {:>12} {}  {}",
        text("mode"),
        entry["size"],
        text("modified_at"),
        shown(&entry["path"])
    );
    if entry["target"].is_string() {
        // Writing to a string cannot fail.
        let _ = write!(row, " -> {}", shown(&entry["target"]));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_down_and_are_encoded() {
        let session = Uuid::nil();
        let good = at(session, Path::new("a b/ü?#%")).unwrap();
        assert!(good.ends_with("/files/a%20b/%C3%BC%3F%23%25"), "{good}");
        for bad in ["../x", "/x", "a/../../x"] {
            assert!(at(session, Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_terminal_is_shown_no_control_characters() {
        let entry = json!({"type": "symlink", "mode": "0777", "size": 0, "modified_at": "then",
            "path": "a\u{1b}[2J", "target": "b\n"});
        let row = row(&entry);
        assert!(!row.chars().any(char::is_control), "{row:?}");
        assert!(row.starts_with("l 0777"), "{row}");
    }
}
