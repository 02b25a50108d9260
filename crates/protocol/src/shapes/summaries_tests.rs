use std::time::Duration;

use super::*;
use crate::decode;
use crate::shapes::{
    FaultRootCauseEntity, ResponseTimeRootCauseEntity, RootCause, RootCauseException,
    RootCauseService,
};

fn check_refused(body: &str, message: &str) {
    let error = decode::<GetTraceSummariesRequest>(body.as_bytes()).unwrap_err();
    assert_eq!(error.message(), message);
}

#[test]
fn what_clients_send_is_read_exactly() {
    let body =
        br#"{"StartTime": 1795304082.804226, "EndTime": 1.795304142E9, "TimeRangeType": "Event",
        "Sampling": true, "SamplingStrategy": {"Name": "FixedRate", "Value": 0.25},
        "FilterExpression": "fault", "NextToken": "t"}"#;
    let request: GetTraceSummariesRequest = decode(body).unwrap();
    assert_eq!(
        request.start_time,
        Timestamp::from_nanos(1_795_304_082_804_226_000)
    );
    assert_eq!(request.end_time, Timestamp::from_secs(1_795_304_142));
    assert_eq!(request.time_range_type, TimeRangeType::Event);
    assert!(request.sampling);
    let name = Some(SamplingStrategyName::FixedRate);
    assert_eq!(
        request.sampling_strategy,
        Some(SamplingStrategy {
            name,
            value: Some(0.25)
        })
    );
    assert_eq!(request.filter_expression.as_deref(), Some("fault"));
    assert_eq!(request.next_token.as_deref(), Some("t"));
}

#[test]
fn absent_null_and_empty_members_are_one() {
    let bare: GetTraceSummariesRequest = decode(br#"{"StartTime": 1, "EndTime": 1}"#).unwrap();
    let body = br#"{"StartTime": 1, "EndTime": 1.0, "TimeRangeType": null, "Sampling": null,
        "SamplingStrategy": null, "FilterExpression": " ", "NextToken": ""}"#;
    assert_eq!(decode::<GetTraceSummariesRequest>(body).unwrap(), bare);
    assert_eq!(bare.time_range_type, TimeRangeType::TraceId);
}

#[test]
fn constraints_are_told_together() {
    check_refused(
        r#"{"EndTime": 1, "TimeRangeType": "x"}"#,
        "2 validation errors detected: Value null at 'startTime' failed to satisfy constraint: Member must not be null; Value 'x' at 'timeRangeType' failed to satisfy constraint: Member must satisfy enum value set: [TraceId, Event, Service]",
    );
    check_refused(
        r#"{"StartTime": 2, "EndTime": 1, "SamplingStrategy": {"Name": "All", "Value": -1}}"#,
        "3 validation errors detected: Value '1.0' at 'endTime' failed to satisfy constraint: Member must not be before startTime; Value 'All' at 'samplingStrategy.name' failed to satisfy constraint: Member must satisfy enum value set: [PartialScan, FixedRate]; Value '-1' at 'samplingStrategy.value' failed to satisfy constraint: Member must have value greater than or equal to 0",
    );
}

#[test]
fn wrong_types_are_named() {
    check_refused(
        r#"{"StartTime": "2020-01-01T00:00:00Z", "EndTime": 1}"#,
        "the request body cannot be read: StartTime: a time is a number of seconds since 1970 at line 1 column 36",
    );
    check_refused(
        r#"{"StartTime": 1, "EndTime": 1795304142000}"#,
        "the request body cannot be read: EndTime: a time is in seconds since 1970 and this one lies after the year 2554; is it in milliseconds? at line 1 column 42",
    );
    check_refused(
        r#"{"StartTime": 1, "EndTime": 2, "SamplingStrategy": ["FixedRate", 1]}"#,
        "the request body cannot be read: SamplingStrategy: invalid type: sequence, expected a JSON object at line 1 column 51",
    );
    check_refused(
        r#"{"StartTime": 1, "EndTime": 2, "SamplingStrategy": {"Value": "1"}}"#,
        "the request body cannot be read: SamplingStrategy.Value: invalid type: string \"1\", expected f64 at line 1 column 64",
    );
}

fn service_id() -> ServiceId {
    ServiceId {
        name: "api".into(),
        names: vec!["api".into()],
        account_id: Some("000000000000".into()),
        service_type: Some("AWS::Lambda".into()),
    }
}

fn root_cause<E>(entity: E) -> RootCause<E> {
    let service = RootCauseService {
        name: "api".into(),
        names: vec!["api".into()],
        service_type: "AWS::Lambda".into(),
        account_id: Some("000000000000".into()),
        entity_path: vec![entity],
        inferred: false,
    };
    RootCause {
        services: vec![service],
        client_impacting: true,
    }
}

pub(crate) fn bare_summary() -> TraceSummary {
    TraceSummary {
        id: "1-64f0c0de-000000000000000000000001".into(),
        start_time: WireTime(Timestamp::from_nanos(1_693_499_614_120_000_000)),
        duration: None,
        response_time: None,
        has_fault: false,
        has_error: false,
        has_throttle: false,
        is_partial: true,
        http: Http::default(),
        annotations: BTreeMap::new(),
        users: Vec::new(),
        service_ids: Vec::new(),
        resource_arns: Vec::new(),
        instance_ids: Vec::new(),
        availability_zones: Vec::new(),
        entry_point: None,
        fault_root_causes: Vec::new(),
        error_root_causes: Vec::new(),
        response_time_root_causes: Vec::new(),
        revision: 1,
        matched_event_time: None,
    }
}

