//! Filter expressions: what is read is printed and read again as the same, what is not says where it goes wrong, and
//! a trace is judged alike by its summary and by its documents.

use model::{Document, DocumentLimits, Segment, Summary, ZoneFacts};
use query::{Filter, FilterError, GroupRef, Selector};
use serde::Deserialize;
use storage::{Judgement, TraceFilter};

use crate::bytes::Vocabulary;
use crate::engine::{Plain, Target, class, fuzz, size};
use crate::seeds;

#[test]
fn filters() {
    let corpus: Corpus = toml::from_str(&seeds::corpus_text("filter.toml")).unwrap();
    let refused: Refused = toml::from_str(&seeds::corpus_text("filter_refused.toml")).unwrap();
    let rejected = refused.rejected.into_iter().chain(refused.selector);
    let cases = corpus.accepted.into_iter().chain(rejected);
    let traces: Vec<Sample> = corpus.trace.iter().map(Sample::of).collect();
    fuzz(&Target {
        name: "filters",
        seeds: cases.map(|case| case.expr.into_bytes()).collect(),
        vocabulary: VOCABULARY,
        form: &Plain,
        bytes_max: EXPRESSION_CHARS_MAX,
        attempt: &|input| attempt(input, &traces),
    });
}

fn attempt(input: &[u8], traces: &[Sample]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let selector = match Selector::parse(&text) {
        Ok(selector) => class(std::mem::discriminant(&selector)),
        Err(error) => check_place(&text, &error),
    };
    match Filter::parse(&text, &filter_of) {
        Ok(filter) => {
            check_print(&filter);
            let kept: Vec<bool> = traces.iter().map(|trace| trace.check(&filter)).collect();
            let explanation = format!("{:?}", filter.explain());
            class((kept, size(explanation.len())))
        }
        Err(error) => class((selector, check_place(&text, &error))),
    }
}

/// Checks that an error is at a character of the text, or one past the last of a line; returns its class.
fn check_place(text: &str, error: &FilterError) -> u64 {
    let lines: Vec<&str> = text.split('\n').collect();
    let line = error.line.checked_sub(1).and_then(|idx| lines.get(idx));
    let is_within = line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&error.column));
    assert!(is_within, "{error}");
    assert!(error.message.chars().count() < MESSAGE_CHARS_MAX, "{error}");
    let (_, why) = error.message.split_once("'; ").unwrap();
    class(why.split('\'').next())
}

fn check_print(filter: &Filter) {
    let printed = filter.to_string();
    // What is printed may be longer than what may be written.
    if printed.chars().count() > EXPRESSION_CHARS_MAX {
        return;
    }
    let again = match Filter::parse(&printed, &filter_of) {
        Ok(again) => again,
        Err(error) => panic!("{printed}: {error}"),
    };
    assert_eq!(format!("{again:?}"), format!("{filter:?}"), "{printed}");
    assert_eq!(again.to_string(), printed);
}

/// Groups there are in every run.
fn filter_of(reference: GroupRef<'_>) -> Option<String> {
    match reference {
        GroupRef::Name("slow") => Some("responsetime > 5".to_owned()),
        GroupRef::Name("all") => Some(String::new()),
        GroupRef::Name("both") => Some("group.name = \"slow\" OR fault".to_owned()),
        GroupRef::Name("itself") => Some("group.name = \"itself\"".to_owned()),
        GroupRef::Name(_) | GroupRef::Arn(_) => None,
    }
}

/// A trace that is judged.
struct Sample {
    summary: Summary,
    zone: ZoneFacts,
    documents: Vec<Document>,
}

impl Sample {
    fn of(trace: &TraceCase) -> Self {
        let mut documents = Vec::new();
        let mut heads = Vec::new();
        let mut trace_id = None;
        for (stamp, text) in (1..).zip(&trace.documents) {
            let segment = Segment::parse(text, &DocumentLimits::default()).unwrap();
            trace_id = Some(segment.trace_id());
            documents.push(Document {
                segment_id: segment.id(),
                in_progress: segment.in_progress(),
                stamp,
                first_stamp: stamp,
                text: text.clone(),
            });
            heads.push(segment.head());
        }
        let summary = Summary::of(trace_id.unwrap(), &heads, 1);
        Self {
            zone: ZoneFacts::of([&summary]),
            summary,
            documents,
        }
    }

    /// Tells whether a filter keeps the trace, after checking that all ways to tell agree.
    fn check(&self, filter: &Filter) -> bool {
        let by_documents = filter.judge_documents(&self.summary, &self.documents);
        match filter.judge(&self.summary) {
            Judgement::Keep => assert!(by_documents, "{filter}"),
            Judgement::Skip => assert!(!by_documents, "{filter}"),
            Judgement::ReadDocuments => {}
        }
        assert!(filter.may_match(&self.zone) || !by_documents, "{filter}");
        by_documents
    }
}

/// What is taken of `filter.toml`.
#[derive(Deserialize)]
struct Corpus {
    accepted: Vec<Case>,
    trace: Vec<TraceCase>,
}

/// What is taken of `filter_refused.toml`.
#[derive(Deserialize)]
struct Refused {
    rejected: Vec<Case>,
    selector: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    expr: String,
}

#[derive(Deserialize)]
struct TraceCase {
    documents: Vec<String>,
}

const VOCABULARY: Vocabulary = Vocabulary {
    words: &[
        b"(",
        b")",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"!",
        b"=",
        b"!=",
        b"<",
        b"<=",
        b">",
        b">=",
        b"\"",
        b"'",
        b"\\",
        b"\\u00",
        b"#",
        b"#[",
        b"{}",
        b" ",
        b"\n",
        b"5",
        b"-.5e",
        b"1e400",
        b" AND ",
        b" OR ",
        b" and",
        b"NOT ",
        b"CONTAINS ",
        b"BEGINSWITH ",
        b"ENDSWITH ",
        b"ok",
        b"error",
        b"fault",
        b"throttle",
        b"partial",
        b"inferred",
        b"first",
        b"last",
        b"remote",
        b"root",
        b"responsetime",
        b"duration",
        b"http.status",
        b"http.url",
        b"http.method",
        b"http.useragent",
        b"http.clientip",
        b"user",
        b"name",
        b"type",
        b"message",
        b"availabilityzone",
        b"instance.id",
        b"resource.arn",
        b"index",
        b"service",
        b"edge",
        b"id(name: \"a\", type: \"client\")",
        b"service(\"shop\")",
        b"service() {",
        b"edge(\"shop\", \"db\") {",
        b"service(id(",
        b"annotation.",
        b"annotation[a]",
        b"group.name = \"slow\"",
        b"group.name = \"both\"",
        b"group.name = \"itself\"",
        b"group.arn = \"",
        b"rootcause.fault.entity {",
        b"rootcause.responsetime",
        b"json = #[{\"Services\":",
        b"true",
        b"false",
        b"hasfault",
        b"haserror",
        b"edge.",
        b"\"a\"",
        b"\xc3\xa9",
        b"\xf0\x9f\x98\x80",
        b"\0",
    ],
    brackets: &[
        (b"(", b")"),
        (b"!", b""),
        (b"!(", b")"),
        (b"service(\"a\") {", b"}"),
        (b"edge(\"a\",\"b\") { ", b" }"),
        (b"rootcause.fault.service {", b"}"),
        (b"json = #[", b"]"),
        (b"ok OR ", b""),
    ],
};
const EXPRESSION_CHARS_MAX: usize = 10_000;
const MESSAGE_CHARS_MAX: usize = 600;
