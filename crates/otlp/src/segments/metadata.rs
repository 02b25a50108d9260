//! The members `annotations` and `metadata`: every attribute that has no member of its own (source: `segment.go` of the
//! collector's X-Ray exporter).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::attributes::{Attributes, text_of, texts_of};
use super::kept::Kept;
use super::{View, aws, cause, http, sql};
use crate::value::{Plain, is_plain};

pub(super) type Annotations<'a> = BTreeMap<String, Plain<'a>>;

/// The namespaces of a document's metadata.
#[derive(Default, Serialize)]
pub(super) struct Metadata<'a> {
    #[serde(flatten)]
    pub(super) namespaces: BTreeMap<&'a str, &'a RawValue>,
    #[serde(rename = "default", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) default: BTreeMap<Cow<'a, str>, Shown<'a>>,
    #[serde(rename = "otel.span", skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Kept<'a>>,
}

/// A value in metadata.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Shown<'a> {
    Value(Plain<'a>),
    Json(&'a RawValue),
}

/// Where those attributes are shown that have no member of their own.
#[derive(Default)]
pub(super) struct Placed<'a> {
    pub(super) annotations: Annotations<'a>,
    pub(super) metadata: Metadata<'a>,
    /// Keys of the span's attributes that `default` shows in full.
    shown: BTreeSet<&'a str>,
}

/// Returns where the attributes of a span are shown.
pub(super) fn place<'a>(view: &View<'a>) -> Placed<'a> {
    let attributes = &view.attributes;
    let list = match attributes.value(ANNOTATIONS) {
        Some(Value::ArrayValue(array)) => Some(texts_of(&array.values).collect()),
        _ => None,
    };
    let is_list_read = list.is_some();
    let indexed = Indexed {
        all: view.settings.rules.index_all_attributes,
        by_rules: &view.settings.indexed,
        by_span: list.unwrap_or_default(),
    };
    let is_sql = sql::is_sql(attributes);
    let mut placed = Placed::default();
    for (key, value) in attributes.iter() {
        let has_member = http::takes(key)
            || aws::takes(key)
            || (is_sql && sql::takes(key))
            || cause::takes(key, view)
            || key == USER
            || (is_list_read && key == ANNOTATIONS);
        if indexed.names(key) || (indexed.all && !has_member) {
            placed.annotate(key, value);
        } else if !has_member {
            placed.place(key, value);
        }
    }
    if view.is_segment() {
        placed.place_resource(&view.resource.attributes, &indexed);
    }
    placed
}

impl Metadata<'_> {
    /// Leaves only what the resource says.
    pub(super) fn keep_resource_only(&mut self) {
        self.namespaces.clear();
        self.default.retain(|key, _| key.starts_with(RESOURCE));
    }
}

impl<'a> Placed<'a> {
    /// Returns the attributes that `default` does not show in full. JSON for `default` itself mixes with attributes there:
    /// if a span has any, nothing counts as shown.
    pub(super) fn not_shown(&self, attributes: &Attributes<'a>) -> Vec<(&'a str, &'a AnyValue)> {
        let is_shown = |key: &str| self.shown.contains(key);
        let mixes = |key: &str| key.strip_prefix(METADATA).is_some_and(is_default);
        let is_mixed = attributes
            .iter()
            .any(|(key, _)| mixes(key) && !is_shown(key));
        let attributes = attributes.iter();
        attributes
            .filter(|(key, _)| is_mixed || !is_shown(key))
            .collect()
    }

    /// Makes an annotation of a scalar; what else there is stays metadata.
    fn annotate(&mut self, key: &'a str, value: &'a AnyValue) {
        if is_scalar(value) {
            self.annotations
                .entry(annotation_key(key))
                .or_insert(Plain(value));
        } else {
            self.show(key, value);
        }
    }

