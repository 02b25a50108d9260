//! What a request says of its signature, in its headers or in its query.

use std::fmt;
use std::time::Duration;

use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use model::Timestamp;

use super::calendar::{format_basic, parse_basic, parse_http};
use super::error::{AuthError, after};
use super::mac::{TERMINATOR, parse_hex};
use super::query;
use crate::error::excerpt;

/// What a request presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// No signature: the request comes from anybody.
    Nothing,
    /// A signature that is whole, and not yet believed.
    Signature(Claim),
}

/// A signature, and what it says it was made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The id of the key, at most 128 letters and digits.
    pub access_key_id: String,
    /// The region the signature is for.
    pub region: String,
    /// The service the signature is for.
    pub service: String,
    /// When the request was signed.
    pub signed_at: Timestamp,
    /// The token that comes with a key that is lent for some time.
    pub session_token: Option<String>,
    pub(super) form: Form,
    /// The names of what was signed, lowercase and ascending.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: [u8; 32],
}

/// Where a signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In the header `Authorization`.
    Header,
    /// In the query, and good for some time.
    Query { valid_for: Duration },
}

impl Claim {
    /// Returns when the request was signed, as it is written into what is signed.
    pub(super) fn timestamp(&self) -> String {
        format_basic(self.signed_at)
    }

    /// Returns what the key is derived for, with slashes between: day, region, service, terminator.
    pub(super) fn scope(&self) -> String {
        let (date, region, service) = (self.date(), &self.region, &self.service);
        format!("{date}/{region}/{service}/{TERMINATOR}")
    }

    /// Returns the day the request was signed on, as in `20150830`.
    pub(super) fn date(&self) -> String {
        self.timestamp().chars().take(8).collect()
    }

    /// Checks that the signature is for a service.
    pub(super) fn check_service(&self, service: &str) -> Result<(), AuthError> {
        if self.service == service {
            return Ok(());
        }
        Err(AuthError::Scope(format!(
            "Credential should be scoped to correct service: '{service}'."
        )))
    }

    /// Checks that the signature is good now.
    pub(super) fn check_time(&self, clock_skew: Duration, now: Timestamp) -> Result<(), AuthError> {
        let valid_for = match self.form {
            Form::Header => clock_skew,
            Form::Query { valid_for } => valid_for,
        };
        let signed_at = self.signed_at;
        if signed_at > after(now, clock_skew) {
            return Err(AuthError::NotYetCurrent {
                signed_at,
                now,
                clock_skew,
            });
        }
        if after(signed_at, valid_for) < now {
            return Err(AuthError::Expired {
                signed_at,
                now,
                valid_for,
            });
        }
        Ok(())
    }
}

/// Leaves out the session token and the signature.
impl fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Claim")
            .field("access_key_id", &self.access_key_id)
            .field("region", &self.region)
            .field("service", &self.service)
            .field("signed_at", &self.signed_at)
            .field("form", &self.form)
            .field("signed_headers", &self.signed_headers)
            .finish_non_exhaustive()
    }
}

/// Returns the signature a request presents in its header `Authorization` or in its query.
///
/// Nothing of it is believed yet: see [`verify`](super::verify).
///
/// # Errors
/// Refuses a signature that is not whole, is of another kind than `AWS4-HMAC-SHA256`, is there twice, or is larger
/// than the signatures of clients are.
pub fn read(parts: &Parts) -> Result<Presented, AuthError> {
    let query = parts.uri.query().unwrap_or_default();
    let authorization = single(&parts.headers, &AUTHORIZATION)?;
    match (authorization, query::is_signed(query)) {
        (None, false) => Ok(Presented::Nothing),
        (Some(authorization), false) => {
            from_header(authorization, &parts.headers).map(Presented::Signature)
        }
        (None, true) => from_query(query).map(Presented::Signature),
        (Some(_), true) => Err(AuthError::incomplete(
            "A request is signed in its 'Authorization' header or in its query, not in both.",
        )),
    }
}

/// Returns the value of a header that may be there once.
pub(super) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, AuthError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        let message = format!("The header '{name}' may be there only once.");
        return Err(AuthError::Incomplete(message));
    }
    let text = value.to_str().ok();
    let text = text.filter(|text| text.len() <= VALUE_BYTES_MAX);
    let unreadable = || format!("The value of the header '{name}' is too long or not plain text.");
    text.map(Some)
        .ok_or_else(|| AuthError::Incomplete(unreadable()))
}

fn from_header(authorization: &str, headers: &HeaderMap) -> Result<Claim, AuthError> {
    let (algorithm, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if algorithm != ALGORITHM {
        return Err(AuthError::algorithm(algorithm));
    }
    let [credential, signed_headers, signature] = parameters(rest)?;
    let signed_at = time_of(headers)?;
    let session_token = single(headers, &SECURITY_TOKEN)?;
    Said {
        credential,
        signed_headers,
        signature,
        signed_at,
        session_token,
        form: Form::Header,
    }
    .parse()
}

/// Returns the values of the parameters of the header, in the order of [`PARAMETERS`].
fn parameters(rest: &str) -> Result<[&str; 3], AuthError> {
    let mut values = [None; 3];
    for piece in rest.split(',').map(str::trim) {
        let Some((name, value)) = piece.split_once('=') else {
            return Err(AuthError::incomplete(
                "The Authorization header has a part that is not a valid key=value pair (missing equal-sign).",
            ));
        };
        let slot = PARAMETERS
            .iter()
            .zip(&mut values)
            .find_map(|(known, slot)| (*known == name).then_some(slot));
        match slot {
            Some(slot) if slot.is_none() => *slot = Some(value),
            Some(_) | None => {
                return Err(AuthError::Incomplete(format!(
                    "The Authorization header has '{}' twice, or it is no parameter of it.",
                    excerpt(name, 40)
                )));
            }
        }
    }
    if let [Some(credential), Some(signed_headers), Some(signature)] = values {
        return Ok([credential, signed_headers, signature]);
    }
    let missing = PARAMETERS.iter().zip(values);
    let missing = missing.filter(|(_, value)| value.is_none());
    let missing: Vec<_> = missing
        .map(|(name, _)| format!("Authorization header requires '{name}' parameter."))
        .collect();
    Err(AuthError::Incomplete(missing.join(" ")))
}

fn time_of(headers: &HeaderMap) -> Result<Timestamp, AuthError> {
    if let Some(text) = single(headers, &AMZ_DATE)? {
        return parse_basic(text).ok_or_else(|| not_a_time(text));
    }
    let Some(text) = single(headers, &DATE)? else {
        return Err(AuthError::incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        ));
    };
    let time = parse_basic(text).or_else(|| parse_http(text));
    time.ok_or_else(|| not_a_time(text))
}

