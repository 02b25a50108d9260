//! Documents that are due together, put together to calls: those of one trace always to the same row of calls.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::input::Items;

/// What is sent together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Documents, or one call.
    pub(super) items: Items,
    /// The numbers of the items.
    pub(super) numbers: Vec<Range<u64>>,
    /// When the first of it was due, from the beginning of the replay.
    pub(super) due: Duration,
    /// What keeps it in order: of its traces, or of its row.
    pub(super) keys: Vec<u64>,
    /// Bytes of the items.
    pub(super) n_bytes: usize,
}

/// Batches that still have room.
#[derive(Debug)]
pub(super) struct Batches {
    rows: Vec<Option<Open>>,
    bounds: Bounds,
}

/// What one call may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Documents.
    pub(super) n_max: usize,
    /// Bytes of documents; a single one may have more.
    pub(super) bytes_max: usize,
}

/// A document that is to be sent.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) number: u64,
    /// Of its trace; nothing if that cannot be read.
    pub(super) key: Option<u64>,
    pub(super) text: String,
}

#[derive(Debug)]
struct Open {
    batch: Whole,
    since: Instant,
    due: Duration,
}

#[derive(Debug, Default)]
struct Whole {
    texts: Vec<String>,
    numbers: Vec<Range<u64>>,
    keys: Vec<u64>,
    n_bytes: usize,
}

impl Bounds {
    /// Cuts documents that arrived together into calls; each is kept in order with others of the same traces.
    pub(super) fn cut(self, items: Vec<Item>, due: Duration) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut whole = Whole::default();
        for item in items {
            if !whole.has_room(item.text.len(), self) {
                batches.push(std::mem::take(&mut whole).close(due, None));
            }
            whole.add(item);
        }
        if !whole.texts.is_empty() {
            batches.push(whole.close(due, None));
        }
        batches
    }
}

impl Batches {
    /// Returns batches without documents.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            rows: (0..ROWS).map(|_| None).collect(),
            bounds,
        }
    }

    /// Adds a document. Returns the batch that had no room for it.
    pub(super) fn add(&mut self, item: Item, due: Duration, now: Instant) -> Option<Batch> {
        let row_key = item.key.unwrap_or_default() % ROWS;
        let row = self
            .rows
            .get_mut(usize::try_from(row_key).unwrap_or_default())?;
        let full = row.take_if(|open| !open.batch.has_room(item.text.len(), self.bounds));
        let open = row.get_or_insert_with(|| Open {
            batch: Whole::default(),
            since: now,
            due,
        });
        open.batch.add(item);
        full.map(|open| open.batch.close(open.due, Some(row_key)))
    }

    /// Returns since when the oldest batch waits; nothing if none does.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.rows.iter().flatten().map(|open| open.since).min()
    }

    /// Returns all batches, whether they are full or not.
    pub(super) fn flush(&mut self) -> Vec<Batch> {
        let rows = (0..ROWS).zip(&mut self.rows);
        rows.filter_map(|(row_key, row)| {
            let open = row.take()?;
            Some(open.batch.close(open.due, Some(row_key)))
        })
        .collect()
    }
}

impl Whole {
    fn has_room(&self, n_bytes: usize, bounds: Bounds) -> bool {
        let is_empty = self.texts.is_empty();
        let fits = self.n_bytes.saturating_add(n_bytes) <= bounds.bytes_max;
        is_empty || (fits && self.texts.len() < bounds.n_max)
    }

    fn add(&mut self, item: Item) {
        self.n_bytes += item.text.len();
        self.texts.push(item.text);
        self.keys.extend(item.key);
        match self.numbers.last_mut() {
            Some(last) if last.end == item.number => last.end += 1,
            Some(_) | None => self.numbers.push(item.number..item.number + 1),
        }
    }

    fn close(self, due: Duration, row_key: Option<u64>) -> Batch {
        Batch {
            items: Items::Documents(self.texts),
            numbers: self.numbers,
            due,
            keys: row_key.map_or(self.keys, |key| vec![key]),
            n_bytes: self.n_bytes,
        }
    }
}

/// As many calls can be under way.
const ROWS: u64 = 16;

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "ranges are what is meant")]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        n_max: 3,
        bytes_max: 10,
    };

    fn item(number: u64, key: u64, n_bytes: usize) -> Item {
        Item {
            number,
            key: Some(key),
            text: "x".repeat(n_bytes),
        }
    }

    fn numbers(batches: &[Batch]) -> Vec<Vec<Range<u64>>> {
        batches.iter().map(|batch| batch.numbers.clone()).collect()
    }

    #[test]
    fn what_arrived_together_is_cut_at_the_bounds() {
        let check = |lengths: &[usize], expected: &[Vec<Range<u64>>]| {
            let items = (0..)
                .zip(lengths)
                .map(|(number, length)| item(number, 1, *length));
            let batches = BOUNDS.cut(items.collect(), Duration::ZERO);
            assert_eq!(numbers(&batches), expected, "{lengths:?}");
        };
        check(&[], &[]);
        check(&[1, 1, 1, 1], &[vec![0..3], vec![3..4]]);
        check(&[5, 5, 1], &[vec![0..2], vec![2..3]]);
        check(&[20, 1, 20], &[vec![0..1], vec![1..2], vec![2..3]]);
    }

    #[test]
    fn a_batch_of_an_arrival_has_the_keys_of_its_traces() {
        let batches = BOUNDS.cut(vec![item(0, 7, 1), item(1, 9, 1)], Duration::ZERO);
        assert_eq!(batches[0].keys, [7, 9]);
    }

    #[test]
    fn documents_of_a_trace_follow_each_other_in_one_row() {
        let mut batches = Batches::new(BOUNDS);
        let now = Instant::now();
        let mut came = Vec::new();
        for number in 0..8 {
            came.extend(batches.add(item(number, number % 2, 1), Duration::ZERO, now));
        }
        assert_eq!(batches.oldest(), Some(now));
        came.extend(batches.flush());
        assert_eq!(batches.oldest(), None);
        let expected = [
            vec![0..1, 2..3, 4..5],
            vec![1..2, 3..4, 5..6],
            vec![6..7],
            vec![7..8],
        ];
        assert_eq!(numbers(&came), expected);
        let keys: Vec<_> = came.iter().map(|batch| batch.keys.clone()).collect();
        assert_eq!(keys, [[0], [1], [0], [1]]);
    }
}
