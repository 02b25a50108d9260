//! What the reference signer, the crate `aws-sigv4`, signs is accepted, and nothing else of it.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
    SignatureLocation, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::HeaderValue;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// What is signed, and how.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of the signer, and all combinations are tried"
)]
pub(super) struct Plan {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) session_token: Option<String>,
    pub(super) signs_token: bool,
    pub(super) in_query: bool,
    pub(super) as_s3: bool,
    pub(super) gives_hash: bool,
    pub(super) is_unsigned: bool,
    pub(super) says_host: bool,
    pub(super) secs: u64,
    pub(super) service: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            method: "POST",
            target: "/TraceSegments".to_owned(),
            headers: Vec::new(),
            body: b"{}".to_vec(),
            session_token: None,
            signs_token: true,
            in_query: false,
            as_s3: false,
            gives_hash: false,
            is_unsigned: false,
            says_host: true,
            secs: 1_440_938_160,
            service: "xray",
        }
    }
}

impl Plan {
    pub(super) fn key(&self) -> Key<'_> {
        Key {
            session_token: self.session_token.as_deref(),
            ..KEY
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.secs)
    }

    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(Duration::from_mins(1));
        if self.in_query {
            settings.signature_location = SignatureLocation::QueryParams;
        }
        if self.as_s3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        if self.gives_hash || self.is_unsigned {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if !self.signs_token {
            settings.session_token_mode = SessionTokenMode::Exclude;
        }
        settings
    }

    /// Returns the signed request as a server receives it.
    pub(super) fn sign(&self) -> (Parts, Bytes) {
        let token = self.session_token.clone();
        let identity = Credentials::new("AKIDEXAMPLE", SECRET, token, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(self.secs))
            .settings(self.settings())
            .build()
            .unwrap()
            .into();
        let url = format!("http://xray.example:2000{}", self.target);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let body = if self.is_unsigned {
            SignableBody::UnsignedPayload
        } else {
            SignableBody::Bytes(&self.body)
        };
        let signable = SignableRequest::new(self.method, &url, headers, body).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = Request::builder().method(self.method).uri(&url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Bytes::from(self.body.clone())).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        if self.says_host {
            let host = HeaderValue::from_static("xray.example:2000");
            request.headers_mut().insert("host", host);
            let target = request.uri().path_and_query().unwrap().as_str();
            *request.uri_mut() = target.parse().unwrap();
        }
        request.into_parts()
    }

    fn accept(&self, request: &(Parts, Bytes)) -> Result<Bytes, AuthError> {
        accept(request, Some(self.key()), SCOPE, self.now())
    }
}

/// One thing that is made otherwise than it was signed.
#[derive(Clone, Debug)]
enum Change {
    Method,
    Path,
    Query,
    Host,
    HeaderValue,
    HeaderGone,
    HeaderAdded,
    Body,
    Signature(Index),
    Secret,
    Token,
}

impl Change {
    fn make(&self, plan: &mut Plan, (parts, body): &mut (Parts, Bytes)) {
        let target = parts.uri.to_string();
        match self {
            Self::Method => parts.method = http::Method::PATCH,
            Self::Path => {
                let (path, query) = (parts.uri.path(), parts.uri.query());
                let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                let origin = target.strip_suffix(&format!("{path}{query}")).unwrap();
                parts.uri = format!("{origin}{path}x{query}").parse().unwrap();
            }
            Self::Query => {
                let mark = if target.contains('?') { '&' } else { '?' };
                parts.uri = format!("{target}{mark}q=1").parse().unwrap();
            }
            Self::Host => {
                parts.uri = parts
                    .uri
                    .path_and_query()
                    .unwrap()
                    .as_str()
                    .parse()
                    .unwrap();
                let other = HeaderValue::from_static("xray.example:2001");
                parts.headers.insert("host", other);
            }
            Self::HeaderValue => {
                let value = parts.headers.get_mut("h-always").unwrap();
                *value = HeaderValue::from_static("other");
            }
            Self::HeaderGone => {
                parts.headers.remove("h-always");
            }
            Self::HeaderAdded => {
                let value = HeaderValue::from_static("1");
                parts.headers.insert("x-amz-target", value);
            }
            Self::Body => *body = [body, &b"!"[..]].concat().into(),
            Self::Signature(at) => change_signature(parts, *at),
            Self::Secret | Self::Token => plan.session_token = Some("other".to_owned()),
        }
    }
}

