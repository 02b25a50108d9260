//! Groups spans by resource and scope, as requests carry them.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// Where a span was made: what a request says once for many spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Maker {
    pub(crate) resource: Option<Resource>,
    pub(crate) resource_schema_url: String,
    pub(crate) scope: Option<InstrumentationScope>,
    pub(crate) scope_schema_url: String,
}

/// Groups in the order in which their first spans came.
#[derive(Debug, Default)]
pub(super) struct Groups {
    list: Vec<ResourceSpans>,
    /// The place of a resource, and of a scope within it, by what they are on the wire.
    resource_idxs: HashMap<Vec<u8>, usize>,
    scope_idxs: HashMap<(usize, Vec<u8>), usize>,
}

impl Groups {
    /// Adds a span to its group.
    pub(super) fn add(&mut self, maker: Maker, span: Span) {
        let Maker {
            resource,
            resource_schema_url,
            scope,
            scope_schema_url,
        } = maker;
        let mut group = ResourceSpans {
            resource,
            scope_spans: Vec::new(),
            schema_url: resource_schema_url,
        };
        let n_groups = self.list.len();
        let resource_idx = *self
            .resource_idxs
            .entry(group.encode_to_vec())
            .or_insert(n_groups);
        if let Some(known) = self.list.get_mut(resource_idx) {
            group = std::mem::take(known);
        } else {
            self.list.push(ResourceSpans::default());
        }
        let mut spans = ScopeSpans {
            scope,
            spans: Vec::new(),
            schema_url: scope_schema_url,
        };
        let scope_idx = *self
            .scope_idxs
            .entry((resource_idx, spans.encode_to_vec()))
            .or_insert(group.scope_spans.len());
        if let Some(known) = group.scope_spans.get_mut(scope_idx) {
            known.spans.push(span);
        } else {
            spans.spans.push(span);
            group.scope_spans.push(spans);
        }
        if let Some(slot) = self.list.get_mut(resource_idx) {
            *slot = group;
        }
    }

    /// Returns the groups.
    pub(super) fn into_groups(self) -> Vec<ResourceSpans> {
        self.list
    }
}
