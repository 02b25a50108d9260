//! The client against servers on loopback that answer what they are told to.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::times::Window;

/// What the server saw of each request: its head and its body.
type Seen = mpsc::UnboundedReceiver<(String, String)>;

fn client(endpoint: &str, ca_file: Option<PathBuf>) -> Client {
    let flags = ServerFlags {
        ca_file,
        ..ServerFlags::default()
    };
    let endpoint = Endpoint::parse(endpoint).unwrap();
    Client::new(endpoint, &flags, &[], || Timestamp::from_secs(0)).unwrap()
}

fn answer(status: u16, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let n_bytes = body.len();
    format!("HTTP/1.1 {status} Said\r\ncontent-length: {n_bytes}\r\n{headers}\r\n{body}")
}

/// Reads a request and writes an answer; tells nothing of a connection that ends.
async fn serve_one<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    stream: &mut S,
    answer: &str,
) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let (head, n_body) = loop {
        let byte = stream.read_u8().await.ok()?;
        bytes.push(byte);
        if bytes.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8(bytes).unwrap().to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let n_body = length.map_or(0, |length| length.parse().unwrap());
            break (head, n_body);
        }
    };
    let mut body = vec![0; n_body];
    stream.read_exact(&mut body).await.ok()?;
    stream.write_all(answer.as_bytes()).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// Starts a server that gives these answers one after the other; an empty one closes the connection.
async fn server(answers: Vec<String>) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut stream: Option<TcpStream> = None;
        for answer in answers {
            let mut open = match stream.take() {
                Some(open) => open,
                None => listener.accept().await.unwrap().0,
            };
            let Some(request) = serve_one(&mut open, &answer).await else {
                return;
            };
            tell.send(request).unwrap();
            stream = (!answer.is_empty()).then_some(open);
        }
    });
    (url, seen)
}

