//! What a setup script wrote into the file `$AOD_ENV`: variables for all that comes after it.
//!
//! The form is the one that CI systems have: `NAME=value` on a line, or, for values of several
//! lines, `NAME<<WORD`, the lines of the value, and a line with `WORD` alone.

use aod_resources::Secrets;
use secrecy::SecretString;

/// The most that the file may hold, in bytes.
pub(super) const MAX_BYTES: u64 = 1 << 20;
/// The most variables.
const MAX_VARIABLES: usize = 500;
/// The longest name.
const MAX_NAME: usize = 256;
/// The longest value, as for variables of environments: the kernel takes no longer ones.
const MAX_VALUE: usize = 128 << 10;

/// What is wrong with the file. None of these has a value in it, which may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum VariablesError {
    #[error("it is no UTF-8")]
    NotUtf8,
    #[error("line {line} is neither NAME=value nor NAME<<WORD")]
    NoVariable { line: usize },
    #[error(
        "line {line}: the name of a variable should match [A-Za-z_][A-Za-z0-9_]* and have at most \
         {MAX_NAME} characters; write NAME=value, without `export` and without spaces around the \
         name"
    )]
    Name { line: usize },
    #[error("line {line}: {name} is set by the sandbox and cannot be changed")]
    Reserved { line: usize, name: String },
    #[error("line {line}: the value of {name} has a NUL character")]
    Nul { line: usize, name: String },
    #[error("line {line}: the value of {name} has more than {MAX_VALUE} bytes")]
    Long { line: usize, name: String },
    #[error("line {line}: no line with {word:?} alone ends the value of {name}")]
    NoEnd {
        line: usize,
        name: String,
        word: String,
    },
    #[error("line {line}: {name}<< has no word behind it")]
    NoWord { line: usize, name: String },
    #[error("it has more than {MAX_VARIABLES} variables")]
    Many,
}

/// Reads the variables in `text`; of a name given twice the last value counts.
pub(super) fn read(text: &[u8]) -> Result<Secrets, VariablesError> {
    let text = std::str::from_utf8(text).map_err(|_| VariablesError::NotUtf8)?;
    let mut lines = (1..).zip(text.lines());
    let mut variables = Secrets::new();
    while let Some((line, content)) = lines.next() {
        if content.is_empty() {
            continue;
        }
        // Whichever of the two comes first: a value may hold the other.
        let (name, value) = match (content.find('='), content.find("<<")) {
            (Some(at), heredoc) if heredoc.is_none_or(|heredoc| at < heredoc) => {
                (name(line, &content[..at])?, content[at + 1..].to_owned())
            }
            (_, Some(at)) => {
                let name = name(line, &content[..at])?;
                let value = heredoc(line, name, &content[at + 2..], &mut lines)?;
                (name, value)
            }
            _ => return Err(VariablesError::NoVariable { line }),
        };
        let name = name.to_owned();
        if value.contains('\0') {
            return Err(VariablesError::Nul { line, name });
        }
        if value.len() > MAX_VALUE {
            return Err(VariablesError::Long { line, name });
        }
        variables.insert(name, SecretString::from(value));
        if variables.len() > MAX_VARIABLES {
            return Err(VariablesError::Many);
        }
    }
    Ok(variables)
}

fn heredoc<'a>(
    line: usize,
    name: &str,
    word: &str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<String, VariablesError> {
    let name = name.to_owned();
    if word.is_empty() {
        return Err(VariablesError::NoWord { line, name });
    }
    let mut value = Vec::new();
    for (_, content) in lines {
        if content == word {
            return Ok(value.join("\n"));
        }
        value.push(content);
    }
    let word = word.to_owned();
    Err(VariablesError::NoEnd { line, name, word })
}

fn name(line: usize, text: &str) -> Result<&str, VariablesError> {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !begins || !is_name || text.len() > MAX_NAME {
        return Err(VariablesError::Name { line });
    }
    if [aod_resources::HOME_VARIABLE, super::script::VARIABLE].contains(&text) {
        let name = text.to_owned();
        return Err(VariablesError::Reserved { line, name });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, VariablesError> {
        let pairs = read(text.as_bytes())?.into_iter();
        Ok(pairs
            .map(|(name, value)| (name, value.expose_secret().to_owned()))
            .collect())
    }

    #[test]
    fn lines_and_values_of_several_lines() {
        for (text, expected) in [
            ("", vec![]),
            ("A=1", vec![("A", "1")]),
            (
                "A=1\r\n\r\n_b2= x = y \n",
                vec![("A", "1"), ("_b2", " x = y ")],
            ),
            ("A=\n", vec![("A", "")]),
            ("A=1\nA=2\n", vec![("A", "2")]),
            ("A=<<x\nB=b\n", vec![("A", "<<x"), ("B", "b")]),
            (
                "A<<E=F\n1\nB=2\n\nE=F\nC=3",
                vec![("A", "1\nB=2\n"), ("C", "3")],
            ),
            ("A<<E\r\n1\r\n2\r\nE\r\n", vec![("A", "1\n2")]),
            ("A<<E\nE\n", vec![("A", "")]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(pairs(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_its_value() {
        for (text, part) in [
            ("\nnonsense-secret", "line 2"),
            ("A=1\nexport B=secret", "line 2"),
            ("1A=secret", "[A-Za-z_]"),
            ("=secret", "line 1"),
            ("A =secret", "spaces"),
            ("HOME=/secret", "HOME"),
            ("AOD_ENV=/secret", "AOD_ENV"),
            ("A=1\nB<<E\nsecret\n", "line 2"),
            ("B<<\nsecret\n", "no word"),
            ("B=sec\0ret", "NUL"),
        ] {
            let error = pairs(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!(read(b"A=\xff").unwrap_err(), VariablesError::NotUtf8);
        let many: String = (0..=MAX_VARIABLES).map(|n| format!("A{n}=\n")).collect();
        assert_eq!(pairs(&many).unwrap_err(), VariablesError::Many);
        let long = format!("A={}", "x".repeat(MAX_VALUE + 1));
        assert!(pairs(&long).unwrap_err().to_string().contains("more than"));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            values in proptest::collection::vec(("[A-Z_][A-Z0-9_]{0,9}x", "[^\0\r]{0,40}"), 0..8)
        ) {
            let mut text = String::new();
            let mut expected = IndexMap::new();
            for (name, value) in values {
                // Ended by a word that the value does not have.
                text.push_str(&format!("{name}<<end-of-it\n{value}\nend-of-it\n"));
                expected.insert(name, value);
            }
            let expected: Vec<_> = expected.into_iter().collect();
            prop_assert_eq!(pairs(&text).unwrap(), expected);
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&text);
        }
    }
}
