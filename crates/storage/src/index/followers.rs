//! Which traces are linked to which: what a trace adds to graphs depends on the traces it is linked to.

use std::collections::HashMap;

use model::{Tenant, TraceId};

/// Traces by the trace they are linked to.
#[derive(Default)]
pub(super) struct Followers {
    of: HashMap<(Tenant, TraceId), Vec<TraceId>>,
    n_followers: usize,
}

impl Followers {
    /// Takes note that a trace is linked to another one.
    pub(super) fn add(&mut self, (tenant, trace_id): (Tenant, TraceId), linked: TraceId) {
        if self.n_followers >= FOLLOWERS_MAX {
            return;
        }
        let followers = self.of.entry((tenant, linked)).or_default();
        if !followers.contains(&trace_id) && followers.len() < FOLLOWERS_OF_ONE_MAX {
            followers.push(trace_id);
            self.n_followers += 1;
        }
    }

    /// Returns, once, the traces linked to one that changed.
    pub(super) fn take(&mut self, tenant: Tenant, trace_id: TraceId) -> Vec<TraceId> {
        if self.of.is_empty() {
            return Vec::new();
        }
        let followers = self.of.remove(&(tenant, trace_id)).unwrap_or_default();
        self.n_followers -= followers.len();
        followers
    }
}

/// Some megabytes; links beyond keep the source they had.
const FOLLOWERS_MAX: usize = 100_000;
/// A message is received by a few; each of them is derived again when its sender changes.
const FOLLOWERS_OF_ONE_MAX: usize = 1_000;
