//! How a record is written within a block; drawn in the crate's `README.md`.
//!
//! A record begins with its length and its kind. What follows the members known here belongs to a later version and is
//! passed over, and so is a record of a kind or a door that is not known: what is there never changes its meaning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use model::{Account, Timestamp};

use crate::record::{Answer, Call, Content, Door, Record, Refusal, Verdicts};

/// A record that is none: what is in it does not fit its length, or is no text where text should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends a record with its length to a block.
///
/// A length that has no room in 32 bits is written as the largest there is; such a record is over every limit, and the
/// caller takes it off again.
pub(crate) fn encode(record: &Record, block: &mut Vec<u8>) {
    let begin = block.len();
    block.put_u32(0);
    block.put_u8(match &record.content {
        Content::Http(_) => KIND_HTTP,
        Content::Datagram(_) => KIND_DATAGRAM,
    });
    block.put_u64(record.at.as_nanos());
    block.put_u8(record.door.number());
    encode_account(record.account.as_ref(), block);
    encode_peer(record.peer, block);
    encode_verdicts(record.verdicts.as_ref(), block);
    match &record.content {
        Content::Http(call) => encode_call(call, block),
        Content::Datagram(bytes) => encode_bytes(bytes, block),
    }
    let n_bytes = block.len() - begin - LENGTH_BYTES;
    if let Some(length) = block.get_mut(begin..begin + LENGTH_BYTES) {
        length.copy_from_slice(&length_of(n_bytes).to_be_bytes());
    }
}

/// Takes the next record off a block, not looked into yet; nothing if its length does not fit.
pub(crate) fn split(block: &mut Bytes) -> Option<Bytes> {
    let n_bytes = usize::try_from(block.try_get_u32().ok()?).ok()?;
    take(block, n_bytes).ok()
}

/// Returns the record these bytes are, which share their memory with it; nothing if it is of a kind or a door of a
/// later version.
pub(crate) fn decode(mut bytes: Bytes) -> Result<Option<Record>, Malformed> {
    let kind = bytes.try_get_u8()?;
    if !matches!(kind, KIND_HTTP | KIND_DATAGRAM) {
        return Ok(None);
    }
    let at = Timestamp::from_nanos(bytes.try_get_u64()?);
    let Some(door) = Door::from_number(bytes.try_get_u8()?) else {
        return Ok(None);
    };
    Ok(Some(Record {
        at,
        door,
        account: decode_account(&mut bytes)?,
        peer: decode_peer(&mut bytes)?,
        verdicts: decode_verdicts(&mut bytes)?,
        content: match kind {
            KIND_HTTP => Content::Http(decode_call(&mut bytes)?),
            _ => Content::Datagram(decode_bytes(&mut bytes)?),
        },
    }))
}

fn encode_account(account: Option<&Account>, block: &mut Vec<u8>) {
    block.put_u8(account.is_some().into());
    if let Some(account) = account {
        encode_bytes(account.id.as_bytes(), block);
        encode_bytes(account.region.as_bytes(), block);
    }
}

fn decode_account(bytes: &mut Bytes) -> Result<Option<Account>, Malformed> {
    if !decode_flag(bytes)? {
        return Ok(None);
    }
    Ok(Some(Account {
        id: decode_text(bytes)?,
        region: decode_text(bytes)?,
    }))
}

fn encode_peer(peer: Option<SocketAddr>, block: &mut Vec<u8>) {
    match peer {
        None => block.put_u8(0),
        Some(SocketAddr::V4(peer)) => {
            block.put_u8(4);
            block.put_u32(peer.ip().to_bits());
            block.put_u16(peer.port());
        }
        Some(SocketAddr::V6(peer)) => {
            block.put_u8(6);
            block.put_u128(peer.ip().to_bits());
            block.put_u16(peer.port());
            block.put_u32(peer.flowinfo());
            block.put_u32(peer.scope_id());
        }
    }
}

fn decode_peer(bytes: &mut Bytes) -> Result<Option<SocketAddr>, Malformed> {
    match bytes.try_get_u8()? {
        0 => Ok(None),
        4 => {
            let ip = Ipv4Addr::from_bits(bytes.try_get_u32()?);
            Ok(Some(SocketAddr::new(IpAddr::V4(ip), bytes.try_get_u16()?)))
        }
        6 => {
            let ip = Ipv6Addr::from_bits(bytes.try_get_u128()?);
            let port = bytes.try_get_u16()?;
            let (flowinfo, scope_id) = (bytes.try_get_u32()?, bytes.try_get_u32()?);
            let peer = SocketAddrV6::new(ip, port, flowinfo, scope_id);
            Ok(Some(SocketAddr::V6(peer)))
        }
        _ => Err(Malformed),
    }
}

