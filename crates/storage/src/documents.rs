//! The documents of a trace, from all partitions that have some: of each the copy that counts.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use model::{Document, SegmentId, Tenant, TraceId, wins};

use crate::StoredTrace;
use crate::engine::EngineError;
use crate::store::Shared;

impl Shared {
    /// Returns the winning copies of a trace's documents from all partitions that may have some.
    pub(crate) fn documents(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
    ) -> Result<StoredTrace, EngineError> {
        self.documents_up_to(tenant, trace_id, u32::MAX)
    }

    /// Returns the winning copies from the partitions up to one.
    pub(crate) fn documents_up_to(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
        number: u32,
    ) -> Result<StoredTrace, EngineError> {
        let partitions = self.partitions();
        let mut found: HashMap<SegmentId, Document> = HashMap::new();
        let mut n_damaged = 0;
        let mut take = |documents: Vec<Document>| {
            for document in documents {
                merge_copy(&mut found, document);
            }
        };
        for sealed in &partitions.sealed {
            if sealed.number > number || !sealed.may_hold(tenant, trace_id) {
                continue;
            }
            let read = self.read_sealed(sealed, |opened| {
                opened.documents(tenant, trace_id, &self.dictionaries)
            })?;
            let Some((documents, n_left_out)) = read else {
                continue;
            };
            n_damaged += n_left_out;
            take(documents);
        }
        let unsealed = partitions.unsealed();
        for active in unsealed.filter(|active| active.number <= number) {
            let (documents, n_left_out) = active
                .handle
                .with(|opened| opened.documents(tenant, trace_id, &self.dictionaries))?;
            n_damaged += n_left_out;
            take(documents);
        }
        self.counters
            .n_damaged_records
            .fetch_add(n_damaged.into(), Ordering::Relaxed);
        let documents: Vec<Document> = found.into_values().collect();
        let bytes = documents
            .iter()
            .map(|document| document.text.len())
            .sum::<usize>();
        Ok(StoredTrace {
            documents,
            n_damaged,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        })
    }
}

/// Keeps the copy that counts of two, and the earlier of their first arrivals.
fn merge_copy(found: &mut HashMap<SegmentId, Document>, document: Document) {
    let Some(known) = found.get_mut(&document.segment_id) else {
        found.insert(document.segment_id, document);
        return;
    };
    let first_stamp = known.first_stamp.min(document.first_stamp);
    if wins(document.version(), known.version()) {
        *known = document;
    }
    known.first_stamp = first_stamp;
}
