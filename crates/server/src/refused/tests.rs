//! What the log keeps and what its page shows.

use std::net::SocketAddr;

use super::page::{Asked, Peer, read};
use super::*;
use crate::origin::Doorway;

fn refused(secs: u64) -> Refused {
    Refused {
        time: Timestamp::from_secs(secs),
        origin: Origin {
            doorway: Doorway::Api,
            peer: SocketAddr::from(([127, 0, 0, 1], 4000)),
            is_tls: false,
            nth: 0,
        },
        code: "MissingId",
        message: "m".to_owned(),
        segment_id: None,
        trace_id: None,
        n_documents: 1,
        excerpt: String::new(),
    }
}

/// Returns the ids a query finds, and the token of the next page.
fn found(log: &RefusedLog, query: &str) -> (Vec<u64>, Option<u64>) {
    let asked = Asked::parse(query).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let page = runtime.block_on(read(log, &asked));
    let ids = page.entries.iter().map(|entry| entry.id).collect();
    (ids, page.next)
}

#[test]
fn the_newest_are_kept() {
    let log = RefusedLog::default();
    for secs in 0..10 {
        log.add(refused(secs), 3);
    }
    assert_eq!(found(&log, ""), (vec![9, 8, 7], None));
    assert_eq!(
        (log.add(refused(10), 1), found(&log, "")),
        (-2, (vec![10], None))
    );
    assert_eq!(
        (log.add(refused(11), 0), found(&log, "")),
        (-1, (vec![], None))
    );
    assert_eq!(log.add(refused(12), 2), 1);
    assert_eq!(found(&log, ""), (vec![12], None));
    let n_bytes = log.before(u64::MAX, 1)[0].n_bytes();
    assert_eq!(log.lock().n_bytes, n_bytes);
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let log = RefusedLog::default();
    let mut large = refused(1);
    large.message = "\u{e9}".repeat(1 << 20);
    large.segment_id = Some("a".repeat(1 << 20));
    large.excerpt = "x".repeat(160);
    log.add(large.clone(), usize::MAX);
    let entries = log.before(u64::MAX, 10);
    assert_eq!(entries[0].refused.message.len(), MESSAGE_BYTES_MAX);
    let segment_id = entries[0].refused.segment_id.as_ref().unwrap();
    assert_eq!(segment_id.len(), SEGMENT_ID_BYTES_MAX);
    large.message.truncate(MESSAGE_BYTES_MAX);
    large.segment_id = Some("a".repeat(SEGMENT_ID_BYTES_MAX));
    for _ in 0..50_000 {
        log.add(large.clone(), usize::MAX);
    }
    let n_bytes: usize = log.lock().entries.iter().map(|entry| entry.n_bytes()).sum();
    assert!(n_bytes <= KEPT_BYTES_MAX && n_bytes > KEPT_BYTES_MAX - 2000);
    assert_eq!(n_bytes, log.lock().n_bytes);
}

#[test]
fn pages_joined_are_the_whole() {
    let log = RefusedLog::default();
    for _ in 0..2000 {
        log.add(refused(1), 1900);
    }
    let mut ids = Vec::new();
    let mut query = "limit=7".to_owned();
    loop {
        let (page, next) = found(&log, &query);
        assert!(page.len() == 7 || next.is_none());
        ids.extend(page);
        let Some(next) = next else { break };
        query = format!("limit=7&after={next}");
    }
    let expected: Vec<u64> = (100..2000).rev().collect();
    assert_eq!(ids, expected);
    // What came meanwhile is on no later page, and a page that just fits is the last.
    assert_eq!(found(&log, "limit=1000&after=1100").1, None);
    assert_eq!(found(&log, "limit=999&after=1100").1, Some(101));
    assert_eq!(found(&log, "after=0"), (vec![], None));
}

#[test]
fn filters_choose() {
    let log = RefusedLog::default();
    let trace_id = "1-581cf771-a006649127e371903a2de979";
    let mut udp = refused(20);
    udp.origin.doorway = Doorway::Udp;
    udp.origin.peer = "192.0.2.7:53".parse().unwrap();
    udp.code = "invalid_header";
    let mut segment = refused(30);
    segment.segment_id = Some("70de5b6f19ff9a0a".to_owned());
    segment.trace_id = TraceId::parse(trace_id).ok();
    segment.origin.peer = "[::ffff:192.0.2.7]:54".parse().unwrap();
    for refused in [refused(10), udp, segment] {
        log.add(refused, 10);
    }
    let check = |query: &str, ids: &[u64]| {
        assert_eq!(found(&log, query), (ids.to_vec(), None), "{query}");
    };
    check("", &[2, 1, 0]);
    check("&", &[2, 1, 0]);
    check("door=udp", &[1]);
    check("door=api", &[2, 0]);
    check("door=otlp-grpc", &[]);
    check("code=MissingId", &[2, 0]);
    check("code=invalid%5Fheader", &[1]);
    check("peer=127.0.0.1", &[0]);
    check("peer=127.0.0.1:4000", &[0]);
    check("peer=127.0.0.1:4001", &[]);
    check("peer=192.0.2.7", &[2, 1]);
    check("peer=192.0.2.7:54", &[2]);
    check("peer=%5B::ffff:192.0.2.7%5D:53", &[1]);
    check("id=70de5b6f19ff9a0a", &[2]);
    check(&format!("id={trace_id}"), &[2]);
    check(&format!("id={}", trace_id.to_uppercase()), &[2]);
    check("id=1-581cf771-a006649127e371903a2de970", &[]);
    check("since=20", &[2, 1]);
    check("until=20", &[0]);
    check("since=10.5&until=29.9", &[1]);
    check("since=1970-01-01T00:00:20Z", &[2, 1]);
    check("until=1970-01-01T00:00:10.001Z", &[0]);
    check("since=20&door=api", &[2]);
    assert_eq!(found(&log, "limit=1"), (vec![2], Some(2)));
}

#[test]
fn what_no_query_says_is_told() {
    let check = |query: &str, expected: &str| {
        assert_eq!(Asked::parse(query).unwrap_err(), expected, "{query}");
    };
    let names = "limit, door, code, peer, id, since, until, after";
    check(
        "x=1",
        &format!("there is no parameter \"x\"; there are {names}"),
    );
    check(
        "Limit=1",
        &format!("there is no parameter \"Limit\"; there are {names}"),
    );
    check("limit=1&limit=1", "limit is given twice");
    for limit in [
        "limit",
        "limit=",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=a",
    ] {
        check(limit, "limit: a number from 1 to 1000 is expected");
    }
    check(
        "door=http",
        "door: one of api, udp, otlp-http, otlp-grpc is expected",
    );
    check("code=", "code: a code such as MissingId is expected");
    check("id", "id: the id of a segment or a trace is expected");
    check(
        "peer=localhost",
        "peer: an address such as 192.0.2.1, with or without a port, is expected",
    );
    check(
        "since=yesterday",
        "since: a time such as 2026-01-31T08:15:00Z or seconds since 1970 is expected",
    );
    check("until=1%FF", "until: the value is not UTF-8");
    check(
        "after=x",
        "after: what \"next\" of the page before says is expected",
    );
}

#[test]
fn peers_are_addresses_or_sockets() {
    let socket: SocketAddr = "[::1]:9".parse().unwrap();
    let asked = Asked::parse("peer=[::1]:9&limit=5").unwrap();
    assert_eq!((asked.peer, asked.limit), (Some(Peer::Socket(socket)), 5));
    let asked = Asked::parse("peer=::1").unwrap();
    assert_eq!(asked.peer, Some(Peer::Address(socket.ip())));
}
