//! What an account has configured, by the AWS SDK for Rust.

use anyhow::{Context, Result};
use aws_sdk_xray::Client;
use aws_sdk_xray::types::{
    EncryptionType, IndexingRuleValueUpdate, InsightsConfiguration, ProbabilisticRuleValueUpdate,
    SamplingRule, SamplingRuleUpdate, SamplingStatisticsDocument, Tag, TraceSegmentDestination,
};

use super::{Driven, time};
use crate::clients::steps::Variables;

pub(super) async fn groups(client: &Client, driven: &mut Driven) -> Result<()> {
    let insights = InsightsConfiguration::builder()
        .insights_enabled(true)
        .build();
    let create = || {
        client
            .create_group()
            .group_name("slow")
            .filter_expression("responsetime > 0.5")
            .insights_configuration(insights.clone())
    };
    let call = create().tags(tag("stage", "test")?);
    let made = driven.result("CreateGroup", call.send()).await?;
    let arn = made
        .group()
        .and_then(|group| group.group_arn())
        .context("an ARN")?;
    driven
        .error("CreateGroup", create().send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;
    let found = driven
        .result("GetGroup", client.get_group().group_arn(arn).send())
        .await?;
    assert_eq!(found.group(), made.group());
    let listed = driven
        .result("GetGroups", client.get_groups().send())
        .await?;
    assert_eq!(listed.groups().len(), 2, "{listed:?}");
    let call = client
        .update_group()
        .group_name("slow")
        .filter_expression("fault");
    let changed = driven.result("UpdateGroup", call.send()).await?;
    let filter = changed.group().and_then(|group| group.filter_expression());
    assert_eq!(filter, Some("fault"));

    let call = client
        .tag_resource()
        .resource_arn(arn)
        .tags(tag("owner", "me")?);
    driven.result("TagResource", call.send()).await?;
    let mut many = client.tag_resource().resource_arn(arn);
    for number in 0..51 {
        many = many.tags(tag(&format!("key{number}"), "")?);
    }
    driven
        .error("TagResource", many.send(), |error| {
            error.is_too_many_tags_exception()
        })
        .await;
    let call = client.untag_resource().resource_arn(arn).tag_keys("stage");
    driven.result("UntagResource", call.send()).await?;
    let call = client.list_tags_for_resource().resource_arn(arn);
    let tags = driven.result("ListTagsForResource", call.send()).await?;
    assert_eq!(tags.tags(), [tag("owner", "me")?]);
    let call = client.delete_group().group_arn(arn);
    driven.result("DeleteGroup", call.send()).await?;
    let gone = client.list_tags_for_resource().resource_arn(arn);
    driven
        .error("ListTagsForResource", gone.send(), |error| {
            error.is_resource_not_found_exception()
        })
        .await;
    Ok(())
}

pub(super) async fn sampling(
    client: &Client,
    variables: &Variables,
    driven: &mut Driven,
) -> Result<()> {
    let rule = SamplingRule::builder()
        .rule_name("shop")
        .resource_arn("*")
        .priority(10)
        .fixed_rate(0.5)
        .reservoir_size(3)
        .service_name("shop")
        .service_type("*")
        .host("*")
        .http_method("*")
        .url_path("*")
        .version(1)
        .attributes("stage", "test")
        .build()?;
    let create = || client.create_sampling_rule().sampling_rule(rule.clone());
    let made = driven.result("CreateSamplingRule", create().send()).await?;
    let record = made.sampling_rule_record().context("a record")?;
    assert!(record.created_at().is_some(), "{record:?}");
    driven
        .error("CreateSamplingRule", create().send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;
    let listed = driven
        .result("GetSamplingRules", client.get_sampling_rules().send())
        .await?;
    assert_eq!(listed.sampling_rule_records().len(), 2, "{listed:?}");
    let update = SamplingRuleUpdate::builder()
        .rule_name("shop")
        .fixed_rate(0.25)
        .build();
    let call = client.update_sampling_rule().sampling_rule_update(update);
    driven.result("UpdateSamplingRule", call.send()).await?;
    let report = SamplingStatisticsDocument::builder()
        .rule_name("shop")
        .client_id("0123456789abcdef01234567")
        .timestamp(time(variables.now))
        .request_count(10)
        .sampled_count(5)
        .borrow_count(1)
        .build()?;
    let call = client
        .get_sampling_targets()
        .sampling_statistics_documents(report);
    let targets = driven.result("GetSamplingTargets", call.send()).await?;
    let target = targets
        .sampling_target_documents()
        .first()
        .context("a target")?;
    assert!((target.fixed_rate() - 0.25).abs() < 0.001, "{target:?}");
    let call = client.get_sampling_statistic_summaries();
    driven
        .result("GetSamplingStatisticSummaries", call.send())
        .await?;
    let call = client.delete_sampling_rule().rule_name("shop");
    driven.result("DeleteSamplingRule", call.send()).await?;
    let default = client.delete_sampling_rule().rule_name("Default");
    driven
        .error("DeleteSamplingRule", default.send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;
    Ok(())
}

pub(super) async fn settings(
    client: &Client,
    variables: &Variables,
    driven: &mut Driven,
) -> Result<()> {
    let config = driven
        .result("GetEncryptionConfig", client.get_encryption_config().send())
        .await?;
    let kind = config
        .encryption_config()
        .and_then(|config| config.r#type());
    assert_eq!(kind, Some(&EncryptionType::None));
    let call = client.put_encryption_config().r#type(EncryptionType::Kms);
    driven
        .error("PutEncryptionConfig", call.clone().send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;
    driven
        .result("PutEncryptionConfig", call.key_id("alias/shop").send())
        .await?;

    let put = || client.put_resource_policy().policy_name("shop");
    let call = put().policy_document(&variables.policy);
    let made = driven.result("PutResourcePolicy", call.send()).await?;
    let policy = made.resource_policy().context("a policy")?;
    assert_eq!(policy.policy_document(), Some(variables.policy.as_str()));
    let stale = put()
        .policy_document(&variables.policy)
        .policy_revision_id("0");
    driven
        .error("PutResourcePolicy", stale.send(), |error| {
            error.is_invalid_policy_revision_id_exception()
        })
        .await;
    let malformed = put().policy_document("{");
    driven
        .error("PutResourcePolicy", malformed.send(), |error| {
            error.is_malformed_policy_document_exception()
        })
        .await;
    let listed = client.list_resource_policies();
    let listed = driven.result("ListResourcePolicies", listed.send()).await?;
    assert_eq!(listed.resource_policies(), std::slice::from_ref(policy));
    let call = client.delete_resource_policy().policy_name("shop");
    driven.result("DeleteResourcePolicy", call.send()).await?;

    Ok(())
}

pub(super) async fn indexing(client: &Client, driven: &mut Driven) -> Result<()> {
    let rules = driven
        .result("GetIndexingRules", client.get_indexing_rules().send())
        .await?;
    assert_eq!(rules.indexing_rules().len(), 1, "{rules:?}");
    let update = |name: &str| -> Result<_> {
        let probabilistic = ProbabilisticRuleValueUpdate::builder()
            .desired_sampling_percentage(12.5)
            .build()?;
        let rule = IndexingRuleValueUpdate::Probabilistic(probabilistic);
        Ok(client.update_indexing_rule().name(name).rule(rule))
    };
    driven
        .result("UpdateIndexingRule", update("Default")?.send())
        .await?;
    driven
        .error("UpdateIndexingRule", update("Nobody")?.send(), |error| {
            error.is_resource_not_found_exception()
        })
        .await;
    let call = client.get_trace_segment_destination();
    let found = driven
        .result("GetTraceSegmentDestination", call.send())
        .await?;
    assert_eq!(found.destination(), Some(&TraceSegmentDestination::XRay));
    let call = client.update_trace_segment_destination();
    let call = call.destination(TraceSegmentDestination::XRay);
    driven
        .result("UpdateTraceSegmentDestination", call.send())
        .await?;
    Ok(())
}

fn tag(key: &str, value: &str) -> Result<Tag> {
    Ok(Tag::builder().key(key).value(value).build()?)
}
