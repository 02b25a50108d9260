//! Traces that go on from older partitions: what those hold is noted in the active partition's index.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use model::{Tenant, TraceId};

use crate::active::Active;
use crate::engine::EngineError;
use crate::index::OlderCopy;
use crate::partitions::Opened;
use crate::store::Shared;

/// Traces by owner.
pub(crate) type Traces = HashSet<(Tenant, TraceId)>;

impl Shared {
    /// Takes note in the active partition's index of what older ones have of some traces.
    ///
    /// It goes partition by partition, so that each is opened once whatever is looked for; almost
    /// always the filters in memory say that no partition has any.
    pub(crate) fn note_older(&self, active: &Active, traces: &Traces) -> Result<(), EngineError> {
        let partitions = self.partitions();
        let mut found: HashMap<(Tenant, TraceId), Vec<OlderCopy>> = HashMap::new();
        for sealed in &partitions.sealed {
            let here = select(traces, |(tenant, trace_id)| {
                sealed.may_hold(*tenant, *trace_id)
            });
            if sealed.number < active.number && !here.is_empty() {
                let read = |opened: &Opened| {
                    let source = (sealed.number, sealed.doubtful);
                    self.copies(opened, &here, source, &mut found)
                };
                self.read_sealed(sealed, read)?;
            }
        }
        for sealing in &partitions.sealing {
            let here = {
                let index = sealing.index.read().unwrap_or_else(PoisonError::into_inner);
                select(traces, |(tenant, trace_id)| index.holds(*tenant, *trace_id))
            };
            if sealing.number < active.number && !here.is_empty() {
                // Its last groups may wait for their flush, which may fail: nothing in it is certain.
                sealing.handle.with(|opened| {
                    self.copies(opened, &here, (sealing.number, true), &mut found)
                })?;
            }
        }
        if !found.is_empty() {
            let mut index = active.index.write().unwrap_or_else(PoisonError::into_inner);
            for ((tenant, trace_id), copies) in found {
                index.note_older(tenant, trace_id, &copies);
            }
        }
        Ok(())
    }

    /// Looks up again, for every partition with an index, what older ones have of traces that went on
    /// in it; after opening a store.
    pub(crate) fn restore_all_older(&self) {
        for active in self.partitions().unsealed() {
            if let Err(error) = self.restore_older(active) {
                tracing::warn!(%error, "cannot look for traces in older partitions");
            }
        }
    }

    /// Does so for one partition.
    pub(crate) fn restore_older(&self, active: &Active) -> Result<(), EngineError> {
        let traces = {
            let mut index = active.index.write().unwrap_or_else(PoisonError::into_inner);
            index.take_continued_by_record()
        };
        self.note_older(active, &traces)
    }

    /// Adds the copies one partition has of some traces.
    fn copies(
        &self,
        opened: &Opened,
        traces: &[(Tenant, TraceId)],
        (number, doubtful): (u32, bool),
        found: &mut HashMap<(Tenant, TraceId), Vec<OlderCopy>>,
    ) -> Result<(), EngineError> {
        for (tenant, trace_id) in traces {
            let read = opened.documents_with_heads(*tenant, *trace_id, &self.dictionaries)?;
            let copies = read.into_iter().map(|(document, head)| OlderCopy {
                document,
                head,
                doubtful,
                number,
            });
            found
                .entry((*tenant, *trace_id))
                .or_default()
                .extend(copies);
        }
        Ok(())
    }
}

fn select(
    traces: &Traces,
    is_wanted: impl Fn(&(Tenant, TraceId)) -> bool,
) -> Vec<(Tenant, TraceId)> {
    traces
        .iter()
        .filter(|trace| is_wanted(trace))
        .copied()
        .collect()
}
