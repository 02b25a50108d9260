//! What a resource says of the documents of its spans: `origin`, `service` and the half of `aws` that tells where a span
//! ran (source: `segment.go`, `service.go` and `aws.go` of the collector's X-Ray exporter).

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::Serialize;

use super::Rules;
use super::attributes::{Attributes, text_of, texts_of};
use super::aws::{Aws, Beanstalk, Ec2, Ecs, Eks, LogGroup, XRay};

/// A resource, read once for all its spans.
pub(super) struct Resource<'a> {
    pub(super) sent: &'a ResourceSpans,
    pub(super) attributes: Attributes<'a>,
    pub(super) origin: Option<&'static str>,
    pub(super) service: Option<Service<'a>>,
    /// None if the resource is with another provider.
    pub(super) aws: Option<Aws<'a>>,
    pub(super) language: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Service<'a> {
    pub(super) version: &'a str,
}

impl<'a> Resource<'a> {
    pub(super) fn of(sent: &'a ResourceSpans, rules: &'a Rules) -> Self {
        let attributes = sent
            .resource
            .as_ref()
            .map(|resource| &resource.attributes[..]);
        let attributes = Attributes::of(attributes.unwrap_or_default());
        let version = attributes.first_text(&["service.version", "container.image.tag"]);
        let is_aws = attributes
            .text("cloud.provider")
            .is_none_or(|provider| provider == "aws");
        Self {
            sent,
            origin: origin(&attributes).filter(|_| is_aws),
            service: version.map(|version| Service { version }),
            aws: is_aws.then(|| aws(&attributes, rules)),
            language: attributes
                .text("telemetry.sdk.language")
                .unwrap_or_default(),
            attributes,
        }
    }
}

fn origin(attributes: &Attributes<'_>) -> Option<&'static str> {
    let origin = match attributes.text("cloud.platform")? {
        "aws_app_runner" => "AWS::AppRunner::Service",
        "aws_eks" => "AWS::EKS::Container",
        "aws_elastic_beanstalk" => "AWS::ElasticBeanstalk::Environment",
        "aws_ecs" => match attributes.text("aws.ecs.launchtype") {
            Some("ec2") => "AWS::ECS::EC2",
            Some("fargate") => "AWS::ECS::Fargate",
            _ => "AWS::ECS::Container",
        },
        "aws_ec2" => "AWS::EC2::Instance",
        _ => return None,
    };
    Some(origin)
}

fn aws<'a>(attributes: &Attributes<'a>, rules: &'a Rules) -> Aws<'a> {
    let text = |key| attributes.text(key);
    let platform = text("cloud.platform").unwrap_or_default();
    let sdk = text("telemetry.sdk.name").map(|name| match text("telemetry.sdk.language") {
        Some(language) => format!("{name} for {language}"),
        None => name.to_owned(),
    });
    let distribution =
        attributes.first_text(&["telemetry.auto.version", "telemetry.distro.version"]);
    Aws {
        account_id: text("cloud.account.id"),
        elastic_beanstalk: beanstalk(attributes).filter(|_| platform == "aws_elastic_beanstalk"),
        cloudwatch_logs: log_groups(attributes, rules),
        ecs: (platform == "aws_ecs").then(|| Ecs {
            container: text("container.name"),
            container_id: text("container.id"),
            task_arn: text("aws.ecs.task.arn"),
            task_family: text("aws.ecs.task.family"),
            cluster_arn: text("aws.ecs.cluster.arn"),
            container_arn: text("aws.ecs.container.arn"),
            availability_zone: text("cloud.availability_zone"),
            launch_type: text("aws.ecs.launchtype"),
        }),
        ec2: (platform == "aws_ec2" || text("host.id").is_some()).then(|| Ec2 {
            instance_id: text("host.id"),
            availability_zone: text("cloud.availability_zone"),
            instance_size: text("host.type"),
            ami_id: text("host.image.id"),
        }),
        eks: (platform == "aws_eks" || text("k8s.cluster.name").is_some()).then(|| Eks {
            cluster_name: text("k8s.cluster.name"),
            pod: text("k8s.pod.name"),
            container_id: text("container.id"),
        }),
        xray: XRay {
            sdk,
            sdk_version: text("telemetry.sdk.version"),
            auto_instrumentation: distribution.is_some(),
        },
        ..Aws::default()
    }
}

fn beanstalk<'a>(attributes: &Attributes<'a>) -> Option<Beanstalk<'a>> {
    let deployment_id = attributes.text("service.instance.id")?;
    Some(Beanstalk {
        environment_name: attributes.text("service.namespace"),
        version_label: attributes.text("service.version"),
        deployment_id: deployment_id.parse().unwrap_or(0),
    })
}

/// Returns the log groups by their ARNs, else by their names, else those of the rules.
fn log_groups<'a>(attributes: &Attributes<'a>, rules: &'a Rules) -> Vec<LogGroup<'a>> {
    let arns = listed(attributes, "aws.log.group.arns");
    if !arns.is_empty() {
        let log_group = |arn: &'a str| LogGroup {
            // arn:aws:logs:<region>:<account>:log-group:<name>
            log_group: arn.split(':').nth(6).unwrap_or(arn),
            arn: Some(arn),
        };
        return arns.into_iter().map(log_group).collect();
    }
    let mut names = listed(attributes, "aws.log.group.names");
    if names.is_empty() {
        names = rules.log_groups.iter().map(String::as_str).collect();
    }
    let log_group = |log_group| LogGroup {
        log_group,
        arn: None,
    };
    names.into_iter().map(log_group).collect()
}

/// Returns the texts of a list, or of a text in which they are parted by `&`, as environment variables have it.
fn listed<'a>(attributes: &Attributes<'a>, key: &str) -> Vec<&'a str> {
    match attributes.value(key) {
        Some(Value::ArrayValue(array)) => texts_of(&array.values).collect(),
        Some(value) => {
            let text = text_of(value).unwrap_or_default();
            text.split('&').filter(|part| !part.is_empty()).collect()
        }
        None => Vec::new(),
    }
}