    fn place(&mut self, key: &'a str, value: &'a AnyValue) {
        let json = key.strip_prefix(METADATA).zip(object_of(value));
        match json {
            Some((namespace, json)) if is_default(namespace) => {
                for (name, json) in members_of(json) {
                    let shown = Shown::Json(json);
                    self.metadata
                        .default
                        .entry(Cow::Owned(name))
                        .or_insert(shown);
                }
            }
            Some((namespace, json)) if namespace != KEPT => {
                self.metadata.namespaces.insert(namespace, json);
            }
            Some(_) | None => self.show(key, value),
        }
    }

    /// Shows a value under its own key, before a member of that name that came as JSON.
    fn show(&mut self, key: &'a str, value: &'a AnyValue) {
        if value.value.is_none() {
            return;
        }
        let shown = Shown::Value(Plain(value));
        self.metadata.default.insert(Cow::Borrowed(key), shown);
        if is_plain(value) && !key.starts_with(RESOURCE) {
            self.shown.insert(key);
        }
    }

    /// Shows the attributes of a resource; an attribute of the span goes before one of the same name.
    fn place_resource(&mut self, attributes: &Attributes<'a>, indexed: &Indexed<'_>) {
        for (key, value) in attributes.iter() {
            let key = format!("{RESOURCE}{key}");
            let is_indexed = indexed.all || indexed.names(&key);
            if is_indexed && is_scalar(value) {
                let key = annotation_key(&key);
                self.annotations.entry(key).or_insert(Plain(value));
            } else if value.value.is_some() {
                let shown = Shown::Value(Plain(value));
                self.metadata
                    .default
                    .entry(Cow::Owned(key))
                    .or_insert(shown);
            }
        }
    }
}

/// Which attributes become annotations: all, those the rules name, and those the span itself names.
struct Indexed<'a> {
    all: bool,
    by_rules: &'a BTreeSet<&'a str>,
    by_span: BTreeSet<&'a str>,
}

impl Indexed<'_> {
    fn names(&self, key: &str) -> bool {
        self.by_rules.contains(key) || self.by_span.contains(key)
    }
}

/// Returns the user a span was made for.
pub(super) fn user<'a>(attributes: &Attributes<'a>) -> Option<&'a str> {
    attributes.text(USER)
}

fn is_default(namespace: &str) -> bool {
    namespace.eq_ignore_ascii_case("default")
}

/// Tells whether a value may be that of an annotation.
fn is_scalar(value: &AnyValue) -> bool {
    match &value.value {
        Some(Value::StringValue(_) | Value::BoolValue(_) | Value::IntValue(_)) => true,
        Some(Value::DoubleValue(double)) => double.is_finite(),
        Some(
            Value::ArrayValue(_)
            | Value::KvlistValue(_)
            | Value::BytesValue(_)
            | Value::StringValueStrindex(_),
        )
        | None => false,
    }
}

/// Returns a key that can be searched for: of letters, digits, underscores and dots.
fn annotation_key(key: &str) -> String {
    let is_kept = |character: char| character.is_ascii_alphanumeric() || character == '.';
    let characters = key.chars();
    characters
        .map(|character| if is_kept(character) { character } else { '_' })
        .collect()
}

/// Returns the JSON of a text that is an object, unless it is nested too deep to be put into a document.
fn object_of(value: &AnyValue) -> Option<&RawValue> {
    let text = text_of(value.value.as_ref()?)?;
    let json: Json = serde_json::from_str(text).ok()?;
    let fits = json.is_object() && depth(&json) <= DEPTH_MAX;
    fits.then(|| serde_json::from_str(text).ok())?
}

/// The reader has bounded the depth.
fn depth(json: &Json) -> usize {
    let below = match json {
        Json::Array(values) => values.iter().map(depth).max(),
        Json::Object(members) => members.values().map(depth).max(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => return 0,
    };
    below.unwrap_or(0) + 1
}

fn members_of(json: &RawValue) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(json.get()).unwrap_or_default()
}

const USER: &str = "enduser.id";
const ANNOTATIONS: &str = "aws.xray.annotations";
const METADATA: &str = "aws.xray.metadata.";
const RESOURCE: &str = "otel.resource.";
/// The namespace of what is kept of a span.
const KEPT: &str = "otel.span";
/// Far below what documents may have (125), so that a subsegment fits below others.
const DEPTH_MAX: usize = 100;
