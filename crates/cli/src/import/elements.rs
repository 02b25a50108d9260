//! What an element of a file is, and the documents that are made of it.

use std::fmt::Write;

use clap::ValueEnum;
use model::Timestamp;
use otlp::{Bounds, Encoding, Limits, Rules, Translation};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::scan::Place;
use crate::moving::{jaeger, zipkin};

/// A form in which traces are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Whatever it is
    #[default]
    Auto,
    /// Segment documents, alone, in traces, or in calls and answers of the X-Ray API
    Xray,
    /// Export requests of OpenTelemetry, in JSON or protobuf
    Otlp,
    /// Answers of Jaeger's API
    Jaeger,
    /// Spans of Zipkin's second version
    Zipkin,
}

/// What is found in elements: documents, and what is none.
pub(super) trait Findings {
    /// Takes a document.
    fn document(&mut self, text: String, place: Place) -> Flow;
    /// Takes what is wrong with an element, or a part of it.
    fn bad(&mut self, message: String, place: Place) -> Flow;
}

/// Whether to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    Stop,
}

/// Makes documents of elements.
pub(super) struct Elements {
    format: Format,
    rules: Rules,
    now: Timestamp,
    /// Spans of Zipkin, which are looked at together: two sides of a call may share an id.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    zipkin_ids: zipkin::Ids,
}

struct Waiting {
    span: zipkin::Span,
    place: Place,
    n_bytes: usize,
}

/// The members that tell what an object is.
#[derive(Default, Deserialize)]
struct Probe<'a> {
    #[serde(rename = "trace_id", borrow)]
    trace_id: Option<&'a RawValue>,
    #[serde(rename = "traceID", borrow)]
    jaeger_id: Option<&'a RawValue>,
    #[serde(rename = "traceId", borrow)]
    zipkin_id: Option<&'a RawValue>,
    #[serde(borrow)]
    spans: Option<&'a RawValue>,
    #[serde(rename = "Segments", borrow)]
    segments: Option<&'a RawValue>,
    #[serde(rename = "Document", borrow)]
    document: Option<&'a RawValue>,
    #[serde(rename = "TraceSegmentDocuments", borrow)]
    documents: Option<&'a RawValue>,
    #[serde(rename = "resourceSpans", alias = "resource_spans", borrow)]
    resource_spans: Option<&'a RawValue>,
    #[serde(rename = "scopeSpans", alias = "scope_spans", borrow)]
    scope_spans: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(rename = "resourceMetrics", alias = "resource_metrics", borrow)]
    metrics: Option<&'a RawValue>,
    #[serde(rename = "resourceLogs", alias = "resource_logs", borrow)]
    logs: Option<&'a RawValue>,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Document,
    Entry,
    Entries,
    Documents,
    Trace,
    Request,
    ResourceSpans,
    Result,
    Span,
}

impl Elements {
    pub(super) fn new(format: Format, rules: Rules, now: Timestamp) -> Self {
        Self {
            format,
            rules,
            now,
            waiting: Vec::new(),
            waiting_bytes: 0,
            zipkin_ids: zipkin::Ids::default(),
        }
    }

    /// Makes documents of an element in JSON.
    pub(super) fn json(
        &mut self,
        json: &[u8],
        member: Option<&str>,
        place: Place,
        findings: &mut impl Findings,
    ) -> Flow {
        let Ok(text) = std::str::from_utf8(json) else {
            return findings.bad("not UTF-8 text".to_owned(), place);
        };
        match self.element(text, member, place, findings) {
            Ok(flow) => flow,
            Err(message) => findings.bad(message, place),
        }
    }