#[tokio::test]
async fn a_call_sends_json_and_reads_json() {
    let (url, mut seen) = server(vec![answer(200, "", &json!({ "Group": 5 }))]).await;
    let request = json!({ "GroupName": "g" });
    let result: Value = client(&url, None)
        .call(Operation::GetGroup, &request)
        .await
        .unwrap();
    assert_eq!(result, json!({ "Group": 5 }));
    let (head, body) = seen.recv().await.unwrap();
    assert!(head.starts_with("post /getgroup http/1.1"), "{head}");
    assert!(head.contains("content-type: application/json") && !head.contains("authorization"));
    assert_eq!(body, request.to_string());
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code() {
    let refusal = json!({ "__type": "InvalidRequestException", "Message": "no\u{1b}" });
    let (url, _seen) = server(vec![answer(400, "", &refusal)]).await;
    let result: Result<Value, _> = client(&url, None)
        .call(Operation::GetGroups, &json!({}))
        .await;
    let error = result.unwrap_err();
    assert!(error.is_refusal("InvalidRequestException"), "{error}");
    assert!(error.to_string().ends_with("no\u{fffd}"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_result_makes_no_sense() {
    let (url, _seen) = server(vec![answer(200, "", &json!([]))]).await;
    let result: Result<Summary, _> = client(&url, None)
        .call(Operation::GetGroups, &json!({}))
        .await;
    assert!(matches!(result, Err(CallError::Nonsense(_))), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_room_is_asked_again() {
    let throttled = json!({ "__type": "ThrottledException" });
    let answers = vec![
        answer(429, "retry-after: 2\r\n", &throttled),
        answer(400, "", &throttled),
        answer(200, "", &json!({})),
    ];
    let (url, mut seen) = server(answers).await;
    let client = client(&url, None);
    let begun = Instant::now();
    let result: Value = client
        .call(Operation::CreateGroup, &json!({}))
        .await
        .unwrap();
    assert_eq!(result, json!({}));
    assert!(begun.elapsed() >= Duration::from_secs(2));
    for _ in 0..3 {
        assert!(seen.recv().await.is_some());
    }
}

#[tokio::test]
async fn a_read_is_done_again_when_a_server_that_answered_fails() {
    let answers = vec![
        answer(200, "", &json!({})),
        String::new(),
        answer(503, "", &json!({})),
        answer(200, "", &json!({ "Groups": [] })),
    ];
    let (url, _seen) = server(answers).await;
    let client = client(&url, None);
    let call = async || client.call::<Value>(Operation::GetGroups, &json!({})).await;
    assert_eq!(call().await.unwrap(), json!({}));
    assert_eq!(call().await.unwrap(), json!({ "Groups": [] }));
}

#[tokio::test]
async fn what_changes_something_is_not_done_twice() {
    let answers = vec![answer(200, "", &json!({})), answer(500, "", &json!({}))];
    let (url, _seen) = server(answers).await;
    let client = client(&url, None);
    let call = async || {
        client
            .call::<Value>(Operation::CreateGroup, &json!({}))
            .await
    };
    assert!(call().await.is_ok());
    let error = call().await.unwrap_err();
    assert!(
        matches!(error, CallError::Refused { status: 500, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let result: Result<Value, _> = client(&address, None)
        .call(Operation::GetGroups, &json!({}))
        .await;
    let error = result.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn summaries_come_from_every_page() {
    let summary = |id: &str| json!({ "Id": id });
    let answers = vec![
        answer(
            200,
            "",
            &json!({ "TraceSummaries": [summary("a")], "NextToken": "t" }),
        ),
        answer(200, "", &json!({ "TraceSummaries": [], "NextToken": "u" })),
        answer(
            200,
            "",
            &json!({ "TraceSummaries": [summary("b")], "NextToken": null }),
        ),
    ];
    let (url, mut seen) = server(answers).await;
    let window = Window {
        from: Timestamp::from_secs(1),
        to: Timestamp::from_secs(2),
    };
    let mut summaries = client(&url, None).summaries(window, Some("fault"));
    let mut ids = Vec::new();
    while let Some(summary) = summaries.next().await.unwrap() {
        ids.push(summary.id);
    }
    assert_eq!(ids, ["a", "b"]);
    let mut body = async || -> Value {
        let (_, body) = seen.recv().await.unwrap();
        serde_json::from_str(&body).unwrap()
    };
    let first = json!({ "StartTime": 1.0, "EndTime": 2.0, "FilterExpression": "fault" });
    assert_eq!(body().await, first);
    assert_eq!(body().await["NextToken"], "t");
    assert_eq!(body().await["NextToken"], "u");
}

#[tokio::test]
async fn traces_are_asked_for_in_portions_and_joined_over_pages() {
    let trace = |id: &str, segment: &str| json!({ "Id": id, "Segments": [{ "Id": segment, "Document": "{}" }] });
    let answers = vec![
        answer(
            200,
            "",
            &json!({ "Traces": [trace("1", "a")], "NextToken": "t" }),
        ),
        answer(
            200,
            "",
            &json!({ "Traces": [trace("1", "b")], "UnprocessedTraceIds": ["2"] }),
        ),
        answer(200, "", &json!({ "Traces": [trace("6", "c")] })),
    ];
    let (url, mut seen) = server(answers).await;
    let ids: Vec<String> = (1..=6).map(|id| id.to_string()).collect();
    let batch = client(&url, None).batch_get(&ids).await.unwrap();
    let found: Vec<_> = batch
        .traces
        .iter()
        .map(|trace| (trace.id.as_str(), trace.segments.len()))
        .collect();
    assert_eq!(found, [("1", 2), ("6", 1)]);
    assert_eq!(batch.unprocessed, ["2"]);
    let (_, first) = seen.recv().await.unwrap();
    assert_eq!(first, r#"{"TraceIds":["1","2","3","4","5"]}"#);
}

#[tokio::test]
async fn https_is_spoken_to_whom_the_file_of_certificates_trusts() {
    use rustls_pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, crypto};

    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                serve_one(&mut stream, &answer(200, "", &json!({}))).await;
            }
        }
    });
    let url = format!("https://localhost:{port}");
    let call = async |client: Client| client.call::<Value>(Operation::GetGroups, &json!({})).await;
    assert_eq!(call(client(&url, Some(file))).await.unwrap(), json!({}));
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let stranger = folder.path().join("other.pem");
    std::fs::write(&stranger, other.cert.pem()).unwrap();
    let error = call(client(&url, Some(stranger))).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn pages_of_any_list_are_joined() {
    let answers = vec![
        answer(200, "", &json!({ "Groups": [1, 2], "NextToken": "t" })),
        answer(200, "", &json!({ "Groups": null, "NextToken": "u" })),
        answer(200, "", &json!({ "Groups": [3] })),
    ];
    let (url, mut seen) = server(answers).await;
    let request = Window {
        from: Timestamp::from_secs(1),
        to: Timestamp::from_secs(2),
    };
    let groups: Vec<u32> = client(&url, None)
        .all(Operation::GetGroups, request.members(), "Groups")
        .await
        .unwrap();
    assert_eq!(groups, [1, 2, 3]);
    for token in [Value::Null, json!("t"), json!("u")] {
        let (_, body) = seen.recv().await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&body["StartTime"], &body["NextToken"]),
            (&json!(1.0), &token)
        );
    }
}

#[tokio::test]
async fn a_stream_is_read_as_it_comes_and_told_when_it_breaks_off() {
    let streamed = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n";
    let (url, _seen) = server(vec![streamed.to_owned()]).await;
    let client = client(&url, None);
    let request = Request::get(client.url("/x")).body(Bytes::new()).unwrap();
    let mut stream = client.stream(request).await.unwrap();
    let patience = Duration::from_mins(1);
    assert_eq!(stream.next(patience).await.unwrap().unwrap(), "ab");
    let end = stream.next(patience).await;
    assert!(matches!(end, Err(CallError::Unreachable { .. })), "{end:?}");
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_read_as_a_whole() {
    let (url, _seen) = server(vec![answer(404, "", &json!({ "__type": "A" }))]).await;
    let client = client(&url, None);
    let request = Request::get(client.url("/x")).body(Bytes::new()).unwrap();
    let reply = client.stream(request).await.unwrap().whole().await.unwrap();
    assert_eq!(
        (reply.status, reply.error().0),
        (StatusCode::NOT_FOUND, "A".to_owned())
    );
}
