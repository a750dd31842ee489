//! The command's environment, as data for the sandbox's init.

use zeroize::Zeroizing;

use crate::EnvVar;

/// Variables as the init reads them from a descriptor ([`aod_launch::init::ENV_FD`]). Of a name
/// given twice the last value counts, and a spec's own variables come after the common ones.
pub(crate) fn environment(common: &[(&str, &str)], own: &[EnvVar]) -> Zeroizing<Vec<u8>> {
    let all = || {
        let own = own
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        common.iter().copied().chain(own)
    };
    let size = all()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    // Of its final size from the start: no copy of a secret is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(size));
    for (name, value) in all() {
        for part in [name, "=", value, "\0"] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    text
}
