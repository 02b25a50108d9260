//! What many summaries have in common, so that a scan can pass all of them over at once.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{AnnotationValue, Flags, Summary, SummaryFlags};

/// Bounds and membership of a block of summaries: what it denies is certain, what it allows is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneFacts {
    /// Every flag some trace has.
    pub flags: SummaryFlags,
    /// Every outcome some request or call has.
    pub outcomes: Flags,
    /// Least and greatest duration of a trace in nanoseconds.
    pub duration_ns: (u64, u64),
    /// Greatest response time of a root.
    pub response_ns_max: u64,
    /// Greatest response time of any request or call.
    pub any_response_ns_max: u64,
    /// Names of services.
    names: Bloom,
    /// Keys of annotations, keys with their values, users.
    values: Bloom,
}

/// A Bloom filter with two hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bloom(Vec<u64>);

impl ZoneFacts {
    /// Returns the facts of some summaries.
    pub fn of<'s>(summaries: impl IntoIterator<Item = &'s Summary>) -> Self {
        let mut zone = Self {
            flags: SummaryFlags::default(),
            outcomes: Flags::default(),
            duration_ns: (u64::MAX, 0),
            response_ns_max: 0,
            any_response_ns_max: 0,
            names: Bloom(vec![0; NAME_WORDS]),
            values: Bloom(vec![0; VALUE_WORDS]),
        };
        for summary in summaries {
            zone.add(summary);
        }
        zone
    }

    /// Tells whether some trace may touch a service of this name.
    pub fn may_have_service(&self, name: &str) -> bool {
        self.names.may_have(hash(NAME, &[name.as_bytes()]))
    }

    /// Tells whether some trace may have an annotation with this key.
    pub fn may_have_annotation(&self, key: &str) -> bool {
        self.values.may_have(hash(KEY, &[key.as_bytes()]))
    }

    /// Tells whether some trace may have an annotation with this key and value.
    pub fn may_have_value(&self, key: &str, value: &AnnotationValue) -> bool {
        self.values.may_have(hash_value(key, value))
    }

    /// Tells whether some trace may have this user.
    pub fn may_have_user(&self, name: &str) -> bool {
        self.values.may_have(hash(USER, &[name.as_bytes()]))
    }

    fn add(&mut self, summary: &Summary) {
        self.flags = self.flags.union(summary.flags);
        let duration = summary.end.since(summary.start).as_nanos();
        let duration = u64::try_from(duration).unwrap_or(u64::MAX);
        let (least, greatest) = self.duration_ns;
        self.duration_ns = (least.min(duration), greatest.max(duration));
        self.response_ns_max = self
            .response_ns_max
            .max(summary.response_ns.unwrap_or_default());
        let requests = summary.requests.iter();
        let requests = requests.map(|request| (request.flags, request.response_ns));
        let edges = summary.edges.iter();
        let edges = edges.map(|edge| (edge.flags, edge.response_ns));
        for (flags, response_ns) in requests.chain(edges) {
            self.outcomes = self.outcomes.union(flags);
            self.any_response_ns_max = self.any_response_ns_max.max(response_ns);
        }
        for service in &summary.services {
            self.names.add(hash(NAME, &[service.name.as_bytes()]));
        }
        for annotation in &summary.annotations {
            self.values.add(hash(KEY, &[annotation.key.as_bytes()]));
            self.values
                .add(hash_value(&annotation.key, &annotation.value));
        }
        for user in &summary.users {
            self.values.add(hash(USER, &[user.name.as_bytes()]));
        }
    }
}

impl Bloom {
    fn add(&mut self, hash: u64) {
        for (word, bit) in self.places(hash) {
            if let Some(word) = self.0.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn may_have(&self, hash: u64) -> bool {
        let is_set =
            |(word, bit): (usize, u64)| self.0.get(word).is_some_and(|word| word & bit != 0);
        self.places(hash).into_iter().all(is_set)
    }

    /// Returns the words and bits of a hash, one by each half of it.
    fn places(&self, hash: u64) -> [(usize, u64); 2] {
        let n_bits = u64::try_from(self.0.len())
            .unwrap_or(u64::MAX)
            .saturating_mul(64)
            .max(1);
        [hash >> 32, hash & 0xffff_ffff].map(|half| {
            let bit = half % n_bits;
            (
                usize::try_from(bit / 64).unwrap_or_default(),
                1 << (bit % 64),
            )
        })
    }
}

fn hash_value(key: &str, value: &AnnotationValue) -> u64 {
    let key = key.as_bytes();
    match value {
        // Adding zero makes one of the two zeros.
        AnnotationValue::Number(number) => {
            hash(NUMBER, &[key, &(number + 0.0).to_bits().to_be_bytes()])
        }
        AnnotationValue::Boolean(boolean) => hash(BOOLEAN, &[key, &[u8::from(*boolean)]]),
        AnnotationValue::String(text) => hash(STRING, &[key, text.as_bytes()]),
    }
}

/// Returns the hash of texts of a kind; a byte no text has stands between them.
fn hash(kind: u8, parts: &[&[u8]]) -> u64 {
    let mut bytes = vec![kind];
    for part in parts {
        bytes.extend_from_slice(part);
        bytes.push(0xff);
    }
    xxh3_64(&bytes)
}

/// 512 bits: a block of a few hundred traces touches some tens of services.
const NAME_WORDS: usize = 8;
/// 8,192 bits: a few values a trace, most of them its own.
const VALUE_WORDS: usize = 128;
const NAME: u8 = 1;
const KEY: u8 = 2;
const NUMBER: u8 = 3;
const BOOLEAN: u8 = 4;
const STRING: u8 = 5;
const USER: u8 = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_added_is_never_denied(hashes: Vec<u64>) {
            let mut bloom = Bloom(vec![0; NAME_WORDS]);
            for hash in &hashes {
                bloom.add(*hash);
            }
            prop_assert!(hashes.iter().all(|hash| bloom.may_have(*hash)));
        }
    }

    #[test]
    fn a_zone_denies_most_of_what_is_not_there() {
        let mut bloom = Bloom(vec![0; VALUE_WORDS]);
        for n in 0..500_u64 {
            bloom.add(xxh3_64(&n.to_be_bytes()));
        }
        let wrong = (1_000..11_000_u64).filter(|n| bloom.may_have(xxh3_64(&n.to_be_bytes())));
        assert!(wrong.count() < 300);
    }
}
