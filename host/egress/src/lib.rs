//! The way out of a sandbox's network namespace.
//!
//! A sandbox has no route anywhere. The sockets that listen on its loopback device are served by
//! the `aod-egress` program, which runs outside of it: whoever started the sandbox's command starts
//! it when somebody connects ([`aod_launch::Egress`]), and it ends when nobody has for a while. It
//! belongs to one sandbox and outlives the server with it.
//!
//! What it does is in its [`Config`], which it reads from stdin:
//!
//! - [`Service::Proxy`] is an HTTP proxy: `CONNECT`, and plain HTTP by absolute URLs. It resolves
//!   names itself, and connects only where the [`Policy`] allows it: to allowed names, and, after
//!   resolution, to public addresses.
//! - [`Service::Gateway`] passes requests on to one upstream, over TLS where that wants it, and puts
//!   a credential in the place of the placeholder that the sandbox has instead.
//! - [`Service::Forward`] passes a connection on as it is, to a name that the operator maps to an
//!   address, for programs that know no proxy.
//!
//! Tunnels to the hosts of an [`Interception`] end at the proxy, which puts credentials into the
//! requests that come through them.
//!
//! - [`Service::Tools`] is an MCP server (streamable HTTP) for the agent's own tools: a call is held
//!   until its starter says what is answered ([`aod_launch::CallReport`]). A gateway with a
//!   [`ToolPolicy`] looks at calls of the MCP server behind it in the same way.
//!
//! - [`Service::Packets`] is a network device for programs that know no proxy, and
//!   [`Service::Resolver`] resolves names for them. Each packet is looked at ([`packet`]): those to
//!   addresses that the [`Policy`] allows go to `passt`, which makes connections of them, and all
//!   others are refused.
//! - [`Service::NoPackets`] and [`Service::NoNames`] are these where programs have to use the proxy:
//!   they refuse everything at once, and are there so that it is known what was tried.
//!
//! Its starter may know of a new value of a credential: it is told it ([`RenewedCredential`]), also
//! when it asks, because a server refuses the one that it has ([`CredentialReport`]). The request is
//! then sent once more.
//!
//! What it refuses it reports to its starter, a [`Report`] a line on stdout. A gateway with
//! [`UsageFields`] counts the tokens that answers say were used, and reports them
//! ([`TokenReport`]), and lets no more requests to a model through than the turn may make
//! ([`AllowanceReport`]).

mod address;
mod config;
mod interception;
pub mod packet;
mod policy;
pub mod question;
mod report;
mod tools;
mod usage;

pub use address::{is_own, is_public};
pub use aod_launch::{
    AllowanceReport, CredentialReport, RenewedCredential, TokenCounts, TokenReport,
};
pub use config::{Config, Credential, Gateway, MappedHost, Packets, Sent, Service, Upstream};
pub use interception::{BoundCredential, HostError, HostPort, Interception};
pub use policy::{Policy, Refusal, Target, host_name};
pub use report::{Outcome, Report};
pub use tools::{Permission, TOOLS_PATH, Tool, ToolPolicy, ToolServer, json_schema};
pub use usage::{Figure, MAX_USAGE_DEPTH, MAX_USAGE_FIELDS, UsageField, UsageFields};
