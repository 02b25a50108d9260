//! What is so of every operation, whatever it does.

use http::Method;
use protocol::Operation;
use serde_json::json;

use super::ask::Ask;
use super::exam::Exam;
use crate::exit::Stop;

/// Checks that paths and methods no operation has are refused as AWS refuses them.
pub(super) async fn check(exam: &mut Exam) -> Result<(), Stop> {
    let unknown = &["UnknownOperationException"];
    // The operation only names the row of the table.
    let row = Operation::GetGroups;
    let nowhere = Ask::from(json!({})).to(Method::POST, "/ConformNothing");
    exam.refuses(row, "a path of no operation is refused", nowhere, unknown)
        .await
}
