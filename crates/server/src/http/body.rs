//! Request bodies: bounded in size, in time and in number before they are held in memory.
//!
//! 1. A declared length over the limit is refused before a byte is read.
//! 2. Every byte has a place among the bytes all connections may hold, or the request waits for one
//!    and is throttled.
//! 3. Whether a body is gzip is told by its first two bytes; clients' headers say the wrong thing. What else a header
//!    names is believed. Inflation stops at the same limit.

use std::error::Error;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use hyper::body::Body;
use protocol::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;

/// What bodies may be.
#[derive(Clone, Debug)]
pub(crate) struct BodyLimits {
    /// Bytes of one, before and after inflation.
    pub(crate) bytes_max: usize,
    /// For one to arrive.
    pub(crate) timeout: Duration,
    /// For a place among the bytes in memory.
    pub(crate) wait: Duration,
    /// The bytes all bodies may hold.
    pub(crate) room: BodyRoom,
}

/// The bytes the bodies of all connections may hold in memory.
#[derive(Clone, Debug)]
pub(crate) struct BodyRoom(Arc<Semaphore>);

impl BodyRoom {
    /// Returns room for so many bytes.
    pub(crate) fn new(n_bytes: u64) -> Self {
        let n_bytes = usize::try_from(n_bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(
            n_bytes.min(Semaphore::MAX_PERMITS),
        )))
    }
}

/// A body in memory; its place is free again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The body.
    pub(crate) bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Received {
    /// Returns the same place with what the body turned out to hold.
    pub(crate) fn replaced(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }
}

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It has more bytes than may be.
    #[error(
        "the body has more than {bytes_max} bytes (setting http.body_bytes); send fewer documents in one call"
    )]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// It did not arrive in time.
    #[error("the body did not arrive within {} seconds", timeout.as_secs_f64())]
    Timeout {
        /// The limit.
        timeout: Duration,
    },
    /// The connection broke off.
    #[error("the body broke off: {0}")]
    BrokeOff(String),
    /// Too many bodies are in memory.
    #[error("too many request bodies are being handled; retry with backoff")]
    Busy,
    /// It is not compressed as its beginning or its head says.
    #[error("the body says it is {encoding} and cannot be inflated: {source}")]
    Inflate {
        /// How it is compressed.
        encoding: &'static str,
        /// What is wrong.
        source: std::io::Error,
    },
    /// It is compressed in a way that is not read.
    #[error(
        "the body is compressed as {encoding:?}, which is not read here; send gzip, deflate or nothing"
    )]
    Encoding {
        /// How its head says it is.
        encoding: String,
    },
}

impl BodyError {
    /// Tells whether bytes of the body are left on the connection.
    pub(crate) const fn leaves_unread(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::Timeout { .. } | Self::BrokeOff(_) | Self::Busy => true,
            Self::Inflate { .. } | Self::Encoding { .. } => false,
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::TooLarge { .. } => Self::too_large(message),
            BodyError::Timeout { .. } => Self::timeout(message),
            BodyError::BrokeOff(_) | BodyError::Inflate { .. } => Self::invalid_request(message),
            BodyError::Encoding { .. } => Self::unsupported_media(message),
            BodyError::Busy => Self::throttled(message),
        }
    }
}

/// Returns a body, read to its end, as it was sent.
pub(crate) async fn receive<B>(body: B, limits: &BodyLimits) -> Result<Received, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error,
{
    let timeout = limits.timeout;
    let reading = tokio::time::timeout(timeout, read(body, limits)).await;
    reading.map_err(|_| BodyError::Timeout { timeout })?
}

/// How a body can be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    /// What HTTP calls deflate (RFC 9110): zlib.
    Deflate,
}

/// Returns how a request says its body is compressed, but for gzip, which is seen.
pub(crate) fn encodings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let names = names.map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase());
    names
        .filter(|name| !SEEN_OR_NOTHING.contains(&name.as_str()))
        .collect()
}

/// Returns a body, inflated if it is compressed.
pub(crate) async fn inflate(
    received: Received,
    encodings: &[String],
    limits: &BodyLimits,
) -> Result<Received, BodyError> {
    let compression = match encodings {
        _ if received.bytes.starts_with(&GZIP_MAGIC) => Compression::Gzip,
        [] => return Ok(received),
        [name] if name == "deflate" => Compression::Deflate,
        [name, ..] => {
            let encoding = name.chars().take(40).collect();
            return Err(BodyError::Encoding { encoding });
        }
    };
    let whole = inflate_in_place(&received.bytes, compression, limits.bytes_max)?;
    let place = limits.place(whole.len()).await?;
    Ok(Received {
        bytes: Bytes::from(whole),
        _place: place,
    })
}

