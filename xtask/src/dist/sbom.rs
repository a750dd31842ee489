//! What a release is made of, as CycloneDX 1.5 in JSON: the crates that Cargo.lock names and that
//! the programs and the adapters have in them or are built with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::server::PROGRAMS;

/// The bill of materials of the workspace's programs and adapters.
pub(crate) fn of_workspace(root: &Path) -> Result<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(root)
        .output()?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let bill = bill(&metadata, &built(root, &metadata)?, &checksums(&lock)?)?;
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

/// A crate's name and version.
fn key_of(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    format!("{} v{}", text("name"), text("version"))
}

/// The crates that the programs and the adapters are made of, by name and version. Their graph alone
/// does not say: what a feature brings in that tests alone ask for is in it as well.
fn built(root: &Path, metadata: &Value) -> Result<BTreeSet<String>> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root);
    let packages = metadata["packages"].as_array();
    let names = packages.into_iter().flatten().filter_map(|package| {
        let name = package["name"].as_str()?;
        let is_adapter = name.starts_with("aod-plugin-") && name != "aod-plugin-sdk";
        (PROGRAMS.contains(&name) || is_adapter).then_some(name)
    });
    for name in names {
        tree.args(["--package", name]);
    }
    let output = tree.output()?;
    ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let names = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?))
    });
    Ok(names.collect())
}

/// The checksums of crates, by name and version.
fn checksums(lock: &str) -> Result<BTreeMap<(String, String), String>> {
    let lock: toml::Table = lock.parse()?;
    let packages = lock["package"].as_array().context("Cargo.lock is empty")?;
    let text = |package: &toml::Value, key: &str| package.get(key)?.as_str().map(str::to_owned);
    let known = packages.iter().filter_map(|package| {
        let name = (text(package, "name")?, text(package, "version")?);
        Some((name, text(package, "checksum")?))
    });
    Ok(known.collect())
}

/// Of what `cargo metadata` says.
fn bill(
    metadata: &Value,
    built: &BTreeSet<String>,
    checksums: &BTreeMap<(String, String), String>,
) -> Result<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .filter_map(|it| Some((it["id"].as_str()?.to_owned(), it)))
        .collect();
    // What is there for tests alone is in no release.
    let needs: BTreeMap<String, BTreeSet<String>> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .filter_map(|node| {
            let needed = list(&node["deps"]).into_iter().filter(|dep| {
                let kinds = list(&dep["dep_kinds"]);
                kinds.is_empty() || kinds.iter().any(|it| it["kind"] != "dev")
            });
            let needed = needed.filter_map(|dep| Some(dep["pkg"].as_str()?.to_owned()));
            Some((node["id"].as_str()?.to_owned(), needed.collect()))
        })
        .collect();
    let reached: BTreeSet<String> = packages
        .iter()
        .filter(|(_, package)| built.contains(&key_of(package)))
        .map(|(id, _)| id.clone())
        .collect();
    ensure!(reached.len() > PROGRAMS.len(), "no crates are found");
    let named: BTreeMap<&String, String> = reached
        .iter()
        .filter_map(|id| Some((id, purl(packages.get(id)?)?)))
        .collect();
    let components: Vec<Value> = named
        .iter()
        .map(|(id, purl)| component(&packages[*id], purl, checksums))
        .collect();
    let dependencies: Vec<Value> = named
        .iter()
        .map(|(id, purl)| {
            let needed = needs.get(*id).into_iter().flatten();
            let needed: Vec<&String> = needed.filter_map(|id| named.get(id)).collect();
            json!({ "ref": purl, "dependsOn": needed })
        })
        .collect();
    let version = super::version();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "aod",
                "name": "aod",
                "version": version,
                "licenses": [{ "license": { "id": "Apache-2.0" } }],
            },
            "tools": { "components": [{ "type": "application", "name": "cargo xtask dist", "version": version }] },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// A crate's name for those who look for vulnerabilities.
fn purl(package: &Value) -> Option<String> {
    let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
    Some(format!("pkg:cargo/{name}@{version}"))
}

fn component(package: &Value, purl: &str, checksums: &BTreeMap<(String, String), String>) -> Value {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": text("name"),
        "version": text("version"),
        "purl": purl,
        "scope": "required",
    });
    if let Some(licence) = package["license"].as_str() {
        // Older crates divide by a stroke.
        let expression = licence.replace('/', " OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    if let Some(sum) = checksums.get(&(text("name"), text("version"))) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_names_what_is_in_the_programs_and_nothing_else() {
        let text = of_workspace(&crate::root()).unwrap();
        let bill: Value = serde_json::from_str(&text).unwrap();
        let components = bill["components"].as_array().unwrap();
        let named = |name: &str| components.iter().find(|it| it["name"] == name);
        for name in [
            "tokio",
            "wasmtime",
            "rusqlite",
            "aod-egress",
            "aod-plugin-claude",
        ] {
            assert!(named(name).is_some(), "{name}");
        }
        for name in ["proptest", "criterion", "aod-e2e", "xtask"] {
            assert!(named(name).is_none(), "{name} is for tests");
        }
        let tokio = named("tokio").unwrap();
        assert_eq!(tokio["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert_eq!(tokio["licenses"][0]["expression"], "MIT");
        let refs: BTreeSet<&str> = components
            .iter()
            .map(|it| it["bom-ref"].as_str().unwrap())
            .collect();
        assert_eq!(refs.len(), components.len(), "each is there once");
        for dependency in bill["dependencies"].as_array().unwrap() {
            for name in dependency["dependsOn"].as_array().unwrap() {
                assert!(refs.contains(name.as_str().unwrap()), "{name}");
            }
        }
    }
}