    fn element(
        &mut self,
        text: &str,
        member: Option<&str>,
        place: Place,
        findings: &mut impl Findings,
    ) -> Result<Flow, String> {
        if text.starts_with('"') {
            self.must_be(&[Format::Xray])?;
            return Ok(findings.document(parsed(text)?, place));
        }
        if matches!(member, Some("resourceSpans" | "resource_spans" | "batches")) {
            return self.group(text, place, findings);
        }
        let probe: Probe<'_> = parsed(text)?;
        let kind = probe.kind();
        if let Some(other) = probe.something_else(text) {
            return Err(format!("{other}, no traces"));
        }
        if kind != Kind::Span && self.flush(findings) == Flow::Stop {
            return Ok(Flow::Stop);
        }
        self.must_be(kind.formats())?;
        match kind {
            Kind::Document => Ok(findings.document(text.to_owned(), place)),
            Kind::Entry => entry(probe.document, place, findings),
            Kind::Entries => entries(probe.segments, place, findings),
            Kind::Documents => list(probe.documents, place, findings),
            Kind::Trace => {
                let trace: jaeger::Trace = parsed(text)?;
                self.request(
                    jaeger::to_otlp(&trace).to_string().as_bytes(),
                    Encoding::Json,
                    place,
                    findings,
                )
            }
            Kind::Request => self.request(text.as_bytes(), Encoding::Json, place, findings),
            Kind::ResourceSpans => self.group(text, place, findings),
            Kind::Result => {
                let result = probe.result.map(RawValue::get).unwrap_or_default();
                self.request(result.as_bytes(), Encoding::Json, place, findings)
            }
            Kind::Span => {
                self.waiting.push(Waiting {
                    span: zipkin::Span::parse(text)?,
                    place,
                    n_bytes: text.len(),
                });
                self.waiting_bytes += text.len();
                let is_enough =
                    self.waiting.len() >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX;
                Ok(if is_enough {
                    self.make_room(findings)
                } else {
                    Flow::On
                })
            }
        }
    }

    /// Makes documents of a group of spans in JSON.
    fn group(
        &self,
        text: &str,
        place: Place,
        findings: &mut impl Findings,
    ) -> Result<Flow, String> {
        self.must_be(&[Format::Otlp])?;
        let request = format!("{{\"resourceSpans\":[{text}]}}");
        self.request(request.as_bytes(), Encoding::Json, place, findings)
    }

    /// Makes documents of a message in protobuf.
    pub(super) fn protobuf(&self, body: &[u8], place: Place, findings: &mut impl Findings) -> Flow {
        let made = self.must_be(&[Format::Otlp]);
        let made = made.and_then(|()| self.request(body, Encoding::Protobuf, place, findings));
        made.unwrap_or_else(|message| findings.bad(message, place))
    }

    /// Makes documents of what still waits.
    pub(super) fn flush(&mut self, findings: &mut impl Findings) -> Flow {
        let spans = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.spans(spans, findings)
    }

    /// Makes documents of what waits, but for the trace that may go on, if that is the smaller part.
    fn make_room(&mut self, findings: &mut impl Findings) -> Flow {
        let last = self.waiting.last().map(|waiting| waiting.span.trace());
        let is_of_last = |waiting: &Waiting| Some(waiting.span.trace()) == last;
        let waiting = std::mem::take(&mut self.waiting);
        let n_waiting = waiting.len();
        let (kept, gone): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_of_last);
        self.waiting_bytes = kept.iter().map(|waiting| waiting.n_bytes).sum();
        self.waiting = kept;
        if self.spans(gone, findings) == Flow::Stop {
            return Flow::Stop;
        }
        let is_large =
            self.waiting.len() > n_waiting / 2 || self.waiting_bytes > WAITING_BYTES_MAX / 2;
        if is_large {
            return self.flush(findings);
        }
        Flow::On
    }

    fn spans(&mut self, mut waiting: Vec<Waiting>, findings: &mut impl Findings) -> Flow {
        let mut all: Vec<&mut zipkin::Span> = waiting
            .iter_mut()
            .map(|waiting| &mut waiting.span)
            .collect();
        zipkin::time(&mut all);
        let mut spans = Vec::with_capacity(waiting.len());
        let mut places = Vec::with_capacity(waiting.len());
        let mut flow = Flow::On;
        for Waiting { span, place, .. } in waiting {
            if span.is_timed() {
                spans.push(span);
                places.push(place);
                continue;
            }
            let message = "nothing says when this span was, nor when its trace was".to_owned();
            flow = findings.bad(message, place);
            if flow == Flow::Stop {
                break;
            }
        }
        let Some(first) = places.first() else {
            return flow;
        };
        let request = zipkin::to_otlp(&spans, &mut self.zipkin_ids).to_string();
        let place_of = |span_idx: usize| places.get(span_idx).copied().unwrap_or(*first);
        let made = self.translated(request.as_bytes(), Encoding::Json, place_of, findings);
        let made = made.unwrap_or_else(|message| findings.bad(message, *first));
        if flow == Flow::Stop { flow } else { made }
    }

    /// Makes documents of the spans of an element.
    fn request(
        &self,
        body: &[u8],
        encoding: Encoding,
        place: Place,
        findings: &mut impl Findings,
    ) -> Result<Flow, String> {
        self.translated(body, encoding, |_| place, findings)
    }

    /// Makes documents of spans, a piece at a time.
    fn translated(
        &self,
        body: &[u8],
        encoding: Encoding,
        place_of: impl Fn(usize) -> Place,
        findings: &mut impl Findings,
    ) -> Result<Flow, String> {
        let request = otlp::decode(body, encoding).map_err(|error| chain(&error))?;
        let bounds = Bounds {
            piece_bytes: PIECE_BYTES,
            piece_spans: PIECE_SPANS,
            documents_bytes_max: None,
        };
        let begun = Translation::begin(request, self.rules.clone(), Limits::NONE, bounds, self.now);
        let mut translation = begun.map_err(|error| error.to_string())?;
        while !translation.is_done() {
            let piece = translation.next_piece();
            for document in piece.documents {
                let place = place_of(document.span_idx);
                if findings.document(document.text, place) == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            for rejected in piece.rejected {
                let message = format!("span {}: {}", rejected.span_id, rejected.message);
                if findings.bad(message, place_of(rejected.span_idx)) == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
        }
        Ok(Flow::On)
    }

    fn must_be(&self, formats: &[Format]) -> Result<(), String> {
        let is_meant = self.format == Format::Auto || formats.contains(&self.format);
        if is_meant {
            return Ok(());
        }
        let wanted = format!("{:?}", self.format).to_lowercase();
        Err(format!(
            "this is not {wanted}; without --format it is read as what it is"
        ))
    }
}

impl Probe<'_> {
    /// Returns what an object is that is known not to be of traces.
    fn something_else(&self, text: &str) -> Option<&'static str> {
        if self.kind() != Kind::Document || self.trace_id.is_some() {
            return None;
        }
        let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
        match self {
            Self {
                metrics: Some(_), ..
            } => Some("metrics of OpenTelemetry"),
            Self { logs: Some(_), .. } => Some("logs of OpenTelemetry"),
            _ if inside.trim().is_empty() => Some("an empty object"),
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self {
                trace_id: Some(_), ..
            } => Kind::Document,
            Self {
                segments: Some(_), ..
            } => Kind::Entries,
            Self {
                document: Some(_), ..
            } => Kind::Entry,
            Self {
                documents: Some(_), ..
            } => Kind::Documents,
            Self {
                resource_spans: Some(_),
                ..
            } => Kind::Request,
            Self {
                scope_spans: Some(_),
                ..
            } => Kind::ResourceSpans,
            Self {
                result: Some(_), ..
            } => Kind::Result,
            Self {
                jaeger_id: Some(_),
                spans: Some(_),
                ..
            } => Kind::Trace,
            Self {
                zipkin_id: Some(_), ..
            } => Kind::Span,
            _ => Kind::Document,
        }
    }
}

