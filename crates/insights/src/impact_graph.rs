//! The part of a service graph an insight touches (spec: X-Ray API, `GetInsightImpactGraph`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Cells, EdgeKind, Service, Timestamp};
use storage::{GraphParts, GraphScan, TraceStore, minute_of};

use crate::InsightError;
use crate::detector::{Topology, minute_start};
use crate::insight::Insight;
use crate::keeper::Insights;
use crate::reads::check_window;

/// The services that lead to the anomalous ones of an insight, and these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImpactGraph {
    /// The insight's id.
    pub insight_id: String,
    /// Start of the first minute the graph is of.
    pub start: Timestamp,
    /// End of the last minute the graph is of.
    pub end: Timestamp,
    /// The services, ascending; the first one has number 0, and so on.
    pub nodes: Vec<ImpactNode>,
}

/// A service that an insight touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImpactNode {
    /// Its number in this graph.
    pub reference_id: u32,
    /// The service; its type is `client` if it stands for the clients of another one.
    pub service: Service,
    /// Its name and those its callers use, each once, its own first.
    pub names: Vec<String>,
    /// The numbers of the services it calls, ascending.
    pub edges: Vec<u32>,
}

impl Insights {
    /// Returns the graph of what an insight touches in `[from, to)`, as whole minutes: the anomalous services
    /// that had requests then, and every service and client that calls led from to them.
    ///
    /// # Errors
    /// [`InsightError::Invalid`] for a window that is longer than six hours, ends before it starts or starts
    /// more than 30 days ago; [`InsightError::NotFound`]; [`InsightError::Store`] if the sums cannot be read.
    pub async fn impact_graph<S: TraceStore>(
        &self,
        store: &S,
        id: &str,
        (from, to): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<ImpactGraph, InsightError> {
        check_window(from, to, now)?;
        if to.since(from) > WINDOW_MAX {
            let text = "invalid EndTime: it is more than six hours after StartTime";
            return Err(InsightError::Invalid(text.to_owned()));
        }
        let insight = self.insight(id)?;
        let from_minute = minute_of(from);
        let to_minute = minute_after(to).max(from_minute);
        let mut cells = Cells::default();
        if from < to {
            let scan = GraphScan {
                group: insight.group.number,
                from_minute,
                to_minute,
                bucket_minutes: to_minute - from_minute,
                parts: GraphParts::All,
            };
            for bucket in store.graph(self.tenant(), scan).await?.values() {
                cells.merge(bucket);
            }
        }
        Ok(ImpactGraph {
            insight_id: insight.id.clone(),
            start: minute_start(from_minute),
            end: minute_start(to_minute),
            nodes: nodes(&insight, &cells),
        })
    }
}

fn nodes(insight: &Insight, cells: &Cells) -> Vec<ImpactNode> {
    let mut topology = Topology::default();
    topology.learn(0, cells);
    let seen = insight.services.iter();
    let seen = seen.filter(|service| cells.nodes.contains_key(*service));
    let touched: BTreeSet<&Service> = topology.upstream(seen);
    let mut nodes: BTreeMap<&Service, ImpactNode> = BTreeMap::new();
    for (service, reference_id) in touched.into_iter().zip(0..) {
        let node = ImpactNode {
            reference_id,
            service: service.clone(),
            names: vec![service.name.clone()],
            edges: Vec::new(),
        };
        nodes.insert(service, node);
    }
    for (key, cell) in &cells.edges {
        if key.kind != EdgeKind::Call || !nodes.contains_key(&key.from) {
            continue;
        }
        let Some(called) = nodes.get_mut(&key.to) else {
            continue;
        };
        for (alias, _) in &cell.aliases {
            if !called.names.contains(alias) {
                called.names.push(alias.clone());
            }
        }
        let to = called.reference_id;
        if let Some(caller) = nodes.get_mut(&key.from) {
            caller.edges.push(to);
        }
    }
    nodes.into_values().collect()
}

/// Returns the first minute that begins at an instant or after it.
fn minute_after(instant: Timestamp) -> u32 {
    let minute = minute_of(instant);
    if minute_start(minute) == instant {
        minute
    } else {
        minute.saturating_add(1)
    }
}

const WINDOW_MAX: Duration = Duration::from_hours(6);
