//! Segment documents: those that are taken come back from the trace they make up, the others are told why.

use model::{
    CompiledKind, Document, DocumentKind, DocumentLimits, Head, Invalid, Orphans, Segment, Summary,
    Trace, TraceId,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::Vocabulary;
use crate::engine::{Target, class, fuzz, size};
use crate::json::Json;
use crate::seeds;

#[test]
fn documents() {
    fuzz(&Target {
        name: "documents",
        seeds: inputs(),
        vocabulary: VOCABULARY,
        form: &DOCUMENTS,
        bytes_max: LIMITS.document_bytes_max + 100,
        attempt: &attempt,
    });
}

/// Returns documents to begin with.
pub(crate) fn inputs() -> Vec<Vec<u8>> {
    let mut inputs = seeds::lines("documents.txt");
    for folder in ["segment", "segment-batch"] {
        let recorded = seeds::recorded(folder).into_iter();
        inputs.extend(recorded.map(|value| value.to_string().into_bytes()));
    }
    inputs
}

/// Tries a text as one document or, as `PutTraceSegments` does, as a list of them.
fn attempt(input: &[u8]) -> u64 {
    let mut classes = Vec::new();
    let mut documents: Vec<Accepted> = Vec::new();
    for judged in judge(&String::from_utf8_lossy(input)) {
        match judged {
            Ok(document) => {
                classes.push(document.check());
                documents.push(document);
            }
            Err(invalid) => classes.push(check_refusal(&invalid)),
        }
    }
    classes.sort_unstable();
    classes.dedup();
    classes.truncate(3);
    class((classes, check_traces(&documents)))
}

/// Returns what is said of the documents of a text.
pub(crate) fn judge(text: &str) -> Vec<Result<Accepted, Invalid>> {
    let elements: Option<Vec<&RawValue>> = text
        .trim_start()
        .starts_with('[')
        .then(|| serde_json::from_str(text).ok())
        .flatten();
    let texts = match &elements {
        Some(elements) => elements.iter().map(|element| element.get()).collect(),
        None => vec![text],
    };
    let judge = |(text, stamp)| {
        Segment::parse(text, &LIMITS).map(|segment| Accepted::of(text, &segment, stamp))
    };
    texts.into_iter().zip(1..).map(judge).collect()
}

fn check_refusal(invalid: &Invalid) -> u64 {
    assert!(!invalid.code.as_str().is_empty());
    assert!(!invalid.detail.is_empty(), "{invalid:?}");
    assert!(
        invalid.detail.chars().count() < DETAIL_CHARS_MAX,
        "{invalid:?}"
    );
    class((
        invalid.code,
        invalid.in_subsegment,
        invalid.id.is_some(),
        // The first words are the same for faults of one kind.
        invalid.detail.split(' ').take(2).collect::<String>(),
    ))
}

/// A document that was taken.
pub(crate) struct Accepted {
    pub(crate) trace_id: TraceId,
    pub(crate) head: Head,
    pub(crate) document: Document,
}

impl Accepted {
    fn of(text: &str, segment: &Segment<'_>, stamp: u64) -> Self {
        Self {
            trace_id: segment.trace_id(),
            head: segment.head(),
            document: Document {
                segment_id: segment.id(),
                in_progress: segment.in_progress(),
                stamp,
                first_stamp: stamp,
                text: text.to_owned(),
            },
        }
    }

    /// Checks what holds of a document that is alone in its trace.
    fn check(&self) -> u64 {
        let ids: Ids = serde_json::from_str(&self.document.text).unwrap();
        let is_own = |id: &str| id.eq_ignore_ascii_case(&self.document.segment_id.to_string());
        assert!(is_own(&ids.id));
        assert!(!ids.trace_id.unwrap().is_empty());
        assert_eq!(self.head.segment_id, self.document.segment_id);

        let documents = std::slice::from_ref(&self.document);
        let shown = render(self.trace_id, documents, Orphans::Visible);
        let own: Vec<&Shown> = shown
            .iter()
            .filter(|shown| shown.kind != CompiledKind::Inferred)
            .collect();
        let [own] = own[..] else {
            panic!("one document is shown as {own:?}");
        };
        let is_orphan = own.kind == CompiledKind::Orphan;
        assert_eq!(is_orphan, self.head.kind == DocumentKind::Subsegment);
        self.check_again(own);
        let head = &self.head;
        class((
            is_orphan,
            head.in_progress,
            format!("{:?}", head.flags),
            head.parent_id.is_some(),
            (
                head.origin.is_some(),
                head.http.is_some(),
                head.user.is_some(),
            ),
            size(head.annotations.len()),
            size(head.calls.len()),
            size(head.nested_ids.len()),
            size(head.links.len()),
            size(shown.len()),
        ))
    }

    /// Checks that what is shown is a document, too: the same one.
    fn check_again(&self, shown: &Shown) {
        let unlimited = DocumentLimits {
            document_bytes_max: usize::MAX,
        };
        let segment = Segment::parse(&shown.text, &unlimited).unwrap();
        let again = Self::of(&shown.text, &segment, self.document.stamp);
        assert_eq!(again.trace_id, self.trace_id);
        assert_eq!(again.head, self.head);
        let documents = std::slice::from_ref(&again.document);
        let shown_again = render(again.trace_id, documents, Orphans::Visible);
        assert!(
            shown_again.contains(shown),
            "{shown_again:?} lacks {shown:?}"
        );
    }
}

/// Checks that the traces which documents make up are the same in whatever order they came.
fn check_traces(accepted: &[Accepted]) -> u64 {
    let Some(first) = accepted.first() else {
        return 0;
    };
    let of_trace = || {
        accepted
            .iter()
            .filter(|other| other.trace_id == first.trace_id)
    };
    let documents: Vec<Document> = of_trace().map(|one| one.document.clone()).collect();
    let backwards: Vec<Document> = documents.iter().rev().cloned().collect();
    let mut n_shown = 0;
    for orphans in [Orphans::Visible, Orphans::Hidden] {
        let shown = render(first.trace_id, &documents, orphans);
        assert_eq!(shown, render(first.trace_id, &backwards, orphans));
        n_shown += shown.len();
    }
    // Heads are of the copies that win; here none but those of different ids are compared.
    let mut heads: Vec<Head> = of_trace().map(|one| one.head.clone()).collect();
    heads.sort_by_key(|head| head.segment_id);
    heads.dedup_by_key(|head| head.segment_id);
    let summary = Summary::of(first.trace_id, &heads, 1);
    heads.reverse();
    assert_eq!(summary, Summary::of(first.trace_id, &heads, 1));
    class((
        size(documents.len()),
        size(n_shown),
        size(summary.requests.len()),
        size(summary.edges.len()),
        summary.flags.0,
    ))
}

/// What of a document is read here. The rest is JSON, but not all of what readers of values take: numbers may be greater
/// than doubles are.
#[derive(Deserialize)]
struct Ids {
    id: String,
    trace_id: Option<String>,
}

/// An entry of a trace.
#[derive(Debug, PartialEq)]
struct Shown {
    kind: CompiledKind,
    text: String,
}

fn render(trace_id: TraceId, documents: &[Document], orphans: Orphans) -> Vec<Shown> {
    let trace = Trace::compile(trace_id, documents, orphans);
    assert_eq!((trace.id, trace.n_unreadable), (trace_id, 0));
    let mut shown = Vec::new();
    for segment in &trace.segments {
        let mut text = String::new();
        segment.write_document(&mut text);
        let ids: Ids = serde_json::from_str(&text).unwrap();
        let is_own = ids.id.eq_ignore_ascii_case(&segment.id().to_string());
        assert!(is_own, "{text}");
        shown.push(Shown {
            kind: segment.kind(),
            text,
        });
    }
    shown
}

/// What segment documents are made of.
pub(crate) const DOCUMENTS: Json<'_> = Json {
    names: &[
        "id",
        "trace_id",
        "parent_id",
        "name",
        "start_time",
        "end_time",
        "in_progress",
        "type",
        "subsegment",
        "subsegments",
        "namespace",
        "aws",
        "remote",
        "local",
        "http",
        "request",
        "response",
        "status",
        "method",
        "url",
        "client_ip",
        "user_agent",
        "x_forwarded_for",
        "traced",
        "content_length",
        "sql",
        "annotations",
        "metadata",
        "default",
        "cause",
        "exceptions",
        "working_directory",
        "message",
        "stack",
        "truncated",
        "skipped",
        "error",
        "fault",
        "throttle",
        "origin",
        "user",
        "service",
        "version",
        "resource_arn",
        "account_id",
        "operation",
        "table_name",
        "table_names",
        "queue_url",
        "region",
        "ec2",
        "ecs",
        "xray",
        "sampling_rule_name",
        "availability_zone",
        "instance_id",
        "links",
        "precursor_ids",
        "inferred",
        "DynamoDB",
        "AWS::DynamoDB::Table",
        "Database::SQL",
    ],
    values: &[
        "null",
        "true",
        "false",
        "\"\"",
        "[]",
        "{}",
        "[{}]",
        "[null]",
        "\"70de5b6f19ff9a0a\"",
        "\"70DE5B6F19FF9A0A\"",
        "\"53995c3f42cd8ad8\"",
        "\"0000000000000000\"",
        "\"1-581cf771-a006649127e371903a2de979\"",
        "\"581cf771a006649127e371903a2de979\"",
        "1478293361.271",
        "200",
        "\"429\"",
        "503.0",
        "{\"request\":{\"url\":\"http://a/b\",\"method\":\"GET\"},\"response\":{\"status\":500}}",
        "[{\"trace_id\":\"1-581cf771-a006649127e371903a2de979\",\"id\":\"53995c3f42cd8ad8\"}]",
        "{\"id\":\"53995c3f42cd8ad8\",\"name\":\"b\",\"start_time\":1,\"end_time\":2,\"namespace\":\"remote\"}",
        "[{\"id\":\"53995c3f42cd8ad8\",\"name\":\"b\",\"start_time\":1,\"in_progress\":true}]",
        "{\"exceptions\":[{\"id\":\"1\",\"message\":\"m\",\"type\":\"t\",\"stack\":[{\"path\":\"p\",\"line\":1,\"label\":\"l\"}]}]}",
    ],
};
pub(crate) const VOCABULARY: Vocabulary = Vocabulary {
    words: &[
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\\u",
        b"\\ud800",
        b"\\u0000",
        b"null",
        b"true",
        b"false",
        b"\"id\":",
        b"\"type\":\"subsegment\",",
        b"\"in_progress\":true,",
        b"\"subsegments\":[",
        b",{\"id\":\"70de5b6f19ff9a0b\"}",
        b"1e400",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
    ],
    brackets: &[
        (b"[", b"]"),
        (b"{\"a\":", b"}"),
        (
            b"{\"id\":\"53995c3f42cd8ad8\",\"name\":\"b\",\"start_time\":1,\"end_time\":2,\"subsegments\":[",
            b"]}",
        ),
        (b"\"", b"\""),
    ],
};
/// The limit of the API.
const LIMITS: DocumentLimits = DocumentLimits {
    document_bytes_max: 65_536,
};
/// Enough for the place of what is nested as deep as may be.
const DETAIL_CHARS_MAX: usize = 2000;
