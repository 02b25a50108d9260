//! Limits the operating system sets the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// Raises the number of files the process may have open to what the system allows: connections and
/// the store's folders count, and the usual default of 1024 is soon reached.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        debug!(%error, "the number of open files stays as it is");
    }
}
