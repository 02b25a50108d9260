//! Every response with all its members and with as few as there may be, held against the model.

use std::collections::BTreeMap;
use std::time::Duration;

use ::model::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::*;
use crate::model::{MemberShape, Structure, StructureKind, model, validate_response};
use crate::shapes::batch::BatchWriter;
use crate::shapes::summaries::tests::{bare_summary, full_summary};

const TIME: WireTime = WireTime(Timestamp::from_secs(1_795_304_142));
const SECONDS: WireSeconds = WireSeconds(Duration::from_millis(250));
const INSIGHT_ID: &str = "6b2fe0a4-1d3c-4a6e-9f00-0123456789ab";

fn json(response: &impl Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(response).unwrap()).unwrap()
}

fn token(is_full: bool) -> Option<String> {
    is_full.then(|| "next".into())
}

fn group(is_full: bool) -> Group {
    let configuration = InsightsConfiguration {
        insights_enabled: Some(true),
        notifications_enabled: Some(false),
    };
    Group {
        group_name: "g".into(),
        group_arn: "arn:g".into(),
        filter_expression: is_full.then(|| "fault".into()),
        insights_configuration: is_full.then_some(configuration),
    }
}

fn rule_record(is_full: bool) -> SamplingRuleRecord {
    let sampling_rule = SamplingRule {
        rule_name: "r".into(),
        rule_arn: "arn:r".into(),
        resource_arn: "*".into(),
        priority: 10,
        fixed_rate: 0.05,
        reservoir_size: 1,
        service_name: "*".into(),
        service_type: "*".into(),
        host: "*".into(),
        http_method: "*".into(),
        url_path: "*".into(),
        version: 1,
        attributes: BTreeMap::new(),
        sampling_rate_boost: is_full.then_some(SamplingRateBoost {
            max_rate: 0.5,
            cooldown_window_minutes: 10,
        }),
    };
    SamplingRuleRecord {
        sampling_rule,
        created_at: WireTime(Timestamp::ZERO),
        modified_at: TIME,
    }
}

fn targets(is_full: bool) -> GetSamplingTargetsResponse {
    let unprocessed = UnprocessedStatistics {
        rule_name: "x".into(),
        error_code: "400".into(),
        message: "unknown rule".into(),
    };
    let boost = SamplingBoost {
        boost_rate: 0.5,
        boost_rate_ttl: TIME,
    };
    let target = SamplingTargetDocument {
        rule_name: "r".into(),
        fixed_rate: 0.05,
        reservoir_quota: is_full.then_some(1),
        reservoir_quota_ttl: is_full.then_some(TIME),
        interval: is_full.then_some(10),
        sampling_boost: is_full.then_some(boost),
    };
    GetSamplingTargetsResponse {
        sampling_target_documents: vec![target],
        last_rule_modification: WireTime(Timestamp::ZERO),
        unprocessed_statistics: vec![unprocessed.clone()],
        unprocessed_boost_statistics: vec![unprocessed],
    }
}

fn statistics() -> Statistics {
    Statistics {
        ok_count: 1,
        error_statistics: ErrorStatistics {
            throttle_count: 0,
            other_count: 1,
            total_count: 1,
        },
        fault_statistics: FaultStatistics::default(),
        total_count: u64::from(u32::MAX),
        total_response_time: SECONDS,
    }
}

fn histogram() -> Vec<HistogramEntry> {
    vec![HistogramEntry {
        value: SECONDS,
        count: u64::MAX,
    }]
}

fn node(is_full: bool) -> Service {
    let edge = Edge {
        reference_id: 1,
        start_time: TIME,
        end_time: TIME,
        summary_statistics: is_full.then(statistics),
        response_time_histogram: histogram(),
        aliases: vec![Alias {
            name: "a".into(),
            names: vec!["a".into()],
            alias_type: "client".into(),
        }],
        edge_type: is_full.then_some(EdgeType::Link),
        received_event_age_histogram: histogram(),
    };
    Service {
        reference_id: 0,
        name: is_full.then(|| "s".into()),
        names: vec!["s".into()],
        root: is_full,
        account_id: is_full.then(|| "000000000000".into()),
        service_type: is_full.then(|| "AWS::Lambda".into()),
        state: ServiceState::Active,
        start_time: TIME,
        end_time: TIME,
        edges: vec![edge],
        summary_statistics: is_full.then(statistics),
        duration_histogram: histogram(),
        response_time_histogram: histogram(),
    }
}

