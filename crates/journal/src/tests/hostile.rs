//! Files whose checksums are right and whose numbers are not.

use std::fs;

use bytes::{BufMut, Bytes};
use proptest::collection::vec;
use proptest::prelude::*;
use zstd::bulk::compress;

use super::support::{Came, NOW, datagram, folder, read, write};
use crate::block::BlockHeader;
use crate::encoding::encode;
use crate::{BLOCK_BYTES_MAX, Record};

/// A block that says what it likes of itself.
struct Forged {
    stored: Vec<u8>,
    stored_bytes: u32,
    payload_bytes: u32,
    n_records: u32,
}

impl Forged {
    /// Returns a block that tells the truth of one record.
    fn honest(records: &[Bytes]) -> Self {
        let mut payload = Vec::new();
        for record in records {
            payload.put_u32(u32::try_from(record.len()).unwrap());
            payload.put_slice(record);
        }
        Self::of(&payload, u32::try_from(records.len()).unwrap())
    }

    fn of(payload: &[u8], n_records: u32) -> Self {
        let stored = compress(payload, 3).unwrap();
        Self {
            stored_bytes: u32::try_from(stored.len()).unwrap(),
            payload_bytes: u32::try_from(payload.len()).unwrap(),
            n_records,
            stored,
        }
    }

    /// Returns what comes of a file with a good block, this one, and a good one behind it.
    fn came(&self) -> Came {
        let folder = folder();
        let path = folder.path().join("a");
        write(&path, &[&[datagram(0)]]);
        let mut bytes = fs::read(&path).unwrap();
        self.put(&mut bytes);
        Self::honest(&[encoded(&datagram(1))]).put(&mut bytes);
        fs::write(&path, bytes).unwrap();
        read(&[path])
    }

    fn put(&self, file: &mut Vec<u8>) {
        let header = BlockHeader {
            stored_bytes: self.stored_bytes,
            payload_bytes: self.payload_bytes,
            n_records: self.n_records,
            arrived: (NOW, NOW),
            stored_crc: crc32c::crc32c(&self.stored),
        };
        file.extend(header.encode(u64::try_from(file.len()).unwrap()));
        file.extend(&self.stored);
    }
}

fn encoded(record: &Record) -> Bytes {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    Bytes::from(bytes).slice(4..)
}

/// A block that is refused costs itself alone.
fn check_refused(forged: &Forged) {
    let came = forged.came();
    assert_eq!(came.records, [datagram(0), datagram(1)]);
    assert_eq!(came.errors.len(), 1, "{:?}", came.errors);
}

#[test]
fn an_honest_block_is_read() {
    let came = Forged::honest(&[encoded(&datagram(5)), encoded(&datagram(6))]).came();
    assert_eq!(came.records, [0, 5, 6, 1].map(datagram));
    assert!(came.errors.is_empty());
}

#[test]
fn lengths_beyond_every_limit_are_refused() {
    let honest = || Forged::honest(&[encoded(&datagram(5))]);
    let over = u32::try_from(BLOCK_BYTES_MAX).unwrap() + 1;
    for payload_bytes in [
        0,
        1,
        over,
        u32::MAX,
        honest().payload_bytes - 1,
        honest().payload_bytes + 1,
    ] {
        check_refused(&Forged {
            payload_bytes,
            ..honest()
        });
    }
    for n_records in [0, 2, 1000, u32::MAX] {
        check_refused(&Forged {
            n_records,
            ..honest()
        });
    }
    for stored_bytes in [100_000, u32::MAX] {
        check_refused(&Forged {
            stored_bytes,
            ..honest()
        });
    }
}

#[test]
fn what_is_no_zstd_or_unpacks_to_more_than_it_says_is_refused() {
    let mut forged = Forged::honest(&[encoded(&datagram(5))]);
    forged.stored.fill(0xaa);
    check_refused(&forged);
    // A bomb: a few bytes that would be four times the limit.
    let bomb = compress(&vec![0; BLOCK_BYTES_MAX * 4], 3).unwrap();
    for payload_bytes in [100_000, u32::try_from(BLOCK_BYTES_MAX).unwrap()] {
        check_refused(&Forged {
            stored_bytes: u32::try_from(bomb.len()).unwrap(),
            payload_bytes,
            n_records: 1,
            stored: bomb.clone(),
        });
    }
}

#[test]
fn records_that_do_not_fill_their_block_are_refused() {
    let record = encoded(&datagram(5));
    let length = u32::try_from(record.len()).unwrap();
    for claimed in [length - 1, length + 1, u32::MAX] {
        let mut payload = Vec::new();
        payload.put_u32(claimed);
        payload.put_slice(&record);
        check_refused(&Forged::of(&payload, 1));
    }
    let two = [record.clone(), record];
    check_refused(&Forged {
        n_records: 1,
        ..Forged::honest(&two)
    });
}

#[test]
fn a_block_over_the_limit_is_not_unpacked_however_honest() {
    let largest = |n_bytes: usize| {
        let mut record = vec![0; n_bytes];
        record[0] = 99;
        Forged::honest(&[record.into()])
    };
    check_refused(&largest(BLOCK_BYTES_MAX - 3));
    let came = largest(BLOCK_BYTES_MAX - 4).came();
    assert_eq!((came.errors.len(), came.n_unknown), (0, 1));
}

#[test]
fn a_record_that_cannot_be_read_costs_itself_alone() {
    // A datagram's last member is its bytes: their length goes beyond the record.
    let good = encoded(&datagram(5));
    let mut bad = good.to_vec();
    let place = bad.len() - "datagram 5".len() - 1;
    bad[place] = 200;
    let came = Forged::honest(&[
        good.clone(),
        bad.into(),
        Bytes::from_static(b"\x63new kind"),
        good,
    ])
    .came();
    assert_eq!(came.records, [0, 5, 5, 1].map(datagram));
    assert_eq!((came.errors.len(), came.n_unknown), (1, 1));
    let error = came.errors[0].to_string();
    assert!(
        error.starts_with("record 1 of the block at byte "),
        "{error}"
    );
}

#[test]
fn a_file_within_a_body_is_no_part_of_the_file() {
    let folder = folder();
    let path = folder.path().join("a");
    write(&path, &[&[datagram(7)]]);
    let within = super::support::datagram_of(0, fs::read(&path).unwrap().into());
    // zstd leaves what is so short nearly as it is.
    let outer = folder.path().join("b");
    write(&outer, &[&[within], &[datagram(1)]]);
    let mut bytes = fs::read(&outer).unwrap();
    bytes[36] ^= 1;
    fs::write(&outer, bytes).unwrap();
    let came = read(&[outer]);
    assert_eq!(came.records, [datagram(1)]);
    assert_eq!(came.errors.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_payload_ends(payload in vec(any::<u8>(), 1..200), n_records in 1..5_u32) {
        let came = Forged::of(&payload, n_records).came();
        prop_assert_eq!(came.records.first(), Some(&datagram(0)));
        prop_assert_eq!(came.records.last(), Some(&datagram(1)));
    }

    #[test]
    fn any_file_ends(bytes in vec(any::<u8>(), 0..400)) {
        let folder = folder();
        let path = folder.path().join("a");
        write(&path, &[&[datagram(0)]]);
        let mut file = fs::read(&path).unwrap();
        file.extend(&bytes);
        fs::write(&path, &file).unwrap();
        let came = read(&[&path]);
        prop_assert_eq!(came.records, [datagram(0)]);
        let is_told = came.torn_bytes > 0 || !came.errors.is_empty();
        prop_assert_eq!(is_told, !bytes.is_empty());
    }
}
