//! `aod agent` and `aod env`: the versioned things that sessions are made from.

mod agents;
mod definition;
mod environments;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::definition::{changes, set};

pub(crate) use self::agents::AgentCommand;
pub(crate) use self::environments::EnvironmentCommand;

use crate::client::{AGENT, Client, ENVIRONMENT, Listing, Named};
use crate::output::outln;

/// The fields of a definition.
type Fields = Map<String, Value>;

/// One of the two collections.
#[derive(Clone, Copy, Debug)]
struct Collection {
    /// Its path in the API.
    path: &'static str,
    /// How one of it is named.
    named: Named,
}

const AGENTS: Collection = Collection {
    path: "/agents",
    named: AGENT,
};
const ENVIRONMENTS: Collection = Collection {
    path: "/environments",
    named: ENVIRONMENT,
};

impl Collection {
    /// Prints all that are not archived: as the server has them, or as a table.
    async fn list<T: DeserializeOwned>(
        self,
        client: &Client,
        json: bool,
        table: fn(&[T]) -> String,
    ) -> Result<()> {
        let listed: Listing<Value> = client.get(self.path).await?;
        match json {
            true => outln!("{}", serde_json::to_string_pretty(&listed.data)?)?,
            false => {
                let listed: Vec<T> = serde_json::from_value(Value::Array(listed.data))?;
                crate::output::write(format_args!("{}", table(&listed)))?;
            }
        }
        Ok(())
    }

    async fn show(self, client: &Client, text: &str) -> Result<()> {
        let id = client.id_of(self.named, text).await?;
        let path = format!("{}/{id}", self.path);
        let shown = client.json(Method::GET, &path, None).await?;
        Ok(outln!("{shown:#}")?)
    }

    async fn versions(self, client: &Client, text: &str) -> Result<()> {
        let id = client.id_of(self.named, text).await?;
        let path = format!("{}/{id}/versions", self.path);
        let listed = client.json(Method::GET, &path, None).await?;
        Ok(outln!("{:#}", listed["data"])?)
    }

    /// Creates one, and prints its id, or all of it.
    async fn create(self, client: &Client, fields: Fields, json: bool) -> Result<()> {
        let made: Value = client.post(self.path, &fields).await?;
        print(&made, json)
    }

    /// Changes one. Where the fields do not say which version they change, it is the one that is
    /// there now.
    async fn update(
        self,
        client: &Client,
        text: &str,
        fields: Fields,
        version: Option<i64>,
        json: bool,
    ) -> Result<()> {
        let id = client.id_of(self.named, text).await?;
        let mut fields = changes(fields)?;
        set(&mut fields, "version", version)?;
        let path = format!("{}/{id}", self.path);
        if !fields.contains_key("version") {
            let now = client.json(Method::GET, &path, None).await?;
            fields.insert("version".to_owned(), now["version"].clone());
        }
        let fields = Value::Object(fields);
        let changed = client.json(Method::PUT, &path, Some(&fields)).await?;
        eprintln!("version {}", changed["version"]);
        print(&changed, json)
    }

    async fn archive(self, client: &Client, text: &str) -> Result<()> {
        let id = client.id_of(self.named, text).await?;
        let path = format!("{}/{id}/archive", self.path);
        client.send(Method::POST, &path, None).await?;
        eprintln!("archived {id}");
        Ok(())
    }
}

fn print(made: &Value, json: bool) -> Result<()> {
    match json {
        true => outln!("{made:#}")?,
        false => {
            let id = made["id"].as_str().context("the server gave no id")?;
            outln!("{id}")?;
        }
    }
    Ok(())
}
