//! Where traces are written to: standard output, a pipe or device, or a file that is whole or not there.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
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

/// A place to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Standard output.
    Stdout,
    /// What is no file, such as a pipe or a device: it is written to as it is.
    Special(PathBuf),
    /// A file that is there; behind links.
    File(PathBuf),
    /// Nothing is there.
    Free(PathBuf),
}

impl Place {
    /// Returns what a path means, "-" for standard output.
    pub(crate) fn of(path: &Path) -> Result<Self, Stop> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            // A link may lead to what is not there yet.
            let Ok(link) = fs::read_link(&path) else {
                return match fs::symlink_metadata(&path) {
                    Ok(found) if found.is_file() => Ok(Self::File(path)),
                    Ok(_) => Ok(Self::Special(path)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Free(path)),
                    Err(error) => Err(cannot_write(&path, &error)),
                };
            };
            // Links to what a process has open, such as /dev/stdout.
            if path.starts_with("/proc") {
                return Ok(Self::Special(path));
            }
            path = path.with_file_name(link);
        }
        Err(cannot_write(&path, &io::Error::other("too many links")))
    }

    /// Stops if a file would be written over that nobody wants to.
    pub(crate) fn must_be_free(&self, is_forced: bool) -> Result<(), Stop> {
        match self {
            Self::File(path) if !is_forced => {
                let path = path.display();
                Err(Stop::usage(format!(
                    "{path} is there already; --force writes over it"
                )))
            }
            Self::File(_) | Self::Free(_) | Self::Special(_) | Self::Stdout => Ok(()),
        }
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Whoever may usually.
    Usual,
    /// The owner alone.
    Owner,
}

/// A file under another name until it is whole, or something else.
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
    /// Begins to write.
    pub(crate) fn begin(
        place: &Place,
        compression: Compression,
        readers: Readers,
    ) -> Result<Self, Stop> {
        let (sink, unfinished): (Box<dyn Write + Send>, _) = match place {
            Place::Stdout => (Box::new(io::stdout()), None),
            Place::Special(path) => {
                let file = OpenOptions::new().write(true).open(path);
                let file = file.map_err(|error| cannot_write(path, &error))?;
                (Box::new(file), None)
            }
            Place::File(path) | Place::Free(path) => {
                let unfinished = Unfinished::begin(path, readers)?;
                let sink = unfinished.file.try_clone();
                let sink = sink.map_err(|error| cannot_write(&unfinished.part, &error))?;
                (Box::new(sink), Some(unfinished))
            }
        };
        let sink = BufWriter::with_capacity(BUFFER_BYTES, sink);
        let packer = Packer::new(sink, compression).map_err(|error| broken(&error))?;
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
    /// Makes the file next to the place where it shall be. What a process left there that was killed is taken over.
    pub(crate) fn begin(path: &Path, readers: Readers) -> Result<Self, Stop> {
        let part = beside(path, "new");
        let file = loop {
            if let Some(file) = taken(&part, readers)? {
                break file;
            }
        };
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

/// Returns an empty file that nobody else writes to; nothing if it got its final name meanwhile.
fn taken(part: &Path, readers: Readers) -> Result<Option<File>, Stop> {
    let failed = |error: io::Error| cannot_write(part, &error);
    let is_other = fs::symlink_metadata(part).is_ok_and(|found| !found.is_file());
    if is_other {
        return Err(failed(io::Error::other("it is there and no file")));
    }
    let mode = match readers {
        Readers::Usual => MODE_USUAL,
        Readers::Owner => MODE_OWNER,
    };
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(mode);
    let file = options.open(part).map_err(failed)?;
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => {
            Stop::usage(format!("somebody else writes to {}", part.display()))
        }
        fs::TryLockError::Error(error) => failed(error),
    })?;
    let (opened, named) = (file.metadata().map_err(failed)?, fs::metadata(part));
    if !named.is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())) {
        return Ok(None);
    }
    file.set_len(0).map_err(failed)?;
    if readers == Readers::Owner {
        let permissions = Permissions::from_mode(MODE_OWNER);
        file.set_permissions(permissions).map_err(failed)?;
    }
    Ok(Some(file))
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
const LINKS_MAX: usize = 40;
/// But for what the process's mask takes away.
const MODE_USUAL: u32 = 0o666;
const MODE_OWNER: u32 = 0o600;
/// Fast, and better than gzip at its best.
const ZSTD_LEVEL: i32 = 3;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    fn write(path: &Path, text: &str) {
        let place = Place::of(path).unwrap();
        let mut output = Output::begin(&place, Compression::None, Readers::Usual).unwrap();
        output.write(text.as_bytes()).unwrap();
        output.finish().unwrap();
    }

    #[test]
    fn links_stay_links_and_what_they_lead_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("further")).unwrap();
        fs::write(at("further/there"), "before").unwrap();
        symlink("further/there", at("one")).unwrap();
        symlink(at("one"), at("two")).unwrap();
        symlink("further/not there", at("dangling")).unwrap();
        symlink("round", at("round")).unwrap();
        for (link, target) in [("two", "further/there"), ("dangling", "further/not there")] {
            write(&at(link), "after");
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(at(target)).unwrap(), "after");
        }
        assert!(Place::of(&at("round")).is_err());
        let of = |name: &str| Place::of(&at(name)).unwrap();
        assert!(of("two").must_be_free(false).is_err());
        assert!(of("two").must_be_free(true).is_ok());
        assert!(of("free").must_be_free(false).is_ok());
    }

    #[test]
    fn a_pipe_stays_a_pipe_and_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let link = folder.path().join("link");
        symlink("pipe", &link).unwrap();
        for path in [&pipe, &link] {
            let place = Place::of(path).unwrap();
            assert_eq!(place, Place::Special(pipe.clone()));
            assert!(place.must_be_free(false).is_ok());
            let pipe = pipe.clone();
            let reader = std::thread::spawn(move || fs::read_to_string(pipe).unwrap());
            write(path, "through");
            assert_eq!(reader.join().unwrap(), "through");
        }
        let opened = PathBuf::from("/proc/self/fd/1");
        assert_eq!(Place::of(&opened).unwrap(), Place::Special(opened));
        let found = fs::symlink_metadata(&pipe).unwrap();
        assert!(found.file_type().is_fifo());
    }

    #[test]
    fn what_was_left_is_taken_over_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all");
        let left = folder.path().join("all.new");
        fs::write(&left, "left by somebody who was killed").unwrap();
        let mut first = Unfinished::begin(&path, Readers::Owner).unwrap();
        assert!(Unfinished::begin(&path, Readers::Owner).is_err());
        first.file.write_all(b"whole").unwrap();
        first.finish().unwrap();
        let mut text = String::new();
        File::open(&path)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!((text.as_str(), left.exists()), ("whole", false));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(Unfinished::begin(&path, Readers::Usual).unwrap());
        assert!(!left.exists());
        symlink("elsewhere", &left).unwrap();
        assert!(Unfinished::begin(&path, Readers::Usual).is_err());
    }
}
