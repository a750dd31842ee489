//! How a prompt is handed over so that the CLI finds nothing in it to expand.
//!
//! In what comes by stdin the CLI takes a `/` at the start for a command, and searches the whole
//! workspace for whatever follows an `@`: for each `import … from "@acme/p-1"`, for each address.
//! It has no switch against that, and what escapes an `@` reaches the model. But the text of a
//! custom command is read for other things only, and a text can be written so that none is found.
//! So a prompt that holds such a sign, or an image, becomes the text of a command of its own.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{Attachment, Block, Context, File, Prompt, file, text, text_of};

/// The media types of images that the CLI hands to the model.
pub(crate) const IMAGES: &[&str] = &[
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/heic",
    "image/heif",
];

/// A prompt as the CLI is given it.
pub(crate) struct Handover {
    pub(crate) stdin: String,
    pub(crate) files: Vec<File>,
    /// Folders outside of the workspace that it must be let into.
    pub(crate) folders: Vec<String>,
}

/// The folder of the commands that hold prompts, below `$HOME`.
pub(crate) fn commands(home: &str) -> String {
    format!("{home}/{}/commands/aod", crate::FOLDER)
}

pub(crate) fn hand_over(context: &Context, prompt: &Prompt) -> Handover {
    let mut handover = Handover {
        stdin: String::new(),
        files: Vec::new(),
        folders: Vec::new(),
    };
    let has_image = prompt.blocks.iter().any(|block| image(block).is_some());
    if !has_image {
        let whole = prompt.text();
        if !whole.contains('@') && !whole.trim_start().starts_with('/') {
            handover.stdin = whole;
            return handover;
        }
    }
    let mut command = String::new();
    for (index, block) in prompt.blocks.iter().enumerate() {
        if index > 0 {
            command.push_str("\n\n");
        }
        match image(block) {
            Some(image) => {
                handover.let_into(&image.path, &context.paths.workspace);
                command.push_str(&format!("@{{{}}}", image.path));
            }
            None => write_plain(&mut command, &text_of(std::slice::from_ref(block))),
        }
    }
    let mut toml = "prompt = ".to_owned();
    // What JSON escapes, TOML escapes in the same way.
    write_string(&mut toml, &command);
    toml.push('\n');
    // Commands of the workspace come before the user's: only a name that nobody knows beforehand
    // is sure to be this one.
    let name = &prompt.turn_id;
    let folder = commands(&context.paths.home);
    handover.files = vec![file(format!("{folder}/{name}.toml"), text(toml))];
    handover.stdin = format!("/aod:{name}");
    handover
}

impl Handover {
    fn let_into(&mut self, path: &str, workspace: &str) {
        let Some((folder, _)) = path.rsplit_once('/') else {
            return;
        };
        let is_inside = folder
            .strip_prefix(workspace)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !is_inside && !self.folders.iter().any(|known| known == folder) {
            self.folders.push(folder.to_owned());
        }
    }
}

/// The image of a block, where the CLI can be given it: a path ends at the first brace.
fn image(block: &Block) -> Option<&Attachment> {
    match block {
        Block::Image(image)
            if IMAGES.contains(&image.media_type.as_str()) && !image.path.contains(['{', '}']) =>
        {
            Some(image)
        }
        _ => None,
    }
}

/// Writes text so that nothing in a command's text begins with `!{` (a shell's command), `@{` (a
/// file) or `{{` (the arguments). `!{}` is a shell's command without words, which vanishes when all
/// have been found.
fn write_plain(command: &mut String, text: &str) {
    let mut before = '\0';
    for character in text.chars() {
        if character == '{' && matches!(before, '!' | '@' | '{') {
            command.push_str("!{}");
        }
        command.push(character);
        before = character;
    }
}

#[cfg(test)]
mod tests {
    use super::write_plain;

    /// What the CLI makes of a command's text that has no arguments and no files.
    fn as_the_cli_reads(command: &str) -> String {
        assert!(!command.contains("@{"), "{command}");
        let mut read = String::new();
        let mut rest = command;
        while let Some((before, after)) = rest.split_once("!{") {
            assert!(!before.contains("{{args}}"), "{command}");
            read.push_str(before);
            // Anything else between the braces would be run.
            rest = after.strip_prefix('}').unwrap();
        }
        assert!(!rest.contains("{{args}}"), "{command}");
        read + rest
    }

    #[test]
    fn nothing_in_a_text_is_expanded_and_nothing_is_changed() {
        for text in [
            "",
            "import { A1 } from \"@acme/p-1\";",
            "!{rm -r x} @{secret} {{args}} {{{{args}}}}",
            "!!{{ @@{ !{}{ {!{}{",
            "{!{@{é",
        ] {
            let mut command = String::new();
            write_plain(&mut command, text);
            assert_eq!(as_the_cli_reads(&command), text);
        }
    }
}
