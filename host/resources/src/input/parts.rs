//! What stands inside bodies.

/// Control characters and white space, for a class of characters. `\s` is not the same everywhere.
macro_rules! blank {
    () => {
        r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
    };
}

mod agents;
mod limits;
mod packages;
mod prompts;
mod sandbox;
mod webhooks;

use super::shape::{Field, Need, Pattern, Shape, Text};

pub use self::agents::{
    CUSTOM_TOOL, MCP_SERVER, MCP_SERVERS, PERMISSIONS, SKILL, SKILLS, TOOL_PERMISSIONS, TOOLS,
};
pub use self::limits::LIMITS;
pub use self::packages::PACKAGES;
pub use self::prompts::PROMPT;
pub use self::sandbox::{
    CREDENTIAL_HOSTS, CREDENTIAL_MODE, GIT_IDENTITY, NETWORKING, PROJECT_CONFIG, RESOURCES,
};
pub use self::webhooks::{SESSION_WEBHOOK, WEBHOOK_EVENTS, WEBHOOK_SECRET, WEBHOOK_URL};

/// A name for people.
pub const NAME: Shape = Text::new(1, 200).shape();
/// A text of any kind.
pub const TEXT: Shape = Text::new(0, 1 << 20).shape();
/// A runtime's or model's name.
pub const WORD: Shape = Text::new(1, 100).shape();
/// A version of an agent or environment.
pub const VERSION: Shape = Shape::Integer {
    min: 1,
    // What numbers of JavaScript count without a gap.
    max: (1 << 53) - 1,
};
/// A turn's number; 0 for what came before the first prompt.
pub const TURN: Shape = Shape::Integer {
    min: 0,
    max: 4_294_967_295,
};
/// Seconds that a turn may take.
pub const TIMEOUT: Shape = Shape::Integer { min: 10, max: 3600 };
/// Seconds that a setup script may take.
pub const SETUP_TIMEOUT: Shape = Shape::Integer {
    min: 10,
    max: 86_400,
};
/// Labels.
pub const METADATA: Shape = Shape::Map {
    keys: None,
    values: &Text::new(0, 64 << 10).shape(),
};
/// Labels of a session.
pub const LABELS: Shape = Shape::Map {
    keys: Some(&LABEL),
    values: &Text::new(0, 512).shape(),
};
/// Secret variables. An empty text is a value.
pub const VARIABLES: Shape = Shape::Map {
    keys: Some(&SETTABLE),
    values: &Text::new(0, 128 << 10).secret().shape(),
};
/// Variables that everybody may see. What is refused is not repeated all the same: it may be a
/// secret that somebody put into the wrong map.
pub const OPEN_VARIABLES: Shape = Shape::Map {
    keys: Some(&SETTABLE),
    values: &Text::new(0, 128 << 10).hidden().shape(),
};

/// Values of a runtime's options, by the options' ids.
pub const SETTINGS: Shape = Shape::Map {
    keys: Some(&OPTION),
    values: &Shape::Json(16 << 10),
};
/// A JSON Schema.
pub const JSON_SCHEMA: Shape = Shape::JsonObject(64 << 10);

static OPTION: Pattern = Pattern::new(
    "^[a-z][a-z0-9_]{0,63}$",
    "The id of an option should match '[a-z][a-z0-9_]*'",
);

static LABEL: Pattern = Pattern::new(
    r"^[^\x00-\x1f\x7f]{1,64}$",
    "A label's name should have 1 to 64 characters, and no control characters",
);

static VARIABLE: Pattern = Pattern::new(
    "^[A-Za-z_][A-Za-z0-9_]{0,255}$",
    "The name of a variable should match '[A-Za-z_][A-Za-z0-9_]*'",
);

/// A variable that users may set: any but [`crate::HOME_VARIABLE`].
static SETTABLE: Pattern = Pattern::new(
    concat!(
        "^([A-GI-Za-z_][A-Za-z0-9_]{0,255}",
        "|H([A-NP-Za-z0-9_][A-Za-z0-9_]{0,254})?",
        "|HO([A-LN-Za-z0-9_][A-Za-z0-9_]{0,253})?",
        "|HOM([A-DF-Za-z0-9_][A-Za-z0-9_]{0,252})?",
        "|HOME[A-Za-z0-9_]{1,252})$"
    ),
    "The name of a variable should match '[A-Za-z_][A-Za-z0-9_]*', and HOME is set by the sandbox",
);

/// More than white space.
pub static NOT_BLANK: Pattern = Pattern::new(
    concat!(r"^[^\x00]*[^", blank!(), r"][^\x00]*$"),
    "String should hold more than white space",
);

const fn field(name: &'static str, doc: &'static str, need: Need, shape: Shape) -> Field {
    Field {
        name,
        doc,
        need,
        shape,
    }
}

const fn required(name: &'static str, doc: &'static str, shape: Shape) -> Field {
    field(name, doc, Need::Required, shape)
}

const fn optional(name: &'static str, doc: &'static str, shape: Shape) -> Field {
    field(name, doc, Need::Optional, shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    pub(super) fn takes(pattern: &Pattern, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(pattern.matches(text), "{text:?}");
        }
        for text in bad {
            assert!(!pattern.matches(text), "{text:?}");
        }
    }

    #[test]
    fn names_of_variables() {
        takes(&VARIABLE, &["_a1", "B", "HOME"], &["1A", "A-B", "", "a b"]);
        takes(
            &SETTABLE,
            &[
                "_a1", "B", "H", "HO", "HOM", "HOMES", "home", "HX", "HOX", "HOMX", "AHOME", "PATH",
            ],
            &["HOME", "1A", "A-B", "", "a b"],
        );
        for length in [256, 257] {
            for start in ["A", "H", "HO", "HOM", "HOME"] {
                let name = format!("{start:_<length$}");
                assert_eq!(SETTABLE.matches(&name), length == 256, "{name}");
            }
        }
    }
}
