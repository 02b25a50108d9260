//! Encryption, resource policies, indexing rules and the destination of segments.

use std::sync::Arc;

use account::{Encryption, EncryptionConfig, LogsConfiguration, NewPolicy, SegmentDestination};
use protocol::shapes::{
    self, DeleteResourcePolicyRequest, EmptyResponse, EncryptionConfigResponse,
    GetEncryptionConfigRequest, GetIndexingRulesRequest, GetIndexingRulesResponse,
    GetTraceSegmentDestinationRequest, IndexingRule, IndexingRuleValue, IndexingRuleValueUpdate,
    ListResourcePoliciesRequest, ListResourcePoliciesResponse, PutEncryptionConfigRequest,
    PutResourcePolicyRequest, PutResourcePolicyResponse, ResourcePolicy,
    TraceSegmentDestinationResponse, UpdateIndexingRuleRequest, UpdateIndexingRuleResponse,
    UpdateTraceSegmentDestinationRequest, WireTime,
};
use protocol::{ApiError, decode, json_response};

use super::{account_error, blocking, only_page};
use crate::app::App;
use crate::clock;
use crate::http::answer::Answer;
use crate::http::body::Received;

pub(super) fn get_encryption(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let GetEncryptionConfigRequest = decode(&body.bytes)?;
    let config = app.settings.encryption.get();
    Ok(json_response(&encryption(config), request_id).into())
}

pub(super) async fn put_encryption(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: PutEncryptionConfigRequest = decode(&body.bytes)?;
    let config = blocking(app, move |app| {
        let (kind, key_id) = match &request {
            PutEncryptionConfigRequest::None => (account::EncryptionType::None, None),
            PutEncryptionConfigRequest::Kms { key_id } => {
                (account::EncryptionType::Kms, Some(key_id.as_str()))
            }
        };
        let configs = &app.settings.encryption;
        configs.put(kind, key_id).map_err(account_error)
    })
    .await?;
    Ok(json_response(&encryption(config), request_id).into())
}

pub(super) async fn put_policy(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: PutResourcePolicyRequest = decode(&body.bytes)?;
    let new = NewPolicy {
        name: request.policy_name,
        document: request.policy_document,
        revision: request.policy_revision_id,
        bypass_lockout: request.bypass_policy_lockout_check,
    };
    let put = blocking(app, |app| {
        let policies = &app.settings.policies;
        policies.put(new, clock::now()).map_err(account_error)
    })
    .await?;
    let response = PutResourcePolicyResponse {
        resource_policy: policy(&put),
    };
    Ok(json_response(&response, request_id).into())
}

pub(super) async fn delete_policy(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: DeleteResourcePolicyRequest = decode(&body.bytes)?;
    blocking(app, move |app| {
        let revision = request.policy_revision_id.as_deref();
        let policies = &app.settings.policies;
        policies
            .delete(&request.policy_name, revision)
            .map_err(account_error)
    })
    .await?;
    Ok(json_response(&EmptyResponse {}, request_id).into())
}

/// Answers with all policies at once: an account may have five.
pub(super) fn list_policies(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: ListResourcePoliciesRequest = decode(&body.bytes)?;
    only_page(request.next_token.as_deref())?;
    let policies = app.settings.policies.list();
    let response = ListResourcePoliciesResponse {
        resource_policies: policies.iter().map(|stored| policy(stored)).collect(),
        next_token: None,
    };
    Ok(json_response(&response, request_id).into())
}

/// Answers with all indexing rules at once: there is one.
pub(super) fn get_indexing_rules(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: GetIndexingRulesRequest = decode(&body.bytes)?;
    only_page(request.next_token.as_deref())?;
    let rules = app.settings.indexing.list();
    let response = GetIndexingRulesResponse {
        indexing_rules: rules.into_iter().map(indexing_rule).collect(),
        next_token: None,
    };
    Ok(json_response(&response, request_id).into())
}

pub(super) async fn update_indexing_rule(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: UpdateIndexingRuleRequest = decode(&body.bytes)?;
    let IndexingRuleValueUpdate::Probabilistic {
        desired_sampling_percentage: percentage,
    } = request.rule;
    let rule = blocking(app, move |app| {
        let rules = &app.settings.indexing;
        rules
            .update(&request.name, percentage, clock::now())
            .map_err(account_error)
    })
    .await?;
    let response = UpdateIndexingRuleResponse {
        indexing_rule: indexing_rule(rule),
    };
    Ok(json_response(&response, request_id).into())
}

pub(super) fn get_destination(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let GetTraceSegmentDestinationRequest = decode(&body.bytes)?;
    let current = app.settings.destination.get();
    Ok(json_response(&destination(current), request_id).into())
}

pub(super) async fn update_destination(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: UpdateTraceSegmentDestinationRequest = decode(&body.bytes)?;
    let wanted = request.destination.map(|wanted| match wanted {
        shapes::Destination::XRay => account::Destination::XRay,
        shapes::Destination::CloudWatchLogs => account::Destination::CloudWatchLogs,
    });
    let updated = blocking(app, move |app| {
        let key_id = request.spans_log_group_kms_key_id.as_deref();
        let logs = key_id.map(|key_id| LogsConfiguration {
            spans_log_group_kms_key_id: Some(key_id),
        });
        let destinations = &app.settings.destination;
        destinations.update(wanted, logs).map_err(account_error)
    })
    .await?;
    Ok(json_response(&destination(updated), request_id).into())
}

fn encryption(config: EncryptionConfig) -> EncryptionConfigResponse {
    let (encryption_type, key_id) = match config.encryption {
        Encryption::None => (shapes::EncryptionType::None, None),
        Encryption::Kms { key_arn } => (shapes::EncryptionType::Kms, Some(key_arn)),
    };
    let status = match config.status {
        account::EncryptionStatus::Updating => shapes::EncryptionStatus::Updating,
        account::EncryptionStatus::Active => shapes::EncryptionStatus::Active,
    };
    EncryptionConfigResponse {
        encryption_config: shapes::EncryptionConfig {
            key_id,
            status,
            encryption_type,
        },
    }
}

fn policy(policy: &account::ResourcePolicy) -> ResourcePolicy {
    ResourcePolicy {
        policy_name: policy.name.clone(),
        policy_document: policy.document.clone(),
        policy_revision_id: policy.revision.to_string(),
        last_updated_time: WireTime(policy.updated_at),
    }
}

fn indexing_rule(rule: account::IndexingRule) -> IndexingRule {
    IndexingRule {
        name: rule.name,
        modified_at: WireTime(rule.modified_at),
        rule: IndexingRuleValue::Probabilistic {
            desired_sampling_percentage: rule.desired_percentage,
            actual_sampling_percentage: rule.actual_percentage,
        },
    }
}

fn destination(destination: SegmentDestination) -> TraceSegmentDestinationResponse {
    TraceSegmentDestinationResponse {
        destination: match destination.destination {
            account::Destination::XRay => shapes::Destination::XRay,
            account::Destination::CloudWatchLogs => shapes::Destination::CloudWatchLogs,
        },
        status: match destination.status {
            account::DestinationStatus::Pending => shapes::DestinationStatus::Pending,
            account::DestinationStatus::Active => shapes::DestinationStatus::Active,
        },
    }
}
