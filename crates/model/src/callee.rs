//! Which service a call goes to, as far as the caller's subsegment tells (spec: inferred segments).

use std::borrow::Cow;

/// What the subsegment of a call says about the called service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callee<'a> {
    namespace: Namespace,
    name: &'a str,
    table_name: Option<&'a str>,
    has_sql: bool,
}

/// The namespaces that make a subsegment a call to another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Aws,
    Remote,
}

impl<'a> Callee<'a> {
    /// Returns what a subsegment calls; none if its namespace is another than `aws` and `remote`.
    pub(crate) fn of(
        namespace: Option<&str>,
        name: &'a str,
        table_name: Option<&'a str>,
        has_sql: bool,
    ) -> Option<Self> {
        let namespace = match namespace {
            Some("aws") => Namespace::Aws,
            Some("remote") => Namespace::Remote,
            Some(_) | None => return None,
        };
        Some(Self {
            namespace,
            name,
            table_name,
            has_sql,
        })
    }

    /// Returns the name of the service a graph shows: a table is a service of its own.
    pub(crate) fn service_name(&self) -> &'a str {
        self.table_name.unwrap_or(self.name)
    }

    /// Returns the type of the service a graph shows.
    pub(crate) fn service_type(&self) -> Cow<'static, str> {
        self.origin().unwrap_or(Cow::Borrowed("remote"))
    }

    /// Returns `origin` of the inferred segment; a plain remote service has none.
    pub(crate) fn origin(&self) -> Option<Cow<'static, str>> {
        if self.table_name.is_some() {
            return Some(Cow::Borrowed("AWS::DynamoDB::Table"));
        }
        match self.namespace {
            Namespace::Aws => Some(Cow::Owned(format!("AWS::{}", aws_service(self.name)))),
            Namespace::Remote if self.has_sql => Some(Cow::Borrowed("Database::SQL")),
            Namespace::Remote => None,
        }
    }
}

/// Returns the service's name as types spell it; SDKs of several languages write well-known ones in
/// spellings of their own (`dynamodb` in Go, `DynamoDb` in Java). Other names stay as they are.
fn aws_service(name: &str) -> &str {
    SPELLINGS
        .iter()
        .find(|spelling| spelling.eq_ignore_ascii_case(name))
        .copied()
        .unwrap_or(name)
}

const SPELLINGS: [&str; 24] = [
    "DynamoDB",
    "S3",
    "SNS",
    "SQS",
    "Lambda",
    "Kinesis",
    "Firehose",
    "SSM",
    "STS",
    "KMS",
    "EC2",
    "ECS",
    "EKS",
    "ECR",
    "IAM",
    "SES",
    "RDS",
    "SageMaker",
    "SecretsManager",
    "SimpleSystemsManagement",
    "StepFunctions",
    "CloudWatch",
    "EventBridge",
    "APIGateway",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        namespace: &str,
        name: &str,
        table_name: Option<&str>,
        has_sql: bool,
        expected: Option<(&str, &str)>,
    ) {
        let callee = Callee::of(Some(namespace), name, table_name, has_sql);
        let found = callee.map(|callee| {
            (
                callee.service_name().to_owned(),
                callee.service_type().into_owned(),
            )
        });
        let expected = expected.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        assert_eq!(found, expected, "{namespace} {name}");
    }

    #[test]
    fn services_are_named_by_what_the_call_says() {
        check(
            "aws",
            "DynamoDB",
            Some("users"),
            false,
            Some(("users", "AWS::DynamoDB::Table")),
        );
        check(
            "aws",
            "dynamodb",
            None,
            false,
            Some(("dynamodb", "AWS::DynamoDB")),
        );
        check("aws", "Sns", None, false, Some(("Sns", "AWS::SNS")));
        check(
            "aws",
            "SomethingNew",
            None,
            false,
            Some(("SomethingNew", "AWS::SomethingNew")),
        );
        check(
            "remote",
            "db@host",
            None,
            true,
            Some(("db@host", "Database::SQL")),
        );
        check(
            "remote",
            "api.example.com",
            None,
            false,
            Some(("api.example.com", "remote")),
        );
        check("local", "work", None, false, None);
        check("", "work", None, true, None);
    }

    #[test]
    fn a_plain_remote_service_has_no_origin() {
        let callee = Callee::of(Some("remote"), "api.example.com", None, false).unwrap();
        assert_eq!(callee.origin(), None);
        assert!(Callee::of(None, "work", None, false).is_none());
    }
}
