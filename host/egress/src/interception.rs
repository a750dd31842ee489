//! Credentials that are put into requests to the hosts that they are for.

use std::fmt;
use std::str::FromStr;

use aod_launch::SecretBytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::policy::host_name;

/// The port of `https`, which a host is for where it names none.
const HTTPS: u16 = 443;

/// Whose requests the proxy reads, and what it puts into them.
///
/// A tunnel to such a host ends at the proxy, which shows the sandbox a certificate that the sandbox
/// trusts, and has a connection of its own to the host, whose certificate it verifies. All other
/// tunnels are passed on unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interception {
    /// The certificate that the sandbox is shown, for all hosts, as PEM.
    pub certificate: String,
    /// Its key, as PEM.
    pub key: SecretBytes,
    /// What is put into requests.
    pub credentials: Vec<BoundCredential>,
}

/// A credential that is for certain hosts and no others.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundCredential {
    /// What the sandbox has instead.
    pub placeholder: String,
    /// The credential.
    pub value: Zeroizing<String>,
    /// Who may be sent it.
    pub hosts: Vec<HostPort>,
    /// As [`Credential::renewed_as`](crate::Credential::renewed_as).
    #[serde(default)]
    pub renewed_as: Option<String>,
}

impl fmt::Debug for BoundCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundCredential")
            .field("placeholder", &self.placeholder)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// A host that is reached over TLS, at one port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// Its name, in its one form.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Why a text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// It has more than a name and a port.
    #[error("should be a host's name, with a port where that is not 443, and not a URL")]
    Url,
    /// It stands for many hosts.
    #[error("should be one host: a credential is not for all that a pattern matches")]
    Pattern,
    /// It is an address.
    #[error("should be a host's name and not an address")]
    Address,
    /// Its port is none.
    #[error("should have a port between 1 and 65535")]
    Port,
    /// Its name is none.
    #[error("should be the name of a host, such as api.example.com or api.example.com:8443")]
    Name,
}

impl FromStr for HostPort {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.contains(['/', '@', '?', '#']) {
            return Err(HostError::Url);
        }
        if text.contains('*') {
            return Err(HostError::Pattern);
        }
        if text.starts_with('[') || text.parse::<std::net::IpAddr>().is_ok() {
            return Err(HostError::Address);
        }
        let (host, port) = match text.split_once(':') {
            None => (text, HTTPS),
            Some((host, port)) => {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| is_number && *port != 0);
                (host, port.ok_or(HostError::Port)?)
            }
        };
        let host = host_name(host).map_err(|_| HostError::Name)?;
        match host.parse::<std::net::IpAddr>() {
            Ok(_) => Err(HostError::Address),
            Err(_) => Ok(Self { host, port }),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            HTTPS => f.write_str(&self.host),
            port => write!(f, "{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_has_a_name_and_perhaps_a_port() {
        for (text, shown) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com.", "api.example.com"),
            ("api.example.com:443", "api.example.com"),
            ("registry:8443", "registry:8443"),
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), shown);
        }
        for (text, error) in [
            ("https://api.example.com", HostError::Url),
            ("api.example.com/v1", HostError::Url),
            ("user@api.example.com", HostError::Url),
            ("*.example.com", HostError::Pattern),
            ("127.0.0.1", HostError::Address),
            ("::1", HostError::Address),
            ("[::1]:443", HostError::Address),
            ("127.0.0.1:443", HostError::Address),
            ("api.example.com:", HostError::Port),
            ("api.example.com:0", HostError::Port),
            ("api.example.com:+1", HostError::Port),
            ("api.example.com:70000", HostError::Port),
            ("a:b:1", HostError::Port),
            ("", HostError::Name),
            ("a b", HostError::Name),
            ("2130706433", HostError::Name),
            (":443", HostError::Name),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_host_reads_back_as_it_is_shown(text in "\\PC{0,30}") {
            if let Ok(host) = text.parse::<HostPort>() {
                prop_assert_eq!(host.to_string().parse::<HostPort>(), Ok(host));
            }
        }
    }
}
