//! What a datagram of an X-Ray SDK carries (source: aws-xray-daemon, `cmd/tracing/daemon.go` and
//! `pkg/tracesegment/tracesegment.go`; for spans the UDP exporters of AWS's distributions of OpenTelemetry).
//!
//! A datagram is a header line, `{"format":"json","version":1}`, and below it one segment document. The exporters for
//! Lambda put spans where the document is: `T1S` (sampled) or `T1U` (not sampled), then an
//! `ExportTraceServiceRequest` as protobuf in base64.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

/// What was below the header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framed<'d> {
    /// A segment document, not looked at yet, without white space around it.
    Document(&'d str),
    /// Spans of OpenTelemetry.
    Spans {
        /// An `ExportTraceServiceRequest`, not looked at yet.
        protobuf: Vec<u8>,
        /// Whether a sampler chose them.
        sampled: bool,
    },
}

/// Why a datagram carries nothing that can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Dropped {
    /// It has one line only.
    #[error("there is no header line above the document")]
    NoHeader,
    /// Its first line is not a JSON object with a format and a version.
    #[error("the first line is no header such as {{\"format\":\"json\",\"version\":1}}")]
    InvalidHeader,
    /// The header names another format than JSON.
    #[error("the header's format is not \"json\"")]
    UnknownFormat,
    /// The header names another version than 1.
    #[error("the header's version is not 1")]
    UnknownVersion,
    /// Nothing is below the header line.
    #[error("there is no document below the header line")]
    NoDocument,
    /// What is below the header line is not UTF-8.
    #[error("the document is not UTF-8")]
    NotUtf8,
    /// Spans are not base64.
    #[error("the spans are not base64")]
    InvalidBase64,
}

impl Dropped {
    /// Every reason there is.
    pub const ALL: [Self; 7] = [
        Self::NoHeader,
        Self::InvalidHeader,
        Self::UnknownFormat,
        Self::UnknownVersion,
        Self::NoDocument,
        Self::NotUtf8,
        Self::InvalidBase64,
    ];

    /// Returns the name figures use; it never changes.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoHeader => "no_header",
            Self::InvalidHeader => "invalid_header",
            Self::UnknownFormat => "unknown_format",
            Self::UnknownVersion => "unknown_version",
            Self::NoDocument => "no_document",
            Self::NotUtf8 => "not_utf8",
            Self::InvalidBase64 => "invalid_base64",
        }
    }
}

/// Returns what a datagram carries.
///
/// # Errors
/// Says why it carries nothing.
pub fn open(datagram: &[u8]) -> Result<Framed<'_>, Dropped> {
    let newline = datagram.iter().position(|byte| *byte == b'\n');
    let (header, payload) = newline
        .and_then(|newline| datagram.split_at_checked(newline))
        .ok_or(Dropped::NoHeader)?;
    check_header(header)?;
    let payload = payload.trim_ascii();
    if payload.is_empty() {
        return Err(Dropped::NoDocument);
    }
    if let Some(spans) = payload.strip_prefix(SAMPLED) {
        return open_spans(spans, true);
    }
    if let Some(spans) = payload.strip_prefix(UNSAMPLED) {
        return open_spans(spans, false);
    }
    let document = std::str::from_utf8(payload).map_err(|_| Dropped::NotUtf8)?;
    Ok(Framed::Document(document))
}

/// Checks the header as the daemon does: format without regard to case, other members as they like.
fn check_header(header: &[u8]) -> Result<(), Dropped> {
    if header.len() > HEADER_BYTES_MAX {
        return Err(Dropped::InvalidHeader);
    }
    let header: Map<String, Value> =
        serde_json::from_slice(header).map_err(|_| Dropped::InvalidHeader)?;
    let format = header.get("format").and_then(Value::as_str);
    let version = header.get("version").filter(|version| version.is_number());
    let (Some(format), Some(version)) = (format, version) else {
        return Err(Dropped::InvalidHeader);
    };
    if !format.eq_ignore_ascii_case("json") {
        return Err(Dropped::UnknownFormat);
    }
    if version.as_u64() != Some(1) {
        return Err(Dropped::UnknownVersion);
    }
    Ok(())
}

fn open_spans(base64: &[u8], sampled: bool) -> Result<Framed<'static>, Dropped> {
    match BASE64.decode(base64) {
        Ok(protobuf) if protobuf.is_empty() => Err(Dropped::NoDocument),
        Ok(protobuf) => Ok(Framed::Spans { protobuf, sampled }),
        Err(_) => Err(Dropped::InvalidBase64),
    }
}

/// Padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const SAMPLED: &[u8] = b"T1S";
const UNSAMPLED: &[u8] = b"T1U";
/// Real headers have some 30 bytes; a longer line is a document without one.
const HEADER_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "literal cases read better")]
    fn check(datagram: &str, expected: Result<Framed<'_>, Dropped>) {
        assert_eq!(open(datagram.as_bytes()), expected, "{datagram}");
    }

    fn check_header(header: &str, expected: Result<(), Dropped>) {
        let datagram = format!("{header}\n{{}}");
        check(&datagram, expected.map(|()| Framed::Document("{}")));
    }

    #[test]
    fn headers_are_read_as_the_daemon_reads_them() {
        for header in [
            r#"{"format":"json","version":1}"#,
            r#"{"format": "json", "version": 1}"#,
            r#" { "version" : 1 , "format" : "JSON" } "#,
            "{\"format\":\"Json\",\"version\":1}\r",
            r#"{"format":"json","version":1,"sender":"x","more":{"a":[1]}}"#,
            r#"{"\u0066ormat":"json","version":1}"#,
        ] {
            check_header(header, Ok(()));
        }
        for header in [
            "",
            " ",
            "json",
            "{}",
            "[]",
            "null",
            r#"{"format":"json"}"#,
            r#"{"version":1}"#,
            r#"{"format":null,"version":1}"#,
            r#"{"format":"json","version":"1"}"#,
            r#"{"format":"json","version":1"#,
            r#"{"format":"json","version":1} {"#,
            r"{'format':'json','version':1}",
        ] {
            check_header(header, Err(Dropped::InvalidHeader));
        }
        check_header(
            r#"{"format":"xml","version":1}"#,
            Err(Dropped::UnknownFormat),
        );
        check_header(r#"{"format":"","version":1}"#, Err(Dropped::UnknownFormat));
        for version in ["0", "2", "-1", "1.5", "1e9", "18446744073709551616"] {
            let header = format!(r#"{{"format":"json","version":{version}}}"#);
            check_header(&header, Err(Dropped::UnknownVersion));
        }
    }

    #[test]
    fn a_header_is_short() {
        let padded = |n_bytes: usize| format!("{HEADER}{}", " ".repeat(n_bytes - HEADER.len()));
        check_header(&padded(HEADER_BYTES_MAX), Ok(()));
        check_header(&padded(HEADER_BYTES_MAX + 1), Err(Dropped::InvalidHeader));
    }

    #[test]
    fn the_document_is_what_follows() {
        let check = |payload: &str, expected| check(&format!("{HEADER}\n{payload}"), expected);
        check(r#"{"id":"1"}"#, Ok(Framed::Document(r#"{"id":"1"}"#)));
        check(" \n{\"a\":\n1}\n\n", Ok(Framed::Document("{\"a\":\n1}")));
        check("[{},{}]", Ok(Framed::Document("[{},{}]")));
        check("T1", Ok(Framed::Document("T1")));
        check("no json", Ok(Framed::Document("no json")));
        check("", Err(Dropped::NoDocument));
        check(" \r\n ", Err(Dropped::NoDocument));
    }

    #[test]
    fn one_line_has_no_header() {
        check("", Err(Dropped::NoHeader));
        check(HEADER, Err(Dropped::NoHeader));
        check(r#"{"trace_id":"1-2-3"}"#, Err(Dropped::NoHeader));
        check("{\"trace_id\":\n\"1-2-3\"}", Err(Dropped::InvalidHeader));
    }

    #[test]
    fn documents_are_text() {
        let datagram = [HEADER.as_bytes(), b"\n{\"a\":\"\xff\"}"].concat();
        assert_eq!(open(&datagram), Err(Dropped::NotUtf8));
        let datagram = [b"\xff".as_slice(), HEADER.as_bytes(), b"\n{}"].concat();
        assert_eq!(open(&datagram), Err(Dropped::InvalidHeader));
    }

    #[test]
    fn spans_are_taken_out_of_their_base64() {
        let spans = |bytes: &[u8], sampled| {
            Ok(Framed::Spans {
                protobuf: bytes.to_vec(),
                sampled,
            })
        };
        let check = |payload: &str, expected| check(&format!("{HEADER}\n{payload}"), expected);
        check("T1SCgMBAgM=", spans(&[10, 3, 1, 2, 3], true));
        check("T1UCgMBAgM=\n", spans(&[10, 3, 1, 2, 3], false));
        check("T1SCgMBAgM", spans(&[10, 3, 1, 2, 3], true));
        check("T1S+/+/", spans(&[251, 255, 191], true));
        check("T1S", Err(Dropped::NoDocument));
        check("T1U \n", Err(Dropped::NoDocument));
        for payload in ["T1S!", "T1SC", "T1S-_-_", "T1UCgMB AgM=", "T1S\u{e9}"] {
            check(payload, Err(Dropped::InvalidBase64));
        }
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let codes: HashSet<&str> = Dropped::ALL.into_iter().map(Dropped::code).collect();
        assert_eq!(codes.len(), Dropped::ALL.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_opened_or_dropped(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any = open(&bytes);
            let framed = [HEADER.as_bytes(), b"\n", &bytes].concat();
            if let Ok(Framed::Document(document)) = open(&framed) {
                prop_assert_eq!(document.as_bytes(), bytes.trim_ascii());
            }
        }

        #[test]
        fn spans_come_back(protobuf in proptest::collection::vec(any::<u8>(), 1..200), sampled: bool) {
            let base64 = base64::engine::general_purpose::STANDARD.encode(&protobuf);
            let prefix = if sampled { "T1S" } else { "T1U" };
            let datagram = format!("{HEADER}\n{prefix}{base64}");
            prop_assert_eq!(open(datagram.as_bytes()), Ok(Framed::Spans { protobuf, sampled }));
        }
    }

    const HEADER: &str = r#"{"format":"json","version":1}"#;
}
