//! Paths through a compiled trace, from the entry point down through services and their subsegments.

use std::collections::HashMap;
use std::time::Duration;

use model::{CompiledKind, CompiledSegment, Node, SegmentId};

/// One entity on a path: a segment or a subsegment of it.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) segment: &'a CompiledSegment<'a>,
    pub(super) node: &'a Node<'a>,
}

/// A path from the entry point down; steps of one segment stand together.
pub(super) type Path<'a> = Vec<Step<'a>>;

/// Which segments follow which (sub)segment.
pub(super) struct Links<'a> {
    segments: &'a [CompiledSegment<'a>],
    downstream: HashMap<SegmentId, Vec<&'a CompiledSegment<'a>>>,
}

impl Step<'_> {
    /// Returns the entity's name; a service's own entity has the service's name.
    pub(super) fn name(&self) -> String {
        if std::ptr::eq(self.segment.node(), self.node) {
            self.segment.service_name().into_owned()
        } else {
            self.node.name().into_owned()
        }
    }

    fn duration(&self) -> Duration {
        self.node.end().since(self.node.start())
    }
}

impl<'a> Links<'a> {
    pub(super) fn of(segments: &'a [CompiledSegment<'a>]) -> Self {
        let mut downstream: HashMap<SegmentId, Vec<&CompiledSegment<'_>>> = HashMap::new();
        for segment in segments {
            if let Some(parent_id) = segment.parent_id() {
                downstream.entry(parent_id).or_default().push(segment);
            }
        }
        Self {
            segments,
            downstream,
        }
    }

    /// Returns the entry point: the earliest segment without parent, else the earliest.
    pub(super) fn root(&self) -> Option<&'a CompiledSegment<'a>> {
        let sent = self
            .segments
            .iter()
            .filter(|segment| segment.kind() == CompiledKind::Sent);
        sent.min_by_key(|segment| (segment.parent_id().is_some(), segment.start(), segment.id()))
    }

    /// Returns the paths to the deepest entities that are culprits, at most [`N_PATHS_MAX`].
    pub(super) fn paths_to(
        &self,
        root: &'a CompiledSegment<'a>,
        is_culprit: impl Fn(&Node<'_>) -> bool,
    ) -> Vec<Path<'a>> {
        let mut walk = Walk {
            links: self,
            is_culprit,
            path: Vec::new(),
            found: Vec::new(),
        };
        walk.visit(Step {
            segment: root,
            node: root.node(),
        });
        walk.found
    }

    /// Returns the path along the longest child, for as long as that takes half of its parent's time.
    pub(super) fn longest_path(&self, root: &'a CompiledSegment<'a>) -> Option<Path<'a>> {
        let mut step = Step {
            segment: root,
            node: root.node(),
        };
        let mut path = vec![step];
        while path.len() < DEPTH_MAX {
            let longest = self.below(step).into_iter().max_by_key(Step::duration);
            let Some(longest) = longest.filter(|longest| longest.duration() * 2 >= step.duration())
            else {
                break;
            };
            step = longest;
            path.push(step);
        }
        (!step.duration().is_zero()).then_some(path)
    }

    /// Returns what is directly below an entity: its subsegments and the segments that name it as
    /// their parent.
    fn below(&self, step: Step<'a>) -> Vec<Step<'a>> {
        let subsegments = step.node.subsegments().iter();
        let subsegments = subsegments.map(|node| Step {
            segment: step.segment,
            node,
        });
        let downstream = self.downstream.get(&step.node.id()).into_iter().flatten();
        let downstream = downstream.map(|segment| Step {
            segment,
            node: segment.node(),
        });
        subsegments.chain(downstream).collect()
    }
}

/// A depth-first search for culprits.
struct Walk<'l, 'a, F> {
    links: &'l Links<'a>,
    is_culprit: F,
    path: Path<'a>,
    found: Vec<Path<'a>>,
}

impl<'a, F: Fn(&Node<'_>) -> bool> Walk<'_, 'a, F> {
    /// Tells whether a culprit is at or below a step. The search is bounded in depth and in what it
    /// finds, so that neither a deep nor a circular trace costs more than that.
    fn visit(&mut self, step: Step<'a>) -> bool {
        let is_on_path = self
            .path
            .iter()
            .any(|known| std::ptr::eq(known.node, step.node));
        if self.path.len() >= DEPTH_MAX || self.found.len() >= N_PATHS_MAX || is_on_path {
            return false;
        }
        self.path.push(step);
        let mut is_found = false;
        for below in self.links.below(step) {
            is_found |= self.visit(below);
        }
        if !is_found && (self.is_culprit)(step.node) {
            self.found.push(self.path.clone());
            is_found = true;
        }
        self.path.pop();
        is_found
    }
}

const DEPTH_MAX: usize = 200;
const N_PATHS_MAX: usize = 10;
