//! What is asked, from a request to what the store and the session's folder keep.

use std::io;

use aod_resources::{Attachment, BlockInput, PromptBlock, PromptInput, kind_of_image};
use aod_turns::SessionPaths;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use crate::{Error, Result};

/// What is asked, read.
#[derive(Debug)]
pub(crate) struct Asked {
    /// As text, in which images and files are named.
    pub(crate) text: String,
    /// The blocks, where it is more than a text.
    pub(crate) blocks: Option<Vec<PromptBlock>>,
    /// The bytes of the attachments among them, by their ids.
    bytes: Vec<(Uuid, Vec<u8>)>,
}

impl Asked {
    /// Reads what a request asks.
    ///
    /// # Errors
    /// [`Error::PromptBlock`] at the first block that is none.
    pub(crate) fn read(prompt: PromptInput) -> Result<Self> {
        let given = match prompt {
            PromptInput::Text(text) => {
                return Ok(Self {
                    text,
                    blocks: None,
                    bytes: Vec::new(),
                });
            }
            PromptInput::Blocks(given) => given,
        };
        let mut asked = Self {
            text: String::new(),
            blocks: None,
            bytes: Vec::new(),
        };
        let mut blocks = Vec::with_capacity(given.len());
        for (index, block) in given.into_iter().enumerate() {
            let block = asked
                .block(block)
                .map_err(|problem| Error::PromptBlock { index, problem })?;
            if !asked.text.is_empty() {
                asked.text.push_str("\n\n");
            }
            asked.text.push_str(&shown(&block));
            blocks.push(block);
        }
        asked.blocks = Some(blocks);
        Ok(asked)
    }

    fn block(&mut self, block: BlockInput) -> Result<PromptBlock, &'static str> {
        Ok(match block {
            BlockInput::Text { text } => PromptBlock::Text { text },
            BlockInput::Image { media_type, data } => {
                let name = format!("image.{}", media_type.trim_start_matches("image/"));
                let attachment = self.attachment(name, media_type, &data)?;
                let bytes = self.bytes.last().map_or(&[][..], |(_, bytes)| bytes);
                if kind_of_image(bytes) != Some(&attachment.media_type) {
                    return Err(not_that_kind(kind_of_image(bytes)));
                }
                PromptBlock::Image { attachment }
            }
            BlockInput::File {
                path: Some(path),
                name: None,
                data: None,
            } => {
                let mut parts = path.split('/');
                if path.starts_with('/') || parts.any(|part| part == "..") {
                    return Err("path should be relative to the workspace, without '..'");
                }
                PromptBlock::WorkspaceFile { path }
            }
            BlockInput::File {
                path: None,
                name: Some(name),
                data: Some(data),
            } => {
                let any = "application/octet-stream".to_owned();
                let attachment = self.attachment(name, any, &data)?;
                PromptBlock::File { attachment }
            }
            BlockInput::File { .. } => return Err("a file has a path, or a name and data"),
        })
    }

    fn attachment(
        &mut self,
        name: String,
        media_type: String,
        data: &str,
    ) -> Result<Attachment, &'static str> {
        let bytes = STANDARD
            .decode(data)
            .map_err(|_| "data should be base64 (RFC 4648, section 4) with its padding")?;
        let attachment = Attachment {
            id: Uuid::new_v4(),
            name,
            media_type,
            size: bytes.len() as u64,
        };
        self.bytes.push((attachment.id, bytes));
        Ok(attachment)
    }

    /// Writes the attachments to a session's folder, before anything speaks of them.
    pub(crate) async fn keep(&mut self, paths: &SessionPaths) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let (folder, bytes) = (paths.attachments(), std::mem::take(&mut self.bytes));
        let written = tokio::task::spawn_blocking(move || write(&folder, &bytes));
        written
            .await
            .map_err(Error::internal)?
            .map_err(Error::internal)
    }
}

/// Removes what was kept of a prompt that was not taken.
pub(crate) async fn discard(blocks: Option<Vec<PromptBlock>>, paths: &SessionPaths) {
    let folder = paths.attachments();
    let removed = tokio::task::spawn_blocking(move || {
        for block in blocks.into_iter().flatten() {
            if let PromptBlock::Image { attachment } | PromptBlock::File { attachment } = block {
                // What is left goes with the session.
                let _ = std::fs::remove_file(folder.join(attachment.id.to_string()));
            }
        }
    });
    // A panic has been told.
    let _ = removed.await;
}

