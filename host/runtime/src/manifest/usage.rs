//! `[runtime.NAME.usage.PROVIDER]`: where a provider's answers say how many tokens were used.

use indexmap::IndexMap;
use serde::Deserialize;
use toml::Spanned;

use super::read::Mistake;
use crate::check::is_name;
use crate::settings::UsagePaths;

/// The most pointers of one key.
const MAX_POINTERS: usize = 8;
/// The most keys that a pointer has.
const MAX_KEYS: usize = 8;

/// The tables, by provider.
pub(super) type RawUsage = IndexMap<Spanned<String>, RawPaths>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPaths {
    #[serde(default)]
    input: Vec<Spanned<String>>,
    #[serde(default)]
    input_apart: Vec<Spanned<String>>,
    #[serde(default)]
    cached: Vec<Spanned<String>>,
    #[serde(default)]
    cached_apart: Vec<Spanned<String>>,
    #[serde(default)]
    output: Vec<Spanned<String>>,
    #[serde(default)]
    output_apart: Vec<Spanned<String>>,
}

pub(super) fn usage(raw: RawUsage) -> Result<IndexMap<String, UsagePaths>, Mistake> {
    raw.into_iter()
        .map(|(provider, raw)| {
            if !is_name(provider.get_ref()) {
                let problem = format!("`{}` is not the id of a provider", provider.get_ref());
                return Err(Mistake::new(provider.span(), problem));
            }
            let paths = UsagePaths {
                input: paths(raw.input)?,
                input_apart: paths(raw.input_apart)?,
                cached: paths(raw.cached)?,
                cached_apart: paths(raw.cached_apart)?,
                output: paths(raw.output)?,
                output_apart: paths(raw.output_apart)?,
            };
            Ok((provider.into_inner(), paths))
        })
        .collect()
}

fn paths(pointers: Vec<Spanned<String>>) -> Result<Vec<Vec<String>>, Mistake> {
    if let Some(more) = pointers.get(MAX_POINTERS) {
        let problem = format!("at most {MAX_POINTERS} pointers are looked for");
        return Err(Mistake::new(more.span(), problem));
    }
    pointers.iter().map(path).collect()
}

/// The keys of a JSON pointer (RFC 6901).
pub(super) fn path(pointer: &Spanned<String>) -> Result<Vec<String>, Mistake> {
    let keys: Option<Vec<String>> = pointer.get_ref().strip_prefix('/').map(|keys| {
        keys.split('/')
            .map(|key| key.replace("~1", "/").replace("~0", "~"))
            .collect()
    });
    keys.filter(|keys| keys.len() <= MAX_KEYS).ok_or_else(|| {
        let problem = format!(
            "`{}` is not a JSON pointer with 1 to {MAX_KEYS} keys, such as \"/usage/input_tokens\"",
            pointer.get_ref()
        );
        Mistake::new(pointer.span(), problem)
    })
}
