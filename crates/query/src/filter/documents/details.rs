//! What requests and calls asked for, found in the documents of a trace by their ids.

use std::collections::HashMap;

use model::graph::{Edge, Request};
use model::{Document, DocumentKind, Head, SegmentId};
use serde_json::Value;

use super::super::judge::Detail;

/// What is known of requests and calls beside what a graph has.
pub(super) struct Details {
    segments: HashMap<SegmentId, Detail>,
    /// Of subsegments, nested and sent alone.
    parts: HashMap<SegmentId, Detail>,
}

impl Details {
    /// Returns the details of the trace that documents with these heads make up.
    pub(super) fn of(heads: &[Head], documents: &[Document]) -> Self {
        let segments = heads
            .iter()
            .filter(|head| head.kind == DocumentKind::Segment);
        Self {
            segments: segments
                .map(|head| (head.segment_id, detail_of(head)))
                .collect(),
            parts: parts(documents),
        }
    }

    pub(super) fn of_request(&self, request: &Request) -> Detail {
        self.of_id(request.id)
    }

    pub(super) fn of_edge(&self, edge: &Edge) -> Detail {
        self.of_id(edge.id)
    }

    fn of_id(&self, id: SegmentId) -> Detail {
        let detail = self.segments.get(&id).or_else(|| self.parts.get(&id));
        detail.cloned().unwrap_or_default()
    }
}

fn detail_of(head: &Head) -> Detail {
    let http = head.http.clone().unwrap_or_default();
    Detail {
        url: http.url,
        method: http.method,
        user_agent: http.user_agent,
        client_ip: http.client_ip,
        user: head.user.clone(),
        availability_zone: head.availability_zone.clone(),
        instance_id: head.instance_id.clone(),
        resource_arn: head.resource_arn.clone(),
    }
}

/// Returns what subsegments, sent alone or nested, say of what they asked for.
fn parts(documents: &[Document]) -> HashMap<SegmentId, Detail> {
    let mut parts = HashMap::new();
    for document in documents {
        let Ok(json) = serde_json::from_str::<Value>(&document.text) else {
            continue;
        };
        let mut waiting = vec![&json];
        while let Some(part) = waiting.pop() {
            let id = part.get("id").and_then(Value::as_str);
            if let Some(id) = id.and_then(|id| id.parse().ok()) {
                parts.entry(id).or_insert_with(|| detail_in(part));
            }
            let below = part.get("subsegments").and_then(Value::as_array);
            waiting.extend(below.into_iter().flatten());
        }
    }
    parts
}

fn detail_in(part: &Value) -> Detail {
    let text = |value: Option<&Value>| {
        let text = value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let request = part.get("http").and_then(|http| http.get("request"));
    let asked = |member: &str| text(request.and_then(|request| request.get(member)));
    Detail {
        url: asked("url"),
        method: asked("method"),
        user_agent: asked("user_agent"),
        client_ip: asked("client_ip"),
        user: text(part.get("user")),
        ..Detail::default()
    }
}
