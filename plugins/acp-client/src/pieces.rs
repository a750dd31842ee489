//! What a tool gives: texts, differences of files, images and links.

use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{ChangeKind, Part};
use serde_json::value::RawValue;

use crate::wire::{self, Piece, RawOutput};
use crate::{diff, texts};

/// A file that a call changes.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) path: String,
    pub(crate) kind: ChangeKind,
    pub(crate) diff: String,
}

pub(crate) fn change(piece: &Piece<'_>) -> Option<Change> {
    if &*piece.kind != "diff" {
        return None;
    }
    let text = |text: &Option<Text<'_>>| text.as_deref().unwrap_or_default().to_owned();
    let (before, after) = (text(&piece.old_text.0), text(&piece.new_text.0));
    let kind = match (before.is_empty(), after.is_empty()) {
        (true, _) => ChangeKind::Created,
        (false, true) => ChangeKind::Deleted,
        (false, false) => ChangeKind::Modified,
    };
    Some(Change {
        path: piece.path.0.as_ref()?.to_string(),
        kind,
        diff: diff::unified(&before, &after),
    })
}

/// The texts that a tool told; none where it told nothing of the kind.
pub(crate) fn text_of(pieces: &[Piece<'_>]) -> Option<String> {
    let texts: Vec<&str> = pieces
        .iter()
        .filter_map(|piece| piece.content.as_ref()?.text.0.as_deref())
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// An image or a link that a tool gives.
pub(crate) fn other_part(piece: &Piece<'_>) -> Option<Part> {
    let block = piece.content.as_ref()?;
    match &*block.kind {
        "image" | "resource_link" => Some(texts::part(block, RawValue::NULL)),
        _ => None,
    }
}

/// What a tool gave as its own output, or else what the agent told of it.
pub(crate) fn output(pieces: &[Piece<'_>], raw: Option<&RawValue>, known: String) -> String {
    let own = match raw.map(RawValue::get) {
        Some(text) if text.starts_with('"') => serde_json::from_str(text).ok(),
        _ => {
            let read: RawOutput<'_> = wire::read(raw);
            read.output.0.or(read.error.0).map(String::from)
        }
    };
    let nothing = || raw.map_or(known, |raw| raw.get().to_owned());
    own.or_else(|| text_of(pieces)).unwrap_or_else(nothing)
}
