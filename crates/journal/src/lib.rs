//! The journal: the file that recorded traffic is kept in, to be sent again later.
//!
//! The secret this crate hides is how a record lies in a file: blocks, checksums, compression, rotation, and what is
//! done about the end of a file that a crash cut off. The format is drawn byte by byte in the crate's `README.md`.
//!
//! - What [`Journal::append`] took is durable once its block is written: after [`Journal::flush`], or when a block is
//!   full or old. The loss of power costs at most the block that is not written yet.
//! - A [`Reader`] gives every whole block and nothing else, in memory bounded by a block, also of a file that is being
//!   written. Damage is told with its place and costs the blocks it touches.
//! - No credentials are in a journal: [`Call`] keeps the headers that say how a body is to be read and no others.
//!
//! It must never know what the bytes it keeps mean, and it reads no clock. All its calls block.
//!
//! ```
//! use journal::{Call, Content, Door, Journal, Limits, Reader, Record};
//! use model::Timestamp;
//!
//! let folder = tempfile::tempdir()?;
//! let now = Timestamp::from_secs(1_700_000_000);
//! let headers = [("content-type", &b"application/json"[..]), ("authorization", b"secret")];
//! let body = br#"{"TraceSegmentDocuments":[]}"#.as_slice();
//! let record = Record {
//!     at: now,
//!     door: Door::Api,
//!     account: None,
//!     peer: None,
//!     content: Content::Http(Call::new("POST", "/TraceSegments", headers, body.into())),
//!     verdicts: None,
//! };
//!
//! let mut journal = Journal::open_folder(folder.path(), &Limits::default(), now)?.journal;
//! journal.append(&record, now)?;
//! journal.flush(now)?;
//!
//! let read = Reader::open(&[folder.path()])?.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(read, [record]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod block;
mod encoding;
mod file;
mod folder;
mod position;
mod reader;
mod record;
#[cfg(test)]
mod tests;
mod writer;

pub use block::BLOCK_BYTES_MAX;
pub use position::{InvalidPosition, Position};
pub use reader::{ReadError, Reader, Torn};
pub use record::{Answer, Call, Content, Door, Record, Refusal, Verdicts};
pub use writer::{Cut, Figures, Journal, Limits, OpenError, Opened, WriteError};
