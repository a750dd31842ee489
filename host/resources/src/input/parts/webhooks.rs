//! Tables of webhooks.

use super::{optional, required};
use crate::WebhookEvent;
use crate::input::shape::{Object, Pattern, Shape, Text, Unique};

/// Where a webhook's messages are sent. It may have a secret in its path or query.
pub const WEBHOOK_URL: Shape = Text::new(1, 2048).like(&URL).hidden().shape();

/// What a webhook is told of.
pub const WEBHOOK_EVENTS: Shape = Shape::List {
    items: &Shape::Word(WebhookEvent::WORDS),
    max: WebhookEvent::ALL.len(),
    unique: Some(Unique {
        key: |event| event.as_str().map(str::to_owned),
        message: "Two events are",
    }),
};

/// What a webhook's messages are signed with.
pub const WEBHOOK_SECRET: Shape = Text::new(38, 94).like(&SECRET).secret().shape();

/// A webhook that is made along with a session.
pub const SESSION_WEBHOOK: Shape = Shape::Object(&SESSION_WEBHOOK_TABLE);

static URL: Pattern = Pattern::new(
    concat!(
        "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@",
        blank!(),
        r"\\]+([/?][^#",
        blank!(),
        "]*)?$"
    ),
    "Input should be an http or https URL without user, password and fragment",
);

// 24 to 64 bytes in base64: groups of four, of which the last may be padded.
static SECRET: Pattern = Pattern::new(
    "^whsec_(([A-Za-z0-9+/]{4}){8,21}|([A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{3}=|([A-Za-z0-9+/]{4}){8,21}[A-Za-z0-9+/]{2}==)$",
    "Input should be whsec_ and 24 to 64 bytes in base64",
);

static SESSION_WEBHOOK_TABLE: Object = Object {
    name: "SessionWebhookInput",
    doc: "A webhook that is told what happens to one session.",
    example: r#"{"url": "https://example.com/hooks/aod", "events": ["turn.completed", "turn.failed"]}"#,
    disjoint: None,
    fields: &[
        required(
            "url",
            "Where messages are sent: an http or https URL.",
            WEBHOOK_URL,
        ),
        optional(
            "events",
            "What it is told of; everything where nothing is said.",
            WEBHOOK_EVENTS,
        ),
        optional(
            "secret",
            "What messages are signed with: `whsec_` and 24 to 64 bytes in base64. One is made where \
             nothing is said, and shown in the reply alone.",
            WEBHOOK_SECRET,
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::super::tests::takes;
    use super::*;

    #[test]
    fn urls() {
        takes(
            &URL,
            &[
                "https://example.com",
                "http://example.com:8080/a?b=c",
                "HTTPS://[::1]/x",
                "https://example.com?x=@y",
            ],
            &[
                "ftp://example.com/",
                "example.com",
                "https://",
                "https:///x",
                "https://user:password@example.com/",
                "https://example.com/#part",
                "https://example.com/a b",
                r"https://example.com\@other.test/",
                "",
            ],
        );
    }

    #[test]
    fn secrets() {
        let of = |bytes: usize| {
            // Zeros, as base64 has them.
            let digits = "A".repeat((bytes * 8).div_ceil(6));
            let padding = "=".repeat((3 - bytes % 3) % 3);
            format!("whsec_{digits}{padding}")
        };
        for bytes in 1..=100 {
            let is_taken = SECRET.matches(&of(bytes));
            assert_eq!(is_taken, (24..=64).contains(&bytes), "{bytes}");
        }
        takes(
            &SECRET,
            &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            &[
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "whsec_",
                "whsec_MfKQ9r8G-YqrTwjUPD8ILPZIo2LaLaSw",
            ],
        );
    }
}
