//! Takes the indexable facts from a checked document.

use super::loose::{Facts, LINKS_MAX};
use super::{Part, Segment};
use crate::callee::Callee;
use crate::json::Scalar;
use crate::{
    AnnotationValue, Call, DocumentKind, Flags, Head, HttpFacts, Link, SegmentId, Timestamp,
};

/// What is gathered from a document and all subsegments nested in it.
struct Gathered {
    annotations: Vec<(String, AnnotationValue)>,
    calls: Vec<Call>,
    nested_ids: Vec<SegmentId>,
    links: Vec<Link>,
    flags: Flags,
    latest: Timestamp,
}

impl Segment<'_> {
    /// Returns the document's indexable facts.
    ///
    /// Strings are copied as sent, empty ones count as absent. An annotation is indexed if its key
    /// has 1 to 500 letters, digits, underscores and dots, and its value is a boolean, a number or at
    /// most 1,000 characters; others stay in the document only.
    pub fn head(&self) -> Head {
        let part = &self.part;
        let own = part.facts.flags();
        let mut gathered = Gathered {
            annotations: indexed(part).collect(),
            calls: Vec::new(),
            nested_ids: Vec::new(),
            links: part.facts.links.clone(),
            flags: own.union(deep(own)),
            latest: part.latest(),
        };
        if self.kind == DocumentKind::Subsegment {
            gathered.calls.extend(part.call());
        }
        gathered.add_below(part);
        let facts = &part.facts;
        let aws = facts.aws.as_ref();
        let ec2 = aws.and_then(|aws| aws.ec2.0.as_ref());
        let ecs = aws.and_then(|aws| aws.ecs.0.as_ref());
        Head {
            segment_id: part.id,
            parent_id: self.parent_id,
            kind: self.kind,
            in_progress: part.in_progress,
            start: part.start,
            end: if part.in_progress {
                gathered.latest
            } else {
                part.latest_or_end()
            },
            latest: gathered.latest,
            flags: gathered.flags,
            name: part.name.as_ref().to_owned(),
            origin: owned(&facts.origin),
            account_id: aws.and_then(|aws| aws.account_id.text_or_digits().map(Into::into)),
            http: facts.http_facts(),
            user: owned(&facts.user),
            annotations: gathered.annotations,
            resource_arn: owned(&facts.resource_arn),
            instance_id: ec2.and_then(|ec2| owned(&ec2.instance_id)),
            availability_zone: ec2
                .and_then(|ec2| owned(&ec2.availability_zone))
                .or_else(|| ecs.and_then(|ecs| owned(&ecs.availability_zone))),
            calls: gathered.calls,
            nested_ids: gathered.nested_ids,
            links: {
                gathered.links.truncate(LINKS_MAX);
                gathered.links
            },
        }
    }
}

impl Gathered {
    /// Adds what is below a part, depth first; parsing has bounded the depth.
    fn add_below(&mut self, part: &Part<'_>) {
        for subsegment in &part.subsegments {
            self.nested_ids.push(subsegment.id);
            self.annotations.extend(indexed(subsegment));
            self.calls.extend(subsegment.call());
            self.links.extend(&subsegment.facts.links);
            self.flags = self.flags.union(deep(subsegment.facts.flags()));
            if subsegment.in_progress {
                self.flags = self.flags.union(Flags::DEEP_IN_PROGRESS);
            }
            self.latest = self.latest.max(subsegment.latest());
            self.add_below(subsegment);
        }
    }
}

impl Part<'_> {
    /// Returns the latest time the part itself mentions.
    fn latest(&self) -> Timestamp {
        self.end.map_or(self.start, |end| end.max(self.start))
    }

    fn latest_or_end(&self) -> Timestamp {
        self.end.unwrap_or(self.start)
    }

    /// Returns the call this subsegment is, if it is one.
    fn call(&self) -> Option<Call> {
        let facts = &self.facts;
        let table_name = facts.aws.as_ref().and_then(|aws| aws.table_name.text());
        let callee = Callee::of(
            facts.namespace.text(),
            &self.name,
            table_name,
            facts.has_sql,
        )?;
        Some(Call {
            id: self.id,
            service_name: callee.service_name().to_owned(),
            service_type: callee.service_type().into_owned(),
            start: self.start,
            end: if self.in_progress {
                self.start
            } else {
                self.latest_or_end()
            },
            flags: facts.flags(),
            status: facts.http.as_ref().and_then(crate::block::Http::status),
            traced: facts.is_traced(),
            in_progress: self.in_progress,
        })
    }
}

impl Facts<'_> {
    fn flags(&self) -> Flags {
        self.outcome
            .flags(self.http.as_ref().and_then(crate::block::Http::status))
    }

    fn is_traced(&self) -> bool {
        self.traced
            || self
                .http
                .as_ref()
                .is_some_and(crate::block::Http::is_traced)
    }

    fn http_facts(&self) -> Option<HttpFacts> {
        let http = self.http.as_ref()?;
        let mut facts = HttpFacts {
            status: http.status(),
            ..HttpFacts::default()
        };
        if let Some(request) = &http.request.0 {
            facts.url = owned(&request.url);
            facts.method = owned(&request.method);
            facts.user_agent = owned(&request.user_agent);
            facts.client_ip = owned(&request.client_ip);
        }
        Some(facts)
    }
}

fn owned(scalar: &Scalar<'_>) -> Option<String> {
    scalar.text().map(str::to_owned)
}

/// Returns a part's own outcomes as outcomes of what contains it.
fn deep(own: Flags) -> Flags {
    [
        (Flags::ERROR, Flags::DEEP_ERROR),
        (Flags::FAULT, Flags::DEEP_FAULT),
        (Flags::THROTTLE, Flags::DEEP_THROTTLE),
    ]
    .into_iter()
    .filter(|(flag, _)| own.contains(*flag))
    .fold(Flags::default(), |set, (_, deep)| set.union(deep))
}

/// Returns the annotations of a part that can be searched for.
fn indexed<'p>(part: &'p Part<'_>) -> impl Iterator<Item = (String, AnnotationValue)> + 'p {
    part.annotations
        .iter()
        .filter(|(key, _)| is_searchable(key))
        .filter_map(|(key, value)| {
            indexed_value(value).map(|value| (key.as_ref().to_owned(), value))
        })
}

fn is_searchable(key: &str) -> bool {
    let has_length = (1..=KEY_CHARS_MAX).contains(&key.len());
    has_length
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "JSON numbers are doubles to most clients"
)]
fn indexed_value(value: &Scalar<'_>) -> Option<AnnotationValue> {
    match value {
        Scalar::Boolean(boolean) => Some(AnnotationValue::Boolean(*boolean)),
        Scalar::Integer(number) => Some(AnnotationValue::Number(*number as f64)),
        Scalar::Float(number) => Some(AnnotationValue::Number(*number)),
        Scalar::Text(text) => {
            let is_short = text.len() <= VALUE_CHARS_MAX || text.chars().count() <= VALUE_CHARS_MAX;
            is_short.then(|| AnnotationValue::String(text.as_ref().to_owned()))
        }
        Scalar::Absent | Scalar::Other => None,
    }
}

const KEY_CHARS_MAX: usize = 500;
const VALUE_CHARS_MAX: usize = 1_000;
