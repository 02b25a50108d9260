//! Queries: the parameters that sign a request, and the form in which all of them are signed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::error::AuthError;

pub(super) const ALGORITHM: &str = "X-Amz-Algorithm";
pub(super) const CREDENTIAL: &str = "X-Amz-Credential";
pub(super) const DATE: &str = "X-Amz-Date";
pub(super) const EXPIRES: &str = "X-Amz-Expires";
pub(super) const SECURITY_TOKEN: &str = "X-Amz-Security-Token";
pub(super) const SIGNATURE: &str = "X-Amz-Signature";
pub(super) const SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";

/// What is never encoded: letters, digits and four signs (RFC 3986, section 2.3).
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The parameters that sign a request, each there at most once.
#[derive(Default)]
pub(super) struct Parameters {
    pub(super) algorithm: Option<String>,
    pub(super) credential: Option<String>,
    pub(super) date: Option<String>,
    pub(super) expires: Option<String>,
    pub(super) security_token: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) signed_headers: Option<String>,
}

impl Parameters {
    /// Returns what a query says; other parameters are passed over.
    pub(super) fn read(query: &str) -> Result<Self, AuthError> {
        let mut read = Self::default();
        for (name, value) in pairs(query) {
            let Some(slot) = read.slot(&name) else {
                continue;
            };
            let value = String::from_utf8(value).ok().filter(|_| slot.is_none());
            let Some(value) = value else {
                let name = String::from_utf8_lossy(&name);
                let message = format!("'{name}' may be in the query once, as plain text.");
                return Err(AuthError::Incomplete(message));
            };
            *slot = Some(value);
        }
        Ok(read)
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<String>> {
        match str::from_utf8(name).ok()? {
            ALGORITHM => Some(&mut self.algorithm),
            CREDENTIAL => Some(&mut self.credential),
            DATE => Some(&mut self.date),
            EXPIRES => Some(&mut self.expires),
            SECURITY_TOKEN => Some(&mut self.security_token),
            SIGNATURE => Some(&mut self.signature),
            SIGNED_HEADERS => Some(&mut self.signed_headers),
            _ => None,
        }
    }
}

/// Returns whether a query says that it signs the request, however badly.
pub(super) fn is_signed(query: &str) -> bool {
    let tells = [ALGORITHM, CREDENTIAL, SIGNATURE];
    pairs(query).any(|(name, _)| tells.iter().any(|tell| tell.as_bytes() == name))
}

/// Returns a query in the form that is signed: parameters encoded one way and in order, `left_out` not among them.
pub(super) fn canonical(query: &str, left_out: &[&str]) -> String {
    let is_kept = |name: &[u8]| !left_out.iter().any(|other| other.as_bytes() == name);
    let encode = |bytes: &[u8]| percent_encode(bytes, ENCODED).to_string();
    let mut encoded: Vec<_> = pairs(query)
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| (encode(&name), encode(&value)))
        .collect();
    encoded.sort_unstable();
    let joined = encoded
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"));
    joined.collect::<Vec<_>>().join("&")
}

/// Returns names and values, decoded. A plus is a space, as signers that encode anew take it.
fn pairs(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).collect();
    pieces.map(move |piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (decode(name), decode(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: &str) {
        assert_eq!(canonical(query, &["X-Amz-Signature"]), expected, "{query}");
    }

    #[test]
    fn parameters_are_encoded_one_way_and_sorted() {
        check("", "");
        check("&&", "");
        check("a", "a=");
        check("=a", "=a");
        check("b=2&a=1", "a=1&b=2");
        check("a=2&a=1", "a=1&a=2");
        check("A=1&a=1&a-b=1&a.b=1&ab=1", "A=1&a=1&a-b=1&a.b=1&ab=1");
        check("a=b=c", "a=b%3Dc");
        check("a=%7e%41-._~", "a=~A-._~");
        check("a=b+c%20d%2B", "a=b%20c%20d%2B");
        check("a=/?:@!$'()*,;", "a=%2F%3F%3A%40%21%24%27%28%29%2A%2C%3B");
        check("a=%ff%zz%4", "a=%FF%25zz%254");
        check("\u{1234}=bar", "%E1%88%B4=bar");
        check("X-Amz-Signature=1&x-amz-signature=2", "x-amz-signature=2");
        check("X%2DAmz%2DSignature=1", "");
    }

    #[test]
    fn a_query_that_signs_says_so() {
        for query in [
            "X-Amz-Algorithm=",
            "a&X-Amz-Signature",
            "X%2dAmz-Credential=1",
        ] {
            assert!(is_signed(query), "{query}");
        }
        for query in ["", "X-Amz-Date=1", "x-amz-signature=1", "a=X-Amz-Signature"] {
            assert!(!is_signed(query), "{query}");
        }
    }
}
