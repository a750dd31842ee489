//! Whether a description makes sense.

use std::collections::HashSet;

use super::{Invalid, is_name, is_variable_name, json, split_model};
use crate::types::{AuthStyle, Cli, Credential, Description, InstallStep, OptionDeclaration};

/// Checks a description.
pub(crate) fn description(given: &Description) -> Result<(), Invalid> {
    let field = |name: &str| format!("description.{name}");
    if !is_name(&given.name) {
        let problem = format!("{:?} is not a name: use a-z, 0-9 and -", given.name);
        return Err(Invalid::new(field("name"), problem));
    }
    cli(&given.cli)?;
    let mut providers = HashSet::new();
    for provider in &given.providers {
        if !is_name(&provider.id) || !providers.insert(provider.id.as_str()) {
            let problem = format!("{:?} is not a provider's name, or comes twice", provider.id);
            return Err(Invalid::new(field("providers"), problem));
        }
        if let Some(variable) = &provider.endpoint_variable {
            variable_name(field("providers.endpoint-variable"), variable)?;
        }
    }
    let mut models = HashSet::new();
    for model in &given.models {
        let known =
            split_model(&model.id).is_some_and(|(provider, _)| providers.contains(provider));
        if !known || !models.insert(model.id.as_str()) {
            let problem = format!(
                "{:?} is not provider/model-id of a provider that the adapter names, or comes twice",
                model.id
            );
            return Err(Invalid::new(field("models"), problem));
        }
    }
    let mut credentials = HashSet::new();
    for given in &given.credentials {
        credential(given)?;
        if !credentials.insert(given.name.as_str()) {
            let problem = format!("{:?} comes twice", given.name);
            return Err(Invalid::new(field("credentials"), problem));
        }
    }
    let mut options = HashSet::new();
    for given in &given.options {
        option(given)?;
        if !options.insert(given.id.as_str()) {
            let problem = format!("{:?} comes twice", given.id);
            return Err(Invalid::new(field("options"), problem));
        }
    }
    match &given.skills_folder {
        Some(folder) if !is_relative_path(folder) => {
            let problem = format!("{folder:?} is not a path below $HOME");
            Err(Invalid::new(field("skills-folder"), problem))
        }
        _ => Ok(()),
    }
}

fn cli(given: &Cli) -> Result<(), Invalid> {
    let field = |name: &str| format!("description.cli.{name}");
    if given.command.is_empty() || given.command.contains(['/', '\0']) {
        let problem = format!("{:?} is not the name of a program", given.command);
        return Err(Invalid::new(field("command"), problem));
    }
    for step in &given.install {
        let empty = match step {
            InstallStep::Npm(package) => package.is_empty() || package.starts_with('-'),
            InstallStep::Run(argv) => argv.first().is_none_or(String::is_empty),
        };
        if empty {
            return Err(Invalid::new(
                field("install"),
                "a step names nothing to install or run",
            ));
        }
    }
    Ok(())
}

fn credential(given: &Credential) -> Result<(), Invalid> {
    let field = "description.credentials";
    variable_name(format!("{field}.variable"), &given.variable)?;
    let known = matches!(
        given.name.split_once(':'),
        Some(("provider_key" | "runtime_token", name)) if is_name(name)
    );
    for style in &given.sent {
        let name = match style {
            AuthStyle::Header(header) => &header.name,
            AuthStyle::Query(name) => name,
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            let problem =
                format!("{name:?} is not the name of a header or parameter, in lower case");
            return Err(Invalid::new(format!("{field}.sent"), problem));
        }
    }
    if known {
        return Ok(());
    }
    let problem = format!(
        "{:?} is not provider_key:<name> or runtime_token:<name>",
        given.name
    );
    Err(Invalid::new(format!("{field}.name"), problem))
}

fn option(given: &OptionDeclaration) -> Result<(), Invalid> {
    let field = "description.options";
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !given
        .id
        .starts_with(|first: char| first.is_ascii_lowercase())
        || given.id.len() > 63
        || !given.id.bytes().all(plain)
    {
        let problem = format!("{:?} is not an option's id: use a-z, 0-9 and _", given.id);
        return Err(Invalid::new(format!("{field}.id"), problem));
    }
    json(&format!("{field}.schema"), given.schema.clone())?;
    json(&format!("{field}.default"), given.default.clone())?;
    Ok(())
}

fn variable_name(field: String, name: &str) -> Result<(), Invalid> {
    if is_variable_name(name) {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        format!("{name:?} is not the name of an environment variable"),
    ))
}

fn is_relative_path(path: &str) -> bool {
    !path.contains('\0')
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}
