//! `PutTelemetryRecords`: how a daemon fares, reported once a minute.

use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::{LIST_ITEMS_MAX, List, Object, Shape};
use crate::shapes::WireTime;
use crate::shapes::wire::not_empty;

/// The request of `PutTelemetryRecords`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutTelemetryRecordsRequest {
    /// The records.
    pub telemetry_records: Vec<TelemetryRecord>,
    /// The daemon's instance, if it said one.
    pub ec2_instance_id: Option<String>,
    /// The daemon's host, if it said one.
    pub hostname: Option<String>,
    /// The daemon's resource, if it said one.
    pub resource_arn: Option<String>,
}

/// The empty response of `PutTelemetryRecords`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PutTelemetryRecordsResponse {}

/// What a daemon counted in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TelemetryRecord {
    /// When it counted.
    pub timestamp: WireTime,
    /// Segments it took in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments_received_count: Option<i64>,
    /// Segments it passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments_sent_count: Option<i64>,
    /// Segments it had no room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments_spillover_count: Option<i64>,
    /// Segments that were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments_rejected_count: Option<i64>,
    /// Calls that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_connection_errors: Option<BackendConnectionErrors>,
}

/// Calls of a daemon that went wrong, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BackendConnectionErrors {
    /// No answer in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_count: Option<i64>,
    /// Nobody listened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_refused_count: Option<i64>,
    /// An answer 4xx.
    #[serde(rename = "HTTPCode4XXCount", skip_serializing_if = "Option::is_none")]
    pub http_code_4xx_count: Option<i64>,
    /// An answer 5xx.
    #[serde(rename = "HTTPCode5XXCount", skip_serializing_if = "Option::is_none")]
    pub http_code_5xx_count: Option<i64>,
    /// A name that does not resolve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_host_count: Option<i64>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_count: Option<i64>,
}

/// The members of the request as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutTelemetryRecordsWire {
    telemetry_records: Option<List<Object<TelemetryRecordWire>>>,
    #[serde(rename = "EC2InstanceId")]
    ec2_instance_id: Option<String>,
    hostname: Option<String>,
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TelemetryRecordWire {
    timestamp: Option<WireTime>,
    segments_received_count: Option<i64>,
    segments_sent_count: Option<i64>,
    segments_spillover_count: Option<i64>,
    segments_rejected_count: Option<i64>,
    backend_connection_errors: Option<Object<BackendConnectionErrors>>,
}

impl Shape<'_> for PutTelemetryRecordsRequest {
    type Wire = PutTelemetryRecordsWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let records = violations.required("telemetryRecords", wire.telemetry_records);
        let limits = [
            ("eC2InstanceId", &wire.ec2_instance_id, 20),
            ("hostname", &wire.hostname, 255),
            ("resourceARN", &wire.resource_arn, 500),
        ];
        for (member, text, n_chars_max) in limits {
            violations.length(member, text.as_deref().unwrap_or_default(), 0, n_chars_max);
        }
        let telemetry_records = violations.items(
            "telemetryRecords",
            records,
            LIST_ITEMS_MAX,
            telemetry_record,
        );
        Some(Self {
            telemetry_records,
            ec2_instance_id: not_empty(wire.ec2_instance_id),
            hostname: not_empty(wire.hostname),
            resource_arn: not_empty(wire.resource_arn),
        })
    }
}

fn telemetry_record(
    wire: TelemetryRecordWire,
    violations: &mut Violations,
) -> Option<TelemetryRecord> {
    let timestamp = violations.required("timestamp", wire.timestamp)?;
    Some(TelemetryRecord {
        timestamp,
        segments_received_count: wire.segments_received_count,
        segments_sent_count: wire.segments_sent_count,
        segments_spillover_count: wire.segments_spillover_count,
        segments_rejected_count: wire.segments_rejected_count,
        backend_connection_errors: wire.backend_connection_errors.map(|Object(errors)| errors),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn a_daemon_s_report_is_read_and_written_back() {
        let body = br#"{"EC2InstanceId": "", "Hostname": "", "ResourceARN": "", "TelemetryRecords": [
            {"BackendConnectionErrors": {"ConnectionRefusedCount": 0, "HTTPCode4XXCount": 1, "HTTPCode5XXCount": 2},
             "SegmentsReceivedCount": 3, "SegmentsSentCount": 2, "Timestamp": 1795304142.5}]}"#;
        let request: PutTelemetryRecordsRequest = decode(body).unwrap();
        assert_eq!((request.hostname, request.ec2_instance_id), (None, None));
        insta::assert_snapshot!(serde_json::to_string(&request.telemetry_records).unwrap(), @r#"[{"Timestamp":1795304142.5,"SegmentsReceivedCount":3,"SegmentsSentCount":2,"BackendConnectionErrors":{"ConnectionRefusedCount":0,"HTTPCode4XXCount":1,"HTTPCode5XXCount":2}}]"#);
    }

    #[test]
    fn constraints_are_checked() {
        let body = br#"{"EC2InstanceId": "i-00000000000000000000", "TelemetryRecords": [{"Timestamp": 1}, {}]}"#;
        let error = decode::<PutTelemetryRecordsRequest>(body).unwrap_err();
        assert_eq!(
            error.message(),
            "2 validation errors detected: Value 'i-00000000000000000000' at 'eC2InstanceId' failed to satisfy constraint: Member must have length less than or equal to 20; Value null at 'telemetryRecords.2.member.timestamp' failed to satisfy constraint: Member must not be null"
        );
    }
}
