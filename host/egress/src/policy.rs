//! What a sandbox may connect to.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::{is_own, is_private, is_public};
use crate::config::MappedHost;

/// The longest name of a host, in bytes (RFC 1035, section 2.3.4, without the root's dot).
const MAX_NAME: usize = 253;

/// What a sandbox may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Names that may be connected to: exact ones, and `*.suffix` for all below a suffix. None:
    /// every name.
    pub allowed: Option<Vec<String>>,
    /// Names that lead to addresses of the operator's choice, whatever kind these are.
    #[serde(default)]
    pub hosts: Vec<MappedHost>,
    /// Whether addresses of private networks may be connected to. The machine's own and link-local
    /// ones may not either way.
    #[serde(default)]
    pub allow_private: bool,
    /// Names and ports that are reached through gateways alone: MCP servers whose tools may not all
    /// be called.
    #[serde(default)]
    pub guarded: Vec<(String, u16)>,
}

/// Why a connection is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The name cannot be one.
    #[error("{host:?} is not the name of a host")]
    Name {
        /// What was asked for.
        host: String,
    },
    /// The environment's allow-list does not have it.
    #[error(
        "{host} is not among the environment's allowed hosts: add it to networking.allowed_hosts"
    )]
    NotAllowed {
        /// The name.
        host: String,
    },
    /// A gateway leads there, and has to be used.
    #[error(
        "{host} is an MCP server whose tools are restricted: it is reached as that server alone, \
         as the CLI's configuration has it"
    )]
    Guarded {
        /// The name.
        host: String,
    },
    /// It was tried without the proxy, which is the one way there is.
    #[error(
        "programs reach the network by the proxy alone (https_proxy, http_proxy): have this one use \
         it, or add networking.raw to the environment for programs that know no proxy"
    )]
    Direct,
    /// It leads to an address that is not public.
    #[error(
        "{host} leads to {address}, which is not an address of the public internet; an operator \
         may map the name with egress.hosts"
    )]
    Address {
        /// The name.
        host: String,
        /// Where it leads.
        address: IpAddr,
    },
    /// It leads to this machine.
    #[error(
        "{host} leads to {address}, which is the server's own machine; an operator may map the \
         name with egress.hosts"
    )]
    Own {
        /// The name.
        host: String,
        /// Where it leads.
        address: IpAddr,
    },
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This address, which needs no further check.
    Address(SocketAddr),
    /// What this name is resolved to, as far as [`Policy::check`] lets it.
    Name(String),
}

impl Policy {
    /// Where a name, or an address in a name's place, leads, if it may be connected to at all.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn look_up(&self, host: &str, port: u16) -> Result<Target, Refusal> {
        let name = host_name(host)?;
        if !self.is_allowed(&name) {
            return Err(Refusal::NotAllowed { host: name });
        }
        let target = self.declared(&name, port)?;
        match self.is_guarded(&name, port, &target) {
            true => Err(Refusal::Guarded { host: name }),
            false => Ok(target),
        }
    }

    /// Whether a gateway has to be used, by this name or by another one of the operator's.
    fn is_guarded(&self, name: &str, port: u16, target: &Target) -> bool {
        self.guarded.iter().any(|(guarded, at)| {
            let is_same = host_name(guarded).is_ok_and(|guarded| guarded == name) && *at == port;
            let is_there = matches!(target, Target::Address(_))
                && self
                    .declared(guarded, *at)
                    .is_ok_and(|there| there == *target);
            is_same || is_there
        })
    }

    /// As [`Policy::look_up`], for a name that is not the sandbox's choice.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn declared(&self, host: &str, port: u16) -> Result<Target, Refusal> {
        let name = host_name(host)?;
        if let Some(mapped) = self.mapped(&name) {
            let port = mapped.port.unwrap_or(port);
            return Ok(Target::Address(SocketAddr::new(mapped.address, port)));
        }
        match name.parse::<IpAddr>() {
            Ok(address) => {
                self.check(&name, address)?;
                Ok(Target::Address(SocketAddr::new(address, port)))
            }
            Err(_) => Ok(Target::Name(name)),
        }
    }

    /// Whether an address that a name was resolved to may be connected to.
    ///
    /// # Errors
    /// [`Refusal::Address`].
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let host = host.to_owned();
        let is_elsewhere = is_public(address) || (self.allow_private && is_private(address));
        if !is_elsewhere {
            return Err(Refusal::Address { host, address });
        }
        if is_own(address) {
            return Err(Refusal::Own { host, address });
        }
        Ok(())
    }

    fn mapped(&self, name: &str) -> Option<&MappedHost> {
        self.hosts
            .iter()
            .find(|mapped| mapped.name.eq_ignore_ascii_case(name))
    }

    fn is_allowed(&self, name: &str) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        allowed.iter().any(|pattern| {
            let pattern = pattern.trim_end_matches('.').to_ascii_lowercase();
            match pattern.strip_prefix("*.") {
                // An address has no suffix.
                Some(suffix) => {
                    name.parse::<IpAddr>().is_err()
                        && name
                            .strip_suffix(suffix)
                            .is_some_and(|front| front.len() > 1 && front.ends_with('.'))
                }
                None => host_name(&pattern).is_ok_and(|pattern| pattern == name),
            }
        })
    }
}

