//! A place in a journal, kept as text between two runs.

use std::fmt;
use std::str::FromStr;

use model::Timestamp;

use crate::file::FileHeader;

/// The place before a record, or where the next one will be. It names its file by what the file says of itself, so
/// files may be moved and renamed.
///
/// As text four numbers with `/` between: when the file was begun in nanoseconds since 1970, its number, the offset of
/// the block, and the place of the record in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub(crate) file: FileHeader,
    pub(crate) offset: u64,
    pub(crate) record_idx: u32,
}

/// A text that is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position in a journal is four numbers with / between")]
pub struct InvalidPosition;

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileHeader { created, number } = self.file;
        let (created, offset, record_idx) = (created.as_nanos(), self.offset, self.record_idx);
        write!(formatter, "{created}/{number}/{offset}/{record_idx}")
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut parts = text.split('/');
        let mut next = || parts.next().ok_or(InvalidPosition);
        let number = |part: &str| part.parse::<u64>().map_err(|_| InvalidPosition);
        let position = Self {
            file: FileHeader {
                created: Timestamp::from_nanos(number(next()?)?),
                number: number(next()?)?,
            },
            offset: number(next()?)?,
            record_idx: next()?.parse().map_err(|_| InvalidPosition)?,
        };
        if parts.next().is_some() {
            return Err(InvalidPosition);
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        for text in [
            "1700000000000000000/3/4096/17",
            "0/0/0/0",
            "18446744073709551615/18446744073709551615/18446744073709551615/4294967295",
        ] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            "1/2/3",
            "1/2/3/4/5",
            "1/2/3/-4",
            "1/2/3/4294967296",
            "a/2/3/4",
            "1//3/4",
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text}");
        }
    }
}
