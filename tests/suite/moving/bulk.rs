//! Files that are larger than the memory they may take.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::process::{describe, resident_bytes_max};
use roentgen_tests::wait::now;
use serde_json::Value;

use super::stdout;

/// Bytes that are sent through the pipe.
const N_BYTES: usize = 48 << 20;
/// Memory the program may take, whatever the file's size.
const MEMORY_BYTES: u64 = 160 << 20;

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
    let (mut n_written, mut n_documents) = (0, 0);
    let mut piece = b"[".to_vec();
    while n_written < N_BYTES {
        for planned in feed.batch(500) {
            if n_documents > 0 {
                piece.extend_from_slice(b",\n  ");
            }
            // One in ten is long, as far as a document may be.
            pool.write_plain(&planned, &mut piece);
            n_documents += 1;
        }
        stdin.write_all(&piece)?;
        n_written += piece.len();
        piece.clear();
    }
    stdin.write_all(b"]")?;
    let peak = resident_bytes_max(child.id())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    assert!(output.status.success(), "{}", describe(&output));
    let totals: Value = serde_json::from_str(stdout(&output).trim())?;
    assert_eq!(totals["Accepted"].as_u64(), Some(n_documents), "{totals}");
    assert!(peak < MEMORY_BYTES, "{peak} bytes for {n_written}");
    eprintln!(
        "{n_documents} documents, {n_written} bytes, {} MiB of memory",
        peak >> 20
    );
    Ok(())
}
