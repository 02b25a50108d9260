//! Bodies of requests: each is read or refused in the words of the service, whatever it holds.

use protocol::model::{MemberShape, Structure, model, validate_request};
use protocol::shapes::*;
use protocol::{ApiError, Operation, Pattern, Shape, decode};
use roentgen_tests::random::Random;
use serde_json::{Map, Value, json};

use crate::bytes::Vocabulary;
use crate::documents;
use crate::engine::{Form, Target, class, fuzz, size};
use crate::json::Json;
use crate::seeds;

#[test]
fn requests() {
    let mut names: Vec<&'static str> = Vec::new();
    let mut inputs = Vec::new();
    for operation in Operation::ALL {
        let structure = &model().operation(operation).input;
        let whole = whole(structure, &mut names);
        inputs.push(format!("{} {whole}", operation.path()).into_bytes());
    }
    for request in seeds::recorded("http-requests") {
        if let (Some(path), Some(body)) = (request["path"].as_str(), request["body"].as_str()) {
            inputs.push(format!("{path} {body}").into_bytes());
        }
    }
    names.sort_unstable();
    names.dedup();
    let form = Body(Json {
        names: &names,
        values: VALUES,
    });
    fuzz(&Target {
        name: "requests",
        seeds: inputs,
        vocabulary: documents::VOCABULARY,
        form: &form,
        bytes_max: 64_000,
        attempt: &attempt,
    });
}
