//! Reads documents into one flat list of segments and subsegments, values still JSON as received.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::unquote;
use crate::member::{Member, MemberKey};
use crate::{Document, DocumentKind, SegmentId, Timestamp, wins};

/// All segments and subsegments of a trace: trees (documents) that folding joins.
#[derive(Debug, Default)]
pub(super) struct Forest<'a> {
    /// Each document's entries lie together, the document's own first, parents before children.
    pub(super) entries: Vec<Entry<'a>>,
    /// Ascending by id.
    pub(super) trees: Vec<Tree<'a>>,
    pub(super) n_unreadable: usize,
}

/// One document.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) kind: DocumentKind,
    pub(super) parent_id: Option<SegmentId>,
    /// Its entries; the first is the document itself.
    pub(super) entries: Range<usize>,
    pub(super) text: &'a str,
}

/// One segment or subsegment.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) id: SegmentId,
    pub(super) start: Timestamp,
    pub(super) end: Option<Timestamp>,
    pub(super) in_progress: bool,
    /// Index of its document's tree.
    pub(super) tree_idx: usize,
    /// The entry it hangs on: at first the one it is nested in, none for a document.
    pub(super) parent_idx: Option<usize>,
    /// How many entries are above it.
    pub(super) level: usize,
    /// Whether it hangs on another entry than on its parent.
    pub(super) is_moved: bool,
    /// Members and their JSON in the order of output, but for subsegments.
    pub(super) members: Vec<(Member, Cow<'a, str>)>,
    /// The entries nested in it, then the documents that belong below it.
    pub(super) children: Vec<usize>,
    /// How many of the children are nested in it.
    pub(super) n_nested: usize,
}

impl<'a> Forest<'a> {
    /// Reads the documents. Of several with one id the one that [`wins`] counts; documents that are
    /// not readable (none that was accepted is) are counted only.
    pub(super) fn read(documents: &'a [Document]) -> Self {
        let mut sorted: Vec<&Document> = documents.iter().collect();
        sorted.sort_unstable_by(|left, right| {
            left.segment_id
                .cmp(&right.segment_id)
                .then_with(|| winner_first(left, right))
        });
        sorted.dedup_by_key(|document| document.segment_id);
        let mut forest = Self::default();
        for document in sorted {
            forest.read_document(document);
        }
        forest
    }

    fn read_document(&mut self, document: &'a Document) {
        let first_idx = self.entries.len();
        let seed = EntrySeed {
            entries: &mut self.entries,
            tree_idx: self.trees.len(),
            parent_idx: None,
            level: 0,
        };
        let mut deserializer = serde_json::Deserializer::from_str(&document.text);
        let is_read = seed.deserialize(&mut deserializer).is_ok() && deserializer.end().is_ok();
        let entry = self.entries.get(first_idx);
        let (true, Some(entry)) = (is_read, entry) else {
            self.entries.truncate(first_idx);
            self.n_unreadable += 1;
            return;
        };
        let is_subsegment = entry.text(Member::Type).as_deref() == Some("subsegment");
        self.trees.push(Tree {
            kind: if is_subsegment {
                DocumentKind::Subsegment
            } else {
                DocumentKind::Segment
            },
            parent_id: entry
                .text(Member::ParentId)
                .and_then(|text| text.parse().ok()),
            entries: first_idx..self.entries.len(),
            text: &document.text,
        });
    }

    /// Returns the entries of a document.
    pub(super) fn entries_of(&self, tree: &Tree<'a>) -> &[Entry<'a>] {
        self.entries.get(tree.entries.clone()).unwrap_or_default()
    }

    /// Returns the end of a document; in progress the latest time that it or anything below it mentions, nested in it or
    /// sent alone.
    pub(super) fn end_of(&self, tree: &Tree<'_>) -> Option<Timestamp> {
        let document = self.entries.get(tree.entries.start)?;
        if !document.in_progress {
            return document.end;
        }
        let mut latest = document.latest();
        let mut waiting = document.children.clone();
        while let Some(entry) = waiting.pop().and_then(|idx| self.entries.get(idx)) {
            latest = latest.max(entry.latest());
            waiting.extend(&entry.children);
        }
        Some(latest)
    }
}

fn winner_first(left: &Document, right: &Document) -> Ordering {
    if wins(left.version(), right.version()) {
        Ordering::Less
    } else if wins(right.version(), left.version()) {
        Ordering::Greater
    } else {
        left.text.cmp(&right.text)
    }
}

impl Entry<'_> {
    /// Returns the JSON of a member.
    pub(super) fn json(&self, member: Member) -> Option<&str> {
        json_of(&self.members, member)
    }

    /// Returns the text of a member that is a text and not empty.
    pub(super) fn text(&self, member: Member) -> Option<Cow<'_, str>> {
        self.json(member)
            .and_then(unquote)
            .filter(|text| !text.is_empty())
    }

    /// Returns the latest time the entry itself mentions.
    pub(super) fn latest(&self) -> Timestamp {
        self.end.map_or(self.start, |end| end.max(self.start))
    }
}