pub(crate) fn full_summary() -> TraceSummary {
    let entity = FaultRootCauseEntity {
        name: "api".into(),
        exceptions: vec![RootCauseException {
            name: "Boom".into(),
            message: Some("boom".into()),
        }],
        remote: false,
    };
    let slow = ResponseTimeRootCauseEntity {
        name: "api".into(),
        coverage: 1.0,
        remote: false,
    };
    let value = |annotation_value| ValueWithServiceIds {
        annotation_value,
        service_ids: vec![service_id()],
    };
    TraceSummary {
        duration: Some(WireSeconds(Duration::from_millis(412))),
        response_time: Some(WireSeconds(Duration::from_millis(412))),
        has_fault: true,
        is_partial: false,
        http: Http {
            http_url: Some("http://h/".into()),
            http_status: Some(200),
            http_method: Some("GET".into()),
            user_agent: Some("curl".into()),
            client_ip: Some("192.0.2.1".into()),
        },
        annotations: BTreeMap::from([(
            "tier".into(),
            vec![
                value(AnnotationValue::StringValue("gold".into())),
                value(AnnotationValue::NumberValue(1.5)),
                value(AnnotationValue::BooleanValue(true)),
            ],
        )]),
        users: vec![TraceUser {
            user_name: "u".into(),
            service_ids: vec![service_id()],
        }],
        service_ids: vec![service_id()],
        resource_arns: vec![ResourceArnDetail {
            arn: "arn:a".into(),
        }],
        instance_ids: vec![InstanceIdDetail { id: "i-1".into() }],
        availability_zones: vec![AvailabilityZoneDetail { name: "a".into() }],
        entry_point: Some(service_id()),
        fault_root_causes: vec![root_cause(entity.clone())],
        error_root_causes: vec![root_cause(entity)],
        response_time_root_causes: vec![root_cause(slow)],
        matched_event_time: Some(WireTime(Timestamp::from_secs(1_693_499_614))),
        ..bare_summary()
    }
}

#[test]
fn a_bare_summary_has_every_list_and_an_http_object() {
    let response = GetTraceSummariesResponse {
        trace_summaries: vec![bare_summary()],
        approximate_time: Some(WireTime(Timestamp::from_secs(1_693_499_614))),
        traces_processed_count: 7,
        next_token: None,
    };
    insta::assert_snapshot!(serde_json::to_string(&response).unwrap(), @r#"{"TraceSummaries":[{"Id":"1-64f0c0de-000000000000000000000001","StartTime":1693499614.12,"HasFault":false,"HasError":false,"HasThrottle":false,"IsPartial":true,"Http":{},"Annotations":{},"Users":[],"ServiceIds":[],"ResourceARNs":[],"InstanceIds":[],"AvailabilityZones":[],"FaultRootCauses":[],"ErrorRootCauses":[],"ResponseTimeRootCauses":[],"Revision":1}],"ApproximateTime":1693499614.0,"TracesProcessedCount":7}"#);
}

#[test]
fn a_full_summary_has_the_model_s_member_names() {
    insta::assert_snapshot!(serde_json::to_string(&full_summary()).unwrap(), @r#"{"Id":"1-64f0c0de-000000000000000000000001","StartTime":1693499614.12,"Duration":0.412,"ResponseTime":0.412,"HasFault":true,"HasError":false,"HasThrottle":false,"IsPartial":false,"Http":{"HttpURL":"http://h/","HttpStatus":200,"HttpMethod":"GET","UserAgent":"curl","ClientIp":"192.0.2.1"},"Annotations":{"tier":[{"AnnotationValue":{"StringValue":"gold"},"ServiceIds":[{"Name":"api","Names":["api"],"AccountId":"000000000000","Type":"AWS::Lambda"}]},{"AnnotationValue":{"NumberValue":1.5},"ServiceIds":[{"Name":"api","Names":["api"],"AccountId":"000000000000","Type":"AWS::Lambda"}]},{"AnnotationValue":{"BooleanValue":true},"ServiceIds":[{"Name":"api","Names":["api"],"AccountId":"000000000000","Type":"AWS::Lambda"}]}]},"Users":[{"UserName":"u","ServiceIds":[{"Name":"api","Names":["api"],"AccountId":"000000000000","Type":"AWS::Lambda"}]}],"ServiceIds":[{"Name":"api","Names":["api"],"AccountId":"000000000000","Type":"AWS::Lambda"}],"ResourceARNs":[{"ARN":"arn:a"}],"InstanceIds":[{"Id":"i-1"}],"AvailabilityZones":[{"Name":"a"}],"EntryPoint":{"Name":"api","Names":["api"],"AccountId":"000000000000","Type":"AWS::Lambda"},"FaultRootCauses":[{"Services":[{"Name":"api","Names":["api"],"Type":"AWS::Lambda","AccountId":"000000000000","EntityPath":[{"Name":"api","Exceptions":[{"Name":"Boom","Message":"boom"}],"Remote":false}],"Inferred":false}],"ClientImpacting":true}],"ErrorRootCauses":[{"Services":[{"Name":"api","Names":["api"],"Type":"AWS::Lambda","AccountId":"000000000000","EntityPath":[{"Name":"api","Exceptions":[{"Name":"Boom","Message":"boom"}],"Remote":false}],"Inferred":false}],"ClientImpacting":true}],"ResponseTimeRootCauses":[{"Services":[{"Name":"api","Names":["api"],"Type":"AWS::Lambda","AccountId":"000000000000","EntityPath":[{"Name":"api","Coverage":1.0,"Remote":false}],"Inferred":false}],"ClientImpacting":true}],"Revision":1,"MatchedEventTime":1693499614.0}"#);
}
