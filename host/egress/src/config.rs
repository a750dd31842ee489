//! What the program is told.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use aod_launch::SecretBytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Interception, Policy, ToolPolicy, ToolServer, UsageFields};

/// What a sandbox's egress program is told, once, over its stdin. It may hold secrets: it is never
/// stored, and its debug output has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What each listening socket is for, in their order.
    pub services: Vec<Service>,
    /// What may be connected to.
    pub policy: Policy,
    /// Certificates, as PEM, that are trusted besides the public authorities.
    #[serde(default)]
    pub authorities: Option<String>,
    /// What the proxy puts into requests to certain hosts.
    #[serde(default)]
    pub interception: Option<Interception>,
}

/// What a listening socket is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// An HTTP proxy (RFC 9110, section 7.6 and 9.3.6).
    Proxy,
    /// Connections are passed on to this name and port as they are.
    Forward {
        /// The name, which the policy has to map.
        host: String,
        /// The port.
        port: u16,
    },
    /// Requests are passed on to an upstream with their placeholders replaced.
    Gateway(Gateway),
    /// Tools are offered, at [`crate::TOOLS_PATH`].
    Tools(ToolServer),
    /// Questions for names are answered, over UDP (RFC 1035): for addresses, and for names that the
    /// policy lets through.
    Resolver,
    /// Not a socket but a network device: packets to where the policy allows them are passed on.
    Packets(Packets),
    /// As [`Service::Resolver`], where programs are to use the proxy alone: every question is
    /// refused.
    NoNames,
    /// As [`Service::Packets`], where programs are to use the proxy alone: every packet is refused,
    /// and none ever passed on.
    NoPackets,
}

/// How packets are passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    /// The `passt` program, which makes connections of this machine's of them: absolute.
    pub program: PathBuf,
    /// The sandbox's address. Packets from elsewhere are dropped.
    pub v4: Ipv4Addr,
    /// Its address of IPv6.
    pub v6: Ipv6Addr,
}

/// A name that leads to an address of the operator's choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedHost {
    /// The name.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The port, whatever port is asked for; none: that one.
    pub port: Option<u16>,
}

/// Where a gateway's requests go, and what is put into them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Who answers them.
    pub upstream: Upstream,
    /// Credentials that the sandbox has placeholders of. Where there are any, a request without the
    /// placeholder of one is refused.
    pub credentials: Vec<Credential>,
    /// What every request has as its `Authorization`, whatever the sandbox sends there: for clients
    /// that have no placeholder.
    #[serde(default)]
    pub authorization: Option<SecretBytes>,
    /// Where an MCP server is behind it: which of its tools may be called. None: all.
    #[serde(default)]
    pub tools: Option<ToolPolicy>,
    /// Where its answers say how many tokens were used, which are counted then. None: they are not.
    #[serde(default)]
    pub usage: Option<UsageFields>,
}

/// The server behind a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Whether it is reached over TLS.
    pub tls: bool,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What every path has to begin with: empty, or segments that begin with a slash each.
    #[serde(default)]
    pub path: String,
}

/// A credential, and how it is recognised and sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// What the sandbox has instead.
    pub placeholder: String,
    /// The credential.
    pub value: Zeroizing<String>,
    /// Where requests carry it.
    pub sent: Vec<Sent>,
    /// The name under which its starter may have another value of it
    /// ([`aod_launch::RenewedCredential`]): where the upstream refuses the one that there is, the
    /// starter is asked. None: it stays what it is.
    #[serde(default)]
    pub renewed_as: Option<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("placeholder", &self.placeholder)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// Where a request carries a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// In the header of this name.
    Header {
        /// The name, in lower case.
        name: String,
        /// What stands in front of it, such as `Bearer ` with its space.
        prefix: String,
    },
    /// As the query parameter of this name.
    Query(String),
}
