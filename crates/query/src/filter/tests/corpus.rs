//! Runs the corpus of expressions (`tests/corpus/filter.toml` and `filter_refused.toml`, which explain their format).

use std::path::Path;

use model::{Document, Summary, ZoneFacts};
use serde::Deserialize;
use storage::TraceFilter;

use super::super::{Filter, FilterError, GroupRef, Selector};
use super::{keeps, trace};

pub(super) struct Corpus {
    pub(super) accepted: Vec<Accepted>,
    group: Vec<Group>,
    trace: Vec<Sample>,
    pub(super) rejected: Vec<Rejected>,
    selector: Vec<AcceptedSelector>,
    rejected_selector: Vec<Rejected>,
}

/// `filter.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Understood {
    accepted: Vec<Accepted>,
    group: Vec<Group>,
    trace: Vec<Sample>,
}

/// `filter_refused.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    rejected: Vec<Rejected>,
    selector: Vec<AcceptedSelector>,
    rejected_selector: Vec<Rejected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    documents: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    arn: String,
    filter: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accepted {
    pub(super) expr: String,
    meaning: Option<String>,
    traces: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejected {
    pub(super) expr: String,
    line: usize,
    position: usize,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptedSelector {
    expr: String,
    meaning: Option<String>,
    names_id: bool,
}

impl Corpus {
    pub(super) fn read() -> Self {
        let Understood {
            accepted,
            group,
            trace,
        } = read("filter.toml");
        let Refused {
            rejected,
            selector,
            rejected_selector,
        } = read("filter_refused.toml");
        Self {
            accepted,
            group,
            trace,
            rejected,
            selector,
            rejected_selector,
        }
    }

    pub(super) fn parse(&self, text: &str) -> Result<Filter, FilterError> {
        Filter::parse(text, &|reference| {
            let is_meant = |group: &&Group| match reference {
                GroupRef::Name(name) => group.name == name,
                GroupRef::Arn(arn) => group.arn == arn,
            };
            let group = self.group.iter().find(is_meant);
            group.map(|group| group.filter.clone())
        })
    }

    pub(super) fn samples(&self) -> Vec<(String, Summary, Vec<Document>)> {
        let sample = |sample: &Sample| {
            let (summary, documents) = trace(&sample.documents);
            (sample.name.clone(), summary, documents)
        };
        self.trace.iter().map(sample).collect()
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    toml::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap()
}

/// Fails with all that is wrong, one thing a line.
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn accepted_expressions_mean_what_the_corpus_says() {
    let corpus = Corpus::read();
    let mut findings = Vec::new();
    for Accepted { expr, meaning, .. } in &corpus.accepted {
        let meaning = meaning.as_ref().unwrap_or(expr);
        match corpus.parse(expr) {
            Ok(filter) if filter.to_string() == *meaning => {}
            Ok(filter) => findings.push(format!("{expr}\n    means {filter}\n    not   {meaning}")),
            Err(error) => findings.push(format!("{expr}\n    {error}")),
        }
    }
    assert_none(&findings);
    assert!(corpus.accepted.len() >= 150);
}

#[test]
fn accepted_expressions_select_the_traces_the_corpus_says() {
    let corpus = Corpus::read();
    let samples = corpus.samples();
    let mut findings = Vec::new();
    for Accepted { expr, traces, .. } in &corpus.accepted {
        let (Some(traces), Ok(filter)) = (traces, corpus.parse(expr)) else {
            continue;
        };
        let mut kept = Vec::new();
        for (name, summary, documents) in &samples {
            if !keeps(&filter, summary, documents) {
                continue;
            }
            kept.push(name.clone());
            if !filter.may_match(&ZoneFacts::of([summary])) {
                findings.push(format!("{expr}\n    is denied by the zone of {name}"));
            }
        }
        if kept != *traces {
            findings.push(format!(
                "{expr}\n    selects {kept:?}\n    not     {traces:?}"
            ));
        }
    }
    assert_none(&findings);
}

fn check_refusal(rejected: &Rejected, error: Option<FilterError>, findings: &mut Vec<String>) {
    let Rejected { expr, .. } = rejected;
    let Some(error) = error else {
        findings.push(format!("{expr}\n    is accepted"));
        return;
    };
    let is_there = (error.line, error.column) == (rejected.line, rejected.position);
    if !is_there || !error.message.contains(&rejected.message) {
        let (line, position) = (rejected.line, rejected.position);
        findings.push(format!(
            "{expr}\n    {error}\n    not {line}, {position}: {}",
            rejected.message
        ));
    }
}

#[test]
fn rejected_expressions_are_refused_where_the_corpus_says() {
    let corpus = Corpus::read();
    let mut findings = Vec::new();
    for rejected in &corpus.rejected {
        let error = corpus.parse(&rejected.expr).err();
        check_refusal(rejected, error, &mut findings);
    }
    assert_none(&findings);
    assert!(corpus.rejected.len() >= 80);
}

#[test]
fn selectors_are_what_the_corpus_says() {
    let corpus = Corpus::read();
    let mut findings = Vec::new();
    for case in &corpus.selector {
        let meaning = case.meaning.as_ref().unwrap_or(&case.expr);
        match Selector::parse(&case.expr) {
            Ok(selector)
                if selector.to_string() == *meaning && selector.names_id() == case.names_id => {}
            other => findings.push(format!("{}\n    {other:?}", case.expr)),
        }
    }
    for rejected in &corpus.rejected_selector {
        let error = Selector::parse(&rejected.expr).err();
        check_refusal(rejected, error, &mut findings);
    }
    assert_none(&findings);
}
