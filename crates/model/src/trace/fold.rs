//! Hangs subsegments sent alone below their parents.
//!
//! 1. Each one's parent is looked up among all entries of the trace.
//! 2. Circles of parents are cut open at their smallest id: from there on a circle is an orphan.
//! 3. Documents are placed from the roots down. Where the tree would become too deep for readers of
//!    JSON, a document moves up to the deepest ancestor below which it fits.
//! 4. What was placed below an entry follows what is nested in it, ordered by start and id.
//!
//! Every step is linear in the number of entries but for sorting; nothing recurses.

use std::collections::{HashMap, VecDeque};

use super::forest::{Forest, Tree};
use crate::json::{is_surely_within, nesting};
use crate::{DocumentKind, SegmentId};

/// Joins the documents of a forest and returns the roots: the segments, and the subsegments sent
/// alone that nothing leads to.
pub(super) fn fold(forest: &mut Forest<'_>) -> Roots {
    let mut parents = parents(forest);
    cut_circles(forest, &mut parents);
    place(forest, &parents);
    let mut roots = Roots::default();
    for (tree, parent) in forest.trees.iter().zip(&parents) {
        match (tree.kind, parent) {
            (DocumentKind::Segment, _) => roots.segments.push(tree.entries.start),
            (DocumentKind::Subsegment, None) => roots.orphans.push(tree.entries.start),
            (DocumentKind::Subsegment, Some(_)) => {}
        }
    }
    roots
}

/// Indexes of the entries that are entries of the trace.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) segments: Vec<usize>,
    pub(super) orphans: Vec<usize>,
}

/// Returns for each document the entry it belongs below; none for segments and orphans.
fn parents(forest: &Forest<'_>) -> Vec<Option<usize>> {
    let is_subsegment = |tree: &Tree<'_>| tree.kind == DocumentKind::Subsegment;
    if !forest.trees.iter().any(is_subsegment) {
        return vec![None; forest.trees.len()];
    }
    let entry_of = entries_by_id(forest);
    forest
        .trees
        .iter()
        .map(|tree| {
            let parent_id = tree.parent_id.filter(|_| is_subsegment(tree))?;
            entry_of.get(&parent_id).copied()
        })
        .collect()
}

/// Returns the entry of each id. Where an id occurs twice a document counts before a nested
/// subsegment, else the first in order of documents.
fn entries_by_id(forest: &Forest<'_>) -> HashMap<SegmentId, usize> {
    let mut entry_of = HashMap::with_capacity(forest.entries.len());
    for tree in &forest.trees {
        if let Some(document) = forest.entries_of(tree).first() {
            entry_of.insert(document.id, tree.entries.start);
        }
    }
    for (entry_idx, entry) in forest.entries.iter().enumerate() {
        entry_of.entry(entry.id).or_insert(entry_idx);
    }
    entry_of
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnPath,
    Done,
}

/// Removes the parent of one document of each circle: the one with the smallest id, since trees are
/// ordered by id.
fn cut_circles(forest: &Forest<'_>, parents: &mut [Option<usize>]) {
    let parent_tree = |parents: &[Option<usize>], tree_idx: usize| {
        let entry_idx = parents.get(tree_idx).copied().flatten()?;
        forest.entries.get(entry_idx).map(|entry| entry.tree_idx)
    };
    let mut marks = vec![Mark::New; parents.len()];
    let mut path = Vec::new();
    for first_idx in 0..parents.len() {
        let mut next = Some(first_idx);
        while let Some(tree_idx) = next.filter(|tree_idx| marks.get(*tree_idx) == Some(&Mark::New))
        {
            mark(&mut marks, tree_idx, Mark::OnPath);
            path.push(tree_idx);
            next = parent_tree(parents, tree_idx);
        }
        if let Some(met_idx) = next.filter(|tree_idx| marks.get(*tree_idx) == Some(&Mark::OnPath)) {
            let circle = path.iter().skip_while(|tree_idx| **tree_idx != met_idx);
            if let Some(parent) = circle.min().and_then(|tree_idx| parents.get_mut(*tree_idx)) {
                *parent = None;
            }
        }
        for tree_idx in path.drain(..) {
            mark(&mut marks, tree_idx, Mark::Done);
        }
    }
}

