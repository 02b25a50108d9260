//! What samplers report and are told: `GetSamplingTargets` and `GetSamplingStatisticSummaries`.

use model::{InvalidTime, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::Violations;
use crate::decode::{List, Object, Shape};
use crate::shapes::WireTime;
use crate::shapes::wire::{finite, integer, not_empty};
use crate::violations::INTEGER_MAX;

/// The request of `GetSamplingTargets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetSamplingTargetsRequest {
    /// What the sampler counted, at most 25 rules.
    pub sampling_statistics_documents: Vec<SamplingStatisticsDocument>,
    /// What of it went wrong, at most 25 rules and services.
    pub sampling_boost_statistics_documents: Vec<SamplingBoostStatisticsDocument>,
}

/// What one sampler counted for one rule since it last told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplingStatisticsDocument {
    /// The rule's name, 1 to 32 characters.
    pub rule_name: String,
    /// The sampler, 24 characters of its own choice.
    pub client_id: String,
    /// When it told.
    pub timestamp: Timestamp,
    /// Requests that matched the rule.
    pub request_count: u32,
    /// Requests that were sampled.
    pub sampled_count: u32,
    /// Requests that were sampled without a quota.
    pub borrow_count: u32,
}

/// What went wrong under one rule in one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplingBoostStatisticsDocument {
    /// The rule's name, 1 to 32 characters.
    pub rule_name: String,
    /// The service's name, at most 64 characters.
    pub service_name: String,
    /// When it was told.
    pub timestamp: Timestamp,
    /// Requests that went wrong.
    pub anomaly_count: u32,
    /// All requests.
    pub total_count: u32,
    /// Requests that went wrong and were sampled.
    pub sampled_anomaly_count: u32,
}

/// The request of `GetSamplingStatisticSummaries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetSamplingStatisticSummariesRequest {
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The response of `GetSamplingTargets`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSamplingTargetsResponse {
    /// What the sampler is to do, one a rule that was reported.
    pub sampling_target_documents: Vec<SamplingTargetDocument>,
    /// When a rule was last changed, 0 if never; samplers stop without it.
    pub last_rule_modification: WireTime,
    /// The documents that could not be used.
    pub unprocessed_statistics: Vec<UnprocessedStatistics>,
    /// The boost documents that could not be used. Absent if there are none: samplers older than boosts stop
    /// over members they do not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unprocessed_boost_statistics: Vec<UnprocessedStatistics>,
}

/// What a sampler is to do about one rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SamplingTargetDocument {
    /// The rule's name.
    pub rule_name: String,
    /// The share to sample beyond the quota.
    #[serde(serialize_with = "finite")]
    pub fixed_rate: f64,
    /// How many requests a second this sampler may sample before the rate counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservoir_quota: Option<u32>,
    /// Until when the quota holds.
    #[serde(rename = "ReservoirQuotaTTL", skip_serializing_if = "Option::is_none")]
    pub reservoir_quota_ttl: Option<WireTime>,
    /// How many seconds to wait before telling again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<u32>,
    /// A raised rate for the time being.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling_boost: Option<SamplingBoost>,
}

/// A raised rate for the time being.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SamplingBoost {
    /// The rate.
    #[serde(serialize_with = "finite")]
    pub boost_rate: f64,
    /// Until when it holds.
    #[serde(rename = "BoostRateTTL")]
    pub boost_rate_ttl: WireTime,
}

/// A document that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UnprocessedStatistics {
    /// The rule it was about.
    pub rule_name: String,
    /// Why, for programs: samplers read `4..` as stale rules and `5..` as a failure.
    pub error_code: String,
    /// Why, for people.
    pub message: String,
}

