//! What is small on the wire and large in memory.

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::resident_bytes_max;

use super::{
    GZIP, INVALID_ARGUMENT, JSON, PROTOBUF, UNAVAILABLE, assert_grown, at_once, attribute, call,
    field, framed, good, grpc_door, gzip, post, refused, request, span, start,
};
use crate::datagrams::figure;

/// As many of these as a body may have, and all that can be made of two or three bytes each.
fn swollen() -> Vec<(&'static str, (&'static str, &'static str), Vec<u8>)> {
    let many = |item: &[u8]| item.repeat(BODY_BYTES / item.len());
    let in_span = |fields: &[u8]| request(&field(2, fields), b"");
    let value = |list: u8| in_span(&field(9, &field(2, &field(list, &many(b"\x0a\x00")))));
    let json = |before: &str, after: &str| {
        let items = String::from_utf8(many(b"{},")).unwrap();
        let spans = format!("{before}{items}{{}}{after}");
        let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
        body.into_bytes()
    };
    vec![
        ("spans", PROTOBUF, request(&many(b"\x12\x00"), b"")),
        ("attributes", PROTOBUF, in_span(&many(b"\x4a\x00"))),
        ("events", PROTOBUF, in_span(&many(b"\x5a\x00"))),
        ("links", PROTOBUF, in_span(&many(b"\x6a\x00"))),
        ("values", PROTOBUF, value(5)),
        ("members", PROTOBUF, value(6)),
        ("resources", PROTOBUF, many(b"\x0a\x00")),
        ("spans in JSON", JSON, json("", "")),
        ("events in JSON", JSON, json(r#"{"events":["#, "]}")),
    ]
}

#[test]
fn what_becomes_large_in_memory_is_refused() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let http = server.door("otlp_http").context("a door")?;
    let grpc = grpc_door(&server)?;
    post(http, PROTOBUF, &good(1, 1))?;
    let before = resident_bytes_max(server.pid())?;
    let mut n_refused = 0;
    for (what, encoding, body) in swollen() {
        let answers = at_once(AT_ONCE, || post(http, encoding, &body))?;
        for answer in &answers {
            let text = answer.text();
            assert_eq!(answer.status, 400, "{what}: {text}");
            assert!(
                text.contains("bytes in memory, the limit is 134217728"),
                "{what}: {text}"
            );
            assert_eq!(answer.header("retry-after"), None);
        }
        n_refused += answers.len();
        assert_eq!(refused(&server, "otlp-http")?.len(), n_refused, "{what}");
        // A body that arrives is there three times for a moment, when the memory it is put together in is doubled; and what
        // the allocator keeps.
        let most = 4 * u64::try_from(AT_ONCE * BODY_BYTES)?;
        assert_grown(&server, before, most, what)?;
    }
    let spans = request(&b"\x12\x00".repeat(BODY_BYTES / 2 - 100), b"");
    let plain = framed(0, &spans)?;
    let compressed = framed(1, &gzip(&spans)?)?;
    for (fields, body) in [(&[][..], plain), (&[GZIP][..], compressed)] {
        for answer in at_once(AT_ONCE, || call(grpc, fields, &body))? {
            assert_eq!(answer.header("grpc-status"), Some(INVALID_ARGUMENT));
            let message = answer.header("grpc-message").context("a message")?;
            assert!(message.contains("the%20limit%20is"), "{message}");
        }
    }
    let most = 4 * u64::try_from(AT_ONCE * BODY_BYTES)?;
    assert_grown(&server, before, most, "over gRPC")?;
    let entries = refused(&server, "otlp-grpc")?;
    assert_eq!(entries.len(), 2 * AT_ONCE);
    assert_eq!(entries[0]["code"], "InvalidRequestException");
    Ok(())
}

#[test]
fn too_many_spans_are_refused_before_they_are_decoded() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "[otlp]\nspans_per_request = 1000\n")?;
    let http = server.door("otlp_http").context("a door")?;
    let json = |n_spans: usize| {
        let spans = vec!["{}"; n_spans].join(",");
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#).into_bytes()
    };
    let protobuf = |n_spans: usize| request(&b"\x12\x00".repeat(n_spans), b"");
    assert_eq!(post(http, PROTOBUF, &protobuf(1000))?.status, 200);
    assert_eq!(post(http, JSON, &json(1000))?.status, 200);
    let before = resident_bytes_max(server.pid())?;
    for n_spans in [1001, 400_000] {
        let words = format!("the request has {n_spans} spans, the limit is 1000");
        for (encoding, body) in [(PROTOBUF, protobuf(n_spans)), (JSON, json(n_spans))] {
            let answer = post(http, encoding, &body)?;
            assert_eq!(answer.status, 400);
            assert!(answer.text().contains(&words), "{}", answer.text());
        }
        let answer = call(grpc_door(&server)?, &[], &framed(0, &protobuf(n_spans))?)?;
        assert_eq!(answer.header("grpc-status"), Some(INVALID_ARGUMENT));
        let words = words.replace(' ', "%20");
        assert!(
            answer
                .header("grpc-message")
                .context("a message")?
                .contains(&words)
        );
    }
    // Decoded they take a hundred.
    assert_grown(&server, before, 16 << 20, "too many spans")
}

