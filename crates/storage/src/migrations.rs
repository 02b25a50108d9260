//! Steps from one storage format to the next, applied in order when a store is opened.
//!
//! Each step has a file `migrations/NNNN_name.toml` that says what it does, compiled in, and a
//! function here that does it. A step must be safe to run again after it was cut off.

use std::path::Path;

use serde::Deserialize;

use crate::OpenError;
use crate::manifest::{self, Manifest};

/// Brings the store in `data` to the current format and returns its manifest.
pub(crate) fn apply(data: &Path) -> Result<Manifest, OpenError> {
    let stored = manifest::read(data).map_err(|error| OpenError::damaged(data, &error))?;
    let found = stored.as_ref().map_or(0, |stored| stored.format);
    if found > CURRENT {
        return Err(OpenError::Newer {
            data: data.to_owned(),
            found,
            known: CURRENT,
        });
    }
    let pending = STEPS.iter().filter(|step| step.to > found);
    for step in pending {
        let card = step.card()?;
        tracing::info!(
            format = step.to,
            name = card.name,
            "migrating the store: {}",
            card.does
        );
        (step.run)(data).map_err(|error| OpenError::io("migrating the store", data, &error))?;
    }
    let stored = manifest::read(data).map_err(|error| OpenError::damaged(data, &error))?;
    let stored = stored.ok_or_else(|| OpenError::Damaged {
        data: data.to_owned(),
        detail: "there is no MANIFEST after migrating".to_owned(),
    })?;
    Manifest::parse(&stored).map_err(|error| OpenError::damaged(data, &error))
}

/// Returns the manifest of the store in `data` as it would be after migrating, changing nothing.
pub(crate) fn look(data: &Path) -> Result<Manifest, OpenError> {
    let damaged = |error: &manifest::ManifestError| OpenError::damaged(data, error);
    let read = manifest::read(data).map_err(|error| damaged(&error))?;
    let stored = read.ok_or_else(|| OpenError::Damaged {
        data: data.to_owned(),
        detail: "there is no MANIFEST".to_owned(),
    })?;
    let parsed = match stored.format {
        1 => Manifest::parse_first(&stored),
        CURRENT => Manifest::parse(&stored),
        found => {
            return Err(OpenError::Newer {
                data: data.to_owned(),
                found,
                known: CURRENT,
            });
        }
    };
    parsed.map_err(|error| damaged(&error))
}

/// The format this program writes.
pub(crate) const CURRENT: u32 = 2;

struct Step {
    /// The format it leads to.
    to: u32,
    /// Its file.
    card: &'static str,
    run: fn(&Path) -> std::io::Result<()>,
}

/// What a step's file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    number: u32,
    name: String,
    does: String,
    #[expect(
        dead_code,
        reason = "for people: checked to be there, drawn from in README"
    )]
    creates: Vec<String>,
}

const STEPS: [Step; 2] = [
    Step {
        to: 1,
        card: include_str!("../../../migrations/0001_initial.toml"),
        run: create,
    },
    Step {
        to: 2,
        card: include_str!("../../../migrations/0002_graphs.toml"),
        run: note_derived,
    },
];

impl Step {
    fn card(&self) -> Result<Card, OpenError> {
        let card: Card = toml::from_str(self.card).map_err(|error| OpenError::Migration {
            to: self.to,
            detail: error.to_string(),
        })?;
        if card.number == self.to {
            return Ok(card);
        }
        let detail = format!("its file says number {}", card.number);
        Err(OpenError::Migration {
            to: self.to,
            detail,
        })
    }
}

/// 0002: sealed partitions have sums for graphs, and blocks and zones that hold more. Notes in the manifest
/// that theirs were made in the first way; opening the store then makes them again from the documents.
fn note_derived(data: &Path) -> std::io::Result<()> {
    let read = manifest::read(data).map_err(std::io::Error::other)?;
    let Some(stored) = read.filter(|stored| stored.format < 2) else {
        return Ok(());
    };
    let manifest = Manifest::parse_first(&stored).map_err(std::io::Error::other)?;
    manifest::write(data, 2, &manifest)
}

/// 0001: the first format. Makes the folders and a manifest that names nothing.
fn create(data: &Path) -> std::io::Result<()> {
    for folder in ["p", "dict", "quarantine"] {
        std::fs::create_dir_all(data.join(folder))?;
    }
    manifest::write(data, CURRENT, &Manifest::fresh()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_card_and_they_lead_to_the_current_format() {
        let reached: Vec<u32> = STEPS
            .iter()
            .map(|step| step.card().unwrap().number)
            .collect();
        assert_eq!(reached, (1..=CURRENT).collect::<Vec<_>>());
    }

    #[test]
    fn a_newer_store_is_refused() {
        let data = tempfile::tempdir().unwrap();
        manifest::write(data.path(), CURRENT + 1, &Manifest::fresh().unwrap()).unwrap();
        let error = apply(data.path()).unwrap_err();
        assert!(
            matches!(error, OpenError::Newer { found, .. } if found == CURRENT + 1),
            "{error}"
        );
    }

    #[test]
    fn a_store_is_made_once() {
        let data = tempfile::tempdir().unwrap();
        let first = apply(data.path()).unwrap();
        assert_eq!(apply(data.path()).unwrap(), first);
    }

    #[test]
    fn a_damaged_manifest_is_an_error() {
        let data = tempfile::tempdir().unwrap();
        apply(data.path()).unwrap();
        let path = data.path().join("MANIFEST");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(apply(data.path()), Err(OpenError::Damaged { .. })));
    }
}