/// The one form of a host's name or address, by which two are told to be the same: a name in lower
/// case and without the root's dot; an address in its one form.
///
/// Resolvers take numbers such as `2130706433` and `0x7f.1` for addresses. Here they are no names,
/// so that no check depends on who reads them.
///
/// # Errors
/// [`Refusal::Name`] for what cannot be one.
pub fn host_name(host: &str) -> Result<String, Refusal> {
    let refused = || Refusal::Name {
        host: host.chars().take(MAX_NAME).collect(),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_canonical().to_string());
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if name.len() > MAX_NAME || is_number || !name.split('.').all(is_label) {
        return Err(refused());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limited(allowed: &[&str]) -> Policy {
        Policy {
            allowed: Some(allowed.iter().map(|&name| name.to_owned()).collect()),
            ..Policy::default()
        }
    }

    #[test]
    fn names_are_allowed_exactly_or_by_their_suffix() {
        let policy = limited(&["api.example.com", "*.wild.example", "9.9.9.9", "UP.example"]);
        for good in [
            "api.example.com",
            "API.Example.Com",
            "api.example.com.",
            "a.wild.example",
            "a.b.wild.example",
            "9.9.9.9",
            "::ffff:9.9.9.9",
            "up.example",
        ] {
            assert!(policy.look_up(good, 443).is_ok(), "{good}");
        }
        for bad in [
            "example.com",
            "xapi.example.com",
            "api.example.com.evil.example",
            "wild.example",
            ".wild.example",
            "xwild.example",
            "9.9.9.8",
            "1.9.9.9.9",
            "",
            ".",
            "..",
            "a..wild.example",
            "a b.wild.example",
            "a@b.wild.example",
            "a\0.wild.example",
            "a%2ewild.example",
        ] {
            assert!(policy.look_up(bad, 443).is_err(), "{bad:?}");
        }
        assert!(limited(&[]).look_up("a.example", 1).is_err());
        assert!(limited(&["*.com"]).look_up("a.com", 1).is_ok());
        assert!(limited(&["*"]).look_up("a.com", 1).is_err());
        assert!(limited(&["*.9"]).look_up("9.9.9.9", 1).is_err());
    }

    #[test]
    fn numbers_that_resolvers_take_for_addresses_are_no_names() {
        for bad in [
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "a.0x1",
            "1.2.3",
        ] {
            let refused = Policy::default().look_up(bad, 80);
            assert!(
                matches!(refused, Err(Refusal::Name { .. })),
                "{bad}: {refused:?}"
            );
        }
        assert!(Policy::default().look_up("0xcafe.example", 80).is_ok());
    }

    #[test]
    fn addresses_are_checked_where_nobody_has_mapped_them() {
        let mut policy = Policy::default();
        for bad in [
            "127.0.0.1",
            "[::1]",
            "169.254.169.254",
            "10.0.0.1",
            "::ffff:127.0.0.1",
        ] {
            assert!(
                matches!(policy.look_up(bad, 80), Err(Refusal::Address { .. })),
                "{bad}"
            );
        }
        policy.allow_private = true;
        assert!(policy.look_up("10.0.0.1", 80).is_ok());
        assert!(policy.look_up("127.0.0.1", 80).is_err());
        policy.hosts.push(MappedHost {
            name: "model.test".to_owned(),
            address: "127.0.0.1".parse().unwrap(),
            port: Some(9),
        });
        let to = Target::Address("127.0.0.1:9".parse().unwrap());
        assert_eq!(policy.look_up("Model.Test.", 80), Ok(to));
        // By another name, too.
        policy.guarded = vec![("Model.test".to_owned(), 443)];
        let refused = policy.look_up("model.test", 80);
        assert!(
            matches!(refused, Err(Refusal::Guarded { .. })),
            "{refused:?}"
        );
        assert!(policy.declared("model.test", 443).is_ok());
        policy.guarded = vec![("api.example".to_owned(), 443)];
        assert!(policy.look_up("API.example.", 443).is_err());
        assert!(policy.look_up("api.example", 8443).is_ok());
        assert!(policy.look_up("model.test", 80).is_ok());
        policy.allowed = Some(Vec::new());
        assert!(policy.look_up("model.test", 80).is_err());
        assert!(policy.declared("model.test", 80).is_ok());
    }

    proptest! {
        #[test]
        fn nothing_is_allowed_that_is_not_below_a_suffix(host in "\\PC{0,40}") {
            let policy = limited(&["*.ok.example", "one.example"]);
            if policy.look_up(&host, 1).is_ok() {
                let name = host.to_ascii_lowercase();
                let name = name.strip_suffix('.').unwrap_or(&name);
                prop_assert!(name == "one.example" || name.ends_with(".ok.example"));
            }
        }

        #[test]
        fn what_looks_like_a_number_is_an_address_or_nothing(host in "[0-9a-fx.:]{1,24}") {
            if let Ok(Target::Name(name)) = Policy::default().look_up(&host, 1) {
                // A resolver must not read it as an address.
                let last = name.rsplit('.').next().unwrap();
                prop_assert!(!last.bytes().all(|byte| byte.is_ascii_digit()));
            }
        }
    }
}
