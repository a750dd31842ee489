//! Text as a JSON string.
//!
//! A replay is little else, and `serde_json` looks at every byte by itself; here blocks are passed
//! over at once. What comes out is the same.

/// So many bytes are looked at at once: a few vector registers.
const BLOCK: usize = 32;

/// Appends `text` in quotation marks, with what JSON does not allow in strings escaped.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.push(b'"');
    // What stands between here and where we are needs no escape.
    let mut from = 0;
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if !has_special(block) {
            continue;
        }
        for (at, byte) in block.iter().enumerate() {
            if is_special(*byte) {
                let at = number * BLOCK + at;
                out.extend_from_slice(&bytes[from..at]);
                escape(out, *byte);
                from = at + 1;
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Without an early end, which is what lets the compiler use vector instructions.
fn has_special(block: &[u8]) -> bool {
    let found = |any, byte: &u8| any | is_special(*byte);
    match <&[u8; BLOCK]>::try_from(block) {
        Ok(whole) => whole.iter().fold(false, found),
        Err(_) => block.iter().fold(false, found),
    }
}

const fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            const DIGITS: [u8; 16] = *b"0123456789abcdef";
            let [high, low] = [byte >> 4, byte & 0xF].map(|digit| DIGITS[usize::from(digit)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ours(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..0x80_u8 {
            for place in 0..=40 {
                let mut text = "\u{e9}".repeat(40) + " ";
                text.insert(place * 2, char::from(byte));
                assert_eq!(ours(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn is_what_serde_json_writes(text in "([ -~]|\\PC|[\\x00-\\x1f\"\\\\]){0,120}") {
            prop_assert_eq!(ours(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