/// The response of `GetSamplingStatisticSummaries`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSamplingStatisticSummariesResponse {
    /// What all samplers counted, by rule and ten seconds.
    pub sampling_statistic_summaries: Vec<SamplingStatisticSummary>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// What all samplers counted for one rule in ten seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SamplingStatisticSummary {
    /// The rule's name.
    pub rule_name: String,
    /// When the ten seconds began.
    pub timestamp: WireTime,
    /// Requests that matched the rule; like every integer of the API it stops at 2147483647.
    #[serde(serialize_with = "integer")]
    pub request_count: u64,
    /// Requests that were sampled without a quota.
    #[serde(serialize_with = "integer")]
    pub borrow_count: u64,
    /// Requests that were sampled.
    #[serde(serialize_with = "integer")]
    pub sampled_count: u64,
}

/// The members of `GetSamplingTargets` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSamplingTargetsWire {
    sampling_statistics_documents: Option<List<Object<StatisticsWire>>>,
    sampling_boost_statistics_documents: Option<List<Object<BoostStatisticsWire>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatisticsWire {
    rule_name: Option<String>,
    #[serde(rename = "ClientID")]
    client_id: Option<String>,
    timestamp: Option<SamplerTime>,
    request_count: Option<i64>,
    sampled_count: Option<i64>,
    /// What the sampler of the OpenTelemetry distribution for Python calls `SampledCount`.
    sample_count: Option<i64>,
    borrow_count: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BoostStatisticsWire {
    rule_name: Option<String>,
    service_name: Option<String>,
    timestamp: Option<SamplerTime>,
    anomaly_count: Option<i64>,
    total_count: Option<i64>,
    sampled_anomaly_count: Option<i64>,
}

/// A time as samplers send it: seconds, or milliseconds from those in Java, which lie far beyond any time in
/// seconds.
struct SamplerTime(Timestamp);

impl<'de> Deserialize<'de> for SamplerTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let parsed = match Timestamp::parse_seconds(text.get()) {
            Err(InvalidTime::TooLate) => Timestamp::parse_seconds(&format!("{}e-3", text.get())),
            parsed => parsed,
        };
        parsed.map(Self).map_err(D::Error::custom)
    }
}

/// The members of `GetSamplingStatisticSummaries` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSamplingStatisticSummariesWire {
    next_token: Option<String>,
}

impl Shape<'_> for GetSamplingTargetsRequest {
    type Wire = GetSamplingTargetsWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let member = "samplingStatisticsDocuments";
        let documents = violations.required(member, wire.sampling_statistics_documents);
        let documents = violations.items(member, documents, DOCUMENTS_MAX, statistics);
        let member = "samplingBoostStatisticsDocuments";
        let boosts = wire.sampling_boost_statistics_documents;
        let boosts = violations.items(member, boosts, DOCUMENTS_MAX, boost_statistics);
        Some(Self {
            sampling_statistics_documents: documents,
            sampling_boost_statistics_documents: boosts,
        })
    }
}

impl Shape<'_> for GetSamplingStatisticSummariesRequest {
    type Wire = GetSamplingStatisticSummariesWire;

    fn from_wire(wire: Self::Wire, _violations: &mut Violations) -> Option<Self> {
        Some(Self {
            next_token: not_empty(wire.next_token),
        })
    }
}

fn statistics(
    wire: StatisticsWire,
    violations: &mut Violations,
) -> Option<SamplingStatisticsDocument> {
    let rule_name = violations.required_text("ruleName", wire.rule_name, 1, 32);
    let client_id = violations.required_text("clientID", wire.client_id, 24, 24);
    let timestamp = violations.required("timestamp", wire.timestamp);
    let request_count =
        violations.required_integer("requestCount", wire.request_count, 0, INTEGER_MAX);
    let sampled_count = wire.sampled_count.or(wire.sample_count);
    let sampled_count = violations.required_integer("sampledCount", sampled_count, 0, INTEGER_MAX);
    let borrow_count = violations.integer("borrowCount", wire.borrow_count, 0, INTEGER_MAX);
    Some(SamplingStatisticsDocument {
        rule_name: rule_name?,
        client_id: client_id?,
        timestamp: timestamp?.0,
        request_count: request_count?,
        sampled_count: sampled_count?,
        borrow_count: borrow_count.unwrap_or(0),
    })
}

