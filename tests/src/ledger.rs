//! What was sent and what was acknowledged, and whether a server still has it.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::generate::{Planned, Pool, TraceKey};
use crate::server::{Server, documents_of};

/// The record of one or more clients. It lives in the memory of the test, which no crash under test reaches.
#[derive(Debug)]
pub struct Ledger {
    pool: Arc<Pool>,
    segments: HashMap<(TraceKey, u64), Copies>,
    /// Each trace and its place in the order they began: a check reads in about the order of the disk.
    traces: HashMap<TraceKey, usize>,
}

/// What became of the two copies of one segment.
#[derive(Clone, Copy, Debug, Default)]
struct Copies {
    begun: Option<Sent>,
    finished: Option<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    planned: Planned,
    acknowledged: bool,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Segments that were acknowledged and looked for.
    pub n_checked: usize,
    /// What is missing or changed; empty if all is well.
    pub losses: Vec<String>,
    /// How many of them were missing or changed when asked for again.
    pub n_still_lost: usize,
}

impl Ledger {
    /// Returns an empty ledger of documents made from this pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            segments: HashMap::new(),
            traces: HashMap::new(),
        }
    }

    /// Notes that documents are about to be sent.
    pub fn sent(&mut self, batch: &[Planned]) {
        for planned in batch {
            let n_traces = self.traces.len();
            self.traces.entry(planned.trace).or_insert(n_traces);
            self.copy(planned).get_or_insert(Sent {
                planned: *planned,
                acknowledged: false,
            });
        }
    }

    /// Notes that documents were acknowledged.
    pub fn acknowledged(&mut self, batch: &[Planned]) {
        for planned in batch {
            *self.copy(planned) = Some(Sent {
                planned: *planned,
                acknowledged: true,
            });
        }
    }

    /// Takes over what another client noted.
    pub fn merge(&mut self, other: Self) {
        self.segments.extend(other.segments);
        let n_traces = self.traces.len();
        for (trace, place) in other.traces {
            self.traces.entry(trace).or_insert(n_traces + place);
        }
    }

    /// Returns how many segments have an acknowledged copy.
    pub fn n_acknowledged(&self) -> usize {
        self.segments
            .values()
            .filter(|copies| copies.is_acknowledged())
            .count()
    }

    /// Reads every trace with an acknowledged segment and compares member by member: an acknowledged finished
    /// copy must be there; of a segment acknowledged only in progress either copy may be, if both were sent.
    ///
    /// What is missing is a loss even if it is there when asked for again, but then the findings say so.
    pub fn check(&self, server: &Server) -> Result<Findings> {
        let mut findings = self.look(server)?;
        if !findings.losses.is_empty() {
            let again = self.look(server)?;
            findings.n_still_lost = again.losses.len();
        }
        Ok(findings)
    }

    fn look(&self, server: &Server) -> Result<Findings> {
        let mut traces: HashMap<TraceKey, Vec<&Copies>> = HashMap::new();
        for ((trace, _), copies) in &self.segments {
            if copies.is_acknowledged() {
                traces.entry(*trace).or_default().push(copies);
            }
        }
        let mut trace_ids: Vec<TraceKey> = traces.keys().copied().collect();
        trace_ids.sort_by_key(|trace| self.traces.get(trace));
        let mut findings = Findings::default();
        for some in trace_ids.chunks(5) {
            let answered = read(server, some)?;
            for trace in some {
                let documents = answered.get(&trace.to_string());
                let expected = traces.get(trace).map(Vec::as_slice).unwrap_or_default();
                self.compare(expected, documents, &mut findings)?;
            }
        }
        Ok(findings)
    }

    fn compare(
        &self,
        expected: &[&Copies],
        documents: Option<&Vec<Value>>,
        findings: &mut Findings,
    ) -> Result<()> {
        for copies in expected {
            findings.n_checked += 1;
            let allowed = copies.allowed();
            let Some(first) = allowed.first() else {
                continue;
            };
            let id = first.segment_id();
            let found = documents
                .into_iter()
                .flatten()
                .find(|document| document.get("id") == Some(&Value::from(id.clone())));
            let Some(found) = found else {
                findings
                    .losses
                    .push(format!("{} {id} is missing", first.trace_id()));
                continue;
            };
            let mut differences = Vec::new();
            for planned in &allowed {
                let sent: Value = serde_json::from_str(&self.pool.text(planned))
                    .context("a generated document")?;
                differences.push(difference(&sent, found));
            }
            if differences.iter().all(Option::is_some) {
                findings.losses.push(format!(
                    "{} {id}: {}",
                    first.trace_id(),
                    differences.into_iter().flatten().collect::<String>()
                ));
            }
        }
        Ok(())
    }

    fn copy(&mut self, planned: &Planned) -> &mut Option<Sent> {
        let copies = self
            .segments
            .entry((planned.trace, planned.id))
            .or_default();
        if planned.in_progress {
            &mut copies.begun
        } else {
            &mut copies.finished
        }
    }
}