fn time_series(is_full: bool) -> TimeSeriesServiceStatistics {
    let forecast = ForecastStatistics {
        fault_count_high: 2,
        fault_count_low: 0,
    };
    TimeSeriesServiceStatistics {
        timestamp: TIME,
        edge_summary_statistics: is_full.then(statistics),
        service_summary_statistics: is_full.then(statistics),
        service_forecast_statistics: is_full.then_some(forecast),
        response_time_histogram: histogram(),
    }
}

fn service_id() -> ServiceId {
    ServiceId {
        name: "s".into(),
        names: vec!["s".into()],
        account_id: Some("000000000000".into()),
        service_type: Some("AWS::Lambda".into()),
    }
}

fn impact(is_full: bool) -> Option<RequestImpactStatistics> {
    is_full.then(RequestImpactStatistics::default)
}

fn anomalous() -> Vec<AnomalousService> {
    vec![AnomalousService {
        service_id: service_id(),
    }]
}

fn insight(is_full: bool) -> Insight {
    Insight {
        insight_id: INSIGHT_ID.into(),
        group_arn: "arn:g".into(),
        group_name: "g".into(),
        root_cause_service_id: service_id(),
        categories: vec![InsightCategory::Fault],
        state: InsightState::Closed,
        start_time: TIME,
        end_time: is_full.then_some(TIME),
        summary: "It was bad. It is over.".into(),
        client_request_impact_statistics: impact(is_full),
        root_cause_service_request_impact_statistics: impact(is_full),
        top_anomalous_services: anomalous(),
    }
}

fn insight_event(is_full: bool) -> InsightEvent {
    InsightEvent {
        summary: "It was bad.".into(),
        event_time: TIME,
        client_request_impact_statistics: impact(is_full),
        root_cause_service_request_impact_statistics: impact(is_full),
        top_anomalous_services: anomalous(),
    }
}

fn impact_graph(is_full: bool) -> GetInsightImpactGraphResponse {
    let node = InsightImpactGraphService {
        reference_id: 0,
        service_type: is_full.then(|| "AWS::Lambda".into()),
        name: is_full.then(|| "s".into()),
        names: vec!["s".into()],
        account_id: is_full.then(|| "000000000000".into()),
        edges: vec![InsightImpactGraphEdge { reference_id: 0 }],
    };
    GetInsightImpactGraphResponse {
        insight_id: INSIGHT_ID.into(),
        start_time: TIME,
        end_time: TIME,
        service_graph_start_time: TIME,
        service_graph_end_time: TIME,
        services: vec![node],
        next_token: token(is_full),
    }
}

fn indexing_rule() -> IndexingRule {
    IndexingRule {
        name: "Default".into(),
        modified_at: TIME,
        rule: IndexingRuleValue::Probabilistic {
            desired_sampling_percentage: 1.0,
            actual_sampling_percentage: 1.0,
        },
    }
}

fn policy() -> ResourcePolicy {
    ResourcePolicy {
        policy_name: "p".into(),
        policy_document: "{}".into(),
        policy_revision_id: "1".into(),
        last_updated_time: TIME,
    }
}

fn retrieved(is_full: bool) -> ListRetrievedTracesResponse {
    let span = RetrievedSpan {
        id: "53995c3f42cd8ad8".into(),
        document: "{}".into(),
    };
    let trace = RetrievedTrace {
        id: "1-581cf771-a006649127e371903a2de979".into(),
        duration: is_full.then_some(SECONDS),
        spans: vec![span],
    };
    ListRetrievedTracesResponse {
        retrieval_status: RetrievalStatus::Complete,
        trace_format: TraceFormat::XRay,
        traces: vec![trace],
        next_token: token(is_full),
    }
}

