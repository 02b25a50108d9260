//! Segment documents as people have them in files.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exit::{Exit, Stop};

/// Returns the documents of a file ("-" for standard input), each byte for byte as written there.
pub(crate) fn read(file: &Path) -> Result<Vec<String>, Stop> {
    let name = file.display();
    let mut bytes = Vec::new();
    let outcome = if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    outcome.map_err(|error| Stop::new(Exit::Usage, format!("cannot read {name}: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Stop::new(Exit::Usage, format!("{name} is not UTF-8 text")))?;
    let documents =
        split(&text).map_err(|message| Stop::new(Exit::Usage, format!("{name}: {message}")))?;
    if documents.is_empty() {
        return Err(Stop::new(Exit::Usage, format!("{name} holds no documents")));
    }
    Ok(documents)
}

/// Returns the documents of a text: JSON values one after the other, each a document, a list of
/// documents or a `PutTraceSegments` body.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut documents = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|error| format!("not JSON: {error}"))?;
        documents.extend(of_value(value)?);
    }
    Ok(documents)
}

/// Returns the documents of a JSON value: a document, a list of documents or a `PutTraceSegments` body.
pub(crate) fn of_value(value: &RawValue) -> Result<Vec<String>, String> {
    let value = value.get();
    match value.as_bytes().first() {
        Some(b'{') => Ok(body(value)?.unwrap_or_else(|| vec![value.to_owned()])),
        Some(b'[') => list(value),
        _ => Err(format!("expected documents, found {}", start(value))),
    }
}

/// Returns the documents of a `PutTraceSegments` body, nothing if it is none.
fn body(object: &str) -> Result<Option<Vec<String>>, String> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(rename = "TraceSegmentDocuments", borrow)]
        documents: Option<&'a RawValue>,
    }
    let body: Body<'_> = serde_json::from_str(object).map_err(|error| error.to_string())?;
    body.documents
        .map(|documents| list(documents.get()))
        .transpose()
}

/// Returns the documents of a list of objects or of texts.
fn list(array: &str) -> Result<Vec<String>, String> {
    let values: Vec<&RawValue> = serde_json::from_str(array)
        .map_err(|_| format!("expected a list of documents, found {}", start(array)))?;
    let mut documents = Vec::with_capacity(values.len());
    for value in values {
        match value.get().as_bytes().first() {
            Some(b'{') => documents.push(value.get().to_owned()),
            Some(b'"') => {
                documents
                    .push(serde_json::from_str(value.get()).map_err(|error| error.to_string())?);
            }
            _ => {
                return Err(format!(
                    "expected a document in the list, found {}",
                    start(value.get())
                ));
            }
        }
    }
    Ok(documents)
}

fn start(value: &str) -> String {
    value.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(split(text).unwrap(), expected, "{text}");
    }

    #[test]
    fn every_way_to_write_documents_is_understood() {
        check("", &[]);
        check(r#"{"id": "a"}"#, &[r#"{"id": "a"}"#]);
        check("{\n \"id\": 1.50 }\n", &["{\n \"id\": 1.50 }"]);
        check(
            r#"[{"id": "a"}, {"id": "b"}]"#,
            &[r#"{"id": "a"}"#, r#"{"id": "b"}"#],
        );
        check(
            "{\"id\": 1}\n{\"id\": 2}\n\n{\"id\": 3}",
            &[r#"{"id": 1}"#, r#"{"id": 2}"#, r#"{"id": 3}"#],
        );
        check(
            r#"{"TraceSegmentDocuments": ["{\"id\": 1}", "x"]}"#,
            &[r#"{"id": 1}"#, "x"],
        );
        check(r#"{"TraceSegmentDocuments": []}"#, &[]);
        check(r#"["{\"id\": 1}"]"#, &[r#"{"id": 1}"#]);
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_place() {
        assert_eq!(
            split("{\"id\": 1}\n{\"id\"").unwrap_err(),
            "not JSON: EOF while parsing an object at line 2 column 5"
        );
        assert_eq!(
            split("hello").unwrap_err(),
            "not JSON: expected value at line 1 column 1"
        );
        assert_eq!(split("5").unwrap_err(), "expected documents, found 5");
        assert_eq!(
            split("[5]").unwrap_err(),
            "expected a document in the list, found 5"
        );
        assert_eq!(
            split(r#"{"TraceSegmentDocuments": {}}"#).unwrap_err(),
            "expected a list of documents, found {}"
        );
    }
}