fn mark(marks: &mut [Mark], tree_idx: usize, value: Mark) {
    if let Some(slot) = marks.get_mut(tree_idx) {
        *slot = value;
    }
}

/// Places every document below its parent, roots first.
fn place(forest: &mut Forest<'_>, parents: &[Option<usize>]) {
    let mut waiting: Vec<Vec<(usize, usize)>> = vec![Vec::new(); parents.len()];
    let mut queue = VecDeque::new();
    for (tree_idx, parent) in parents.iter().enumerate() {
        let above =
            parent.and_then(|entry_idx| Some((entry_idx, forest.entries.get(entry_idx)?.tree_idx)));
        match above {
            Some((entry_idx, above_idx)) => {
                if let Some(below) = waiting.get_mut(above_idx) {
                    below.push((tree_idx, entry_idx));
                }
            }
            None => queue.push_back(tree_idx),
        }
    }
    let mut touched = Vec::new();
    while let Some(tree_idx) = queue.pop_front() {
        let below = waiting
            .get_mut(tree_idx)
            .map(std::mem::take)
            .unwrap_or_default();
        for (below_idx, entry_idx) in below {
            touched.extend(hang(forest, below_idx, entry_idx));
            queue.push_back(below_idx);
        }
    }
    touched.sort_unstable();
    touched.dedup();
    for parent_idx in touched {
        sort_placed(forest, parent_idx);
    }
}

/// Hangs a document below an entry or, if it would be too deep there, below an ancestor. Returns the
/// entry it hangs on.
fn hang(forest: &mut Forest<'_>, tree_idx: usize, entry_idx: usize) -> Option<usize> {
    let tree = forest.trees.get(tree_idx)?;
    let entries = tree.entries.clone();
    let level_max = level_max(tree.text);
    let mut parent_idx = entry_idx;
    let mut parent = forest.entries.get(parent_idx)?;
    while parent.level >= level_max {
        let Some(above_idx) = parent.parent_idx else {
            break;
        };
        parent_idx = above_idx;
        parent = forest.entries.get(parent_idx)?;
    }
    let level = parent.level + 1;
    let root_idx = entries.start;
    for entry in forest.entries.get_mut(entries)? {
        entry.level += level;
    }
    let root = forest.entries.get_mut(root_idx)?;
    root.parent_idx = Some(parent_idx);
    root.is_moved = parent_idx != entry_idx;
    forest.entries.get_mut(parent_idx)?.children.push(root_idx);
    Some(parent_idx)
}

/// Returns the deepest level at which a document's JSON stays within what readers take, at least 1.
/// A subsegment at level n is inside 2n brackets.
fn level_max(text: &str) -> usize {
    let n_levels = if is_surely_within(text, NESTING_USUAL) {
        NESTING_USUAL
    } else {
        nesting(text)
    };
    (OUTPUT_NESTING_MAX.saturating_sub(n_levels) / 2).max(1)
}

/// Orders what was placed below an entry, behind what is nested in it, by start and id.
fn sort_placed(forest: &mut Forest<'_>, parent_idx: usize) {
    let Some(parent) = forest.entries.get_mut(parent_idx) else {
        return;
    };
    let n_nested = parent.n_nested.min(parent.children.len());
    let mut placed = parent.children.split_off(n_nested);
    placed.sort_by_cached_key(|child_idx| {
        forest
            .entries
            .get(*child_idx)
            .map(|child| (child.start, child.id))
    });
    if let Some(parent) = forest.entries.get_mut(parent_idx) {
        parent.children.append(&mut placed);
    }
}

/// How deep compiled documents are nested at most: what JSON readers take by default.
const OUTPUT_NESTING_MAX: usize = 127;
/// A nesting that small documents do not exceed, known from counting their brackets.
const NESTING_USUAL: usize = 7;
