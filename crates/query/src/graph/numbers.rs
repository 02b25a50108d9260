//! `ReferenceId`s: small integers that connect the nodes of one answer.

use std::collections::HashSet;

use xxhash_rust::xxh3::Xxh3;

use super::nodes::Identity;

/// Returns 0, 1 and so on, for a graph that is on one page.
pub(crate) fn in_order(n_nodes: usize) -> Vec<u32> {
    (0..).take(n_nodes).collect()
}

/// Returns a number for each identity that does not depend on the others, but for the one pair in some
/// two thousand million that shares a hash: there the first in order keeps it.
pub(crate) fn by_hash<'c>(identities: impl Iterator<Item = Identity<'c>>) -> Vec<u32> {
    let mut taken = HashSet::new();
    identities
        .map(|identity| {
            let mut number = hash(identity);
            while !taken.insert(number) {
                number = (number + 1) & NUMBER_MAX;
            }
            number
        })
        .collect()
}

fn hash(identity: Identity<'_>) -> u32 {
    let mut hash = Xxh3::new();
    for text in [
        Some(identity.name),
        identity.service_type,
        identity.account_id,
    ] {
        let n_bytes = text.map_or(u64::MAX, |text| u64::try_from(text.len()).unwrap_or(0));
        hash.update(&n_bytes.to_be_bytes());
        hash.update(text.unwrap_or_default().as_bytes());
    }
    u32::try_from(hash.digest() >> 33).unwrap_or(0)
}

/// The API's integers have 32 bits with a sign.
const NUMBER_MAX: u32 = i32::MAX.unsigned_abs();

#[cfg(test)]
mod tests {
    use super::*;

    fn identity<'c>(name: &'c str, service_type: Option<&'c str>) -> Identity<'c> {
        Identity {
            name,
            service_type,
            account_id: None,
        }
    }

    #[test]
    fn hashes_tell_members_apart_and_fit() {
        let identities = [
            identity("a", None),
            identity("a", Some("")),
            identity("", Some("a")),
            identity("ab", Some("c")),
            identity("a", Some("bc")),
        ];
        let numbers = by_hash(identities.into_iter());
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 5);
        assert!(numbers.iter().all(|number| *number <= NUMBER_MAX));
        let last = by_hash(identities.into_iter().skip(4));
        assert_eq!(numbers[4..], last, "others do not matter");
    }

    #[test]
    fn equal_hashes_become_different_numbers() {
        let numbers = by_hash([identity("a", None); 3].into_iter());
        let first = numbers[0];
        assert_eq!(
            numbers,
            [first, (first + 1) & NUMBER_MAX, (first + 2) & NUMBER_MAX]
        );
    }
}
