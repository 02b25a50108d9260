//! Records to write, and what comes back of them.

use std::fs;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use model::{Account, Timestamp};
use tempfile::TempDir;

use crate::{
    Answer, Call, Content, Door, Journal, Limits, ReadError, Reader, Record, Refusal, Verdicts,
};

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// What a reader gave, in order.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) records: Vec<Record>,
    pub(super) errors: Vec<ReadError>,
    /// Bytes of blocks that are not whole.
    pub(super) torn_bytes: u64,
    pub(super) n_unknown: u64,
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Limits under which blocks end where a test says so.
pub(super) fn limits() -> Limits {
    Limits {
        file_bytes_max: 1 << 30,
        dir_bytes_max: 1 << 40,
        block_bytes: 1 << 20,
        block_age: Duration::from_hours(1),
    }
}

/// Returns a datagram that tells which one it is.
pub(super) fn datagram(number: u64) -> Record {
    datagram_of(number, format!("datagram {number}").into())
}

pub(super) fn datagram_of(number: u64, bytes: Bytes) -> Record {
    Record {
        at: Timestamp::from_nanos(NOW.as_nanos() + number),
        door: Door::Udp,
        account: None,
        peer: Some("127.0.0.1:40000".parse().unwrap()),
        content: Content::Datagram(bytes),
        verdicts: None,
    }
}

/// Returns a datagram of so many bytes that do not compress.
pub(super) fn noise(number: u64, n_bytes: usize) -> Record {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    });
    let bytes: Vec<u8> = bytes.flatten().take(n_bytes).collect();
    datagram_of(number, bytes.into())
}

/// Returns a call with everything a record can have.
pub(super) fn call() -> Record {
    let headers: [(&str, &[u8]); 3] = [
        ("content-type", b"application/json"),
        ("user-agent", b"Boto3/1.40 \xe9"),
        ("x-amz-target", b"AWSXRay.PutTraceSegments"),
    ];
    let body = Bytes::from_static(br#"{"TraceSegmentDocuments":["{}","x"]}"#);
    let mut call = Call::new("POST", "/TraceSegments", headers, body);
    call.answer = Some(Answer {
        status: 200,
        body: Bytes::from_static(br#"{"UnprocessedTraceSegments":[]}"#),
    });
    let refusal = |id: Option<&str>, code: &str| Refusal {
        id: id.map(str::to_owned),
        code: code.to_owned(),
    };
    Record {
        at: NOW,
        door: Door::Api,
        account: Some(Account {
            id: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
        }),
        peer: Some(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 50000, 1, 7).into()),
        content: Content::Http(call),
        verdicts: Some(Verdicts {
            n_accepted: 1,
            refused: vec![
                refusal(Some("70de5b6f19ff9a0a"), "MissingStartTime"),
                refusal(None, "InvalidJson"),
            ],
        }),
    }
}

/// Writes blocks to a file and returns where each ends; the first is the end of the header.
pub(super) fn write(path: &Path, blocks: &[&[Record]]) -> Vec<u64> {
    let mut journal = Journal::open_file(path, &limits(), NOW).unwrap().journal;
    let mut ends = vec![fs::metadata(path).unwrap().len()];
    for block in blocks {
        for record in *block {
            journal.append(record, NOW).unwrap();
        }
        journal.flush(NOW).unwrap();
        ends.push(fs::metadata(path).unwrap().len());
    }
    ends
}

pub(super) fn read(paths: &[impl AsRef<Path>]) -> Came {
    let mut reader = Reader::open(paths).unwrap();
    go_on(&mut reader)
}

/// Returns what comes until the end, passing over what is damaged.
pub(super) fn go_on(reader: &mut Reader) -> Came {
    let mut came = Came::default();
    for item in &mut *reader {
        match item {
            Ok(record) => came.records.push(record),
            Err(error) => came.errors.push(error),
        }
        assert!(came.errors.len() < 1000, "no end of errors");
    }
    came.torn_bytes = reader.torn().map(|torn| torn.n_bytes).sum();
    came.n_unknown = reader.n_unknown();
    came
}

/// Returns the files of a folder.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    crate::folder::journals(folder).unwrap()
}
