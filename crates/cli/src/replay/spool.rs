//! Documents of files, sorted by when they were finished: their texts lie in a temporary file, in memory is only where.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use model::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use crate::documents;
use crate::exit::{Exit, Stop};

/// Sorted documents.
#[derive(Debug)]
pub(super) struct Spool {
    texts: File,
    entries: Vec<Entry>,
    next: usize,
    fingerprint: u64,
    n_inferred: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// When the document was finished, or else began; so it would have been sent at that time.
    at: Timestamp,
    offset: u64,
    n_bytes: u32,
}

/// The shapes that hold documents, besides those `put` takes: answers of `BatchGetTraces`, and single traces of them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Holder<'a> {
    #[serde(borrow)]
    traces: Option<Vec<Holder<'a>>>,
    #[serde(borrow)]
    segments: Option<Vec<Segment<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Segment<'a> {
    #[serde(borrow)]
    document: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Times<'a> {
    #[serde(borrow)]
    start_time: Option<&'a RawValue>,
    #[serde(borrow)]
    end_time: Option<&'a RawValue>,
    #[serde(default)]
    inferred: bool,
}

struct Spooling {
    texts: BufWriter<File>,
    entries: Vec<(Option<Timestamp>, Entry)>,
    offset: u64,
    n_inferred: u64,
    hash: Xxh3,
}

impl Spool {
    /// Reads files, unpacking them if they are compressed.
    pub(super) fn of(paths: &[PathBuf]) -> Result<Self, Stop> {
        let texts = tempfile::tempfile();
        let texts = texts.map_err(|error| Stop::failed(format!("a temporary file: {error}")))?;
        let mut spooling = Spooling {
            texts: BufWriter::new(texts),
            entries: Vec::new(),
            offset: 0,
            n_inferred: 0,
            hash: Xxh3::new(),
        };
        for path in paths {
            let name = path.display();
            let told = |message: String| Stop::new(Exit::Usage, format!("{name}: {message}"));
            let reader = unpacked(path).map_err(|error| told(error.to_string()))?;
            spooling.take(reader).map_err(told)?;
        }
        spooling.sorted()
    }

    /// Returns what tells these documents from others.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:016x}", self.fingerprint)
    }

    /// Returns how many segments were left out that a server inferred and will infer again.
    pub(super) const fn n_inferred(&self) -> u64 {
        self.n_inferred
    }

    /// Goes to a document by its place in the order.
    pub(super) const fn seek(&mut self, place: usize) {
        self.next = place;
    }

    /// Returns the place of the next document.
    pub(super) const fn next_place(&self) -> usize {
        self.next
    }

    /// Returns the next document and when it would have been sent.
    pub(super) fn next(&mut self) -> Result<Option<(Timestamp, String)>, Stop> {
        let Some(entry) = self.entries.get(self.next) else {
            return Ok(None);
        };
        let n_bytes = usize::try_from(entry.n_bytes).map_err(Stop::failed)?;
        let mut bytes = vec![0; n_bytes];
        let read = self.texts.read_exact_at(&mut bytes, entry.offset);
        read.map_err(|error| Stop::failed(format!("the temporary file: {error}")))?;
        self.next += 1;
        Ok(Some((
            entry.at,
            String::from_utf8(bytes).map_err(Stop::failed)?,
        )))
    }
}

