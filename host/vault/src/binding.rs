//! Where a sealed value belongs, and how that travels inside it.

use std::fmt;

use zeroize::Zeroizing;

/// The place that a secret is sealed for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Whose it is.
    pub owner: String,
    /// The kind of record that it belongs to.
    pub kind: String,
    /// The record's id.
    pub record: String,
    /// Its name within the record.
    pub name: String,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner,
            kind,
            record,
            name,
        } = self;
        write!(f, "{kind}/{record}/{name:?} of {owner}")
    }
}

/// The layout's version: the plaintext's first byte.
const LAYOUT: u8 = 1;

impl Binding {
    /// Makes a binding of anything that prints as its parts.
    pub fn new(
        owner: impl ToString,
        kind: impl ToString,
        record: impl ToString,
        name: impl ToString,
    ) -> Self {
        Self {
            owner: owner.to_string(),
            kind: kind.to_string(),
            record: record.to_string(),
            name: name.to_string(),
        }
    }

    fn fields(&self) -> [&str; 4] {
        [&self.owner, &self.kind, &self.record, &self.name]
    }

    /// The plaintext: layout, the four fields each after its length (u32, little-endian), secret.
    pub(crate) fn wrap(&self, secret: &[u8]) -> Zeroizing<Vec<u8>> {
        let fields = self.fields();
        let head: usize = fields.iter().map(|field| 4 + field.len()).sum();
        // At its full size from the start: growing would leave copies of the secret behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(1 + head + secret.len()));
        plain.push(LAYOUT);
        for field in fields {
            // A field longer than 4 GiB would be cut here, and would then not open again.
            let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
            plain.extend_from_slice(&length.to_le_bytes());
            plain.extend_from_slice(field.as_bytes());
        }
        plain.extend_from_slice(secret);
        plain
    }

    /// The place and the secret in a plaintext; `None` when it is not laid out so.
    pub(crate) fn unwrap(plain: &[u8]) -> Option<(Self, &str)> {
        let (&layout, mut rest) = plain.split_first()?;
        if layout != LAYOUT {
            return None;
        }
        let mut field = || {
            let (length, tail) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (field, tail) = tail.split_at_checked(length)?;
            rest = tail;
            String::from_utf8(field.to_vec()).ok()
        };
        let binding = Self {
            owner: field()?,
            kind: field()?,
            record: field()?,
            name: field()?,
        };
        Some((binding, std::str::from_utf8(rest).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_laid_out_right_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some((binding, secret)) = Binding::unwrap(&bytes) {
                prop_assert_eq!(&**binding.wrap(secret.as_bytes()), &*bytes);
            }
        }

        #[test]
        fn fields_do_not_run_into_one_another(
            a in prop::array::uniform4(".{0,3}"), b in prop::array::uniform4(".{0,3}"),
            secret in ".{0,3}",
        ) {
            let binding = |[owner, kind, record, name]: [String; 4]| {
                Binding { owner, kind, record, name }
            };
            let (a, b) = (binding(a), binding(b));
            let (found, opened) = Binding::unwrap(&a.wrap(secret.as_bytes()))
                .map(|(found, opened)| (found, opened.to_owned()))
                .unwrap();
            prop_assert_eq!(opened, secret.clone());
            prop_assert_eq!(found == b, a == b);
            prop_assert_eq!(a.wrap(secret.as_bytes()) == b.wrap(secret.as_bytes()), a == b);
        }
    }
}
