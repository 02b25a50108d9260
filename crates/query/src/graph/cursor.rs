//! Tokens of chains of pages that go on after a number.

use protocol::token::{self, InvalidToken, Kind, TokenKey};

/// What the tokens of one chain have in common.
pub(crate) struct Chain<'k> {
    pub(crate) key: &'k TokenKey,
    pub(crate) kind: Kind,
    /// What of the request a token is bound to.
    pub(crate) fingerprint: Vec<u8>,
}

impl Chain<'_> {
    /// Returns the number a token goes on after; none without a token.
    pub(crate) fn open(&self, token: Option<&str>) -> Result<Option<u32>, InvalidToken> {
        let Some(token) = token else {
            return Ok(None);
        };
        let payload = token::open(self.key, self.kind, &self.fingerprint, token)?;
        let after = payload.try_into().map_err(|_| InvalidToken)?;
        Ok(Some(u32::from_be_bytes(after)))
    }

    /// Returns the token that goes on after a number.
    pub(crate) fn seal(&self, after: u32) -> String {
        token::seal(self.key, self.kind, &self.fingerprint, &after.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_another_length_are_refused() {
        let key = TokenKey([7; 32]);
        let chain = Chain {
            key: &key,
            kind: Kind::GetServiceGraph,
            fingerprint: Vec::new(),
        };
        assert_eq!(chain.open(None), Ok(None));
        assert_eq!(chain.open(Some(&chain.seal(9))), Ok(Some(9)));
        for length in [0, 3, 5] {
            let token = token::seal(&key, chain.kind, &[], &vec![0; length]);
            assert_eq!(chain.open(Some(&token)), Err(InvalidToken), "{length}");
        }
    }
}
