//! Asking a token endpoint for a new token (RFC 6749, section 6).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aod_egress::{Policy, Target};
use aod_runtime::OauthEndpoint;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Url, form_urlencoded};

use super::grant::Renewed;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer.
const MAX_ANSWER: usize = 64 << 10;
/// The longest word of an error that is repeated.
const MAX_WORD: usize = 64;
/// Words of errors that say that a login cannot be renewed: the standard's, and those that say it
/// more exactly. All others are about who asks, or how.
const FINAL: [&str; 5] = [
    "invalid_grant",
    "refresh_token_expired",
    "refresh_token_invalidated",
    "refresh_token_reused",
    "access_denied",
];

/// Why there is no new token. Nothing of it is secret.
#[derive(Debug, Error)]
pub(super) enum RenewalError {
    /// There is nothing to renew it with.
    #[error("it has no refresh token")]
    NoRefreshToken,
    /// The endpoint does not take what renews it, now or later.
    #[error("its provider refuses to renew it: {0}")]
    Refused(String),
    /// The endpoint does not want to, for a reason that is not the login's.
    #[error("its provider refuses to renew it: {0}")]
    Misconfigured(String),
    /// It may want to another time.
    #[error("{0}")]
    Unavailable(String),
    /// It was asked, and its answer is not known: what renews it may be spent.
    #[error("{0}")]
    Unanswered(String),
}

fn unavailable(what: &str, error: impl std::fmt::Display) -> RenewalError {
    RenewalError::Unavailable(format!("{what}: {error}"))
}

fn unanswered(what: &str, error: impl std::fmt::Display) -> RenewalError {
    RenewalError::Unanswered(format!("{what}: {error}"))
}

/// Asks once.
pub(super) async fn renew(
    policy: &Policy,
    authorities: Option<&str>,
    endpoint: &OauthEndpoint,
    refresh_token: &SecretString,
) -> Result<Renewed, RenewalError> {
    let connected = timeout(PATIENCE, connected(policy, authorities, endpoint)).await;
    let (sender, _connection) =
        connected.map_err(|error| unavailable("no connection", error))??;
    let asked = ask(sender, endpoint, refresh_token);
    let answered = timeout(PATIENCE, asked).await;
    let (status, body) = answered.map_err(|error| unanswered("no answer", error))??;
    if status.is_success() {
        return serde_json::from_slice(&body)
            // What is wrong with it is not quoted: it may hold a token.
            .map_err(|_| unanswered("no answer that can be read", status));
    }
    let word = error_word(&body);
    let is_final = word.as_deref().is_none_or(|word| FINAL.contains(&word));
    let word = word.unwrap_or_else(|| status.to_string());
    Err(match status {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            match is_final {
                true => RenewalError::Refused(word),
                false => RenewalError::Misconfigured(word),
            }
        }
        _ => RenewalError::Unavailable(word),
    })
}

type Sender = http1::SendRequest<Full<Bytes>>;

/// A connection to the endpoint, which ends with the second of these.
async fn connected(
    policy: &Policy,
    authorities: Option<&str>,
    endpoint: &OauthEndpoint,
) -> Result<(Sender, AbortOnDropHandle<hyper::Result<()>>), RenewalError> {
    let url = url(endpoint)?;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = connect(policy, host, port).await;
    let stream = stream.map_err(|error| unavailable("no connection", error))?;
    let tls = tls(authorities.map(str::to_owned)).await;
    let tls = tls.map_err(|error| unavailable("no certificate authorities", error))?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| unavailable("the token_url names no server", error))?;
    let stream = tls.connect(name, stream).await;
    let stream = stream.map_err(|error| unavailable("no secure connection", error))?;
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = opened.map_err(|error| unavailable("no connection", error))?;
    Ok((sender, AbortOnDropHandle::new(tokio::spawn(connection))))
}

async fn ask(
    mut sender: Sender,
    endpoint: &OauthEndpoint,
    refresh_token: &SecretString,
) -> Result<(StatusCode, Bytes), RenewalError> {
    let url = url(endpoint)?;
    let host = url.host_str().unwrap_or_default();
    let host = url
        .port()
        .map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let (media_type, body) = body(endpoint, refresh_token);
    let request = Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(HOST, host)
        .header(CONTENT_TYPE, media_type)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("aod/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| unavailable("the token_url is invalid", error))?;
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| unanswered("no answer", error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|error| unanswered("no whole answer", error))?;
    Ok((status, body.to_bytes()))
}

fn url(endpoint: &OauthEndpoint) -> Result<Url, RenewalError> {
    let url = Url::parse(&endpoint.token_url);
    url.map_err(|error| unavailable("the token_url is invalid", error))
}

/// Where the configuration leads a name that it has, as gateways do.
async fn connect(policy: &Policy, host: &str, port: u16) -> io::Result<TcpStream> {
    let target = policy.declared(host, port).map_err(io::Error::other)?;
    let addresses: Vec<SocketAddr> = match target {
        Target::Address(address) => vec![address],
        Target::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), port)).await?;
            let allowed = found.filter(|found| policy.check(&name, found.ip()).is_ok());
            allowed.collect()
        }
    };
    TcpStream::connect(addresses.as_slice()).await
}

async fn tls(authorities: Option<String>) -> io::Result<TlsConnector> {
    let roots = tokio::task::spawn_blocking(move || {
        let mut roots = RootCertStore::empty();
        // What of them cannot be read is as good as not there.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let authorities = authorities.unwrap_or_default();
        let more = CertificateDer::pem_slice_iter(authorities.as_bytes());
        roots.add_parsable_certificates(more.filter_map(Result::ok));
        roots
    });
    let roots = roots.await.map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// The request's body, and what it is.
fn body(endpoint: &OauthEndpoint, refresh_token: &SecretString) -> (&'static str, String) {
    let mut fields = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.expose_secret()),
        ("client_id", &endpoint.client_id),
    ];
    if let Some(secret) = &endpoint.client_secret {
        fields.push(("client_secret", secret));
    }
    match endpoint.is_json {
        true => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()));
            let json = serde_json::Value::Object(fields.collect());
            ("application/json", json.to_string())
        }
        false => {
            let form = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish();
            ("application/x-www-form-urlencoded", form)
        }
    }
}

/// The word that says what is wrong (RFC 6749, section 5.2), or that stands where others have it.
/// Nothing else is repeated: it may hold what was sent.
fn error_word(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let places = ["/error", "/error/code", "/error/type", "/code"];
    let mut words = places
        .into_iter()
        .filter_map(|place| answer.pointer(place)?.as_str());
    words.find(|word| is_word(word)).map(str::to_owned)
}

fn is_word(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    !word.is_empty() && word.len() <= MAX_WORD && word.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_an_error_is_found_where_providers_have_it() {
        for (body, word) in [
            (
                r#"{"error":"invalid_grant","error_description":"x"}"#,
                Some("invalid_grant"),
            ),
            (
                r#"{"error":{"type":"invalid_request","code":"refresh_token_reused"}}"#,
                Some("refresh_token_reused"),
            ),
            (
                r#"{"error":{"type":"invalid_grant","message":"x"}}"#,
                Some("invalid_grant"),
            ),
            (
                r#"{"code":"refresh_token_expired"}"#,
                Some("refresh_token_expired"),
            ),
            (r#"{"error":"sk-Secret"}"#, None),
            (r#"{"error":""}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(error_word(body.as_bytes()).as_deref(), word, "{body}");
        }
    }
}