impl BodyLimits {
    /// Returns the limits that are in force.
    pub(crate) fn of(config: &Config, room: &BodyRoom) -> Self {
        Self {
            bytes_max: usize::try_from(config.http.body_bytes.0).unwrap_or(usize::MAX),
            timeout: config.http.body_timeout.0,
            wait: config.storage.queue_wait.0,
            room: room.clone(),
        }
    }

    /// Waits for a place for so many bytes.
    async fn place(&self, n_bytes: usize) -> Result<Option<OwnedSemaphorePermit>, BodyError> {
        if n_bytes == 0 {
            return Ok(None);
        }
        let n_bytes = u32::try_from(n_bytes).map_err(|_| self.too_large())?;
        let place = Arc::clone(&self.room.0).acquire_many_owned(n_bytes);
        match tokio::time::timeout(self.wait, place).await {
            Ok(Ok(place)) => Ok(Some(place)),
            Ok(Err(_)) | Err(_) => Err(BodyError::Busy),
        }
    }

    const fn too_large(&self) -> BodyError {
        BodyError::TooLarge {
            bytes_max: self.bytes_max,
        }
    }
}

async fn read<B>(mut body: B, limits: &BodyLimits) -> Result<Received, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error,
{
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limits.bytes_max {
        return Err(limits.too_large());
    }
    let mut place = None;
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::BrokeOff(innermost(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let n_bytes = first.len() + joined.len() + data.len();
        if n_bytes > limits.bytes_max {
            return Err(limits.too_large());
        }
        // Only what came takes a place: announcing a large body must not keep others out.
        let more = limits.place(data.len()).await?;
        place = merge(place, more);
        // Most bodies come in one piece and need no copy.
        if first.is_empty() && joined.is_empty() {
            first = data;
            continue;
        }
        joined.extend_from_slice(&std::mem::take(&mut first));
        joined.extend_from_slice(&data);
    }
    let bytes = if joined.is_empty() {
        first
    } else {
        joined.freeze()
    };
    Ok(Received {
        bytes,
        _place: place,
    })
}

/// Returns the reason at the bottom; hyper's own words say only that reading failed.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn merge(
    place: Option<OwnedSemaphorePermit>,
    more: Option<OwnedSemaphorePermit>,
) -> Option<OwnedSemaphorePermit> {
    match (place, more) {
        (Some(mut place), Some(more)) => {
            place.merge(more);
            Some(place)
        }
        (place, more) => place.or(more),
    }
}

/// Inflates; a body whose inflation takes long does not hold up the requests beside it.
fn inflate_in_place(
    bytes: &[u8],
    compression: Compression,
    bytes_max: usize,
) -> Result<Vec<u8>, BodyError> {
    let handle = tokio::runtime::Handle::current();
    let has_other_workers = handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread;
    if bytes.len() > INFLATE_ASIDE_BYTES && has_other_workers {
        tokio::task::block_in_place(|| inflated(bytes, compression, bytes_max))
    } else {
        inflated(bytes, compression, bytes_max)
    }
}

fn inflated(
    bytes: &[u8],
    compression: Compression,
    bytes_max: usize,
) -> Result<Vec<u8>, BodyError> {
    let one_too_many = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut whole = Vec::new();
    let (encoding, read) = match compression {
        Compression::Gzip => {
            let decoder = MultiGzDecoder::new(bytes);
            ("gzip", decoder.take(one_too_many).read_to_end(&mut whole))
        }
        Compression::Deflate => {
            let decoder = ZlibDecoder::new(bytes);
            (
                "deflate",
                decoder.take(one_too_many).read_to_end(&mut whole),
            )
        }
    };
    read.map_err(|source| BodyError::Inflate { encoding, source })?;
    if whole.len() > bytes_max {
        return Err(BodyError::TooLarge { bytes_max });
    }
    Ok(whole)
}

