//! The published cases of AWS: see `tests/data/sigv4/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Context {
    credentials: Credentials,
    region: String,
    service: String,
    timestamp: String,
}

#[derive(Deserialize)]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
}

/// One case in one form.
struct Case {
    folder: PathBuf,
    form: &'static str,
}

impl Case {
    fn text(&self, what: &str) -> String {
        let path = self.folder.join(format!("{}-{what}.txt", self.form));
        let text = fs::read_to_string(&path);
        text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .trim()
            .to_owned()
    }

    fn context(&self) -> Context {
        let text = fs::read_to_string(self.folder.join("context.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn check(&self) {
        let context = self.context();
        let credentials = &context.credentials;
        let now = time(&context.timestamp.replace(['-', ':'], ""));
        let scope = Scope {
            service: &context.service,
            ..SCOPE
        };
        let key = Key {
            secret: &credentials.secret_access_key,
            session_token: credentials.token.as_deref(),
        };
        let signed = fs::read(
            self.folder
                .join(format!("{}-signed-request.txt", self.form)),
        );
        let signed = signed.unwrap();
        let (parts, body) = parse_request(&signed).unwrap();
        let claim = claim_of(&parts);
        assert_eq!(claim.access_key_id, credentials.access_key_id);
        assert_eq!(claim.region, context.region);
        assert_eq!(claim.signed_at, now);

        let expected = self.text("canonical-request");
        check_canonical(&claim, &parts, &body, &expected);
        let text = canonical::string_to_sign(&claim, expected.as_bytes());
        assert_eq!(text, self.text("string-to-sign"));
        let (date, region) = (claim.date(), &claim.region);
        let signing_key = SigningKey::derive(key.secret, &date, region, &claim.service);
        let signature = mac::hex(&signing_key.code(text.as_bytes()));
        assert_eq!(signature, self.text("signature"));
        assert_eq!(mac::hex(&claim.signature), signature);

        let accepted = accept(&(parts, body.clone()), Some(key), scope, now);
        assert_eq!(accepted, Ok(body));
        check_changes(&signed, &claim, &expected, key, scope, now);
    }
}

/// Checks that a canonical request is one of those that are tried. Whether the path of a case is normalised does not
/// matter: both ways are accepted.
fn check_canonical(claim: &Claim, parts: &Parts, body: &Bytes, expected: &str) {
    let payload = Payload::of(&parts.headers, body).unwrap();
    let requests = canonical::requests(claim, parts, payload.literal()).unwrap();
    let texts: Vec<_> = requests
        .iter()
        .map(|request| String::from_utf8_lossy(request))
        .collect();
    let is_tried = texts.iter().any(|text| text == expected);
    assert!(is_tried, "{expected}\nis none of\n{texts:#?}");
}

/// Changes each byte in turn: the request is refused, or it means what it meant before.
fn check_changes(
    signed: &[u8],
    claim: &Claim,
    canonical: &str,
    key: Key<'_>,
    scope: Scope<'_>,
    now: Timestamp,
) {
    let mut n_refused = 0;
    for byte_idx in 0..signed.len() {
        let mut changed = signed.to_vec();
        changed[byte_idx] ^= 1;
        let Some(request) = parse_request(&changed) else {
            continue;
        };
        match accept(&request, Some(key), scope, now) {
            Ok(body) => {
                let accepted = claim_of(&request.0);
                assert_eq!(&accepted, claim);
                check_canonical(&accepted, &request.0, &body, canonical);
            }
            Err(_) => n_refused += 1,
        }
    }
    assert!(n_refused > 100, "only {n_refused} changes were refused");
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sigv4");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

#[test]
fn every_case_of_aws_is_accepted_and_its_changes_are_not() {
    let mut n_checked = 0;
    for folder in cases() {
        if !folder.join("context.json").exists() {
            continue;
        }
        for form in ["header", "query"] {
            println!("{} {form}", folder.display());
            let folder = folder.clone();
            Case { folder, form }.check();
            n_checked += 1;
        }
    }
    assert_eq!(n_checked, 2 * 38);
    assert_eq!(cases().len(), 38 + 2);
}

fn check_bare(name: &str, secret: &str, service: &str, has_string_to_sign: bool) {
    let folder = cases().into_iter().find(|path| path.ends_with(name));
    let case = Case {
        folder: folder.unwrap(),
        form: "header",
    };
    let signed = case.text("signed-request");
    let request = parse_request(signed.as_bytes()).unwrap();
    let claim = claim_of(&request.0);
    // The time in one of the canonical forms is not that of its request.
    let expected = case.text("canonical-request");
    let expected = expected.replace("20210511T154045Z", &claim.timestamp());
    check_canonical(&claim, &request.0, &request.1, &expected);
    if has_string_to_sign {
        let text = canonical::string_to_sign(&claim, expected.as_bytes());
        assert_eq!(text, case.text("string-to-sign"));
    }
    let key = Key { secret, ..KEY };
    let scope = Scope { service, ..SCOPE };
    let now = claim.signed_at;
    assert!(accept(&request, Some(key), scope, now).is_ok());
    check_changes(signed.as_bytes(), &claim, &expected, key, scope, now);
}

#[test]
fn the_cases_without_context_are_accepted_too() {
    let for_tests = "notrealrnrELgWzOk3IfjzDKtFBhDby";
    check_bare("double-encode-path", for_tests, "service", false);
    check_bare("double-url-encode", SECRET, "lambda", true);
}
