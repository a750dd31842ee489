//! What a user registers of an OAuth login: the JSON of a CLI's own file, with an access token and
//! what renews it.

use aod_runtime::OauthEndpoint;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Times from here on are milliseconds: as seconds they would be in a far future.
const MILLISECONDS: u64 = 100_000_000_000;

/// A login, with all else that its JSON has.
pub(super) struct Grant<'a> {
    json: Value,
    endpoint: &'a OauthEndpoint,
}

/// What a token endpoint answers (RFC 6749, section 5.1).
#[derive(Deserialize)]
pub(super) struct Renewed {
    pub(super) access_token: SecretString,
    pub(super) refresh_token: Option<SecretString>,
    pub(super) expires_in: Option<u64>,
}

impl<'a> Grant<'a> {
    /// Reads one; none where the text is no JSON object, but a token as it is.
    pub(super) fn parse(text: &str, endpoint: &'a OauthEndpoint) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        json.is_object().then_some(Self { json, endpoint })
    }

    fn at(&self, path: &[String]) -> Option<&Value> {
        path.iter()
            .try_fold(&self.json, |value, key| value.get(key))
    }

    fn text(&self, path: &[String]) -> Option<SecretString> {
        let text = self.at(path)?.as_str()?;
        (!text.is_empty()).then(|| SecretString::from(text))
    }

    pub(super) fn access_token(&self) -> Option<SecretString> {
        self.text(&self.endpoint.access_token)
    }

    pub(super) fn refresh_token(&self) -> Option<SecretString> {
        self.text(&self.endpoint.refresh_token)
    }

    /// When the access token expires, in seconds since the Unix epoch: as it is said, or as the
    /// token itself says it (RFC 7519).
    pub(super) fn expires_at(&self) -> Option<u64> {
        if let Some(said) = self.at(&self.endpoint.expires_at).and_then(seconds) {
            return Some(said);
        }
        let token = self.access_token()?;
        let payload = token.expose_secret().split('.').nth(1)?;
        let claims = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        claims.get("exp")?.as_u64()
    }

    /// Takes what was renewed at this time. All else stays.
    pub(super) fn renew(&mut self, renewed: &Renewed, now: u64) {
        let endpoint = self.endpoint;
        let expires_at = renewed.expires_in.map(|rest| {
            let at = now.saturating_add(rest);
            let before = self.at(&endpoint.expires_at).and_then(Value::as_u64);
            match before {
                Some(before) if before >= MILLISECONDS => at.saturating_mul(1000),
                _ => at,
            }
        });
        let text = |secret: &SecretString| json!(secret.expose_secret());
        self.set(&endpoint.access_token, text(&renewed.access_token));
        if let Some(token) = &renewed.refresh_token {
            self.set(&endpoint.refresh_token, text(token));
        }
        // One that is not said anew is none of the new token's.
        self.set(&endpoint.expires_at, json!(expires_at));
    }

    fn set(&mut self, path: &[String], value: Value) {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let mut place = &mut self.json;
        for key in parents {
            place = object(place).entry(key.clone()).or_insert(Value::Null);
        }
        object(place).insert(last.clone(), value);
    }

    /// As it is kept.
    pub(super) fn to_secret(&self) -> SecretString {
        SecretString::from(self.json.to_string())
    }
}

/// The object in a place, which is made one where it is something else.
fn object(place: &mut Value) -> &mut Map<String, Value> {
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    match place {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object"),
    }
}

/// A time, in seconds.
fn seconds(time: &Value) -> Option<u64> {
    let time = time.as_u64()?;
    Some(if time >= MILLISECONDS {
        time / 1000
    } else {
        time
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(parent: Option<&str>) -> OauthEndpoint {
        let path = |key: &str| {
            let keys = parent.into_iter().chain([key]);
            keys.map(str::to_owned).collect()
        };
        OauthEndpoint {
            token_url: "https://login.test/token".to_owned(),
            client_id: "c".to_owned(),
            client_secret: None,
            is_json: false,
            access_token: path("access"),
            refresh_token: path("refresh"),
            expires_at: path("expires"),
        }
    }

    fn renewed(refresh: Option<&str>, expires_in: Option<u64>) -> Renewed {
        Renewed {
            access_token: "new".into(),
            refresh_token: refresh.map(SecretString::from),
            expires_in,
        }
    }

    #[test]
    fn a_login_keeps_its_form_when_it_is_renewed() {
        for (before, more, after) in [
            (
                r#"{"o":{"access":"a","refresh":"r","expires":1700000000000,"x":[1]},"y":2}"#,
                renewed(Some("r2"), Some(60)),
                json!({"o": {"access": "new", "refresh": "r2", "expires": 1_800_000_060_000_u64,
                             "x": [1]}, "y": 2}),
            ),
            (
                r#"{"o":{"access":"a","refresh":"r","expires":1700000000}}"#,
                renewed(None, Some(60)),
                json!({"o": {"access": "new", "refresh": "r", "expires": 1_800_000_060_u64}}),
            ),
            (
                r#"{"o":{"access":"a","refresh":"r","expires":1700000000}}"#,
                renewed(None, None),
                json!({"o": {"access": "new", "refresh": "r", "expires": null}}),
            ),
        ] {
            let endpoint = endpoint(Some("o"));
            let mut grant = Grant::parse(before, &endpoint).unwrap();
            assert_eq!(grant.expires_at(), Some(1_700_000_000));
            grant.renew(&more, 1_800_000_000);
            assert_eq!(grant.json, after);
        }
    }

    #[test]
    fn a_token_may_say_itself_when_it_expires() {
        let endpoint = endpoint(None);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1700000000}"#);
        for (access, expires) in [
            (format!("e30.{claims}.sig"), Some(1_700_000_000)),
            ("e30.e30.sig".to_owned(), None),
            ("a.%.c".to_owned(), None),
            ("opaque".to_owned(), None),
        ] {
            let text = json!({"access": access}).to_string();
            let grant = Grant::parse(&text, &endpoint).unwrap();
            assert_eq!(grant.expires_at(), expires, "{access}");
        }
    }

    #[test]
    fn a_plain_token_is_no_login() {
        let endpoint = endpoint(None);
        for text in ["sk-token", "\"x\"", "[1]", "{", ""] {
            assert!(Grant::parse(text, &endpoint).is_none(), "{text}");
        }
        let grant = Grant::parse(r#"{"access":"","refresh":3}"#, &endpoint).unwrap();
        assert!(grant.access_token().is_none() && grant.refresh_token().is_none());
    }
}
