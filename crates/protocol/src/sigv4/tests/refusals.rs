//! Every way a signature can be refused, in the words that are sent.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::reference::Plan;
use super::*;
use crate::ApiError;

const NOW: &str = "20150830T123600Z";

fn check_error(request: &(Parts, Bytes), code: &str, message: &str) {
    let error = accept(request, Some(KEY), SCOPE, time(NOW)).unwrap_err();
    let error = ApiError::from(error);
    assert_eq!((error.code(), error.message()), (code, message));
}

/// Signs a request, lets a change be made to it, and checks what it is refused with.
fn check(change: impl FnOnce(&mut Parts), code: &str, message: &str) {
    let mut request = Plan::default().sign();
    change(&mut request.0);
    check_error(&request, code, message);
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(
        HeaderName::from_static(name),
        HeaderValue::from_str(value).unwrap(),
    );
}

/// Replaces a part of the header that signs.
fn check_authorization(from: &str, to: &str, code: &str, message: &str) {
    let change = |parts: &mut Parts| {
        let text = parts.headers["authorization"].to_str().unwrap().to_owned();
        assert!(text.contains(from), "{text}");
        set(
            &mut parts.headers,
            "authorization",
            &text.replacen(from, to, 1),
        );
    };
    check(change, code, message);
}

const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details. (An access key id this server does not know is answered the same.)";

#[test]
fn what_is_not_signed_presents_nothing() {
    let plain = Request::builder()
        .uri("/a?x-amz-signature=1")
        .body(Bytes::new());
    let plain = plain.unwrap().into_parts();
    assert_eq!(read(&plain.0), Ok(Presented::Nothing));
    let code = "MissingAuthenticationTokenException";
    check_error(&plain, code, "Missing Authentication Token");
}

#[test]
fn other_ways_of_signing_are_refused() {
    for (name, shown) in [
        ("AWS4-ECDSA-P256-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA1", "AWS4-HMAC-SHA1"),
        ("aws4-hmac-sha256", "aws4-hmac-sha256"),
        ("AWS", "AWS"),
        ("Bearer", "Bearer"),
        ("", ""),
        (
            &"A".repeat(41),
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA...",
        ),
    ] {
        let message = format!(
            "Unsupported AWS 'algorithm': '{shown}'. Requests are signed with AWS4-HMAC-SHA256."
        );
        check_authorization("AWS4-HMAC-SHA256", name, INCOMPLETE, &message);
    }
}

#[test]
fn a_header_without_all_its_parts_is_refused() {
    let missing = "Authorization header requires 'Credential' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires 'Signature' parameter.";
    let equal = "The Authorization header has a part that is not a valid key=value pair (missing equal-sign).";
    check(
        |parts| set(&mut parts.headers, "authorization", "AWS4-HMAC-SHA256"),
        INCOMPLETE,
        equal,
    );
    let other = "The Authorization header has 'a' twice, or it is no parameter of it.";
    check_authorization("Credential=", "a=", INCOMPLETE, other);
    let twice = "The Authorization header has 'Credential' twice, or it is no parameter of it.";
    check_authorization("SignedHeaders=", "Credential=", INCOMPLETE, twice);
    check_authorization(", Signed", ", , Signed", INCOMPLETE, equal);
    check_authorization(
        "Credential=",
        "Credential= ",
        INCOMPLETE,
        "Credential must name a key, a region and a service, each of at most 128 letters, digits and signs.",
    );
    for (idx, one) in missing.split_inclusive(". ").enumerate() {
        let change = |parts: &mut Parts| {
            let text = parts.headers["authorization"].to_str().unwrap();
            let (algorithm, rest) = text.split_once(' ').unwrap();
            let mut pieces: Vec<_> = rest.split(", ").collect();
            pieces.remove(idx);
            let text = format!("{algorithm} {}", pieces.join(", "));
            set(&mut parts.headers, "authorization", &text);
        };
        check(change, INCOMPLETE, one.trim_end());
    }
    let hex = "Signature must be 64 lowercase hexadecimal digits.";
    check_authorization("Signature=", "Signature=A", INCOMPLETE, hex);
    check_authorization("Signature=", "Signature=00", INCOMPLETE, hex);
}

