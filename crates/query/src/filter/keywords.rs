//! The keywords: what class each has and where it may stand (spec: X-Ray developer guide, "Using filter
//! expressions").

/// A keyword with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Ok,
    Error,
    Throttle,
    Fault,
    Partial,
    Inferred,
    Root,
    First,
    Last,
    Remote,
    ResponseTime,
    Duration,
    HttpStatus,
    Index,
    Coverage,
    HttpUrl,
    HttpMethod,
    HttpUserAgent,
    HttpClientIp,
    User,
    Name,
    Type,
    Message,
    AvailabilityZone,
    InstanceId,
    ResourceArn,
    AccountId,
}

/// What values a keyword has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Flag,
    Number,
    Text,
}

/// Where a keyword stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Trace,
    ServiceBlock,
    EdgeBlock,
    CauseService,
    CauseEntity,
    SlowEntity,
    CauseException,
}

/// What is known of a keyword.
struct Entry {
    keyword: Keyword,
    text: &'static str,
    class: Class,
    places: &'static [Place],
}

impl Keyword {
    /// Returns the keyword of a word in whatever case.
    pub(super) fn find(word: &str) -> Option<Self> {
        ENTRIES
            .iter()
            .find(|entry| entry.text.eq_ignore_ascii_case(word))
            .map(|entry| entry.keyword)
    }

    /// Returns all keywords that may stand in a place.
    #[cfg(test)]
    pub(super) fn all_in(place: Place) -> Vec<Self> {
        let entries = ENTRIES.iter();
        let may_stand = entries.filter(|entry| entry.places.contains(&place));
        may_stand.map(|entry| entry.keyword).collect()
    }

    /// Returns how it is written.
    pub(super) fn text(self) -> &'static str {
        self.entry().map_or("", |entry| entry.text)
    }

    pub(super) fn class(self) -> Class {
        self.entry().map_or(Class::Flag, |entry| entry.class)
    }

    pub(super) fn places(self) -> &'static [Place] {
        self.entry().map_or(&[], |entry| entry.places)
    }

    fn entry(self) -> Option<&'static Entry> {
        ENTRIES.iter().find(|entry| entry.keyword == self)
    }
}

impl Place {
    /// Returns how the place is written.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Trace => "outside of blocks",
            Self::ServiceBlock => "in service(...) { }",
            Self::EdgeBlock => "in edge(...) { }",
            Self::CauseService => "in rootcause.*.service { }",
            Self::CauseEntity => "in rootcause.*.entity { }",
            Self::SlowEntity => "in rootcause.responsetime.entity { }",
            Self::CauseException => "in rootcause.*.exception { }",
        }
    }
}

/// Returns the keyword someone may have meant.
pub(super) fn nearest(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(known, &word);
    ENTRIES
        .iter()
        .map(|entry| entry.text)
        .chain(OTHERS.iter().copied())
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, known)| known)
}

const fn entry(
    keyword: Keyword,
    text: &'static str,
    class: Class,
    places: &'static [Place],
) -> Entry {
    Entry {
        keyword,
        text,
        class,
        places,
    }
}

use Place::{
    CauseEntity, CauseException, CauseService, EdgeBlock, ServiceBlock, SlowEntity, Trace,
};

const REQUESTS: &[Place] = &[Trace, ServiceBlock, EdgeBlock];
const SERVICES: &[Place] = &[Trace, ServiceBlock];
const LISTS: &[Place] = &[CauseService, CauseEntity, SlowEntity, CauseException];
const ENTITIES: &[Place] = &[CauseEntity, SlowEntity];

const ENTRIES: &[Entry] = &[
    entry(Keyword::Ok, "ok", Class::Flag, REQUESTS),
    entry(Keyword::Error, "error", Class::Flag, REQUESTS),
    entry(Keyword::Throttle, "throttle", Class::Flag, REQUESTS),
    entry(Keyword::Fault, "fault", Class::Flag, REQUESTS),
    entry(Keyword::Partial, "partial", Class::Flag, REQUESTS),
    entry(
        Keyword::Inferred,
        "inferred",
        Class::Flag,
        &[
            Trace,
            ServiceBlock,
            EdgeBlock,
            CauseService,
            CauseEntity,
            SlowEntity,
        ],
    ),
    entry(Keyword::Root, "root", Class::Flag, &[ServiceBlock]),
    entry(Keyword::First, "first", Class::Flag, LISTS),
    entry(Keyword::Last, "last", Class::Flag, LISTS),
    entry(Keyword::Remote, "remote", Class::Flag, ENTITIES),
    entry(
        Keyword::ResponseTime,
        "responsetime",
        Class::Number,
        REQUESTS,
    ),
    entry(Keyword::Duration, "duration", Class::Number, REQUESTS),
    entry(Keyword::HttpStatus, "http.status", Class::Number, REQUESTS),
    entry(Keyword::Index, "index", Class::Number, LISTS),
    entry(Keyword::Coverage, "coverage", Class::Number, &[SlowEntity]),
    entry(Keyword::HttpUrl, "http.url", Class::Text, REQUESTS),
    entry(Keyword::HttpMethod, "http.method", Class::Text, REQUESTS),
    entry(
        Keyword::HttpUserAgent,
        "http.useragent",
        Class::Text,
        REQUESTS,
    ),
    entry(
        Keyword::HttpClientIp,
        "http.clientip",
        Class::Text,
        REQUESTS,
    ),
    entry(Keyword::User, "user", Class::Text, REQUESTS),
    entry(Keyword::Name, "name", Class::Text, LISTS),
    entry(Keyword::Type, "type", Class::Text, &[CauseService]),
    entry(Keyword::Message, "message", Class::Text, &[CauseException]),
    entry(
        Keyword::AvailabilityZone,
        "availabilityzone",
        Class::Text,
        SERVICES,
    ),
    entry(Keyword::InstanceId, "instance.id", Class::Text, SERVICES),
    entry(Keyword::ResourceArn, "resource.arn", Class::Text, SERVICES),
    entry(
        Keyword::AccountId,
        "account.id",
        Class::Text,
        &[Trace, ServiceBlock, CauseService],
    ),
];

/// What else an expression may begin with.
const OTHERS: &[&str] = &[
    "service",
    "edge",
    "annotation",
    "group.name",
    "group.arn",
    "rootcause.json",
    "rootcause.fault.service",
    "rootcause.fault.entity",
    "rootcause.fault.exception",
    "rootcause.error.service",
    "rootcause.error.entity",
    "rootcause.error.exception",
    "rootcause.responsetime.service",
    "rootcause.responsetime.entity",
];

/// Below this, two words have little in common.
const LIKENESS_MIN: f64 = 0.85;
