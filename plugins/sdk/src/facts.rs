use crate::{Continuity, TurnContext};

impl TurnContext {
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

    /// The base URL that the user gave for a provider.
    #[must_use]
    pub fn endpoint(&self, provider: &str) -> Option<&str> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.provider == provider)
            .map(|endpoint| endpoint.url.as_str())
    }

    /// The base URL that the user gave for a provider, with the API's version as its last segment,
    /// which some variables are meant to have and others not.
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

    /// The base URL that the user gave for a provider whose variable is meant to hold the API's
    /// version: as it is, or with the version where it has no path at all.
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

    /// What an earlier turn remembered. An empty token is none: by remembering it, a turn whose
    /// conversation was not found makes the next one start afresh.
    #[must_use]
    pub fn resume_token(&self) -> Option<&str> {
        self.resume.as_deref().filter(|token| !token.is_empty())
    }

    /// What to tell of the turn's memory, for a CLI that resumes by what was remembered.
    #[must_use]
    pub fn continuity(&self) -> Continuity {
        match (self.resume_token(), self.turn) {
            (Some(_), _) => Continuity::Native,
            (None, ..=1) => Continuity::First,
            (None, _) => Continuity::Fresh,
        }
    }
}
