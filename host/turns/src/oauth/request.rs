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
use serde::Deserialize;
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

/// Why there is no new token. Nothing of it is secret.
#[derive(Debug, Error)]
pub(super) enum RenewalError {
    /// The endpoint does not want to.
    #[error("its provider refuses to renew it: {0}")]
    Refused(String),
    /// It may want to another time.
    #[error("{0}")]
    Unavailable(String),
}

fn unavailable(what: &str, error: impl std::fmt::Display) -> RenewalError {
    RenewalError::Unavailable(format!("{what}: {error}"))
}

/// Asks once.
pub(super) async fn renew(
    policy: &Policy,
    authorities: Option<&str>,
    endpoint: &OauthEndpoint,
    refresh_token: &SecretString,
) -> Result<Renewed, RenewalError> {
    let asked = ask(policy, authorities, endpoint, refresh_token);
    let answered = timeout(PATIENCE, asked).await;
    let (status, body) = answered.map_err(|error| unavailable("no answer", error))??;
    if status.is_success() {
        return serde_json::from_slice(&body)
            // What is wrong with it is not quoted: it may hold a token.
            .map_err(|_| unavailable("no answer that can be read", status));
    }
    let word = error_word(&body).unwrap_or_else(|| status.to_string());
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(RenewalError::Refused(word))
        }
        _ => Err(RenewalError::Unavailable(word)),
    }
}

async fn ask(
    policy: &Policy,
    authorities: Option<&str>,
    endpoint: &OauthEndpoint,
    refresh_token: &SecretString,
) -> Result<(StatusCode, Bytes), RenewalError> {
    let invalid = |_| RenewalError::Unavailable("the token_url is invalid".to_owned());
    let url = Url::parse(&endpoint.token_url).map_err(invalid)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let connected = connect(policy, &host, port).await;
    let stream = connected.map_err(|error| unavailable("no connection", error))?;
    let tls = tls(authorities.map(str::to_owned)).await;
    let tls = tls.map_err(|error| unavailable("no certificate authorities", error))?;
    let name = ServerName::try_from(host.clone());
    let name = name.map_err(|error| unavailable("the token_url names no server", error))?;
    let stream = tls.connect(name, stream).await;
    let stream = stream.map_err(|error| unavailable("no secure connection", error))?;
    let http = |error: hyper::Error| unavailable("no answer", error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let (media_type, body) = body(endpoint, refresh_token);
    let host = url
        .port()
        .map_or(host.clone(), |port| format!("{host}:{port}"));
    let request = Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(HOST, host)
        .header(CONTENT_TYPE, media_type)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("aod/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| unavailable("the token_url is invalid", error))?;
    let response = sender.send_request(request).await.map_err(http)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|error| unavailable("no whole answer", error))?;
    Ok((status, body.to_bytes()))
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

/// The word that says what is wrong (RFC 6749, section 5.2). Nothing else is repeated: it may hold
/// what was sent.
fn error_word(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }
    let Answer { error } = serde_json::from_slice(body).ok()?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let fits = !error.is_empty() && error.len() <= MAX_WORD && error.bytes().all(is_word);
    fits.then_some(error)
}
