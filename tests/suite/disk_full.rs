//! A full disk: refuse and never acknowledge, lose nothing, and go on once there is room again.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use roentgen_tests::disk::{self, Ext4};
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::wait::{now, until};
use roentgen_tests::{Connection, Home, Ledger, Response, Server};

/// One client that notes what was acknowledged.
struct Client {
    feed: Feed,
    ledger: Ledger,
    connection: Connection,
}

impl Client {
    fn put(&mut self) -> Result<Response> {
        let batch = self.feed.batch(40);
        let mut body = Vec::new();
        self.feed.pool().write_request(&batch, &mut body);
        self.ledger.sent(&batch);
        let response = self.connection.post("/TraceSegments", &body)?;
        if response.status == 200 {
            assert_eq!(
                response.json()?,
                serde_json::json!({ "UnprocessedTraceSegments": [] })
            );
            self.ledger.acknowledged(&batch);
        }
        Ok(response)
    }

    /// Puts until the server refuses, and returns the refusal.
    fn put_until_refused(&mut self) -> Result<Response> {
        for _ in 0..20_000 {
            let response = self.put()?;
            if response.status != 200 {
                return Ok(response);
            }
        }
        anyhow::bail!("the disk does not get full")
    }
}

/// Writes a file until so many bytes are left.
fn fill(disk: &Ext4, path: &Path, left: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let block = vec![0x5a; 64 * 1024];
    while disk.free_bytes()? > left && file.write_all(&block).is_ok() {}
    let _ = file.sync_all();
    Ok(())
}

/// Fills the disk under a server, takes what filled it away again, and looks at what the server says and keeps.
fn check(settings: &str, left: u64) -> Result<()> {
    if let Some(reason) = disk::missing() {
        eprintln!("not tried: {reason}");
        return Ok(());
    }
    let disk = Ext4::new(256)?;
    let home = Home::new()?.with_data(disk.path().join("data"));
    let config = home.config(&format!("[storage]\nmax_disk = 0\n{settings}"))?;
    let server = home.start_with(&config)?;
    let pool = Arc::new(Pool::new(400, 21));
    let feed = Feed::new(Arc::clone(&pool), 22, now(), 600);
    let mut client = Client {
        feed,
        ledger: Ledger::new(pool),
        connection: server.connect()?,
    };
    for _ in 0..20 {
        assert_eq!(client.put()?.status, 200);
    }
    let ballast = disk.path().join("ballast");
    fill(&disk, &ballast, left)?;
    let refusal = client.put_until_refused()?;
    let (status, code, message) = refusal.error()?;
    assert_eq!(
        (status, code.as_str()),
        (503, "ServiceUnavailableException"),
        "{message}"
    );
    let read = |client: &Client, server: &Server| -> Result<()> {
        let findings = client.ledger.check(server);
        findings
            .and_then(|findings| findings.require_none())
            .with_context(|| server.log())
    };
    // Still nothing is taken; what was acknowledged can be read as long as the engine has not run into the end.
    assert!(client.put()?.status >= 500);
    if left > FREE_OF_ENGINE {
        read(&client, &server).context("while the disk is full")?;
    }

    std::fs::remove_file(&ballast)?;
    until("the server takes segments again", || {
        Ok((client.put()?.status == 200).then_some(()))
    })
    .with_context(|| server.log())?;
    read(&client, &server).context("once there is room")?;
    server.kill9()?;
    let server = home.start_with(&config)?;
    read(&client, &server).context("after a restart")
}

/// One partition, so that there is nothing old to drop for the sake of the new.
#[test]
fn writes_are_refused_before_the_disk_is_full() -> Result<()> {
    check(
        "min_free_disk = \"12MiB\"\npartition_bytes = \"1GiB\"\n",
        20 << 20,
    )
}

#[test]
fn a_disk_that_is_full_loses_nothing() -> Result<()> {
    check(
        "min_free_disk = \"0\"\npartition_bytes = \"8MiB\"\n",
        1 << 20,
    )
}

/// What the engine needs free to go on reading: it writes when it opens a partition.
const FREE_OF_ENGINE: u64 = 8 << 20;
