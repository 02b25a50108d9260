use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::tests_support::{KNOWN, request as any_request};
use crate::value::{Plain, by_key, is_plain, read_plain};

fn rules() -> impl Strategy<Value = Rules> {
    let keys = prop::sample::subsequence(KNOWN, 0..6);
    (keys, any::<bool>(), any::<bool>()).prop_map(
        |(keys, index_all_attributes, consumer_segments)| Rules {
            indexed_attributes: keys.into_iter().map(str::to_owned).collect(),
            index_all_attributes,
            log_groups: Vec::new(),
            consumer_segments,
        },
    )
}

fn spans(request: &Request) -> impl Iterator<Item = &Span> {
    let scopes = request.resource_spans().iter();
    let scopes = scopes.flat_map(|resource_spans| &resource_spans.scope_spans);
    scopes.flat_map(|scope_spans| &scope_spans.spans)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Every span is either rejected or in a document that is taken, with its own id.
    #[test]
    fn every_span_is_told_of(request in any_request(), rules in rules()) {
        let request = Request(request);
        let translated = translated(&request, &rules);
        let mut told_of = BTreeSet::new();
        for document in &translated.documents {
            let parsed = Segment::parse(&document.text, &DocumentLimits { document_bytes_max: usize::MAX });
            let segment = parsed.map_err(|invalid| TestCaseError::fail(format!("{invalid}: {}", document.text)))?;
            let span = spans(&request).nth(document.span_idx).unwrap();
            let trace_id = segment.trace_id();
            prop_assert_eq!(&trace_id.as_bytes()[..], &span.trace_id[..]);
            prop_assert_eq!(segment.start().as_nanos(), span.start_time_unix_nano);
            prop_assert_eq!(segment.in_progress(), span.end_time_unix_nano == 0);
            let head = segment.head();
            if !segment.in_progress() {
                prop_assert_eq!(head.end.as_nanos(), span.end_time_unix_nano);
            }
            if segment.id().0.to_be_bytes() == span.span_id[..] {
                told_of.insert(document.span_idx);
            }
        }
        told_of.extend(translated.rejected.iter().map(|rejected| rejected.span_idx));
        prop_assert_eq!(told_of.len(), request.n_spans());
        prop_assert!(told_of.into_iter().eq(0..request.n_spans()));
    }

    /// By the rule the table tells, every attribute of a span can be had back with its type.
    #[test]
    fn attributes_can_be_had_back(request in any_request(), rules in rules()) {
        let request = Request(request);
        for document in &translated(&request, &rules).documents {
            let span = spans(&request).nth(document.span_idx).unwrap();
            let json: Value = serde_json::from_str(&document.text).unwrap();
            let metadata = &json["metadata"];
            let kept = &metadata["otel.span"];
            if kept.get("serviceOf").is_some() {
                continue;
            }
            let kept = kept.get("attributes").and_then(Value::as_object).cloned().unwrap_or_default();
            let is_complete = kept.keys().any(|key| key.eq_ignore_ascii_case("aws.xray.metadata.default"));
            let mut found = read_exact_members(&kept);
            let default = metadata.get("default").and_then(Value::as_object).cloned().unwrap_or_default();
            for (key, value) in default {
                let is_own = !is_complete && !key.starts_with("otel.resource.") && !kept.contains_key(&key);
                if is_own {
                    found.push(KeyValue { key, value: Some(read_plain(&value)), ..KeyValue::default() });
                }
            }
            prop_assert_eq!(by_key(&found), by_key(&span.attributes));
        }
    }

    /// What comes with a span does not change its documents.
    #[test]
    fn documents_follow_from_the_span_alone(request in any_request()) {
        let request = Request(request);
        let whole = translated(&request, &Rules::default());
        let mut alone = Vec::new();
        let mut span_idx = 0;
        for resource_spans in request.resource_spans() {
            for scope in &resource_spans.scope_spans {
                for span in &scope.spans {
                    let scope = ScopeSpans { spans: vec![span.clone()], ..scope.clone() };
                    let resource_spans = ResourceSpans { scope_spans: vec![scope], ..resource_spans.clone() };
                    let one = Request(ExportTraceServiceRequest { resource_spans: vec![resource_spans] });
                    for document in translated(&one, &Rules::default()).documents {
                        alone.push((document.text, span_idx));
                    }
                    span_idx += 1;
                }
            }
        }
        let whole: Vec<_> = whole.documents.into_iter().map(|document| (document.text, document.span_idx)).collect();
        prop_assert_eq!(whole, alone);
    }

    /// A plain value that says all reads back as it was.
    #[test]
    fn plain_values_read_back(request in any_request()) {
        let attributes = request.resource_spans.iter().filter_map(|spans| spans.resource.as_ref());
        for attribute in attributes.flat_map(|resource| &resource.attributes) {
            let value = attribute.value.clone().unwrap();
            let json = serde_json::from_str(&serde_json::to_string(&Plain(&value)).unwrap()).unwrap();
            if is_plain(&value) {
                prop_assert_eq!(read_plain(&json), value);
            }
        }
    }
}
