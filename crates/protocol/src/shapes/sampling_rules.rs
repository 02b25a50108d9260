//! Sampling rules: `CreateSamplingRule`, `UpdateSamplingRule`, `DeleteSamplingRule`, `GetSamplingRules`.
//!
//! A rule that goes out has the members of the service model and no other: samplers in the field hand
//! each member on as an argument by name and stop at one they do not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::{List, Object, Shape};
use crate::shapes::WireTime;
use crate::shapes::selector::{RuleSelector, required_rule};
use crate::shapes::tags::{Tag, TagWire, tags};
use crate::shapes::wire::{finite, not_empty};
use crate::violations::INTEGER_MAX;

/// The request of `CreateSamplingRule`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSamplingRuleRequest {
    /// The rule.
    pub sampling_rule: NewSamplingRule,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

/// A sampling rule to be made; an ARN that is sent with it means nothing, the server gives it one.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSamplingRule {
    /// The name, 1 to 32 characters; the service model leaves it open, but no rule is without one.
    pub rule_name: String,
    /// The resource it is for, at most 500 characters.
    pub resource_arn: String,
    /// Its place among the rules, 1 to 9999.
    pub priority: u32,
    /// The share that is sampled beyond the reservoir, 0 to 1.
    pub fixed_rate: f64,
    /// How many requests a second are sampled before the rate counts.
    pub reservoir_size: u32,
    /// The service's name, at most 64 characters.
    pub service_name: String,
    /// The service's type, at most 64 characters.
    pub service_type: String,
    /// The host asked, at most 64 characters.
    pub host: String,
    /// The method used, at most 10 characters.
    pub http_method: String,
    /// The path asked for, at most 128 characters.
    pub url_path: String,
    /// The version of the rule's format, at least 1.
    pub version: u32,
    /// Attributes of the segment, at most 5, keys and values of 1 to 32 characters.
    pub attributes: BTreeMap<String, String>,
    /// How far the rate may be raised when something goes wrong.
    pub sampling_rate_boost: Option<SamplingRateBoost>,
}

/// The request of `UpdateSamplingRule`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateSamplingRuleRequest {
    /// The change.
    pub sampling_rule_update: SamplingRuleUpdate,
}

/// A change of a sampling rule: what is absent stays as it is.
///
/// The service model sets no bounds to the numbers of a change; those of a new rule hold here, too.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingRuleUpdate {
    /// The rule.
    pub rule: RuleSelector,
    /// The resource it is for, at most 500 characters.
    pub resource_arn: Option<String>,
    /// Its place among the rules, 1 to 9999.
    pub priority: Option<u32>,
    /// The share that is sampled beyond the reservoir, 0 to 1.
    pub fixed_rate: Option<f64>,
    /// How many requests a second are sampled before the rate counts.
    pub reservoir_size: Option<u32>,
    /// The host asked, at most 64 characters.
    pub host: Option<String>,
    /// The service's name, at most 64 characters.
    pub service_name: Option<String>,
    /// The service's type, at most 64 characters.
    pub service_type: Option<String>,
    /// The method used, at most 10 characters.
    pub http_method: Option<String>,
    /// The path asked for, at most 128 characters.
    pub url_path: Option<String>,
    /// Attributes of the segment, all of them.
    pub attributes: Option<BTreeMap<String, String>>,
    /// How far the rate may be raised when something goes wrong.
    pub sampling_rate_boost: Option<SamplingRateBoost>,
}

/// The request of `DeleteSamplingRule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteSamplingRuleRequest {
    /// The rule.
    pub rule: RuleSelector,
}

/// The request of `GetSamplingRules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetSamplingRulesRequest {
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The response of `CreateSamplingRule`, `UpdateSamplingRule` and `DeleteSamplingRule`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SamplingRuleResponse {
    /// The rule as it is now, or as it was.
    pub sampling_rule_record: SamplingRuleRecord,
}

/// The response of `GetSamplingRules`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSamplingRulesResponse {
    /// The rules.
    pub sampling_rule_records: Vec<SamplingRuleRecord>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A sampling rule and its history.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SamplingRuleRecord {
    /// The rule.
    pub sampling_rule: SamplingRule,
    /// When it was made; 0 for the one that always was.
    pub created_at: WireTime,
    /// When it was last changed.
    pub modified_at: WireTime,
}

