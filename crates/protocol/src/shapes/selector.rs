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
