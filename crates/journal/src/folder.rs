//! A folder of journal files: `0000000001.journal` and so on, each begun when the one before was full.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file that the writer of a folder made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) n_bytes: u64,
}

/// Returns the files of a folder that its writer made, by number; the others are nobody's to delete.
pub(crate) fn numbered(folder: &Path) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for path in journals(folder)? {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.parse::<u64>().ok());
        let Some(number) = number.filter(|number| path == path_of(folder, *number)) else {
            continue;
        };
        let n_bytes = fs::metadata(&path)?.len();
        listed.push(Listed {
            number,
            path,
            n_bytes,
        });
    }
    listed.sort_by_key(|listed| listed.number);
    Ok(listed)
}

/// Returns every file of a folder that is named as a journal, sorted by name.
pub(crate) fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_journal = path
            .extension()
            .is_some_and(|extension| extension == EXTENSION);
        if is_journal && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Returns where the file of this number is.
pub(crate) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{EXTENSION}"))
}

/// Makes the names of the files next to this one durable.
pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Held while a folder is written to.
pub(crate) const LOCK: &str = "LOCK";
const EXTENSION: &str = "journal";
