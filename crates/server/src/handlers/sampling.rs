//! Sampling: rules, what clients report of them, and what they are told.

use std::sync::Arc;

use model::Timestamp;
use protocol::shapes::{
    CreateSamplingRuleRequest, DeleteSamplingRuleRequest, GetSamplingRulesRequest,
    GetSamplingRulesResponse, GetSamplingStatisticSummariesRequest,
    GetSamplingStatisticSummariesResponse, GetSamplingTargetsRequest, GetSamplingTargetsResponse,
    NewSamplingRule, SamplingBoost, SamplingBoostStatisticsDocument, SamplingRateBoost,
    SamplingRule, SamplingRuleRecord, SamplingRuleResponse, SamplingRuleUpdate,
    SamplingStatisticSummary, SamplingStatisticsDocument, SamplingTargetDocument, Selector,
    UnprocessedStatistics, UpdateSamplingRuleRequest, WireTime,
};
use protocol::token::{InvalidToken, Kind, TokenKey, open, seal};
use protocol::{ApiError, decode, json_response};
use sampling::{
    BoostReport, NewRateBoost, NewRule, RULES_MAX, RateBoost, RuleRecord, RuleSelector, RuleUpdate,
    Sampling, SamplingError, StatisticSummary, StatisticsReport, SummaryPosition, Target, Targets,
    Unprocessed,
};

use super::{blocking, name_after, pairs, sampling_error, token_after};
use crate::app::App;
use crate::clock;
use crate::http::answer::Answer;
use crate::http::body::Received;

pub(super) async fn create(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: CreateSamplingRuleRequest = decode(&body.bytes)?;
    let rule = new_rule(request.sampling_rule);
    let tags = pairs(request.tags);
    let created = blocking(app, |app| {
        let created = app.sampling.create(rule, tags, clock::now());
        created.map_err(create_error)
    })
    .await?;
    Ok(json_response(&response(created), request_id).into())
}

pub(super) async fn update(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: UpdateSamplingRuleRequest = decode(&body.bytes)?;
    let update = rule_update(request.sampling_rule_update);
    let updated = blocking(app, |app| {
        let updated = app.sampling.update(update, clock::now());
        updated.map_err(sampling_error)
    })
    .await?;
    Ok(json_response(&response(updated), request_id).into())
}

pub(super) async fn delete(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: DeleteSamplingRuleRequest = decode(&body.bytes)?;
    let rule = selector(request.rule);
    let deleted = blocking(app, move |app| {
        let deleted = app.sampling.delete(&rule, clock::now());
        deleted.map_err(sampling_error)
    })
    .await?;
    Ok(json_response(&response(deleted), request_id).into())
}

pub(super) fn rules(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: GetSamplingRulesRequest = decode(&body.bytes)?;
    let page = rules_page(&app.sampling, &app.token_key, &request, RULES_PER_PAGE)?;
    Ok(json_response(&page, request_id).into())
}

fn rules_page(
    sampling: &Sampling,
    key: &TokenKey,
    request: &GetSamplingRulesRequest,
    n_max: usize,
) -> Result<GetSamplingRulesResponse, ApiError> {
    let token = request.next_token.as_deref();
    let after = name_after(key, Kind::GetSamplingRules, token)?;
    let page = sampling.rules(after.as_deref(), n_max);
    Ok(GetSamplingRulesResponse {
        sampling_rule_records: page.records.into_iter().map(record).collect(),
        next_token: page
            .next
            .map(|last| token_after(key, Kind::GetSamplingRules, &last)),
    })
}

pub(super) async fn targets(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: GetSamplingTargetsRequest = decode(&body.bytes)?;
    let reports = request.sampling_statistics_documents.into_iter();
    let reports: Vec<_> = reports.map(report).collect();
    let boosts = request.sampling_boost_statistics_documents.into_iter();
    let boosts: Vec<_> = boosts.map(boost_report).collect();
    // Statistics and boosts are written now and then.
    let targets = blocking(app, move |app| {
        let targets = app.sampling.targets(&reports, &boosts, clock::now());
        targets.map_err(sampling_error)
    })
    .await?;
    Ok(json_response(&targets_response(targets), request_id).into())
}

pub(super) fn summaries(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: GetSamplingStatisticSummariesRequest = decode(&body.bytes)?;
    let after = position_after(&app.token_key, request.next_token.as_deref())?;
    let page = app
        .sampling
        .summaries(after.as_ref(), SUMMARIES_PER_PAGE, clock::now());
    let response = GetSamplingStatisticSummariesResponse {
        sampling_statistic_summaries: page.summaries.into_iter().map(summary).collect(),
        next_token: page.next.map(|last| summaries_token(&app.token_key, &last)),
    };
    Ok(json_response(&response, request_id).into())
}

