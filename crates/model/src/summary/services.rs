//! The services of a trace.

use std::collections::HashMap;

use super::{LIST_MAX, Service, SummaryFlags};
use crate::{Call, Head, SegmentId};

/// Name, type and account of a service.
type Identity<'h> = (&'h str, Option<&'h str>, Option<&'h str>);

/// Distinct services and their indexes.
pub(crate) struct ServiceList<'h> {
    services: Vec<Service>,
    index_of: HashMap<Identity<'h>, u16>,
}

impl<'h> ServiceList<'h> {
    /// Returns the services of a trace: the root's, those of other segments, those inferred from calls,
    /// the client in front of the root, clients of further segments without parent.
    pub(super) fn of(heads: &[&'h Head], segments: &[&'h Head], root: Option<&'h Head>) -> Self {
        let mut list = Self {
            services: Vec::new(),
            index_of: HashMap::new(),
        };
        for segment in root.iter().chain(segments) {
            list.add(identity(segment), false);
        }
        for call in unanswered(heads, segments) {
            list.add((&call.service_name, Some(&call.service_type), None), true);
        }
        if let Some(root) = root {
            let client = client(root);
            if let Ok(service_idx) = u16::try_from(list.services.len()) {
                list.index_of.entry(client).or_insert(service_idx);
            }
            list.services.push(service(client, false));
        }
        for entered in segments.iter().filter(|head| head.parent_id.is_none()) {
            list.add(client(entered), false);
        }
        list
    }

    /// Returns the index of the client in front of a segment's service.
    pub(crate) fn client_of(&self, segment: &Head) -> Option<u16> {
        self.index_of.get(&client(segment)).copied()
    }

    /// Tells whether a service is known from calls only.
    pub(crate) fn is_inferred(&self, service: u16) -> bool {
        let service = self.services.get(usize::from(service));
        service.is_some_and(|service| service.inferred)
    }

    /// Returns the index of the service inferred from a call.
    pub(crate) fn index_of_called(&self, call: &Call) -> Option<u16> {
        let called = (&*call.service_name, Some(&*call.service_type), None);
        self.index_of.get(&called).copied()
    }

    /// Returns the index of a segment's service; none if the list was full.
    pub(crate) fn index_of(&self, segment: &Head) -> Option<u16> {
        self.index_of.get(&identity(segment)).copied()
    }

    /// Returns what the list tells about the trace.
    pub(super) fn flags(&self) -> SummaryFlags {
        if self.services.iter().any(|service| service.inferred) {
            SummaryFlags::HAS_INFERRED
        } else {
            SummaryFlags::default()
        }
    }

    pub(super) fn into_services(self) -> Vec<Service> {
        self.services
    }

    /// Adds a service unless it is there; one place stays free for the client.
    fn add(&mut self, identity: Identity<'h>, inferred: bool) {
        let is_full = self.services.len() + 1 >= LIST_MAX;
        if is_full || self.index_of.contains_key(&identity) {
            return;
        }
        if let Ok(service_idx) = u16::try_from(self.services.len()) {
            self.index_of.insert(identity, service_idx);
            self.services.push(service(identity, inferred));
        }
    }
}

fn identity(segment: &Head) -> Identity<'_> {
    (
        &segment.name,
        segment.origin.as_deref(),
        segment.account_id.as_deref(),
    )
}

/// Returns the identity of the client in front of a service: it goes by the service's name.
fn client(segment: &Head) -> Identity<'_> {
    (&segment.name, Some("client"), None)
}

fn service((name, service_type, account_id): Identity<'_>, inferred: bool) -> Service {
    Service {
        name: name.to_owned(),
        service_type: service_type.map(str::to_owned),
        account_id: account_id.map(str::to_owned),
        inferred,
    }
}

/// Returns the calls that no segment names as its parent and that do not announce one, by start and id.
fn unanswered<'h>(heads: &[&'h Head], segments: &[&'h Head]) -> Vec<&'h Call> {
    let mut answered: Vec<SegmentId> = segments
        .iter()
        .filter_map(|segment| segment.parent_id)
        .collect();
    answered.sort_unstable();
    let mut calls: Vec<&Call> = heads
        .iter()
        .flat_map(|head| &head.calls)
        .filter(|call| !call.traced && answered.binary_search(&call.id).is_err())
        .collect();
    calls.sort_by_key(|call| (call.start, call.id));
    calls
}
