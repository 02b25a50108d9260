//! What a segment says of where it ran, as the resource of its spans.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::Value;

use super::attributes::{Attributes, Places, any, texts};
use super::entity::Entity;

/// Returns the resource of a segment and of everything below it.
pub(super) fn resource_of(segment: &Entity<'_>) -> Resource {
    let mut attributes = Attributes::default();
    if let Some(name) = segment.text("name") {
        attributes.put_text("service.name", &name);
    }
    let aws = segment.block("aws");
    put_platform(segment, &aws, &mut attributes);
    attributes.put_texts(&aws, AWS);
    let deployment = aws.pointer("/elastic_beanstalk/deployment_id");
    if let Some(deployment_id) = deployment.and_then(Value::as_i64) {
        attributes.put_text("service.instance.id", &deployment_id.to_string());
    }
    put_log_groups(&aws, &mut attributes);
    put_sdk(&aws, &mut attributes);
    attributes.put_texts(&segment.block("service"), SERVICE);
    put_sent(segment, &mut attributes);
    Resource {
        attributes: attributes.into_list(),
        ..Resource::default()
    }
}

/// Returns the programming language a resource names, if it does.
pub(super) fn language_of(resource: &Resource) -> &str {
    let named = resource
        .attributes
        .iter()
        .find(|attribute| attribute.key == LANGUAGE);
    let value = named.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Any::StringValue(language)) => language,
        Some(_) | None => "",
    }
}

fn put_platform(segment: &Entity<'_>, aws: &Value, attributes: &mut Attributes) {
    let origin = segment.text("origin").unwrap_or_default();
    let names_place = WHERE.iter().any(|block| aws.get(block).is_some());
    if names_place || origin.starts_with("AWS::") {
        attributes.put_text("cloud.provider", "aws");
    }
    let of_origin = |(known, ..): &&(&str, &str, &str)| *known == origin;
    let Some((_, platform, launch_type)) = ORIGINS.iter().find(of_origin) else {
        return;
    };
    attributes.put_text("cloud.platform", platform);
    if !launch_type.is_empty() {
        attributes.put_text("aws.ecs.launchtype", launch_type);
    }
}

/// Puts log groups: their names, and their ARNs if all have one.
fn put_log_groups(aws: &Value, attributes: &mut Attributes) {
    let groups = aws.get("cloudwatch_logs").and_then(Value::as_array);
    let groups: Vec<&Value> = groups.into_iter().flatten().collect();
    for (member, key) in [
        ("log_group", "aws.log.group.names"),
        ("arn", "aws.log.group.arns"),
    ] {
        let named = groups
            .iter()
            .filter_map(|group| Some(group.get(member)?.as_str()?.to_owned()));
        let named: Vec<String> = named.collect();
        if !groups.is_empty() && named.len() == groups.len() {
            attributes.put(key, texts(named));
        }
    }
}

/// Puts the SDK, whose name ends in the language it is for (`X-Ray for Go`).
fn put_sdk(aws: &Value, attributes: &mut Attributes) {
    let sdk = aws.pointer("/xray/sdk").and_then(Value::as_str);
    if let Some((name, language)) = sdk.and_then(|sdk| sdk.rsplit_once(" for ")) {
        attributes.put_text("telemetry.sdk.name", name);
        attributes.put_text(LANGUAGE, &spelled(language));
    } else if let Some(name) = sdk {
        attributes.put_text("telemetry.sdk.name", name);
    }
    attributes.put_texts(aws, &[("/xray/sdk_version", "telemetry.sdk.version")]);
}

/// Returns a language as the semantic conventions spell it.
fn spelled(language: &str) -> String {
    let language = language.to_ascii_lowercase();
    match language.as_str() {
        "node.js" | "node" => "nodejs".to_owned(),
        ".net" | "c#" => "dotnet".to_owned(),
        _ => language,
    }
}

/// Puts the attributes exporters keep in a segment's metadata.
fn put_sent(segment: &Entity<'_>, attributes: &mut Attributes) {
    let metadata = segment.block("metadata");
    let kept = metadata.get("default").and_then(Value::as_object);
    for (key, value) in kept.into_iter().flatten() {
        let value: Option<Any> = any(value);
        if let (Some(key), Some(value)) = (key.strip_prefix(RESOURCE_PREFIX), value) {
            attributes.put(key, value);
        }
    }
}

const LANGUAGE: &str = "telemetry.sdk.language";

/// What exporters put before the keys of a resource's attributes.
const RESOURCE_PREFIX: &str = "otel.resource.";

/// Blocks of `aws` that say where a segment ran.
const WHERE: [&str; 5] = ["account_id", "ec2", "ecs", "eks", "elastic_beanstalk"];

/// Origins, their platforms and how containers are launched.
const ORIGINS: [(&str, &str, &str); 8] = [
    ("AWS::EC2::Instance", "aws_ec2", ""),
    ("AWS::ECS::Container", "aws_ecs", ""),
    ("AWS::ECS::EC2", "aws_ecs", "ec2"),
    ("AWS::ECS::Fargate", "aws_ecs", "fargate"),
    (
        "AWS::ElasticBeanstalk::Environment",
        "aws_elastic_beanstalk",
        "",
    ),
    ("AWS::EKS::Container", "aws_eks", ""),
    ("AWS::AppRunner::Service", "aws_app_runner", ""),
    ("AWS::Lambda::Function", "aws_lambda", ""),
];

const AWS: &Places = &[
    ("/account_id", "cloud.account.id"),
    ("/ec2/instance_id", "host.id"),
    ("/ec2/availability_zone", "cloud.availability_zone"),
    ("/ec2/instance_size", "host.type"),
    ("/ec2/ami_id", "host.image.id"),
    ("/ecs/container", "container.name"),
    ("/ecs/container_id", "container.id"),
    ("/ecs/availability_zone", "cloud.availability_zone"),
    ("/ecs/container_arn", "aws.ecs.container.arn"),
    ("/ecs/cluster_arn", "aws.ecs.cluster.arn"),
    ("/ecs/task_arn", "aws.ecs.task.arn"),
    ("/ecs/task_family", "aws.ecs.task.family"),
    ("/ecs/launch_type", "aws.ecs.launchtype"),
    ("/eks/cluster_name", "k8s.cluster.name"),
    ("/eks/pod", "k8s.pod.name"),
    ("/eks/container_id", "container.id"),
    ("/elastic_beanstalk/environment_name", "service.namespace"),
    ("/elastic_beanstalk/version_label", "service.version"),
];

const SERVICE: &Places = &[
    ("/version", "service.version"),
    ("/runtime", "process.runtime.name"),
    ("/runtime_version", "process.runtime.version"),
];
