//! How the documents of a trace become the trace that is shown (spec: X-Ray API, `BatchGetTraces`).
//!
//! 1. Every document is read into a flat list of segments and subsegments; values stay JSON.
//! 2. Subsegments sent alone are hung below their parents, in whatever order they came.
//! 3. Segments are inferred for calls to services that sent none.
//! 4. The list becomes one tree for each segment, inferred segment and orphan.

mod fold;
mod forest;
mod infer;
mod node;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

pub use node::{Exception, Node};

use crate::member::Member;
use crate::{Document, Flags, SegmentId, Timestamp, TraceId};
use fold::{Roots, fold};
use forest::Forest;
use infer::infer;
use node::{Place, take_tree};

/// What becomes of subsegments sent alone whose segment has not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// They are entries of the trace of their own.
    #[default]
    Visible,
    /// They are left out, as the original service does.
    Hidden,
}

/// A trace as it is shown. The same for any order of documents.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    /// The trace's id.
    pub id: TraceId,
    /// From the earliest start to the latest end of the segments sent (in progress ones count with the
    /// latest time that they or their subsegments mention); none if no segment was sent.
    pub duration: Option<Duration>,
    /// Segments, inferred segments and visible orphans, ascending by id.
    pub segments: Vec<CompiledSegment<'a>>,
    /// How many documents are left out because they cannot be read; none that was accepted is.
    pub n_unreadable: usize,
}

/// What an entry of a trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompiledKind {
    /// A segment that was sent.
    Sent,
    /// A segment known only from the call of another one.
    Inferred,
    /// A subsegment sent alone whose segment has not come.
    Orphan,
}

/// One entry of a compiled trace.
#[derive(Clone, Debug)]
pub struct CompiledSegment<'a> {
    kind: CompiledKind,
    parent_id: Option<SegmentId>,
    /// The called service, of an inferred segment.
    called: Option<ServiceNode>,
    node: Node<'a>,
}

/// A service as a graph shows it.
#[derive(Clone, Debug)]
struct ServiceNode {
    name: String,
    kind: String,
}

impl<'a> Trace<'a> {
    /// Returns the trace that documents make up. Of several documents with one id the one that
    /// [`wins`](crate::wins) counts.
    ///
    /// Takes time linear in the documents' size but for sorting; memory is bounded by the number of
    /// (sub)segments, the values' text is borrowed.
    pub fn compile(id: TraceId, documents: &'a [Document], orphans: Orphans) -> Self {
        let mut forest = Forest::read(documents);
        let mut roots = fold(&mut forest);
        let duration = duration(&forest);
        let inferred = match orphans {
            Orphans::Visible => infer(id, &forest, |_| true),
            Orphans::Hidden => {
                let shown = shown_below(&forest, &roots.segments);
                roots.orphans.clear();
                infer(id, &forest, |entry_idx| shown.get(entry_idx) == Some(&true))
            }
        };
        let n_unreadable = forest.n_unreadable;
        let mut segments = trees(forest, &roots);
        segments.extend(inferred);
        segments.sort_by_key(CompiledSegment::id);
        Self {
            id,
            duration,
            segments,
            n_unreadable,
        }
    }
}

impl<'a> CompiledSegment<'a> {
    /// Returns its id, unique among the entries of a trace unless clients gave one id to several.
    pub const fn id(&self) -> SegmentId {
        self.node.id
    }

    /// Returns what it is.
    pub const fn kind(&self) -> CompiledKind {
        self.kind
    }

    /// Tells whether it is an inferred segment.
    pub const fn inferred(&self) -> bool {
        matches!(self.kind, CompiledKind::Inferred)
    }

    /// Tells whether it is a subsegment sent alone whose segment has not come.
    pub const fn is_orphan_subsegment(&self) -> bool {
        matches!(self.kind, CompiledKind::Orphan)
    }

    /// Returns the id of the subsegment that called it (as a rule; some clients name a segment), of an
    /// orphan the id of its parent.
    pub const fn parent_id(&self) -> Option<SegmentId> {
        self.parent_id
    }