impl Kind {
    const fn formats(self) -> &'static [Format] {
        match self {
            Self::Document | Self::Entry | Self::Entries | Self::Documents => &[Format::Xray],
            Self::Trace => &[Format::Jaeger],
            Self::Request | Self::ResourceSpans | Self::Result => &[Format::Otlp],
            Self::Span => &[Format::Zipkin],
        }
    }
}

/// Takes the documents of a trace.
fn entries(
    list: Option<&RawValue>,
    place: Place,
    findings: &mut impl Findings,
) -> Result<Flow, String> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(rename = "Document", borrow)]
        document: Option<&'a RawValue>,
    }
    let list = list.map_or("null", RawValue::get);
    let entries: Option<Vec<Entry<'_>>> = parsed(list)?;
    for found in entries.into_iter().flatten() {
        if entry(found.document, place, findings)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::On)
}

/// Takes the documents of a list.
fn list(
    list: Option<&RawValue>,
    place: Place,
    findings: &mut impl Findings,
) -> Result<Flow, String> {
    let list = list.map_or("null", RawValue::get);
    let documents: Option<Vec<&RawValue>> = parsed(list)?;
    for document in documents.into_iter().flatten() {
        if entry(Some(document), place, findings)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::On)
}

/// Takes a document that is a text, as the API has it, or an object, as others do.
fn entry(
    document: Option<&RawValue>,
    place: Place,
    findings: &mut impl Findings,
) -> Result<Flow, String> {
    let Some(document) = document.map(RawValue::get) else {
        return Err("a segment without Document".to_owned());
    };
    let text = if document.starts_with('"') {
        parsed(document)?
    } else {
        document.to_owned()
    };
    Ok(findings.document(text, place))
}

fn parsed<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON of a trace: {error}"))
}

/// Returns an error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // A text takes whatever is written to it.
        let _never_fails = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

const PIECE_BYTES: usize = 1 << 20;
const PIECE_SPANS: usize = 500;
/// Spans of Zipkin that are looked at together.
const WAITING_MAX: usize = 5_000;
const WAITING_BYTES_MAX: usize = 8 << 20;
