//! Keeping providers' credentials out of sandboxes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use aod_egress::{
    Credential, Gateway, Policy, Refusal, Sent, TOOLS_PATH, ToolServer, Upstream, UsageFields,
};
use aod_resources::{Agent, McpTransport, Resource};
use aod_runtime::types::{AuthStyle, Description, Endpoint, EndpointSource, Provider};
use aod_sandbox::SecretBytes;
use secrecy::ExposeSecret as _;
use url::Url;
use uuid::Uuid;

use super::{Bound, FIRST_GATEWAY, TOOLS, tools};
use crate::git::{self, Tokens};
use crate::mcp::mcp_names;
use crate::secrets::{TurnSecrets, mcp_reference, plain_url};

/// What placeholders begin with.
pub(super) const PLACEHOLDER: &str = "aod-brokered-";
/// The most gateways of one sandbox.
const MAX_GATEWAYS: usize = 60;

/// The gateways of a sandbox.
#[derive(Debug, Default)]
pub(crate) struct Brokered {
    /// Each with where it listens.
    pub(super) routes: Vec<Route>,
    /// Providers' base URLs, as the sandbox sees them.
    pub(crate) endpoints: Vec<Endpoint>,
    /// URLs of MCP servers, as the sandbox sees them, by their positions.
    pub(crate) mcp: BTreeMap<usize, String>,
    /// The agent's own tools.
    pub(super) tools: Option<ToolServer>,
    /// Repositories: where the sandbox finds each, and its true URL.
    pub(crate) repositories: Vec<(String, String)>,
    /// What the proxy puts into requests to certain hosts.
    pub(crate) bound: Option<Bound>,
}

#[derive(Debug)]
pub(super) struct Route {
    pub(super) listen: SocketAddrV4,
    pub(super) gateway: Gateway,
    /// The variable by which the CLI finds it.
    pub(super) variable: Option<(String, String)>,
    /// The position of the MCP server that it leads to.
    pub(super) mcp: Option<usize>,
}

impl Brokered {
    /// Whether a provider is reached through a gateway.
    pub(crate) fn has_provider(&self, provider: &str) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.provider == provider)
    }

    /// Gives a sandbox its session's private repositories, without their tokens.
    pub(crate) fn add_repositories(&mut self, resources: &[Resource], tokens: &Tokens) {
        for (index, token) in tokens {
            let resource = resources.get(*index);
            let Some((resource, url)) = resource.and_then(|it| Some((it, plain_url(&it.url)?)))
            else {
                continue;
            };
            let path = url.path().trim_end_matches('/').to_owned();
            let gateway = (Vec::new(), Some(git::authorization(token)));
            if let Some(inside) = self.add(&url, path, gateway) {
                self.repositories.push((inside, resource.url.clone()));
            }
        }
    }

    /// The route that was added last leads to the MCP server at this position.
    fn add_mcp(&mut self, index: usize, inside: String) {
        if let Some(route) = self.routes.last_mut() {
            route.mcp = Some(index);
        }
        self.mcp.insert(index, inside);
    }

    /// Offers the agent its own tools, and has every MCP server whose tools may not all be called
    /// reached through a gateway that looks at calls, and in no other way. `default_timeout` is how
    /// long a call waits where nothing is said.
    pub(crate) fn guard_tools(
        &mut self,
        agent: &Agent,
        policy: &mut Policy,
        default_timeout: Duration,
    ) {
        let servers = agent.mcp_servers.iter().enumerate();
        let mut guarded = BTreeSet::new();
        for (index, server) in servers {
            let (Some(permissions), McpTransport::Url { url, .. }) =
                (&server.permissions, &server.transport)
            else {
                continue;
            };
            let Some(url) = plain_url(url) else { continue };
            if let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) {
                guarded.insert((host.to_owned(), port));
            }
            if !self.mcp.contains_key(&index)
                && may_reach(policy, &url)
                && let Some(inside) = self.add(&url, mcp_path(&url), (Vec::new(), None))
            {
                self.add_mcp(index, inside);
            }
            let tools = tools::policy(&server.name, permissions, default_timeout);
            if let Some(route) = self.routes.iter_mut().find(|it| it.mcp == Some(index)) {
                route.gateway.tools = Some(tools);
            }
        }
        policy.guarded.extend(guarded);
        if !agent.tools.is_empty() {
            self.tools = Some(tools::server(&agent.tools, default_timeout));
            let url = format!("http://{TOOLS}{TOOLS_PATH}");
            self.mcp.insert(agent.mcp_servers.len(), url);
        }
    }

    /// The URL inside of the sandbox, for one outside.
    fn add(
        &mut self,
        url: &Url,
        path: String,
        (credentials, authorization): (Vec<Credential>, Option<SecretBytes>),
    ) -> Option<String> {
        let offset = u16::try_from(self.routes.len()).ok()?;
        if self.routes.len() >= MAX_GATEWAYS {
            return None;
        }
        let upstream = Upstream {
            tls: url.scheme() == "https",
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
            path,
        };
        let listen = SocketAddrV4::new(Ipv4Addr::LOCALHOST, FIRST_GATEWAY + offset);
        self.routes.push(Route {
            listen,
            gateway: Gateway {
                upstream,
                credentials,
                authorization,
                tools: None,
                usage: None,
            },
            variable: None,
            mcp: None,
        });
        let rest = &url[url::Position::BeforePath..];
        // Where the URL has no path, its one form has a slash that the user did not write.
        let rest = if rest == "/" { "" } else { rest };
        Some(format!("http://{listen}{rest}"))
    }
}

