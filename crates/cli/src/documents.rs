//! Segment documents as people have them in files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::exit::Stop;

/// Documents as they are read, each byte for byte as written; a thread reads, and never far ahead.
#[derive(Debug)]
pub(crate) struct Documents {
    waiting: mpsc::Receiver<Result<String, String>>,
    /// What did not fit into the batch before.
    held: Option<Result<String, String>>,
}

impl Documents {
    /// Starts to read a file, "-" for standard input.
    pub(crate) fn read(file: &Path) -> Result<Self, Stop> {
        let mut input = open(file)?;
        let (sender, waiting) = mpsc::channel(DOCUMENTS_AHEAD);
        // Nobody waits for this thread: it ends when nothing is left or nobody listens, or with the process.
        std::thread::spawn(move || {
            let read = each(&mut input, |document| {
                sender.blocking_send(Ok(document)).is_ok()
            });
            if let Err(message) = read {
                // Who does not listen any more does not care.
                let _unheard = sender.blocking_send(Err(message));
            }
        });
        Ok(Self {
            waiting,
            held: None,
        })
    }

    /// Returns the next documents, at most so many and, beyond one, so many bytes, as soon as no further ones come at
    /// once; none behind the last.
    ///
    /// # Errors
    /// What cannot be read, in the place of the documents behind it.
    pub(crate) async fn batch(
        &mut self,
        n_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<String>, String> {
        let mut batch: Vec<String> = Vec::new();
        let mut n_bytes = 0;
        while batch.len() < n_max.max(1) {
            let next = match self.held.take() {
                Some(held) => Some(held),
                None if batch.is_empty() => self.waiting.recv().await,
                None => timeout(LINGER, self.waiting.recv()).await.ok().flatten(),
            };
            match next {
                Some(Ok(document)) if batch.is_empty() || n_bytes + document.len() <= bytes_max => {
                    n_bytes += document.len();
                    batch.push(document);
                }
                Some(Err(message)) if batch.is_empty() => return Err(message),
                Some(held) => {
                    self.held = Some(held);
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }
}

/// Returns how many documents a file holds, nothing if it can be read only once. Reads all of it, so that what is no
/// document is told before anything is sent.
pub(crate) async fn count(file: &Path) -> Result<Option<u64>, Stop> {
    if file.as_os_str() == "-" || !file.is_file() {
        return Ok(None);
    }
    let mut input = open(file)?;
    let (sender, counted) = oneshot::channel();
    std::thread::spawn(move || {
        let mut n_documents = 0;
        let read = each(&mut input, |_document| {
            n_documents += 1;
            true
        });
        // Who does not listen any more does not care.
        let _unheard = sender.send(read.map(|()| n_documents));
    });
    let counted = counted
        .await
        .map_err(|_| Stop::failed("reading ended early"))?;
    let name = file.display();
    let n_documents = counted.map_err(|message| Stop::usage(format!("{name}: {message}")))?;
    Ok(Some(n_documents))
}

fn open(file: &Path) -> Result<Box<dyn Read + Send>, Stop> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    match File::open(file) {
        Ok(opened) => Ok(Box::new(opened)),
        Err(error) => Err(Stop::usage(format!(
            "cannot read {}: {error}",
            file.display()
        ))),
    }
}

/// Hands on the documents of an input until `take` has enough: JSON values one after the other, each a document, a list
/// of documents or a `PutTraceSegments` body. Only one value is in memory at a time.
fn each(input: impl Read, mut take: impl FnMut(String) -> bool) -> Result<(), String> {
    let input = serde_json::Deserializer::from_reader(BufReader::new(input));
    for value in input.into_iter::<Box<RawValue>>() {
        let value = value.map_err(|error| match error.io_error_kind() {
            Some(_) => format!("cannot be read: {error}"),
            None => format!("not JSON: {error}"),
        })?;
        for document in of_value(&value)? {
            if !take(document) {
                return Ok(());
            }
        }
    }
    Ok(())
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

/// Documents that are read before they are asked for.
const DOCUMENTS_AHEAD: usize = 100;
/// How long a batch that is not full waits for more.
const LINGER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<String>, String> {
        let mut documents = Vec::new();
        each(text.as_bytes(), |document| {
            documents.push(document);
            true
        })?;
        Ok(documents)
    }

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

    #[test]
    fn bytes_that_are_no_text_are_told() {
        let told = each(&b"{\"id\": \"\xff\"}"[..], |_document| true).unwrap_err();
        assert!(told.starts_with("not JSON: invalid unicode"), "{told}");
    }

    /// Reads batches of documents of these lengths, of at most three documents and ten bytes.
    async fn check_batches(lengths: &[usize], expected: &[usize]) {
        let (sender, waiting) = mpsc::channel(lengths.len().max(1));
        for length in lengths {
            sender.send(Ok("x".repeat(*length))).await.unwrap();
        }
        drop(sender);
        let mut documents = Documents {
            waiting,
            held: None,
        };
        let mut counts = Vec::new();
        loop {
            let batch = documents.batch(3, 10).await.unwrap();
            if batch.is_empty() {
                break;
            }
            counts.push(batch.len());
        }
        assert_eq!(counts, expected, "{lengths:?}");
    }

    #[tokio::test]
    async fn batches_are_bounded_in_number_and_in_bytes() {
        check_batches(&[], &[]).await;
        check_batches(&[1, 1, 1, 1], &[3, 1]).await;
        check_batches(&[5, 5, 1], &[2, 1]).await;
        check_batches(&[20, 1, 20], &[1, 1, 1]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_does_not_wait_for_documents_that_do_not_come() {
        let (sender, waiting) = mpsc::channel(9);
        let mut documents = Documents {
            waiting,
            held: None,
        };
        sender.send(Ok("a".to_owned())).await.unwrap();
        assert_eq!(documents.batch(3, 10).await.unwrap(), ["a"]);
        // What was good before it is not lost.
        sender.send(Ok("b".to_owned())).await.unwrap();
        sender.send(Err("not JSON".to_owned())).await.unwrap();
        assert_eq!(documents.batch(3, 10).await.unwrap(), ["b"]);
        assert_eq!(documents.batch(3, 10).await.unwrap_err(), "not JSON");
    }
}
