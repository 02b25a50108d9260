//! When summaries decide, when documents are read, and what an explanation says of it.

use storage::Judgement::{self, Keep, ReadDocuments, Skip};
use storage::TraceFilter;

use super::super::explain::DocumentsRead::{self, Never, OfLargeTraces, WhenNeeded};
use super::super::explain::Narrowing::{
    self, Annotations, Durations, Flags, Outcomes, ResponseTimes, ServiceNames, Users,
};
use super::corpus::Corpus;
use super::{Filter, filter};

fn check_judgement(trace: &str, expression: &str, expected: Judgement) {
    let samples = Corpus::read().samples();
    let (_, summary, _) = samples.iter().find(|(name, ..)| name == trace).unwrap();
    let judgement = filter(expression).judge(summary);
    assert_eq!(judgement, expected, "{trace}: {expression}");
}

#[test]
fn documents_are_read_only_if_the_answer_depends_on_them() {
    let url = r#"service("web") { http.url CONTAINS "x" }"#;
    check_judgement("checkout", url, ReadDocuments);
    check_judgement("checkout", &format!("!{url}"), ReadDocuments);
    check_judgement("crash", url, Skip);
    check_judgement("checkout", &format!("{url} AND fault"), Skip);
    check_judgement("checkout", &format!("fault AND {url}"), Skip);
    check_judgement("checkout", &format!("{url} OR ok"), Keep);
    check_judgement("checkout", &format!("{url} OR fault"), ReadDocuments);
    check_judgement("checkout", r#"service("web") { fault AND http.url }"#, Skip);
    check_judgement("checkout", r#"service("web") { ok OR http.url }"#, Keep);
    check_judgement(
        "checkout",
        r#"edge("web", "orders") { user }"#,
        ReadDocuments,
    );
    check_judgement("checkout", "rootcause.fault.service { first }", Skip);
    check_judgement("checkout", "!rootcause.fault.service { first }", Keep);
    check_judgement("crash", "rootcause.fault.service { first }", ReadDocuments);
    check_judgement("crash", "rootcause.error.service { first }", Skip);
    check_judgement("pending", "rootcause.json = #[{}]", Skip);
    check_judgement("checkout", "rootcause.json = #[{}]", ReadDocuments);
    check_judgement("checkout", "rootcause.fault.json = #[{}]", Skip);
}

#[test]
fn quick_traces_have_no_root_causes_of_response_time() {
    let samples = Corpus::read().samples();
    let slow = filter("rootcause.responsetime.service { first }");
    let slow = slow.with_slow_trace(std::time::Duration::from_secs(3));
    let kept = samples
        .iter()
        .filter(|(_, summary, documents)| super::keeps(&slow, summary, documents))
        .map(|(name, ..)| name.as_str());
    assert_eq!(kept.collect::<Vec<_>>(), ["crash"]);
}

#[test]
fn filters_that_count_slow_traces_are_known() {
    let check = |expression: &str, expected: bool| {
        let filter = Filter::parse(expression, &|_| {
            Some("!rootcause.responsetime.service { first }".to_owned())
        });
        assert_eq!(
            filter.unwrap().rests_on_slow_trace(),
            expected,
            "{expression}"
        );
    };
    check("responsetime > 5 AND service(\"a\")", false);
    check("rootcause.fault.service { first }", false);
    check("rootcause.fault.json = #[{}]", false);
    check("rootcause.responsetime.service { first }", true);
    check("fault OR !rootcause.responsetime.json = #[{}]", true);
    check("rootcause.json = #[{}]", true);
    check("group.name = \"a\"", true);
}

fn check_explanation(expression: &str, narrows_by: &[Narrowing], documents: DocumentsRead) {
    let explanation = filter(expression).explain();
    assert_eq!(explanation.narrows_by, narrows_by, "{expression}");
    assert_eq!(explanation.documents, documents, "{expression}");
}

#[test]
fn explanations_name_what_narrows() {
    check_explanation("ok", &[], OfLargeTraces);
    check_explanation("http.url", &[], Never);
    check_explanation("fault", &[Flags], Never);
    check_explanation("!fault", &[], Never);
    check_explanation("!(ok OR fault)", &[], OfLargeTraces);
    check_explanation("duration > 5 AND user = \"a\"", &[Users, Durations], Never);
    check_explanation("!duration > 5", &[Durations], Never);
    check_explanation("!(duration > 5 AND http.url)", &[], Never);
    check_explanation("!(duration > 5 OR http.url)", &[Durations], Never);
    check_explanation("duration > 5 OR http.url", &[], Never);
    check_explanation(
        "duration > 5 OR annotation.a",
        &[Annotations, Durations],
        Never,
    );
    check_explanation("service(\"a\")", &[ServiceNames], Never);
    check_explanation("service()", &[], Never);
    check_explanation("service() { fault }", &[Outcomes], OfLargeTraces);
    check_explanation("edge(\"a\", )", &[ServiceNames], OfLargeTraces);
    check_explanation("service(\"a\") { http.url }", &[ServiceNames], WhenNeeded);
    check_explanation("rootcause.fault.service { first }", &[Flags], WhenNeeded);
    check_explanation(
        "rootcause.responsetime.service { first }",
        &[ResponseTimes],
        WhenNeeded,
    );
}

#[test]
fn explanations_are_sentences() {
    let shown = |expression| filter(expression).explain().to_string();
    assert_eq!(
        shown("fault=true service(\"a\")"),
        "fault AND service(\"a\")\ntraces are looked at newest first; blocks of them are passed over by \
         names of services, outcomes of traces; no documents are read"
    );
    assert_eq!(
        shown("http.url"),
        "http.url\ntraces are looked at newest first; no documents are read"
    );
}