fn change_signature(parts: &mut Parts, at: Index) {
    let signature = mac::hex(&claim_of(parts).signature);
    let at = at.index(signature.len());
    let digit = if signature[at..].starts_with('0') {
        "1"
    } else {
        "0"
    };
    let other = format!("{}{digit}{}", &signature[..at], &signature[at + 1..]);
    parts.uri = parts
        .uri
        .to_string()
        .replace(&signature, &other)
        .parse()
        .unwrap();
    if let Some(value) = parts.headers.get_mut("authorization") {
        let text = value.to_str().unwrap().replace(&signature, &other);
        *value = text.parse().unwrap();
    }
}

prop_compose! {
    fn plans()(
        method in select(vec!["GET", "POST", "PUT", "DELETE", "HEAD"]),
        path in "(/([a-zA-Z0-9._~:@!$&'()*+,;=-]|%[2-7][0-9A-F]|%C3%A9){0,6}){1,4}",
        query in "(\\?([a-z](=([a-zA-Z0-9._~:@!$'()*,;/?+-]|%[2-7][0-9A-F]|%C3%A9){0,6})?&?){0,4})?",
        always in "[!-~]([ -~]{0,20}[!-~])?",
        headers in prop::collection::vec(("(h-[a-z]{1,3}|x-amz-[a-b]{1,2}|content-type)", "[!-~]([ -~]{0,20}[!-~])?"), 0..4),
        body in prop::collection::vec(any::<u8>(), 0..200),
        session_token in prop::option::of("[a-zA-Z0-9/+=]{1,100}"),
        flags: [bool; 6],
        secs in 1_000_000_000..2_000_000_000_u64,
    ) -> Plan {
        let mut headers = headers;
        headers.push(("h-always".to_owned(), always));
        let [signs_token, in_query, as_s3, gives_hash, is_unsigned, says_host] = flags;
        // A signed query does not say that its body is not signed: the reference leaves that to the caller.
        let is_unsigned = is_unsigned && !in_query;
        Plan {
            method, target: format!("{path}{query}"), headers, body, session_token, signs_token,
            in_query, as_s3, gives_hash, is_unsigned, says_host, secs, service: "xray",
        }
    }
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Method),
        Just(Change::Path),
        Just(Change::Query),
        Just(Change::Host),
        Just(Change::HeaderValue),
        Just(Change::HeaderGone),
        Just(Change::HeaderAdded),
        Just(Change::Body),
        any::<Index>().prop_map(Change::Signature),
        Just(Change::Secret),
        Just(Change::Token),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_the_reference_signs_is_accepted(plan in plans()) {
        let request = plan.sign();
        prop_assert_eq!(plan.accept(&request), Ok(request.1.clone()), "{:?}", request.0);
    }

    #[test]
    fn a_single_change_is_refused(plan in plans(), change in changes()) {
        let mut plan = plan;
        let mut request = plan.sign();
        if plan.is_unsigned && matches!(change, Change::Body) {
            return Ok(());
        }
        change.make(&mut plan, &mut request);
        let accepted = match change {
            Change::Secret => {
                let key = Key { secret: "other", session_token: None };
                accept(&request, Some(key), SCOPE, plan.now())
            }
            _ => plan.accept(&request),
        };
        prop_assert!(accepted.is_err(), "{:?}", request.0);
    }

    #[test]
    fn no_text_makes_it_panic(
        header in "(AWS4-HMAC-SHA256 )?((Credential|SignedHeaders|Signature)?=?[a-z0-9/;=]{0,20}[, ]?){0,4}",
        query in "(&?X-Amz-(Algorithm|Credential|Date|Expires|Signature|SignedHeaders)=[A-Z0-9a-z%/-]{0,20}){0,7}",
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        for value in [header.as_bytes(), &bytes] {
            let request = Request::builder().uri(format!("/a?{query}")).header("authorization", value);
            if let Ok(request) = request.body(Bytes::new()) {
                let request = request.into_parts();
                prop_assert!(accept(&request, Some(KEY), SCOPE, Timestamp::ZERO).is_err());
            }
        }
        let request = Request::builder().uri(format!("/a?{query}")).body(Bytes::new());
        let request = request.unwrap().into_parts();
        prop_assert!(accept(&request, Some(KEY), SCOPE, Timestamp::ZERO).is_err());
    }
}