/// Puts placeholders in the place of all credentials that a gateway can fill in, and says which
/// gateways do. `endpoints` are the base URLs that are given for providers; `usage_fields` says
/// where a provider's answers tell what was used.
pub(crate) fn broker(
    secrets: &mut TurnSecrets,
    description: &Description,
    agent: &Agent,
    endpoints: &[Endpoint],
    policy: &Policy,
    usage_fields: impl Fn(&str) -> UsageFields,
) -> Brokered {
    let mut brokered = Brokered::default();
    for provider in &description.providers {
        let Some(url) = upstream(provider, endpoints).and_then(plain_url) else {
            continue;
        };
        let mut credentials = Vec::new();
        for kind in &description.credentials {
            if kind.providers.contains(&provider.id) && !kind.sent.is_empty() {
                let sent = kind.sent.iter().map(sent).collect();
                credentials.extend(credential(secrets, &kind.variable, sent));
            }
        }
        if credentials.is_empty() {
            continue;
        }
        let Some(inside) = brokered.add(&url, base_path(&url), (credentials, None)) else {
            continue;
        };
        if let Some(route) = brokered.routes.last_mut() {
            let variable = provider.endpoint_variable.as_ref();
            route.variable = variable.map(|variable| (variable.clone(), inside.clone()));
            route.gateway.usage = Some(usage_fields(&provider.id));
        }
        brokered.endpoints.push(Endpoint {
            provider: provider.id.clone(),
            url: inside,
            source: EndpointSource::Gateway,
        });
    }
    for (index, server) in agent.mcp_servers.iter().enumerate() {
        let McpTransport::Url { url, .. } = &server.transport else {
            continue;
        };
        let Some(url) = plain_url(url) else { continue };
        let mut credentials = Vec::new();
        for (position, (header, _)) in mcp_names(server).enumerate() {
            let sent = Sent::Header {
                name: header.to_ascii_lowercase(),
                prefix: String::new(),
            };
            let name = mcp_reference(index, position);
            credentials.extend(credential(secrets, &name, vec![sent]));
        }
        // One that may not be reached gets no gateway either, and the sandbox no value.
        if !credentials.is_empty()
            && may_reach(policy, &url)
            && let Some(inside) = brokered.add(&url, mcp_path(&url), (credentials, None))
        {
            brokered.add_mcp(index, inside);
        }
    }
    brokered
}

/// Where a provider is: at the base URL that is given for it, or at its own.
pub(super) fn upstream<'a>(provider: &'a Provider, endpoints: &'a [Endpoint]) -> Option<&'a str> {
    let given = endpoints
        .iter()
        .find(|endpoint| endpoint.provider == provider.id);
    given
        .map(|endpoint| &endpoint.url)
        .or(provider.default_endpoint.as_ref())
        .map(String::as_str)
}

/// Whether the name of an MCP server is one that may be reached. Where it leads is looked at when it
/// is connected to.
fn may_reach(policy: &Policy, url: &Url) -> bool {
    !matches!(
        policy.look_up(url.host_str().unwrap_or_default(), 0),
        Err(Refusal::NotAllowed { .. } | Refusal::Name { .. })
    )
}

