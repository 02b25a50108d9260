//! Why a trace failed or was slow (spec: X-Ray API, `FaultRootCause` and its siblings).
//!
//! How the original chooses is not published; this is the choice made here. Of faults and errors
//! every deepest entity with the flag is a culprit, and its cause is the chain of services from the
//! entry point down to it. Of slow traces the chain follows the longest child for as long as that
//! takes at least half of its parent's time.

mod path;

use model::{Document, Exception, Flags, Node, Orphans, Trace, TraceId};
use protocol::shapes::{
    ErrorRootCause, FaultRootCause, FaultRootCauseEntity, ResponseTimeRootCause,
    ResponseTimeRootCauseEntity, RootCause, RootCauseException, RootCauseService,
};

use path::{Links, Path, Step};

/// The root causes of one trace.
#[derive(Debug, Default)]
pub(crate) struct RootCauses {
    pub(crate) faults: Vec<FaultRootCause>,
    pub(crate) errors: Vec<ErrorRootCause>,
    pub(crate) response_time: Vec<ResponseTimeRootCause>,
}

impl RootCauses {
    /// Returns the root causes of the trace that documents make up; of its response time only if it
    /// `is_slow`.
    pub(crate) fn of(trace_id: TraceId, documents: &[Document], is_slow: bool) -> Self {
        let trace = Trace::compile(trace_id, documents, Orphans::Hidden);
        let links = Links::of(&trace.segments);
        let Some(root) = links.root() else {
            return Self::default();
        };
        let failures = |flag: Flags| {
            let client_impacting = root.flags().contains(flag);
            let paths = links.paths_to(root, |node| node.flags().contains(flag));
            let cause = |path: &Path<'_>| RootCause {
                services: services(path, failure_entity),
                client_impacting,
            };
            paths.iter().map(cause).collect::<Vec<_>>()
        };
        let slow = links.longest_path(root).filter(|_| is_slow);
        let root_seconds = root.end().since(root.start()).as_secs_f64();
        Self {
            faults: failures(Flags::FAULT),
            errors: failures(Flags::ERROR),
            response_time: slow
                .iter()
                .map(|path| RootCause {
                    services: services(path, |step| slow_entity(step, root_seconds)),
                    client_impacting: true,
                })
                .collect(),
        }
    }
}

fn services<E>(path: &Path<'_>, entity: impl Fn(&Step<'_>) -> E) -> Vec<RootCauseService<E>> {
    let service = |steps: &[Step<'_>]| {
        let segment = steps.first()?.segment;
        let name = segment.service_name().into_owned();
        Some(RootCauseService {
            names: vec![name.clone()],
            name,
            // Clients read the type without asking whether there is one.
            service_type: segment.service_type().unwrap_or_default().into_owned(),
            account_id: segment.account_id(),
            entity_path: steps.iter().map(&entity).collect(),
            inferred: segment.inferred(),
        })
    };
    path.chunk_by(|a, b| std::ptr::eq(a.segment, b.segment))
        .filter_map(service)
        .collect()
}

fn failure_entity(step: &Step<'_>) -> FaultRootCauseEntity {
    let exception = |exception: Exception| RootCauseException {
        name: exception.name.unwrap_or_default(),
        message: exception.message,
    };
    FaultRootCauseEntity {
        name: step.name(),
        exceptions: step.node.exceptions().into_iter().map(exception).collect(),
        remote: is_remote(step.node),
    }
}

fn slow_entity(step: &Step<'_>, root_seconds: f64) -> ResponseTimeRootCauseEntity {
    let seconds = step.node.end().since(step.node.start()).as_secs_f64();
    let coverage = if root_seconds > 0.0 {
        (seconds / root_seconds).min(1.0)
    } else {
        1.0
    };
    ResponseTimeRootCauseEntity {
        name: step.name(),
        coverage: (coverage * 1_000.0).round() / 1_000.0,
        remote: is_remote(step.node),
    }
}

