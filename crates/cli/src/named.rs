//! What rules and groups have in common: they are deleted by their names.

use protocol::Operation;
use serde_json::{Value, json};

use crate::client::{CallError, Client};
use crate::exit::{Exit, Stop};
use crate::terminal::{note, print, printable};

/// Deletes what is there of these names, one after the other; `member` is what the operation calls a name.
///
/// # Errors
/// Stops if the server is gone, or the only one is not deleted.
pub(crate) async fn delete(
    client: &Client,
    operation: Operation,
    member: &str,
    there: &[&str],
    names: &[String],
) -> Result<Exit, Stop> {
    let (mut n_deleted, mut none) = (0, Exit::NotFound);
    for name in names {
        if !there.contains(&name.as_str()) {
            note(&format!("not found: {}", printable(name)));
            continue;
        }
        let request = json!({ member: name });
        if let Err(error) = client.call::<Value>(operation, &request).await {
            refused(error, name, names.len())?;
            none = Exit::Failed;
            continue;
        }
        n_deleted += 1;
        print(&format!("deleted {}\n", printable(name)))?;
    }
    Ok(Exit::of(n_deleted, names.len(), none))
}

/// Tells of one of several things the server refused.
///
/// # Errors
/// Stops if it was the only one, or nothing was refused: the server is gone.
pub(crate) fn refused(error: CallError, name: &str, n_wanted: usize) -> Result<(), Stop> {
    match error {
        CallError::Refused { .. } if n_wanted > 1 => {
            note(&format!("{}: {error}", printable(name)));
            Ok(())
        }
        error => Err(error.into()),
    }
}
