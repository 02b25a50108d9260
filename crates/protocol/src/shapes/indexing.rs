//! Which spans are indexed and where segments go: the settings of Transaction Search.

use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::{Object, Shape};
use crate::shapes::WireTime;
use crate::shapes::encryption::NoMembers;
use crate::shapes::wire::{finite, not_empty};

/// The request of `GetIndexingRules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetIndexingRulesRequest {
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The request of `UpdateIndexingRule`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateIndexingRuleRequest {
    /// The rule's name.
    pub name: String,
    /// What the rule is to be.
    pub rule: IndexingRuleValueUpdate,
}

/// What an indexing rule is to be: an object with the one member that fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IndexingRuleValueUpdate {
    /// A share of the traces is indexed.
    Probabilistic {
        /// The share wanted, 0 to 100.
        desired_sampling_percentage: f64,
    },
}

/// The request of `GetTraceSegmentDestination`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetTraceSegmentDestinationRequest;

/// The request of `UpdateTraceSegmentDestination`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateTraceSegmentDestinationRequest {
    /// Where segments are to go; absent, they go where they went.
    pub destination: Option<Destination>,
    /// The key of the log group, 1 to 256 characters; only with the destination `CloudWatchLogs`.
    pub spans_log_group_kms_key_id: Option<String>,
}

/// Where segments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Destination {
    /// The trace store.
    XRay,
    /// A log group.
    CloudWatchLogs,
}

/// Whether a change of the destination has come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DestinationStatus {
    /// Not yet.
    Pending,
    /// Yes.
    Active,
}

/// The response of `GetTraceSegmentDestination` and `UpdateTraceSegmentDestination`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TraceSegmentDestinationResponse {
    /// Where segments go.
    pub destination: Destination,
    /// Whether they do already.
    pub status: DestinationStatus,
}

/// The response of `GetIndexingRules`; the API promises 1 to 10 rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetIndexingRulesResponse {
    /// The rules.
    pub indexing_rules: Vec<IndexingRule>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// The response of `UpdateIndexingRule`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateIndexingRuleResponse {
    /// The rule as it is now.
    pub indexing_rule: IndexingRule,
}

/// Which traces are indexed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IndexingRule {
    /// The rule's name, 1 to 32 characters.
    pub name: String,
    /// When it was changed.
    pub modified_at: WireTime,
    /// What it says.
    pub rule: IndexingRuleValue,
}

/// What an indexing rule says: an object with the one member that fits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum IndexingRuleValue {
    /// A share of the traces is indexed.
    #[serde(rename_all = "PascalCase")]
    Probabilistic {
        /// The share wanted, 0 to 100.
        #[serde(serialize_with = "finite")]
        desired_sampling_percentage: f64,
        /// The share indexed, 0 to 100.
        #[serde(serialize_with = "finite")]
        actual_sampling_percentage: f64,
    },
}

/// The members of `GetIndexingRules` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetIndexingRulesWire {
    next_token: Option<String>,
}

/// The members of `UpdateIndexingRule` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateIndexingRuleWire {
    name: Option<String>,
    rule: Option<Object<RuleWire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RuleWire {
    probabilistic: Option<Object<ProbabilisticWire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProbabilisticWire {
    desired_sampling_percentage: Option<f64>,
}

/// The members of `UpdateTraceSegmentDestination` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateTraceSegmentDestinationWire {
    destination: Option<String>,
    cloud_watch_logs_configuration: Option<Object<CloudWatchLogsWire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CloudWatchLogsWire {
    spans_log_group_kms_key_id: Option<String>,
}

impl Shape<'_> for GetIndexingRulesRequest {
    type Wire = GetIndexingRulesWire;

    fn from_wire(wire: Self::Wire, _violations: &mut Violations) -> Option<Self> {
        Some(Self {
            next_token: not_empty(wire.next_token),
        })
    }
}

impl Shape<'_> for UpdateIndexingRuleRequest {
    type Wire = UpdateIndexingRuleWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let name = violations.required("name", wire.name);
        let Object(rule) = violations.required("rule", wire.rule)?;
        let rule = violations.within("rule", |violations| rule_update(rule, violations));
        Some(Self {
            name: name?,
            rule: rule?,
        })
    }
}

/// Returns the one member that is set; a member of a later API counts as none.
fn rule_update(wire: RuleWire, violations: &mut Violations) -> Option<IndexingRuleValueUpdate> {
    let Some(Object(probabilistic)) = wire.probabilistic else {
        let constraint = "Member must have exactly one member set: [probabilistic]";
        violations.add_absent("", constraint);
        return None;
    };
    violations.within("probabilistic", |violations| {
        let member = "desiredSamplingPercentage";
        let wanted = violations.required(member, probabilistic.desired_sampling_percentage);
        let desired_sampling_percentage = violations.double(member, wanted, 0.0, 100.0)?;
        Some(IndexingRuleValueUpdate::Probabilistic {
            desired_sampling_percentage,
        })
    })
}

