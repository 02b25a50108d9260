//! Answers of the real service, as printed in the developer guide. They are read from the project's
//! shared data where that is at hand; the cases beside this file cover the same behaviour.

use std::path::PathBuf;

use serde_json::Value;

use super::{document, rendered};
use crate::{Document, Orphans, Trace, TraceId};

/// Returns a recorded answer, none if the data is not at hand.
fn recorded(name: &str) -> Option<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/api-response/BatchGetTraces")
        .join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// Returns a document without what the service makes up at random.
fn without_id(document: &Value) -> Value {
    let mut document = document.clone();
    if document.get("inferred").is_some() {
        document.as_object_mut().unwrap().remove("id");
    }
    document
}

fn sorted(mut documents: Vec<Value>) -> Vec<String> {
    documents.sort_by_key(Value::to_string);
    documents
        .iter()
        .map(|document| without_id(document).to_string())
        .collect()
}

#[test]
fn the_developer_guides_trace_is_compiled_as_recorded() {
    let Some(answer) = recorded("devguide-xray-api-gettingdata-03.json") else {
        return;
    };
    let trace = &answer["Traces"][0];
    let texts: Vec<&str> = trace["Segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| segment["Document"].as_str().unwrap())
        .collect();
    let sent: Vec<Document> = texts
        .iter()
        .filter(|text| !text.contains("\"inferred\":true"))
        .map(|text| document(text))
        .collect();
    assert_eq!((sent.len(), texts.len()), (3, 5));
    let id = TraceId::parse(trace["Id"].as_str().unwrap()).unwrap();
    let compiled = Trace::compile(id, &sent, Orphans::Hidden);
    let mut found = rendered(&compiled);
    let mut expected: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    // Members come in the recorded order and values character by character; ids of inferred
    // segments differ.
    for text in found.iter_mut().chain(&mut expected) {
        if text.contains("\"inferred\":true") {
            text.replace_range(..r#"{"id":"1fb07842d944e714""#.len(), "{");
        }
    }
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(
        compiled.duration.unwrap().as_secs_f64().to_string(),
        trace["Duration"].to_string()
    );
}

#[test]
fn the_recorded_trace_with_sql_is_compiled_as_recorded() {
    let Some(answer) = recorded("grafana-awsResponseWithSql.json") else {
        return;
    };
    // Its ids were made anonymous and are none; they are replaced consistently.
    let text = answer.to_string();
    let text = (1..=7)
        .zip("abcdefg".chars())
        .fold(text, |text, (n, letter)| {
            let anonymous = format!(
                "fakeid{}{}",
                n.to_string().repeat(8),
                letter.to_string().repeat(8)
            );
            text.replace(&anonymous, &format!("{n:016x}"))
        });
    let text = text.replace(
        "1-12345678-1234567890abcdefghijklmn",
        "1-12345678-1234567890abcdef01234567",
    );
    let answer: Value = serde_json::from_str(&text).unwrap();
    let all: Vec<Value> = answer["Segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| segment["Document"].clone())
        .collect();
    let sent: Vec<Document> = all
        .iter()
        .filter(|document| document.get("inferred").is_none())
        .map(|value| document(&value.to_string()))
        .collect();
    let id = TraceId::parse(answer["Id"].as_str().unwrap()).unwrap();
    let compiled = Trace::compile(id, &sent, Orphans::Visible);
    let found: Vec<Value> = rendered(&compiled)
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let sort = |documents: Vec<Value>| {
        let mut texts = sorted(documents);
        texts.sort_unstable();
        texts
    };
    assert_eq!(sort(found), sort(all));
}
