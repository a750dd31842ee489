//! The section `[egress]`: what sandboxes reach.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use aod_egress::MappedHost;
use aod_resources::CredentialMode;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::beside_program;

/// The public registries of the package managers that environments know, and what these are led to
/// from there.
const PACKAGE_HOSTS: &[&str] = &[
    "crates.io",
    "*.crates.io",
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "security.ubuntu.com",
    "rubygems.org",
    "*.rubygems.org",
    "proxy.golang.org",
    "sum.golang.org",
    "*.npmjs.org",
    "pypi.org",
    "files.pythonhosted.org",
];

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Egress {
    hosts: Hosts,
    /// Whether addresses of private networks may be reached. The machine's own and link-local ones
    /// may not either way, but by `hosts`.
    allow_private: bool,
    /// A file with certificates, as PEM, of authorities that are trusted besides the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    /// What an environment's `allow_package_managers` makes reachable.
    package_hosts: Vec<String>,
    /// Whether credentials enter sandboxes where the environment says nothing.
    credentials: CredentialMode,
    /// Whether environments may have a network device for programs that know no proxy.
    raw: bool,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            allow_private: false,
            ca_file: None,
            package_hosts: PACKAGE_HOSTS.iter().map(|&host| host.to_owned()).collect(),
            credentials: CredentialMode::Brokered,
            raw: false,
        }
    }
}

impl Egress {
    /// Names, and the addresses that they lead to; port 0 is whatever port is asked for.
    pub(super) fn pairs(&self) -> Result<Vec<(String, SocketAddr)>> {
        let mapped = self.hosts.mapped()?.into_iter();
        Ok(mapped
            .map(|host| {
                let address = SocketAddr::new(host.address, host.port.unwrap_or(0));
                (host.name, address)
            })
            .collect())
    }

    /// The file with certificates of further authorities, from the root folder.
    ///
    /// # Errors
    /// Where there is no such file.
    pub(super) fn ca_file(&self) -> Result<Option<PathBuf>> {
        let Some(file) = &self.ca_file else {
            return Ok(None);
        };
        if !file.is_file() {
            bail!("egress.ca_file: there is no file {}", file.display());
        }
        Ok(Some(std::path::absolute(file)?))
    }

    /// What turns need of it. `shares_host`: whether sandboxes have the host's own network.
    pub(super) fn settings(&self, shares_host: bool) -> Result<aod_turns::EgressConfig> {
        let authorities = match self.ca_file()? {
            Some(file) => Some(
                std::fs::read_to_string(&file)
                    .with_context(|| format!("egress.ca_file: cannot read {}", file.display()))?,
            ),
            None => None,
        };
        Ok(aod_turns::EgressConfig {
            shares_host,
            program: match shares_host {
                true => PathBuf::new(),
                false => program()?,
            },
            hosts: self.hosts.mapped()?,
            allow_private: self.allow_private,
            authorities,
            package_hosts: self.package_hosts.clone(),
            credentials: self.credentials,
            raw: self.raw(),
        })
    }

    /// Whether environments may have a network device, and by which program.
    pub(super) fn raw(&self) -> aod_turns::RawEgress {
        match (self.raw, passt()) {
            (false, _) => aod_turns::RawEgress::Off,
            (true, None) => aod_turns::RawEgress::Missing,
            (true, Some(program)) => aod_turns::RawEgress::Passt(program),
        }
    }
}

/// The egress program: where `AOD_EGRESS_PROGRAM` says, else beside this one.
fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("AOD_EGRESS_PROGRAM") {
        return Ok(path.into());
    }
    beside_program("aod-egress").context(
        "aod-egress is not beside the aod program: install both, or set AOD_EGRESS_PROGRAM",
    )
}

/// The program of the same package as `pasta`, which does what that does and gets its packets from
/// whoever started it.
fn passt() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("passt"))
        .find(|program| program.is_file())
}

/// `{ "name" = "address:port" }`, `["name=address:port"]`, or `name=address:port,…` from the
/// environment. Without a port a name leads to all ports of the address.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "wanted are names with their addresses, as \"NAME=ADDRESS:PORT,…\", as a list of \
                 such texts, or as a table"
)]
enum Hosts {
    Table(IndexMap<String, String>),
    Pairs(Vec<String>),
    List(String),
}

impl Default for Hosts {
    fn default() -> Self {
        Self::Table(IndexMap::new())
    }
}

impl Hosts {
    fn mapped(&self) -> Result<Vec<MappedHost>> {
        match self {
            Self::Table(table) => table
                .iter()
                .map(|(name, address)| mapped(name, address))
                .collect(),
            Self::Pairs(pairs) => pairs.iter().map(|it| pair(it)).collect(),
            Self::List(list) => list
                .split(',')
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .map(pair)
                .collect(),
        }
    }
}

/// A `name=address:port`.
fn pair(text: &str) -> Result<MappedHost> {
    let (name, address) = text.split_once('=').unwrap_or((text, ""));
    mapped(name, address)
}

fn mapped(name: &str, address: &str) -> Result<MappedHost> {
    let (name, address) = (name.trim().to_ascii_lowercase(), address.trim());
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let (address, port) = match (address.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
        (Ok(address), _) => (address.ip(), Some(address.port())),
        (_, Ok(address)) => (address, None),
        _ => {
            bail!("egress.hosts: {name:?} should lead to ADDRESS:PORT or ADDRESS, not {address:?}")
        }
    };
    Ok(MappedHost {
        name,
        address,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_a_table_or_a_list() {
        let list = |text: &str| Hosts::List(text.to_owned()).mapped();
        let hosts = list("a=127.0.0.1:1, B = [::1]:2,c=10.0.0.1, d=::1,").unwrap();
        let shown: Vec<_> = hosts
            .iter()
            .map(|host| (host.name.as_str(), host.address.to_string(), host.port))
            .collect();
        assert_eq!(
            shown,
            [
                ("a", "127.0.0.1".to_owned(), Some(1)),
                ("b", "::1".to_owned(), Some(2)),
                ("c", "10.0.0.1".to_owned(), None),
                ("d", "::1".to_owned(), None),
            ]
        );
        for bad in ["a", "a=", "a=b", "a=1.2.3.4:x"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }
}
