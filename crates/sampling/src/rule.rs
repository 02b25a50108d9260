//! One sampling rule: what makes it valid, how it changes, which requests it is for
//! (API `SamplingRule`, `SamplingRuleUpdate`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use model::Timestamp;

use crate::{DEFAULT_RULE, SamplingError, wildcard};

/// A valid rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name, unique.
    pub name: String,
    /// Pattern of the resource's ARN.
    pub resource_arn: String,
    /// Its place among the rules, 1 to 9999, lower first; 10000 for the rule `Default` alone.
    pub priority: u32,
    /// Share of requests traced once the reservoir is used up, 0 to 1.
    pub fixed_rate: f64,
    /// Requests a second traced whatever the rate, over all clients.
    pub reservoir_size: u32,
    /// Pattern of the service's name.
    pub service_name: String,
    /// Pattern of the service's origin, such as `AWS::EC2::Instance`.
    pub service_type: String,
    /// Pattern of the host.
    pub host: String,
    /// Pattern of the HTTP method.
    pub http_method: String,
    /// Pattern of the URL's path.
    pub url_path: String,
    /// Patterns of the segment's attributes; all must be there.
    pub attributes: BTreeMap<String, String>,
    /// How far anomalies may raise the rate.
    pub boost: Option<RateBoost>,
}

/// How far anomalies may raise a rule's rate, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateBoost {
    /// The highest rate, 0 to 1.
    pub max_rate: f64,
    /// The least number of minutes from the beginning of one boost to that of the next.
    pub cooldown_minutes: u32,
}

/// A rule as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleRecord {
    /// The rule.
    pub rule: Rule,
    /// Its ARN.
    pub arn: String,
    /// When it was made; 1970 for `Default`.
    pub created_at: Timestamp,
    /// When it changed last; 1970 for `Default` as long as it never did.
    pub modified_at: Timestamp,
}

/// Names a rule: exactly one member must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSelector {
    /// `RuleName`.
    pub name: Option<String>,
    /// `RuleARN`.
    pub arn: Option<String>,
}

/// A rule somebody asks for; nothing of it is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRule {
    /// `RuleName`, or `RuleARN` in its place.
    pub selector: RuleSelector,
    /// `ResourceARN`.
    pub resource_arn: String,
    /// `Priority`.
    pub priority: i64,
    /// `FixedRate`.
    pub fixed_rate: f64,
    /// `ReservoirSize`.
    pub reservoir_size: i64,
    /// `ServiceName`.
    pub service_name: String,
    /// `ServiceType`.
    pub service_type: String,
    /// `Host`.
    pub host: String,
    /// `HTTPMethod`.
    pub http_method: String,
    /// `URLPath`.
    pub url_path: String,
    /// `Version`.
    pub version: i64,
    /// `Attributes`.
    pub attributes: BTreeMap<String, String>,
    /// `SamplingRateBoost`.
    pub boost: Option<NewRateBoost>,
}

/// `SamplingRateBoost`, unchecked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewRateBoost {
    /// `MaxRate`.
    pub max_rate: f64,
    /// `CooldownWindowMinutes`.
    pub cooldown_minutes: i64,
}

/// What of a rule is to change; nothing of it is checked. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleUpdate {
    /// `RuleName`, or `RuleARN` in its place.
    pub selector: RuleSelector,
    /// `ResourceARN`.
    pub resource_arn: Option<String>,
    /// `Priority`.
    pub priority: Option<i64>,
    /// `FixedRate`.
    pub fixed_rate: Option<f64>,
    /// `ReservoirSize`.
    pub reservoir_size: Option<i64>,
    /// `ServiceName`.
    pub service_name: Option<String>,
    /// `ServiceType`.
    pub service_type: Option<String>,
    /// `Host`.
    pub host: Option<String>,
    /// `HTTPMethod`.
    pub http_method: Option<String>,
    /// `URLPath`.
    pub url_path: Option<String>,
    /// `Attributes`, in the place of all there are.
    pub attributes: Option<BTreeMap<String, String>>,
    /// `SamplingRateBoost`; once set it can be changed and not taken away, as in the API.
    pub boost: Option<NewRateBoost>,
}

/// What of a request rules look at. Empty text is what is not known, and only `*` matches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts<'a> {
    /// The service's name.
    pub service_name: &'a str,
    /// The service's origin.
    pub service_type: &'a str,
    /// The host of the request.
    pub host: &'a str,
    /// Its HTTP method.
    pub http_method: &'a str,
    /// The path of its URL.
    pub url_path: &'a str,
    /// The ARN of the resource the service runs on.
    pub resource_arn: &'a str,
    /// Attributes of the segment.
    pub attributes: &'a [(&'a str, &'a str)],
}

