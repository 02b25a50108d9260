//! Tags of groups and sampling rules (spec: X-Ray developer guide, "Tagging X-Ray sampling rules and groups").

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The tags of one resource, ascending by key; at most 50.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

/// Why tags are not set. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTags {
    /// The resource would have too many.
    #[error("a resource has at most {TAGS_MAX} tags, and would have {n_tags}")]
    TooMany {
        /// How many it would have.
        n_tags: usize,
    },
    /// A key is one only AWS may set.
    #[error("the tag key {key:?} begins with \"aws:\", which is reserved")]
    Reserved {
        /// The key.
        key: String,
    },
    /// A key was given twice in one call.
    #[error("the tag key {key:?} is given more than once")]
    Repeated {
        /// The key.
        key: String,
    },
}

impl Tags {
    /// Sets tags, in the place of those with the same keys.
    ///
    /// # Errors
    /// Refuses all of them if there would be too many, or if a key is reserved or repeated.
    pub fn set(
        &mut self,
        tags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), InvalidTags> {
        let mut merged = self.0.clone();
        let mut given = BTreeSet::new();
        for (key, value) in tags {
            let prefix = key.get(..RESERVED.len()).unwrap_or_default();
            if prefix.eq_ignore_ascii_case(RESERVED) {
                return Err(InvalidTags::Reserved { key });
            }
            if !given.insert(key.clone()) {
                return Err(InvalidTags::Repeated { key });
            }
            merged.insert(key, value);
        }
        if merged.len() > TAGS_MAX {
            return Err(InvalidTags::TooMany {
                n_tags: merged.len(),
            });
        }
        self.0 = merged;
        Ok(())
    }

    /// Removes tags; keys that are not there are passed over.
    pub fn remove<'k>(&mut self, keys: impl IntoIterator<Item = &'k str>) {
        for key in keys {
            self.0.remove(key);
        }
    }

    /// Returns keys and values, ascending by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

const TAGS_MAX: usize = 50;
const RESERVED: &str = "aws:";

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(keys: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
        keys.into_iter().map(|key| (key, "v".to_owned())).collect()
    }

    fn check(before: usize, set: &[&str], expected: Result<usize, InvalidTags>) {
        let mut tags = Tags::default();
        tags.set(pairs((0..before).map(|n| format!("k{n}"))))
            .unwrap();
        let unchanged = tags.clone();
        let outcome = tags.set(pairs(set.iter().map(|key| (*key).to_owned())));
        match &expected {
            Ok(n_tags) => assert_eq!(tags.iter().count(), *n_tags, "{set:?}"),
            Err(_) => assert_eq!(tags, unchanged, "{set:?}"),
        }
        assert_eq!(outcome, expected.map(|_| ()), "{set:?}");
    }

    #[test]
    fn tags_are_set_whole_or_not_at_all() {
        check(0, &[], Ok(0));
        check(1, &["k0", "a"], Ok(2));
        check(50, &["k7"], Ok(50));
        check(50, &["a"], Err(InvalidTags::TooMany { n_tags: 51 }));
        let key = || "Aws:x".to_owned();
        check(
            1,
            &["b", "Aws:x"],
            Err(InvalidTags::Reserved { key: key() }),
        );
        let key = || "b".to_owned();
        check(1, &["b", "b"], Err(InvalidTags::Repeated { key: key() }));
    }

    #[test]
    fn removed_tags_are_gone() {
        let mut tags = Tags::default();
        tags.set(pairs(["a".to_owned(), "b".to_owned()])).unwrap();
        tags.remove(["b", "c"]);
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("a", "v")]);
    }
}