fn retrieved_graph(is_full: bool) -> GetRetrievedTracesGraphResponse {
    let link = GraphLink {
        reference_type: "parent".into(),
        source_trace_id: "1-a".into(),
        destination_trace_ids: vec!["1-b".into()],
    };
    let service = RetrievedService {
        service: node(is_full),
        links: vec![link],
    };
    GetRetrievedTracesGraphResponse {
        retrieval_status: RetrievalStatus::Complete,
        services: vec![service],
        next_token: token(is_full),
    }
}

fn batch(is_full: bool) -> Value {
    let mut writer = BatchWriter::open();
    writer.trace_start("1-a", is_full.then_some(Duration::from_secs(1)), false);
    writer.segment("s1", "{}");
    writer.trace_end();
    writer.finish(&["1-b".into()], is_full.then_some("next"));
    serde_json::from_slice(&writer.take()).unwrap()
}

/// Returns a response, with every member or with those that are always there.
#[expect(clippy::too_many_lines, reason = "one arm an operation")]
fn sample(operation: Operation, is_full: bool) -> Value {
    let next_token = token(is_full);
    match operation {
        Operation::BatchGetTraces => batch(is_full),
        Operation::CancelTraceRetrieval
        | Operation::DeleteGroup
        | Operation::DeleteResourcePolicy
        | Operation::TagResource
        | Operation::UntagResource => json(&EmptyResponse {}),
        Operation::PutTelemetryRecords => json(&PutTelemetryRecordsResponse {}),
        Operation::CreateGroup | Operation::GetGroup | Operation::UpdateGroup => {
            json(&GroupResponse {
                group: group(is_full),
            })
        }
        Operation::GetGroups => json(&GetGroupsResponse {
            groups: vec![group(is_full)],
            next_token,
        }),
        Operation::CreateSamplingRule
        | Operation::DeleteSamplingRule
        | Operation::UpdateSamplingRule => json(&SamplingRuleResponse {
            sampling_rule_record: rule_record(is_full),
        }),
        Operation::GetSamplingRules => json(&GetSamplingRulesResponse {
            sampling_rule_records: vec![rule_record(is_full)],
            next_token,
        }),
        Operation::GetSamplingTargets => json(&targets(is_full)),
        Operation::GetSamplingStatisticSummaries => json(&GetSamplingStatisticSummariesResponse {
            sampling_statistic_summaries: vec![SamplingStatisticSummary {
                rule_name: "r".into(),
                timestamp: TIME,
                request_count: u64::MAX,
                borrow_count: u64::MAX,
                sampled_count: u64::MAX,
            }],
            next_token,
        }),
        Operation::GetEncryptionConfig | Operation::PutEncryptionConfig => {
            let encryption_config = EncryptionConfig {
                key_id: is_full.then(|| "arn:k".into()),
                status: EncryptionStatus::Updating,
                encryption_type: EncryptionType::Kms,
            };
            json(&EncryptionConfigResponse { encryption_config })
        }
        Operation::GetIndexingRules => json(&GetIndexingRulesResponse {
            indexing_rules: vec![indexing_rule()],
            next_token,
        }),
        Operation::UpdateIndexingRule => json(&UpdateIndexingRuleResponse {
            indexing_rule: indexing_rule(),
        }),
        Operation::GetInsight => json(&GetInsightResponse {
            insight: insight(is_full),
        }),
        Operation::GetInsightEvents => json(&GetInsightEventsResponse {
            insight_events: vec![insight_event(is_full)],
            next_token,
        }),
        Operation::GetInsightImpactGraph => json(&impact_graph(is_full)),
        Operation::GetInsightSummaries => json(&GetInsightSummariesResponse {
            insight_summaries: vec![InsightSummary {
                insight: insight(is_full),
                last_update_time: TIME,
            }],
            next_token,
        }),
        Operation::GetRetrievedTracesGraph => json(&retrieved_graph(is_full)),
        Operation::GetServiceGraph => json(&GetServiceGraphResponse {
            start_time: TIME,
            end_time: TIME,
            services: vec![node(is_full)],
            contains_old_group_versions: false,
            next_token,
        }),
        Operation::GetTimeSeriesServiceStatistics => {
            json(&GetTimeSeriesServiceStatisticsResponse {
                time_series_service_statistics: vec![time_series(is_full)],
                contains_old_group_versions: false,
                next_token,
            })
        }
        Operation::GetTraceGraph => json(&GetTraceGraphResponse {
            services: vec![node(is_full)],
            next_token,
        }),
        Operation::GetTraceSegmentDestination | Operation::UpdateTraceSegmentDestination => {
            json(&TraceSegmentDestinationResponse {
                destination: Destination::CloudWatchLogs,
                status: DestinationStatus::Pending,
            })
        }
        Operation::GetTraceSummaries => {
            let summary = if is_full {
                full_summary()
            } else {
                bare_summary()
            };
            json(&GetTraceSummariesResponse {
                trace_summaries: vec![summary],
                approximate_time: is_full.then_some(TIME),
                traces_processed_count: 1,
                next_token,
            })
        }
        Operation::ListResourcePolicies => json(&ListResourcePoliciesResponse {
            resource_policies: vec![policy()],
            next_token,
        }),
        Operation::ListRetrievedTraces => json(&retrieved(is_full)),
        Operation::ListTagsForResource => json(&ListTagsForResourceResponse {
            tags: vec![Tag {
                key: "k".into(),
                value: String::new(),
            }],
            next_token,
        }),
        Operation::PutResourcePolicy => json(&PutResourcePolicyResponse {
            resource_policy: policy(),
        }),
        Operation::PutTraceSegments => json(&PutTraceSegmentsResponse {
            unprocessed_trace_segments: vec![UnprocessedTraceSegment {
                id: is_full.then(|| "s1".into()),
                error_code: "MissingId".into(),
                message: "no id".into(),
            }],
        }),
        Operation::StartTraceRetrieval => json(&StartTraceRetrievalResponse {
            retrieval_token: "t".into(),
        }),
    }
}

