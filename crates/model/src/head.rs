//! The indexable facts of one document, taken from it once, when it is accepted.

use serde::{Deserialize, Serialize};

use crate::{SegmentId, Timestamp, TraceId};

/// The facts of one document that indexes, summaries and graphs are made of.
///
/// The store keeps heads in memory only and takes them from the documents again at open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The document's own id.
    pub segment_id: SegmentId,
    /// The upstream subsegment of a segment, the parent of an independent subsegment.
    pub parent_id: Option<SegmentId>,
    /// Whether the document is a segment or a subsegment sent alone.
    pub kind: DocumentKind,
    /// Whether the document says `in_progress`.
    pub in_progress: bool,
    /// The document's start.
    pub start: Timestamp,
    /// The document's end; of one in progress the latest time it mentions.
    pub end: Timestamp,
    /// The latest time it mentions, in progress or not.
    pub latest: Timestamp,
    /// What went wrong in it, on its own level and below.
    pub flags: Flags,
    /// The service's (or the call's) name.
    pub name: String,
    /// `origin` of a segment: the type of its service.
    pub origin: Option<String>,
    /// `aws.account_id`.
    pub account_id: Option<String>,
    /// The document's own `http` block.
    pub http: Option<HttpFacts>,
    /// The document's `user`.
    pub user: Option<String>,
    /// Annotations of the document and of the subsegments nested in it.
    pub annotations: Vec<(String, AnnotationValue)>,
    /// `resource_arn`.
    pub resource_arn: Option<String>,
    /// `aws.ec2.instance_id`.
    pub instance_id: Option<String>,
    /// `aws.ec2.availability_zone` or `aws.ecs.availability_zone`.
    pub availability_zone: Option<String>,
    /// Calls to other services: the subsegments with namespace `aws` or `remote`, at any depth, and
    /// the document itself if it is such a subsegment sent alone.
    pub calls: Vec<Call>,
    /// Ids of all subsegments nested in the document.
    pub nested_ids: Vec<SegmentId>,
    /// What the document and the subsegments nested in it are linked to, at most 100.
    pub links: Vec<Link>,
}

/// A link to a segment or subsegment of another trace: a message sent there was received here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The trace linked to.
    pub trace_id: TraceId,
    /// The segment or subsegment in it.
    pub id: SegmentId,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentKind {
    /// A segment.
    Segment,
    /// A subsegment sent alone (`"type": "subsegment"`).
    Subsegment,
}

/// A call to another service, which is inferred from it as long as that service sends no segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Id of the subsegment: a segment of the called service has it as its parent.
    pub id: SegmentId,
    /// Name of the service a graph shows: the table's name for DynamoDB, else the subsegment's name.
    pub service_name: String,
    /// Type of the inferred service, such as `AWS::DynamoDB::Table`, `Database::SQL`, `remote`.
    pub service_type: String,
    /// Start of the call.
    pub start: Timestamp,
    /// End of the call; of one in progress its start.
    pub end: Timestamp,
    /// What went wrong in the call itself.
    pub flags: Flags,
    /// `http.response.status` as the caller saw it.
    pub status: Option<u16>,
    /// `http.request.traced`: a segment of the called service is announced.
    pub traced: bool,
    /// Whether the call is still in progress.
    pub in_progress: bool,
}

/// The `http` block of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpFacts {
    /// `http.request.url`.
    pub url: Option<String>,
    /// `http.request.method`.
    pub method: Option<String>,
    /// `http.response.status`.
    pub status: Option<u16>,
    /// `http.request.user_agent`.
    pub user_agent: Option<String>,
    /// `http.request.client_ip`.
    pub client_ip: Option<String>,
}

/// One value of an annotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnnotationValue {
    /// A JSON number.
    Number(f64),
    /// A JSON boolean.
    Boolean(bool),
    /// A JSON string.
    String(String),
}

/// A set of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags(pub u8);

impl Flags {
    /// A client error (4xx) of the document itself.
    pub const ERROR: Self = Self(1);
    /// A server fault (5xx) of the document itself.
    pub const FAULT: Self = Self(2);
    /// A throttled request (429) of the document itself.
    pub const THROTTLE: Self = Self(4);
    /// A client error in the document or anywhere below it.
    pub const DEEP_ERROR: Self = Self(8);
    /// A server fault in the document or anywhere below it.
    pub const DEEP_FAULT: Self = Self(16);
    /// A throttled request in the document or anywhere below it.
    pub const DEEP_THROTTLE: Self = Self(32);
    /// A subsegment in the document, at any depth, is in progress.
    pub const DEEP_IN_PROGRESS: Self = Self(64);
    /// What a document says of itself, not of what is below it.
    const OWN: u8 = 7;

    /// Tells whether every outcome of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the outcomes of the document itself.
    #[must_use]
    pub const fn own(self) -> Self {
        Self(self.0 & Self::OWN)
    }

    /// Returns the outcomes of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