/// Returns the token of the page after a summary: the beginning of its window and the name of its rule.
fn summaries_token(key: &TokenKey, last: &SummaryPosition) -> String {
    let mut payload = last.window.as_nanos().to_be_bytes().to_vec();
    payload.extend(last.rule_name.as_bytes());
    seal(key, Kind::GetSamplingStatisticSummaries, b"", &payload)
}

fn position_after(
    key: &TokenKey,
    token: Option<&str>,
) -> Result<Option<SummaryPosition>, InvalidToken> {
    let Some(token) = token else { return Ok(None) };
    let payload = open(key, Kind::GetSamplingStatisticSummaries, b"", token)?;
    let (window, rule_name) = payload.split_first_chunk::<8>().ok_or(InvalidToken)?;
    Ok(Some(SummaryPosition {
        window: Timestamp::from_nanos(u64::from_be_bytes(*window)),
        rule_name: String::from_utf8(rule_name.to_vec()).map_err(|_| InvalidToken)?,
    }))
}

fn new_rule(rule: NewSamplingRule) -> NewRule {
    NewRule {
        selector: RuleSelector::by_name(&rule.rule_name),
        resource_arn: rule.resource_arn,
        priority: rule.priority.into(),
        fixed_rate: rule.fixed_rate,
        reservoir_size: rule.reservoir_size.into(),
        service_name: rule.service_name,
        service_type: rule.service_type,
        host: rule.host,
        http_method: rule.http_method,
        url_path: rule.url_path,
        version: rule.version.into(),
        attributes: rule.attributes,
        boost: rule.sampling_rate_boost.map(new_boost),
    }
}

fn rule_update(update: SamplingRuleUpdate) -> RuleUpdate {
    RuleUpdate {
        selector: selector(update.rule),
        resource_arn: update.resource_arn,
        priority: update.priority.map(i64::from),
        fixed_rate: update.fixed_rate,
        reservoir_size: update.reservoir_size.map(i64::from),
        service_name: update.service_name,
        service_type: update.service_type,
        host: update.host,
        http_method: update.http_method,
        url_path: update.url_path,
        attributes: update.attributes,
        boost: update.sampling_rate_boost.map(new_boost),
    }
}

fn new_boost(boost: SamplingRateBoost) -> NewRateBoost {
    NewRateBoost {
        max_rate: boost.max_rate,
        cooldown_minutes: boost.cooldown_window_minutes.into(),
    }
}

fn selector(rule: Selector) -> RuleSelector {
    match rule {
        Selector::Name(name) => RuleSelector::by_name(&name),
        Selector::Arn(arn) => RuleSelector::by_arn(&arn),
    }
}

fn response(rule: RuleRecord) -> SamplingRuleResponse {
    SamplingRuleResponse {
        sampling_rule_record: record(rule),
    }
}

fn record(record: RuleRecord) -> SamplingRuleRecord {
    let RuleRecord { rule, arn, .. } = record;
    SamplingRuleRecord {
        sampling_rule: SamplingRule {
            rule_name: rule.name,
            rule_arn: arn,
            resource_arn: rule.resource_arn,
            priority: rule.priority,
            fixed_rate: rule.fixed_rate,
            reservoir_size: rule.reservoir_size,
            service_name: rule.service_name,
            service_type: rule.service_type,
            host: rule.host,
            http_method: rule.http_method,
            url_path: rule.url_path,
            version: RULE_VERSION,
            attributes: rule.attributes,
            sampling_rate_boost: rule.boost.map(rate_boost),
        },
        created_at: WireTime(record.created_at),
        modified_at: WireTime(record.modified_at),
    }
}

fn rate_boost(boost: RateBoost) -> SamplingRateBoost {
    SamplingRateBoost {
        max_rate: boost.max_rate,
        cooldown_window_minutes: boost.cooldown_minutes,
    }
}

fn report(document: SamplingStatisticsDocument) -> StatisticsReport {
    StatisticsReport {
        rule_name: document.rule_name,
        client_id: document.client_id,
        at: document.timestamp,
        request_count: document.request_count.into(),
        sampled_count: document.sampled_count.into(),
        borrow_count: document.borrow_count.into(),
    }
}

fn boost_report(document: SamplingBoostStatisticsDocument) -> BoostReport {
    BoostReport {
        rule_name: document.rule_name,
        service_name: document.service_name,
        at: document.timestamp,
        anomaly_count: document.anomaly_count.into(),
        total_count: document.total_count.into(),
        sampled_anomaly_count: document.sampled_anomaly_count.into(),
    }
}

