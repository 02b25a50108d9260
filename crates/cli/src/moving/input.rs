//! Files that may be compressed, whatever their names say.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

/// Returns what a file holds, unpacked if it begins as gzip or zstd does, without a byte order mark.
pub(crate) fn unpacked(mut source: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::new();
    source.by_ref().take(MAGIC_BYTES).read_to_end(&mut head)?;
    let is_gzip = head.starts_with(&GZIP);
    let is_zstd = is_zstd(&head);
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(source));
    let mut unpacked: Box<dyn Read + Send> = if is_gzip {
        Box::new(Members(Some(GzDecoder::new(whole))))
    } else if is_zstd {
        Box::new(zstd::Decoder::with_buffer(whole)?)
    } else {
        Box::new(whole)
    };
    let mut mark = Vec::new();
    let read = unpacked.by_ref().take(MARK_BYTES).read_to_end(&mut mark);
    if mark == MARK {
        mark.clear();
    }
    // Where it breaks off so early, that is told once what is before it was read.
    let broken = BrokenOff(read.err());
    Ok(Box::new(Cursor::new(mark).chain(broken).chain(unpacked)))
}

/// Tells whether zstd begins so: with a frame, or with one that readers pass over.
pub(crate) fn is_zstd(head: &[u8]) -> bool {
    let is_passed_over = matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    head.starts_with(&ZSTD) || is_passed_over
}

/// The place at which a file cannot be read on, if there is one.
pub(crate) struct BrokenOff(pub(crate) Option<io::Error>);

impl Read for BrokenOff {
    fn read(&mut self, _bytes: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// The members of a gzip file one after the other. Zeros behind one fill a block of a tape or disk.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let n_bytes = member.read(bytes)?;
            if n_bytes > 0 || bytes.is_empty() {
                return Ok(n_bytes);
            }
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else {
                break;
            };
            if !is_over(&mut rest)? {
                self.0 = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Passes over zeros and tells whether nothing follows.
fn is_over(rest: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = rest.fill_buf()?;
        let n_zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let (is_end, is_found) = (buffer.is_empty(), n_zeros < buffer.len());
        rest.consume(n_zeros);
        if is_end || is_found {
            return Ok(is_end);
        }
    }
}

/// A file that is read several times, or standard input kept for that: without a name, it is gone with the process.
pub(crate) fn kept(mut source: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut source, &mut file)?;
    Ok(file)
}

const MAGIC_BYTES: u64 = 4;
const MARK_BYTES: u64 = 3;
/// A byte order mark in UTF-8.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        unpacked(Box::new(Cursor::new(bytes.to_vec())))?.read_to_end(&mut read)?;
        Ok(read)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(bytes: &[&[u8]], expected: &[u8]) {
        assert_eq!(read(&bytes.concat()).unwrap(), expected);
    }

    #[test]
    fn files_are_read_with_whatever_writers_add_to_them() {
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let (one, two) = (gzip(b"one"), gzip(b"two"));
        check(&[b"plain"], b"plain");
        check(&[b"a"], b"a");
        check(&[], b"");
        check(&[&MARK, b"marked"], b"marked");
        check(&[&MARK], b"");
        check(&[&gzip(&[&MARK[..], b"marked"].concat())], b"marked");
        check(&[&one, &two], b"onetwo");
        check(&[&one, &[0; 700]], b"one");
        check(&[&one, &[0; 3], &two, &vec![0; 100_000]], b"onetwo");
        let passed_over = [0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7];
        check(
            &[&passed_over, &zstd(b"one"), &passed_over, &zstd(b"two")],
            b"onetwo",
        );
    }

    #[test]
    fn what_is_cut_is_not_whole() {
        let one = gzip(b"something longer than that");
        assert!(read(&one[..one.len() - 9]).is_err());
        assert!(read(&[&one[..], b"\0\0junk"].concat()).is_err());
        assert!(read(&one[..12]).is_err());
    }
}