    /// Returns its name as in the document.
    pub fn name(&self) -> Cow<'_, str> {
        self.node.name()
    }

    /// Returns the name of its service in graphs and summaries: the table's name for calls to
    /// DynamoDB, else its name.
    pub fn service_name(&self) -> Cow<'_, str> {
        match &self.called {
            Some(service) => Cow::Borrowed(&service.name),
            None => self.name(),
        }
    }

    /// Returns the type of its service in graphs and summaries: `origin`, of plain remote services
    /// `remote`.
    pub fn service_type(&self) -> Option<Cow<'_, str>> {
        match &self.called {
            Some(service) => Some(Cow::Borrowed(&service.kind)),
            None => self.origin(),
        }
    }

    /// Returns `origin` as in the document.
    pub fn origin(&self) -> Option<Cow<'_, str>> {
        self.node.text(Member::Origin)
    }

    /// Returns `aws.account_id` as in the document.
    pub fn account_id(&self) -> Option<String> {
        self.node
            .aws()?
            .account_id
            .text_or_digits()
            .map(Cow::into_owned)
    }

    /// Returns its start.
    pub const fn start(&self) -> Timestamp {
        self.node.start
    }

    /// Returns its end, which may lie before its start; in progress the latest time that it or its
    /// subsegments mention.
    pub const fn end(&self) -> Timestamp {
        self.node.end
    }

    /// Tells whether it is in progress.
    pub const fn in_progress(&self) -> bool {
        self.node.in_progress
    }

    /// Returns its own outcomes, see [`Node::flags`].
    pub fn flags(&self) -> Flags {
        self.node.flags()
    }

    /// Returns the exceptions of its cause, see [`Node::exceptions`].
    pub fn exceptions(&self) -> Vec<Exception> {
        self.node.exceptions()
    }

    /// Returns its subsegments, see [`Node::subsegments`].
    pub fn subsegments(&self) -> &[Node<'a>] {
        &self.node.subsegments
    }

    /// Returns it as the root of the tree of its subsegments.
    pub const fn node(&self) -> &Node<'a> {
        &self.node
    }

    /// Appends its document: one line of JSON if the values received are, members in the order of the
    /// original service, values character by character as received, members outside the schema and
    /// null ones left out.
    pub fn write_document(&self, out: &mut String) {
        self.node.write(out);
    }
}

/// Returns the time from the earliest start to the latest end of the segments sent.
fn duration(forest: &Forest<'_>) -> Option<Duration> {
    let segments = || {
        forest
            .trees
            .iter()
            .filter(|tree| tree.kind == crate::DocumentKind::Segment)
    };
    let start = segments()
        .filter_map(|tree| Some(forest.entries_of(tree).first()?.start))
        .min()?;
    let end = segments().filter_map(|tree| forest.end_of(tree)).max()?;
    Some(end.since(start))
}

/// Tells for each entry whether it is one of some roots or below one.
fn shown_below(forest: &Forest<'_>, roots: &[usize]) -> Vec<bool> {
    let mut shown = vec![false; forest.entries.len()];
    let mut waiting = roots.to_vec();
    while let Some(entry_idx) = waiting.pop() {
        if let Some(slot) = shown.get_mut(entry_idx) {
            *slot = true;
        }
        if let Some(entry) = forest.entries.get(entry_idx) {
            waiting.extend(&entry.children);
        }
    }
    shown
}

/// Returns the trees of the roots.
fn trees<'a>(forest: Forest<'a>, roots: &Roots) -> Vec<CompiledSegment<'a>> {
    let segments = roots
        .segments
        .iter()
        .map(|idx| (*idx, CompiledKind::Sent, Place::Segment));
    let orphans = roots
        .orphans
        .iter()
        .map(|idx| (*idx, CompiledKind::Orphan, Place::Orphan));
    let facts: Vec<_> = segments
        .chain(orphans)
        .filter_map(|(root_idx, kind, place)| {
            let tree = forest.trees.get(forest.entries.get(root_idx)?.tree_idx)?;
            Some((root_idx, kind, place, tree.parent_id, forest.end_of(tree)?))
        })
        .collect();
    let mut entries: Vec<_> = forest.entries.into_iter().map(Some).collect();
    let mut compiled = Vec::with_capacity(facts.len());
    for (root_idx, kind, place, parent_id, end) in facts {
        if let Some(node) = take_tree(&mut entries, root_idx, place) {
            compiled.push(CompiledSegment {
                kind,
                parent_id,
                called: None,
                node: Node { end, ..node },
            });
        }
    }
    compiled
}
