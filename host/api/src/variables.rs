//! Names of environment variables.

use aod_resources::Secrets;
use secrecy::SecretString;

use crate::body::Field;

/// Notes a key that is no name of an environment variable: `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn valid_name(name: &str, value: Field<'_>) -> Option<()> {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && name.len() <= 256 && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Some(());
    }
    value.problem(
        "string_pattern_mismatch",
        "The name of a variable should match '[A-Za-z_][A-Za-z0-9_]*'",
    );
    None
}

/// Secret variables by name. An empty string is a value.
pub(crate) fn secrets(field: Field<'_>) -> Option<Secrets> {
    field.secret().map(|name, value| {
        valid_name(name, value)?;
        value.string(0, 128 << 10).map(SecretString::from)
    })
}