/// What exporters send at most is far from any bound.
#[test]
fn large_batches_of_exporters_are_taken() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let attributes: Vec<u8> = (0..24)
        .flat_map(|number| field(9, &attribute(&format!("key.{number}"), "a value")))
        .collect();
    let event = [field(2, b"event"), field(3, &attribute("k", "v"))].concat();
    let fields = [attributes, field(11, &event).repeat(10)].concat();
    for (trace, n_spans) in [(1, 512), (2, 8192)] {
        let spans = (1..=n_spans).map(|id| field(2, &span(trace, id, &fields)));
        let body = request(&spans.collect::<Vec<_>>().concat(), b"");
        let answer = post(server.address(), PROTOBUF, &body)?;
        assert_eq!(
            (answer.status, answer.body.len()),
            (200, 0),
            "{}",
            answer.text()
        );
    }
    let accepted = figure(&server, "roentgen_documents_accepted_total", &["api"])?;
    assert_eq!(accepted, 512 + 8192);
    Ok(())
}

/// Each is small enough; together they take turns.
#[test]
fn what_is_decoded_at_once_is_bounded() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "[storage]\nqueue_wait = \"30s\"\n")?;
    let http = server.door("otlp_http").context("a door")?;
    post(http, PROTOBUF, &good(1, 1))?;
    let before = resident_bytes_max(server.pid())?;
    // Sixty megabytes of attributes, which are refused since their span is too large.
    let attributes = b"\x4a\x00".repeat(1_000_000);
    let body = request(&field(2, &attributes), b"");
    for answer in at_once(10, || post(http, PROTOBUF, &body))? {
        assert_eq!(answer.status, 200);
        let text = answer.text();
        assert!(text.contains("the limit is 1048576"), "{text}");
    }
    // One address has one such at a time: its list, and half of it while that is made larger. Of those before it the
    // allocator keeps two or three. All at once are more than 900 MiB.
    assert_grown(&server, before, 400 << 20, "lists")
}

/// Small messages that become large, and are in memory for long: the rate lets one in at a time.
#[test]
fn bombs_of_grpc_are_bounded() -> Result<()> {
    let home = Home::new()?;
    let config = "[http]\nbodies_in_flight = \"33MiB\"\n[storage]\nqueue_wait = \"3s\"\n\
                  [limits]\nsegments_per_second = 1\ndocuments_per_call = 1\n";
    let server = start(&home, config)?;
    let grpc = grpc_door(&server)?;
    let before = resident_bytes_max(server.pid())?;
    let too_large = framed(1, &gzip(&vec![0; 64 << 20])?)?;
    let mut n_too_large = 0;
    for answer in at_once(N_BOMBS, || call(grpc, &[GZIP], &too_large))? {
        let message = answer.header("grpc-message").context("a message")?;
        match answer.header("grpc-status") {
            Some(RESOURCE_EXHAUSTED) => {
                assert!(message.contains("16777216"), "{message}");
                n_too_large += 1;
            }
            status => assert_eq!(status, Some(UNAVAILABLE), "{message}"),
        }
    }
    assert!(n_too_large > 0, "all were turned away");
    let labels = ["otlp-grpc", "reason=\"InvalidRequestException\""];
    assert_eq!(
        figure(&server, "roentgen_refused_total", &labels)?,
        n_too_large
    );
    // A text of spans that are none, kept as long as those that are wait.
    let fill = field(1, &field(3, &vec![b'x'; 15 << 20]));
    let large = framed(1, &gzip(&[fill, good(1, 2)].concat())?)?;
    let mut n_taken = 0;
    for answer in at_once(N_BOMBS, || call(grpc, &[GZIP], &large))? {
        match answer.header("grpc-status") {
            None => n_taken += 1,
            status => assert_eq!(status, Some(UNAVAILABLE)),
        }
    }
    assert!(n_taken > 0, "all were turned away");
    // The room for bodies, twice where one is made smaller, and what the allocator keeps for each thread; inflated all
    // of them are 600 MiB.
    assert_grown(&server, before, 400 << 20, "bombs")
}

/// Less than the largest body by what is around the items.
const BODY_BYTES: usize = (16 << 20) - 2000;
const AT_ONCE: usize = 3;
const N_BOMBS: usize = 40;
const RESOURCE_EXHAUSTED: &str = "8";
