//! Realistic segment documents, many and cheap: a pool of templates is written once, and each document made
//! of one costs a copy and a few patched digits.
//!
//! Sizes are lognormal with a median of 1 KiB and a mean of about 1.5 kB; traces have 1 to 15 segments, a
//! feed keeps 40 of them open, and one document in ten is sent in progress first and finished later.

mod template;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::random::Random;
use template::{Slots, Template};

/// The templates all feeds share.
#[derive(Debug)]
pub struct Pool {
    roots: Vec<Template>,
    followers: Vec<Template>,
}

/// One document: which template, and what is patched into it. Small and copied freely; the text is written
/// when it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Planned {
    /// The trace it belongs to.
    pub trace: TraceKey,
    /// The segment's id.
    pub id: u64,
    /// Whether it is sent in progress; the finished copy has the same ids.
    pub in_progress: bool,
    parent_id: u64,
    template_idx: u32,
    start: u32,
}

/// A trace id as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceKey {
    epoch: u32,
    unique: u128,
}

/// An endless stream of documents of one client.
#[derive(Debug)]
pub struct Feed {
    pool: Arc<Pool>,
    random: Random,
    now: u32,
    spread_s: u32,
    open: Vec<OpenTrace>,
    begun: VecDeque<Planned>,
}

#[derive(Debug)]
struct OpenTrace {
    trace: TraceKey,
    parent_id: u64,
    start: u32,
    n_left: u32,
}

impl Pool {
    /// Writes so many templates, a quarter of them for roots of traces.
    pub fn new(n_templates: u32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let n_roots = (n_templates / 4).max(1);
        let roots = (0..n_roots).map(|_| Template::root(&mut random)).collect();
        let followers = (0..n_templates.max(2) - n_roots)
            .map(|_| Template::follower(&mut random))
            .collect();
        Self { roots, followers }
    }

    /// Returns the document as its client sends it.
    pub fn text(&self, planned: &Planned) -> String {
        let mut bytes = Vec::new();
        if let Some(template) = self.template(planned) {
            template
                .text(planned.in_progress)
                .write(&planned.slots(), &mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Appends the document as a JSON string, quotes included, and returns its length as a document.
    pub fn write_quoted(&self, planned: &Planned, body: &mut Vec<u8>) -> usize {
        let Some(template) = self.template(planned) else {
            return 0;
        };
        body.push(b'"');
        template
            .quoted(planned.in_progress)
            .write(&planned.slots(), body);
        body.push(b'"');
        template.text(planned.in_progress).len()
    }

    /// Appends the document as it is, and returns its length.
    pub fn write_plain(&self, planned: &Planned, bytes: &mut Vec<u8>) -> usize {
        let Some(template) = self.template(planned) else {
            return 0;
        };
        template
            .text(planned.in_progress)
            .write(&planned.slots(), bytes);
        template.text(planned.in_progress).len()
    }

    /// Replaces `body` by a `PutTraceSegments` request with these documents; returns the bytes of documents.
    pub fn write_request(&self, batch: &[Planned], body: &mut Vec<u8>) -> usize {
        body.clear();
        body.extend_from_slice(b"{\"TraceSegmentDocuments\":[");
        let mut n_bytes = 0;
        for (document_idx, planned) in batch.iter().enumerate() {
            if document_idx > 0 {
                body.push(b',');
            }
            n_bytes += self.write_quoted(planned, body);
        }
        body.extend_from_slice(b"]}");
        n_bytes
    }

    fn template(&self, planned: &Planned) -> Option<&Template> {
        let templates = if planned.is_root() {
            &self.roots
        } else {
            &self.followers
        };
        templates.get(usize::try_from(planned.template_idx).ok()?)
    }
}

impl Planned {
    /// Returns the trace id as clients write it.
    pub fn trace_id(&self) -> String {
        self.trace.to_string()
    }

    /// Returns the segment id as clients write it.
    pub fn segment_id(&self) -> String {
        format!("{:016x}", self.id)
    }

    fn is_root(&self) -> bool {
        self.parent_id == 0
    }

    fn slots(&self) -> Slots {
        Slots {
            trace_id: self.trace.to_string(),
            id: self.id,
            parent_id: self.parent_id,
            start: self.start,
        }
    }
}

impl std::fmt::Display for TraceKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "1-{:08x}-{:024x}", self.epoch, self.unique)
    }
}

impl Feed {
    /// Returns the feed of one client: its traces start in the `spread_s` seconds before `now`.
    pub fn new(pool: Arc<Pool>, seed: u64, now: u32, spread_s: u32) -> Self {
        let random = Random::new(seed);
        Self {
            pool,
            random,
            now,
            spread_s,
            open: Vec::new(),
            begun: VecDeque::new(),
        }
    }

    /// Returns the shared pool.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Plans the next documents, as one call sends them.
    pub fn batch(&mut self, n_documents: usize) -> Vec<Planned> {
        (0..n_documents).map(|_| self.document()).collect()
    }

