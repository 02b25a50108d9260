//! What rules and groups have in common: they are deleted by their names.

use protocol::Operation;
use serde_json::{Value, json};

use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::terminal::{note, print, printable};

/// Deletes what is there of these names, one after the other; `member` is what the operation calls a name.
///
/// # Errors
/// Stops at the first one the server does not delete.
pub(crate) async fn delete(
    client: &Client,
    operation: Operation,
    member: &str,
    there: &[&str],
    names: &[String],
) -> Result<Exit, Stop> {
    let mut n_deleted = 0;
    for name in names {
        if !there.contains(&name.as_str()) {
            note(&format!("not found: {}", printable(name)));
            continue;
        }
        let answer: Value = client.call(operation, &json!({ member: name })).await?;
        drop(answer);
        n_deleted += 1;
        print(&format!("deleted {}\n", printable(name)))?;
    }
    Ok(Exit::of(n_deleted, names.len(), Exit::NotFound))
}
