//! Where traces are written to: standard output, or a file that is whole or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use flate2::Compression as Level;
use flate2::write::GzEncoder;

use crate::exit::{Exit, Stop};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// Not at all
    None,
    /// As .gz
    Gzip,
    /// As .zst
    Zstd,
}

impl Compression {
    /// Returns what was asked for, or else what the name of a file says.
    pub(crate) fn of(asked: Option<Self>, path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str());
        asked.unwrap_or(match extension {
            Some("gz") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            Some(_) | None => Self::None,
        })
    }
}

/// Compresses what is written to it. Pieces compressed one after the other are one compressed file.
pub(crate) enum Packer<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Packer<W> {
    pub(crate) fn new(sink: W, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(sink),
            Compression::Gzip => Self::Gzip(GzEncoder::new(sink, Level::default())),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(sink, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes what is left and returns what it was written to.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(sink) => Ok(sink),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(sink) => sink.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// A file under another name until it is whole, or standard output.
pub(crate) struct Output {
    packer: Packer<BufWriter<Box<dyn Write + Send>>>,
    unfinished: Option<Unfinished>,
}

/// A file that is not whole yet; dropped, it is removed.
pub(crate) struct Unfinished {
    file: File,
    part: PathBuf,
    path: PathBuf,
    is_done: bool,
}

impl Output {
    /// Begins to write to a file, "-" for standard output.
    pub(crate) fn begin(path: &Path, compression: Compression) -> Result<Self, Stop> {
        let (sink, unfinished): (Box<dyn Write + Send>, _) = if path.as_os_str() == "-" {
            (Box::new(io::stdout()), None)
        } else {
            let unfinished = Unfinished::begin(path)?;
            let sink = unfinished.file.try_clone();
            let sink = sink.map_err(|error| cannot_write(&unfinished.part, &error))?;
            (Box::new(sink), Some(unfinished))
        };
        let sink = BufWriter::with_capacity(BUFFER_BYTES, sink);
        let packer = Packer::new(sink, compression).map_err(|error| cannot_write(path, &error))?;
        Ok(Self { packer, unfinished })
    }

    /// Writes more. Stops quietly if nobody reads standard output on.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let written = self.packer.write_all(bytes);
        written.map_err(|error| self.stop(&error))
    }

    /// Makes the file whole and durable under its name.
    pub(crate) fn finish(self) -> Result<(), Stop> {
        let Self { packer, unfinished } = self;
        let flushed = packer.finish().and_then(|mut sink| sink.flush());
        match unfinished {
            Some(unfinished) => {
                flushed.map_err(|error| cannot_write(&unfinished.part, &error))?;
                unfinished.finish()
            }
            None => flushed.map_err(|error| broken(&error)),
        }
    }

    fn stop(&self, error: &io::Error) -> Stop {
        match &self.unfinished {
            Some(unfinished) => cannot_write(&unfinished.part, error),
            None => broken(error),
        }
    }
}

impl Unfinished {
    /// Makes the file next to the place where it shall be.
    pub(crate) fn begin(path: &Path) -> Result<Self, Stop> {
        let part = beside(path, &format!("{}.part", std::process::id()));
        let file = File::create(&part).map_err(|error| cannot_write(&part, &error))?;
        Ok(Self {
            file,
            part,
            path: path.to_owned(),
            is_done: false,
        })
    }

    /// Returns the file.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// Makes the file durable under its name.
    pub(crate) fn finish(mut self) -> Result<(), Stop> {
        let moved = self
            .file
            .sync_all()
            .and_then(|()| rename(&self.part, &self.path));
        moved.map_err(|error| cannot_write(&self.path, &error))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            let _gone_already = fs::remove_file(&self.part);
        }
    }
}

/// Gives a file another name, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Returns the path of a file that lies beside another one and is named after it.
pub(crate) fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    path.with_file_name(name)
}

/// Returns the end of a command that cannot write a file.
pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Stop {
    Stop::failed(format!("cannot write {}: {error}", path.display()))
}

/// Returns the end of a command nobody reads on, or whose result cannot be written.
fn broken(error: &io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::new(Exit::Done, ""),
        _ => Stop::failed(format!("writing the result: {error}")),
    }
}

const BUFFER_BYTES: usize = 64 << 10;
/// Fast, and better than gzip at its best.
const ZSTD_LEVEL: i32 = 3;