    /// Plans the next document: a new one, or the finished copy of one that was sent in progress.
    pub fn document(&mut self) -> Planned {
        if self.begun.len() >= N_BEGUN_MAX
            && let Some(begun) = self.begun.pop_front()
        {
            return Planned {
                in_progress: false,
                ..begun
            };
        }
        let mut planned = self.fresh();
        planned.in_progress = self.random.percent(PERCENT_IN_PROGRESS);
        if planned.in_progress {
            self.begun.push_back(planned);
        }
        planned
    }

    fn fresh(&mut self) -> Planned {
        if self.open.len() < N_OPEN_TRACES {
            return self.root();
        }
        let trace_idx =
            usize::try_from(self.random.below(u32::try_from(N_OPEN_TRACES).unwrap_or(1)))
                .unwrap_or(0);
        let Some(open) = self.open.get_mut(trace_idx) else {
            return self.root();
        };
        let planned = Planned {
            trace: open.trace,
            id: self.random.bits() | 1,
            in_progress: false,
            parent_id: open.parent_id,
            template_idx: self
                .random
                .below(u32::try_from(self.pool.followers.len()).unwrap_or(u32::MAX)),
            start: open.start,
        };
        open.n_left -= 1;
        if open.n_left == 0 {
            self.open.swap_remove(trace_idx);
        }
        planned
    }

    fn root(&mut self) -> Planned {
        let start = self
            .now
            .saturating_sub(self.random.below(self.spread_s.max(1)));
        let unique = (u128::from(self.random.bits()) << 32) | u128::from(self.random.bits() >> 32);
        let trace = TraceKey {
            epoch: start,
            unique,
        };
        let id = self.random.bits() | 1;
        let n_segments = self.random.between(1, 15);
        if n_segments > 1 {
            // The followers are called by the root's first subsegment.
            let parent_id = id.wrapping_add(1);
            self.open.push(OpenTrace {
                trace,
                parent_id,
                start,
                n_left: n_segments - 1,
            });
        }
        let template_idx = self
            .random
            .below(u32::try_from(self.pool.roots.len()).unwrap_or(u32::MAX));
        Planned {
            trace,
            id,
            in_progress: false,
            parent_id: 0,
            template_idx,
            start,
        }
    }
}

const N_OPEN_TRACES: usize = 40;
const N_BEGUN_MAX: usize = 60;
const PERCENT_IN_PROGRESS: u32 = 10;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn feed(seed: u64) -> Feed {
        Feed::new(Arc::new(Pool::new(400, 1)), seed, 1_700_000_000, 3600)
    }

    #[test]
    fn documents_are_json_with_the_planned_ids() {
        let mut feed = feed(2);
        for _ in 0..2000 {
            let planned = feed.document();
            let document: serde_json::Value =
                serde_json::from_str(&feed.pool().text(&planned)).unwrap();
            assert_eq!(document["trace_id"], planned.trace_id());
            assert_eq!(document["id"], planned.segment_id());
            assert_eq!(document.get("in_progress").is_some(), planned.in_progress);
            assert_eq!(document.get("end_time").is_none(), planned.in_progress);
        }
    }

    #[test]
    fn a_request_holds_the_documents_as_strings() {
        let mut feed = feed(3);
        let batch = feed.batch(25);
        let mut body = Vec::new();
        let n_bytes = feed.pool().write_request(&batch, &mut body);
        let request: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let documents = request["TraceSegmentDocuments"].as_array().unwrap();
        let texts: Vec<String> = batch
            .iter()
            .map(|planned| feed.pool().text(planned))
            .collect();
        assert_eq!(
            documents
                .iter()
                .map(|document| document.as_str().unwrap())
                .collect::<Vec<_>>(),
            texts
        );
        assert_eq!(n_bytes, texts.iter().map(String::len).sum::<usize>());
    }

    #[test]
    fn sizes_and_shapes_are_as_promised() {
        let mut feed = feed(4);
        let batch = feed.batch(20_000);
        let n_bytes: usize = batch
            .iter()
            .map(|planned| feed.pool().text(planned).len())
            .sum();
        let mean = n_bytes / batch.len();
        assert!((1400..1700).contains(&mean), "mean size {mean}");
        let n_in_progress = batch.iter().filter(|planned| planned.in_progress).count();
        assert!(
            (1500..2300).contains(&n_in_progress),
            "{n_in_progress} in progress"
        );
        let n_traces = batch
            .iter()
            .map(|planned| planned.trace)
            .collect::<HashSet<_>>()
            .len();
        assert!((2000..3500).contains(&n_traces), "{n_traces} traces");
    }

    #[test]
    fn the_same_seed_gives_the_same_documents() {
        assert_eq!(feed(5).batch(500), feed(5).batch(500));
        assert_ne!(feed(5).batch(5), feed(6).batch(5));
    }
}
