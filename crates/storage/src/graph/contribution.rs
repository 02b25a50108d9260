//! What one trace adds to the sums of the partition it is counted in.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use model::graph::{LinkSource, LinkUse, TraceGraph};
use model::{Derived, Head, SegmentId, Service, Summary, Tenant, TraceId};

use crate::engine::EngineError;
use crate::index::{Interned, Parts};
use crate::partitions::head_of;
use crate::store::Shared;

/// What a trace adds, and what is taken away again of what older partitions say of it.
pub(crate) struct Contribution {
    pub(crate) now: Share,
    /// What the trace was when it last changed in an older partition, and which that is.
    pub(crate) before: Option<(u32, Share)>,
}

/// One state of a trace.
pub(crate) struct Share {
    pub(crate) services: Vec<Service>,
    pub(crate) graph: TraceGraph,
    /// Where each of the graph's links comes from, if that is known.
    pub(crate) links: Links,
    /// The groups the trace is in, beside the one all are in.
    pub(crate) groups: Vec<u32>,
}

/// Links whose sources are known.
pub(crate) type Links = Vec<(LinkUse, LinkSource)>;

/// A contribution as the index keeps it: services by their place in the partition's list.
pub(crate) struct Kept {
    pub(crate) now: KeptShare,
    pub(crate) before: Option<Box<(u32, KeptShare)>>,
}

/// One state of a trace, in little memory.
pub(crate) struct KeptShare {
    pub(crate) services: Box<[u32]>,
    pub(crate) graph: TraceGraph,
    pub(crate) links: Box<[(LinkUse, LinkSource, u32)]>,
    pub(crate) groups: Box<[u32]>,
}

/// A contribution on its way into the index.
pub(crate) struct Refresh {
    pub(crate) tenant: Tenant,
    pub(crate) trace_id: TraceId,
    /// The trace's last change when the contribution was derived.
    pub(crate) changed: u64,
    pub(crate) contribution: Contribution,
}

impl Contribution {
    /// Returns the traces it is linked to.
    pub(crate) fn linked(&self) -> impl Iterator<Item = TraceId> + '_ {
        self.now.graph.links.iter().map(|link| link.trace_id)
    }

    /// Returns the contribution with its services entered into a partition's list.
    pub(crate) fn keep(self, interned: &mut Interned) -> Kept {
        Kept {
            now: self.now.keep(interned),
            before: self
                .before
                .map(|(number, share)| Box::new((number, share.keep(interned)))),
        }
    }
}

impl Share {
    fn keep(mut self, interned: &mut Interned) -> KeptShare {
        self.graph.requests.shrink_to_fit();
        self.graph.edges.shrink_to_fit();
        let links = self.links.into_iter().map(|(link, source)| {
            let from = interned.number(&source.service);
            (link, source, from)
        });
        KeptShare {
            links: links.collect(),
            services: self
                .services
                .iter()
                .map(|service| interned.number(service))
                .collect(),
            graph: self.graph,
            groups: self.groups.into(),
        }
    }
}

impl Shared {
    /// Returns what a trace adds to the sums of a partition, from the documents it and older ones have.
    pub(crate) fn contribution(
        &self,
        number: u32,
        tenant: Tenant,
        trace_id: TraceId,
        parts: Parts,
    ) -> Result<Contribution, EngineError> {
        let first_stamp = parts.first_stamp;
        let now = self.share(number, tenant, trace_id, first_stamp, parts.now)?;
        let before = match parts.before {
            Some((older, derived)) => {
                let share = self.share(older, tenant, trace_id, first_stamp, derived)?;
                Some((older, share))
            }
            None => None,
        };
        Ok(Contribution { now, before })
    }

    fn share(
        &self,
        number: u32,
        tenant: Tenant,
        trace_id: TraceId,
        first_stamp: u64,
        derived: Derived,
    ) -> Result<Share, EngineError> {
        let Derived { summary, graph } = derived;
        let links = self.links(number, tenant, &graph.links)?;
        Ok(Share {
            groups: self.groups_of(number, tenant, trace_id, first_stamp, &summary)?,
            services: summary.services,
            graph,
            links,
        })
    }

    /// Returns the groups of a trace as the documents up to a partition make it.
    fn groups_of(
        &self,
        number: u32,
        tenant: Tenant,
        trace_id: TraceId,
        first_stamp: u64,
        summary: &Summary,
    ) -> Result<Vec<u32>, EngineError> {
        let Some(classify) = self.classify.get() else {
            return Ok(Vec::new());
        };
        let mut failure = None;
        let mut documents = || match self.documents_up_to(tenant, trace_id, number) {
            Ok(stored) => stored.documents,
            Err(error) => {
                failure = Some(error);
                Vec::new()
            }
        };
        let groups = classify.groups(tenant, first_stamp, summary, &mut documents);
        failure.map_or(Ok(groups), Err)
    }

    /// Returns the links whose sources are known, as the documents up to a partition tell. Each linked
    /// trace is read once.
    fn links(&self, number: u32, tenant: Tenant, links: &[LinkUse]) -> Result<Links, EngineError> {
        let mut of_trace: BTreeMap<TraceId, Vec<LinkUse>> = BTreeMap::new();
        for link in links {
            of_trace.entry(link.trace_id).or_default().push(*link);
        }
        let mut found = Links::new();
        for (trace_id, links) in of_trace {
            let heads = self.heads_up_to(tenant, trace_id, number)?;
            let ids: Vec<SegmentId> = links.iter().map(|link| link.id).collect();
            let sources = LinkSource::find_all(&heads, &ids);
            let known = links.into_iter().zip(sources);
            found.extend(known.filter_map(|(link, source)| Some((link, source?))));
        }
        Ok(found)
    }

    /// Returns the heads of a trace's documents up to a partition.
    fn heads_up_to(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
        number: u32,
    ) -> Result<Vec<Head>, EngineError> {
        let partitions = self.partitions();
        let mut unsealed = partitions.unsealed();
        let indexed = unsealed.find(|active| active.number == number);
        let heads = indexed.and_then(|active| {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            index.heads(tenant, trace_id)
        });
        if let Some(heads) = heads {
            return heads.map_err(|damage| EngineError::Damaged {
                action: "reading what is linked to",
                detail: damage.0,
            });
        }
        let stored = self.documents_up_to(tenant, trace_id, number)?;
        Ok(stored.documents.iter().filter_map(head_of).collect())
    }
}
