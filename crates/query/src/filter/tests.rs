//! The corpus, what holds for all expressions, and what no text may do.

mod corpus;
mod costs;
mod documents;
mod fuzz;
mod properties;
mod random;

use model::{Document, DocumentLimits, Segment, Summary};
use storage::{Judgement, TraceFilter};

use super::{Filter, GroupRef};

/// Returns the filter of an expression without groups.
fn filter(text: &str) -> Filter {
    match Filter::parse(text, &no_groups) {
        Ok(filter) => filter,
        Err(error) => panic!("{text:?}: {error}"),
    }
}

fn no_groups(_: GroupRef<'_>) -> Option<String> {
    None
}

/// Returns the documents of some texts and their summary.
fn trace(texts: &[String]) -> (Summary, Vec<Document>) {
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let mut documents = Vec::new();
    let mut heads = Vec::new();
    let mut trace_id = None;
    for (stamp, text) in (1..).zip(texts) {
        let segment = Segment::parse(text, &limits).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        trace_id = Some(segment.trace_id());
        documents.push(Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp,
            first_stamp: stamp,
            text: text.clone(),
        });
        heads.push(segment.head());
    }
    (Summary::of(trace_id.unwrap(), &heads, 1), documents)
}

/// Tells whether a filter keeps a trace, as a scan would find out.
fn keeps(filter: &Filter, summary: &Summary, documents: &[Document]) -> bool {
    match filter.judge(summary) {
        Judgement::Keep => true,
        Judgement::Skip => false,
        Judgement::ReadDocuments => filter.judge_documents(summary, documents),
    }
}