#[test]
fn a_scope_that_does_not_fit_is_refused() {
    let five = "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.";
    check_authorization("AKIDEXAMPLE/", "", INCOMPLETE, five);
    let names = "Credential must name a key, a region and a service, each of at most 128 letters, digits and signs.";
    check_authorization("AKIDEXAMPLE/", "/", INCOMPLETE, names);
    check_authorization(
        "AKIDEXAMPLE/",
        &format!("{}/", "A".repeat(129)),
        INCOMPLETE,
        names,
    );
    check_authorization("/us-east-1/", "//", INCOMPLETE, names);
    check_authorization("/xray/", "//", INCOMPLETE, names);
    let service = "Credential should be scoped to correct service: 'xray'.";
    check_authorization("/xray/", "/s3/", INVALID, service);
    let terminator = "Credential should be scoped with a valid terminator: 'aws4_request'.";
    check_authorization("aws4_request", "aws4", INVALID, terminator);
    let date = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150829' != '20150830', from '20150830T123600Z'.";
    check_authorization("20150830", "20150829", INVALID, date);
    check_authorization("us-east-1", "us-east-2", INVALID, MISMATCH);
    check_authorization("AKIDEXAMPLE", "AKIDOTHER", INVALID, MISMATCH);
}

#[test]
fn the_list_of_signed_headers_is_in_order_and_names_what_is_there() {
    let list = "SignedHeaders must be at most 100 lowercase names of headers in ascending order, each once.";
    check_authorization("host;x-amz-date", "x-amz-date;host", INCOMPLETE, list);
    check_authorization("host;", "host;host;", INCOMPLETE, list);
    check_authorization("host;", "Host;", INCOMPLETE, list);
    check_authorization("host;", ";host;", INCOMPLETE, list);
    check_authorization("host;", "host;i i;", INCOMPLETE, list);
    let many: Vec<_> = (100..199).map(|n| format!("h{n};")).collect();
    let many = many.concat();
    check_authorization("host;", &format!("{many}host;"), INCOMPLETE, list);
    let absent = "'h' is named as a SignedHeader, but it does not exist in the HTTP request.";
    check_authorization("host;", "h;host;", INCOMPLETE, absent);
    let host = "'host' must be a 'SignedHeader' in the AWS Authorization.";
    check_authorization("host;", "", INVALID, host);
    let date = "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization.";
    check_authorization("host;x-amz-date", "host", INVALID, date);
    let target = "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.";
    check(
        |parts| set(&mut parts.headers, "x-amz-target", "X.Y"),
        INVALID,
        target,
    );
    let agent = "'x-amz-user-agent' must be a 'SignedHeader' in the AWS Authorization.";
    check(
        |parts| set(&mut parts.headers, "x-amz-user-agent", "a"),
        INVALID,
        agent,
    );
    let no_host = "'host' is named as a SignedHeader, but it does not exist in the HTTP request.";
    check(
        |parts| drop(parts.headers.remove("host")),
        INCOMPLETE,
        no_host,
    );
    let hosts = "The request names more than one 'Host'.";
    let add = |parts: &mut Parts| {
        parts
            .headers
            .append("host", HeaderValue::from_static("xray.example:2000"));
    };
    check(add, INCOMPLETE, hosts);
    let other = |parts: &mut Parts| {
        parts.uri = Uri::from_static("http://other.example/TraceSegments");
    };
    check(other, INCOMPLETE, hosts);
}

/// Found by fuzzing: a refusal was as long as the names of headers, of which a request may have 64 kB.
#[test]
fn refusals_show_the_beginning_of_a_name() {
    let long = format!("x-amz-{}", "a".repeat(2000));
    let shown = format!("x-amz-{}...", "a".repeat(58));
    let add = |parts: &mut Parts| {
        let name = HeaderName::from_bytes(long.as_bytes()).unwrap();
        parts.headers.insert(name, HeaderValue::from_static("1"));
    };
    let unsigned = format!("'{shown}' must be a 'SignedHeader' in the AWS Authorization.");
    check(add, INVALID, &unsigned);
    let absent =
        format!("'{shown}' is named as a SignedHeader, but it does not exist in the HTTP request.");
    let names = format!("host;{long};x-amz-date");
    check_authorization("host;x-amz-date", &names, INCOMPLETE, &absent);
}

#[test]
fn headers_that_others_add_may_be_unsigned() {
    let mut request = Plan::default().sign();
    for name in [
        "x-amzn-trace-id",
        "x-amzn-xray-timestamp",
        "x-amz-cf-id",
        "user-agent",
        "amz-sdk-request",
    ] {
        set(&mut request.0.headers, name, "any");
    }
    request.0.uri = Uri::from_static("http://XRAY.example:2000/TraceSegments");
    assert!(accept(&request, Some(KEY), SCOPE, time(NOW)).is_ok());
    let plan = Plan {
        in_query: true,
        ..Plan::default()
    };
    let mut request = plan.sign();
    set(&mut request.0.headers, "x-amz-user-agent", "a");
    set(&mut request.0.headers, "x-amz-checksum-mode", "a");
    assert!(accept(&request, Some(KEY), SCOPE, time(NOW)).is_ok());
}

