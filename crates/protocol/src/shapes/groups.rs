//! Groups: named filter expressions with a graph and insights of their own.

use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::{List, Object, Shape};
use crate::shapes::selector::{GroupSelector, required_group};
use crate::shapes::tags::{Tag, TagWire, tags};

/// The request of `CreateGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateGroupRequest {
    /// The name, 1 to 32 characters.
    pub group_name: String,
    /// Which traces belong to it, as the client wrote it.
    pub filter_expression: Option<String>,
    /// Whether insights are looked for.
    pub insights_configuration: Option<InsightsConfiguration>,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

/// The request of `GetGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetGroupRequest {
    /// The group.
    pub group: GroupSelector,
}

/// The request of `DeleteGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteGroupRequest {
    /// The group.
    pub group: GroupSelector,
}

/// The request of `UpdateGroup`: what is absent stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateGroupRequest {
    /// The group.
    pub group: GroupSelector,
    /// Which traces belong to it from now on; an empty text means all.
    pub filter_expression: Option<String>,
    /// Whether insights are looked for.
    pub insights_configuration: Option<InsightsConfiguration>,
}

/// The request of `GetGroups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetGroupsRequest {
    /// Where the last page ended, 1 to 100 characters.
    pub next_token: Option<String>,
}

/// The response of `CreateGroup`, `GetGroup` and `UpdateGroup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupResponse {
    /// The group as it is now.
    pub group: Group,
}

/// The response of `GetGroups`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetGroupsResponse {
    /// The groups.
    pub groups: Vec<Group>,
    /// Where the next page starts, at most 100 characters; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A group; in lists the API calls the same members a `GroupSummary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Group {
    /// Its name.
    pub group_name: String,
    /// Its ARN.
    #[serde(rename = "GroupARN")]
    pub group_arn: String,
    /// Which traces belong to it, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_expression: Option<String>,
    /// Whether insights are looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insights_configuration: Option<InsightsConfiguration>,
}

/// Whether insights are looked for in a group, and told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InsightsConfiguration {
    /// Whether they are looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insights_enabled: Option<bool>,
    /// Whether they are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications_enabled: Option<bool>,
}

/// The members of `CreateGroup` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateGroupWire {
    group_name: Option<String>,
    filter_expression: Option<String>,
    insights_configuration: Option<Object<InsightsConfiguration>>,
    tags: Option<List<Object<TagWire>>>,
}

/// The members of `GetGroup` and `DeleteGroup` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupSelectorWire {
    group_name: Option<String>,
    #[serde(rename = "GroupARN")]
    group_arn: Option<String>,
}

/// The members of `UpdateGroup` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateGroupWire {
    group_name: Option<String>,
    #[serde(rename = "GroupARN")]
    group_arn: Option<String>,
    filter_expression: Option<String>,
    insights_configuration: Option<Object<InsightsConfiguration>>,
}

/// The members of `GetGroups` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetGroupsWire {
    next_token: Option<String>,
}

impl Shape<'_> for CreateGroupRequest {
    type Wire = CreateGroupWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let group_name = violations.required_text("groupName", wire.group_name, 1, 32);
        let tags = tags(wire.tags, violations);
        let configuration = wire.insights_configuration;
        Some(Self {
            group_name: group_name?,
            filter_expression: wire.filter_expression,
            insights_configuration: configuration.map(|Object(configuration)| configuration),
            tags,
        })
    }
}

impl Shape<'_> for GetGroupRequest {
    type Wire = GroupSelectorWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let group = required_group(wire.group_name, wire.group_arn, violations)?;
        Some(Self { group })
    }
}

impl Shape<'_> for DeleteGroupRequest {
    type Wire = GroupSelectorWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let group = required_group(wire.group_name, wire.group_arn, violations)?;
        Some(Self { group })
    }
}

impl Shape<'_> for UpdateGroupRequest {
    type Wire = UpdateGroupWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let configuration = wire.insights_configuration;
        Some(Self {
            group: required_group(wire.group_name, wire.group_arn, violations)?,
            filter_expression: wire.filter_expression,
            insights_configuration: configuration.map(|Object(configuration)| configuration),
        })
    }
}

impl Shape<'_> for GetGroupsRequest {
    type Wire = GetGroupsWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let next_token = violations.text("nextToken", wire.next_token, 1, 100);
        Some(Self { next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::shapes::Selector;

    #[test]
    fn what_a_client_leaves_out_is_not_what_it_empties() {
        let update = |body: &str| decode::<UpdateGroupRequest>(body.as_bytes()).unwrap();
        let expected = UpdateGroupRequest {
            group: Selector::Name("g".into()),
            filter_expression: None,
            insights_configuration: None,
        };
        assert_eq!(
            update(r#"{"GroupName": "g", "FilterExpression": null}"#),
            expected
        );
        let emptied = update(
            r#"{"GroupName": "g", "FilterExpression": "", "InsightsConfiguration": {"InsightsEnabled": false}}"#,
        );
        assert_eq!(emptied.filter_expression.as_deref(), Some(""));
        let configuration = InsightsConfiguration {
            insights_enabled: Some(false),
            notifications_enabled: None,
        };
        assert_eq!(emptied.insights_configuration, Some(configuration));
    }

    #[test]
    fn a_new_group_comes_with_its_tags() {
        let body = br#"{"GroupName": "g", "FilterExpression": "fault", "Tags": [{"Key": "k", "Value": "v"}]}"#;
        let request: CreateGroupRequest = decode(body).unwrap();
        assert_eq!(
            (&*request.group_name, request.filter_expression.as_deref()),
            ("g", Some("fault"))
        );
        assert_eq!(request.tags.len(), 1);
    }

    #[test]
    fn a_null_token_asks_for_the_first_page() {
        let request: GetGroupsRequest = decode(br#"{"NextToken": null}"#).unwrap();
        assert_eq!(request.next_token, None);
        assert!(decode::<GetGroupsRequest>(br#"{"NextToken": ""}"#).is_err());
    }
}