/// Notes the members of the model that are not in any of the values.
fn absent(structure: &Structure, values: &[&Value], path: &str, found: &mut Vec<String>) {
    for member in &structure.members {
        let path = format!("{path}.{}", member.name);
        let values: Vec<&Value> = values
            .iter()
            .filter_map(|value| value.get(member.name))
            .collect();
        if values.is_empty() {
            found.push(path);
        } else {
            absent_within(&member.shape, &values, &path, found);
        }
    }
}

fn absent_within(shape: &MemberShape, values: &[&Value], path: &str, found: &mut Vec<String>) {
    match shape {
        MemberShape::Structure(name) => {
            let structure = model().structure(name).unwrap();
            assert_ne!(structure.kind, StructureKind::Error(None));
            absent(structure, values, path, found);
        }
        MemberShape::List { item, .. } => {
            let items = values.iter().filter_map(|value| value.as_array());
            let items: Vec<&Value> = items.flatten().collect();
            assert!(!items.is_empty(), "{path}");
            absent_within(item, &items, path, found);
        }
        MemberShape::Map { value: each, .. } => {
            let entries = values.iter().filter_map(|value| value.as_object());
            let each_value: Vec<&Value> = entries.flat_map(|entries| entries.values()).collect();
            absent_within(each, &each_value, path, found);
        }
        MemberShape::Text { .. }
        | MemberShape::Choice(_)
        | MemberShape::Integer(_)
        | MemberShape::Long
        | MemberShape::Double(_)
        | MemberShape::Boolean
        | MemberShape::Timestamp => {}
    }
}

#[test]
fn whatever_is_written_is_what_the_model_says() {
    for operation in Operation::ALL {
        for is_full in [false, true] {
            let response = sample(operation, is_full);
            let mismatches = validate_response(operation, &response);
            assert_eq!(mismatches, [], "{operation:?} {response}");
        }
    }
}

#[test]
fn every_member_of_the_model_can_be_written() {
    for operation in Operation::ALL {
        let mut found = Vec::new();
        let output = &model().operation(operation).output;
        absent(
            output,
            &[&sample(operation, true)],
            operation.name(),
            &mut found,
        );
        assert_eq!(found, Vec::<String>::new());
    }
}

