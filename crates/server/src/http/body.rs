//! Request bodies: bounded in size, in time and in number before they are held in memory.
//!
//! 1. A declared length over the limit is refused before a byte is read.
//! 2. Every byte has a place among those all connections may hold, and those its peer may hold ([`room`]), or the request
//!    waits for one, once for as long as configured, and is throttled. A body that hardly moves while others wait is
//!    given up.
//! 3. Whether a body is gzip is told by its first two bytes; clients' headers say the wrong thing. What else a header
//!    names is believed. Inflation stops at the same limit, and every piece of it has its place before it is made.

mod inflate;
pub(crate) mod room;

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use hyper::body::Body;
use protocol::ApiError;
use tokio::time::Instant;

use crate::config::Config;
use crate::http::places::Peer;
use inflate::Compression;
pub(crate) use room::BodyRoom;
use room::{Patience, Place, Share};

/// What bodies may be.
#[derive(Clone, Debug)]
pub(crate) struct BodyLimits {
    /// Bytes of one, before and after inflation.
    pub(crate) bytes_max: usize,
    /// For one to arrive.
    pub(crate) timeout: Duration,
    /// For places among the bytes in memory, all waits of one body together.
    pub(crate) wait: Duration,
    /// The bytes all bodies of the same peer may hold.
    pub(crate) share: Arc<Share>,
}

/// A body in memory; its place is free again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The body.
    pub(crate) bytes: Bytes,
    place: Option<Place>,
    patience: Patience,
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
    /// It hardly arrived, and others waited for its place.
    #[error("the body stopped to arrive while others waited for its room; send it in one go")]
    Stalled,
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
            Self::TooLarge { .. }
            | Self::Timeout { .. }
            | Self::Stalled
            | Self::BrokeOff(_)
            | Self::Busy => true,
            Self::Inflate { .. } | Self::Encoding { .. } => false,
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::TooLarge { .. } => Self::too_large(message),
            BodyError::Timeout { .. } | BodyError::Stalled => Self::timeout(message),
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
    inflated(received, compression, limits).await
}

/// Returns a body that is said to be gzip, inflated.
pub(crate) async fn gunzip(received: Received, limits: &BodyLimits) -> Result<Received, BodyError> {
    inflated(received, Compression::Gzip, limits).await
}

async fn inflated(
    received: Received,
    compression: Compression,
    limits: &BodyLimits,
) -> Result<Received, BodyError> {
    let Received {
        bytes,
        place: _compressed,
        mut patience,
    } = received;
    let inflating = inflate::inflate(&bytes, compression, limits, &mut patience);
    let (inflated, place) = inflating.await?;
    Ok(Received {
        bytes: inflated,
        place: Some(place),
        patience,
    })
}

impl BodyLimits {
    /// Returns the limits that are in force for a peer.
    pub(crate) fn of(config: &Config, room: &BodyRoom, address: IpAddr) -> Self {
        let bytes_max = usize::try_from(config.http.body_bytes.0).unwrap_or(usize::MAX);
        // As it is sent, and as it is inflated.
        let both = bytes_max.saturating_mul(2);
        let one_body = both.saturating_add(inflate::WORK_BYTES);
        Self {
            bytes_max,
            timeout: config.http.body_timeout.0,
            wait: config.storage.queue_wait.0,
            share: room.share(Peer::of(address), one_body),
        }
    }

    /// Waits for a place for what a body becomes when it is decoded.
    pub(crate) async fn decoded_place(&self, n_bytes: usize) -> Result<Place, BodyError> {
        let mut patience = Patience::new(self.wait);
        let place = self.share.decoded_place(n_bytes, &mut patience).await;
        place.ok_or(BodyError::Busy)
    }

    /// Waits for a place for so many bytes.
    async fn place(&self, n_bytes: usize, patience: &mut Patience) -> Result<Place, BodyError> {
        let place = self.share.place(n_bytes, patience).await;
        place.ok_or(BodyError::Busy)
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
    let mut patience = Patience::new(limits.wait);
    let mut arrival = Pace::new();
    let mut place: Option<Place> = None;
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = arrival.stalls(&limits.share) => return Err(BodyError::Stalled),
        };
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|error| BodyError::BrokeOff(innermost(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let n_bytes = first.len() + joined.len() + data.len();
        if n_bytes > limits.bytes_max {
            return Err(limits.too_large());
        }
        // Only what came takes a place: announcing a large body must not keep others out.
        let arrived_at = Instant::now();
        let more = limits.place(data.len(), &mut patience).await?;
        arrival.note(data.len(), arrived_at.elapsed());
        match &mut place {
            Some(place) => place.merge(more),
            None => place = Some(more),
        }
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
        place,
        patience,
    })
}

/// How fast a body arrives.
struct Pace {
    /// Bytes since then.
    n_bytes: usize,
    since: Instant,
}

impl Pace {
    fn new() -> Self {
        Self {
            n_bytes: 0,
            since: Instant::now(),
        }
    }

