//! Whether a backup is whole: a tar file in zstd whose last file, `SUMS`, has a line for each one before, with its CRC-32C,
//! its length and its name.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::Receiver;

use bytes::{Buf, Bytes};
use serde::Serialize;

/// What is in a backup that is whole.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Checked {
    pub(super) n_files: usize,
    /// Bytes of the files, unpacked.
    pub(super) n_bytes: u64,
}

/// Why a backup is not whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWhole {
    /// It ends too early, or is something else.
    #[error("it cannot be read to its end: {0}")]
    Read(#[from] io::Error),
    /// It ends, but not with the checksums.
    #[error("its end is missing")]
    NoEnd,
    /// A checksum is not that of what came.
    #[error("{0} is not as the server wrote it")]
    Differs(String),
}

/// What came, as something to read from.
pub(super) struct Pieces {
    taken: Receiver<Bytes>,
    piece: Bytes,
}

impl Pieces {
    pub(super) const fn of(taken: Receiver<Bytes>) -> Self {
        Self {
            taken,
            piece: Bytes::new(),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.taken.recv() {
                Ok(piece) => self.piece = piece,
                Err(_) => return Ok(0),
            }
        }
        let n_bytes = bytes.len().min(self.piece.len());
        if let Some(bytes) = bytes.get_mut(..n_bytes) {
            self.piece.copy_to_slice(bytes);
        }
        Ok(n_bytes)
    }
}

/// Reads a backup to its end and returns what is in it.
pub(super) fn check(source: impl Read) -> Result<Checked, NotWhole> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(source)?);
    let mut lines = VecDeque::new();
    let mut n_bytes = 0;
    let mut sums = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        if sums.is_some() {
            return Err(NotWhole::NoEnd);
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name == SUMS {
            let mut text = String::new();
            entry.take(SUMS_BYTES_MAX).read_to_string(&mut text)?;
            sums = Some(text);
            continue;
        }
        let (crc, length) = sum(&mut entry)?;
        n_bytes += length;
        lines.push_back((format!("{crc:08x} {length} {name}"), name));
    }
    // The frame has a checksum of its own behind the end of the archive.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    let sums = sums.ok_or(NotWhole::NoEnd)?;
    let n_files = lines.len();
    for line in sums.lines() {
        let (found, name) = lines.pop_front().ok_or(NotWhole::NoEnd)?;
        if found != line {
            return Err(NotWhole::Differs(name));
        }
    }
    match lines.pop_front() {
        Some((_, name)) => Err(NotWhole::Differs(name)),
        None => Ok(Checked { n_files, n_bytes }),
    }
}

/// Returns the checksum and the length of what is left to read.
fn sum(source: &mut impl Read) -> io::Result<(u32, u64)> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut crc, mut length) = (0, 0_u64);
    loop {
        let n_bytes = source.read(&mut buffer)?;
        if n_bytes == 0 {
            return Ok((crc, length));
        }
        crc = crc32c::crc32c_append(crc, buffer.get(..n_bytes).unwrap_or_default());
        length += u64::try_from(n_bytes).unwrap_or_default();
    }
}

const SUMS: &str = "SUMS";
const SUMS_BYTES_MAX: u64 = 256 << 20;
const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(text.len()).unwrap());
            header.set_mode(0o600);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        zstd::encode_all(&builder.into_inner().unwrap()[..], 1).unwrap()
    }

    fn line(name: &str, text: &str) -> String {
        format!(
            "{:08x} {} {name}\n",
            crc32c::crc32c(text.as_bytes()),
            text.len()
        )
    }

    #[test]
    fn a_backup_is_whole_if_its_last_file_says_so() {
        let sums = format!("{}{}", line("BACKUP", "one"), line("p/1/members", "two"));
        let whole = [
            ("BACKUP", "one"),
            ("p/1/members", "two"),
            ("SUMS", sums.as_str()),
        ];
        let bytes = archive(&whole);
        let checked = Checked {
            n_files: 2,
            n_bytes: 6,
        };
        assert_eq!(check(&bytes[..]).unwrap(), checked);
        for n_bytes in 0..bytes.len() {
            assert!(
                check(&bytes[..n_bytes]).is_err(),
                "{n_bytes} of {}",
                bytes.len()
            );
        }
        let fails = |files: &[(&str, &str)], words: &str| {
            let message = check(&archive(files)[..]).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        };
        fails(&whole[..2], "end is missing");
        fails(&[whole[0], ("p/1/members", "twO"), whole[2]], "p/1/members");
        fails(&[whole[0], whole[2]], "end is missing");
        fails(&[whole[0], whole[1], ("more", ""), whole[2]], "more");
        fails(
            &[whole[0], whole[1], whole[2], ("more", "")],
            "end is missing",
        );
    }

    #[test]
    fn pieces_are_read_one_after_the_other() {
        let (sender, taken) = std::sync::mpsc::sync_channel(4);
        for piece in ["ab", "", "cde"] {
            sender.send(Bytes::from_static(piece.as_bytes())).unwrap();
        }
        drop(sender);
        let mut text = String::new();
        Pieces::of(taken).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcde");
    }
}
