//! Bodies of requests: each is read or refused in the words of the service, whatever it holds.

use protocol::model::{MemberShape, Mismatch, Structure, model, validate_request};
use protocol::shapes::*;
use protocol::{ApiError, Operation, Pattern, Shape, decode};
use roentgen_tests::random::Random;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

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

/// Tries an input: the path of an operation, a space, the body.
fn attempt(input: &[u8]) -> u64 {
    let (path, body) = split(input).unwrap_or((b"", input));
    let path = String::from_utf8_lossy(path);
    let operation = Operation::ALL
        .into_iter()
        .find(|operation| operation.path() == path)
        .unwrap_or(Operation::BatchGetTraces);
    match read(operation, body) {
        Ok(n_chars) => {
            check_by_model(operation, body);
            class((operation, size(n_chars)))
        }
        Err(error) => {
            assert_eq!(error.status(), 400, "{error}");
            assert_eq!(error.code(), "InvalidRequestException");
            let n_chars = error.message().chars().count();
            assert!((1..MESSAGE_CHARS_MAX).contains(&n_chars), "{error}");
            // Values in messages are in quotes.
            let words = error.message().split('\'').step_by(2).collect::<String>();
            class((operation, words.split(" at line").next()))
        }
    }
}

fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = input.iter().position(|byte| *byte == b' ')?;
    Some((&input[..space], &input[space + 1..]))
}

/// Checks that a body that was read is one the model allows, but for what is read more kindly on purpose.
fn check_by_model(operation: Operation, body: &[u8]) {
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    };
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    assert!(is_json, "what is no JSON was read");
    // What is passed over may be deeper and greater than values are.
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    for mismatch in validate_request(operation, &value) {
        assert!(is_meant(operation, &mismatch), "{operation:?} {mismatch}");
    }
}

/// Tells whether a body is read although the model would not have it.
fn is_meant(operation: Operation, mismatch: &Mismatch) -> bool {
    // Members that are not known are passed over.
    let is_unknown = mismatch.problem == "the model knows no such member";
    // Some samplers write `SampleCount` for `SampledCount`.
    let is_alias =
        operation == Operation::GetSamplingTargets && mismatch.path.ends_with(".SampledCount");
    // What daemons count is shown to operators and nobody else.
    let is_count = operation == Operation::PutTelemetryRecords
        && mismatch
            .problem
            .ends_with("is not a whole number of 32 bits");
    // Members that are not known do not make a second one.
    let is_union = mismatch
        .problem
        .starts_with("exactly one member must be set, not");
    is_unknown || is_alias || is_count || is_union
}

/// Reads a body as a request; returns how long the request is when it is shown.
fn read(operation: Operation, body: &[u8]) -> Result<usize, ApiError> {
    fn of<'a, T: Shape<'a> + std::fmt::Debug>(body: &'a [u8]) -> Result<usize, ApiError> {
        decode::<T>(body).map(|request| format!("{request:?}").len())
    }
    match operation {
        Operation::BatchGetTraces => of::<BatchGetTracesRequest>(body),
        Operation::CancelTraceRetrieval => of::<CancelTraceRetrievalRequest>(body),
        Operation::CreateGroup => of::<CreateGroupRequest>(body),
        Operation::CreateSamplingRule => of::<CreateSamplingRuleRequest>(body),
        Operation::DeleteGroup => of::<DeleteGroupRequest>(body),
        Operation::DeleteResourcePolicy => of::<DeleteResourcePolicyRequest>(body),
        Operation::DeleteSamplingRule => of::<DeleteSamplingRuleRequest>(body),
        Operation::GetEncryptionConfig => of::<GetEncryptionConfigRequest>(body),
        Operation::GetGroup => of::<GetGroupRequest>(body),
        Operation::GetGroups => of::<GetGroupsRequest>(body),
        Operation::GetIndexingRules => of::<GetIndexingRulesRequest>(body),
        Operation::GetInsight => of::<GetInsightRequest>(body),
        Operation::GetInsightEvents => of::<GetInsightEventsRequest>(body),
        Operation::GetInsightImpactGraph => of::<GetInsightImpactGraphRequest>(body),
        Operation::GetInsightSummaries => of::<GetInsightSummariesRequest>(body),
        Operation::GetRetrievedTracesGraph => of::<GetRetrievedTracesGraphRequest>(body),
        Operation::GetSamplingRules => of::<GetSamplingRulesRequest>(body),
        Operation::GetSamplingStatisticSummaries => {
            of::<GetSamplingStatisticSummariesRequest>(body)
        }
        Operation::GetSamplingTargets => of::<GetSamplingTargetsRequest>(body),
        Operation::GetServiceGraph => of::<GetServiceGraphRequest>(body),
        Operation::GetTimeSeriesServiceStatistics => {
            of::<GetTimeSeriesServiceStatisticsRequest>(body)
        }
        Operation::GetTraceGraph => of::<GetTraceGraphRequest>(body),
        Operation::GetTraceSegmentDestination => of::<GetTraceSegmentDestinationRequest>(body),
        Operation::GetTraceSummaries => of::<GetTraceSummariesRequest>(body),
        Operation::ListResourcePolicies => of::<ListResourcePoliciesRequest>(body),
        Operation::ListRetrievedTraces => of::<ListRetrievedTracesRequest>(body),
        Operation::ListTagsForResource => of::<ListTagsForResourceRequest>(body),
        Operation::PutEncryptionConfig => of::<PutEncryptionConfigRequest>(body),
        Operation::PutResourcePolicy => of::<PutResourcePolicyRequest>(body),
        Operation::PutTelemetryRecords => of::<PutTelemetryRecordsRequest>(body),
        Operation::PutTraceSegments => of::<PutTraceSegmentsRequest<'_>>(body),
        Operation::StartTraceRetrieval => of::<StartTraceRetrievalRequest>(body),
        Operation::TagResource => of::<TagResourceRequest>(body),
        Operation::UntagResource => of::<UntagResourceRequest>(body),
        Operation::UpdateGroup => of::<UpdateGroupRequest>(body),
        Operation::UpdateIndexingRule => of::<UpdateIndexingRuleRequest>(body),
        Operation::UpdateSamplingRule => of::<UpdateSamplingRuleRequest>(body),
        Operation::UpdateTraceSegmentDestination => {
            of::<UpdateTraceSegmentDestinationRequest>(body)
        }
    }
}

