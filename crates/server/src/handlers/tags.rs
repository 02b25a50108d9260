//! Tags of groups and sampling rules.

use std::sync::Arc;

use model::Tags;
use protocol::shapes::{
    EmptyResponse, ListTagsForResourceRequest, ListTagsForResourceResponse, Tag,
    TagResourceRequest, UntagResourceRequest,
};
use protocol::{ApiError, decode, json_response};

use super::{account_error, blocking, only_page, pairs, sampling_error};
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::body::Received;

pub(super) async fn tag(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: TagResourceRequest = decode(&body.bytes)?;
    let arn = request.resource_arn;
    let tags = pairs(request.tags);
    blocking(app, move |app| match tagged(&arn)? {
        Tagged::Group => app.settings.groups.tag(&arn, tags).map_err(account_error),
        Tagged::SamplingRule => app.sampling.tag(&arn, tags).map_err(sampling_error),
    })
    .await?;
    Ok(json_response(&EmptyResponse {}, request_id).into())
}

pub(super) async fn untag(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: UntagResourceRequest = decode(&body.bytes)?;
    let (arn, keys) = (request.resource_arn, request.tag_keys);
    blocking(app, move |app| match tagged(&arn)? {
        Tagged::Group => app
            .settings
            .groups
            .untag(&arn, &keys)
            .map_err(account_error),
        Tagged::SamplingRule => app
            .sampling
            .untag(&arn, keys.iter().map(String::as_str))
            .map_err(sampling_error),
    })
    .await?;
    Ok(json_response(&EmptyResponse {}, request_id).into())
}

/// Answers with all tags at once: a resource has no more than fit on any page.
pub(super) fn list(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: ListTagsForResourceRequest = decode(&body.bytes)?;
    let arn = request.resource_arn.as_str();
    let tags = match tagged(arn)? {
        Tagged::Group => app.settings.groups.tags(arn).map_err(account_error)?,
        Tagged::SamplingRule => app.sampling.tags(arn).map_err(sampling_error)?,
    };
    only_page(request.next_token.as_deref())?;
    let response = ListTagsForResourceResponse {
        tags: shapes(&tags),
        next_token: None,
    };
    Ok(json_response(&response, request_id).into())
}

/// What can have tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tagged {
    Group,
    SamplingRule,
}

/// Returns what an ARN is the name of, by its form alone.
fn tagged(arn: &str) -> Result<Tagged, ApiError> {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    if resource.starts_with("group/") {
        return Ok(Tagged::Group);
    }
    if resource.starts_with("sampling-rule/") {
        return Ok(Tagged::SamplingRule);
    }
    let message = "ResourceARN is not the ARN of a group or a sampling rule";
    Err(ApiError::resource_not_found(message, arn))
}

fn shapes(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&str, &str)| Tag {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    tags.iter().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arn: &str, expected: Option<Tagged>) {
        match (tagged(arn), expected) {
            (Ok(found), expected) => assert_eq!(Some(found), expected, "{arn}"),
            (Err(error), expected) => {
                assert_eq!(expected, None, "{arn}");
                assert_eq!(error.status().as_u16(), 404);
                assert_eq!(error.resource_name(), Some(arn));
            }
        }
    }

    #[test]
    fn the_form_of_an_arn_says_what_it_names() {
        let group = "arn:aws:xray:us-east-1:000000000000:group/a/ID";
        check(group, Some(Tagged::Group));
        let rule = "arn:aws:xray:us-east-1:000000000000:sampling-rule/group/a:b";
        check(rule, Some(Tagged::SamplingRule));
        let older = "arn:aws:xray:us-east-1::sampling-rule/Default";
        check(older, Some(Tagged::SamplingRule));
        for arn in [
            "x",
            "group/a",
            "a:b:c:d:e:f",
            "arn:aws:xray:us-east-1:000000000000:group",
            "arn:aws:xray:us-east-1:group/a/ID",
        ] {
            check(arn, None);
        }
    }
}