impl Spooling {
    fn take(&mut self, reader: impl Read) -> Result<(), String> {
        let values = serde_json::Deserializer::from_reader(reader).into_iter::<Box<RawValue>>();
        for value in values {
            let value = value.map_err(|error| format!("not JSON: {error}"))?;
            let holder: Option<Holder<'_>> = match value.get().as_bytes().first() {
                Some(b'{') => serde_json::from_str(value.get()).ok(),
                _ => None,
            };
            match holder {
                Some(holder) if holder.traces.is_some() || holder.segments.is_some() => {
                    self.take_holder(holder)?;
                }
                Some(_) | None => {
                    for document in documents::of_value(&value)? {
                        self.add(&document).map_err(|error| error.to_string())?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take_holder(&mut self, holder: Holder<'_>) -> Result<(), String> {
        for trace in holder.traces.unwrap_or_default() {
            self.take_holder(trace)?;
        }
        for segment in holder.segments.unwrap_or_default() {
            let Some(document) = segment.document.map(RawValue::get) else {
                continue;
            };
            let unquoted: Option<String> = document
                .starts_with('"')
                .then(|| serde_json::from_str(document).map_err(|error| error.to_string()))
                .transpose()?;
            let document = unquoted.as_deref().unwrap_or(document);
            let times: Times<'_> = serde_json::from_str(document).unwrap_or_default();
            if times.inferred {
                self.n_inferred += 1;
                continue;
            }
            self.add(document).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn add(&mut self, document: &str) -> io::Result<()> {
        let times: Times<'_> = serde_json::from_str(document).unwrap_or_default();
        let time = |value: Option<&RawValue>| {
            Timestamp::parse_seconds(value?.get().trim_matches('"')).ok()
        };
        let at = time(times.end_time).or_else(|| time(times.start_time));
        let n_bytes = u32::try_from(document.len()).map_err(io::Error::other)?;
        self.texts.write_all(document.as_bytes())?;
        self.hash.update(&n_bytes.to_be_bytes());
        self.hash.update(document.as_bytes());
        let entry = Entry {
            at: Timestamp::ZERO,
            offset: self.offset,
            n_bytes,
        };
        self.entries.push((at, entry));
        self.offset += u64::from(n_bytes);
        Ok(())
    }

    /// Sorts by time; documents without one, which a server refuses, come first, and equals stay as they are.
    fn sorted(self) -> Result<Spool, Stop> {
        let first = self.entries.iter().filter_map(|(at, _)| *at).min();
        let entries = self.entries.into_iter();
        let mut entries: Vec<Entry> = entries
            .map(|(at, entry)| Entry {
                at: at.or(first).unwrap_or(Timestamp::ZERO),
                ..entry
            })
            .collect();
        entries.sort_by_key(|entry| entry.at);
        let texts = self.texts.into_inner();
        Ok(Spool {
            texts: texts.map_err(|error| Stop::failed(format!("the temporary file: {error}")))?,
            entries,
            next: 0,
            fingerprint: self.hash.digest(),
            n_inferred: self.n_inferred,
        })
    }
}

/// Opens a file, "-" for standard input, and unpacks it as its first bytes say.
fn unpacked(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let mut start = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut start)?;
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    let is_zstd = start == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = BufReader::new(io::Cursor::new(start).chain(reader));
    Ok(if is_gzip {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(whole)))
    } else if is_zstd {
        Box::new(BufReader::new(zstd::Decoder::with_buffer(whole)?))
    } else {
        Box::new(whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(bytes: &[u8]) -> Result<Spool, Stop> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all_at(bytes, 0).unwrap();
        Spool::of(&[file.path().to_owned()])
    }

    fn check(bytes: &[u8], expected: &[(u64, &str)]) {
        let mut spool = spool(bytes).unwrap();
        let mut came = Vec::new();
        while let Some((at, text)) = spool.next().unwrap() {
            came.push((at.as_secs(), text));
        }
        let expected: Vec<(u64, String)> = expected
            .iter()
            .map(|(at, text)| (*at, (*text).to_owned()))
            .collect();
        assert_eq!(came, expected);
    }

    #[test]
    fn documents_are_sorted_by_when_they_would_have_been_sent() {
        let (late, early) = (
            r#"{"start_time":1,"end_time":9.5}"#,
            r#"{"start_time":"3.5"}"#,
        );
        let lines = format!("{late}\n{{}}\n{early}");
        check(lines.as_bytes(), &[(3, "{}"), (3, early), (9, late)]);
        check(
            format!("[{late},{early}]").as_bytes(),
            &[(3, early), (9, late)],
        );
        check(b"", &[]);
    }

    #[test]
    fn traces_are_what_their_segments_are_without_the_inferred_ones() {
        let trace = r#"{"Id":"1","Segments":[{"Id":"a","Document":"{\"end_time\":2}"},
            {"Id":"b","Document":"{\"end_time\":1,\"inferred\":true}"},{"Document":{"end_time":1}}]}"#;
        let expected = [(1, r#"{"end_time":1}"#), (2, r#"{"end_time":2}"#)];
        check(trace.as_bytes(), &expected);
        check(format!("{{\"Traces\":[{trace}]}}").as_bytes(), &expected);
        assert_eq!(spool(trace.as_bytes()).unwrap().n_inferred(), 1);
    }

    #[test]
    fn compressed_files_are_known_by_their_content() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{\"end_time\":1}").unwrap();
        check(&gzip.finish().unwrap(), &[(1, "{\"end_time\":1}")]);
        let zstd = zstd::encode_all(&b"{\"end_time\":1}"[..], 1).unwrap();
        check(&zstd, &[(1, "{\"end_time\":1}")]);
    }

    #[test]
    fn other_documents_have_another_fingerprint() {
        let of = |text: &[u8]| spool(text).unwrap().fingerprint();
        assert_eq!(of(b"{}{}"), of(b"{}\n{}"));
        assert_ne!(of(b"{}{}"), of(b"{}"));
        assert_ne!(of(b"{\"a\":1}"), of(b"{\"a\":2}"));
    }

    #[test]
    fn what_holds_no_documents_is_refused() {
        assert!(spool(b"5").is_err());
        assert!(spool(b"{\"end").is_err());
    }
}
