//! The runtime and the model of a session for which none was named.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aod_resources::RuntimeHealth;

use crate::client::{Client, Listing, RuntimeSummary, segment};

/// How long a server that is busy compiling is left alone.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The first runtime that has a credential in this process's environment, with the variables to
/// give to its session; else the demo, which needs none.
pub(super) async fn at_hand(client: &Client) -> Result<(String, Vec<String>)> {
    let names = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let names: Vec<String> = names
        .filter_map(|(name, _)| name.into_string().ok())
        .collect();
    let chosen = until(client, "/runtimes", |listed: Listing<RuntimeSummary>| {
        choose(&listed.data, &names)
    });
    let chosen = chosen.await?;
    Ok(chosen.unwrap_or_else(|| ("demo".to_owned(), Vec::new())))
}

/// The runtime to use with these variables at hand, and those of them that it takes; none where
/// none has a credential among them. Nothing while that is not known: a runtime that is being
/// compiled may have one, if any of them is named like a key.
fn choose(listed: &[RuntimeSummary], at_hand: &[String]) -> Option<Option<(String, Vec<String>)>> {
    let is_key = |name: &String| {
        !name.starts_with("AOD_") && ["KEY", "TOKEN"].iter().any(|word| name.contains(word))
    };
    let may_fit = at_hand.iter().any(is_key);
    for runtime in listed {
        if runtime.health == RuntimeHealth::Compiling && may_fit {
            return None;
        }
        let is_set = |name: &&String| at_hand.contains(name);
        let credentials = runtime.credentials.iter().map(|it| &it.variable);
        let mut found: Vec<&String> = credentials.filter(is_set).collect();
        if found.is_empty() || runtime.health != RuntimeHealth::Ready {
            continue;
        }
        found.extend(runtime.endpoint_variables.iter().filter(is_set));
        let found = found.into_iter().cloned().collect();
        return Some(Some((runtime.name.clone(), found)));
    }
    Some(None)
}

/// What the server says once it knows what is asked: of a runtime that it is compiling, it knows
/// neither credentials nor models. Each has a deadline there.
async fn until<T: serde::de::DeserializeOwned, U>(
    client: &Client,
    path: &str,
    known: impl Fn(T) -> Option<U>,
) -> Result<U> {
    let mut told = false;
    loop {
        if let Some(known) = known(client.get(path).await?) {
            return Ok(known);
        }
        if !told {
            eprintln!("the server is compiling its runtimes");
            told = true;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// The first model that a runtime serves.
pub(super) async fn first_model(client: &Client, runtime: &str) -> Result<String> {
    let path = format!("/runtimes/{}", segment(runtime));
    let known = |info: RuntimeSummary| (info.health != RuntimeHealth::Compiling).then_some(info);
    let info = until(client, &path, known).await.context(
        "the runtime cannot be used: `aod runtime list` shows those that the server has",
    )?;
    info.models.into_iter().next().ok_or_else(|| {
        let error = info
            .error
            .unwrap_or_else(|| "it serves no models".to_owned());
        anyhow!("runtime {runtime:?}: {error}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_runtime_is_waited_for_only_where_it_may_be_the_one() {
        let listed: Listing<RuntimeSummary> = serde_json::from_value(json!({"data": [
            {"name": "demo", "health": "ready", "credentials": []},
            {"name": "a", "health": "ready", "credentials": [{"variable": "A_KEY"}],
             "endpoint_variables": ["A_URL"]},
            {"name": "b", "health": "compiling", "credentials": []},
        ]}))
        .unwrap();
        let choose = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            choose(&listed.data, &names)
        };
        assert_eq!(choose(&["PATH", "AOD_API_TOKEN"]), Some(None));
        assert_eq!(choose(&["B_KEY"]), None);
        let found = vec!["A_KEY".to_owned(), "A_URL".to_owned()];
        assert_eq!(
            choose(&["A_KEY", "A_URL", "B_KEY"]),
            Some(Some(("a".to_owned(), found)))
        );
    }
}