impl Shape<'_> for GetTraceSegmentDestinationRequest {
    type Wire = NoMembers;

    fn from_wire(NoMembers {}: Self::Wire, _violations: &mut Violations) -> Option<Self> {
        Some(Self)
    }
}

impl Shape<'_> for UpdateTraceSegmentDestinationRequest {
    type Wire = UpdateTraceSegmentDestinationWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let destinations = [
            ("XRay", Destination::XRay),
            ("CloudWatchLogs", Destination::CloudWatchLogs),
        ];
        let name = wire.destination.as_deref();
        let destination = violations.choice("destination", name, &destinations);
        let Some(Object(configuration)) = wire.cloud_watch_logs_configuration else {
            return Some(Self {
                destination,
                spans_log_group_kms_key_id: None,
            });
        };
        if name != Some("CloudWatchLogs") {
            let constraint = "Member must be CloudWatchLogs with cloudWatchLogsConfiguration";
            match name {
                Some(name) => violations.add("destination", name, constraint),
                None => violations.add_absent("destination", constraint),
            }
        }
        let key_id = configuration.spans_log_group_kms_key_id;
        let key_id = violations.within("cloudWatchLogsConfiguration", |violations| {
            violations.text("spansLogGroupKmsKeyId", key_id, 1, 256)
        });
        Some(Self {
            destination,
            spans_log_group_kms_key_id: key_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    fn check_rule(rule: &str, expected: Result<f64, &str>) {
        let body = format!(r#"{{"Name": "Default", "Rule": {rule}}}"#);
        let found = decode::<UpdateIndexingRuleRequest>(body.as_bytes());
        let found = found.map(|request| {
            let IndexingRuleValueUpdate::Probabilistic {
                desired_sampling_percentage,
            } = request.rule;
            desired_sampling_percentage
        });
        let found = found.map_err(|error| error.message().to_owned());
        assert_eq!(
            found,
            expected.map_err(|text| format!("1 validation error detected: {text}"))
        );
    }

    #[test]
    fn a_rule_is_a_percentage_under_its_one_member() {
        check_rule(
            r#"{"Probabilistic": {"DesiredSamplingPercentage": 5}}"#,
            Ok(5.0),
        );
        check_rule(
            r#"{"Probabilistic": {"DesiredSamplingPercentage": 0.5}, "Other": null}"#,
            Ok(0.5),
        );
        let union = "Value null at 'rule' failed to satisfy constraint: Member must have exactly one member set: [probabilistic]";
        check_rule("{}", Err(union));
        check_rule(r#"{"Other": {}}"#, Err(union));
        check_rule(
            r#"{"Probabilistic": {}}"#,
            Err(
                "Value null at 'rule.probabilistic.desiredSamplingPercentage' failed to satisfy constraint: Member must not be null",
            ),
        );
        check_rule(
            r#"{"Probabilistic": {"DesiredSamplingPercentage": 101}}"#,
            Err(
                "Value '101' at 'rule.probabilistic.desiredSamplingPercentage' failed to satisfy constraint: Member must have value less than or equal to 100",
            ),
        );
        check_rule(
            r#"{"Probabilistic": {"DesiredSamplingPercentage": -1}}"#,
            Err(
                "Value '-1' at 'rule.probabilistic.desiredSamplingPercentage' failed to satisfy constraint: Member must have value greater than or equal to 0",
            ),
        );
    }

    fn check_destination(body: &str, expected: Result<(Option<Destination>, Option<&str>), &str>) {
        let found = decode::<UpdateTraceSegmentDestinationRequest>(body.as_bytes());
        let found = found.map_err(|error| error.message().to_owned());
        let expected = expected.map(
            |(destination, key_id)| UpdateTraceSegmentDestinationRequest {
                destination,
                spans_log_group_kms_key_id: key_id.map(str::to_owned),
            },
        );
        assert_eq!(
            found,
            expected.map_err(|text| format!("1 validation error detected: {text}"))
        );
    }

    #[test]
    fn a_log_group_s_key_goes_with_log_groups_only() {
        check_destination("", Ok((None, None)));
        check_destination(
            r#"{"Destination": "XRay"}"#,
            Ok((Some(Destination::XRay), None)),
        );
        check_destination(
            r#"{"Destination": "CloudWatchLogs", "CloudWatchLogsConfiguration": {"SpansLogGroupKmsKeyId": "k"}}"#,
            Ok((Some(Destination::CloudWatchLogs), Some("k"))),
        );
        check_destination(
            r#"{"Destination": "CloudWatchLogs", "CloudWatchLogsConfiguration": {}}"#,
            Ok((Some(Destination::CloudWatchLogs), None)),
        );
        check_destination(
            r#"{"Destination": "XRay", "CloudWatchLogsConfiguration": {}}"#,
            Err(
                "Value 'XRay' at 'destination' failed to satisfy constraint: Member must be CloudWatchLogs with cloudWatchLogsConfiguration",
            ),
        );
        check_destination(
            r#"{"CloudWatchLogsConfiguration": {}}"#,
            Err(
                "Value null at 'destination' failed to satisfy constraint: Member must be CloudWatchLogs with cloudWatchLogsConfiguration",
            ),
        );
    }
}
