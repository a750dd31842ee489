//! Percent-encoding, as in URLs and forms.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// All but what RFC 3986 calls unreserved.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// `quote` of Python, by default.
const PATH: &AsciiSet = &STRICT.remove(b'/');
/// `encodeURIComponent` of JavaScript.
const COMPONENT: &AsciiSet = &STRICT
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// `encodeURI` of JavaScript.
const URI: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');
/// Forms of HTML.
const FORM: &AsciiSet = &STRICT.remove(b'*').add(b'~');
/// No more than what is reserved.
const RESERVED: &AsciiSet = &percent_encoding::CONTROLS
    .add(b'%')
    .add(b':')
    .add(b'/')
    .add(b'?')
    .add(b'#')
    .add(b'[')
    .add(b']')
    .add(b'@')
    .add(b'!')
    .add(b'$')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'+')
    .add(b',')
    .add(b';')
    .add(b'=');

/// What the encoders that there are make of a text.
pub(super) fn encoded(text: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for set in [STRICT, PATH, COMPONENT, URI, FORM, RESERVED] {
        for capitals in [true, false] {
            let form: String = percent_encode(text.as_bytes(), set)
                .map(|piece| match piece.starts_with('%') && !capitals {
                    true => piece.to_ascii_lowercase(),
                    false => piece.to_owned(),
                })
                .collect();
            forms.insert(form.replace("%20", "+"));
            forms.insert(form);
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_the_usual_encoders_do() {
        let forms = encoded("p@ss w/ö'~*%");
        for form in [
            "p%40ss%20w%2F%C3%B6%27~%2A%25",
            "p%40ss%20w%2f%c3%b6%27~%2a%25",
            "p%40ss%20w%2F%C3%B6'~*%25",
            "p%40ss%20w/%C3%B6%27~%2A%25",
            "p@ss%20w/%C3%B6'~*%25",
            "p%40ss+w%2F%C3%B6%27%7E*%25",
        ] {
            assert!(forms.contains(form), "{form} is not in {forms:#?}");
        }
        assert_eq!(encoded("sk-abc_DEF.0123-4").len(), 1);
    }
}
