//! The project's own rules that no other tool checks: who may import whom, sizes of files, words that do
//! not belong in a source, and recipes the README shows.

mod floors;
mod recipes;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::root;

/// Checks every rule and fails with all that is wrong.
pub(crate) fn all() -> Result<()> {
    let root = root();
    let mut findings = Vec::new();
    for folder in ["crates", "tests", "config", "migrations", ".ci", ".config"] {
        for path in files(&root.join(folder))? {
            let shown = path
                .strip_prefix(&root)
                .unwrap_or(&path)
                .display()
                .to_string();
            if is_source(&path) {
                let text =
                    std::fs::read_to_string(&path).with_context(|| format!("read {shown}"))?;
                source::check(&shown, &text, &mut findings);
            }
        }
    }
    manifests(&root, &mut findings)?;
    recipes::check(
        &std::fs::read_to_string(root.join("tests/clients/recipes.toml"))?,
        &std::fs::read_to_string(root.join("README.md"))?,
        &mut findings,
    )?;
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    bail!("{} untidy places", findings.len())
}

fn manifests(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(root.join("Cargo.toml"))?;
    floors::check_reasons(&text, findings);
    for path in files(root)? {
        if path.file_name().is_some_and(|name| name == "Cargo.toml")
            && path != root.join("Cargo.toml")
        {
            let text = std::fs::read_to_string(&path)?;
            floors::check_manifest(&text, findings).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Returns every file below a folder, sorted; folders of builds and of tools are left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if !path.is_dir() {
                files.push(path);
            } else if !SKIPPED.contains(&name.as_str()) {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_source(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    matches!(extension.as_ref(), "rs" | "toml" | "py" | "sh") || path.ends_with(".ci/run")
}

const SKIPPED: &[&str] = &[
    "target",
    "data",
    ".git",
    ".venv",
    "node_modules",
    "__pycache__",
];
