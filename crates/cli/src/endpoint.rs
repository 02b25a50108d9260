//! Which server is talked to, and how.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use http::Uri;

use crate::exit::Stop;

/// Which server a command talks to.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Server")]
pub struct ServerFlags {
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help = "The server to talk to; also ROENTGEN_ENDPOINT [default: the configured listen address]"
    )]
    pub(crate) endpoint: Option<String>,
    /// Sign requests with the usual AWS credentials; always done for *.amazonaws.com
    #[arg(long, global = true)]
    pub sign: bool,
    /// The profile of the AWS configuration to take credentials from
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "REGION",
        help = "The region requests are signed for; also AWS_REGION [default: the endpoint's]"
    )]
    #[expect(missing_docs, reason = "its help says it")]
    pub region: Option<String>,
    /// Certificates of the authorities an https endpoint is trusted by, instead of the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// A server to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port, without a slash at the end.
    base: String,
    host: String,
    /// Whether it is spoken to through TLS.
    pub is_https: bool,
}

impl ServerFlags {
    /// Returns the server that was named by a flag or in the environment, or else the one that listens at `listen`.
    ///
    /// # Errors
    /// Stops if what was named is no address of a server.
    pub fn endpoint(
        &self,
        environment: &[(OsString, OsString)],
        listen: &str,
    ) -> Result<Endpoint, Stop> {
        let named = self.endpoint.as_deref();
        let named = named.or_else(|| variable(environment, ENDPOINT));
        let endpoint = match named {
            Some(text) => Endpoint::parse(text),
            None => Endpoint::parse(&reachable(listen)),
        };
        endpoint.map_err(Stop::usage)
    }
}

impl Endpoint {
    /// Returns the server of a URL, or of a bare host and port.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = "expected a URL such as http://127.0.0.1:2000";
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("endpoint {text}: {error}; {wanted}"))?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("endpoint {text}: neither http nor https; {wanted}")),
        };
        match (uri.authority(), uri.path()) {
            (Some(authority), _) if authority.as_str().contains('@') => {
                Err(format!("endpoint has a user in it; {wanted}"))
            }
            (Some(authority), _)
                if has_port(authority.as_str())
                    && authority.port_u16().is_none_or(|port| port == 0) =>
            {
                Err(format!("endpoint {text}: its port is none; {wanted}"))
            }
            (Some(authority), "" | "/") if uri.query().is_none() => Ok(Self {
                base: format!("{}://{authority}", if is_https { "https" } else { "http" }),
                host: authority.host().to_ascii_lowercase(),
                is_https,
            }),
            _ => Err(format!("endpoint {text} has a path; {wanted}")),
        }
    }

    /// Returns host and port.
    pub(crate) fn authority(&self) -> String {
        let authority = self.base.split_once("://").map_or("", |(_, rest)| rest);
        let port = if self.is_https { 443 } else { 80 };
        if has_port(authority) {
            authority.to_owned()
        } else {
            format!("{authority}:{port}")
        }
    }

    /// Tells whether it is one of AWS, which takes signed requests alone.
    pub fn is_aws(&self) -> bool {
        self.labels().is_some()
    }

    /// Returns the region in the host's name, if it is one of AWS: `xray.us-east-1.amazonaws.com`.
    pub fn region(&self) -> Option<&str> {
        self.labels()?
            .rsplit('.')
            .next()
            .filter(|label| label.contains('-') && !label.starts_with("xray"))
    }

    /// Returns what is before the domain of AWS in the host's name.
    fn labels(&self) -> Option<&str> {
        AWS_DOMAINS
            .iter()
            .find_map(|domain| self.host.strip_suffix(domain))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.base)
    }
}

/// Tells whether something stands where the port of an authority does.
fn has_port(authority: &str) -> bool {
    let host_end = authority.rfind(']').map_or(0, |end| end + 1);
    let behind = authority.get(host_end..);
    behind.is_some_and(|rest| rest.contains(':'))
}

