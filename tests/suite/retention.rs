//! The store stays within its bounds: the oldest goes, the newest stays, and the disk is given back.

use std::sync::Arc;

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::generate::{Feed, Planned, Pool};
use roentgen_tests::process::disk_bytes;
use roentgen_tests::wait::{now, until};
use serde_json::json;

use crate::fixture::{segment, summaries, trace_id};

#[test]
fn disk_use_stays_within_the_bound() -> Result<()> {
    let limit: u64 = 32 << 20;
    let home = Home::new()?;
    let arguments = ["--max-disk", "32MiB"];
    let server = home.start_with(&arguments)?;
    let pool = Arc::new(Pool::new(3000, 31));
    let mut feed = Feed::new(Arc::clone(&pool), 32, now(), 600);
    let mut connection = server.connect()?;
    let (mut body, mut n_bytes, mut most) = (Vec::new(), 0, 0);
    let mut first: Option<Planned> = None;
    let mut last: Option<Planned> = None;
    // Compressed on disk, so several times the bound is written even at a ratio of four.
    for call in 0.. {
        if n_bytes > usize::try_from(limit * 12)? {
            break;
        }
        let batch = feed.batch(50);
        n_bytes += pool.write_request(&batch, &mut body);
        connection
            .post("/TraceSegments", &body)?
            .success()
            .with_context(|| server.log())?;
        first = first.or(batch.first().copied());
        last = batch.last().copied();
        if call % 100 == 0 {
            most = most.max(disk_bytes(home.data())?);
        }
    }
    let bound = limit / 10 * 13;
    eprintln!("{n_bytes} bytes of documents written, at most {most} bytes on disk meanwhile");
    let used = until("the disk use is within 1.3 times the bound", || {
        let used = disk_bytes(home.data())?;
        Ok((used <= bound).then_some(used))
    })?;
    assert!(used > limit / 8, "only {used} bytes are kept");
    assert!(most <= limit * 2, "{most} bytes on disk while writing");

    let (first, last) = (first.context("a first")?, last.context("a last")?);
    let oldest = server.documents(&first.trace_id())?;
    assert!(
        !oldest
            .iter()
            .any(|document| document["id"] == first.segment_id()),
        "the oldest is still there"
    );
    let newest = server.documents(&last.trace_id())?;
    assert!(
        newest
            .iter()
            .any(|document| document["id"] == last.segment_id()),
        "the newest is gone"
    );

    server.kill9()?;
    let server = home.start_with(&arguments)?;
    assert!(!server.documents(&last.trace_id())?.is_empty());
    assert!(!summaries(&server, &json!({ "TimeRangeType": "TraceId" }))?.is_empty());
    assert!(server.terminate()?.success());
    assert!(home.check()?.status.success());
    Ok(())
}

#[test]
fn what_is_too_old_goes() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\nretention = \"2s\"\npartition_age = \"1s\"\n")?;
    let server = home.start_with(&config)?;
    let trace_id = trace_id(1);
    server.put_all(&[segment(&trace_id, "00000000000000a1", &json!({}))])?;
    assert_eq!(server.documents(&trace_id)?.len(), 1);
    until("the trace is gone", || {
        Ok(server.documents(&trace_id)?.is_empty().then_some(()))
    })?;
    until("its summary is gone", || {
        Ok(summaries(&server, &json!({}))?.is_empty().then_some(()))
    })?;
    server.put_all(&[segment(&trace_id, "00000000000000a2", &json!({}))])?;
    assert_eq!(server.documents(&trace_id)?.len(), 1);
    Ok(())
}
