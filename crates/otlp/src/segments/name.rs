//! The name of a document (source: `segment.go` of the collector's X-Ray exporter). X-Ray names segments by services,
//! spans are named by what they do.

use std::borrow::Cow;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::View;
use super::attributes::Attributes;

/// A document's name, and whether the service it names is one of AWS because it was named as such.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) is_aws: bool,
}

/// Returns the name of the document of a span.
///
/// The exporter sends names of services with characters X-Ray refuses; here each is replaced by `_`. From names of spans
/// it takes them out.
pub(super) fn name(view: &View<'_>) -> Named {
    let attributes = &view.attributes;
    let peer = || attributes.first_text(&["peer.service", "service.peer.name"]);
    let of_service = own_service(view).or_else(|| peer().map(Cow::Borrowed));
    if let Some(name) = of_service {
        return Named {
            name: replaced(&name),
            is_aws: false,
        };
    }
    if let Some(service) = attributes.text("aws.service") {
        return Named {
            name: replaced(service),
            is_aws: true,
        };
    }
    let text = |key| attributes.text(key).map(Cow::Borrowed);
    let service_name = || {
        let is_service = view.is_service();
        view.resource
            .attributes
            .text("service.name")
            .filter(|_| is_service)
            .map(Cow::Borrowed)
    };
    let other = database(attributes)
        .or_else(service_name)
        .or_else(|| text("rpc.service"))
        .or_else(|| text("http.host"))
        .or_else(|| text("net.peer.name"))
        .or_else(|| text("server.address"));
    let name = other.map_or_else(|| stripped(&view.span.name), |name| replaced(&name));
    Named {
        name,
        is_aws: false,
    }
}

/// Returns what the span's attributes say of the service itself, or of the service that is called.
fn own_service<'a>(view: &View<'a>) -> Option<Cow<'a, str>> {
    let attributes = &view.attributes;
    let is_own_work = view.kind == SpanKind::Internal && view.is_local_root();
    if view.is_service() || is_own_work {
        return attributes.text("aws.local.service").map(Cow::Borrowed);
    }
    match view.kind {
        SpanKind::Client | SpanKind::Producer | SpanKind::Consumer => remote_service(attributes),
        SpanKind::Server | SpanKind::Internal | SpanKind::Unspecified => None,
    }
}

/// Returns `aws.remote.service`, of calls of an AWS SDK without the prefix.
pub(super) fn remote_service<'a>(attributes: &Attributes<'a>) -> Option<Cow<'a, str>> {
    let name = attributes.text("aws.remote.service")?;
    let of_sdk = || {
        name.strip_prefix("AWS.SDK.")
            .or_else(|| name.strip_prefix("AWS::"))
    };
    let name = if is_aws_sdk(attributes) {
        of_sdk().unwrap_or(name)
    } else {
        name
    };
    Some(Cow::Borrowed(name))
}

/// Tells whether the span is a call an AWS SDK made.
pub(super) fn is_aws_sdk(attributes: &Attributes<'_>) -> bool {
    attributes.first_text(&["rpc.system", "rpc.system.name"]) == Some("aws-api")
}

/// Returns `<database>@<host>`. A namespace of digits is the index of a database in Redis, and names nothing.
fn database<'a>(attributes: &Attributes<'a>) -> Option<Cow<'a, str>> {
    let is_index = |namespace: &&str| namespace.bytes().all(|byte| byte.is_ascii_digit());
    let namespace = || {
        let namespace = attributes.text("db.namespace");
        namespace.filter(|namespace| !is_index(namespace))
    };
    let database = attributes.text("db.name").or_else(namespace)?;
    let connected = attributes.text("db.connection_string").and_then(host);
    match connected.or_else(|| attributes.text("server.address")) {
        Some(host) => Some(Cow::Owned(format!("{database}@{host}"))),
        None => Some(Cow::Borrowed(database)),
    }
}

/// Returns the host of a URL, which may have `jdbc:` before it.
fn host(url: &str) -> Option<&str> {
    let url = url.strip_prefix("jdbc:").unwrap_or(url);
    let (_, rest) = url.split_once("//")?;
    let authority = rest.split(['/', '?', '#', ';']).next()?;
    let (_, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let host = match place.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => place.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// Returns a name in which each character that is not allowed is replaced.
pub(super) fn replaced(name: &str) -> String {
    let characters = name.chars().map(|character| {
        if is_allowed(character) {
            character
        } else {
            '_'
        }
    });
    shortened(characters)
}

/// Returns a name without the characters that are not allowed.
fn stripped(name: &str) -> String {
    shortened(name.chars().filter(|character| is_allowed(*character)))
}

fn shortened(characters: impl Iterator<Item = char>) -> String {
    let name: String = characters.take(NAME_CHARS_MAX).collect();
    if name.is_empty() {
        return "span".to_owned();
    }
    name
}

/// Tells whether a document's name may have the character, as [`model::Segment::parse`] judges it.
fn is_allowed(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || " _.:/%&#=+\\-@".contains(character);
    }
    match character.general_category_group() {
        GeneralCategoryGroup::Letter
        | GeneralCategoryGroup::Number
        | GeneralCategoryGroup::Separator => true,
        GeneralCategoryGroup::Mark
        | GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol
        | GeneralCategoryGroup::Other => false,
    }
}

const NAME_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use model::{DocumentLimits, Segment};

    use super::*;

    /// A character is allowed here if and only if a document may have it in its name.
    #[test]
    fn names_have_the_characters_documents_may_have() {
        let is_taken = |name: &str| {
            let document = serde_json::json!({
                "name": name, "id": "70de5b6f19ff9a0a", "start_time": 1, "end_time": 2,
                "trace_id": "1-581cf771-a006649127e371903a2de979",
            });
            Segment::parse(&document.to_string(), &DocumentLimits::default()).is_ok()
        };
        let (allowed, others): (Vec<char>, Vec<char>) =
            ('\0'..=char::MAX).partition(|character| is_allowed(*character));
        for characters in allowed.chunks(NAME_CHARS_MAX) {
            let name: String = characters.iter().collect();
            assert!(is_taken(&name), "{name}");
        }
        for character in others
            .into_iter()
            .take_while(|character| *character <= '\u{ffff}')
        {
            assert!(!is_taken(&character.to_string()), "{character:?}");
        }
    }

    #[test]
    fn hosts() {
        let check = |url, expected| assert_eq!(host(url), expected, "{url}");
        check(
            "jdbc:mysql://db.dev.example.com:3306",
            Some("db.dev.example.com"),
        );
        check("postgresql://user:p@ss@db:5432/orders?x=1", Some("db"));
        check("//[::1]:5432/orders", Some("::1"));
        check("jdbc:sqlserver://db:1433;databaseName=x", Some("db"));
        check("sqlite:///file", None);
        check("db.example.com:3306", None);
    }

    #[test]
    fn names_are_made_fit() {
        let long = "\u{e9}".repeat(300);
        let check = |name: &str, as_replaced: &str, as_stripped: &str| {
            assert_eq!(replaced(name), as_replaced, "{name}");
            assert_eq!(stripped(name), as_stripped, "{name}");
        };
        check("shop", "shop", "shop");
        check("GET /users/{id}?", "GET /users/_id__", "GET /users/id");
        check("", "span", "span");
        check("{}", "__", "span");
        check(&long, &long[..400], &long[..400]);
    }
}