/// A sampling rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SamplingRule {
    /// Its name.
    pub rule_name: String,
    /// Its ARN.
    #[serde(rename = "RuleARN")]
    pub rule_arn: String,
    /// The resource it is for.
    #[serde(rename = "ResourceARN")]
    pub resource_arn: String,
    /// Its place among the rules; 10000 for the last one.
    pub priority: u32,
    /// The share that is sampled beyond the reservoir.
    #[serde(serialize_with = "finite")]
    pub fixed_rate: f64,
    /// How many requests a second are sampled before the rate counts.
    pub reservoir_size: u32,
    /// The service's name.
    pub service_name: String,
    /// The service's type; samplers pass over a rule whose type is empty.
    pub service_type: String,
    /// The host asked.
    pub host: String,
    /// The method used.
    #[serde(rename = "HTTPMethod")]
    pub http_method: String,
    /// The path asked for.
    #[serde(rename = "URLPath")]
    pub url_path: String,
    /// The version of the rule's format.
    pub version: u32,
    /// Attributes of the segment; always there, samplers read them without asking.
    pub attributes: BTreeMap<String, String>,
    /// How far the rate may be raised; absent unless set, older samplers stop at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling_rate_boost: Option<SamplingRateBoost>,
}

/// How far a rule's rate may be raised when something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SamplingRateBoost {
    /// The highest rate, 0 to 1.
    #[serde(serialize_with = "finite")]
    pub max_rate: f64,
    /// How long the rate stays down after it was raised.
    pub cooldown_window_minutes: u32,
}

/// The members of `CreateSamplingRule` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateSamplingRuleWire {
    sampling_rule: Option<Object<SamplingRuleWire>>,
    tags: Option<List<Object<TagWire>>>,
}

/// The members of `UpdateSamplingRule` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateSamplingRuleWire {
    sampling_rule_update: Option<Object<SamplingRuleWire>>,
}

/// The members of `DeleteSamplingRule` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSamplingRuleWire {
    rule_name: Option<String>,
    #[serde(rename = "RuleARN")]
    rule_arn: Option<String>,
}

/// The members of `GetSamplingRules` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSamplingRulesWire {
    next_token: Option<String>,
}

/// The members of a new rule and of a change, which has all but the version.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SamplingRuleWire {
    rule_name: Option<String>,
    #[serde(rename = "RuleARN")]
    rule_arn: Option<String>,
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    priority: Option<i64>,
    fixed_rate: Option<f64>,
    reservoir_size: Option<i64>,
    service_name: Option<String>,
    service_type: Option<String>,
    host: Option<String>,
    #[serde(rename = "HTTPMethod")]
    http_method: Option<String>,
    #[serde(rename = "URLPath")]
    url_path: Option<String>,
    version: Option<i64>,
    attributes: Option<BTreeMap<String, String>>,
    sampling_rate_boost: Option<Object<SamplingRateBoostWire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SamplingRateBoostWire {
    max_rate: Option<f64>,
    cooldown_window_minutes: Option<i64>,
}

impl Shape<'_> for CreateSamplingRuleRequest {
    type Wire = CreateSamplingRuleWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let rule = violations.required("samplingRule", wire.sampling_rule);
        let sampling_rule = rule.and_then(|Object(rule)| {
            violations.within("samplingRule", |violations| new_rule(rule, violations))
        });
        let tags = tags(wire.tags, violations);
        Some(Self {
            sampling_rule: sampling_rule?,
            tags,
        })
    }
}

impl Shape<'_> for UpdateSamplingRuleRequest {
    type Wire = UpdateSamplingRuleWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let update = violations.required("samplingRuleUpdate", wire.sampling_rule_update);
        let Object(update) = update?;
        let sampling_rule_update = violations.within("samplingRuleUpdate", |violations| {
            rule_update(update, violations)
        })?;
        Some(Self {
            sampling_rule_update,
        })
    }
}

impl Shape<'_> for DeleteSamplingRuleRequest {
    type Wire = DeleteSamplingRuleWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let rule = required_rule(wire.rule_name, wire.rule_arn, violations)?;
        Some(Self { rule })
    }
}

impl Shape<'_> for GetSamplingRulesRequest {
    type Wire = GetSamplingRulesWire;

    fn from_wire(wire: Self::Wire, _violations: &mut Violations) -> Option<Self> {
        Some(Self {
            next_token: not_empty(wire.next_token),
        })
    }
}

