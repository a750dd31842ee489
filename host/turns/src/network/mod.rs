//! What a session's sandboxes reach, and by which way.
//!
//! A sandbox has a network namespace of its own, and on its loopback device an HTTP proxy, a gateway
//! for each provider whose credential is brokered, and a port for each name that the operator maps.
//! `aod-egress` serves them from outside.

mod bound;
mod broker;
mod raw;
mod tools;
mod usage;

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use aod_egress::{Config, MappedHost, Packets, Policy, Service, ToolServer};
use aod_resources::{McpServer, McpTransport, Networking, NetworkingKind};
use aod_runtime::types::{Description, Endpoint};
use aod_sandbox::{Network, SandboxSpec};
use aod_store::SessionRecord;
use url::Url;
use zeroize::Zeroizing;

pub(crate) use self::bound::{Bound, bind, hosts as bound_hosts};
pub(crate) use self::broker::{Brokered, broker};
use self::broker::{Route, upstream};
pub(crate) use self::raw::packets;
pub(crate) use self::usage::usage_fields;
use crate::config::EgressConfig;
use crate::{Error, Result};

/// Where the proxy listens inside of sandboxes. This port and the following ones are beyond those
/// that the kernel gives away, and none that servers are known by.
const PROXY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 61_080);
/// Where the agent's own tools are offered.
const TOOLS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 61_079);
/// The first port of gateways.
const FIRST_GATEWAY: u16 = 61_081;
/// Mapped names have addresses of their own from here on, inside.
const FIRST_MAPPED: Ipv4Addr = Ipv4Addr::new(127, 61, 0, 1);

/// What a sandbox is given of the network.
#[derive(Debug)]
pub(crate) struct SandboxNetwork {
    network: Network,
    hosts: Vec<(String, IpAddr)>,
    variables: Vec<(String, String)>,
    bound: Option<Bound>,
}

impl SandboxNetwork {
    /// The host's own network: for drivers without isolation, and where the operator says so.
    pub(crate) fn of_host(config: &EgressConfig) -> Self {
        let hosts = config.hosts.iter();
        Self {
            network: Network::Host,
            hosts: hosts
                .map(|mapped| (mapped.name.clone(), mapped.address))
                .collect(),
            variables: Vec::new(),
            bound: None,
        }
    }

    /// The open internet, and what the operator maps: for what prepares a session. What is `bound`
    /// to hosts is put into requests to them.
    pub(crate) fn open(
        config: &EgressConfig,
        bound: Option<Bound>,
        packets: Option<Packets>,
    ) -> Result<Self> {
        if config.shares_host {
            return Ok(Self::of_host(config));
        }
        let services = Further {
            bound,
            packets,
            ..Further::default()
        };
        Self::served(config, policy(config, None), services)
    }

    /// What the session's `policy` lets through, what the runtime's providers need besides, and the
    /// gateways.
    pub(crate) fn of_turn(
        config: &EgressConfig,
        mut policy: Policy,
        description: &Description,
        endpoints: &[Endpoint],
        brokered: &mut Brokered,
        packets: Option<Packets>,
    ) -> Result<Self> {
        if config.shares_host {
            return Ok(Self::of_host(config));
        }
        if let Some(allowed) = &mut policy.allowed {
            // What the gateways lead to need not be reached in another way.
            let providers = description.providers.iter();
            allowed.extend(
                providers
                    .filter(|provider| !brokered.has_provider(&provider.id))
                    .filter_map(|provider| host_of(upstream(provider, endpoints)?)),
            );
        }
        let services = Further {
            is_turn: true,
            routes: std::mem::take(&mut brokered.routes),
            bound: brokered.bound.clone(),
            tools: brokered.tools.take(),
            packets,
        };
        Self::served(config, policy, services)
    }

