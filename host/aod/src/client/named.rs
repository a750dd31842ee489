//! What people name: by an id, by the beginning of one, or, where it has one, by its name.

use anyhow::{Result, bail};
use uuid::Uuid;

use super::error::Refusal;
use super::{Client, ClientError, Listing};

/// A collection of which one is named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    /// What one of it is called.
    what: &'static str,
    /// Its path in the API.
    path: &'static str,
    /// The command that lists it.
    list: &'static str,
    /// Whether they have names that people give.
    has_names: bool,
}

/// Sessions; their titles are no names.
pub(crate) const SESSION: Named = Named {
    what: "session",
    path: "/sessions",
    list: "aod session ls",
    has_names: false,
};
/// Agents.
pub(crate) const AGENT: Named = Named {
    what: "agent",
    path: "/agents",
    list: "aod agent ls",
    has_names: true,
};
/// Environments.
pub(crate) const ENVIRONMENT: Named = Named {
    what: "environment",
    path: "/environments",
    list: "aod env ls",
    has_names: true,
};

/// What a list says of one.
#[derive(serde::Deserialize)]
struct Listed {
    id: Uuid,
    #[serde(default)]
    name: Option<String>,
}

impl Client {
    /// The id of what is named.
    pub(crate) async fn id_of(&self, named: Named, text: &str) -> Result<Uuid> {
        if let Ok(id) = Uuid::parse_str(text) {
            return Ok(id);
        }
        let Named {
            what,
            path,
            list,
            has_names,
        } = named;
        let is_beginning = (4..36).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !is_beginning && !has_names {
            bail!(
                "{text:?} is no {what}'s id: give the id, or its first 4 characters or more \
                 (`{list}` lists them)"
            );
        }
        let listed: Listing<Listed> = self.get(path).await?;
        let mut all = listed.data;
        if has_names && all.iter().any(|it| it.name.as_deref() == Some(text)) {
            all.retain(|it| it.name.as_deref() == Some(text));
            return match all.as_slice() {
                [one] => Ok(one.id),
                _ => bail!(
                    "more than one {what} is named {text:?}: give the id (`{list}` lists them)"
                ),
            };
        }
        let start = text.to_ascii_lowercase();
        all.retain(|it| is_beginning && it.id.to_string().starts_with(&start));
        match all.as_slice() {
            [one] => Ok(one.id),
            [] => {
                let told = match has_names {
                    true => format!("no {what} is named {text}, and no id begins so: see `{list}`"),
                    false => format!("no {what}'s id begins with {text}: see `{list}`"),
                };
                Err(ClientError::Refused(Refusal::not_found(told)).into())
            }
            _ => bail!("more than one {what}'s id begins with {text}"),
        }
    }
}
