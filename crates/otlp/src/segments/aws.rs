//! The member `aws` (source: `aws.go` of the collector's X-Ray exporter). The resource says where a span ran, the span
//! what it called.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde::Serialize;

use super::attributes::{Attributes, text_of, texts_of};
use super::name::is_aws_sdk;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Aws<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) elastic_beanstalk: Option<Beanstalk<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cloudwatch_logs: Vec<LogGroup<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ecs: Option<Ecs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ec2: Option<Ec2<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eks: Option<Eks<'a>>,
    pub(super) xray: XRay<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_id: Option<&'a str>,
    #[serde(flatten)]
    pub(super) call: Call<'a>,
}

/// What a span called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) table_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) table_names: Vec<&'a str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct XRay<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sdk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sdk_version: Option<&'a str>,
    pub(super) auto_instrumentation: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Beanstalk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) environment_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version_label: Option<&'a str>,
    pub(super) deployment_id: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LogGroup<'a> {
    pub(super) log_group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arn: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Ecs<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_family: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) availability_zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) launch_type: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Ec2<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) availability_zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance_size: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ami_id: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Eks<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_id: Option<&'a str>,
}

impl<'a> Aws<'a> {
    /// Returns the block of a span of this resource.
    pub(super) fn with_call(&self, attributes: &Attributes<'a>) -> Self {
        Self {
            account_id: attributes.text("aws.account_id").or(self.account_id),
            call: call(attributes),
            ..self.clone()
        }
    }
}

fn call<'a>(attributes: &Attributes<'a>) -> Call<'a> {
    let (table_name, table_names) = tables(attributes);
    // Of any other span it says where the span ran.
    let called_region = || {
        let region = attributes.text("cloud.region");
        region.filter(|_| is_aws_sdk(attributes))
    };
    Call {
        operation: attributes.first_text(&["aws.operation", "rpc.method"]),
        region: attributes.text("aws.region").or_else(called_region),
        request_id: attributes.first_text(&["aws.request_id", "aws.requestId"]),
        queue_url: attributes.first_text(&[
            "messaging.url",
            "aws.sqs.queue.url",
            "aws.queue_url",
            "aws.queue.url",
        ]),
        table_name,
        table_names,
    }
}

/// Returns the table, or the tables if there are several.
fn tables<'a>(attributes: &Attributes<'a>) -> (Option<&'a str>, Vec<&'a str>) {
    let alone = || attributes.first_text(&["aws.table_name", "aws.table.name"]);
    match attributes.value("aws.dynamodb.table_names") {
        Some(Value::ArrayValue(array)) => {
            let names: Vec<&str> = texts_of(&array.values).collect();
            match names[..] {
                [] => (alone(), names),
                [name] => (Some(name), Vec::new()),
                [_, _, ..] => (None, names),
            }
        }
        Some(value) => (text_of(value).or_else(alone), Vec::new()),
        None => (alone(), Vec::new()),
    }
}

/// Tells whether an attribute of this key is shown in the block and nowhere else.
pub(super) fn takes(key: &str) -> bool {
    TAKEN.contains(&key)
}

const TAKEN: [&str; 10] = [
    "rpc.method",
    "aws.operation",
    "aws.account_id",
    "aws.region",
    "aws.request_id",
    "aws.requestId",
    "aws.queue_url",
    "aws.queue.url",
    "aws.table_name",
    "aws.table.name",
];
