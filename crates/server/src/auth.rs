//! Who a request is from: everybody, as long as nobody has to say, or the holder of an access key.
//!
//! 1. [`claim`] reads who the request says it is from, before a byte of its body is read.
//! 2. [`admit`] checks that, against the body too, and whether the key may do what is asked for.
//!
//! A signature proves the key without showing it. Clients that cannot sign (exporters of OTLP, Prometheus, browsers) send
//! id and secret of a key as user name and password (RFC 7617), over TLS or from this machine only.

pub(crate) mod keys;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::{Account, Timestamp};
use protocol::sigv4::{self, AuthError, Claim, Key, Presented, Scope};
use protocol::{ApiError, Operation, Right};
use secrecy::{ExposeSecret, SecretString};

use crate::accounts::Accounts;
use crate::app::App;
use crate::config::Config;
use crate::config::values::AuthMode;
use crate::house::InForce;
use crate::origin::Origin;
use keys::{AccessKey, Keyring};

/// What a request wants, as far as its rights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// A call of an operation.
    Call(Operation),
    /// To leave spans.
    Spans,
    /// To see what was refused of its account.
    Refused,
    /// To see what arrives of its account.
    Tail,
    /// To copy everything there is.
    Backup,
    /// To see figures, which are of all accounts.
    Figures,
    /// To see what everybody may see.
    Public,
}

impl Errand {
    /// Tells whether documents are lost to those who wait for them if the request is refused.
    pub(crate) fn is_delivery(self) -> bool {
        matches!(self, Self::Spans | Self::Call(Operation::PutTraceSegments))
    }
}

/// Who a request says it is from.
pub(crate) enum Claimed {
    /// Somebody who need not say, or was believed already.
    Known(Arc<App>),
    /// Somebody who signed; it is to be seen what.
    Signed(Claim),
}

impl Claimed {
    /// Returns the account of somebody who is believed already.
    pub(crate) fn known(&self) -> Option<&Arc<App>> {
        match self {
            Self::Known(app) => Some(app),
            Self::Signed(_) => None,
        }
    }
}

/// Returns who a request says it is from.
pub(crate) fn claim(
    accounts: &Accounts,
    in_force: &InForce,
    origin: Origin,
    parts: &Parts,
    errand: Errand,
) -> Result<Claimed, ApiError> {
    let config = &in_force.config;
    if config.auth.mode == AuthMode::None || errand == Errand::Public {
        return Ok(Claimed::Known(Arc::clone(&accounts.default)));
    }
    if let Some(password) = Password::of(&parts.headers) {
        return with_password(accounts, &in_force.keys, (origin, errand), &password)
            .map(Claimed::Known);
    }
    match sigv4::read(parts)? {
        Presented::Signature(claim) => Ok(Claimed::Signed(claim)),
        Presented::Nothing => unsigned(accounts, config, errand).map(Claimed::Known),
    }
}

/// Returns the account a request is for and its body as it was before it was signed in pieces; refuses what is not
/// signed well or not allowed.
pub(crate) fn admit(
    accounts: &Accounts,
    in_force: &InForce,
    (claimed, errand): (Claimed, Errand),
    parts: &Parts,
    body: &Bytes,
    now: Timestamp,
) -> Result<(Arc<App>, Bytes), ApiError> {
    let claim = match claimed {
        Claimed::Known(app) => return Ok((app, body.clone())),
        Claimed::Signed(claim) => claim,
    };
    let key = in_force.keys.get(&claim.access_key_id);
    let known = key.map(|key| Key {
        secret: key.secret.expose_secret(),
        session_token: key.session_token.as_ref().map(SecretString::expose_secret),
    });
    let scope = Scope {
        service: SERVICE,
        clock_skew: in_force.config.auth.clock_skew.0,
    };
    let body = sigv4::verify(&claim, parts, body, known, scope, now)?;
    let id = &claim.access_key_id;
    let key = key.ok_or_else(|| mismatch(id, false))?;
    let app = account_of(accounts, key, &claim.region)?;
    check_rights(accounts, &app, (id, key), errand)?;
    Ok((app, body))
}

/// Returns whose sampling rules are told to those who do not sign, if anybody's.
fn unsigned(accounts: &Accounts, config: &Config, errand: Errand) -> Result<Arc<App>, ApiError> {
    let is_sampling = matches!(
        errand,
        Errand::Call(Operation::GetSamplingRules | Operation::GetSamplingTargets)
    );
    let owner = config.auth.unsigned_sampling.0.as_ref();
    let app = owner
        .filter(|_| is_sampling)
        .and_then(|owner| accounts.get(owner));
    app.ok_or_else(|| AuthError::Missing.into())
}

