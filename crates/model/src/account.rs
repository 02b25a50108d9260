//! Whose things are: an account in a region, and the names its resources have everywhere.

use serde::{Deserialize, Serialize};

/// An AWS account in a region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    /// The account's number, 12 digits.
    pub id: String,
    /// The region.
    pub region: String,
}

impl Account {
    /// Returns the ARN of a resource of X-Ray, such as `sampling-rule/Default`.
    pub fn arn(&self, resource: &str) -> String {
        format!("arn:aws:xray:{}:{}:{resource}", self.region, self.id)
    }
}