/// Notes the lists of the model that are not in a value.
fn absent_lists(structure: &Structure, value: &Value, path: &str, found: &mut Vec<String>) {
    for member in &structure.members {
        let path = format!("{path}.{}", member.name);
        let inside = &value[member.name];
        match &member.shape {
            MemberShape::List { item, .. } => {
                let Some(items) = inside.as_array() else {
                    found.push(path);
                    continue;
                };
                if let (MemberShape::Structure(name), Some(first)) = (&**item, items.first()) {
                    absent_lists(model().structure(name).unwrap(), first, &path, found);
                }
            }
            MemberShape::Map { .. } if !inside.is_object() => found.push(path),
            MemberShape::Structure(name) if inside.is_object() => {
                absent_lists(model().structure(name).unwrap(), inside, &path, found);
            }
            _ => {}
        }
    }
}

#[test]
fn lists_are_always_there() {
    for operation in Operation::ALL {
        let mut found = Vec::new();
        let output = &model().operation(operation).output;
        absent_lists(
            output,
            &sample(operation, false),
            operation.name(),
            &mut found,
        );
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn a_bare_node_is_safe_to_draw() {
    let mut node = node(false);
    node.edges.truncate(1);
    insta::assert_snapshot!(serde_json::to_string(&node).unwrap(), @r#"{"ReferenceId":0,"Names":["s"],"State":"active","StartTime":1795304142.0,"EndTime":1795304142.0,"Edges":[{"ReferenceId":1,"StartTime":1795304142.0,"EndTime":1795304142.0,"ResponseTimeHistogram":[{"Value":0.25,"Count":2147483647}],"Aliases":[{"Name":"a","Names":["a"],"Type":"client"}],"ReceivedEventAgeHistogram":[{"Value":0.25,"Count":2147483647}]}],"DurationHistogram":[{"Value":0.25,"Count":2147483647}],"ResponseTimeHistogram":[{"Value":0.25,"Count":2147483647}]}"#);
}

#[test]
fn counters_are_all_there_and_stop_at_what_clients_read() {
    insta::assert_snapshot!(serde_json::to_string(&statistics()).unwrap(), @r#"{"OkCount":1,"ErrorStatistics":{"ThrottleCount":0,"OtherCount":1,"TotalCount":1},"FaultStatistics":{"OtherCount":0,"TotalCount":0},"TotalCount":4294967295,"TotalResponseTime":0.25}"#);
    insta::assert_snapshot!(serde_json::to_string(&histogram()).unwrap(), @r#"[{"Value":0.25,"Count":2147483647}]"#);
}

#[test]
fn a_rule_has_the_members_samplers_know() {
    insta::assert_snapshot!(serde_json::to_string(&rule_record(false)).unwrap(), @r#"{"SamplingRule":{"RuleName":"r","RuleARN":"arn:r","ResourceARN":"*","Priority":10,"FixedRate":0.05,"ReservoirSize":1,"ServiceName":"*","ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","Version":1,"Attributes":{}},"CreatedAt":0.0,"ModifiedAt":1795304142.0}"#);
    insta::assert_snapshot!(serde_json::to_string(&rule_record(true).sampling_rule.sampling_rate_boost).unwrap(), @r#"{"MaxRate":0.5,"CooldownWindowMinutes":10}"#);
}

#[test]
fn first_targets_have_no_quota() {
    insta::assert_snapshot!(serde_json::to_string(&targets(false)).unwrap(), @r#"{"SamplingTargetDocuments":[{"RuleName":"r","FixedRate":0.05}],"LastRuleModification":0.0,"UnprocessedStatistics":[{"RuleName":"x","ErrorCode":"400","Message":"unknown rule"}],"UnprocessedBoostStatistics":[{"RuleName":"x","ErrorCode":"400","Message":"unknown rule"}]}"#);
}

#[test]
fn rates_are_always_numbers() {
    let rate = |max_rate| {
        let boost = SamplingRateBoost {
            max_rate,
            cooldown_window_minutes: 0,
        };
        json(&boost)["MaxRate"].as_f64()
    };
    assert_eq!(rate(0.1), Some(0.1));
    assert_eq!(rate(f64::NAN), Some(0.0));
    assert_eq!(rate(f64::INFINITY), Some(f64::MAX));
    assert_eq!(rate(f64::NEG_INFINITY), Some(f64::MIN));
}
