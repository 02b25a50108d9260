//! Hashes, message authentication codes and how they are written in hexadecimal.

use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What is signed with: good for one secret, day, region and service.
#[derive(Clone)]
pub(super) struct SigningKey([u8; 32]);

impl SigningKey {
    /// Returns the key of a secret for a scope.
    pub(super) fn derive(secret: &str, date: &str, region: &str, service: &str) -> Self {
        let mut key = code(hmac(&[b"AWS4", secret.as_bytes()]).chain_update(date));
        for part in [region, service, TERMINATOR] {
            key = code(hmac(&[&key]).chain_update(part));
        }
        Self(key)
    }

    /// Returns whether a code is that of a text, in a time that does not depend on the code.
    pub(super) fn is_code(&self, text: &[u8], code: &[u8; 32]) -> bool {
        let mac = hmac(&[&self.0]).chain_update(text);
        mac.verify_slice(code).is_ok()
    }

    /// Returns whether two texts are the same, in a time that depends on their lengths only.
    pub(super) fn is_same(&self, one: &[u8], other: &[u8]) -> bool {
        let other = code(hmac(&[&self.0]).chain_update(other));
        self.is_code(one, &other)
    }

    /// Returns the code of a text.
    #[cfg(test)]
    pub(super) fn code(&self, text: &[u8]) -> [u8; 32] {
        code(hmac(&[&self.0]).chain_update(text))
    }
}

/// Returns the SHA-256 of bytes as 64 lowercase digits.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns bytes as lowercase digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

/// Returns the 32 bytes that 64 lowercase digits are, if they are.
pub(super) fn parse_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Returns a code under way with the key that the parts are put together.
///
/// What HMAC itself does with keys of any length is done here in the open, since its own way may fail
/// by its type: longer ones than a block are hashed, the rest is filled up with zeros.
fn hmac(key: &[&[u8]]) -> Hmac<Sha256> {
    let mut block = Key::<Hmac<Sha256>>::default();
    let n_key: usize = key.iter().map(|part| part.len()).sum();
    if n_key > block.len() {
        let digest = key.iter().fold(Sha256::new(), Digest::chain_update);
        fill(&mut block, digest.finalize());
    } else {
        fill(&mut block, key.iter().copied().flatten().copied());
    }
    <Hmac<Sha256> as KeyInit>::new(&block)
}

fn fill(block: &mut [u8], bytes: impl IntoIterator<Item = u8>) {
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = from;
    }
}

fn code(mac: Hmac<Sha256>) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}

/// What a scope ends with.
pub(super) const TERMINATOR: &str = "aws4_request";

#[cfg(test)]
mod tests {
    use super::*;

    /// The first, third and sixth case of RFC 4231: a short key, a key of the hash's own length and one
    /// that is longer than a block.
    #[test]
    fn codes_are_those_of_the_standard() {
        let check = |key: &[u8], text: &[u8], expected: &str| {
            let (front, back) = key.split_at(key.len() / 2);
            assert_eq!(
                hex(&code(hmac(&[front, back]).chain_update(text))),
                expected
            );
        };
        check(
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        );
        check(
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        );
        check(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
    }

    #[test]
    fn hexadecimal_is_lowercase_and_whole() {
        let text = sha256_hex(b"");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(text, empty);
        assert_eq!(hex(&parse_hex(empty.as_bytes()).unwrap()), empty);
        for text in [
            "",
            &empty[1..],
            &empty[2..],
            &format!("{empty}0"),
            &format!("{empty}00"),
            &empty.to_uppercase(),
            &empty.replace('e', "g"),
            &empty.replace('e', "+"),
        ] {
            assert_eq!(parse_hex(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn texts_are_the_same_or_not() {
        let key = SigningKey::derive("secret", "20150830", "us-east-1", "xray");
        for (one, other) in [("", ""), ("a", "a"), ("a", "b"), ("a", "aa"), ("", "a")] {
            assert_eq!(key.is_same(one.as_bytes(), other.as_bytes()), one == other);
        }
    }
}
