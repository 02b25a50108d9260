//! Requests signed with AWS Signature Version 4 and the usual chain of credentials.

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use model::Timestamp;
use tokio::sync::{Mutex, OnceCell};

use super::CallError;
use crate::endpoint::{Endpoint, ServerFlags, variable};

/// Who signs. Credentials are looked for with the first request, and again before they expire.
#[derive(Debug)]
pub(crate) struct Signer {
    profile: Option<String>,
    region: Option<String>,
    now: fn() -> Timestamp,
    source: OnceCell<Source>,
    /// What the source gave last.
    credentials: Mutex<Option<Credentials>>,
}

#[derive(Debug)]
struct Source {
    provider: SharedCredentialsProvider,
    region: String,
}

impl Signer {
    /// Returns the signer of requests to a server: for the region that is named, else the endpoint's, else the
    /// environment's, else the profile's.
    pub(crate) fn new(
        endpoint: &Endpoint,
        flags: &ServerFlags,
        environment: &[(OsString, OsString)],
        now: fn() -> Timestamp,
    ) -> Self {
        let region = flags.region.as_deref();
        let region = region
            .or_else(|| endpoint.region())
            .or_else(|| variable(environment, "AWS_REGION"))
            .or_else(|| variable(environment, "AWS_DEFAULT_REGION"));
        Self {
            profile: flags.profile.clone(),
            region: region.map(str::to_owned),
            now,
            source: OnceCell::new(),
            credentials: Mutex::new(None),
        }
    }

    /// Signs a request, its body too.
    ///
    /// # Errors
    /// [`CallError::Unsigned`] if there are no credentials or no region.
    pub(crate) async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), CallError> {
        let source = self.source.get_or_try_init(|| self.look()).await?;
        let now = SystemTime::UNIX_EPOCH + Duration::from_nanos((self.now)().as_nanos());
        let credentials = self.credentials(source, now).await?;
        sign_with(credentials, &source.region, now, request).map_err(CallError::Unsigned)
    }

    /// Returns where credentials come from.
    async fn look(&self) -> Result<Source, CallError> {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
        if let Some(profile) = &self.profile {
            // A profile that is named goes before keys in the environment, as with the AWS CLI.
            let provider = ProfileFileCredentialsProvider::builder()
                .configure(&ProviderConfig::without_region().with_http_client(http))
                .profile_name(profile);
            loader = loader
                .profile_name(profile)
                .credentials_provider(provider.build());
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let config = loader.load().await;
        let unsigned = |what: &str| CallError::Unsigned(what.to_owned());
        let provider = config.credentials_provider();
        let provider = provider.ok_or_else(|| unsigned("there are no AWS credentials"))?;
        let region = config.region().map(ToString::to_string);
        let region =
            region.ok_or_else(|| unsigned("which region? say it with --region or AWS_REGION"))?;
        Ok(Source { provider, region })
    }

    /// Returns credentials that are good for a while.
    async fn credentials(
        &self,
        source: &Source,
        now: SystemTime,
    ) -> Result<Credentials, CallError> {
        let mut known = self.credentials.lock().await;
        let is_good = |credentials: &&Credentials| {
            let expiry = credentials.expiry();
            expiry.is_none_or(|expiry| expiry > now + SPARE)
        };
        if let Some(credentials) = known.as_ref().filter(is_good) {
            return Ok(credentials.clone());
        }
        let credentials = source.provider.provide_credentials().await;
        let credentials = credentials.map_err(|error| {
            let cause = super::root_cause(&error);
            CallError::Unsigned(format!(
                "no AWS credentials ({cause}); set AWS_ACCESS_KEY_ID, log in, or name a --profile"
            ))
        })?;
        *known = Some(credentials.clone());
        Ok(credentials)
    }
}

fn sign_with(
    credentials: Credentials,
    region: &str,
    now: SystemTime,
    request: &mut Request<Bytes>,
) -> Result<(), String> {
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?;
    let headers = request.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers,
        SignableBody::Bytes(request.body()),
    );
    let signed = sign(signable.map_err(|error| error.to_string())?, &params.into());
    let (instructions, _) = signed.map_err(|error| error.to_string())?.into_parts();
    let added: Vec<_> = instructions
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for (name, value) in added {
        let name: HeaderName = name.parse().map_err(|_| format!("header {name}"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| format!("header {name}"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(())
}

/// The service requests are signed for.
const SERVICE: &str = "xray";
/// How long before their end credentials are asked for anew.
const SPARE: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn region(endpoint: &str, flag: Option<&str>, environment: &[(&str, &str)]) -> Option<String> {
        let flags = ServerFlags {
            region: flag.map(str::to_owned),
            ..ServerFlags::default()
        };
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect();
        let endpoint = Endpoint::parse(endpoint).unwrap();
        Signer::new(&endpoint, &flags, &environment, || Timestamp::from_secs(0)).region
    }

    #[test]
    fn the_region_is_the_nearest_one_said() {
        let aws = "https://xray.eu-west-1.amazonaws.com";
        let both = [("AWS_DEFAULT_REGION", "b"), ("AWS_REGION", "a")];
        assert_eq!(region(aws, Some("f"), &both).as_deref(), Some("f"));
        assert_eq!(region(aws, None, &both).as_deref(), Some("eu-west-1"));
        assert_eq!(region("http://h", None, &both).as_deref(), Some("a"));
        assert_eq!(region("http://h", None, &both[..1]).as_deref(), Some("b"));
        assert_eq!(region("http://h", None, &[]), None);
    }

    fn signed(token: Option<&str>, body: &'static str) -> Request<Bytes> {
        let token = token.map(str::to_owned);
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", token, None, "test");
        let mut request = Request::post("http://127.0.0.1:2000/Traces")
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        sign_with(credentials, "eu-west-1", now, &mut request).unwrap();
        request
    }

    #[test]
    fn a_signature_covers_the_body_and_names_region_and_service() {
        let text = |request: &Request<Bytes>| {
            let value = request.headers().get(AUTHORIZATION).unwrap();
            value.to_str().unwrap().to_owned()
        };
        let one = signed(None, "{}");
        assert!(text(&one).contains("AKIDEXAMPLE/20231114/eu-west-1/xray/aws4_request"));
        assert!(one.headers().contains_key("x-amz-content-sha256"));
        assert_ne!(text(&one), text(&signed(None, "{ }")));
        let with_token = signed(Some("t"), "{}");
        assert_eq!(
            with_token.headers().get("x-amz-security-token").unwrap(),
            "t"
        );
    }
}