impl Rule {
    /// Returns the rule that is there before anybody makes one.
    pub(crate) fn default_rule() -> Self {
        Self {
            name: DEFAULT_RULE.to_owned(),
            resource_arn: ANY.to_owned(),
            priority: DEFAULT_PRIORITY,
            fixed_rate: 0.05,
            reservoir_size: 1,
            service_name: ANY.to_owned(),
            service_type: ANY.to_owned(),
            host: ANY.to_owned(),
            http_method: ANY.to_owned(),
            url_path: ANY.to_owned(),
            attributes: BTreeMap::new(),
            boost: None,
        }
    }

    /// Returns the rule of this name that is asked for, if it is valid.
    pub(crate) fn new(name: String, new: NewRule) -> Result<Self, SamplingError> {
        if new.version != VERSION {
            let text = format!("Version must be {VERSION} and is {}", new.version);
            return Err(SamplingError::Invalid(text));
        }
        Ok(Self {
            name: check_name(name)?,
            resource_arn: pattern("ResourceARN", new.resource_arn, 500)?,
            priority: number("Priority", new.priority, PRIORITIES)?,
            fixed_rate: rate("FixedRate", new.fixed_rate)?,
            reservoir_size: number("ReservoirSize", new.reservoir_size, SIZES)?,
            service_name: pattern("ServiceName", new.service_name, 64)?,
            service_type: pattern("ServiceType", new.service_type, 64)?,
            host: pattern("Host", new.host, 64)?,
            http_method: pattern("HTTPMethod", new.http_method, 10)?,
            url_path: pattern("URLPath", new.url_path, 128)?,
            attributes: attributes(new.attributes)?,
            boost: new.boost.map(boost).transpose()?,
        })
    }

    /// Returns the rule as it is after an update, if that is valid.
    pub(crate) fn updated(&self, update: RuleUpdate) -> Result<Self, SamplingError> {
        if self.name == DEFAULT_RULE && !update.is_for_default() {
            let text = "Invalid update request for default sampling rule";
            return Err(SamplingError::Invalid(text.to_owned()));
        }
        let mut rule = self.clone();
        if let Some(priority) = update.priority {
            rule.priority = number("Priority", priority, PRIORITIES)?;
        }
        if let Some(fixed_rate) = update.fixed_rate {
            rule.fixed_rate = rate("FixedRate", fixed_rate)?;
        }
        if let Some(size) = update.reservoir_size {
            rule.reservoir_size = number("ReservoirSize", size, SIZES)?;
        }
        let patterns = [
            (
                &mut rule.resource_arn,
                "ResourceARN",
                update.resource_arn,
                500,
            ),
            (
                &mut rule.service_name,
                "ServiceName",
                update.service_name,
                64,
            ),
            (
                &mut rule.service_type,
                "ServiceType",
                update.service_type,
                64,
            ),
            (&mut rule.host, "Host", update.host, 64),
            (&mut rule.http_method, "HTTPMethod", update.http_method, 10),
            (&mut rule.url_path, "URLPath", update.url_path, 128),
        ];
        for (kept, member, text, chars_max) in patterns {
            if let Some(text) = text {
                *kept = pattern(member, text, chars_max)?;
            }
        }
        if let Some(pairs) = update.attributes {
            rule.attributes = attributes(pairs)?;
        }
        if let Some(new) = update.boost {
            rule.boost = Some(boost(new)?);
        }
        Ok(rule)
    }

    /// Tells whether the rule is for a request: every one of its patterns matches, and each of its
    /// attributes is one of the request's.
    pub fn matches(&self, facts: &RequestFacts<'_>) -> bool {
        let pairs = [
            (&self.service_name, facts.service_name),
            (&self.service_type, facts.service_type),
            (&self.host, facts.host),
            (&self.http_method, facts.http_method),
            (&self.url_path, facts.url_path),
            (&self.resource_arn, facts.resource_arn),
        ];
        let has = |key: &str, wanted: &str| {
            let mut found = facts.attributes.iter().filter(|(name, _)| *name == key);
            found.any(|(_, value)| wildcard::matches(wanted, value))
        };
        let mut attributes = self.attributes.iter();
        pairs
            .iter()
            .all(|(wanted, found)| wildcard::matches(wanted, found))
            && attributes.all(|(key, wanted)| has(key, wanted))
    }
}

