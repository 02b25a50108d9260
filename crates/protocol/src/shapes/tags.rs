//! `TagResource`, `UntagResource` and `ListTagsForResource`.

use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::{List, Object, Shape};
use crate::shapes::wire::not_empty;

/// A label of a group or a sampling rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// What it is about, 1 to 128 characters.
    pub key: String,
    /// What it says, at most 256 characters.
    pub value: String,
}

/// The request of `TagResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagResourceRequest {
    /// The group or sampling rule.
    pub resource_arn: String,
    /// At most 200 tags; keys may repeat.
    pub tags: Vec<Tag>,
}

/// The request of `UntagResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntagResourceRequest {
    /// The group or sampling rule.
    pub resource_arn: String,
    /// At most 200 keys.
    pub tag_keys: Vec<String>,
}

/// The request of `ListTagsForResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListTagsForResourceRequest {
    /// The group or sampling rule.
    pub resource_arn: String,
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The response of `ListTagsForResource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsForResourceResponse {
    /// The tags.
    pub tags: Vec<Tag>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// The members of a tag as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagWire {
    key: Option<String>,
    value: Option<String>,
}

/// The members of `TagResource` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagResourceWire {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    tags: Option<List<Object<TagWire>>>,
}

/// The members of `UntagResource` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResourceWire {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    tag_keys: Option<List<String>>,
}

/// The members of `ListTagsForResource` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsForResourceWire {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    next_token: Option<String>,
}

impl Shape<'_> for TagResourceRequest {
    type Wire = TagResourceWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let resource_arn = resource_arn(wire.resource_arn, violations);
        let list = violations.required("tags", wire.tags);
        let tags = tags(list, violations);
        Some(Self {
            resource_arn: resource_arn?,
            tags,
        })
    }
}

impl Shape<'_> for UntagResourceRequest {
    type Wire = UntagResourceWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let resource_arn = resource_arn(wire.resource_arn, violations);
        let List(tag_keys) = violations.required("tagKeys", wire.tag_keys)?;
        violations.size("tagKeys", tag_keys.len(), 0, TAGS_MAX);
        violations.texts("tagKeys", &tag_keys, 1, 128);
        Some(Self {
            resource_arn: resource_arn?,
            tag_keys,
        })
    }
}

impl Shape<'_> for ListTagsForResourceRequest {
    type Wire = ListTagsForResourceWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        Some(Self {
            resource_arn: resource_arn(wire.resource_arn, violations)?,
            next_token: not_empty(wire.next_token),
        })
    }
}

/// Returns the tags of a list that may be absent.
pub(crate) fn tags(list: Option<List<Object<TagWire>>>, violations: &mut Violations) -> Vec<Tag> {
    violations.items("tags", list, TAGS_MAX, |wire, violations| {
        let key = violations.required_text("key", wire.key, 1, 128);
        let value = violations.required_text("value", wire.value, 0, 256);
        Some(Tag {
            key: key?,
            value: value?,
        })
    })
}

fn resource_arn(arn: Option<String>, violations: &mut Violations) -> Option<String> {
    violations.required_text("resourceARN", arn, 1, 1011)
}

const TAGS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn tags_are_taken_in_order_repeated_or_not() {
        let body = br#"{"ResourceARN": "arn:a", "Tags": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": ""}]}"#;
        let request: TagResourceRequest = decode(body).unwrap();
        let pairs: Vec<_> = request
            .tags
            .iter()
            .map(|tag| (&*tag.key, &*tag.value))
            .collect();
        assert_eq!(pairs, [("k", "1"), ("k", "")]);
    }

    #[test]
    fn a_broken_tag_is_named_by_its_place() {
        let body = br#"{"ResourceARN": "", "Tags": [{"Key": "k", "Value": "v"}, {"Key": "", "Value": null}]}"#;
        let error = decode::<TagResourceRequest>(body).unwrap_err();
        assert_eq!(
            error.message(),
            "3 validation errors detected: Value '' at 'resourceARN' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'tags.2.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1; Value null at 'tags.2.member.value' failed to satisfy constraint: Member must not be null"
        );
        let keys = format!(
            r#"{{"ResourceARN": "a", "TagKeys": [{}"", "x"]}}"#,
            r#""k","#.repeat(200)
        );
        let error = decode::<UntagResourceRequest>(keys.as_bytes()).unwrap_err();
        assert_eq!(
            error.message(),
            "2 validation errors detected: Value '202 items' at 'tagKeys' failed to satisfy constraint: Member must have length less than or equal to 200; Value '' at 'tagKeys.201.member' failed to satisfy constraint: Member must have length greater than or equal to 1"
        );
    }
}