/// Returns a variable of the environment that is not empty.
pub(crate) fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a str> {
    let found = environment.iter().find(|(variable, _)| variable == name);
    found
        .and_then(|(_, value)| value.to_str())
        .filter(|text| !text.is_empty())
}

/// Returns an address to connect to for one to listen at: "every address" is no destination.
fn reachable(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        Some(_) | None => listen.to_owned(),
    }
}

/// The variable that names the server to talk to.
const ENDPOINT: &str = "ROENTGEN_ENDPOINT";
const AWS_DOMAINS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, base: &str) {
        assert_eq!(Endpoint::parse(text).unwrap().to_string(), base);
    }

    #[test]
    fn endpoints_are_urls_or_addresses() {
        check("http://127.0.0.1:2000", "http://127.0.0.1:2000");
        check("http://xray.local/", "http://xray.local");
        check("localhost:2000", "http://localhost:2000");
        check("[::1]:2000", "http://[::1]:2000");
        check(
            "https://xray.us-east-1.amazonaws.com",
            "https://xray.us-east-1.amazonaws.com",
        );
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "http://h/path",
            "http://h/?query",
            "ftp://h",
            "http://",
            "https://user:secret@h",
            "http://h:99999",
            "http://[::1]:0",
            "h:",
            "a b",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_is_found_at_host_and_port() {
        let check = |text, authority: &str| {
            assert_eq!(Endpoint::parse(text).unwrap().authority(), authority);
        };
        check("http://127.0.0.1:2000", "127.0.0.1:2000");
        check("http://h", "h:80");
        check("https://h", "h:443");
        check("http://[::1]", "[::1]:80");
        check("http://[::1]:7", "[::1]:7");
    }

    fn check_aws(text: &str, is_aws: bool, region: Option<&str>) {
        let endpoint = Endpoint::parse(text).unwrap();
        assert_eq!((endpoint.is_aws(), endpoint.region()), (is_aws, region));
    }

    #[test]
    fn endpoints_of_aws_are_known_with_their_region() {
        check_aws(
            "https://xray.eu-west-1.amazonaws.com",
            true,
            Some("eu-west-1"),
        );
        check_aws(
            "https://XRAY.eu-west-1.amazonaws.com:443",
            true,
            Some("eu-west-1"),
        );
        check_aws(
            "https://xray-fips.us-gov-west-1.amazonaws.com",
            true,
            Some("us-gov-west-1"),
        );
        check_aws(
            "https://xray.cn-north-1.amazonaws.com.cn",
            true,
            Some("cn-north-1"),
        );
        check_aws("https://xray.us-west-2.api.aws", true, Some("us-west-2"));
        check_aws("https://xray.amazonaws.com", true, None);
        check_aws("https://xray.eu-west-1.amazonaws.com.evil.org", false, None);
        check_aws("http://127.0.0.1:2000", false, None);
    }

    #[test]
    fn a_flag_is_before_the_environment_and_that_before_the_configuration() {
        let environment = [(OsString::from(ENDPOINT), OsString::from("http://env"))];
        let check = |flag: Option<&str>, environment: &[_], expected: &str| {
            let flags = ServerFlags {
                endpoint: flag.map(str::to_owned),
                ..ServerFlags::default()
            };
            let endpoint = flags.endpoint(environment, "0.0.0.0:2000").unwrap();
            assert_eq!(endpoint.to_string(), expected);
        };
        check(Some("http://flag"), &environment, "http://flag");
        check(None, &environment, "http://env");
        check(None, &[], "http://127.0.0.1:2000");
        let empty = [(OsString::from(ENDPOINT), OsString::new())];
        check(None, &empty, "http://127.0.0.1:2000");
    }

    #[test]
    fn a_server_on_every_address_is_reached_on_this_machine() {
        assert_eq!(reachable("0.0.0.0:2000"), "127.0.0.1:2000");
        assert_eq!(reachable("[::]:2000"), "[::1]:2000");
        assert_eq!(reachable("10.0.0.1:2000"), "10.0.0.1:2000");
    }
}