fn write(folder: &std::path::Path, bytes: &[(Uuid, Vec<u8>)]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (id, bytes) in bytes {
        let file = std::fs::File::create_new(folder.join(id.to_string()))?;
        io::Write::write_all(&mut &file, bytes)?;
        file.sync_all()?;
    }
    Ok(())
}

/// What is said of an image of another kind than `media_type` says.
fn not_that_kind(kind: Option<&str>) -> &'static str {
    match kind {
        Some("image/png") => "media_type should be image/png, which the data are",
        Some("image/jpeg") => "media_type should be image/jpeg, which the data are",
        Some("image/gif") => "media_type should be image/gif, which the data are",
        Some("image/webp") => "media_type should be image/webp, which the data are",
        _ => {
            "data should be an image of the kind that media_type says: send anything else as a file"
        }
    }
}

/// A block in a text for people.
fn shown(block: &PromptBlock) -> String {
    match block {
        PromptBlock::Text { text } => text.clone(),
        PromptBlock::Image {
            attachment: Attachment {
                media_type, size, ..
            },
        } => format!("[image: {media_type}, {size} bytes]"),
        PromptBlock::File {
            attachment: Attachment { name, size, .. },
        } => format!("[file: {name}, {size} bytes]"),
        PromptBlock::WorkspaceFile { path } => format!("[file: {path}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(blocks: serde_json::Value) -> Result<Asked, String> {
        Asked::read(serde_json::from_value(blocks).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn blocks_are_kept_with_their_bytes_apart() {
        let asked = read(json!([
            {"type": "text", "text": "What is this?"},
            {"type": "image", "media_type": "image/gif", "data": "R0lGODlh"},
            {"type": "file", "name": "a.txt", "data": "aGk="},
            {"type": "file", "path": "src/main.rs"},
        ]))
        .unwrap();
        assert_eq!(
            asked.text,
            "What is this?\n\n[image: image/gif, 6 bytes]\n\n[file: a.txt, 2 bytes]\n\n[file: src/main.rs]"
        );
        assert_eq!(asked.blocks.unwrap().len(), 4);
        let bytes: Vec<_> = asked.bytes.iter().map(|(_, bytes)| &bytes[..]).collect();
        assert_eq!(bytes, [&b"GIF89a"[..], b"hi"]);
    }

    #[test]
    fn a_block_that_is_none_is_named() {
        for block in [
            json!({"type": "image", "media_type": "image/png", "data": "AAE"}),
            json!({"type": "file"}),
            json!({"type": "file", "name": "x"}),
            json!({"type": "file", "path": "x", "data": "AAEC"}),
            json!({"type": "file", "path": "/etc/passwd"}),
            json!({"type": "file", "path": "a/../../b"}),
        ] {
            let refused = read(json!([{"type": "text", "text": "x"}, block])).unwrap_err();
            assert!(refused.starts_with("prompt.1: "), "{refused}");
        }
    }

    #[test]
    fn an_image_is_what_it_is_called() {
        const IMAGES: [(&str, &[u8]); 4] = [
            ("image/png", b"\x89PNG\r\n\x1a\n"),
            ("image/jpeg", b"\xff\xd8\xff\xe0"),
            ("image/gif", b"GIF87a"),
            ("image/webp", b"RIFF\x00\x00\x00\x00WEBPVP8 "),
        ];
        let image = |media_type: &str, bytes: &[u8]| {
            let data = STANDARD.encode(bytes);
            read(json!([{"type": "image", "media_type": media_type, "data": data}]))
        };
        for (called, _) in IMAGES {
            for (is, bytes) in IMAGES {
                match image(called, bytes) {
                    Ok(_) => assert_eq!(called, is),
                    Err(refused) => {
                        assert_ne!(called, is);
                        assert!(refused.contains(&format!("should be {is}")), "{refused}");
                    }
                }
            }
            for bytes in [
                &b"<svg xmlns=''/>"[..],
                b"RIFF\x00\x00\x00\x00WAVE",
                b"\x89PN",
            ] {
                let refused = image(called, bytes).unwrap_err();
                assert!(refused.contains("as a file"), "{refused}");
            }
        }
    }
}