#[test]
fn headers_that_decide_are_there_once() {
    for name in [
        "authorization",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ] {
        let twice = |parts: &mut Parts| {
            let value = parts.headers.get(name).cloned();
            let value = value.unwrap_or(HeaderValue::from_static("a"));
            parts.headers.insert(name, value.clone());
            parts.headers.append(name, value);
        };
        let message = format!("The header '{name}' may be there only once.");
        check(twice, INCOMPLETE, &message);
        let unreadable = format!("The value of the header '{name}' is too long or not plain text.");
        let binary = |parts: &mut Parts| {
            let value = HeaderValue::from_bytes(b"\xff").unwrap();
            parts.headers.insert(name, value);
        };
        check(binary, INCOMPLETE, &unreadable);
        let long = |parts: &mut Parts| set(&mut parts.headers, name, &"a".repeat(8193));
        check(long, INCOMPLETE, &unreadable);
    }
}

#[test]
fn a_request_says_when_it_was_signed() {
    let none =
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
    check(
        |parts| drop(parts.headers.remove("x-amz-date")),
        INCOMPLETE,
        none,
    );
    let bad = "Date must be in ISO-8601 'basic format'. Got '2015-08-30T12:36:00Z'.";
    let change = |parts: &mut Parts| set(&mut parts.headers, "x-amz-date", "2015-08-30T12:36:00Z");
    check(change, INCOMPLETE, bad);
    let change = |parts: &mut Parts| {
        parts.headers.remove("x-amz-date");
        set(&mut parts.headers, "date", "yesterday");
    };
    check(
        change,
        INCOMPLETE,
        "Date must be in ISO-8601 'basic format'. Got 'yesterday'.",
    );
}

/// Signs with the header `Date` in the place of `X-Amz-Date`, which no reference does.
fn check_date(date: &str) {
    let request = |signature: &str| {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/xray/aws4_request,SignedHeaders=date;host,Signature={signature}"
        );
        let request = Request::builder().uri("/Groups").header("host", "h");
        let request = request
            .header("date", date)
            .header("authorization", authorization);
        request.body(Bytes::new()).unwrap().into_parts()
    };
    let empty = mac::sha256_hex(b"");
    let canonical = format!("GET\n/Groups\n\ndate:{date}\nhost:h\n\ndate;host\n{empty}");
    let digest = mac::sha256_hex(canonical.as_bytes());
    let text = format!("AWS4-HMAC-SHA256\n{NOW}\n20150830/us-east-1/xray/aws4_request\n{digest}");
    let key = SigningKey::derive(SECRET, "20150830", "us-east-1", "xray");
    let signed = request(&mac::hex(&key.code(text.as_bytes())));
    assert_eq!(
        accept(&signed, Some(KEY), SCOPE, time(NOW)),
        Ok(Bytes::new())
    );
}

#[test]
fn the_plain_header_of_the_time_does_too() {
    check_date("Sun, 30 Aug 2015 12:36:00 GMT");
    check_date("20150830T123600Z");
}

fn check_time(in_query: bool, now: &str, expected: Result<(), &str>) {
    let plan = Plan {
        in_query,
        ..Plan::default()
    };
    let accepted = accept(&plan.sign(), Some(KEY), SCOPE, time(now));
    let accepted = accepted.map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(accepted, expected.map_err(str::to_owned), "{now}");
}

#[test]
fn signatures_are_good_for_some_time() {
    for in_query in [false, true] {
        check_time(in_query, "20150830T123600Z", Ok(()));
        check_time(in_query, "20150830T123100Z", Ok(()));
        check_time(
            in_query,
            "20150830T123059Z",
            Err(
                "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)",
            ),
        );
    }
    check_time(false, "20150830T124100Z", Ok(()));
    check_time(
        false,
        "20150830T124101Z",
        Err(
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)",
        ),
    );
    check_time(true, "20150830T123700Z", Ok(()));
    check_time(
        true,
        "20150830T123701Z",
        Err(
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T123701Z - 1 min.)",
        ),
    );
    check_time(
        false,
        "25500101T000000Z",
        Err(
            "Signature expired: 20150830T123600Z is now earlier than 25491231T235500Z (25500101T000000Z - 5 min.)",
        ),
    );
}

