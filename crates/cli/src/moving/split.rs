//! Documents that are larger than a server takes. What it answers has subsegments inside that were sent alone, so a segment
//! may have grown; sent alone again they are taken, and the trace is the same.

use std::fmt;

use model::DocumentLimits;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Returns a document, or several that make up the same segment if it is larger than a server takes. What cannot be made
/// smaller stays as it is: the server says what it thinks of it.
pub(crate) fn split(text: String) -> Vec<String> {
    split_at(text, DocumentLimits::default().document_bytes_max)
}

fn split_at(text: String, bytes_max: usize) -> Vec<String> {
    if text.len() <= bytes_max {
        return vec![text];
    }
    let Ok(mut root) = serde_json::from_str::<Node>(&text) else {
        return vec![text];
    };
    let Some(trace_id) = root.member("trace_id").map(str::to_owned) else {
        return vec![text];
    };
    root.settle();
    let mut alone = Vec::new();
    root.shrink(bytes_max, &trace_id, &mut alone);
    if alone.is_empty() {
        return vec![text];
    }
    let mut texts = vec![root.to_text()];
    texts.extend(alone.iter().rev().map(Node::to_text));
    texts
}

/// A segment or subsegment: members with their JSON, and what is nested in it.
#[derive(Debug)]
struct Node {
    members: Vec<(String, String)>,
    nested: Vec<Node>,
    /// Bytes of its text, about; never less.
    n_bytes: usize,
}

impl Node {
    fn member(&self, name: &str) -> Option<&str> {
        let found = self.members.iter().find(|(member, _)| member == name);
        found.map(|(_, json)| json.as_str())
    }

    /// Counts bytes.
    fn settle(&mut self) {
        let members = self.members.iter();
        // Quotes, colon, comma.
        let own: usize = members
            .map(|(name, json)| name.len() + json.len() + 4)
            .sum();
        self.n_bytes = own + BRACKETS_BYTES;
        for nested in &mut self.nested {
            nested.settle();
            self.n_bytes += nested.n_bytes + 1;
        }
    }

    /// Takes out nested subsegments until the rest is small enough, the last ones first and as deep as has to be: their
    /// order below one parent is that of their starts if they were sent alone, and these come last.
    fn shrink(&mut self, bytes_max: usize, trace_id: &str, alone: &mut Vec<Self>) {
        let is_large = |n_bytes: usize| n_bytes + ALONE_BYTES > bytes_max;
        for nested in &mut self.nested {
            if is_large(nested.n_bytes) {
                let before = nested.n_bytes;
                nested.shrink(bytes_max, trace_id, alone);
                self.n_bytes -= before - nested.n_bytes;
            }
        }
        let id = self.member("id").map(str::to_owned);
        while is_large(self.n_bytes)
            && let Some(id) = &id
            && let Some(mut last) = self.nested.pop()
        {
            self.n_bytes -= last.n_bytes + 1;
            last.stand_alone(trace_id, id);
            alone.push(last);
        }
    }

    /// Gives it what says where it belongs.
    fn stand_alone(&mut self, trace_id: &str, parent_id: &str) {
        let mut add = |name: &str, json: &str| {
            if self.member(name).is_none() {
                self.members.push((name.to_owned(), json.to_owned()));
            }
        };
        add("trace_id", trace_id);
        add("parent_id", parent_id);
        add("type", "\"subsegment\"");
        if self.member("end_time").is_none() {
            // Nested, it was in progress because something around it was.
            self.members.retain(|(name, _)| name != "in_progress");
            self.members
                .push(("in_progress".to_owned(), "true".to_owned()));
        }
    }

    fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.n_bytes);
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        let mut separator = '{';
        for (name, json) in &self.members {
            text.push(separator);
            // A name as it was read needs no more than what JSON asks for.
            text.push_str(&serde_json::to_string(name).unwrap_or_default());
            text.push(':');
            text.push_str(json);
            separator = ',';
        }
        if !self.nested.is_empty() {
            text.push(separator);
            text.push_str("\"subsegments\":");
            let mut separator = '[';
            for nested in &self.nested {
                text.push(separator);
                nested.write(text);
                separator = ',';
            }
            text.push(']');
        }
        text.push('}');
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Node;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a segment")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut node = Node {
                    members: Vec::new(),
                    nested: Vec::new(),
                    n_bytes: 0,
                };
                while let Some(name) = map.next_key::<String>()? {
                    if name == "subsegments" {
                        node.nested = map.next_value::<Option<Vec<Node>>>()?.unwrap_or_default();
                    } else {
                        let json: Box<RawValue> = map.next_value()?;
                        node.members.push((name, json.get().to_owned()));
                    }
                }
                Ok(node)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Room for what a subsegment has to say of itself when it stands alone.
const ALONE_BYTES: usize = 160;
/// Those of an object, and the name and brackets of what is nested in it.
const BRACKETS_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use model::{Document, Orphans, Segment, Trace};
    use serde_json::{Value, json};

    use super::*;

    fn part(id: u32, start: u32, nested: &[Value]) -> Value {
        json!({ "id": format!("{id:016x}"), "name": "work", "start_time": start, "end_time": start + 1,
            "metadata": { "a": "x".repeat(300) }, "subsegments": nested })
    }

    fn compiled(texts: &[String]) -> Vec<Value> {
        let documents = (1..).zip(texts).map(|(stamp, text)| Document {
            segment_id: Segment::parse(text, &DocumentLimits::default())
                .unwrap()
                .id(),
            in_progress: false,
            stamp,
            first_stamp: stamp,
            text: text.clone(),
        });
        let documents: Vec<Document> = documents.collect();
        let id = model::TraceId::parse("1-581cf771-a006649127e371903a2de979").unwrap();
        let trace = Trace::compile(id, &documents, Orphans::Visible);
        let texts = trace.segments.iter().map(|segment| {
            let mut text = String::new();
            segment.write_document(&mut text);
            serde_json::from_str(&text).unwrap()
        });
        texts.collect()
    }

    fn check(document: &Value, bytes_max: usize, n_documents: usize) {
        let text = document.to_string();
        let texts = split_at(text.clone(), bytes_max);
        let lengths: Vec<usize> = texts.iter().map(String::len).collect();
        assert_eq!(texts.len(), n_documents, "{lengths:?} of {}", text.len());
        assert!(
            lengths.iter().all(|length| *length <= bytes_max),
            "{lengths:?}"
        );
        assert_eq!(compiled(&texts), compiled(&[text]));
    }

    #[test]
    fn a_segment_that_is_cut_is_the_same_segment() {
        let deep = part(2, 2, &[part(3, 3, &[]), part(4, 4, &[]), part(5, 5, &[])]);
        let mut root = part(1, 1, &[deep, part(6, 6, &[]), part(7, 7, &[])]);
        root["trace_id"] = json!("1-581cf771-a006649127e371903a2de979");
        check(&root, 1 << 20, 1);
        check(&root, 2_700, 2);
        check(&root, 2_000, 4);
        check(&root, 1_300, 6);
    }

    #[test]
    fn what_cannot_be_cut_stays_as_it_is() {
        for text in [
            "[]".to_owned(),
            "x".repeat(50),
            json!({ "id": "1", "user": "x".repeat(50) }).to_string(),
        ] {
            assert_eq!(split_at(text.clone(), 1), [text]);
        }
    }
}
