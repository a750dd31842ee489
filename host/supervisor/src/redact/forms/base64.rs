//! Base64, wherever in the encoded text the secret stands.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// The characters that a text becomes by itself, whatever stands before and behind it. Three bytes
/// are four characters, so there are three ways in which it may be cut; the characters that it
/// shares with its neighbours, with four of its bits at most on each side, are left out.
pub(super) fn cores(text: &str) -> impl Iterator<Item = String> {
    [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD]
        .into_iter()
        .flat_map(move |engine| (0..3).map(move |before| (engine, before)))
        .map(move |(engine, before)| {
            let mut padded = Zeroizing::new(vec![0; before]);
            padded.extend_from_slice(text.as_bytes());
            let encoded = Zeroizing::new(engine.encode(&padded));
            let first = (before * 8).div_ceil(6);
            let end = padded.len() * 8 / 6;
            encoded.get(first..end).unwrap_or_default().to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_in_every_encoding() {
        let secret = "pa>>word?~\u{ff}1";
        let cores: Vec<String> = cores(secret).collect();
        for before in ["", "u", "us", "use", "user:", "admin:x:"] {
            for behind in ["", "\n", "!!", "@host"] {
                let text = format!("{before}{secret}{behind}");
                for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    let found = cores.iter().find(|core| encoded.contains(core.as_str()));
                    let found = found.expect(&encoded);
                    assert!(found.len() * 6 >= (secret.len() - 1) * 8 - 4, "{found}");
                }
            }
        }
    }
}
