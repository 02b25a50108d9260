//! Things that have a name and an ARN, named by either.

use crate::Violations;

/// Which group or sampling rule is meant: clients name it by one of two members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By its name.
    Name(String),
    /// By its ARN, as the client wrote it.
    Arn(String),
}

/// Which group is meant.
pub type GroupSelector = Selector;
/// Which sampling rule is meant.
pub type RuleSelector = Selector;

/// Returns the group two optional members name, if one does.
pub(crate) fn group(
    name: Option<String>,
    arn: Option<String>,
    violations: &mut Violations,
) -> Option<GroupSelector> {
    let name = violations.text("groupName", name, 1, 32);
    let arn = violations.text("groupARN", arn, 1, 400);
    either("groupName", name, "groupARN", arn, violations)
}

/// Returns the group two members name, of which one is required.
pub(crate) fn required_group(
    name: Option<String>,
    arn: Option<String>,
    violations: &mut Violations,
) -> Option<GroupSelector> {
    if name.is_none() && arn.is_none() {
        violations.add_absent("groupName", "Member must not be null without groupARN");
    }
    group(name, arn, violations)
}

/// Returns the sampling rule two members name, of which one is required.
///
/// In `SamplingRuleUpdate` the name has 1 to 32 characters; `DeleteSamplingRule` has no bounds of its
/// own, but no rule has another name.
pub(crate) fn required_rule(
    name: Option<String>,
    arn: Option<String>,
    violations: &mut Violations,
) -> Option<RuleSelector> {
    if name.is_none() && arn.is_none() {
        violations.add_absent("ruleName", "Member must not be null without ruleARN");
    }
    let name = violations.text("ruleName", name, 1, 32);
    let arn = violations.text("ruleARN", arn, 1, usize::MAX);
    either("ruleName", name, "ruleARN", arn, violations)
}

fn either(
    name_member: &str,
    name: Option<String>,
    arn_member: &str,
    arn: Option<String>,
    violations: &mut Violations,
) -> Option<Selector> {
    match (name, arn) {
        (Some(_), Some(arn)) => {
            let constraint = format!("Member must not be given together with {name_member}");
            violations.add(arn_member, &arn, &constraint);
            None
        }
        (Some(name), None) => Some(Selector::Name(name)),
        (None, Some(arn)) => Some(Selector::Arn(arn)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::shapes::{DeleteSamplingRuleRequest, GetGroupRequest, GetServiceGraphRequest};

    fn check_group(body: &str, expected: Result<GroupSelector, &str>) {
        let request = decode::<GetGroupRequest>(body.as_bytes());
        let found = request.map(|request| request.group);
        let found = found.map_err(|error| error.message().to_owned());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_group_goes_by_its_name_or_its_arn() {
        check_group(r#"{"GroupName": "a"}"#, Ok(Selector::Name("a".into())));
        check_group(
            r#"{"GroupARN": "arn:a", "GroupName": null}"#,
            Ok(Selector::Arn("arn:a".into())),
        );
        check_group(
            r#"{"GroupName": "a", "GroupARN": "arn:a"}"#,
            Err(
                "1 validation error detected: Value 'arn:a' at 'groupARN' failed to satisfy constraint: Member must not be given together with groupName",
            ),
        );
        check_group(
            "",
            Err(
                "1 validation error detected: Value null at 'groupName' failed to satisfy constraint: Member must not be null without groupARN",
            ),
        );
    }

    #[test]
    fn a_graph_needs_no_group_and_takes_one() {
        let group = |body: &str| {
            decode::<GetServiceGraphRequest>(body.as_bytes()).map(|request| request.group)
        };
        assert_eq!(group(r#"{"StartTime": 1, "EndTime": 2}"#), Ok(None));
        assert_eq!(
            group(r#"{"StartTime": 1, "EndTime": 2, "GroupName": "Default"}"#),
            Ok(Some(Selector::Name("Default".into())))
        );
        let both = group(r#"{"StartTime": 1, "EndTime": 2, "GroupName": "a", "GroupARN": "b"}"#);
        assert!(both.unwrap_err().message().contains("'groupARN'"));
    }

    #[test]
    fn a_rule_goes_by_its_name_or_its_arn() {
        let rule = |body: &str| {
            decode::<DeleteSamplingRuleRequest>(body.as_bytes()).map(|request| request.rule)
        };
        assert_eq!(rule(r#"{"RuleName": "r"}"#), Ok(Selector::Name("r".into())));
        assert_eq!(
            rule(r#"{"RuleARN": "arn:r"}"#),
            Ok(Selector::Arn("arn:r".into()))
        );
        let none = rule("{}").unwrap_err();
        assert!(
            none.message().contains("Value null at 'ruleName'"),
            "{none}"
        );
        let both = rule(r#"{"RuleName": "r", "RuleARN": "arn:r"}"#).unwrap_err();
        assert!(
            both.message().contains("Value 'arn:r' at 'ruleARN'"),
            "{both}"
        );
    }
}