/// The members of a new rule and of a change after their bounds were checked.
struct Members {
    resource_arn: Option<String>,
    priority: Option<u32>,
    fixed_rate: Option<f64>,
    reservoir_size: Option<u32>,
    host: Option<String>,
    service_name: Option<String>,
    service_type: Option<String>,
    http_method: Option<String>,
    url_path: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
    sampling_rate_boost: Option<SamplingRateBoost>,
}

fn members(wire: SamplingRuleWire, violations: &mut Violations) -> Members {
    let boost = wire.sampling_rate_boost;
    Members {
        resource_arn: violations.text("resourceARN", wire.resource_arn, 0, 500),
        priority: violations.integer("priority", wire.priority, 1, 9999),
        fixed_rate: violations.double("fixedRate", wire.fixed_rate, 0.0, 1.0),
        reservoir_size: violations.integer("reservoirSize", wire.reservoir_size, 0, INTEGER_MAX),
        host: violations.text("host", wire.host, 0, 64),
        service_name: violations.text("serviceName", wire.service_name, 0, 64),
        service_type: violations.text("serviceType", wire.service_type, 0, 64),
        http_method: violations.text("hTTPMethod", wire.http_method, 0, 10),
        url_path: violations.text("uRLPath", wire.url_path, 0, 128),
        attributes: wire
            .attributes
            .inspect(|attributes| check_attributes(attributes, violations)),
        sampling_rate_boost: boost.and_then(|Object(boost)| {
            violations.within("samplingRateBoost", |violations| {
                rate_boost(&boost, violations)
            })
        }),
    }
}

fn new_rule(mut wire: SamplingRuleWire, violations: &mut Violations) -> Option<NewSamplingRule> {
    let rule_name = violations.required_text("ruleName", wire.rule_name.take(), 1, 32);
    let version = violations.required_integer("version", wire.version, 1, INTEGER_MAX);
    let members = members(wire, violations);
    let resource_arn = violations.required("resourceARN", members.resource_arn);
    let priority = violations.required("priority", members.priority);
    let fixed_rate = violations.required("fixedRate", members.fixed_rate);
    let reservoir_size = violations.required("reservoirSize", members.reservoir_size);
    let service_name = violations.required("serviceName", members.service_name);
    let service_type = violations.required("serviceType", members.service_type);
    let host = violations.required("host", members.host);
    let http_method = violations.required("hTTPMethod", members.http_method);
    let url_path = violations.required("uRLPath", members.url_path);
    Some(NewSamplingRule {
        rule_name: rule_name?,
        resource_arn: resource_arn?,
        priority: priority?,
        fixed_rate: fixed_rate?,
        reservoir_size: reservoir_size?,
        service_name: service_name?,
        service_type: service_type?,
        host: host?,
        http_method: http_method?,
        url_path: url_path?,
        version: version?,
        attributes: members.attributes.unwrap_or_default(),
        sampling_rate_boost: members.sampling_rate_boost,
    })
}

fn rule_update(
    mut wire: SamplingRuleWire,
    violations: &mut Violations,
) -> Option<SamplingRuleUpdate> {
    let rule = required_rule(wire.rule_name.take(), wire.rule_arn.take(), violations);
    let members = members(wire, violations);
    Some(SamplingRuleUpdate {
        rule: rule?,
        resource_arn: members.resource_arn,
        priority: members.priority,
        fixed_rate: members.fixed_rate,
        reservoir_size: members.reservoir_size,
        host: members.host,
        service_name: members.service_name,
        service_type: members.service_type,
        http_method: members.http_method,
        url_path: members.url_path,
        attributes: members.attributes,
        sampling_rate_boost: members.sampling_rate_boost,
    })
}

fn check_attributes(attributes: &BTreeMap<String, String>, violations: &mut Violations) {
    violations.size("attributes", attributes.len(), 0, 5);
    violations.within("attributes", |violations| {
        for (key, value) in attributes {
            violations.length("key", key, 1, 32);
            violations.length("value", value, 1, 32);
        }
    });
}

