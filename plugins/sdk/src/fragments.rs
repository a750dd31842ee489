use crate::{Encoding, Fragment, SecretRef};

/// Literal text.
pub fn text(text: impl Into<String>) -> Vec<Fragment> {
    vec![Fragment::Text(text.into())]
}

/// The value of a secret, as it is.
pub fn secret(name: impl Into<String>) -> Vec<Fragment> {
    vec![Fragment::Secret(SecretRef {
        name: name.into(),
        encoding: Encoding::Raw,
    })]
}

/// Text with holes in which the host puts secrets.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Template {
    done: Vec<Fragment>,
    tail: String,
}

impl Template {
    /// Adds literal text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.tail.push_str(text);
        self
    }

    /// Adds a secret's value, written as `encoding` says.
    pub fn secret(&mut self, name: &str, encoding: Encoding) -> &mut Self {
        if !self.tail.is_empty() {
            self.done
                .push(Fragment::Text(std::mem::take(&mut self.tail)));
        }
        self.done.push(Fragment::Secret(SecretRef {
            name: name.to_owned(),
            encoding,
        }));
        self
    }

    /// Adds a JSON string that holds literal text.
    pub fn json_text(&mut self, text: &str) -> &mut Self {
        crate::json::write_string(&mut self.tail, text);
        self
    }

    /// Adds a JSON string that holds a secret's value.
    pub fn json_secret(&mut self, name: &str) -> &mut Self {
        self.text("\"").secret(name, Encoding::Json).text("\"")
    }

    /// The pieces, text and secrets in turn.
    #[must_use]
    pub fn finish(mut self) -> Vec<Fragment> {
        if !self.tail.is_empty() {
            self.done.push(Fragment::Text(self.tail));
        }
        self.done
    }
}
