//! Calls of gRPC whose message is compressed.

use anyhow::Result;
use roentgen_tests::http::Wire;
use roentgen_tests::http2::Http2;
use roentgen_tests::{Home, Response};

use super::{
    EPOCH, GRPC, GRPC_PATH, GZIP, INVALID_ARGUMENT, call, framed, good, grpc_door, gzip, refused,
    start,
};
use crate::datagrams::figure;

#[test]
fn compressed_calls_of_grpc_are_stored() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let grpc = grpc_door(&server)?;
    let bodies = [
        (
            framed(1, &gzip(&good(1, 1))?)?,
            &[GRPC, GZIP, ("te", "trailers")][..],
        ),
        // A message may be left as it is.
        (
            framed(0, &good(1, 2))?,
            &[GRPC, GZIP, ("grpc-accept-encoding", "gzip")],
        ),
        (
            framed(0, &good(1, 3))?,
            &[GRPC, ("grpc-encoding", "identity")],
        ),
        (
            framed(0, &good(1, 4))?,
            &[("content-type", "application/grpc+proto")],
        ),
    ];
    for (n_spans, (body, fields)) in (1..).zip(bodies) {
        let mut http2 = Http2::open(Wire::open(grpc)?, &[])?;
        let stream = http2.start_with("POST", GRPC_PATH, fields, false)?;
        http2.data(stream, &body, true)?;
        let answer = http2.finish(stream)?;
        // An empty answer in its frame.
        assert_eq!(
            (answer.status, answer.body),
            (200, vec![0; 5]),
            "{fields:?}"
        );
        let id = format!("1-{EPOCH:08x}-{:024x}", 1);
        assert_eq!(server.documents(&id)?.len(), n_spans, "{fields:?}");
    }
    let accepted = figure(&server, "roentgen_documents_accepted_total", &["otlp-grpc"])?;
    assert_eq!(accepted, 1 + 2 + 3 + 4);
    Ok(())
}

#[test]
fn calls_that_cannot_be_inflated_are_told() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let grpc = grpc_door(&server)?;
    let body = framed(1, &gzip(&good(1, 1))?)?;
    let check =
        |fields: &[(&str, &str)], body: &[u8], status: &str, words: &str| -> Result<Response> {
            let answer = call(grpc, fields, body)?;
            let message = answer.header("grpc-message").unwrap_or_default();
            let message = message.replace("%20", " ");
            assert_eq!(answer.header("grpc-status"), Some(status), "{message}");
            assert!(message.contains(words), "{message}");
            Ok(answer)
        };
    let answer = check(&[("grpc-encoding", "zstd")], &body, UNIMPLEMENTED, "zstd")?;
    assert_eq!(answer.header("grpc-accept-encoding"), Some("gzip,identity"));
    let plain = framed(1, &good(1, 1))?;
    check(&[GZIP], &plain, INVALID_ARGUMENT, "cannot be inflated")?;
    check(
        &[GZIP],
        &[&body[..], &body].concat(),
        INVALID_ARGUMENT,
        "one whole message",
    )?;
    check(
        &[GZIP],
        &body[..body.len() - 1],
        INVALID_ARGUMENT,
        "one whole message",
    )?;
    // The flag without the word.
    check(&[], &body, INTERNAL, "grpc-encoding")?;
    check(&[], b"", INVALID_ARGUMENT, "one whole message")?;
    assert_eq!(refused(&server, "otlp-grpc")?.len(), 6);
    let accepted = figure(&server, "roentgen_documents_accepted_total", &["otlp-grpc"])?;
    assert_eq!(accepted, 0);
    Ok(())
}

const UNIMPLEMENTED: &str = "12";
const INTERNAL: &str = "13";
