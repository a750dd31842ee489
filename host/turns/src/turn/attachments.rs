//! Images and files that come with prompts: where the host keeps them, where the CLI finds them, and
//! what the adapter is told.

use std::io;
use std::path::PathBuf;

use aod_resources::{Attachment, PromptBlock, Turn};
use aod_runtime::types::{self, Block, Capability, Description};
use aod_trees::{Folder, Trash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::paths::SessionPaths;
use crate::provision::{StageError, not_placed};

/// The folder in the workspace for what comes with prompts.
const FOLDER: &str = ".aod/attachments";

/// Where a session's attachments are kept, out of its sandbox's reach.
#[derive(Clone, Debug)]
pub(crate) struct Attachments(PathBuf);

impl Attachments {
    pub(crate) fn of(paths: &SessionPaths) -> Self {
        Self(paths.attachments())
    }

    /// Of a session that has none.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(PathBuf::new())
    }

    /// The bytes of the attachment of this id, as base64.
    ///
    /// # Errors
    /// They cannot be read; the error names the attachment.
    pub(crate) fn base64(&self, id: &str) -> io::Result<String> {
        // Ids are the host's own, and the adapter names none but those that it was given.
        Ok(STANDARD.encode(self.read(id)?))
    }

    fn read(&self, id: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.0.join(id)).map_err(|error| {
            let text =
                format!("attachment {id}, which came with the prompt, cannot be read: {error}");
            io::Error::new(error.kind(), text)
        })
    }
}

/// Writes a prompt's attachments to the workspace.
pub(crate) fn place(turn: &Turn, paths: &SessionPaths, trash: &Trash) -> Result<(), StageError> {
    let attachments = Attachments::of(paths);
    let all = turn
        .blocks
        .iter()
        .flatten()
        .filter_map(|block| match block {
            PromptBlock::Image { attachment } | PromptBlock::File { attachment } => {
                Some(attachment)
            }
            PromptBlock::Text { .. } | PromptBlock::WorkspaceFile { .. } => None,
        });
    for attachment in all {
        let path = place_of(attachment);
        let bytes = attachments
            .read(&attachment.id.to_string())
            .map_err(|error| StageError::Failed(error.to_string()))?;
        let folder = Folder::open(&paths.workspace()).map_err(|error| not_placed(&path, &error))?;
        folder
            .write(path.as_ref(), 0o644, &bytes, trash)
            .map_err(|error| not_placed(&path, &error))?;
    }
    Ok(())
}

/// Where an attachment is, relative to the workspace.
fn place_of(attachment: &Attachment) -> String {
    format!("{FOLDER}/{}/{}", attachment.id, attachment.name)
}

/// What an adapter is told of a prompt. An image that its CLI does not take is named in a text.
pub(crate) fn blocks(turn: &Turn, workspace: &str, description: &Description) -> Vec<Block> {
    let Some(blocks) = &turn.blocks else {
        return vec![Block::Text(turn.prompt.clone())];
    };
    let takes = |media_type: &String| {
        let images = |capability: &Capability| match capability {
            Capability::Images(types) => types.contains(media_type),
            _ => false,
        };
        description.capabilities.iter().any(images)
    };
    let told = |attachment: &Attachment| types::Attachment {
        id: attachment.id.to_string(),
        name: attachment.name.clone(),
        media_type: attachment.media_type.clone(),
        path: format!("{workspace}/{}", place_of(attachment)),
        size: attachment.size,
    };
    let named = |path: String| Block::Text(format!("Attached file: {path}"));
    blocks
        .iter()
        .map(|block| match block {
            PromptBlock::Text { text } => Block::Text(text.clone()),
            PromptBlock::Image { attachment } if takes(&attachment.media_type) => {
                Block::Image(told(attachment))
            }
            PromptBlock::Image { attachment } | PromptBlock::File { attachment } => {
                named(told(attachment).path)
            }
            PromptBlock::WorkspaceFile { path } => named(format!("{workspace}/{path}")),
        })
        .collect()
}