/// Replaces a part of the query that signs.
fn check_query(from: &str, to: &str, code: &str, message: &str) {
    let plan = Plan {
        in_query: true,
        ..Plan::default()
    };
    let mut request = plan.sign();
    let target = request.0.uri.to_string();
    assert!(target.contains(from), "{target}");
    request.0.uri = target.replacen(from, to, 1).parse().unwrap();
    check_error(&request, code, message);
}

#[test]
fn a_query_without_all_its_parts_is_refused() {
    for name in [
        "Algorithm",
        "Credential",
        "Date",
        "Expires",
        "SignedHeaders",
        "Signature",
    ] {
        let name = format!("X-Amz-{name}");
        let missing = format!("AWS query-string parameters must include '{name}'.");
        check_query(&format!("{name}="), "a=", INCOMPLETE, &missing);
        let twice = format!("'{name}' may be in the query once, as plain text.");
        check_query("?", &format!("?{name}=a&"), INCOMPLETE, &twice);
        check_query(
            &format!("{name}="),
            &format!("{name}=%ff"),
            INCOMPLETE,
            &twice,
        );
    }
    let twice = "'X-Amz-Security-Token' may be in the query once, as plain text.";
    check_query(
        "?",
        "?X-Amz-Security-Token=a&X-Amz-Security-Token=a&",
        INCOMPLETE,
        twice,
    );
    let expires = "'X-Amz-Expires' must be a number of seconds from 1 to 604800.";
    for value in [
        "0",
        "604801",
        "-1",
        "%2B1",
        "",
        "1.5",
        "99999999999999999999",
    ] {
        let value = format!("Expires={value}");
        check_query("Expires=60", &value, INCOMPLETE, expires);
    }
    check_query("Expires=60", "Expires=604800", INVALID, MISMATCH);
    let algorithm = "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'. Requests are signed with AWS4-HMAC-SHA256.";
    check_query(
        "AWS4-HMAC-SHA256",
        "AWS4-ECDSA-P256-SHA256",
        INCOMPLETE,
        algorithm,
    );
    let date = "Date must be in ISO-8601 'basic format'. Got '20150830'.";
    check_query("20150830T123600Z", "20150830", INCOMPLETE, date);
    let both = "A request is signed in its 'Authorization' header or in its query, not in both.";
    check(
        |parts| parts.uri = Uri::from_static("/TraceSegments?X-Amz-Signature=1"),
        INCOMPLETE,
        both,
    );
}

#[test]
fn what_is_signed_is_bounded() {
    let long = format!("/{}", "a".repeat(16 * 1024));
    let message = "A signed request may have at most 16384 bytes in its path and query.";
    check(
        |parts| parts.uri = long.parse().unwrap(),
        INCOMPLETE,
        message,
    );
    let mut plan = Plan::default();
    let value = "a".repeat(7000);
    plan.headers = (0..10).map(|n| (format!("h-{n}"), value.clone())).collect();
    let message = "The signed headers may have at most 65536 bytes.";
    check_error(&plan.sign(), INCOMPLETE, message);
}

fn check_payload(value: &str, code: &str, message: &str) {
    let plan = Plan {
        gives_hash: true,
        ..Plan::default()
    };
    let mut request = plan.sign();
    set(&mut request.0.headers, "x-amz-content-sha256", value);
    check_error(&request, code, message);
}

#[test]
fn the_hash_of_the_body_is_that_of_the_body() {
    let kinds = "'x-amz-content-sha256' must be a SHA-256 in lowercase hexadecimal digits, UNSIGNED-PAYLOAD, or one of the STREAMING forms of AWS4-HMAC-SHA256.";
    for value in [
        "",
        "unsigned-payload",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-EVENTS",
        "44136FA355B3678A1146AD16F7E8649E94FB4FC21FE77E8310C060F61CAAFF8A",
    ] {
        check_payload(value, INCOMPLETE, kinds);
    }
    let other = mac::sha256_hex(b"other");
    let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    check_payload(&other, INVALID, message);
    // It was signed as the hash of the body.
    check_payload("UNSIGNED-PAYLOAD", INVALID, MISMATCH);
    let added = |parts: &mut Parts| {
        let digest = mac::sha256_hex(b"{}");
        set(&mut parts.headers, "x-amz-content-sha256", &digest);
    };
    let unsigned = "'x-amz-content-sha256' must be a 'SignedHeader' in the AWS Authorization.";
    check(added, INVALID, unsigned);
}