fn not_a_time(text: &str) -> AuthError {
    let text = excerpt(text, 40);
    AuthError::Incomplete(format!(
        "Date must be in ISO-8601 'basic format'. Got '{text}'."
    ))
}

fn from_query(query: &str) -> Result<Claim, AuthError> {
    let values = query::Parameters::read(query)?;
    let required = |value: &'_ Option<String>, name: &str| {
        let missing = || {
            AuthError::Incomplete(format!(
                "AWS query-string parameters must include '{name}'."
            ))
        };
        value.clone().ok_or_else(missing)
    };
    let algorithm = required(&values.algorithm, query::ALGORITHM)?;
    if algorithm != ALGORITHM {
        return Err(AuthError::algorithm(&algorithm));
    }
    let date = required(&values.date, query::DATE)?;
    let expires = required(&values.expires, query::EXPIRES)?;
    Said {
        credential: &required(&values.credential, query::CREDENTIAL)?,
        signed_headers: &required(&values.signed_headers, query::SIGNED_HEADERS)?,
        signature: &required(&values.signature, query::SIGNATURE)?,
        signed_at: parse_basic(&date).ok_or_else(|| not_a_time(&date))?,
        session_token: values.security_token.as_deref(),
        form: Form::Query {
            valid_for: valid_for(&expires)?,
        },
    }
    .parse()
}

fn valid_for(expires: &str) -> Result<Duration, AuthError> {
    let is_number = expires.bytes().all(|byte| byte.is_ascii_digit());
    let secs = expires.parse().ok().filter(|_| is_number);
    match secs.filter(|secs| (1..=EXPIRES_SECS_MAX).contains(secs)) {
        Some(secs) => Ok(Duration::from_secs(secs)),
        None => Err(AuthError::Incomplete(format!(
            "'{}' must be a number of seconds from 1 to {EXPIRES_SECS_MAX}.",
            query::EXPIRES
        ))),
    }
}

/// What either form says, as text.
struct Said<'r> {
    credential: &'r str,
    signed_headers: &'r str,
    signature: &'r str,
    signed_at: Timestamp,
    session_token: Option<&'r str>,
    form: Form,
}

impl Said<'_> {
    fn parse(self) -> Result<Claim, AuthError> {
        // The id of a key may itself have slashes, so the other parts are taken from the end.
        let mut parts = self.credential.rsplitn(5, '/');
        let (terminator, service) = (parts.next(), parts.next());
        let (region, date, access_key_id) = (parts.next(), parts.next(), parts.next());
        let (Some(terminator), Some(service), Some(region), Some(date), Some(access_key_id)) =
            (terminator, service, region, date, access_key_id)
        else {
            return Err(AuthError::incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            ));
        };
        if !is_name(access_key_id) || !is_name(region) || !is_name(service) {
            return Err(AuthError::incomplete(
                "Credential must name a key, a region and a service, each of at most 128 letters, digits and signs.",
            ));
        }
        if terminator != TERMINATOR {
            return Err(AuthError::Scope(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )));
        }
        let signature = parse_hex(self.signature.as_bytes()).ok_or_else(|| {
            AuthError::incomplete("Signature must be 64 lowercase hexadecimal digits.")
        })?;
        let claim = Claim {
            access_key_id: access_key_id.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_at: self.signed_at,
            session_token: self.session_token.map(str::to_owned),
            form: self.form,
            signed_headers: names(self.signed_headers)?,
            signature,
        };
        let signed_on = claim.date();
        if date != signed_on {
            return Err(AuthError::Scope(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{signed_on}', from '{}'.",
                excerpt(date, 20),
                claim.timestamp()
            )));
        }
        Ok(claim)
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn names(signed_headers: &str) -> Result<Vec<String>, AuthError> {
    let names: Vec<_> = signed_headers.split(';').collect();
    let is_ascending = names.is_sorted_by(|one, next| one < next);
    let are_names = names
        .iter()
        .all(|name| HeaderName::from_lowercase(name.as_bytes()).is_ok());
    if !is_ascending || !are_names || names.len() > SIGNED_HEADERS_MAX {
        return Err(AuthError::Incomplete(format!(
            "SignedHeaders must be at most {SIGNED_HEADERS_MAX} lowercase names of headers in ascending order, each once."
        )));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The one algorithm.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The parameters of the header.
const PARAMETERS: [&str; 3] = ["Credential", "SignedHeaders", "Signature"];
pub(super) const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(super) const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// A week: what AWS allows.
const EXPIRES_SECS_MAX: u64 = 604_800;
/// Session tokens are the largest values and have up to four thousand characters.
const VALUE_BYTES_MAX: usize = 8 * 1024;
const NAME_CHARS_MAX: usize = 128;
const SIGNED_HEADERS_MAX: usize = 100;
