//! Where an account's segments are sent to (spec: X-Ray API, `GetTraceSegmentDestination`,
//! `UpdateTraceSegmentDestination`).
//!
//! The setting is kept and answered, and both destinations are the same store here: segments are taken
//! and found alike whichever is set, and nothing is encrypted with the key of a log group.

use model::Account;
use serde::{Deserialize, Serialize};
use storage::ControlKind;

use crate::home::{Current, Home};
use crate::{AccountError, kms};

/// Where the segments of an account are sent to.
pub struct SegmentDestinations {
    home: Home,
    account: Account,
    record: Current<Record>,
}

/// Where segments can be sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// To X-Ray.
    #[default]
    XRay,
    /// To the log group `aws/spans`.
    CloudWatchLogs,
}

/// How the log group is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogsConfiguration<'r> {
    /// The ARN of the key it is to be encrypted with.
    pub spans_log_group_kms_key_id: Option<&'r str>,
}

/// What is told of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentDestination {
    /// What it is.
    pub destination: Destination,
    /// Whether it is in force.
    pub status: DestinationStatus,
}

/// Whether a destination is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationStatus {
    /// It was just changed: what the call that changed it answers, and no other.
    Pending,
    /// It is in force.
    Active,
}

impl SegmentDestinations {
    pub(crate) fn open(home: Home, account: Account) -> Result<Self, AccountError> {
        let record: Option<Record> = home.load_only(ControlKind::Destination)?;
        Ok(Self {
            home,
            account,
            record: Current::new(record.unwrap_or_default()),
        })
    }

    /// Returns the destination, which is in force.
    pub fn get(&self) -> SegmentDestination {
        SegmentDestination {
            destination: self.record.read().destination.into(),
            status: DestinationStatus::Active,
        }
    }

    /// Changes the destination. It is on disk once this returns, and in force although the answer says,
    /// as the service's does, that it is pending.
    ///
    /// The log group is made the first time segments are sent to it, stays, and can get a key only then.
    ///
    /// # Errors
    /// Refuses a request without a destination, a log group's configuration for X-Ray, and a key for a
    /// log group that is there or that is not the ARN of a key of this account and region.
    pub fn update(
        &self,
        destination: Option<Destination>,
        logs: Option<LogsConfiguration<'_>>,
    ) -> Result<SegmentDestination, AccountError> {
        let Some(destination) = destination else {
            return Err(invalid("Destination is required: XRay or CloudWatchLogs"));
        };
        if logs.is_some() && destination != Destination::CloudWatchLogs {
            return Err(invalid(
                "CloudWatchLogsConfiguration needs the Destination CloudWatchLogs",
            ));
        }
        let log_group_key = logs.and_then(|logs| logs.spans_log_group_kms_key_id);
        if log_group_key.is_some_and(|key| !kms::is_own_key_arn(&self.account, key)) {
            return Err(invalid(
                "SpansLogGroupKmsKeyId is the ARN of a KMS key in this account and region; key ids and \
                 alias ARNs are not supported",
            ));
        }
        self.record.change(|before| {
            if log_group_key.is_some() && before.log_group.is_some() {
                return Err(invalid(
                    "the log group aws/spans exists already, so SpansLogGroupKmsKeyId cannot be set; \
                     call again without it",
                ));
            }
            let mut record = before.clone();
            record.destination = destination.into();
            if destination == Destination::CloudWatchLogs && record.log_group.is_none() {
                record.log_group = Some(LogGroup {
                    kms_key_arn: log_group_key.map(str::to_owned),
                });
            }
            self.home.put_only(ControlKind::Destination, &record)?;
            let answer = SegmentDestination {
                destination,
                status: DestinationStatus::Pending,
            };
            Ok((record, answer))
        })
    }
}

/// The destination as it is stored.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Record {
    destination: StoredDestination,
    /// The log group, once it was made.
    log_group: Option<LogGroup>,
}

#[derive(Clone, Serialize, Deserialize)]
struct LogGroup {
    kms_key_arn: Option<String>,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredDestination {
    #[default]
    Xray,
    CloudWatchLogs,
}

impl From<StoredDestination> for Destination {
    fn from(stored: StoredDestination) -> Self {
        match stored {
            StoredDestination::Xray => Self::XRay,
            StoredDestination::CloudWatchLogs => Self::CloudWatchLogs,
        }
    }
}

impl From<Destination> for StoredDestination {
    fn from(destination: Destination) -> Self {
        match destination {
            Destination::XRay => Self::Xray,
            Destination::CloudWatchLogs => Self::CloudWatchLogs,
        }
    }
}

fn invalid(text: &str) -> AccountError {
    AccountError::InvalidRequest(text.to_owned())
}