fn rate_boost(
    wire: &SamplingRateBoostWire,
    violations: &mut Violations,
) -> Option<SamplingRateBoost> {
    let max_rate = violations.required("maxRate", wire.max_rate);
    let max_rate = violations.double("maxRate", max_rate, 0.0, 1.0);
    let member = "cooldownWindowMinutes";
    let cooldown = wire.cooldown_window_minutes;
    let cooldown = violations.required_integer(member, cooldown, 0, INTEGER_MAX);
    Some(SamplingRateBoost {
        max_rate: max_rate?,
        cooldown_window_minutes: cooldown?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::shapes::Selector;

    #[test]
    fn a_new_rule_is_read_as_the_guide_writes_it() {
        let body = br#"{"SamplingRule": {"RuleName": "base-scorekeep", "ResourceARN": "*", "Priority": 9000, "FixedRate": 0.1, "ReservoirSize": 5, "ServiceName": "Scorekeep", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1, "Attributes": {"tier": "gold"}}}"#;
        let request: CreateSamplingRuleRequest = decode(body).unwrap();
        let expected = NewSamplingRule {
            rule_name: "base-scorekeep".into(),
            resource_arn: "*".into(),
            priority: 9000,
            fixed_rate: 0.1,
            reservoir_size: 5,
            service_name: "Scorekeep".into(),
            service_type: "*".into(),
            host: "*".into(),
            http_method: "*".into(),
            url_path: "*".into(),
            version: 1,
            attributes: BTreeMap::from([("tier".into(), "gold".into())]),
            sampling_rate_boost: None,
        };
        assert_eq!(request.sampling_rule, expected);
        assert_eq!(request.tags, []);
    }

    fn check_update(members: &str, expected: &str) {
        let body = format!(r#"{{"SamplingRuleUpdate": {{"RuleName": "r", {members}}}}}"#);
        let error = decode::<UpdateSamplingRuleRequest>(body.as_bytes()).unwrap_err();
        assert_eq!(
            error.message(),
            format!("1 validation error detected: {expected}")
        );
    }

    #[test]
    fn the_numbers_of_a_change_have_the_bounds_of_a_new_rule() {
        check_update(
            r#""Priority": 0"#,
            "Value '0' at 'samplingRuleUpdate.priority' failed to satisfy constraint: Member must have value greater than or equal to 1",
        );
        check_update(
            r#""Priority": 10000"#,
            "Value '10000' at 'samplingRuleUpdate.priority' failed to satisfy constraint: Member must have value less than or equal to 9999",
        );
        check_update(
            r#""FixedRate": 1.5"#,
            "Value '1.5' at 'samplingRuleUpdate.fixedRate' failed to satisfy constraint: Member must have value less than or equal to 1",
        );
        check_update(
            r#""FixedRate": -0.5"#,
            "Value '-0.5' at 'samplingRuleUpdate.fixedRate' failed to satisfy constraint: Member must have value greater than or equal to 0",
        );
        check_update(
            r#""ReservoirSize": -1"#,
            "Value '-1' at 'samplingRuleUpdate.reservoirSize' failed to satisfy constraint: Member must have value greater than or equal to 0",
        );
        check_update(
            r#""Attributes": {"": "v"}"#,
            "Value '' at 'samplingRuleUpdate.attributes.key' failed to satisfy constraint: Member must have length greater than or equal to 1",
        );
        check_update(
            r#""SamplingRateBoost": {"MaxRate": 2, "CooldownWindowMinutes": 1}"#,
            "Value '2' at 'samplingRuleUpdate.samplingRateBoost.maxRate' failed to satisfy constraint: Member must have value less than or equal to 1",
        );
    }

    #[test]
    fn a_change_holds_what_is_to_change() {
        let body = br#"{"SamplingRuleUpdate": {"RuleARN": "arn:r", "FixedRate": 1, "Attributes": {}, "Host": null}}"#;
        let request: UpdateSamplingRuleRequest = decode(body).unwrap();
        let update = request.sampling_rule_update;
        assert_eq!(update.rule, Selector::Arn("arn:r".into()));
        assert_eq!((update.fixed_rate, update.priority), (Some(1.0), None));
        assert_eq!(
            (update.attributes, update.host),
            (Some(BTreeMap::new()), None)
        );
    }

    #[test]
    fn a_change_names_its_rule_once() {
        let refused =
            |body: &str| decode::<UpdateSamplingRuleRequest>(body.as_bytes()).unwrap_err();
        let both = refused(r#"{"SamplingRuleUpdate": {"RuleName": "r", "RuleARN": "arn:r"}}"#);
        assert!(
            both.message().contains("'samplingRuleUpdate.ruleARN'"),
            "{both}"
        );
        let none = refused(r#"{"SamplingRuleUpdate": {"FixedRate": 1}}"#);
        assert!(
            none.message()
                .contains("Value null at 'samplingRuleUpdate.ruleName'"),
            "{none}"
        );
    }
}
