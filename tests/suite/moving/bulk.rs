//! Files that are larger than the memory they may take.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::process::{describe, resident_bytes_max};
use roentgen_tests::wait::now;
use serde_json::{Value, json};

use super::stdout;
use crate::fixture::{segment, trace_id};

/// Bytes of documents that are sent on.
const SENT_BYTES: usize = 10 << 20;
/// Bytes of documents that are read and left out: as many as there may be, without making a server store them.
const LEFT_BYTES: usize = 150 << 20;
/// Memory the program may take, whatever the size of what it reads: less than half of that.
const MEMORY_BYTES: u64 = 72 << 20;

#[test]
fn a_list_larger_than_memory_is_imported() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut child = home
        .command()
        .args(["import", "-", "--json", "--endpoint", &server.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin")?;
    let pool = Arc::new(Pool::new(40, 3));
    let mut feed = Feed::new(Arc::clone(&pool), 3, now(), 600);
    let (mut n_sent, mut n_left, mut n_documents, mut n_inferred) = (0, 0, 0, 0);
    let mut piece = b"[".to_vec();
    while n_sent < SENT_BYTES || n_left < LEFT_BYTES {
        let begun = piece.len();
        // One in ten is long, as far as a document may be.
        for planned in feed.batch(if n_sent < SENT_BYTES { 100 } else { 0 }) {
            pool.write_plain(&planned, &mut piece);
            piece.extend_from_slice(b",\n  ");
            n_documents += 1;
        }
        n_sent += piece.len() - begun;
        let begun = piece.len();
        while piece.len() - begun < (2 << 20) {
            n_inferred += 1;
            let document = json!({
                "trace_id": trace_id(n_inferred), "id": format!("{n_inferred:016x}"), "name": "table", "inferred": true,
                "metadata": { "fill": "x".repeat(30_000) },
            });
            write!(piece, "{document},\n  ")?;
        }
        n_left += piece.len() - begun;
        stdin.write_all(&piece)?;
        piece.clear();
    }
    // A list ends with an element.
    write!(
        stdin,
        "{}",
        segment(&trace_id(0), "00000000000000a1", &json!({}))
    )?;
    n_documents += 1;
    stdin.write_all(b"]")?;
    let peak = resident_bytes_max(child.id())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    assert!(output.status.success(), "{}", describe(&output));
    let totals: Value = serde_json::from_str(stdout(&output).trim())?;
    assert_eq!(totals["Accepted"].as_u64(), Some(n_documents), "{totals}");
    assert_eq!(totals["Inferred"], n_inferred, "{totals}");
    let n_read = n_sent + n_left;
    assert!(peak < MEMORY_BYTES, "{peak} bytes for {n_read}");
    eprintln!(
        "{n_documents} documents, {n_read} bytes, {} MiB of memory",
        peak >> 20
    );
    Ok(())
}
