//! Which registries are asked: as the operator has set it in the server's own environment.

use std::path::PathBuf;

/// Variables that say it.
const VARIABLES: [&str; 9] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "CARGO_REGISTRY_DEFAULT",
];
/// Where all users of a machine have gem's settings.
const GEM_SETTINGS: &str = "/etc/gemrc";

/// The operator's variables. What holds a password is left out: packages that run could read it.
pub(super) fn variables() -> Vec<(String, String)> {
    let all = std::env::vars_os();
    let texts =
        all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts
        .filter(|(name, value)| says_it(name) && !value.contains('@'))
        .collect()
}

/// Whether a variable says which registry is asked. Cargo has one for each registry's name.
fn says_it(name: &str) -> bool {
    let of_cargo = name.strip_prefix("CARGO_REGISTRIES_");
    let of_cargo =
        of_cargo.is_some_and(|rest| rest.ends_with("_INDEX") || rest.ends_with("_PROTOCOL"));
    of_cargo || VARIABLES.contains(&name)
}

/// The operator's settings of gem, which knows no variable for it. A file that holds a password is
/// left out.
pub(super) fn gem_settings() -> Option<PathBuf> {
    let named = std::env::var_os("GEMRC").map(PathBuf::from);
    let path = named.unwrap_or_else(|| GEM_SETTINGS.into());
    let content = aod_trees::read_regular(&path, 1 << 20).ok()?;
    (!content.contains(&b'@')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::says_it;

    #[test]
    fn registries_are_passed_on_and_their_tokens_are_not() {
        for name in [
            "GOPROXY",
            "CARGO_REGISTRIES_MIRROR_INDEX",
            "CARGO_REGISTRY_DEFAULT",
        ] {
            assert!(says_it(name), "{name}");
        }
        for name in [
            "CARGO_REGISTRIES_MIRROR_TOKEN",
            "CARGO_REGISTRY_TOKEN",
            "GOFLAGS",
            "PATH",
        ] {
            assert!(!says_it(name), "{name}");
        }
    }
}
