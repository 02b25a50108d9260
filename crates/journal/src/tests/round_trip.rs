//! What is written comes back, whatever it is.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use bytes::Bytes;
use model::{Account, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::support::{NOW, call, datagram, folder, limits, read};
use crate::encoding::{Malformed, decode, encode, split};
use crate::{Answer, Call, Content, Door, Journal, Reader, Record, Refusal, Verdicts};

#[test]
fn a_record_comes_back_as_it_was() {
    let folder = folder();
    let path = folder.path().join("a");
    let records = [call(), datagram(1)];
    super::support::write(&path, &[&records]);
    let came = read(&[path]);
    assert_eq!(came.records, records);
    assert_eq!(
        (came.errors.len(), came.torn_bytes, came.n_unknown),
        (0, 0, 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records_in_any_blocks_come_back(
        records in vec((record(), any::<bool>()), 0..20),
        block_bytes in 1..400_usize,
    ) {
        let folder = folder();
        let mut limits = limits();
        limits.block_bytes = block_bytes;
        let mut journal = Journal::open_folder(folder.path(), &limits, NOW).unwrap().journal;
        for (record, flush) in &records {
            journal.append(record, NOW).unwrap();
            if *flush {
                journal.flush(NOW).unwrap();
            }
        }
        journal.flush(NOW).unwrap();
        let came = read(&[folder.path()]);
        let records: Vec<Record> = records.into_iter().map(|(record, _)| record).collect();
        prop_assert_eq!(came.records, records);
        prop_assert!(came.errors.is_empty());
    }

    #[test]
    fn every_position_leads_to_what_comes_next(
        records in vec(record(), 1..20),
        block_bytes in 1..2000_usize,
    ) {
        let folder = folder();
        let mut limits = limits();
        limits.block_bytes = block_bytes;
        let mut journal = Journal::open_folder(folder.path(), &limits, NOW).unwrap().journal;
        for record in &records {
            journal.append(record, NOW).unwrap();
        }
        journal.flush(NOW).unwrap();
        let mut reader = Reader::open(&[folder.path()]).unwrap();
        for n_read in 0..=records.len() {
            let position = reader.position().unwrap().to_string();
            let mut resumed = Reader::open(&[folder.path()]).unwrap();
            resumed.seek(&position.parse().unwrap()).unwrap();
            let rest: Vec<Record> = resumed.map(Result::unwrap).collect();
            prop_assert_eq!(&rest, &records[n_read..]);
            prop_assert_eq!(reader.next().is_some(), n_read < records.len());
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_none(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(Bytes::from(bytes));
    }

    #[test]
    fn a_record_that_is_cut_or_changed_is_a_record_or_none(
        record in record(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let encoded = encoded(&record);
        let place = place.index(encoded.len());
        prop_assert!(decode(encoded.slice(..place)) == Err(Malformed));
        let mut changed = encoded.to_vec();
        changed[place] = byte;
        let _ = decode(Bytes::from(changed));
    }

    #[test]
    fn what_a_later_version_appends_to_a_record_is_passed_over(
        record in record(),
        more in vec(any::<u8>(), 0..50),
    ) {
        let mut longer = encoded(&record).to_vec();
        longer.extend(more);
        prop_assert_eq!(decode(longer.into()), Ok(Some(record)));
    }
}

#[test]
fn records_of_unknown_kinds_and_doors_are_none() {
    let known = encoded(&datagram(1));
    for (place, byte) in [(0, 0), (0, 3), (0, 255), (9, 0), (9, 5), (9, 255)] {
        let mut changed = known.to_vec();
        changed[place] = byte;
        assert_eq!(decode(changed.into()), Ok(None), "{byte} at {place}");
    }
    assert_eq!(decode(Bytes::from_static(b"\xffwhatever")), Ok(None));
}

fn encoded(record: &Record) -> Bytes {
    let mut block = Vec::new();
    encode(record, &mut block);
    let mut block = Bytes::from(block);
    let encoded = split(&mut block).unwrap();
    assert!(block.is_empty());
    encoded
}

fn record() -> impl Strategy<Value = Record> {
    let content = prop_oneof![
        http().prop_map(Content::Http),
        bytes().prop_map(Content::Datagram),
    ];
    let account = ("[0-9]{0,12}", ".{0,12}").prop_map(|(id, region)| Account { id, region });
    let door = prop::sample::select(Door::ALL.to_vec());
    let parts = (
        any::<u64>(),
        door,
        option::of(account),
        option::of(peer()),
        content,
        option::of(verdicts()),
    );
    parts.prop_map(|(at, door, account, peer, content, verdicts)| Record {
        at: Timestamp::from_nanos(at),
        door,
        account,
        peer,
        content,
        verdicts,
    })
}

fn http() -> impl Strategy<Value = Call> {
    let name = prop::sample::select(vec![
        "Content-Type",
        "content-encoding",
        "authorization",
        "cookie",
        "Host",
    ]);
    let answer = (any::<u16>(), bytes()).prop_map(|(status, body)| Answer { status, body });
    let parts = (
        "[A-Z]{0,7}",
        ".{0,30}",
        vec((name, bytes()), 0..6),
        bytes(),
        option::of(answer),
    );
    parts.prop_map(|(method, target, headers, body, answer)| {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (*name, value.as_ref()));
        let mut call = Call::new(&method, &target, headers, body);
        call.answer = answer;
        call
    })
}

fn verdicts() -> impl Strategy<Value = Verdicts> {
    let refusal = (option::of(".{0,16}"), ".{0,20}").prop_map(|(id, code)| Refusal { id, code });
    (any::<u32>(), vec(refusal, 0..4)).prop_map(|(n_accepted, refused)| Verdicts {
        n_accepted,
        refused,
    })
}

fn peer() -> impl Strategy<Value = SocketAddr> {
    let v4 = (any::<[u8; 4]>(), any::<u16>())
        .prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port));
    let v6 = (any::<[u8; 16]>(), any::<u16>(), any::<u32>(), any::<u32>());
    let v6 = v6.prop_map(|(ip, port, flowinfo, scope_id)| {
        SocketAddr::V6(SocketAddrV6::new(ip.into(), port, flowinfo, scope_id))
    });
    prop_oneof![v4, v6]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..100).prop_map(Bytes::from)
}