/// Names of encodings that need no word: none at all, one that is seen, one that signatures undo.
const SEEN_OR_NOTHING: [&str; 5] = ["", "identity", "gzip", "x-gzip", "aws-chunked"];
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// A few tens of microseconds of inflation; what is smaller is done on the spot.
const INFLATE_ASIDE_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write;

    use flate2::write::{GzEncoder, ZlibEncoder};
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn limits(bytes_max: usize, n_room: usize) -> BodyLimits {
        BodyLimits {
            bytes_max,
            timeout: Duration::from_secs(30),
            wait: Duration::from_secs(2),
            room: BodyRoom::new(n_room as u64),
        }
    }

    fn chunked(
        chunks: &[&'static str],
    ) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + use<> {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))))
            .collect();
        StreamBody::new(stream::iter(chunks))
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn a_body_is_read_in_one_or_many_pieces() {
        let limits = limits(10, 100);
        let body = receive(Full::new(Bytes::from_static(b"0123456789")), &limits)
            .await
            .unwrap();
        assert_eq!(body.bytes, "0123456789");
        assert_eq!(limits.room.0.available_permits(), 90);
        let body = receive(chunked(&["012", "", "345", "6789"]), &limits)
            .await
            .unwrap();
        assert_eq!(body.bytes, "0123456789");
        drop(body);
        let body = receive(chunked(&[]), &limits).await.unwrap();
        assert_eq!(body.bytes, "");
    }

    #[tokio::test]
    async fn a_body_s_place_is_given_back() {
        let limits = limits(10, 10);
        drop(receive(chunked(&["012", "345"]), &limits).await.unwrap());
        drop(
            receive(chunked(&["012", "345678901"]), &limits)
                .await
                .unwrap_err(),
        );
        assert_eq!(limits.room.0.available_permits(), 10);
    }

    #[tokio::test]
    async fn one_byte_too_many_is_refused() {
        let limits = limits(10, 100);
        let error = receive(Full::new(Bytes::from_static(b"01234567890")), &limits)
            .await
            .unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { bytes_max: 10 }));
        let error = receive(chunked(&["0123456789", "0"]), &limits)
            .await
            .unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { .. }));
        assert!(error.leaves_unread());
    }

    async fn inflated_of(body: Vec<u8>, limits: &BodyLimits) -> Result<Bytes, BodyError> {
        let received = receive(Full::new(Bytes::from(body)), limits).await?;
        Ok(inflate(received, &[], limits).await?.bytes)
    }

    #[tokio::test]
    async fn gzip_is_told_by_its_first_bytes() {
        let limits = limits(100, 100);
        let inflated = inflated_of(gzip(b"{\"a\": 1}"), &limits).await.unwrap();
        assert_eq!(inflated, "{\"a\": 1}");
        let plain = inflated_of(b"{}".to_vec(), &limits).await.unwrap();
        assert_eq!(plain, "{}");
        let mut broken = gzip(b"{\"a\": 1}");
        broken.truncate(12);
        let error = inflated_of(broken, &limits).await.unwrap_err();
        assert!(
            matches!(
                error,
                BodyError::Inflate {
                    encoding: "gzip",
                    ..
                }
            ),
            "{error}"
        );
    }

    async fn inflated_as(body: &[u8], header: &str) -> Result<Bytes, BodyError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, header.parse().unwrap());
        let limits = limits(100, 1000);
        let received = receive(Full::new(Bytes::copy_from_slice(body)), &limits).await?;
        Ok(inflate(received, &encodings(&headers), &limits)
            .await?
            .bytes)
    }

    #[tokio::test]
    async fn other_encodings_are_told_by_the_header() {
        let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"{}").unwrap();
        let deflated = encoder.finish().unwrap();
        assert_eq!(inflated_as(&deflated, "deflate").await.unwrap(), "{}");
        for header in ["gzip", "identity", "", "aws-chunked, gzip"] {
            assert_eq!(inflated_as(b"{}", header).await.unwrap(), "{}", "{header}");
            assert_eq!(inflated_as(&gzip(b"{}"), header).await.unwrap(), "{}");
        }
        let error = inflated_as(b"{}", "deflate").await.unwrap_err();
        assert!(matches!(
            error,
            BodyError::Inflate {
                encoding: "deflate",
                ..
            }
        ));
        for header in ["zstd", "br", "deflate, deflate"] {
            let error = inflated_as(b"{}", header).await.unwrap_err();
            assert!(matches!(error, BodyError::Encoding { .. }), "{header}");
            assert_eq!(ApiError::from(error).status(), 415);
        }
    }

    #[tokio::test]
    async fn a_zip_bomb_is_refused_at_the_limit() {
        let bomb = gzip(&vec![b' '; 1_000_000]);
        assert!(bomb.len() < 10_000);
        let limits = limits(10_000, 100_000);
        let error = inflated_of(bomb, &limits).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { bytes_max: 10_000 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_room_is_throttled() {
        let limits = limits(10, 15);
        let _held = receive(chunked(&["0123456789"]), &limits).await.unwrap();
        let error = receive(chunked(&["0123456789"]), &limits)
            .await
            .unwrap_err();
        assert!(matches!(error, BodyError::Busy));
        assert_eq!(ApiError::from(error).status(), 429);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let stalled = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let error = receive(stalled, &limits(10, 10)).await.unwrap_err();
        assert!(matches!(error, BodyError::Timeout { .. }));
        assert_eq!(ApiError::from(error).status(), 408);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused() {
        let broken = StreamBody::new(stream::iter([Err::<Frame<Bytes>, _>(
            std::io::Error::other("reset by peer"),
        )]));
        let error = receive(broken, &limits(10, 10)).await.unwrap_err();
        assert_eq!(error.to_string(), "the body broke off: reset by peer");
    }
}
