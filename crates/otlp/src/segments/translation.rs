//! A request on its way to documents. Every document repeats the resource of its span, so that a small request may
//! become a lot: documents are made a piece at a time, and all together they are no more bytes than allowed.

use model::Timestamp;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::id::{Ids, hex};
use super::resource::Resource;
use super::{
    RejectedSpan, Rejection, RejectionCode, Room, Rules, Settings, SpanDocument, Translated, View,
    documents,
};
use crate::spans::carried_document;
use crate::{LimitError, Limits, Request};

/// How large pieces are, and what they may be together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of documents a piece ends at; it may be longer by the documents of a span.
    pub piece_bytes: usize,
    /// Spans a piece ends at.
    pub piece_spans: usize,
    /// Bytes the documents of a request may have together; none for no limit. What is beyond is not made.
    pub documents_bytes_max: Option<usize>,
}

impl Bounds {
    /// Everything is one piece.
    pub const NONE: Self = Self {
        piece_bytes: usize::MAX,
        piece_spans: usize::MAX,
        documents_bytes_max: None,
    };
}

/// A request whose spans become documents piece by piece.
#[derive(Clone, Debug)]
pub struct Translation {
    request: Request,
    rules: Rules,
    limits: Limits,
    bounds: Bounds,
    now: Timestamp,
    place: Place,
}

impl Translation {
    /// Begins a translation; nothing is made yet.
    ///
    /// # Errors
    /// [`LimitError`] if the request as a whole is not to be taken.
    pub fn begin(
        request: Request,
        rules: Rules,
        limits: Limits,
        bounds: Bounds,
        now: Timestamp,
    ) -> Result<Self, LimitError> {
        limits.check(&request)?;
        Ok(Self {
            request,
            rules,
            limits,
            bounds,
            now,
            place: Place::default(),
        })
    }

    /// Returns how many spans the request brings.
    pub fn n_spans(&self) -> usize {
        self.request.n_spans()
    }

    /// Tells whether there are no more pieces.
    pub fn is_done(&self) -> bool {
        self.place.resource_idx >= self.request.resource_spans().len()
    }

    /// Returns what became of the next spans; nothing of them once [`is_done`](Self::is_done). Pieces put together
    /// are what [`translate`](super::translate) returns, but for spans beyond `documents_bytes_max`.
    pub fn next_piece(&mut self) -> Translated {
        let settings = Settings::of(&self.rules);
        let source = Source {
            request: &self.request,
            settings: &settings,
            limits: &self.limits,
            bounds: &self.bounds,
            now: self.now,
        };
        source.piece(&mut self.place)
    }
}

/// How far a translation has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    resource_idx: usize,
    /// Among the scopes of the resource.
    scope_idx: usize,
    /// Among the spans of the scope.
    idx_in_scope: usize,
    /// Among all spans.
    span_idx: usize,
    /// Bytes of the documents that were made.
    n_bytes: usize,
    /// Whether the documents are as many bytes as they may be.
    is_spent: bool,
}

/// What documents are made of.
pub(super) struct Source<'a> {
    pub(super) request: &'a Request,
    pub(super) settings: &'a Settings<'a>,
    pub(super) limits: &'a Limits,
    pub(super) bounds: &'a Bounds,
    pub(super) now: Timestamp,
}

/// Where a span was found.
struct Around<'a> {
    resource_spans: &'a ResourceSpans,
    resource: &'a Resource<'a>,
    scope: &'a ScopeSpans,
    room: Room<'a>,
}

impl Source<'_> {
    /// Returns the documents of the spans from a place on, up to the end of a piece, and moves the place there.
    pub(super) fn piece(&self, place: &mut Place) -> Translated {
        let mut translated = Translated::default();
        let n_bytes_before = place.n_bytes;
        let first_idx = place.span_idx;
        while let Some(resource_spans) = self.request.resource_spans().get(place.resource_idx) {
            let resource = Resource::of(resource_spans, self.settings.rules);
            let sent = resource_spans.resource.as_ref();
            let resource_bytes = sent.map_or(0, Message::encoded_len);
            while let Some(scope) = resource_spans.scope_spans.get(place.scope_idx) {
                let around = Around {
                    resource_spans,
                    resource: &resource,
                    scope,
                    room: Room::of(resource_bytes, scope, self.limits, self.now),
                };
                while let Some(span) = scope.spans.get(place.idx_in_scope) {
                    let is_full = place.n_bytes - n_bytes_before >= self.bounds.piece_bytes
                        || place.span_idx - first_idx >= self.bounds.piece_spans;
                    if is_full {
                        return translated;
                    }
                    let made = self.documents(span, &around, place);
                    translated.add(span, place.span_idx, made);
                    place.idx_in_scope += 1;
                    place.span_idx += 1;
                }
                place.idx_in_scope = 0;
                place.scope_idx += 1;
            }
            place.scope_idx = 0;
            place.resource_idx += 1;
        }
        translated
    }

    fn documents(
        &self,
        span: &Span,
        around: &Around<'_>,
        place: &mut Place,
    ) -> Result<Vec<String>, Rejection> {
        around.room.check(span)?;
        let ids = Ids::of(span)?;
        let bytes_max = self.bounds.documents_bytes_max.unwrap_or(usize::MAX);
        if place.is_spent {
            return Err(too_much(bytes_max));
        }
        let carried = carried_document(around.resource_spans, around.scope, span);
        let texts = match carried {
            Some(document) => vec![document],
            None => documents(&View::of(
                span,
                ids,
                around.scope,
                around.resource,
                self.settings,
            ))?,
        };
        let n_bytes: usize = texts.iter().map(String::len).sum();
        if n_bytes > bytes_max.saturating_sub(place.n_bytes) {
            // What follows is not tried: making documents to throw them away is the work that is to be bounded.
            place.is_spent = true;
            return Err(too_much(bytes_max));
        }
        place.n_bytes += n_bytes;
        Ok(texts)
    }
}

fn too_much(bytes_max: usize) -> Rejection {
    Rejection {
        code: RejectionCode::DocumentsTooLarge,
        message: format!(
            "the documents of the request's spans have more than {bytes_max} bytes, the limit; send smaller batches"
        ),
    }
}

impl Translated {
    fn add(&mut self, span: &Span, span_idx: usize, documents: Result<Vec<String>, Rejection>) {
        match documents {
            Ok(texts) => {
                let documents = texts.into_iter();
                let documents = documents.map(|text| SpanDocument { text, span_idx });
                self.documents.extend(documents);
            }
            Err(Rejection { code, message }) => self.rejected.push(RejectedSpan {
                span_idx,
                span_id: hex(&span.span_id),
                trace_id: hex(&span.trace_id),
                code,
                message,
            }),
        }
    }
}