fn targets_response(targets: Targets) -> GetSamplingTargetsResponse {
    let unprocessed = |refused: Vec<Unprocessed>| refused.into_iter().map(unprocessed).collect();
    GetSamplingTargetsResponse {
        sampling_target_documents: targets.documents.into_iter().map(target).collect(),
        last_rule_modification: WireTime(targets.last_modified),
        unprocessed_statistics: unprocessed(targets.unprocessed),
        unprocessed_boost_statistics: unprocessed(targets.unprocessed_boosts),
    }
}

fn target(target: Target) -> SamplingTargetDocument {
    SamplingTargetDocument {
        rule_name: target.rule_name,
        fixed_rate: target.fixed_rate,
        reservoir_quota: Some(target.reservoir_quota),
        reservoir_quota_ttl: Some(WireTime(target.quota_until)),
        interval: u32::try_from(target.interval_secs).ok(),
        sampling_boost: target.boost.map(|boost| SamplingBoost {
            boost_rate: boost.rate,
            boost_rate_ttl: WireTime(boost.until),
        }),
    }
}

fn unprocessed(refused: Unprocessed) -> UnprocessedStatistics {
    UnprocessedStatistics {
        rule_name: refused.rule_name,
        error_code: refused.error_code.to_owned(),
        message: refused.message,
    }
}

fn summary(summary: StatisticSummary) -> SamplingStatisticSummary {
    SamplingStatisticSummary {
        rule_name: summary.rule_name,
        timestamp: WireTime(summary.window),
        request_count: summary.request_count,
        borrow_count: summary.borrow_count,
        sampled_count: summary.sampled_count,
    }
}

/// Returns what a client is told of a rule that is not made: `CreateSamplingRule` has no error of its own
/// for too many tags.
fn create_error(error: SamplingError) -> ApiError {
    match error {
        SamplingError::TooManyTags { .. } => ApiError::invalid_request(error.to_string()),
        error => sampling_error(error),
    }
}

/// The only version of the format of rules there is.
const RULE_VERSION: u32 = 1;
/// All rules there may be, `Default` included: samplers that read one page have them all.
const RULES_PER_PAGE: usize = RULES_MAX + 1;
/// About 150 KiB. Half an hour of a few rules is on one page, of all there may be on five.
const SUMMARIES_PER_PAGE: usize = 1000;

#[cfg(test)]
mod tests {
    use model::{Account, Tenant};
    use storage::SledControl;

    use super::*;

    const KEY: TokenKey = TokenKey([7; 32]);

    #[test]
    fn pages_put_together_are_all_rules() {
        let folder = tempfile::tempdir().unwrap();
        let control = Arc::new(SledControl::open(folder.path()).unwrap());
        let account = Account {
            id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let now = Timestamp::from_secs(1);
        let sampling = Sampling::open(control, Tenant(1), account, now).unwrap();
        for name in ["a", "b", "c", "\u{e9}"] {
            let new = NewRule::matching_all(RuleSelector::by_name(name));
            sampling.create(new, [], now).unwrap();
        }
        let page_of = |request: &GetSamplingRulesRequest| rules_page(&sampling, &KEY, request, 2);
        let mut found = Vec::new();
        let mut request = GetSamplingRulesRequest { next_token: None };
        loop {
            let page = page_of(&request).unwrap();
            let records = page.sampling_rule_records.into_iter();
            found.extend(records.map(|record| record.sampling_rule.rule_name));
            request.next_token = page.next_token;
            if request.next_token.is_none() {
                break;
            }
        }
        assert_eq!(found, ["Default", "a", "b", "c", "\u{e9}"]);
        request.next_token = Some("x".to_owned());
        assert_eq!(page_of(&request).unwrap_err().status().as_u16(), 400);
    }

    #[test]
    fn a_token_of_summaries_opens_to_the_place_it_was_made_of() {
        let place = SummaryPosition {
            window: Timestamp::from_secs(1_795_000_010),
            rule_name: "\u{e9}a".to_owned(),
        };
        let token = summaries_token(&KEY, &place);
        assert_eq!(position_after(&KEY, Some(&token)), Ok(Some(place)));
        assert_eq!(position_after(&KEY, None), Ok(None));
        assert_eq!(position_after(&KEY, Some("x")), Err(InvalidToken));
        let short = seal(&KEY, Kind::GetSamplingStatisticSummaries, b"", b"1234567");
        assert_eq!(position_after(&KEY, Some(&short)), Err(InvalidToken));
        let rules = seal(&KEY, Kind::GetSamplingRules, b"", b"12345678a");
        assert_eq!(position_after(&KEY, Some(&rules)), Err(InvalidToken));
    }
}
