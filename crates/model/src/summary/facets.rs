//! Annotations and users of a trace, each with the services that set them.

use std::collections::{HashMap, HashSet};

use super::{IndexedAnnotation, LIST_MAX, User};
use crate::{AnnotationValue, Head};

/// Returns the distinct annotations in order of heads; `owners` are the heads' services.
pub(super) fn annotations(heads: &[&Head], owners: &[Option<u16>]) -> Vec<IndexedAnnotation> {
    let mut keys: HashSet<&str> = HashSet::new();
    let mut facets = Facets::with_limit(ANNOTATION_VALUES_MAX);
    let mut list: Vec<IndexedAnnotation> = Vec::new();
    for (head, owner) in heads.iter().zip(owners) {
        for (key, value) in &head.annotations {
            if !keys.contains(key.as_str()) {
                if keys.len() == ANNOTATION_KEYS_MAX {
                    continue;
                }
                keys.insert(key);
            }
            match facets.add((key.as_str(), Exact::of(value)), *owner) {
                Added::Facet => list.push(IndexedAnnotation {
                    key: key.clone(),
                    value: value.clone(),
                    services: owner.iter().copied().collect(),
                }),
                Added::Service(facet_idx, service) => {
                    if let Some(annotation) = list.get_mut(facet_idx) {
                        annotation.services.push(service);
                    }
                }
                Added::Nothing => {}
            }
        }
    }
    list
}

/// Returns the distinct users in order of heads; `owners` are the heads' services.
pub(super) fn users(heads: &[&Head], owners: &[Option<u16>]) -> Vec<User> {
    let mut facets = Facets::with_limit(LIST_MAX);
    let mut list: Vec<User> = Vec::new();
    for (head, owner) in heads.iter().zip(owners) {
        let Some(name) = &head.user else { continue };
        match facets.add(name.as_str(), *owner) {
            Added::Facet => {
                list.push(User {
                    name: name.clone(),
                    services: owner.iter().copied().collect(),
                });
            }
            Added::Service(facet_idx, service) => {
                if let Some(user) = list.get_mut(facet_idx) {
                    user.services.push(service);
                }
            }
            Added::Nothing => {}
        }
    }
    list
}

/// Which facets there are and which services each has: keeps long lists from being walked.
struct Facets<T> {
    limit: usize,
    index_of: HashMap<T, usize>,
    pairs: HashSet<(usize, u16)>,
}

enum Added {
    Facet,
    Service(usize, u16),
    Nothing,
}

impl<T: std::hash::Hash + Eq> Facets<T> {
    fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            index_of: HashMap::new(),
            pairs: HashSet::new(),
        }
    }

    /// Tells what a service's facet adds to the list.
    fn add(&mut self, facet: T, owner: Option<u16>) -> Added {
        if let Some(facet_idx) = self.index_of.get(&facet).copied() {
            return match owner {
                Some(service) if self.pairs.insert((facet_idx, service)) => {
                    Added::Service(facet_idx, service)
                }
                Some(_) | None => Added::Nothing,
            };
        }
        let facet_idx = self.index_of.len();
        if facet_idx == self.limit {
            return Added::Nothing;
        }
        self.index_of.insert(facet, facet_idx);
        self.pairs.extend(owner.map(|service| (facet_idx, service)));
        Added::Facet
    }
}

/// A value that can be compared and hashed exactly.
#[derive(PartialEq, Eq, Hash)]
enum Exact<'h> {
    Number(u64),
    Boolean(bool),
    String(&'h str),
}

impl<'h> Exact<'h> {
    fn of(value: &'h AnnotationValue) -> Self {
        match value {
            // Adding zero makes one of the two zeros.
            AnnotationValue::Number(number) => Self::Number((number + 0.0).to_bits()),
            AnnotationValue::Boolean(boolean) => Self::Boolean(*boolean),
            AnnotationValue::String(text) => Self::String(text),
        }
    }
}

/// The API indexes up to 50 annotations of a trace.
const ANNOTATION_KEYS_MAX: usize = 50;
const ANNOTATION_VALUES_MAX: usize = 10_000;
