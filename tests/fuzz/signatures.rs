//! Signatures: whatever is made of requests that were signed, one that verifies says what was signed.

mod request;
mod signed;

use std::time::Duration;

use http::Method;
use http::request::Parts;
use protocol::ApiError;
use protocol::sigv4::{AuthError, Claim, Presented, Scope, read, verify};

use crate::bytes::Vocabulary;
use crate::engine::{Target, class, fuzz};
use request::{Lines, parse};
use signed::{Signed, all_signed, key_of, now};

#[test]
fn signatures() {
    let signed = all_signed();
    for request in &signed {
        // What is changed must be good to begin with, or nothing is told by what is refused.
        let (parts, body) = parse(&request.text).unwrap();
        let claim = claim_of(&parts).unwrap().unwrap();
        let key = key_of(&claim.access_key_id);
        let opened = verify(&claim, &parts, &body, key, SCOPE, now());
        assert_eq!(opened, Ok(request.opened.clone()), "{}", request.name);
    }
    fuzz(&Target {
        name: "signatures",
        seeds: signed.iter().map(|request| request.text.clone()).collect(),
        vocabulary: VOCABULARY,
        form: &Lines,
        bytes_max: 100_000,
        attempt: &|input| attempt(input, &signed),
    });
}

fn attempt(input: &[u8], signed: &[Signed]) -> u64 {
    let Some((parts, body)) = parse(input) else {
        return class("no request");
    };
    let claim = match claim_of(&parts) {
        Ok(Some(claim)) => claim,
        Ok(None) => return class("not signed"),
        Err(error) => return class_of(&error),
    };
    let stranger = verify(&claim, &parts, &body, None, SCOPE, now());
    assert!(stranger.is_err());
    let key = key_of(&claim.access_key_id);
    match verify(&claim, &parts, &body, key, SCOPE, now()) {
        Ok(opened) => {
            let is_same = |request: &&Signed| request.is_same(&parts, &opened);
            let Some(same) = signed.iter().find(is_same) else {
                panic!("what was not signed verifies");
            };
            class(("verified", same.name, parts.headers.len()))
        }
        Err(error) => class_of(&error),
    }
}

fn claim_of(parts: &Parts) -> Result<Option<Claim>, AuthError> {
    Ok(match read(parts)? {
        Presented::Signature(claim) => Some(claim),
        Presented::Nothing => None,
    })
}

/// Returns the class of a refusal, after checking that it can be answered.
fn class_of(error: &AuthError) -> u64 {
    let answer = ApiError::from(error.clone());
    assert!(answer.status().is_client_error(), "{answer}");
    let n_chars = answer.message().chars().count();
    assert!((1..MESSAGE_CHARS_MAX).contains(&n_chars), "{answer}");
    let words = answer.message().split(' ').take(5).collect::<String>();
    class((answer.code(), words))
}

/// The methods requests have.
const METHODS: [Method; 3] = [Method::POST, Method::GET, Method::PUT];
const SCOPE: Scope<'_> = Scope {
    service: "xray",
    clock_skew: Duration::from_mins(5),
};
const MESSAGE_CHARS_MAX: usize = 3000;
const VOCABULARY: Vocabulary = Vocabulary {
    words: &[
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"=",
        b"&",
        b"?",
        b"/",
        b"//",
        b"/./",
        b"/../",
        b"%",
        b"%2F",
        b"%2f",
        b"%41",
        b"%C3%A9",
        b"%zz",
        b"+",
        b"%2B",
        b"%00",
        b"Credential=",
        b"SignedHeaders=",
        b"Signature=",
        b"AWS4-HMAC-SHA256",
        b"AWS4-ECDSA-P256-SHA256",
        b"aws4_request",
        b"xray",
        b"us-east-1",
        b"20150830",
        b"AKIDEXAMPLE",
        b"ASIAEXAMPLE",
        b"host: xray.example:2000\n",
        b"x-amz-date: 20150830T123600Z\n",
        b"date: Sun, 30 Aug 2015 12:36:00 GMT\n",
        b"x-amz-content-sha256: UNSIGNED-PAYLOAD\n",
        b"x-amz-security-token: token\n",
        b"x-amz-other: 1\n",
        b"X-Amz-Signature=",
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256&",
        b"X-Amz-Expires=604800&",
        b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        b"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        b"UNSIGNED-PAYLOAD",
        b";chunk-signature=",
        b"\r\n0\r\n",
        b"ffffffffffffffff\r\n",
        b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
    brackets: &[
        (b"/a", b"/.."),
        (b"%25", b""),
        (b"a=", b"&"),
        (b"x-amz-a: ", b"\n"),
        (b" ", b" "),
    ],
};
