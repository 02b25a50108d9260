//! `roentgen backup`: keeps a copy of a running server's store.
//!
//! The server streams it; whether it is whole only its end tells, which is looked at while it comes. A file has its name
//! once that is so.

mod verify;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::Request;

use crate::Session;
use crate::client::{Client, Stream};
use crate::exit::{Exit, Stop};
use crate::moving::output::{Compression, Output};
use crate::stopping::Stopping;
use crate::terminal::{Progress, counted, note, print};
use verify::{Checked, Pieces, check};

/// Where the copy goes.
#[derive(Args, Debug)]
pub struct Options {
    /// The file to write, "-" for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Print what was copied as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Copies the store of a server.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let mut stopping = Stopping::catch()?;
    let path = &options.output;
    if is_file(path) && path.exists() && !options.force {
        let path = path.display();
        return Err(Stop::usage(format!(
            "{path} is there already; --force writes over it"
        )));
    }
    tokio::select! {
        copied = copy(session, options) => copied,
        () = stopping.asked() => {
            note("stopped; there is no backup");
            Ok(stopping.exit_or(Exit::Interrupted))
        }
    }
}

async fn copy(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let mut download = download(&session.client).await?;
    // As it comes; it is compressed already.
    let mut output = Output::begin(&options.output, Compression::None)?;
    let progress = Progress::endless("bytes");
    let (pieces, taken) = mpsc::sync_channel::<Bytes>(PIECES_AHEAD);
    let checking = tokio::task::spawn_blocking(move || check(Pieces::of(taken)));
    let mut is_looked_at = true;
    while let Some(piece) = download.next(PATIENCE).await? {
        output.write(&piece)?;
        progress.advance(u64::try_from(piece.len()).unwrap_or_default());
        // Once something is wrong nobody looks on; what it was is told below.
        is_looked_at = is_looked_at && tokio::task::block_in_place(|| pieces.send(piece)).is_ok();
        if !is_looked_at {
            break;
        }
    }
    drop(pieces);
    progress.finish();
    let checked = checking.await.map_err(Stop::failed)?;
    let checked = checked.map_err(|error| {
        Stop::new(
            Exit::Damaged,
            format!("the backup is not whole: {error}; there is none"),
        )
    })?;
    output.finish()?;
    tell(&checked, options)?;
    Ok(Exit::Done)
}

async fn download(client: &Client) -> Result<Stream, Stop> {
    let mut request = Request::new(Bytes::new());
    let uri = client.url(PATH).parse();
    *request.uri_mut() = uri.map_err(|error| Stop::usage(format!("{PATH}: {error}")))?;
    let answer = client.stream(request).await?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let (code, message) = answer.whole().await?.error();
    Err(Stop::failed(format!(
        "the server gives no backup: {code}: {message}"
    )))
}

fn tell(checked: &Checked, options: &Options) -> Result<(), Stop> {
    let Checked { n_files, n_bytes } = checked;
    let told = if options.json {
        let line = serde_json::to_string(checked).map_err(Stop::failed)?;
        format!("{line}\n")
    } else {
        let path = options.output.display();
        let (bytes, files) = (counted(*n_bytes, "byte"), counted(*n_files, "file"));
        format!("backed up {bytes} in {files} to {path}, all as they were sent\n")
    };
    if is_file(&options.output) {
        print(&told)
    } else {
        note(told.trim_end());
        Ok(())
    }
}

fn is_file(path: &Path) -> bool {
    path.as_os_str() != "-"
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen backup -o roentgen.tar.zst
  roentgen backup -o - --endpoint https://xray.example.com --sign | ssh backups 'cat > roentgen.tar.zst'
  roentgen backup -o nightly.tar.zst --force && roentgen restore nightly.tar.zst --data copy";
pub(crate) const ABOUT: &str = "Keep a copy of a running server's store

Everything that was acknowledged before is in it. The server goes on serving meanwhile. The checksums of all that is in
it are compared as it comes, and a file is there only if it is whole. On a server that asks for keys it takes the right
admin.

Exit codes: 0 done, 1 refused, 2 the file is there already, 4 no server or gone before the end, 6 not whole.";
const PATH: &str = "/api/v1/backup";
/// How long the server may take to go on: a large partition is sealed before anything comes.
const PATIENCE: Duration = Duration::from_mins(5);
const PIECES_AHEAD: usize = 16;
