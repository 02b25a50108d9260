//! One request from its head to the end of its answer.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Body, Incoming};
use protocol::{ApiError, Dialect, ErrorKind, Operation, TARGET, error_response};
use tracing::{Instrument, Span, debug, error, field, info_span, warn};
use uuid::Uuid;

use crate::accounts::Accounts;
use crate::house::House;
use crate::http::activity::{Activity, UnderWay};
use crate::http::answer::{Answer, AnswerBody};
use crate::http::body::{self, BodyError, BodyLimits, Received};
use crate::origin::Origin;
use crate::pages::Page;
use crate::{handlers, pages};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Operation(Operation),
    Page(Page),
}

/// Answers a request; whatever goes wrong becomes an answer, too.
pub(crate) async fn answer(
    accounts: Arc<Accounts>,
    activity: Arc<Activity>,
    origin: Origin,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody<Ended>>, Infallible> {
    let version = request.version();
    let under_way = activity.begin(version);
    let target = Target::of(&request);
    let dialect = Dialect::of(request.uri().path(), request.headers());
    let name = target.as_ref().map_or("unknown", |target| target.name());
    let request_id = Uuid::new_v4().to_string();
    let span = info_span!(
        "request",
        request_id,
        operation = name,
        status = field::Empty,
        elapsed_ms = field::Empty
    );
    let mut ended = Ended::new(Arc::clone(&accounts.house), under_way, name, span.clone());
    let handled = handle(&accounts, &activity, origin, target, request, &request_id);
    let handled = AssertUnwindSafe(handled)
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let outcome =
        handled.unwrap_or_else(|_| Err(ApiError::internal("the request's handler panicked")));
    let answer = span.in_scope(|| match outcome {
        Ok(answer) => {
            ended.code = "OK";
            answer
        }
        Err(error) => {
            ended.code = error.code();
            refuse(&error, &request_id)
        }
    });
    let mut response = answer.into_response(ended);
    dialect.dress(response.headers_mut());
    if activity.is_unread() && version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    span.record("status", response.status().as_u16());
    Ok(response)
}

impl Target {
    /// Returns what a request asks for.
    fn of<B>(request: &Request<B>) -> Result<Self, ApiError> {
        let (method, path) = (request.method(), request.uri().path());
        let header = request.headers().get(TARGET);
        let target = header.and_then(|value| value.to_str().ok());
        match Page::at(method, path) {
            Some(page) => Ok(Self::Page(page)),
            None => Operation::route(method, path, target).map(Self::Operation),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Operation(operation) => operation.name(),
            Self::Page(page) => page.name(),
        }
    }
}

async fn handle(
    accounts: &Accounts,
    activity: &Activity,
    origin: Origin,
    target: Result<Target, ApiError>,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let has_body = !request.body().is_end_stream();
    match target {
        Ok(Target::Operation(operation)) => {
            let received = receive(&accounts.house, activity, request).await?;
            handlers::call(&accounts.default, operation, &received, origin, request_id).await
        }
        Ok(Target::Page(page)) => {
            if has_body {
                activity.leave_unread();
            }
            pages::show(&accounts.house, page, request_id).map(Answer::from)
        }
        Err(error) => {
            if has_body {
                activity.leave_unread();
            }
            Err(error)
        }
    }
}

async fn receive(
    house: &House,
    activity: &Activity,
    request: Request<Incoming>,
) -> Result<Received, ApiError> {
    let limits = BodyLimits::of(&house.config(), &house.bodies);
    match body::receive(request.into_body(), &limits).await {
        Ok(received) => Ok(received),
        Err(error) => {
            if BodyError::leaves_unread(&error) {
                activity.leave_unread();
            }
            Err(ApiError::from(error))
        }
    }
}

/// Returns the answer of a refusal or a failure, after logging what an operator should know.
fn refuse(error: &ApiError, request_id: &str) -> Answer {
    let detail = error.logged().unwrap_or_else(|| error.message());
    match error.kind() {
        ErrorKind::Internal => error!(detail, "a request failed"),
        ErrorKind::Unavailable | ErrorKind::Throttled => {
            warn!(code = error.code(), detail, "a request was turned away");
        }
        ErrorKind::InvalidRequest
        | ErrorKind::ResourceNotFound
        | ErrorKind::TooManyTags
        | ErrorKind::RuleLimitExceeded
        | ErrorKind::InvalidPolicyRevisionId
        | ErrorKind::MalformedPolicyDocument
        | ErrorKind::LockoutPrevention
        | ErrorKind::PolicyCountLimitExceeded
        | ErrorKind::PolicySizeLimitExceeded
        | ErrorKind::UnknownOperation
        | ErrorKind::MethodNotAllowed
        | ErrorKind::TooLarge
        | ErrorKind::Timeout => debug!(code = error.code(), detail, "a request was refused"),
    }
    Answer::from(error_response(error, request_id))
}

/// Notes the end of a request when it is dropped: after the last byte of its answer was taken, or
/// when the client went away.
pub(crate) struct Ended {
    house: Arc<House>,
    _under_way: UnderWay,
    operation: &'static str,
    code: &'static str,
    started: Instant,
    span: Span,
}

impl Ended {
    fn new(house: Arc<House>, under_way: UnderWay, operation: &'static str, span: Span) -> Self {
        house.metrics.request_started();
        Self {
            house,
            _under_way: under_way,
            operation,
            code: CLIENT_GONE,
            started: Instant::now(),
            span,
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.house
            .metrics
            .request_ended(self.operation, self.code, took);
        let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.span.record("elapsed_ms", elapsed_ms);
        self.span.in_scope(|| debug!(code = self.code, "answered"));
    }
}

/// The code of a request nobody waited for any more.
const CLIENT_GONE: &str = "ClientGone";

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn target(method: &Method, path: &str) -> Result<Target, ApiError> {
        Target::of(
            &Request::builder()
                .method(method)
                .uri(path)
                .body(())
                .unwrap(),
        )
    }

    fn check(method: &Method, path: &str, expected: Target) {
        assert_eq!(target(method, path).unwrap(), expected);
    }

    #[test]
    fn pages_are_read_and_operations_are_posted_to() {
        check(&Method::GET, "/", Target::Page(Page::Index));
        check(&Method::GET, "/healthz", Target::Page(Page::Health));
        check(&Method::HEAD, "/readyz", Target::Page(Page::Ready));
        check(&Method::GET, "/metrics", Target::Page(Page::Metrics));
        check(
            &Method::POST,
            "/Traces",
            Target::Operation(Operation::BatchGetTraces),
        );
    }

    #[test]
    fn the_target_names_an_operation_at_the_root() {
        let request = Request::post("/").header(TARGET, "XRay_20160712.GetGroups");
        let asked = Target::of(&request.body(()).unwrap()).unwrap();
        assert_eq!(asked, Target::Operation(Operation::GetGroups));
    }

    #[test]
    fn everything_else_is_refused_as_the_api_does() {
        assert_eq!(target(&Method::POST, "/healthz").unwrap_err().status(), 404);
        assert_eq!(target(&Method::POST, "/").unwrap_err().status(), 404);
        assert_eq!(target(&Method::GET, "/Traces").unwrap_err().status(), 405);
        assert_eq!(
            target(&Method::GET, "/favicon.ico").unwrap_err().status(),
            404
        );
    }
}
