//! Inputs to begin with: those of this folder's corpus, and recorded ones where they are kept beside the project.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Returns the lines of a file of the corpus that are neither empty nor begin with `#`.
pub(crate) fn lines(file: &str) -> Vec<Vec<u8>> {
    let text = corpus_text(&format!("fuzz/{file}"));
    let lines = text.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.as_bytes().to_vec()).collect()
}

/// Returns the text of a file of the corpus.
pub(crate) fn corpus_text(file: &str) -> String {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    std::fs::read_to_string(corpus.join(file)).unwrap()
}

/// Returns the recorded JSON files of a folder, in the order of their names; none where there are no recordings.
pub(crate) fn recorded(folder: &str) -> Vec<Value> {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let Ok(entries) = std::fs::read_dir(recordings.join(folder)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap());
    paths.iter().filter_map(|path| read(path).ok()).collect()
}