#[test]
fn an_unknown_key_and_a_wrong_secret_are_answered_the_same() {
    let request = Plan::default().sign();
    let answer = |key| {
        let error = accept(&request, key, SCOPE, time(NOW)).unwrap_err();
        ApiError::from(error)
    };
    let wrong = answer(Some(Key {
        secret: "other",
        session_token: None,
    }));
    let unknown = answer(None);
    let lent = answer(Some(Key {
        secret: "other",
        session_token: Some("token"),
    }));
    for error in [&wrong, &unknown, &lent] {
        assert_eq!((error.code(), error.message()), (INVALID, MISMATCH));
        assert_eq!(error.status(), 403);
    }
    let not_its = Some("the signature is not one of key AKIDEXAMPLE");
    assert_eq!(wrong.logged(), not_its);
    assert_eq!(unknown.logged(), Some("key AKIDEXAMPLE is not known"));
}

/// Who signs with the secret that stands in for one, which is no secret, is not believed.
#[test]
fn the_secret_of_nobody_opens_nothing() {
    let request = Plan::default().sign();
    let mut parts = request.0;
    let claim = claim_of(&parts);
    let payload = mac::sha256_hex(&request.1);
    let requests = canonical::requests(&claim, &parts, &payload).unwrap();
    let text = canonical::string_to_sign(&claim, &requests[0]);
    let key = SigningKey::derive(SECRET_OF_NOBODY, "20150830", "us-east-1", "xray");
    let signature = mac::hex(&key.code(text.as_bytes()));
    let authorization = parts.headers["authorization"].to_str().unwrap();
    let authorization = authorization.replace(&mac::hex(&claim.signature), &signature);
    set(&mut parts.headers, "authorization", &authorization);
    let nobody = Key {
        secret: SECRET_OF_NOBODY,
        session_token: None,
    };
    let request = (parts, request.1);
    assert!(accept(&request, Some(nobody), SCOPE, time(NOW)).is_ok());
    let error = accept(&request, None, SCOPE, time(NOW)).unwrap_err();
    assert_eq!(error.to_string(), MISMATCH);
}

fn check_token(sent: Option<&str>, token: Option<&str>, is_accepted: bool) {
    for (in_query, signs_token) in [(false, false), (false, true), (true, false), (true, true)] {
        let plan = Plan {
            session_token: sent.map(str::to_owned),
            in_query,
            signs_token,
            ..Plan::default()
        };
        let key = Key {
            session_token: token,
            ..KEY
        };
        let accepted = accept(&plan.sign(), Some(key), SCOPE, time(NOW));
        match accepted.map_err(ApiError::from) {
            Ok(_) => assert!(is_accepted, "{sent:?} {token:?}"),
            Err(error) => {
                assert!(!is_accepted, "{sent:?} {token:?}");
                assert_eq!(error.code(), "UnrecognizedClientException");
                let message = "The security token included in the request is invalid.";
                assert_eq!(error.message(), message);
                assert!(!format!("{error:?}").contains("token-"), "{error:?}");
            }
        }
    }
}

#[test]
fn a_session_token_is_the_one_of_the_key() {
    check_token(None, None, true);
    check_token(Some("token-a"), Some("token-a"), true);
    check_token(Some("token-a"), Some("token-b"), false);
    check_token(Some("token-a"), Some("token-ab"), false);
    check_token(Some("token-a"), None, false);
    check_token(None, Some("token-a"), false);
}

#[test]
fn a_region_that_is_not_the_keys_is_named() {
    let error = AuthError::Region {
        region: "eu-west-9".to_owned(),
    };
    let error = ApiError::from(error);
    assert_eq!(error.code(), INVALID);
    let message = "Credential should be scoped to a valid region, not 'eu-west-9'.";
    assert_eq!(error.message(), message);
}

#[test]
fn a_body_that_is_no_chunks_is_a_bad_request() {
    let error = ApiError::from(AuthError::Chunks("a chunk has no head"));
    assert_eq!(error.code(), "InvalidRequestException");
    assert_eq!(error.status(), 400);
}

#[test]
fn what_is_shown_of_a_claim_has_no_secrets() {
    let plan = Plan {
        session_token: Some("token-a".to_owned()),
        ..Plan::default()
    };
    let claim = claim_of(&plan.sign().0);
    let shown = format!("{claim:?}");
    assert!(shown.contains("AKIDEXAMPLE"), "{shown}");
    assert!(!shown.contains("token-a"), "{shown}");
    assert!(!shown.contains(&mac::hex(&claim.signature)), "{shown}");
    assert!(
        !shown.contains(&format!("{:?}", claim.signature)),
        "{shown}"
    );
}
