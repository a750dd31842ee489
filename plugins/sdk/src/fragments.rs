use crate::{Fragment, SecretEncoding, SecretReference};

/// Literal text.
pub fn text(text: impl Into<String>) -> Vec<Fragment> {
    vec![Fragment::Text(text.into())]
}

/// The value of a secret, as it is.
pub fn secret(name: impl Into<String>) -> Vec<Fragment> {
    vec![Fragment::Secret(SecretReference {
        name: name.into(),
        encoding: SecretEncoding::Raw,
    })]
}

/// The bytes of an attachment, as base64.
pub fn attachment(id: impl Into<String>) -> Fragment {
    Fragment::Attachment(id.into())
}

/// Text with holes in which the host puts secrets and attachments.
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
    pub fn secret(&mut self, name: &str, encoding: SecretEncoding) -> &mut Self {
        if !self.tail.is_empty() {
            self.done
                .push(Fragment::Text(std::mem::take(&mut self.tail)));
        }
        self.done.push(Fragment::Secret(SecretReference {
            name: name.to_owned(),
            encoding,
        }));
        self
    }

    /// Adds the bytes of an attachment, as base64.
    pub fn attachment(&mut self, id: &str) -> &mut Self {
        if !self.tail.is_empty() {
            self.done
                .push(Fragment::Text(std::mem::take(&mut self.tail)));
        }
        self.done.push(attachment(id));
        self
    }

    /// Adds a JSON string that holds literal text.
    pub fn json_text(&mut self, text: &str) -> &mut Self {
        crate::json::write_string(&mut self.tail, text);
        self
    }

    /// Adds a JSON string that holds a secret's value.
    pub fn json_secret(&mut self, name: &str) -> &mut Self {
        self.text("\"")
            .secret(name, SecretEncoding::Json)
            .text("\"")
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
