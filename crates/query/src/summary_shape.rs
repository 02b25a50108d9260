//! From a stored summary to the API's shape.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{AnnotationValue, Service, Summary, SummaryFlags};
use protocol::shapes::{
    AnnotationValue as WireAnnotation, AvailabilityZoneDetail, Http, InstanceIdDetail,
    ResourceArnDetail, ServiceId, TraceSummary, TraceUser, ValueWithServiceIds, WireSeconds,
    WireTime,
};

use crate::root_cause::RootCauses;

/// Returns the API's shape of a summary.
pub(crate) fn shape(summary: &Summary, root_causes: RootCauses) -> TraceSummary {
    let has = |flag| summary.flags.contains(flag);
    let services: Vec<ServiceId> = summary.services.iter().map(service_id).collect();
    let entry = summary.entry.and_then(|idx| services.get(usize::from(idx)));
    TraceSummary {
        id: summary.trace_id.to_string(),
        start_time: WireTime(summary.start),
        duration: Some(WireSeconds(summary.end.since(summary.start))),
        response_time: summary
            .response_ns
            .map(|ns| WireSeconds(Duration::from_nanos(ns))),
        has_fault: has(SummaryFlags::HAS_FAULT),
        has_error: has(SummaryFlags::HAS_ERROR),
        has_throttle: has(SummaryFlags::HAS_THROTTLE),
        is_partial: has(SummaryFlags::IS_PARTIAL),
        http: http(summary),
        annotations: annotations(summary, &services),
        users: users(summary, &services),
        entry_point: entry.cloned(),
        resource_arns: each(&summary.resource_arns, |arn| ResourceArnDetail { arn }),
        instance_ids: each(&summary.instance_ids, |id| InstanceIdDetail { id }),
        availability_zones: each(&summary.availability_zones, |name| AvailabilityZoneDetail {
            name,
        }),
        service_ids: services,
        fault_root_causes: root_causes.faults,
        error_root_causes: root_causes.errors,
        response_time_root_causes: root_causes.response_time,
        revision: summary.revision,
        matched_event_time: None,
    }
}

fn service_id(service: &Service) -> ServiceId {
    ServiceId {
        name: service.name.clone(),
        names: vec![service.name.clone()],
        account_id: service.account_id.clone(),
        service_type: service.service_type.clone(),
    }
}

fn http(summary: &Summary) -> Http {
    Http {
        http_url: summary.http.url.clone(),
        http_status: summary.http.status,
        http_method: summary.http.method.clone(),
        user_agent: summary.http.user_agent.clone(),
        client_ip: summary.http.client_ip.clone(),
    }
}

fn annotations(
    summary: &Summary,
    services: &[ServiceId],
) -> BTreeMap<String, Vec<ValueWithServiceIds>> {
    let mut by_key: BTreeMap<String, Vec<ValueWithServiceIds>> = BTreeMap::new();
    for annotation in &summary.annotations {
        let annotation_value = match &annotation.value {
            AnnotationValue::Number(number) => WireAnnotation::NumberValue(*number),
            AnnotationValue::Boolean(boolean) => WireAnnotation::BooleanValue(*boolean),
            AnnotationValue::String(string) => WireAnnotation::StringValue(string.clone()),
        };
        let service_ids = select(services, &annotation.services);
        let values = by_key.entry(annotation.key.clone()).or_default();
        values.push(ValueWithServiceIds {
            annotation_value,
            service_ids,
        });
    }
    by_key
}

fn users(summary: &Summary, services: &[ServiceId]) -> Vec<TraceUser> {
    let shape = |user: &model::User| TraceUser {
        user_name: user.name.clone(),
        service_ids: select(services, &user.services),
    };
    summary.users.iter().map(shape).collect()
}

fn select(services: &[ServiceId], indexes: &[u16]) -> Vec<ServiceId> {
    indexes
        .iter()
        .filter_map(|idx| services.get(usize::from(*idx)).cloned())
        .collect()
}

fn each<T>(values: &[String], shape: impl Fn(String) -> T) -> Vec<T> {
    values.iter().cloned().map(shape).collect()
}