impl NewRule {
    /// Returns a rule for every request that traces none: for callers to say what differs.
    pub fn matching_all(selector: RuleSelector) -> Self {
        let any = || ANY.to_owned();
        Self {
            selector,
            resource_arn: any(),
            priority: *PRIORITIES.end(),
            fixed_rate: 0.0,
            reservoir_size: 0,
            service_name: any(),
            service_type: any(),
            host: any(),
            http_method: any(),
            url_path: any(),
            version: VERSION,
            attributes: BTreeMap::new(),
            boost: None,
        }
    }
}

impl RuleSelector {
    /// Names a rule by its name.
    pub fn by_name(name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            arn: None,
        }
    }

    /// Names a rule by its ARN.
    pub fn by_arn(arn: &str) -> Self {
        Self {
            name: None,
            arn: Some(arn.to_owned()),
        }
    }
}

impl RuleUpdate {
    /// Tells whether it says only what may change of the rule `Default`.
    fn is_for_default(&self) -> bool {
        let may_change = Self {
            selector: self.selector.clone(),
            fixed_rate: self.fixed_rate,
            reservoir_size: self.reservoir_size,
            ..Self::default()
        };
        // A rate that is no number is equal to nothing; it is judged as a rate.
        let is_nan = self.fixed_rate.is_some_and(f64::is_nan);
        is_nan || *self == may_change
    }
}

impl RateBoost {
    /// Returns the least time from the beginning of one boost to that of the next.
    pub(crate) fn cooldown(&self) -> Duration {
        Duration::from_secs(u64::from(self.cooldown_minutes) * 60)
    }
}

/// Returns a name as it is if a rule may have it. The service's own rule for characters is not
/// published: anything visible is taken.
fn check_name(name: String) -> Result<String, SamplingError> {
    let n_chars = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&n_chars) {
        let text = format!("RuleName must have 1 to {NAME_CHARS_MAX} characters and has {n_chars}");
        return Err(SamplingError::Invalid(text));
    }
    if name.chars().any(char::is_control) {
        let text = "RuleName must not contain control characters".to_owned();
        return Err(SamplingError::Invalid(text));
    }
    Ok(name)
}

/// Returns a pattern as it is if a rule may have it. None may be empty: it would match no request,
/// and the SDKs pass over rules with an empty `ServiceType`.
fn pattern(member: &str, text: String, chars_max: usize) -> Result<String, SamplingError> {
    let n_chars = text.chars().count();
    let fault = if n_chars == 0 {
        format!("{member} must not be empty; \"*\" matches anything")
    } else if n_chars > chars_max {
        format!("{member} must have at most {chars_max} characters and has {n_chars}")
    } else {
        return Ok(text);
    };
    Err(SamplingError::Invalid(fault))
}

fn rate(member: &str, rate: f64) -> Result<f64, SamplingError> {
    if (0.0..=1.0).contains(&rate) {
        // Adding zero makes a negative zero a plain one.
        return Ok(rate + 0.0);
    }
    let text = format!("{member} must be from 0 to 1 and is {rate}");
    Err(SamplingError::Invalid(text))
}

fn number(member: &str, number: i64, range: RangeInclusive<i64>) -> Result<u32, SamplingError> {
    let known = u32::try_from(number)
        .ok()
        .filter(|_| range.contains(&number));
    known.ok_or_else(|| {
        let (first, last) = (range.start(), range.end());
        SamplingError::Invalid(format!(
            "{member} must be from {first} to {last} and is {number}"
        ))
    })
}