fn encode_verdicts(verdicts: Option<&Verdicts>, block: &mut Vec<u8>) {
    block.put_u8(verdicts.is_some().into());
    let Some(verdicts) = verdicts else {
        return;
    };
    block.put_u32(verdicts.n_accepted);
    block.put_u32(length_of(verdicts.refused.len()));
    for refusal in &verdicts.refused {
        block.put_u8(refusal.id.is_some().into());
        if let Some(id) = &refusal.id {
            encode_bytes(id.as_bytes(), block);
        }
        encode_bytes(refusal.code.as_bytes(), block);
    }
}

fn decode_verdicts(bytes: &mut Bytes) -> Result<Option<Verdicts>, Malformed> {
    if !decode_flag(bytes)? {
        return Ok(None);
    }
    let n_accepted = bytes.try_get_u32()?;
    let n_refused = bytes.try_get_u32()?;
    // Not made as large as the number says: that may be anything.
    let mut refused = Vec::new();
    for _ in 0..n_refused {
        let has_id = decode_flag(bytes)?;
        refused.push(Refusal {
            id: has_id.then(|| decode_text(bytes)).transpose()?,
            code: decode_text(bytes)?,
        });
    }
    Ok(Some(Verdicts {
        n_accepted,
        refused,
    }))
}

fn encode_call(call: &Call, block: &mut Vec<u8>) {
    encode_bytes(call.method().as_bytes(), block);
    encode_bytes(call.path().as_bytes(), block);
    block.put_u32(length_of(call.headers().len()));
    for (name, value) in call.headers() {
        encode_bytes(name.as_bytes(), block);
        encode_bytes(value, block);
    }
    encode_bytes(call.body(), block);
    block.put_u8(call.answer.is_some().into());
    if let Some(answer) = &call.answer {
        block.put_u16(answer.status);
        encode_bytes(&answer.body, block);
    }
    let took = call.took().map(|took| u64::try_from(took.as_nanos()));
    match took {
        Some(Ok(nanos)) => {
            block.put_u8(1);
            block.put_u64(nanos);
        }
        Some(Err(_)) | None => block.put_u8(0),
    }
}

/// Reads a call through its constructor: a file from elsewhere brings no credentials in, either.
fn decode_call(bytes: &mut Bytes) -> Result<Call, Malformed> {
    let method = decode_text(bytes)?;
    let path = decode_text(bytes)?;
    let n_headers = bytes.try_get_u32()?;
    let mut headers = Vec::new();
    for _ in 0..n_headers {
        headers.push((decode_text(bytes)?, decode_bytes(bytes)?));
    }
    let headers = headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_ref()));
    let mut call = Call::new(&method, &path, headers, decode_bytes(bytes)?);
    if decode_flag(bytes)? {
        call.answer = Some(Answer {
            status: bytes.try_get_u16()?,
            body: decode_bytes(bytes)?,
        });
    }
    // Earlier versions end here.
    if bytes.has_remaining() && decode_flag(bytes)? {
        call = call.with_took(Duration::from_nanos(bytes.try_get_u64()?));
    }
    Ok(call)
}

fn encode_bytes(bytes: &[u8], block: &mut Vec<u8>) {
    block.put_u32(length_of(bytes.len()));
    block.put_slice(bytes);
}

fn decode_bytes(bytes: &mut Bytes) -> Result<Bytes, Malformed> {
    let n_bytes = usize::try_from(bytes.try_get_u32()?).map_err(|_| Malformed)?;
    take(bytes, n_bytes)
}

fn decode_text(bytes: &mut Bytes) -> Result<String, Malformed> {
    String::from_utf8(decode_bytes(bytes)?.into()).map_err(|_| Malformed)
}

fn decode_flag(bytes: &mut Bytes) -> Result<bool, Malformed> {
    match bytes.try_get_u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

fn take(bytes: &mut Bytes, n_bytes: usize) -> Result<Bytes, Malformed> {
    if n_bytes > bytes.len() {
        return Err(Malformed);
    }
    Ok(bytes.split_to(n_bytes))
}

fn length_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl From<bytes::TryGetError> for Malformed {
    fn from(_: bytes::TryGetError) -> Self {
        Self
    }
}

const KIND_HTTP: u8 = 1;
const KIND_DATAGRAM: u8 = 2;
const LENGTH_BYTES: usize = 4;
/// The least a record takes: its length and its kind.
pub(crate) const RECORD_BYTES_MIN: u32 = 5;