    fn served(config: &EgressConfig, policy: Policy, further: Further) -> Result<Self> {
        let Further {
            is_turn,
            routes,
            bound,
            tools,
            packets,
        } = further;
        let mut listen = vec![PROXY];
        let mut services = vec![Service::Proxy];
        let mut direct = vec![
            "127.0.0.1".to_owned(),
            "localhost".to_owned(),
            "::1".to_owned(),
        ];
        let mut hosts = Vec::new();
        for (at, port, forwarded) in forwards(&policy) {
            if bound
                .as_ref()
                .is_some_and(|bound| bound.has_host(&forwarded))
            {
                // It is the proxy that reads requests to it.
                continue;
            }
            listen.push(SocketAddrV4::new(at, port));
            services.push(Service::Forward {
                host: forwarded.clone(),
                port,
            });
            if forwarded.parse::<IpAddr>().is_err() {
                hosts.push((forwarded.clone(), IpAddr::V4(at)));
            }
            direct.push(forwarded);
        }
        let mut variables = proxy_variables(&direct.join(","));
        for route in routes {
            listen.push(route.listen);
            services.push(Service::Gateway(route.gateway));
            variables.extend(route.variable);
        }
        if let Some(tools) = tools {
            listen.push(TOOLS);
            services.push(Service::Tools(tools));
        }
        let (tunnel, behind) = raw::device(packets);
        services.extend(behind);
        let told = Config {
            services,
            policy,
            authorities: config.authorities.clone(),
            interception: bound.as_ref().map(|bound| bound.interception(is_turn)),
        };
        let told = serde_json::to_vec(&told).map_err(Error::internal)?;
        Ok(Self {
            network: Network::Egress(aod_sandbox::Egress {
                listen,
                tunnel: Some(tunnel),
                program: config.program.clone(),
                config: Zeroizing::new(told).into(),
            }),
            hosts,
            variables,
            bound,
        })
    }

    /// Sets what a command's sandbox has. Its variables win over all others: there is no other way.
    pub(crate) fn apply(self, spec: &mut SandboxSpec) {
        spec.network = self.network;
        spec.hosts = self.hosts;
        for (name, value) in self.variables {
            spec.env.retain(|(known, _)| *known != name);
            spec.env.push((name, Zeroizing::new(value)));
        }
        if let Some(bound) = self.bound {
            bound.apply(spec);
        }
    }
}

/// What a sandbox's egress program serves besides the proxy.
#[derive(Default)]
struct Further {
    /// Whether it is for a turn, and not for what prepares one.
    is_turn: bool,
    routes: Vec<Route>,
    bound: Option<Bound>,
    tools: Option<ToolServer>,
    packets: Option<Packets>,
}

fn policy(config: &EgressConfig, allowed: Option<Vec<String>>) -> Policy {
    Policy {
        allowed,
        hosts: config.hosts.clone(),
        allow_private: config.allow_private,
        guarded: Vec::new(),
    }
}

/// What a session's environment lets its sandboxes reach.
pub(crate) fn policy_of(config: &EgressConfig, session: &SessionRecord) -> Policy {
    let environment = session.environment.as_ref();
    let allowed = environment.and_then(|environment| {
        let servers = &session.agent.mcp_servers;
        allowed(&environment.networking, &config.package_hosts, servers)
    });
    policy(config, allowed)
}

/// The names that an environment lets through; none where it lets all.
fn allowed(
    networking: &Networking,
    package_hosts: &[String],
    servers: &[McpServer],
) -> Option<Vec<String>> {
    if networking.kind != NetworkingKind::Limited {
        return None;
    }
    let mut allowed = networking.allowed_hosts.clone();
    if networking.allow_package_managers {
        allowed.extend(package_hosts.iter().cloned());
    }
    if networking.allow_mcp_servers {
        allowed.extend(servers.iter().filter_map(|server| match &server.transport {
            McpTransport::Url { url, .. } => host_of(url),
            McpTransport::Stdio { .. } => None,
        }));
    }
    Some(allowed)
}

fn host_of(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.host_str()?.to_owned())
}

/// The mapped names that programs reach without the proxy, too: where, at which port, and the name.
fn forwards(policy: &Policy) -> Vec<(Ipv4Addr, u16, String)> {
    let reachable = |mapped: &&MappedHost| policy.look_up(&mapped.name, 0).is_ok();
    let mapped = policy.hosts.iter().filter(reachable);
    mapped
        .zip(FIRST_MAPPED.to_bits()..)
        .filter_map(|(mapped, own)| {
            let port = mapped.port?;
            let at = match mapped.name.parse::<Ipv4Addr>() {
                Ok(address) if address.is_loopback() => address,
                // There is no way to such an address but the proxy.
                Ok(_) => return None,
                Err(_) => Ipv4Addr::from_bits(own),
            };
            Some((at, port, mapped.name.clone()))
        })
        .collect()
}

/// The variables by which programs find their proxy, in both of the cases that are in use.
fn proxy_variables(direct: &str) -> Vec<(String, String)> {
    let proxy = format!("http://{PROXY}");
    let mut variables = Vec::new();
    for (name, value) in [
        ("http_proxy", proxy.as_str()),
        ("https_proxy", proxy.as_str()),
        ("no_proxy", direct),
    ] {
        variables.push((name.to_owned(), value.to_owned()));
        variables.push((name.to_ascii_uppercase(), value.to_owned()));
    }
    // Node.js reads them from version 24 on, when this is set.
    variables.push(("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned()));
    variables
}
