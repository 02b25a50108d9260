//! The last file of a backup: what the others are to be.

use std::fmt::Write;

/// The checksums and lengths of files, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums(Vec<Sum>);

/// What one file is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) name: String,
    pub(super) n_bytes: u64,
    pub(super) crc: u32,
}

impl Sums {
    pub(super) fn add(&mut self, sum: Sum) {
        self.0.push(sum);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.0.iter().map(|sum| sum.n_bytes).sum()
    }

    /// Returns the file: a line a file.
    pub(super) fn to_text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, sum| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:08x} {} {}", sum.crc, sum.n_bytes, sum.name);
            text
        })
    }

    /// Reads the file; nothing if a line is not as it should be.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let sums = text.lines().map(|line| {
            let (crc, rest) = line.split_once(' ')?;
            let (n_bytes, name) = rest.split_once(' ')?;
            Some(Sum {
                name: name.to_owned(),
                n_bytes: n_bytes.parse().ok()?,
                crc: u32::from_str_radix(crc, 16).ok()?,
            })
        });
        sums.collect::<Option<_>>().map(Self)
    }

    /// Returns what is wrong with files of which these are the sums, if they should have those.
    pub(super) fn difference(&self, expected: &Self) -> Option<String> {
        let pairs = self.0.iter().zip(&expected.0);
        for (found, expected) in pairs {
            if found.name != expected.name {
                return Some(format!(
                    "{} is where {} should be",
                    found.name, expected.name
                ));
            }
            if found != expected {
                return Some(format!("{} is not what was written", found.name));
            }
        }
        let (n_found, n_expected) = (self.0.len(), expected.0.len());
        (n_found != n_expected)
            .then(|| format!("the number of files is {n_found} and should be {n_expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(of: &[(&str, u64, u32)]) -> Sums {
        let sum = |(name, n_bytes, crc): &(&str, u64, u32)| Sum {
            name: (*name).to_owned(),
            n_bytes: *n_bytes,
            crc: *crc,
        };
        Sums(of.iter().map(sum).collect())
    }

    #[test]
    fn sums_are_read_as_they_are_written() {
        let all = sums(&[("a", 1, 0x00ab_cdef), ("p/x y/1", u64::MAX, u32::MAX)]);
        assert_eq!(all.to_text().lines().next(), Some("00abcdef 1 a"));
        assert_eq!(Sums::parse(&all.to_text()), Some(all));
        for text in ["a", "00 1", "00 x a", "zz 1 a", "00 1 a\n\n"] {
            assert_eq!(Sums::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_difference_is_told() {
        let expected = sums(&[("a", 1, 2), ("b", 3, 4)]);
        let check = |found: &[(&str, u64, u32)], words: &str| {
            let difference = sums(found).difference(&expected).unwrap();
            assert!(difference.contains(words), "{difference}");
        };
        assert_eq!(expected.difference(&expected), None);
        check(&[("a", 1, 2)], "files is 1");
        check(&[("a", 1, 2), ("c", 3, 4)], "c is where b");
        check(&[("a", 1, 3), ("b", 3, 4)], "a is not what");
        check(&[("a", 2, 2), ("b", 3, 4)], "a is not what");
        check(&[("a", 1, 2), ("b", 3, 4), ("c", 0, 0)], "files is 3");
    }
}
