//! Finding placeholders in headers and queries.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

/// Base64 as clients write it, with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// No placeholder.
    Nothing,
    /// Placeholders, which are replaced.
    Done,
    /// A placeholder of what cannot stand there.
    Invalid,
}

/// What stands for a credential, and the credential.
#[derive(Clone, Copy)]
pub(super) struct Placeholder<'a> {
    pub(super) placeholder: &'a str,
    pub(super) value: &'a str,
}

/// Replaces placeholders wherever they stand in headers' values, also in the pair of a name and a
/// password (RFC 7617).
pub(super) fn fill_headers(headers: &mut HeaderMap, credentials: &[Placeholder<'_>]) -> Filled {
    let mut found = Filled::Nothing;
    for (name, value) in headers.iter_mut() {
        let plain = replaced(value.as_bytes(), credentials);
        let filled = match plain {
            None if *name == AUTHORIZATION => in_basic(value.as_bytes(), credentials),
            plain => plain,
        };
        let Some(filled) = filled else { continue };
        match HeaderValue::from_bytes(&filled) {
            Ok(mut filled) => {
                filled.set_sensitive(true);
                *value = filled;
                found = Filled::Done;
            }
            Err(_) => return Filled::Invalid,
        }
    }
    found
}

/// Replaces whole values of a query's parameters by what `find`, told the parameter's name and
/// value, has for them.
pub(super) fn fill_query<'a>(
    query: &str,
    mut find: impl FnMut(&str, &str) -> Option<&'a str>,
) -> (String, Filled) {
    let mut found = Filled::Nothing;
    let parts: Vec<String> = query
        .split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match find(name, &value) {
                Some(filled) => {
                    found = Filled::Done;
                    format!("{name}={}", utf8_percent_encode(filled, NON_ALPHANUMERIC))
                }
                None => pair.to_owned(),
            }
        })
        .collect();
    (parts.join("&"), found)
}

/// What stands for a credential, whatever the parameter's name.
pub(super) fn by_placeholder<'a>(
    credentials: &[Placeholder<'a>],
) -> impl Fn(&str, &str) -> Option<&'a str> {
    move |_, value| {
        let found = credentials.iter().find(|it| it.placeholder == value);
        found.map(|it| it.value)
    }
}

/// The credentials of a `Basic` authorization, with placeholders in them replaced.
fn in_basic(value: &[u8], credentials: &[Placeholder<'_>]) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, rest) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let pair = BASE64.decode(rest.trim_ascii()).ok()?;
    let filled = replaced(&pair, credentials)?;
    let encoded = Zeroizing::new(BASE64.encode(&filled));
    Some(Zeroizing::new([b"Basic ", encoded.as_bytes()].concat()))
}

/// Bytes with all placeholders in them replaced; none where there are none.
fn replaced(bytes: &[u8], credentials: &[Placeholder<'_>]) -> Option<Zeroizing<Vec<u8>>> {
    let mut filled: Option<Zeroizing<Vec<u8>>> = None;
    for credential in credentials {
        let current = filled.as_deref().map_or(bytes, Vec::as_slice);
        let placeholder = credential.placeholder.as_bytes();
        let places: Vec<usize> = memmem::find_iter(current, placeholder).collect();
        if places.is_empty() {
            continue;
        }
        let value = credential.value.as_bytes();
        // With room for all: growing would leave copies behind.
        let size = current.len() + places.len() * value.len();
        let mut next = Zeroizing::new(Vec::with_capacity(size));
        let mut done = 0;
        for place in places {
            next.extend_from_slice(&current[done..place]);
            next.extend_from_slice(value);
            done = place + placeholder.len();
        }
        next.extend_from_slice(&current[done..]);
        filled = Some(next);
    }
    filled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn credential<'a>(placeholder: &'a str, value: &'a str) -> Placeholder<'a> {
        Placeholder { placeholder, value }
    }

    fn header(name: &'static str, value: &str, credentials: &[Placeholder<'_>]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let filled = fill_headers(&mut headers, credentials);
        let value = &headers[name];
        assert_eq!(filled == Filled::Done, value.is_sensitive());
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn placeholders_are_replaced_wherever_a_header_has_them() {
        let (one, two) = (credential("aod-1", "first key"), credential("aod-2", "x"));
        let both = [one, two];
        for (name, value, wanted) in [
            ("authorization", "Bearer aod-1", "Bearer first key"),
            ("authorization", "token aod-2", "token x"),
            ("authorization", "aod-2", "x"),
            ("x-api-key", "aod-1", "first key"),
            (
                "cookie",
                "a=aod-1; b=aod-2; c=aod-1",
                "a=first key; b=x; c=first key",
            ),
            // user:aod-1, aod-2: and both.
            (
                "authorization",
                "Basic dXNlcjphb2QtMQ==",
                "Basic dXNlcjpmaXJzdCBrZXk=",
            ),
            (
                "authorization",
                "basic dXNlcjphb2QtMQ",
                "Basic dXNlcjpmaXJzdCBrZXk=",
            ),
            ("authorization", "Basic YW9kLTI6", "Basic eDo="),
            (
                "authorization",
                "Basic YW9kLTI6YW9kLTE=",
                "Basic eDpmaXJzdCBrZXk=",
            ),
            // Only there is it base64.
            (
                "x-other",
                "Basic dXNlcjphb2QtMQ==",
                "Basic dXNlcjphb2QtMQ==",
            ),
            ("authorization", "Basic ###", "Basic ###"),
            ("authorization", "Bas", "Bas"),
            ("authorization", "Bearer aod-3", "Bearer aod-3"),
        ] {
            assert_eq!(header(name, value, &both), wanted, "{name}: {value}");
        }
    }

    #[test]
    fn what_no_header_can_hold_is_not_sent() {
        let odd = credential("aod-1", "a\r\nx-injected: b");
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", "aod-1".parse().unwrap());
        assert_eq!(fill_headers(&mut headers, &[odd]), Filled::Invalid);
    }

    #[test]
    fn a_placeholder_is_a_whole_value_of_a_query() {
        let one = credential("aod-1", "a&b=c");
        for (query, wanted, filled) in [
            ("key=aod-1&x=y", "key=a%26b%3Dc&x=y", Filled::Done),
            ("key=aod%2D1", "key=a%26b%3Dc", Filled::Done),
            ("key=xaod-1&aod-1", "key=xaod-1&aod-1", Filled::Nothing),
            ("", "", Filled::Nothing),
        ] {
            assert_eq!(
                fill_query(query, by_placeholder(&[one])),
                (wanted.to_owned(), filled)
            );
        }
    }

    proptest! {
        #[test]
        fn all_else_of_a_header_stays(front in "[ -~]{0,20}", back in "[ -~]{0,20}") {
            prop_assume!(!front.contains("aod-") && !back.contains("aod-"));
            let one = credential("aod-1", "value");
            let filled = replaced(format!("{front}aod-1{back}").as_bytes(), &[one]);
            let wanted = format!("{front}value{back}");
            prop_assert_eq!(filled.as_deref().map(Vec::as_slice), Some(wanted.as_bytes()));
        }
    }
}