/// Returns the JSON of one of sorted members.
pub(super) fn json_of<'m>(
    members: &'m [(Member, Cow<'_, str>)],
    member: Member,
) -> Option<&'m str> {
    members
        .iter()
        .find(|(found, _)| *found == member)
        .map(|(_, json)| json.as_ref())
}

/// Reads one segment or subsegment and what is nested in it.
struct EntrySeed<'f, 'a> {
    entries: &'f mut Vec<Entry<'a>>,
    tree_idx: usize,
    parent_idx: Option<usize>,
    level: usize,
}

impl<'a> DeserializeSeed<'a> for EntrySeed<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for EntrySeed<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a segment or subsegment")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let entry_idx = self.entries.len();
        self.entries.push(Entry {
            id: SegmentId(0),
            start: Timestamp::ZERO,
            end: None,
            in_progress: false,
            tree_idx: self.tree_idx,
            parent_idx: self.parent_idx,
            level: self.level,
            is_moved: false,
            members: Vec::new(),
            children: Vec::new(),
            n_nested: 0,
        });
        let mut members: Vec<(Member, Cow<'a, str>)> = Vec::with_capacity(MEMBERS_USUAL);
        let mut children = Vec::new();
        while let Some(MemberKey(member)) = map.next_key()? {
            match member {
                None | Some(Member::Inferred) => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(Member::Subsegments) => {
                    children = map.next_value_seed(ChildrenSeed {
                        entries: self.entries,
                        tree_idx: self.tree_idx,
                        parent_idx: entry_idx,
                        level: self.level + 1,
                    })?;
                }
                Some(member) => {
                    let json = map.next_value::<&'a RawValue>()?.get();
                    if json != "null" {
                        members.push((member, Cow::Borrowed(json)));
                    }
                }
            }
        }
        members.sort_by_key(|(member, _)| *member);
        members.dedup_by_key(|(member, _)| *member);
        if let Some(entry) = self.entries.get_mut(entry_idx) {
            entry.fill(members, children)?;
        }
        Ok(())
    }
}

impl<'a> Entry<'a> {
    fn fill<E: Error>(
        &mut self,
        members: Vec<(Member, Cow<'a, str>)>,
        children: Vec<usize>,
    ) -> Result<(), E> {
        self.members = members;
        self.n_nested = children.len();
        self.children = children;
        let id = self.text(Member::Id).and_then(|text| text.parse().ok());
        let start = self
            .json(Member::StartTime)
            .and_then(|json| Timestamp::parse_seconds(json).ok());
        self.id = id.ok_or_else(|| E::missing_field("id"))?;
        self.start = start.ok_or_else(|| E::missing_field("start_time"))?;
        self.end = self
            .json(Member::EndTime)
            .and_then(|json| Timestamp::parse_seconds(json).ok());
        self.in_progress = self.end.is_none() || self.json(Member::InProgress) == Some("true");
        Ok(())
    }
}

/// Reads `subsegments` and returns the indexes of its elements; null elements are none.
struct ChildrenSeed<'f, 'a> {
    entries: &'f mut Vec<Entry<'a>>,
    tree_idx: usize,
    parent_idx: usize,
    level: usize,
}

impl<'a> DeserializeSeed<'a> for ChildrenSeed<'_, 'a> {
    type Value = Vec<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Vec<usize>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'a> Visitor<'a> for ChildrenSeed<'_, 'a> {
    type Value = Vec<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of subsegments")
    }

    fn visit_none<E: Error>(self) -> Result<Vec<usize>, E> {
        Ok(Vec::new())
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<usize>, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'a>>(self, deserializer: D) -> Result<Vec<usize>, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Vec<usize>, A::Error> {
        let mut children = Vec::new();
        loop {
            let child_idx = self.entries.len();
            let seed = OptionSeed(EntrySeed {
                entries: self.entries,
                tree_idx: self.tree_idx,
                parent_idx: Some(self.parent_idx),
                level: self.level,
            });
            match elements.next_element_seed(seed)? {
                Some(IsThere::Yes) => children.push(child_idx),
                Some(IsThere::No) => {}
                None => return Ok(children),
            }
        }
    }
}

/// Reads a subsegment or null.
struct OptionSeed<'f, 'a>(EntrySeed<'f, 'a>);

enum IsThere {
    Yes,
    No,
}

impl<'a> DeserializeSeed<'a> for OptionSeed<'_, 'a> {
    type Value = IsThere;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<IsThere, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'a> Visitor<'a> for OptionSeed<'_, 'a> {
    type Value = IsThere;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a subsegment")
    }

    fn visit_none<E: Error>(self) -> Result<IsThere, E> {
        Ok(IsThere::No)
    }

    fn visit_unit<E: Error>(self) -> Result<IsThere, E> {
        Ok(IsThere::No)
    }

    fn visit_some<D: Deserializer<'a>>(self, deserializer: D) -> Result<IsThere, D::Error> {
        self.0.deserialize(deserializer).map(|()| IsThere::Yes)
    }
}

/// How many members a subsegment has, most often at most.
const MEMBERS_USUAL: usize = 10;
