//! Bodies in chunks: the examples of the Amazon S3 documentation, and everything a body can have wrong.

use proptest::prelude::*;

use super::*;
use crate::sigv4::chunks::{Framing, decode};

const S3: Scope<'_> = Scope {
    service: "s3",
    ..SCOPE
};

/// The key of the examples; it is not quite the one of the others.
const S3_KEY: Key<'_> = Key {
    secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    session_token: None,
};

/// Returns the head of the documentation's example; signed headers are those of `headers`, the host and the date.
fn head(headers: &[(&str, &str)], signature: &str) -> Parts {
    let mut names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    names.extend(["host", "x-amz-date", "x-amz-storage-class"]);
    names.sort_unstable();
    let names = names.join(";");
    let mut request = Request::builder()
        .method("PUT")
        .uri("/examplebucket/chunkObject.txt")
        .header("host", "s3.amazonaws.com")
        .header("x-amz-date", "20130524T000000Z")
        .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
        .header("authorization", format!("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={names},Signature={signature}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn signed_head() -> Parts {
    let headers = [
        ("content-encoding", "aws-chunked"),
        ("content-length", "66824"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-decoded-content-length", "66560"),
    ];
    head(
        &headers,
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    )
}

fn signed_body() -> Vec<u8> {
    let mut body = Vec::new();
    for (n_data, signature) in [
        (
            65_536,
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        ),
        (
            1024,
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        ),
        (
            0,
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ),
    ] {
        body.extend(format!("{n_data:x};chunk-signature={signature}\r\n").bytes());
        body.extend(vec![b'a'; n_data]);
        body.extend(b"\r\n");
    }
    body
}

fn with_trailers() -> (Parts, Vec<u8>) {
    let headers = [
        ("content-encoding", "aws-chunked"),
        (
            "x-amz-content-sha256",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        ),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-trailer", "x-amz-checksum-crc32c"),
    ];
    let parts = head(
        &headers,
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    );
    let mut body = Vec::new();
    let first = "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2";
    body.extend(format!("10000;chunk-signature={first}\r\n").bytes());
    body.extend(vec![b'a'; 65_536]);
    let second = "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7";
    body.extend(format!("\r\n400;chunk-signature={second}\r\n").bytes());
    body.extend(vec![b'a'; 1024]);
    let last = "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992";
    body.extend(format!("\r\n0;chunk-signature={last}\r\n").bytes());
    body.extend(b"x-amz-checksum-crc32c:sOO8/Q==\r\n");
    let trailer = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
    body.extend(format!("x-amz-trailer-signature:{trailer}\r\n\r\n").bytes());
    (parts, body)
}

fn open(parts: Parts, body: Vec<u8>) -> Result<Bytes, AuthError> {
    let now = time("20130524T000000Z");
    accept(&(parts, body.into()), Some(S3_KEY), S3, now)
}

fn mismatch() -> AuthError {
    AuthError::Mismatch {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        is_known: true,
    }
}

#[test]
fn the_examples_of_the_documentation_are_put_together() {
    let whole = Bytes::from(vec![b'a'; 66_560]);
    assert_eq!(signed_body().len(), 66_824);
    assert_eq!(open(signed_head(), signed_body()), Ok(whole.clone()));
    let (parts, body) = with_trailers();
    assert_eq!(open(parts, body), Ok(whole));
}

/// Replaces the first place a text stands at.
fn replaced(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = body
        .windows(from.len())
        .position(|window| window == from.as_bytes());
    let (front, back) = body.split_at(at.unwrap());
    [front, to.as_bytes(), &back[from.len()..]].concat()
}

fn check_changed(from: &str, to: &str, expected: AuthError) {
    let (parts, body) = with_trailers();
    let opened = open(parts, replaced(&body, from, to));
    assert_eq!(opened, Err(expected), "{from} -> {to}");
}

#[test]
fn a_chunk_that_was_not_signed_is_refused() {
    check_changed("aaaa", "aaab", mismatch());
    check_changed("=b474d8", "=b474d9", mismatch());
    check_changed("=1c1344", "=1c1345", mismatch());
    check_changed("=2ca2ab", "=2ca2ac", mismatch());
    check_changed("signature:d81f82", "signature:d81f83", mismatch());
    check_changed("sOO8", "sOO9", mismatch());
    // The second chunk's signature in the first one's place, as if chunks were in another order.
    check_changed(
        "=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        mismatch(),
    );
}

#[test]
fn a_body_that_is_not_put_together_as_it_says_is_refused() {
    let no_signature = AuthError::Chunks("a chunk has no signature");
    check_changed(
        ";chunk-signature=b4",
        ";chunk-signature=B4",
        no_signature.clone(),
    );
    check_changed(
        ";chunk-signature=b4",
        ";chunk-signature=",
        no_signature.clone(),
    );
    check_changed(";chunk-signature=b4", ";signature=b4", no_signature.clone());
    check_changed(
        ";chunk-signature=b4",
        "b4",
        AuthError::Chunks("a chunk does not say its length"),
    );
    let no_length = AuthError::Chunks("a chunk does not say its length");
    check_changed("10000;", "+10000;", no_length.clone());
    check_changed("10000;", ";", no_length.clone());
    check_changed("10000;", "x;", no_length.clone());
    check_changed("10000;", "10000000000000000;", no_length);
    check_changed(
        "10000;",
        "ffffffffffffffff;",
        AuthError::Chunks("it ends within a chunk"),
    );
    check_changed(
        "10000;",
        "fffff;",
        AuthError::Chunks("it ends within a chunk"),
    );
    check_changed(
        "a\r\n400;",
        "a400;",
        AuthError::Chunks("a chunk is longer than it says"),
    );
    check_changed(
        "10000;",
        &"0".repeat(300),
        AuthError::Chunks("a chunk has no head"),
    );
}

#[test]
fn trailers_that_are_not_those_announced_are_refused() {
    let other_trailers = AuthError::Chunks("its trailers are not those of x-amz-trailer");
    check_changed(
        "x-amz-checksum-crc32c:",
        "x-amz-checksum-crc32:",
        other_trailers.clone(),
    );
    check_changed(
        "x-amz-checksum-crc32c:sOO8/Q==\r\n",
        "",
        other_trailers.clone(),
    );
    check_changed(
        "x-amz-trailer-signature:",
        "a:b\r\nx-amz-trailer-signature:",
        other_trailers.clone(),
    );
    let twice = format!(
        "x-amz-trailer-signature:{}\r\nx-amz-trailer-signature:",
        "0".repeat(64)
    );
    check_changed("x-amz-trailer-signature:", &twice, other_trailers.clone());
    check_changed(
        "x-amz-trailer-signature:",
        "x-amz-trailer-signatures:",
        other_trailers,
    );
    check_changed(
        "signature:d8",
        "signature:",
        AuthError::Chunks("its trailers have no signature"),
    );
    check_changed(
        "crc32c:sOO8",
        "crc32c sOO8",
        AuthError::Chunks("its trailers are no headers"),
    );
    let long = format!("sOO8{}", "a".repeat(17_000));
    check_changed(
        "sOO8",
        &long,
        AuthError::Chunks("its trailers are too long"),
    );
}

#[test]
fn a_body_without_trailers_ends_with_its_last_chunk() {
    let body = signed_body();
    let end = body.len() - 2;
    assert!(open(signed_head(), body[..end].to_vec()).is_ok());
    let more = Err(AuthError::Chunks("more follows its last chunk"));
    assert_eq!(open(signed_head(), [&body[..], b"x"].concat()), more);
    let cut = Err(AuthError::Chunks("a chunk has no head"));
    assert_eq!(open(signed_head(), body[..end - 2].to_vec()), cut);
    // What follows a chunk that was cut off is the signature of another one.
    assert_eq!(open(signed_head(), Vec::new()), cut);
}

#[test]
fn trailers_may_end_as_clients_end_them() {
    let (_, body) = with_trailers();
    for (from, to) in [
        ("Q==\r\n", "Q==\n"),
        ("Q==\r\n", "Q==\n\r\n"),
        ("fe2e435\r\n\r\n", "fe2e435"),
        ("crc32c:sOO8", "CRC32C: sOO8"),
    ] {
        let (parts, _) = with_trailers();
        assert!(open(parts, replaced(&body, from, to)).is_ok(), "{to:?}");
    }
}

/// Returns a request in unsigned chunks, whose head is signed here.
fn unsigned(headers: &[(&str, &str)], body: &[u8]) -> (Parts, Vec<u8>) {
    let parts = head(headers, &"0".repeat(64));
    let claim = claim_of(&parts);
    let payload = Payload::of(&parts.headers, body).map(|payload| payload.literal().to_owned());
    let requests = canonical::requests(&claim, &parts, &payload.unwrap_or_default()).unwrap();
    let text = canonical::string_to_sign(&claim, &requests[0]);
    let key = SigningKey::derive(S3_KEY.secret, &claim.date(), &claim.region, &claim.service);
    let signature = mac::hex(&key.code(text.as_bytes()));
    (head(headers, &signature), body.to_vec())
}

fn check_unsigned(length: &str, trailer: &str, body: &str, expected: Result<&str, AuthError>) {
    let headers = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", length),
        ("x-amz-trailer", trailer),
    ];
    let (parts, sent) = unsigned(&headers, body.as_bytes());
    let opened = open(parts, sent);
    let opened = opened.as_deref().map_err(Clone::clone);
    assert_eq!(opened, expected.map(str::as_bytes), "{body:?}");
}

#[test]
fn unsigned_chunks_are_put_together() {
    let crc = "x-amz-checksum-crc32";
    let whole = "3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n";
    check_unsigned("5", crc, whole, Ok("abcde"));
    check_unsigned("0", crc, "0\r\nx-amz-checksum-crc32:AA==\r\n\r\n", Ok(""));
    let two = "1;a=b\r\na\r\n0\r\nb:2\r\nA:1\r\n\r\n";
    check_unsigned("1", "a, B", two, Ok("a"));
    check_unsigned("1", "B,a", two, Ok("a"));
    let other_length =
        AuthError::Chunks("its chunks have another length than x-amz-decoded-content-length");
    check_unsigned("4", crc, whole, Err(other_length.clone()));
    check_unsigned("6", crc, whole, Err(other_length));
    let other_trailers = AuthError::Chunks("its trailers are not those of x-amz-trailer");
    check_unsigned("0", crc, "0\r\n\r\n", Err(other_trailers.clone()));
    check_unsigned("0", "a,a", "0\r\na:1\r\n\r\n", Err(other_trailers.clone()));
    check_unsigned("0", "a", "0\r\nb:1\r\n\r\n", Err(other_trailers));
    let no_length =
        "A body in chunks needs its length in 'x-amz-decoded-content-length'.".to_owned();
    for length in ["", "x", "-1", "+1", "99999999999999999999"] {
        let no_length = AuthError::Incomplete(no_length.clone());
        check_unsigned(length, crc, whole, Err(no_length));
    }
    let no_names = "A body with trailers needs their names in 'x-amz-trailer'.".to_owned();
    for names in ["", "a,", ","] {
        let no_names = AuthError::Incomplete(no_names.clone());
        check_unsigned("5", names, whole, Err(no_names));
    }
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(
        length in 0..20_usize,
        text in "([0-9a-f]{1,2}(;chunk-signature=[0-9a-f]{64})?\r\n[a-z]{0,5}(\r\n)?){0,4}(0\r\na:b\r\n\r\n)?",
        bytes: Vec<u8>,
        is_signed: bool,
        has_trailers: bool,
    ) {
        let claim = claim_of(&signed_head());
        let key = SigningKey::derive(SECRET, "20130524", "us-east-1", "s3");
        let framing = Framing {
            is_signed,
            decoded_bytes: length,
            trailers: has_trailers.then(|| vec!["a".to_owned()]),
        };
        for body in [text.as_bytes(), &bytes] {
            if let Ok(decoded) = decode(body, &framing, Chain::new(&key, &claim)) {
                prop_assert!(!is_signed);
                prop_assert_eq!(decoded.len(), length);
            }
        }
    }

    #[test]
    fn chunks_of_any_lengths_are_put_together(chunks in prop::collection::vec("[a-z]{1,40}", 0..5)) {
        let whole = chunks.concat();
        let framed = chunks.iter().map(|chunk| format!("{:X}\r\n{chunk}\r\n", chunk.len()));
        let body = framed.collect::<Vec<_>>().concat();
        check_unsigned(&whole.len().to_string(), "a", &format!("{body}0\r\na:b\r\n"), Ok(&whole));
    }
}
