//! `roentgen restore`: a store made of a backup.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytesize::ByteSize;
use cli::{Exit, Stop, counted, note, print};
use storage::{OpenError, RestoreError};

use super::check;
use crate::config::Config;

/// Makes the configured store of a backup and checks it.
pub(crate) fn run(config: &Config, file: &Path) -> Result<Exit, Stop> {
    if let Err(error) = storage::guard::install() {
        note(&format!("roentgen: {error}"));
    }
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file);
        Box::new(opened.map_err(|error| {
            Stop::new(
                Exit::NotFound,
                format!("cannot read {}: {error}", file.display()),
            )
        })?)
    };
    let data = &config.data.dir;
    let restored = storage::restore(input, data).map_err(|error| {
        let exit = match &error {
            RestoreError::NotEmpty { .. } | RestoreError::Open(OpenError::Unrestored { .. }) => {
                Exit::Usage
            }
            RestoreError::Foreign(_) | RestoreError::CutOff(_) | RestoreError::Damaged(_) => {
                Exit::Damaged
            }
            RestoreError::Newer { .. } | RestoreError::Open(_) | RestoreError::Io { .. } => {
                Exit::Failed
            }
        };
        Stop::new(exit, error)
    })?;
    let size = ByteSize::b(restored.n_bytes).display().iec();
    let partitions = counted(restored.n_partitions, "partition");
    let data = data.display();
    print(&format!("restored {size} in {partitions} to {data}\n"))?;
    check::run(config)
}