/// What all paths of an MCP server begin with: its URL's. The older transport posts to another path
/// beside its `/sse`.
fn mcp_path(url: &Url) -> String {
    let path = url.path().trim_end_matches('/');
    path.strip_suffix("/sse").unwrap_or(path).to_owned()
}

/// A secret that the sandbox has a placeholder of from now on.
fn credential(secrets: &mut TurnSecrets, name: &str, sent: Vec<Sent>) -> Option<Credential> {
    let new = || format!("{PLACEHOLDER}{}", Uuid::new_v4().simple());
    let renewed_as = secrets.renewed_as(name);
    let (placeholder, value) = secrets.hide(name, new)?;
    Some(Credential {
        placeholder,
        value: value.expose_secret().to_owned().into(),
        sent,
        renewed_as,
    })
}

fn sent(style: &AuthStyle) -> Sent {
    match style {
        AuthStyle::Header(header) => Sent::Header {
            name: header.name.clone(),
            prefix: header.prefix.clone(),
        },
        AuthStyle::Query(name) => Sent::Query(name.clone()),
    }
}

/// What all paths at a base URL begin with: its own, without the API's version, which some clients
/// write there and some do not.
fn base_path(url: &Url) -> String {
    let path = url.path().trim_end_matches('/');
    let is_version = |segment: &str| {
        segment
            .strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    match path.rsplit_once('/') {
        Some((front, last)) if is_version(last) => front.to_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aod_resources::{McpServer, Networking, NetworkingKind};
    use indexmap::IndexMap;

    use super::*;
    use crate::network::allowed;

    #[test]
    fn paths_begin_as_the_base_url_without_its_version() {
        for (url, path) in [
            ("https://api.example", ""),
            ("https://api.example/", ""),
            ("https://api.example/v1", ""),
            ("https://api.example/v1beta/", ""),
            ("https://api.example/team/v1", "/team"),
            ("https://api.example/team", "/team"),
            ("https://api.example/vault", "/vault"),
        ] {
            assert_eq!(base_path(&Url::parse(url).unwrap()), path, "{url}");
        }
    }

    #[test]
    fn an_mcp_server_is_reached_where_the_environment_says_so() {
        let url = Url::parse("https://mcp.example/mcp").unwrap();
        let limited = |hosts: &[&str], all| Networking {
            kind: NetworkingKind::Limited,
            allowed_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            allow_package_managers: false,
            allow_mcp_servers: all,
            raw: false,
        };
        let server = McpServer {
            name: "m".to_owned(),
            permissions: None,
            transport: McpTransport::Url {
                url: url.to_string(),
                headers: IndexMap::new(),
            },
        };
        let reaches = |networking: &Networking| {
            let policy = Policy {
                allowed: allowed(networking, &[], std::slice::from_ref(&server)),
                ..Policy::default()
            };
            may_reach(&policy, &url)
        };
        assert!(may_reach(&Policy::default(), &url));
        assert!(reaches(&Networking::default()));
        assert!(reaches(&limited(&["*.example"], false)));
        assert!(reaches(&limited(&[], true)));
        assert!(!reaches(&limited(&["other.example"], false)));
        assert_eq!(mcp_path(&url), "/mcp");
        assert_eq!(mcp_path(&Url::parse("https://x/a/sse/").unwrap()), "/a");
        assert_eq!(mcp_path(&Url::parse("https://x").unwrap()), "");
    }

    #[test]
    fn a_url_inside_has_the_path_of_the_one_outside() {
        let mut brokered = Brokered::default();
        let mut add = |url: &str| {
            let url = Url::parse(url).unwrap();
            brokered.add(&url, base_path(&url), (Vec::new(), None))
        };
        let inside = |text: &str| Some(text.to_owned());
        assert_eq!(add("https://x.example"), inside("http://127.0.0.1:61081"));
        assert_eq!(add("http://x:9/v1/"), inside("http://127.0.0.1:61082/v1/"));
        assert_eq!(
            add("http://[::1]:9/a?b=c"),
            inside("http://127.0.0.1:61083/a?b=c")
        );
        let upstreams = brokered.routes.iter().map(|route| &route.gateway.upstream);
        let upstreams: Vec<_> = upstreams
            .map(|it| (it.tls, it.host.as_str(), it.port))
            .collect();
        assert_eq!(
            upstreams,
            [
                (true, "x.example", 443),
                (false, "x", 9),
                (false, "[::1]", 9)
            ]
        );
    }
}