fn is_remote(node: &Node<'_>) -> bool {
    matches!(node.namespace().as_deref(), Some("aws" | "remote"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        let limits = model::DocumentLimits::default();
        let segment = model::Segment::parse(text, &limits).unwrap();
        Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp: segment.id().0,
            first_stamp: segment.id().0,
            text: text.to_owned(),
        }
    }

    /// A shop calls a database, which fails, and a store segment behind a remote call.
    fn trace(shop_flag: &str, store_flag: &str) -> Vec<Document> {
        let trace_id = "1-581cf771-a006649127e371903a2de979";
        let shop = format!(
            r#"{{"trace_id":"{trace_id}","id":"000000000000000a","name":"shop","origin":"AWS::EC2::Instance",
            "start_time":10,"end_time":12,{shop_flag}"subsegments":[
            {{"id":"000000000000000b","name":"work","start_time":10,"end_time":10.5}},
            {{"id":"000000000000000c","name":"store","namespace":"remote","start_time":10.5,"end_time":12,{store_flag}"x":1}}]}}"#
        );
        let store = format!(
            r#"{{"trace_id":"{trace_id}","id":"000000000000000d","parent_id":"000000000000000c","name":"store",
            "start_time":10.6,"end_time":11.9,{store_flag}"cause":{{"exceptions":[
            {{"id":"00000000000000ff","type":"Refused","message":"no"}}]}}}}"#
        );
        vec![document(&shop), document(&store)]
    }

    fn causes(shop_flag: &str, store_flag: &str) -> RootCauses {
        let documents = trace(shop_flag, store_flag);
        RootCauses::of(
            TraceId::parse("1-581cf771-a006649127e371903a2de979").unwrap(),
            &documents,
            true,
        )
    }

    fn names<E>(cause: &RootCause<E>) -> Vec<&str> {
        cause
            .services
            .iter()
            .map(|service| service.name.as_str())
            .collect()
    }

    #[test]
    fn a_fault_is_followed_to_the_deepest_service() {
        let causes = causes(r#""fault":true,"#, r#""fault":true,"#);
        let [cause] = causes.faults.as_slice() else {
            panic!("{causes:?}")
        };
        assert_eq!(names(cause), ["shop", "store"]);
        assert!(cause.client_impacting);
        let shop_path: Vec<_> = cause.services[0]
            .entity_path
            .iter()
            .map(|e| (&*e.name, e.remote))
            .collect();
        assert_eq!(shop_path, [("shop", false), ("store", true)]);
        assert_eq!(
            cause.services[1].entity_path[0].exceptions[0].name,
            "Refused"
        );
        assert!(causes.errors.is_empty());
    }

    #[test]
    fn a_handled_error_does_not_impact_the_client() {
        let causes = causes("", r#""error":true,"#);
        let [cause] = causes.errors.as_slice() else {
            panic!("{causes:?}")
        };
        assert!(!cause.client_impacting);
        assert_eq!(names(cause), ["shop", "store"]);
    }

    #[test]
    fn a_slow_trace_is_followed_along_its_longest_child() {
        let causes = causes("", "");
        let [cause] = causes.response_time.as_slice() else {
            panic!("{causes:?}")
        };
        let coverages: Vec<f64> = cause
            .services
            .iter()
            .flat_map(|s| &s.entity_path)
            .map(|e| e.coverage)
            .collect();
        assert_eq!(coverages, [1.0, 0.75, 0.65]);
    }

    #[test]
    fn segments_that_are_each_others_parents_end() {
        let one = r#"{"trace_id":"1-581cf771-a006649127e371903a2de979","id":"000000000000000a","parent_id":"000000000000000b","name":"a","start_time":1,"end_time":2,"fault":true}"#;
        let two = r#"{"trace_id":"1-581cf771-a006649127e371903a2de979","id":"000000000000000b","parent_id":"000000000000000a","name":"b","start_time":1,"end_time":2,"fault":true}"#;
        let trace_id = TraceId::parse("1-581cf771-a006649127e371903a2de979").unwrap();
        let causes = RootCauses::of(trace_id, &[document(one), document(two)], true);
        assert_eq!(causes.faults.len(), 1);
    }
}