/// Returns an object with every member of a structure; adds the names of all members.
fn whole(structure: &Structure, names: &mut Vec<&'static str>) -> Value {
    let mut members = Map::new();
    for member in &structure.members {
        names.push(member.name);
        members.insert(member.name.to_owned(), example(&member.shape, names));
    }
    Value::Object(members)
}

fn example(shape: &MemberShape, names: &mut Vec<&'static str>) -> Value {
    match shape {
        MemberShape::Text { length, pattern } => match pattern {
            Some(Pattern::InsightId) => json!("6b2fe0a4-1d3c-4a6e-9f00-0123456789ab"),
            Some(Pattern::PolicyName) | None => {
                json!("a".repeat(usize::try_from(length.min.unwrap_or(1)).unwrap()))
            }
        },
        MemberShape::Choice(choices) => {
            names.extend(choices);
            json!(choices[0])
        }
        MemberShape::Integer(bounds) => json!(bounds.min.unwrap_or(1).max(1)),
        MemberShape::Long => json!(1),
        MemberShape::Double(_) => json!(0.5),
        MemberShape::Boolean => json!(true),
        MemberShape::Timestamp => json!(1_478_293_361.271),
        MemberShape::List { item, .. } => json!([example(item, names)]),
        MemberShape::Map { value, .. } => json!({ "key": example(value, names) }),
        MemberShape::Structure(name) => whole(model().structure(name).unwrap(), names),
    }
}

/// The path of an operation and a body of JSON.
struct Body<'n>(Json<'n>);

impl Form for Body<'_> {
    fn change(&self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let ((path, body), (other_path, other)) = (split(input)?, split(other)?);
        let path = if random.percent(10) { other_path } else { path };
        let body = self.0.change(body, other, random)?;
        Some([path, b" ", &body].concat())
    }

    fn grow(&self, input: &[u8], n_bytes: usize, random: &mut Random) -> Option<Vec<u8>> {
        let (path, body) = split(input)?;
        let body = self.0.grow(body, n_bytes, random)?;
        Some([path, b" ", &body].concat())
    }
}

const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "1",
    "-1",
    "0.5",
    "1478293361",
    "1478293361.271",
    "\"\"",
    "\"a\"",
    "[]",
    "{}",
    "[null]",
    "[{}]",
    "[\"a\",\"a\"]",
    "\"1-581cf771-a006649127e371903a2de979\"",
    "\"2016-11-04T21:02:41Z\"",
    "\"Default\"",
    "{\"key\":\"value\"}",
    "[{\"Key\":\"k\",\"Value\":\"v\"}]",
    "\"arn:aws:xray:us-east-1:000000000000:group/a/1\"",
];
const MESSAGE_CHARS_MAX: usize = 2500;