impl Findings {
    /// Fails with the first losses if there are any.
    pub fn require_none(&self) -> Result<()> {
        let some: Vec<&String> = self.losses.iter().take(5).collect();
        anyhow::ensure!(
            self.losses.is_empty(),
            "{} of {} acknowledged segments lost or changed, {} of them still when asked again: {some:#?}",
            self.losses.len(),
            self.n_checked,
            self.n_still_lost
        );
        Ok(())
    }
}

impl Copies {
    fn is_acknowledged(&self) -> bool {
        [self.begun, self.finished]
            .into_iter()
            .flatten()
            .any(|sent| sent.acknowledged)
    }

    /// Returns the copies a reader may see: a finished copy that was sent may have won, one that was
    /// acknowledged must have.
    fn allowed(&self) -> Vec<Planned> {
        let must = self.finished.filter(|finished| finished.acknowledged);
        let copies = if must.is_some() {
            [must, None]
        } else {
            [self.begun, self.finished]
        };
        copies
            .into_iter()
            .flatten()
            .map(|sent| sent.planned)
            .collect()
    }
}

/// Returns the first member of a sent document that the stored one does not have as it was sent.
///
/// What the server adds is not compared; `false` and null members may be left out, as AWS does.
pub fn difference(sent: &Value, stored: &Value) -> Option<String> {
    match (sent, stored) {
        (Value::Object(sent), Value::Object(stored)) => {
            sent.iter()
                .find_map(|(name, value)| match stored.get(name) {
                    Some(other) => difference(value, other).map(|inner| format!(".{name}{inner}")),
                    None if matches!(value, Value::Null | Value::Bool(false)) => None,
                    None => Some(format!(".{name} is missing")),
                })
        }
        (Value::Array(sent), Value::Array(stored)) if sent.len() == stored.len() => {
            let mut pairs = sent.iter().zip(stored);
            pairs.find_map(|(sent, stored)| {
                difference(sent, stored).map(|inner| format!("[]{inner}"))
            })
        }
        _ if sent == stored => None,
        _ => Some(format!(" is {stored} instead of {sent}")),
    }
}

fn read(server: &Server, traces: &[TraceKey]) -> Result<HashMap<String, Vec<Value>>> {
    let trace_ids: Vec<String> = traces.iter().map(ToString::to_string).collect();
    let mut documents = HashMap::new();
    for trace in server.traces(&trace_ids)? {
        let id = trace
            .get("Id")
            .and_then(Value::as_str)
            .context("a trace without Id")?;
        documents.insert(id.to_owned(), documents_of(&trace)?);
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(sent: &Value, stored: &Value, expected: Option<&str>) {
        assert_eq!(
            difference(sent, stored).as_deref(),
            expected,
            "{sent} {stored}"
        );
    }

    #[test]
    fn differences_name_the_member() {
        check(&json!({"a": 1}), &json!({"a": 1, "inferred": true}), None);
        check(&json!({"a": null, "b": false}), &json!({}), None);
        check(&json!({"a": 1}), &json!({}), Some(".a is missing"));
        check(
            &json!({"a": {"b": [1, 2]}}),
            &json!({"a": {"b": [1, 3]}}),
            Some(".a.b[] is 3 instead of 2"),
        );
        check(
            &json!({"a": [1]}),
            &json!({"a": [1, 2]}),
            Some(".a is [1,2] instead of [1]"),
        );
    }
}
