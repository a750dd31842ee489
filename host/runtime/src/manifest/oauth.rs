//! `[runtime.NAME.oauth.CREDENTIAL]`: where the OAuth tokens of a credential are renewed.

use indexmap::IndexMap;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::read::Mistake;
use super::usage::path;
use crate::settings::OauthEndpoint;

/// The tables, by the names of credentials.
pub(super) type RawOauth = IndexMap<Spanned<String>, RawEndpoint>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEndpoint {
    token_url: Spanned<String>,
    client_id: String,
    client_secret: Option<String>,
    #[serde(default)]
    body: Body,
    access_token: Option<Spanned<String>>,
    refresh_token: Option<Spanned<String>>,
    expires_at: Option<Spanned<String>>,
}

#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    #[default]
    Form,
    Json,
}

pub(super) fn oauth(raw: RawOauth) -> Result<IndexMap<String, OauthEndpoint>, Mistake> {
    raw.into_iter()
        .map(|(credential, raw)| {
            if !credential.get_ref().contains(':') {
                let problem = format!(
                    "`{}` is not the name of a credential, such as \"runtime_token:NAME\"",
                    credential.get_ref()
                );
                return Err(Mistake::new(credential.span(), problem));
            }
            let token_url = token_url(raw.token_url)?;
            let keys = |given: Option<Spanned<String>>, usual: &str| match given {
                Some(pointer) => path(&pointer),
                None => Ok(vec![usual.to_owned()]),
            };
            let endpoint = OauthEndpoint {
                token_url,
                client_id: raw.client_id,
                client_secret: raw.client_secret,
                is_json: raw.body == Body::Json,
                access_token: keys(raw.access_token, "access_token")?,
                refresh_token: keys(raw.refresh_token, "refresh_token")?,
                expires_at: keys(raw.expires_at, "expires_at")?,
            };
            Ok((credential.into_inner(), endpoint))
        })
        .collect()
}

/// Tokens are sent over TLS alone.
fn token_url(given: Spanned<String>) -> Result<String, Mistake> {
    let is_good = Url::parse(given.get_ref()).is_ok_and(|url| {
        url.scheme() == "https"
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
    });
    match is_good {
        true => Ok(given.into_inner()),
        false => Err(Mistake::new(
            given.span(),
            "`token_url` is an https URL without user information",
        )),
    }
}
