//! What agents are asked: text, images and files.

use super::{NOT_BLANK, optional, required};
use crate::input::shape::{Object, Pattern, Shape, Text, Union};

const WORDS: Text = Text::new(1, 1 << 20).in_bytes().like(&NOT_BLANK);

/// What is asked of an agent: a text, or blocks.
pub const PROMPT: Shape = Shape::TextOrList {
    text: WORDS,
    items: &Shape::Union(&BLOCK),
    max: 32,
};

/// Bytes as base64, with its padding.
const DATA: Shape = Text::new(4, 8 << 20).like(&BASE64).shape();

static BASE64: Pattern = Pattern::new(
    "^[A-Za-z0-9+/]+={0,2}$",
    "Input should be base64 (RFC 4648, section 4), without line breaks",
);

static FILE_NAME: Pattern = Pattern::new(
    r"^[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*$",
    "Input should be a file's name, without a path and without a dot in front",
);

static BLOCK: Union = Union {
    name: "PromptBlockInput",
    doc: "A piece of a prompt.",
    tagged: &[("text", &TEXT), ("image", &IMAGE), ("file", &FILE)],
    untagged: None,
};

static TEXT: Object = Object {
    name: "TextBlockInput",
    doc: "Text.",
    example: r#"{"type": "text", "text": "What is this?"}"#,
    disjoint: None,
    fields: &[required("text", "The text.", WORDS.shape())],
};

static IMAGE: Object = Object {
    name: "ImageBlockInput",
    doc: "An image. A runtime that takes no images is told where it lies in the workspace.",
    example: r#"{"type": "image", "media_type": "image/png", "data": "iVBORw0KGgo="}"#,
    disjoint: None,
    fields: &[
        required(
            "media_type",
            "What kind of image it is.",
            Shape::Word(&["image/png", "image/jpeg", "image/gif", "image/webp"]),
        ),
        required("data", "The image, as base64.", DATA),
    ],
};

static FILE: Object = Object {
    name: "FileBlockInput",
    doc: "A file: one of the workspace by its `path`, or a new one by `name` and `data`.",
    example: r#"{"type": "file", "name": "notes.txt", "data": "aGVsbG8K"}"#,
    disjoint: None,
    fields: &[
        optional(
            "path",
            "Where it is, relative to the workspace.",
            Text::new(1, 4096).shape(),
        ),
        optional(
            "name",
            "The name of a new one.",
            // What file systems take.
            Text::new(1, 255).in_bytes().like(&FILE_NAME).shape(),
        ),
        optional("data", "What is in a new one, as base64.", DATA),
    ],
};
