//! `[http]` and `[stream]`: what connections and browsers may do.

use std::time::Duration;

use anyhow::{Result, bail};
use axum::http::{HeaderValue, Uri};
use serde::{Deserialize, Serialize};

use super::{Settings, positive};

/// Browsers, proxies, and what connections may cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    /// Origins whose pages may use the API from a browser, such as `https://app.example.com`.
    pub(super) allowed_origins: Vec<String>,
    /// Names that a server on a loopback address answers for, apart from this machine's own: those
    /// that a proxy passes on.
    pub(super) allowed_hosts: Vec<String>,
    /// How long a request's head may take, and a connection rest between two requests. Zero: for
    /// ever.
    #[serde(with = "humantime_serde")]
    pub(super) header_timeout: Duration,
    /// How long a client may send nothing of a request's body. Zero: for ever.
    #[serde(with = "humantime_serde")]
    pub(super) body_timeout: Duration,
    /// Connections that may be open at once.
    pub(super) max_connections: usize,
    /// How many of them may come from one address.
    pub(super) max_connections_per_address: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stream {
    /// A connection whose client takes nothing for so long is closed. Zero: never.
    #[serde(with = "humantime_serde")]
    pub(crate) stall: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            max_connections: 8192,
            max_connections_per_address: 2048,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// Settings of the HTTP layer.
    pub(crate) fn http(&self) -> Result<aod_api::HttpSettings> {
        if self.http.max_connections == 0 || self.http.max_connections_per_address == 0 {
            bail!("http.max_connections and .max_connections_per_address should be 1 or more");
        }
        let origins = self.http.allowed_origins.iter().map(|text| origin(text));
        Ok(aod_api::HttpSettings {
            limits: aod_api::Limits {
                body: usize::try_from(self.limits.body.as_u64()).unwrap_or(usize::MAX),
                body_timeout: positive(self.http.body_timeout),
            },
            allowed_origins: origins.collect::<Result<_>>()?,
            hosts: match self.listen.ip().is_loopback() {
                true => aod_api::Hosts::Local(self.http.allowed_hosts.clone()),
                false => aod_api::Hosts::Any,
            },
        })
    }

    /// Bounds on connections.
    pub(crate) fn connections(&self) -> aod_api::ConnectionLimits {
        aod_api::ConnectionLimits {
            header_timeout: positive(self.http.header_timeout),
            stall: self.stream.stall,
            total: self.http.max_connections,
            per_peer: self.http.max_connections_per_address,
        }
    }
}

/// An origin as browsers send it: a scheme, a host and perhaps a port.
fn origin(text: &str) -> Result<HeaderValue> {
    let uri: Option<Uri> = text.parse().ok();
    let is_origin = uri.is_some_and(|uri| {
        let parts = uri.scheme_str().zip(uri.authority());
        parts.is_some_and(|(scheme, host)| text == format!("{scheme}://{host}"))
    });
    if !is_origin {
        bail!("http.allowed_origins: {text:?} should be an origin, such as https://example.com");
    }
    Ok(HeaderValue::from_str(text)?)
}
