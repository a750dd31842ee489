//! API tokens: `aod_` and 32 random bytes in base62. Only their SHA-256 is kept.

use rand::RngCore;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What every token begins with, so that one is recognised where it should not be.
pub const PREFIX: &str = "aod_";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 62^43 is the first power of 62 above 2^256.
const DIGITS: usize = 43;

/// Makes a token and its hash.
pub fn generate() -> (SecretString, [u8; 32]) {
    let mut random = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(&mut *random);
    let mut token = Zeroizing::new(String::with_capacity(PREFIX.len() + DIGITS));
    token.push_str(PREFIX);
    token.extend(base62(*random).iter().map(|&digit| char::from(digit)));
    let sha256 = hash(&token);
    (SecretString::from(token.as_str()), sha256)
}

/// The hash by which a token is stored and found.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
pub fn matches(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

/// A big-endian number in base 62, most significant digit first.
fn base62(mut number: [u8; 32]) -> Zeroizing<[u8; DIGITS]> {
    let mut digits = Zeroizing::new([0; DIGITS]);
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u16;
        for byte in &mut number {
            let dividend = (remainder << 8) | u16::from(*byte);
            // Less than 256, because the remainder is less than 62.
            *byte = (dividend / 62) as u8;
            remainder = dividend % 62;
        }
        *digit = ALPHABET[usize::from(remainder)];
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    fn from_base62(digits: &[u8]) -> [u8; 32] {
        let mut number = [0_u8; 32];
        for digit in digits {
            let value = ALPHABET.iter().position(|it| it == digit).unwrap();
            let mut carry = value as u32;
            for byte in number.iter_mut().rev() {
                carry += u32::from(*byte) * 62;
                *byte = (carry & 0xff) as u8;
                carry >>= 8;
            }
            assert_eq!(carry, 0, "more than 256 bits");
        }
        number
    }

    #[test]
    fn a_token_is_its_prefix_and_43_letters_and_digits() {
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let (token, sha256) = generate();
            let token = token.expose_secret();
            let digits = token.strip_prefix("aod_").unwrap();
            assert_eq!(digits.len(), 43);
            assert!(digits.bytes().all(|it| it.is_ascii_alphanumeric()));
            assert!(matches(&hash(token), &sha256));
            assert!(seen.insert(token.to_owned()));
        }
    }

    #[test]
    fn hashes_are_sha256_and_differ_with_any_bit() {
        // echo -n aod_x | sha256sum
        let expected = "385c11a8";
        let hash = hash("aod_x");
        let hex: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
        for bit in 0..256 {
            let mut other = hash;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches(&hash, &other));
        }
    }

    proptest! {
        #[test]
        fn base62_loses_nothing(number in any::<[u8; 32]>()) {
            prop_assert_eq!(from_base62(&*base62(number)), number);
        }
    }
}
