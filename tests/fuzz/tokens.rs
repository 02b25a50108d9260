//! Page tokens: nothing opens that was not sealed, and what was opens for its own request alone.

use protocol::token::{Kind, TokenKey, open, seal};

use crate::bytes::Vocabulary;
use crate::engine::{Plain, Target, class, fuzz, size};

#[test]
fn tokens() {
    let mut sealed = Vec::new();
    for kind in KINDS {
        for fingerprint in FINGERPRINTS {
            for payload in PAYLOADS {
                let token = seal(&KEY, kind, fingerprint, payload);
                sealed.push((kind, *fingerprint, *payload, token));
            }
        }
    }
    // Tokens of another key are as good as any to begin with.
    let foreign = seal(&TokenKey([8; 32]), Kind::GetGroups, b"f", b"cursor");
    let seeds = sealed.iter().map(|(.., token)| token.clone());
    let seeds = seeds.chain([foreign, String::new()]);
    fuzz(&Target {
        name: "tokens",
        seeds: seeds.map(String::into_bytes).collect(),
        vocabulary: VOCABULARY,
        form: &Plain,
        bytes_max: 10_000,
        attempt: &|input| attempt(&String::from_utf8_lossy(input), &sealed),
    });
}

/// A token and what it was made of: kind, fingerprint, payload.
type Sealed<'s> = (Kind, &'s [u8], &'s [u8], String);

fn attempt(token: &str, sealed: &[Sealed<'_>]) -> u64 {
    let mut n_opened = 0;
    for kind in KINDS {
        for fingerprint in FINGERPRINTS {
            let Ok(payload) = open(&KEY, kind, fingerprint, token) else {
                continue;
            };
            let is_sealed = |(kind_of, of, what, text): &Sealed<'_>| {
                (*kind_of, *of, *what) == (kind, fingerprint, &payload[..]) && text == token
            };
            assert!(sealed.iter().any(is_sealed), "{token} opens for {kind:?}");
            n_opened += 1;
        }
    }
    assert!(n_opened <= 1, "{token} opens {n_opened} times");
    class((n_opened, size(token.len()), token.is_ascii()))
}

const KEY: TokenKey = TokenKey([7; 32]);
const KINDS: [Kind; 3] = [
    Kind::BatchGetTraces,
    Kind::GetTraceSummaries,
    Kind::GetServiceGraph,
];
const FINGERPRINTS: &[&[u8]] = &[b"", b"f", b"fc"];
const PAYLOADS: &[&[u8]] = &[b"", b"c", b"cursor", &[0xff; 200]];
const VOCABULARY: Vocabulary = Vocabulary {
    words: &[
        b"A",
        b"AQ",
        b"-",
        b"_",
        b"+",
        b"/",
        b"=",
        b"==",
        b"%3D",
        b".",
        b" ",
        b"\n",
        b"\0",
        b"\xc3\xa9",
    ],
    brackets: &[(b"A", b""), (b"", b"="), (b"AQEB", b"AQEB")],
};
