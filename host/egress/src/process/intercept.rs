//! Reading tunnels to certain hosts, and putting credentials into the requests in them.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aod_egress::{BoundCredential, HostPort, Interception, Outcome, host_name};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::bodies::KeptHead;
use super::connect::Connector;
use super::fill::{Filled, Placeholder, by_placeholder, fill_headers, fill_query};
use super::gateway::{AT_REST, Shared};
use super::http::{Body, HttpClient, failure, lead_to, pass_on, refused, strip};
use super::renewals::{Given, Renewable, Sent};
use super::serve::{Connected, http};

/// How long a client may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// Reads tunnels to the hosts that credentials are for.
pub(super) struct Interceptor {
    acceptor: TlsAcceptor,
    credentials: Vec<Held>,
    hosts: HashSet<HostPort>,
    /// To the hosts: it verifies who they are.
    client: HttpClient,
    connector: Connector,
    shared: Shared,
}

/// A credential, and whose it is.
struct Held {
    placeholder: String,
    value: Renewable,
    hosts: Vec<HostPort>,
}

impl Interceptor {
    pub(super) fn new(
        interception: Interception,
        client: HttpClient,
        connector: Connector,
        shared: Shared,
    ) -> io::Result<Self> {
        let Interception {
            certificate,
            key,
            credentials,
        } = interception;
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        // What is wrong with it is not quoted: it is secret.
        let key = PrivateKeyDer::from_pem_slice(key.expose())
            .map_err(|_| io::Error::other("the key of the certificate cannot be read"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain.map_err(io::Error::other)?, key)
            .map_err(io::Error::other)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let hosts = credentials.iter().flat_map(|it| it.hosts.iter().cloned());
        let hosts = hosts.collect();
        let held = |credential: BoundCredential| Held {
            placeholder: credential.placeholder,
            value: shared
                .renewals
                .credential(credential.value, credential.renewed_as),
            hosts: credential.hosts,
        };
        Ok(Self {
            acceptor: Arc::new(tls).into(),
            hosts,
            credentials: credentials.into_iter().map(held).collect(),
            client,
            connector,
            shared,
        })
    }

    /// The host that a tunnel leads to, if its requests are read.
    pub(super) fn host(&self, host: &str, port: u16) -> Option<HostPort> {
        let host = host_name(host).ok()?;
        let target = HostPort { host, port };
        self.hosts.contains(&target).then_some(target)
    }

    /// Serves one tunnel. Who goes away in the middle is nobody's error.
    pub(super) async fn serve(
        self: &Arc<Self>,
        inside: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        target: HostPort,
        connected: Arc<Connected>,
    ) {
        let stream = match timeout(HANDSHAKE, self.acceptor.accept(inside)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.tell_of(&error, &target),
            Err(_) => return,
        };
        let target = Arc::new(target);
        let http = http(connected.count());
        let service = service_fn(move |request| {
            let (interceptor, target) = (self.clone(), target.clone());
            let connected = connected.clone();
            async move {
                let answer = interceptor.handle(request, &target, connected).await;
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let _ = connection.with_upgrades().await;
    }

    /// A client that does not trust the certificate would otherwise be a riddle to its user.
    fn tell_of(&self, error: &io::Error, target: &HostPort) {
        let inner = error.get_ref().and_then(|it| it.downcast_ref());
        if let Some(rustls::Error::AlertReceived(alert)) = inner {
            let reason = format!(
                "a program in the sandbox does not accept the certificate under which the \
                 credential of {target} is put into its requests ({alert:?}): have it trust the \
                 file that SSL_CERT_FILE names"
            );
            self.connector
                .tell(Outcome::Failed, &target.host, target.port, &reason);
        }
    }

    /// Answers one request.
    async fn handle(
        &self,
        mut request: Request<Incoming>,
        target: &HostPort,
        connected: Arc<Connected>,
    ) -> Response<Body> {
        let inside = wants_upgrade(&request).map(|protocol| {
            let upgrade = hyper::upgrade::on(&mut request);
            (protocol, upgrade)
        });
        let protocol = inside.as_ref().map(|(protocol, _)| protocol);
        let request = request.map(BodyExt::boxed);
        let mut answer = match self.send(request, target, protocol).await {
            Ok(answer) => answer,
            Err((status, reason)) => return refused(status, &reason),
        };
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return pass_on(answer);
        }
        let Some((_, inside)) = inside else {
            return refused(StatusCode::BAD_GATEWAY, "nobody asked for another protocol");
        };
        let outside = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            if let (Ok(inside), Ok(outside)) = tokio::join!(inside, outside) {
                let (mut inside, mut outside) = (TokioIo::new(inside), TokioIo::new(outside));
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            }
            drop(connected);
        });
        let protocol = answer.headers().get(header::UPGRADE).cloned();
        let mut answer = pass_on(answer);
        set_upgrade(answer.headers_mut(), protocol.as_ref());
        answer
    }

    /// Passes a request on, and once more where the host refuses a credential of which there is
    /// another value by then.
    async fn send(
        &self,
        request: Request<Body>,
        target: &HostPort,
        protocol: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, Refused> {
        let is_renewed = self.credentials.iter().any(|it| it.value.is_renewed());
        let head = is_renewed.then(|| KeptHead::of(&request));
        let (request, sent) = self.translate(request, target, protocol)?;
        // What goes on as another protocol has no body.
        let Some(head) = head.filter(|_| protocol.is_none() && !sent.is_empty()) else {
            return self.ask(request).await;
        };
        let gathered = self.shared.bodies.gather(request, true).await;
        let (request, body) = gathered.map_err(|error| {
            let reason = format!("the request's body: {error}");
            (StatusCode::BAD_REQUEST, reason)
        })?;
        let answer = self.ask(request).await?;
        if answer.status() != StatusCode::UNAUTHORIZED
            || !self.shared.renewals.is_renewed(sent, &body).await
        {
            return Ok(answer);
        }
        let request = head.with(&body);
        // The turn may be over by now.
        match request.map(|request| self.translate(request, target, protocol)) {
            Some(Ok((request, _))) => self.ask(request).await,
            _ => Ok(answer),
        }
    }

    async fn ask(&self, request: Request<Body>) -> Result<Response<Incoming>, Refused> {
        let answer = self.client.request(request).await;
        answer.map_err(|error| failure(&error))
    }

    /// The request as the host gets it, and what in it may be refused for another value.
    fn translate(
        &self,
        mut request: Request<Body>,
        target: &HostPort,
        protocol: Option<&HeaderValue>,
    ) -> Result<(Request<Body>, Vec<Sent>), Refused> {
        if *request.method() == Method::CONNECT {
            let reason = "this is a tunnel already".to_owned();
            return Err((StatusCode::METHOD_NOT_ALLOWED, reason));
        }
        if *request.method() == Method::TRACE {
            // Its answer would have the credential (RFC 9110, section 9.3.8).
            let reason = "TRACE is not passed on where credentials are filled in".to_owned();
            return Err((StatusCode::METHOD_NOT_ALLOWED, reason));
        }
        if !names_host(&request, target) {
            // A server behind that serves several names must not take it for another's request.
            let reason = format!("this tunnel leads to {target}, and the request is for another");
            return Err((StatusCode::MISDIRECTED_REQUEST, reason));
        }
        strip(request.headers_mut());
        set_upgrade(request.headers_mut(), protocol);
        let credentials = self.credentials.iter();
        let credentials: Vec<(&str, Given)> = credentials
            .filter(|credential| credential.hosts.contains(target))
            .map(|credential| (&*credential.placeholder, credential.value.given()))
            .collect();
        let sent = credentials.iter().filter_map(|(_, value)| value.sent());
        let sent = sent.collect();
        let credentials: Vec<_> = credentials
            .iter()
            .map(|(placeholder, given)| Placeholder {
                placeholder,
                value: &given.value,
            })
            .collect();
        let in_headers = fill_headers(request.headers_mut(), &credentials);
        let (query, in_query) = match request.uri().query() {
            Some(query) => {
                let (query, filled) = fill_query(query, by_placeholder(&credentials));
                (Some(query), filled)
            }
            None => (None, Filled::Nothing),
        };
        for filled in [in_headers, in_query] {
            match filled {
                Filled::Nothing => {}
                Filled::Done if self.shared.in_use.is_set() => {}
                Filled::Done => return Err((StatusCode::UNAUTHORIZED, AT_REST.to_owned())),
                Filled::Invalid => {
                    let reason = "the credential holds what no header can hold, such as the end \
                                  of a line: register it anew"
                        .to_owned();
                    return Err((StatusCode::BAD_GATEWAY, reason));
                }
            }
        }
        let authority = target.to_string().parse().ok();
        authority
            .and_then(|it| lead_to(&mut request, Scheme::HTTPS, it, query.as_deref()))
            .ok_or_else(|| (StatusCode::BAD_REQUEST, "the URL is invalid".to_owned()))?;
        let is_filled = in_headers == Filled::Done || in_query == Filled::Done;
        Ok((request, if is_filled { sent } else { Vec::new() }))
    }
}

/// Why a request is not passed on.
type Refused = (StatusCode, String);

/// Whether all that a request says of its host is the host that its tunnel leads to.
fn names_host<B>(request: &Request<B>, target: &HostPort) -> bool {
    let is_target = |authority: &Authority| {
        let same = host_name(authority.host()).is_ok_and(|host| host == target.host);
        let port = authority.port_u16();
        let has_port = authority.port().is_some();
        let has_user = authority.as_str().contains('@');
        same && !has_user && (!has_port || port == Some(target.port))
    };
    let mut in_headers = request.headers().get_all(header::HOST).iter();
    let in_headers = in_headers.all(|value| {
        let authority = Authority::try_from(value.as_bytes());
        authority.is_ok_and(|authority| is_target(&authority))
    });
    let uri = request.uri();
    let is_https = uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTPS);
    in_headers && is_https && uri.authority().is_none_or(is_target)
}

/// The protocol that a request would go on with.
fn wants_upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    let headers = request.headers();
    let mut named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let is_named = named.any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| is_named).cloned()
}

fn set_upgrade(headers: &mut header::HeaderMap, protocol: Option<&HeaderValue>) {
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}