fn boost_statistics(
    wire: BoostStatisticsWire,
    violations: &mut Violations,
) -> Option<SamplingBoostStatisticsDocument> {
    let mut count = |member, value| violations.required_integer(member, value, 0, INTEGER_MAX);
    let anomaly_count = count("anomalyCount", wire.anomaly_count);
    let total_count = count("totalCount", wire.total_count);
    let sampled_anomaly_count = count("sampledAnomalyCount", wire.sampled_anomaly_count);
    let rule_name = violations.required_text("ruleName", wire.rule_name, 1, 32);
    let service_name = violations.required_text("serviceName", wire.service_name, 0, 64);
    let timestamp = violations.required("timestamp", wire.timestamp);
    Some(SamplingBoostStatisticsDocument {
        rule_name: rule_name?,
        service_name: service_name?,
        timestamp: timestamp?.0,
        anomaly_count: anomaly_count?,
        total_count: total_count?,
        sampled_anomaly_count: sampled_anomaly_count?,
    })
}

const DOCUMENTS_MAX: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    fn check(document: &str, expected: (u64, u32, u32, u32)) {
        let body = format!(
            r#"{{"SamplingStatisticsDocuments": [{{"RuleName": "r", "ClientID": "ABCDEF1234567890ABCDEF10", {document}}}], "SamplingBoostStatisticsDocuments": []}}"#
        );
        let request: GetSamplingTargetsRequest = decode(body.as_bytes()).unwrap();
        let found = &request.sampling_statistics_documents[0];
        let counts = (
            found.timestamp.as_nanos(),
            found.request_count,
            found.sampled_count,
            found.borrow_count,
        );
        assert_eq!(counts, expected);
    }

    #[test]
    fn every_sampler_s_report_is_read() {
        let at = 1_795_304_142_000_000_000;
        check(
            r#""Timestamp": 1795304142, "RequestCount": 3, "SampledCount": 2, "BorrowCount": 1"#,
            (at, 3, 2, 1),
        );
        check(
            r#""Timestamp": 1795304142.5, "RequestCount": 3, "SampledCount": 2"#,
            (at + 500_000_000, 3, 2, 0),
        );
        check(
            r#""Timestamp": 1795304142, "RequestCount": 3, "SampleCount": 2, "BorrowCount": 0"#,
            (at, 3, 2, 0),
        );
        check(
            r#""Timestamp": 1795304142, "RequestCount": 3, "SampleCount": 1, "SampledCount": 2"#,
            (at, 3, 2, 0),
        );
    }

    #[test]
    fn a_report_without_documents_is_fine_and_one_without_the_list_is_not() {
        let request: GetSamplingTargetsRequest =
            decode(br#"{"SamplingStatisticsDocuments": []}"#).unwrap();
        assert_eq!(request.sampling_statistics_documents, []);
        assert!(decode::<GetSamplingTargetsRequest>(b"{}").is_err());
    }

    #[test]
    fn a_broken_document_is_named_by_its_place() {
        let body = br#"{"SamplingStatisticsDocuments": [{"RuleName": "r", "ClientID": "short", "Timestamp": 1, "RequestCount": -1}]}"#;
        let error = decode::<GetSamplingTargetsRequest>(body).unwrap_err();
        assert_eq!(
            error.message(),
            "3 validation errors detected: Value 'short' at 'samplingStatisticsDocuments.1.member.clientID' failed to satisfy constraint: Member must have length greater than or equal to 24; Value '-1' at 'samplingStatisticsDocuments.1.member.requestCount' failed to satisfy constraint: Member must have value greater than or equal to 0; Value null at 'samplingStatisticsDocuments.1.member.sampledCount' failed to satisfy constraint: Member must not be null"
        );
    }
}