    /// Notes that bytes came; that they waited for their place is not the client's doing.
    fn note(&mut self, n_bytes: usize, waited: Duration) {
        self.n_bytes += n_bytes;
        self.since += waited;
        if self.n_bytes >= PACE_BYTES {
            *self = Self::new();
        }
    }

    /// Returns once the body hardly arrives and another one waits for its place.
    async fn stalls(&self, share: &Share) {
        tokio::time::sleep_until(self.since + PACE_PERIOD).await;
        while !share.is_wanted() {
            tokio::time::sleep(PACE_LOOK).await;
        }
    }
}

/// Returns the reason at the bottom; hyper's own words say only that reading failed.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Names of encodings that need no word: none at all, one that is seen, one that signatures undo.
const SEEN_OR_NOTHING: [&str; 5] = ["", "identity", "gzip", "x-gzip", "aws-chunked"];
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// A body of which less comes in such a time makes room for others.
const PACE_BYTES: usize = 1024;
const PACE_PERIOD: Duration = Duration::from_secs(2);
/// How often a body that hardly arrives looks whether others wait; well within what they wait for.
const PACE_LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write;

    use flate2::write::{GzEncoder, ZlibEncoder};
    use futures_util::{StreamExt, stream};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn limits(bytes_max: usize, n_room: usize) -> BodyLimits {
        BodyLimits {
            bytes_max,
            timeout: Duration::from_secs(30),
            wait: Duration::from_secs(2),
            share: BodyRoom::new(n_room as u64).share(peer(1), 2 * bytes_max),
        }
    }

    fn peer(number: u8) -> Peer {
        Peer::of(IpAddr::from([10, 0, 0, number]))
    }

    /// Tells whether there is a place for so many bytes, and not for one more.
    async fn has_room(limits: &BodyLimits, n_bytes: usize) -> bool {
        let place = async |n_bytes| {
            let mut patience = Patience::default();
            limits.place(n_bytes, &mut patience).await.is_ok()
        };
        place(n_bytes).await && !place(n_bytes + 1).await
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
        let limits = limits(10, 20);
        let body = receive(Full::new(Bytes::from_static(b"0123456789")), &limits)
            .await
            .unwrap();
        assert_eq!(body.bytes, "0123456789");
        assert!(has_room(&limits, 10).await);
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
        assert!(has_room(&limits, 10).await);
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
        let limits = limits(100, 400_000);
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
        let limits = limits(100, 400_000);
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
        let limits = limits(10_000, 400_000);
        let error = inflated_of(bomb, &limits).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { bytes_max: 10_000 }));
    }

    #[tokio::test]
    async fn inflation_of_any_length_gives_back_what_it_does_not_hold() {
        for n_bytes in [0, 1, 16_384, 16_385, 32_768, 1_000_000, 3_000_000] {
            let limits = limits(3_000_000, 8_000_000);
            let text: Vec<u8> = (0..n_bytes)
                .map(|idx| u8::try_from(idx % 251).unwrap())
                .collect();
            let received = receive(Full::new(Bytes::from(gzip(&text))), &limits);
            let inflated = inflate(received.await.unwrap(), &[], &limits)
                .await
                .unwrap();
            assert!(inflated.bytes == text, "{n_bytes}");
            let n_left = limits.share.n_bytes() - n_bytes;
            assert!(has_room(&limits, n_left).await, "{n_bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inflation_takes_its_place_before_memory() {
        let limits = limits(1_000_000, 500_000);
        let bomb = gzip(&vec![b' '; 900_000]);
        let error = inflated_of(bomb, &limits).await.unwrap_err();
        assert!(matches!(error, BodyError::Busy), "{error}");
        assert!(has_room(&limits, 500_000).await);
    }

    /// Returns a body of which only a part ever comes.
    fn begun(n_bytes: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let part = Ok(Frame::data(Bytes::from(vec![b' '; n_bytes])));
        StreamBody::new(stream::iter([part]).chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_makes_room_for_one_that_waits() {
        let limits = BodyLimits {
            wait: Duration::from_secs(3),
            ..limits(10, 10)
        };
        let stalled = receive(begun(9), &limits);
        let waiting = receive(chunked(&["01", "23456789"]), &limits);
        let (stalled, waiting) = tokio::join!(stalled, waiting);
        let error = stalled.unwrap_err();
        assert!(matches!(error, BodyError::Stalled) && error.leaves_unread());
        assert_eq!(ApiError::from(error).status(), 408);
        assert_eq!(waiting.unwrap().bytes, "0123456789");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_and_is_in_nobody_s_way_has_its_time() {
        let limits = limits(10, 100);
        let started = Instant::now();
        let (stalled, other) = tokio::join!(
            receive(begun(9), &limits),
            receive(chunked(&["0"]), &limits)
        );
        assert!(matches!(stalled.unwrap_err(), BodyError::Timeout { .. }));
        assert_eq!(started.elapsed().as_secs(), 30);
        assert!(other.is_ok());
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
