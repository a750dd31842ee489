use crate::{Block, Context, Continuity, Endpoint, EndpointSource, Origin, Prompt};

impl Context {
    /// The model's id without its provider.
    #[must_use]
    pub fn model_id(&self) -> &str {
        self.model
            .split_once('/')
            .map_or(self.model.as_str(), |(_, id)| id)
    }

    /// The model's provider.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.model
            .split_once('/')
            .map_or("", |(provider, _)| provider)
    }

    /// Whether there is a secret of this name.
    #[must_use]
    pub fn has_secret(&self, name: &str) -> bool {
        self.secrets.iter().any(|secret| secret == name)
    }

    /// The base URL to use for a provider in place of its default one.
    #[must_use]
    pub fn endpoint(&self, provider: &str) -> Option<&str> {
        self.endpoint_of(provider)
            .map(|endpoint| endpoint.url.as_str())
    }

    /// Whether a provider is reached through the host's credential gateway.
    #[must_use]
    pub fn is_brokered(&self, provider: &str) -> bool {
        self.endpoint_of(provider)
            .is_some_and(|endpoint| endpoint.source == EndpointSource::Gateway)
    }

    fn endpoint_of(&self, provider: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.provider == provider)
    }

    /// The base URL for a provider, with the API's version as its last segment, which some
    /// variables are meant to have and others not.
    #[must_use]
    pub fn versioned_endpoint(&self, provider: &str, version: &str) -> Option<String> {
        let url = self.endpoint(provider)?.trim_end_matches('/');
        let has_version = url.rsplit('/').next() == Some(version);
        Some(if has_version {
            url.to_owned()
        } else {
            format!("{url}/{version}")
        })
    }

    /// The base URL for a provider whose variable is meant to hold the API's version: as it is, or
    /// with the version where it has no path at all.
    #[must_use]
    pub fn completed_endpoint(&self, provider: &str, version: &str) -> Option<String> {
        let url = self.endpoint(provider)?;
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        if after_scheme.trim_end_matches('/').contains('/') {
            Some(url.to_owned())
        } else {
            self.versioned_endpoint(provider, version)
        }
    }

    /// What an earlier process remembered, for one that goes on with the same conversation.
    #[must_use]
    pub fn resume_token(&self) -> Option<&str> {
        match &self.origin {
            Origin::Resume(token) => Some(token),
            Origin::New | Origin::Fork(_) => None,
        }
    }

    /// What to tell of the conversation's memory, for a CLI that resumes by what was remembered.
    #[must_use]
    pub fn continuity(&self, prompt: &Prompt) -> Continuity {
        match (&self.origin, prompt.turn) {
            (Origin::Resume(_) | Origin::Fork(_), _) => Continuity::Native,
            (Origin::New, ..=1) => Continuity::First,
            (Origin::New, _) => Continuity::Fresh,
        }
    }
}

impl Prompt {
    /// The prompt as one text, for a CLI that takes nothing else: images and files are named where
    /// they stand.
    #[must_use]
    pub fn text(&self) -> String {
        text_of(&self.blocks)
    }

    /// The value of a setting as a JSON text, where one is set.
    #[must_use]
    pub fn setting(&self, id: &str) -> Option<&str> {
        self.settings
            .iter()
            .find(|setting| setting.id == id)
            .map(|setting| setting.value.as_str())
    }

    /// The value of a setting that is a JSON string, where one is set.
    #[must_use]
    pub fn setting_text(&self, id: &str) -> Option<String> {
        serde_json::from_str(self.setting(id)?).ok()
    }
}

/// Blocks as one text; images and files are named where they stand.
#[must_use]
pub fn text_of(blocks: &[Block]) -> String {
    // The most common prompt by far.
    if let [Block::Text(text)] = blocks {
        return text.clone();
    }
    let mut whole = String::new();
    for block in blocks {
        if !whole.is_empty() {
            whole.push_str("\n\n");
        }
        match block {
            Block::Text(text) => whole.push_str(text),
            Block::Image(image) => {
                whole.push_str(&format!("[image {}: {}]", image.name, image.path));
            }
            Block::File(file) => whole.push_str(&format!("[file {}: {}]", file.name, file.path)),
        }
    }
    whole
}
