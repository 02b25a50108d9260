//! The answers of OTLP (spec: OTLP 1.x, "Full Success", "Partial Success" and "Failures").

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use prost::encoding::{int32, string};
use serde_json::json;

use crate::Encoding;

/// Returns the answer to a request that was taken: nothing to tell if no span was rejected and there is no message,
/// else a partial success. A message without a rejected span is a warning.
pub fn encode_response(n_rejected: usize, message: &str, encoding: Encoding) -> Vec<u8> {
    let is_full = n_rejected == 0 && message.is_empty();
    match encoding {
        Encoding::Protobuf => {
            let partial_success = (!is_full).then(|| ExportTracePartialSuccess {
                rejected_spans: i64::try_from(n_rejected).unwrap_or(i64::MAX),
                error_message: message.to_owned(),
            });
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        }
        Encoding::Json if is_full => b"{}".to_vec(),
        // Whole numbers of 64 bits are texts in the JSON of protobuf.
        Encoding::Json => json!({ "partialSuccess": {
            "rejectedSpans": n_rejected.to_string(),
            "errorMessage": message,
        }})
        .to_string()
        .into_bytes(),
    }
}

/// Returns the body of a refusal: a `google.rpc.Status` with a code of gRPC.
pub fn encode_status(code: i32, message: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let mut body = Vec::new();
            if code != 0 {
                int32::encode(1, &code, &mut body);
            }
            if !message.is_empty() {
                string::encode(2, &message.to_owned(), &mut body);
            }
            body
        }
        Encoding::Json => json!({ "code": code, "message": message })
            .to_string()
            .into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(n_rejected: usize, message: &str, json: &str, protobuf: &[u8]) {
        let encoded = |encoding| encode_response(n_rejected, message, encoding);
        assert_eq!(String::from_utf8_lossy(&encoded(Encoding::Json)), json);
        assert_eq!(encoded(Encoding::Protobuf), protobuf);
    }

    #[test]
    fn success_says_nothing_unless_there_is_something_to_say() {
        check(0, "", "{}", b"");
        check(
            3,
            "old",
            r#"{"partialSuccess":{"errorMessage":"old","rejectedSpans":"3"}}"#,
            b"\x0a\x07\x08\x03\x12\x03old",
        );
        check(
            0,
            "w",
            r#"{"partialSuccess":{"errorMessage":"w","rejectedSpans":"0"}}"#,
            b"\x0a\x03\x12\x01w",
        );
    }

    #[test]
    fn refusals_are_statuses() {
        assert_eq!(
            encode_status(3, "a \"b\"", Encoding::Json),
            br#"{"code":3,"message":"a \"b\""}"#
        );
        assert_eq!(
            encode_status(8, "slow", Encoding::Protobuf),
            b"\x08\x08\x12\x04slow"
        );
        assert_eq!(encode_status(0, "", Encoding::Protobuf), b"");
    }
}