fn with_password(
    accounts: &Accounts,
    keys: &Keyring,
    (origin, errand): (Origin, Errand),
    password: &Password,
) -> Result<Arc<App>, ApiError> {
    // A socket of both families gives addresses of the one in the form of the other.
    let is_of_this_machine = origin.peer.ip().to_canonical().is_loopback();
    if !origin.is_tls && !is_of_this_machine {
        return Err(ApiError::forbidden(
            "passwords are taken over TLS and from this machine only; sign the request or use https",
        ));
    }
    let (id, key) = (password.id.as_str(), keys.get(&password.id));
    let secret = key.map(|key| key.secret.expose_secret());
    let is_good = sigv4::is_secret(password.secret.expose_secret(), secret);
    // A key that is lent needs its token, and a password has no place for one.
    let key = key.filter(|key| is_good && key.session_token.is_none());
    let key = key.ok_or_else(|| mismatch(id, secret.is_some()))?;
    let home = &accounts.default.account.region;
    let region = key.regions.iter().find(|region| *region == home);
    let region = region.or(key.regions.first()).unwrap_or(home);
    let app = account_of(accounts, key, region)?;
    check_rights(accounts, &app, (id, key), errand)?;
    Ok(app)
}

fn account_of(accounts: &Accounts, key: &AccessKey, region: &str) -> Result<Arc<App>, ApiError> {
    let is_good = key.regions.iter().any(|good| good == region);
    let app = accounts.get(&key.account(region)).filter(|_| is_good);
    let region = || region.to_owned();
    app.ok_or_else(|| AuthError::Region { region: region() }.into())
}

fn check_rights(
    accounts: &Accounts,
    app: &App,
    (id, key): (&str, &AccessKey),
    errand: Errand,
) -> Result<(), ApiError> {
    let denied = |operation| ApiError::access_denied(&key.account_id, id, operation);
    let is_allowed = |operation: Operation| operation.is_allowed(&key.rights);
    match errand {
        Errand::Public => Ok(()),
        Errand::Call(operation) if is_allowed(operation) => Ok(()),
        Errand::Call(operation) => Err(denied(operation)),
        Errand::Spans if is_allowed(Operation::PutTraceSegments) => Ok(()),
        Errand::Spans => Err(denied(Operation::PutTraceSegments)),
        Errand::Refused | Errand::Tail if is_allowed(Operation::BatchGetTraces) => Ok(()),
        Errand::Refused => Err(ApiError::forbidden(
            "what was refused is shown to keys with the right \"read\"",
        )),
        Errand::Tail => Err(ApiError::forbidden(
            "what arrives is shown to keys with the right \"read\"",
        )),
        Errand::Figures | Errand::Backup => {
            let is_own = app.account == accounts.default.account;
            let is_admin = key.rights.contains(&Right::Admin);
            let what = match errand {
                Errand::Backup => "a backup has",
                _ => "figures are of",
            };
            (is_own && is_admin).then_some(()).ok_or_else(|| {
                ApiError::forbidden(format!(
                    "{what} all accounts: for keys of the server's own account with the right \"admin\""
                ))
            })
        }
    }
}

fn mismatch(id: &str, is_known: bool) -> ApiError {
    let access_key_id = id.to_owned();
    AuthError::Mismatch {
        access_key_id,
        is_known,
    }
    .into()
}

/// A key's id and secret as they were sent.
struct Password {
    id: String,
    secret: SecretString,
}

impl Password {
    /// Returns what a request sends as user name and password, if it does; what cannot be read belongs to no key.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = STANDARD.decode(encoded.trim()).unwrap_or_default();
        let text = String::from_utf8(decoded).unwrap_or_default();
        let (id, secret) = text.split_once(':').unwrap_or_default();
        Some(Self {
            id: id.chars().take(ID_CHARS_MAX).collect(),
            secret: SecretString::from(secret.to_owned()),
        })
    }
}

/// Returns the keys a configuration names; none as long as nobody has to sign.
pub(crate) fn keys_of(
    config: &Config,
    environment: &[(std::ffi::OsString, std::ffi::OsString)],
) -> Result<Keyring, keys::KeysError> {
    match config.auth.mode {
        AuthMode::None => Ok(Keyring::default()),
        AuthMode::SigV4 => Keyring::load(&config.auth.keys, &config.account.region, environment),
    }
}

/// Returns the accounts that are served beside the server's own.
pub(crate) fn accounts_of(config: &Config, keys: &Keyring) -> Vec<Account> {
    let mut accounts = keys.accounts();
    if config.auth.mode == AuthMode::SigV4 {
        accounts.extend(config.auth.unsigned_sampling.0.clone());
        accounts.extend(config.auth.datagrams.0.clone());
    }
    accounts
}

/// The name signatures must give the service.
const SERVICE: &str = "xray";
const ID_CHARS_MAX: usize = 128;