fn attributes(pairs: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, SamplingError> {
    if pairs.len() > ATTRIBUTES_MAX {
        let text = format!(
            "Attributes must have at most {ATTRIBUTES_MAX} pairs and has {}",
            pairs.len()
        );
        return Err(SamplingError::Invalid(text));
    }
    let is_valid = |text: &String| (1..=ATTRIBUTE_CHARS_MAX).contains(&text.chars().count());
    for (key, value) in &pairs {
        if !is_valid(key) || !is_valid(value) {
            let text = format!(
                "keys and values of Attributes must have 1 to {ATTRIBUTE_CHARS_MAX} characters"
            );
            return Err(SamplingError::Invalid(text));
        }
    }
    Ok(pairs)
}

fn boost(new: NewRateBoost) -> Result<RateBoost, SamplingError> {
    Ok(RateBoost {
        max_rate: rate("MaxRate", new.max_rate)?,
        cooldown_minutes: number("CooldownWindowMinutes", new.cooldown_minutes, SIZES)?,
    })
}

const ANY: &str = "*";
const VERSION: i64 = 1;
const DEFAULT_PRIORITY: u32 = 10_000;
const PRIORITIES: RangeInclusive<i64> = 1..=9_999;
/// Integers of the API have 32 bits.
const SIZES: RangeInclusive<i64> = 0..=2_147_483_647;
const NAME_CHARS_MAX: usize = 32;
const ATTRIBUTES_MAX: usize = 5;
const ATTRIBUTE_CHARS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn check_new(change: impl FnOnce(&mut NewRule), expected: &str) {
        let mut new = NewRule::matching_all(RuleSelector::by_name("a"));
        change(&mut new);
        let name = new.selector.name.clone().unwrap();
        let outcome = Rule::new(name, new.clone());
        match outcome {
            Ok(rule) => {
                assert_eq!(expected, "", "{new:?}");
                assert_eq!(rule.url_path, new.url_path);
            }
            Err(error) => assert_eq!(error.to_string(), expected, "{new:?}"),
        }
    }

    #[test]
    fn rules_are_checked_member_by_member() {
        check_new(|_| {}, "");
        let named = |name: &'static str| {
            move |new: &mut NewRule| new.selector = RuleSelector::by_name(name)
        };
        check_new(named(&LONG[..32]), "");
        check_new(
            named(&LONG[..33]),
            "RuleName must have 1 to 32 characters and has 33",
        );
        check_new(named(""), "RuleName must have 1 to 32 characters and has 0");
        check_new(
            named("a\nb"),
            "RuleName must not contain control characters",
        );
        check_new(named("my rule/\u{e9}"), "");
        check_new(|new| new.priority = 1, "");
        check_new(
            |new| new.priority = 0,
            "Priority must be from 1 to 9999 and is 0",
        );
        check_new(
            |new| new.priority = 10_000,
            "Priority must be from 1 to 9999 and is 10000",
        );
        check_new(|new| new.fixed_rate = 1.0, "");
        check_new(
            |new| new.fixed_rate = 1.1,
            "FixedRate must be from 0 to 1 and is 1.1",
        );
        check_new(
            |new| new.fixed_rate = f64::NAN,
            "FixedRate must be from 0 to 1 and is NaN",
        );
        check_new(
            |new| new.reservoir_size = -1,
            "ReservoirSize must be from 0 to 2147483647 and is -1",
        );
        check_new(|new| new.reservoir_size = 2_147_483_647, "");
        check_new(|new| new.version = 2, "Version must be 1 and is 2");
        check_new(
            |new| new.service_type.clear(),
            "ServiceType must not be empty; \"*\" matches anything",
        );
        check_new(
            |new| new.http_method = "LONGMETHODS".to_owned(),
            "HTTPMethod must have at most 10 characters and has 11",
        );
        check_new(|new| new.url_path = LONG[..128].to_owned(), "");
        check_new(
            |new| new.url_path = LONG[..129].to_owned(),
            "URLPath must have at most 128 characters and has 129",
        );
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        check_new(
            |new| new.attributes = (0..5).map(|n| pair(&n.to_string(), "v")).collect(),
            "",
        );
        check_new(
            |new| new.attributes = (0..6).map(|n| pair(&n.to_string(), "v")).collect(),
            "Attributes must have at most 5 pairs and has 6",
        );
        check_new(
            |new| new.attributes = [pair("k", "")].into(),
            "keys and values of Attributes must have 1 to 32 characters",
        );
    }

    const LONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn boosts_are_checked() {
        let with = |max_rate, cooldown_minutes| {
            move |new: &mut NewRule| {
                new.boost = Some(NewRateBoost {
                    max_rate,
                    cooldown_minutes,
                });
            }
        };
        check_new(with(1.0, 0), "");
        check_new(with(-0.1, 0), "MaxRate must be from 0 to 1 and is -0.1");
        check_new(
            with(0.5, -1),
            "CooldownWindowMinutes must be from 0 to 2147483647 and is -1",
        );
    }

    fn check_update(rule: &Rule, update: RuleUpdate, expected: Result<Rule, &str>) {
        let text = format!("{update:?}");
        let outcome = rule.updated(update);
        assert_eq!(
            outcome.map_err(|error| error.to_string()),
            expected.map_err(str::to_owned),
            "{text}"
        );
    }

    #[test]
    fn updates_change_what_they_name() {
        let new = NewRule::matching_all(RuleSelector::by_name("a"));
        let rule = Rule::new("a".to_owned(), new).unwrap();
        check_update(&rule, RuleUpdate::default(), Ok(rule.clone()));
        let update = RuleUpdate {
            priority: Some(7),
            fixed_rate: Some(0.5),
            reservoir_size: Some(3),
            resource_arn: Some("r".to_owned()),
            service_name: Some("n".to_owned()),
            service_type: Some("t".to_owned()),
            host: Some("h".to_owned()),
            http_method: Some("m".to_owned()),
            url_path: Some("u".to_owned()),
            attributes: Some([("k".to_owned(), "v".to_owned())].into()),
            boost: Some(NewRateBoost {
                max_rate: 0.75,
                cooldown_minutes: 9,
            }),
            ..RuleUpdate::default()
        };
        let changed = Rule {
            name: "a".to_owned(),
            priority: 7,
            fixed_rate: 0.5,
            reservoir_size: 3,
            resource_arn: "r".to_owned(),
            service_name: "n".to_owned(),
            service_type: "t".to_owned(),
            host: "h".to_owned(),
            http_method: "m".to_owned(),
            url_path: "u".to_owned(),
            attributes: [("k".to_owned(), "v".to_owned())].into(),
            boost: Some(RateBoost {
                max_rate: 0.75,
                cooldown_minutes: 9,
            }),
        };
        check_update(&rule, update, Ok(changed));
        let update = RuleUpdate {
            priority: Some(10_000),
            ..RuleUpdate::default()
        };
        check_update(
            &rule,
            update,
            Err("Priority must be from 1 to 9999 and is 10000"),
        );
        let update = RuleUpdate {
            host: Some(String::new()),
            ..RuleUpdate::default()
        };
        check_update(
            &rule,
            update,
            Err("Host must not be empty; \"*\" matches anything"),
        );
    }

    #[test]
    fn only_rate_and_reservoir_of_default_change() {
        let rule = Rule::default_rule();
        let update = RuleUpdate {
            fixed_rate: Some(0.25),
            reservoir_size: Some(9),
            ..RuleUpdate::default()
        };
        let changed = Rule {
            fixed_rate: 0.25,
            reservoir_size: 9,
            ..rule.clone()
        };
        check_update(&rule, update, Ok(changed));
        let refused = Err("Invalid update request for default sampling rule");
        let update = RuleUpdate {
            host: Some("*".to_owned()),
            ..RuleUpdate::default()
        };
        check_update(&rule, update, refused.clone());
        let update = RuleUpdate {
            attributes: Some(BTreeMap::new()),
            fixed_rate: Some(0.25),
            ..RuleUpdate::default()
        };
        check_update(&rule, update, refused);
        let update = RuleUpdate {
            fixed_rate: Some(f64::NAN),
            ..RuleUpdate::default()
        };
        check_update(
            &rule,
            update,
            Err("FixedRate must be from 0 to 1 and is NaN"),
        );
    }

    fn check_match(change: impl FnOnce(&mut Rule), facts: RequestFacts<'_>, expected: bool) {
        let mut rule = Rule::default_rule();
        change(&mut rule);
        assert_eq!(rule.matches(&facts), expected, "{rule:?} {facts:?}");
    }

    #[test]
    fn a_rule_is_for_requests_all_its_patterns_match() {
        let facts = RequestFacts {
            service_name: "Scorekeep",
            service_type: "AWS::EC2::Instance",
            host: "shop.example.com",
            http_method: "GET",
            url_path: "/api/state/7",
            resource_arn: "arn:aws:ecs:x",
            attributes: &[("team", "red"), ("tier", "gold")],
        };
        check_match(|_| {}, RequestFacts::default(), true);
        check_match(|_| {}, facts, true);
        check_match(|rule| rule.service_name = "score*".to_owned(), facts, true);
        check_match(|rule| rule.service_name = "shop".to_owned(), facts, false);
        check_match(
            |rule| rule.service_type = "AWS::ECS::*".to_owned(),
            facts,
            false,
        );
        check_match(|rule| rule.host = "*.example.org".to_owned(), facts, false);
        check_match(|rule| rule.http_method = "get".to_owned(), facts, true);
        check_match(|rule| rule.http_method = "POST".to_owned(), facts, false);
        check_match(|rule| rule.url_path = "/api/*".to_owned(), facts, true);
        check_match(|rule| rule.url_path = "/web/*".to_owned(), facts, false);
        check_match(
            |rule| rule.resource_arn = "arn:aws:ec2:*".to_owned(),
            facts,
            false,
        );
        let with = |key: &str, value: &str| {
            let pair = (key.to_owned(), value.to_owned());
            move |rule: &mut Rule| rule.attributes = [pair].into()
        };
        check_match(with("team", "R?D"), facts, true);
        check_match(with("team", "gold"), facts, false);
        check_match(with("color", "*"), facts, false);
        check_match(
            |rule| rule.host = "?*".to_owned(),
            RequestFacts::default(),
            false,
        );
    }
}
