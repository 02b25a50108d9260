//! Groups: named filters of traces.

use std::sync::Arc;

use account::{Group, GroupChange, Groups, InsightsChange, NewGroup};
use protocol::shapes::{
    self, CreateGroupRequest, DeleteGroupRequest, EmptyResponse, GetGroupRequest, GetGroupsRequest,
    GetGroupsResponse, GroupResponse, GroupSelector, InsightsConfiguration, UpdateGroupRequest,
};
use protocol::token::{Kind, TokenKey};
use protocol::{ApiError, decode, json_response};

use super::{account_error, blocking, name_after, pairs, token_after};
use crate::app::App;
use crate::clock;
use crate::http::answer::Answer;
use crate::http::body::Received;

pub(super) async fn create(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: CreateGroupRequest = decode(&body.bytes)?;
    let new = NewGroup {
        name: request.group_name,
        filter: request.filter_expression,
        insights: insights_change(request.insights_configuration),
        tags: pairs(request.tags),
    };
    let group = blocking(app, |app| {
        let groups = &app.settings.groups;
        let made = groups.create(new, clock::now()).map_err(account_error)?;
        app.classify();
        Ok(made)
    })
    .await?;
    Ok(json_response(&response(&group), request_id).into())
}

pub(super) async fn update(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: UpdateGroupRequest = decode(&body.bytes)?;
    let change = GroupChange {
        filter: request.filter_expression,
        insights: insights_change(request.insights_configuration),
    };
    let group = blocking(app, move |app| {
        let groups = &app.settings.groups;
        let selected = selector(&request.group);
        let changed = groups.update(selected, change, clock::now());
        let changed = changed.map_err(account_error)?;
        app.classify();
        Ok(changed)
    })
    .await?;
    Ok(json_response(&response(&group), request_id).into())
}

pub(super) async fn delete(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: DeleteGroupRequest = decode(&body.bytes)?;
    blocking(app, move |app| {
        let groups = &app.settings.groups;
        let deleted = groups.delete(selector(&request.group));
        deleted.map_err(account_error)?;
        app.classify();
        Ok(())
    })
    .await?;
    Ok(json_response(&EmptyResponse {}, request_id).into())
}

pub(super) fn get(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: GetGroupRequest = decode(&body.bytes)?;
    let groups = &app.settings.groups;
    let group = groups
        .get(selector(&request.group))
        .map_err(account_error)?;
    Ok(json_response(&response(&group), request_id).into())
}

pub(super) fn list(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: GetGroupsRequest = decode(&body.bytes)?;
    let groups = &app.settings.groups;
    let page = page(groups, &app.token_key, &request, GROUPS_PER_PAGE)?;
    Ok(json_response(&page, request_id).into())
}

fn page(
    groups: &Groups,
    key: &TokenKey,
    request: &GetGroupsRequest,
    n_max: usize,
) -> Result<GetGroupsResponse, ApiError> {
    let after = name_after(key, Kind::GetGroups, request.next_token.as_deref())?;
    let page = groups.list(after.as_deref(), n_max);
    Ok(GetGroupsResponse {
        groups: page.groups.iter().map(|group| shape(group)).collect(),
        next_token: page
            .next
            .map(|last| token_after(key, Kind::GetGroups, &last)),
    })
}

pub(super) fn selector(group: &GroupSelector) -> account::Selector<'_> {
    match group {
        GroupSelector::Name(name) => account::Selector::name(name),
        GroupSelector::Arn(arn) => account::Selector::arn(arn),
    }
}

fn insights_change(configuration: Option<InsightsConfiguration>) -> InsightsChange {
    let configuration = configuration.unwrap_or_default();
    InsightsChange {
        enabled: configuration.insights_enabled,
        notifications: configuration.notifications_enabled,
    }
}

fn response(group: &Group) -> GroupResponse {
    GroupResponse {
        group: shape(group),
    }
}

/// Returns a group as it is sent: one without a filter has an empty one, so that clients that read it
/// as a text find one.
fn shape(group: &Group) -> shapes::Group {
    shapes::Group {
        group_name: group.name.clone(),
        group_arn: group.arn.clone(),
        filter_expression: Some(group.filter().to_owned()),
        insights_configuration: Some(InsightsConfiguration {
            insights_enabled: Some(group.insights.enabled),
            notifications_enabled: Some(group.insights.notifications),
        }),
    }
}

/// More than an account may have, `Default` included: clients that read one page have them all.
const GROUPS_PER_PAGE: usize = 100;

#[cfg(test)]
mod tests {
    use account::{FilterCheck, Settings};
    use model::{Account, Tenant, Timestamp};
    use storage::SledControl;

    use super::*;

    const KEY: TokenKey = TokenKey([7; 32]);

    fn names(groups: &[shapes::Group]) -> Vec<&str> {
        groups
            .iter()
            .map(|group| group.group_name.as_str())
            .collect()
    }

    #[test]
    fn pages_put_together_are_all_groups() {
        let folder = tempfile::tempdir().unwrap();
        let control = Arc::new(SledControl::open(folder.path()).unwrap());
        let account = Account {
            id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let check: FilterCheck = Arc::new(|_| Ok(()));
        let now = Timestamp::from_secs(1);
        let settings = Settings::open(control, Tenant(1), account, check, now).unwrap();
        let mut expected = vec!["Default".to_owned()];
        for letter in ["E", "F", "G", "H"] {
            let name = letter.repeat(32);
            expected.push(name.clone());
            let new = NewGroup {
                name,
                ..NewGroup::default()
            };
            settings.groups.create(new, now).unwrap();
        }
        let page_of = |request: &GetGroupsRequest| page(&settings.groups, &KEY, request, 2);
        let mut found = Vec::new();
        let mut request = GetGroupsRequest { next_token: None };
        loop {
            let page = page_of(&request).unwrap();
            found.extend(names(&page.groups).into_iter().map(str::to_owned));
            let Some(next_token) = page.next_token else {
                break;
            };
            assert!((1..=100).contains(&next_token.len()), "{next_token}");
            request.next_token = Some(next_token);
        }
        assert_eq!(found, expected);
        request.next_token = Some("x".to_owned());
        assert_eq!(page_of(&request).unwrap_err().status().as_u16(), 400);
    }
}
