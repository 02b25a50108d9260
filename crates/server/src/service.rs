//! One request from its head to the end of its answer.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::{Body, Incoming};
use otlp::Encoding;
use protocol::{ApiError, Dialect, ErrorKind, Operation, TARGET, error_response};
use tracing::{Instrument, Span, debug, error, field, info_span, warn};
use uuid::Uuid;

use crate::accounts::Accounts;
use crate::app::App;
use crate::auth::{self, Errand};
use crate::clock;
use crate::guard::{self, Stranger, Visitor};
use crate::handlers::{self, spans};
use crate::house::{House, InForce};
use crate::http::activity::{Activity, UnderWay};
use crate::http::answer::{Answer, AnswerBody};
use crate::http::body::{self, BodyError, BodyLimits, Received};
use crate::http::grpc;
use crate::intake;
use crate::origin::{Doorway, Origin};
use crate::pages::{self, Page};
use crate::record::Recording;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Operation(Operation),
    Page(Page),
    /// To take spans, over HTTP.
    Spans(Encoding),
    /// To take spans, over gRPC.
    Grpc,
}

/// How an error is told to who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tongue {
    /// As the X-Ray API does.
    Api,
    /// As OTLP does over HTTP.
    Otlp(Encoding),
    /// As gRPC does.
    Grpc,
}

/// One request, as far as it is known before its body is.
struct Asked<'r> {
    target: Target,
    origin: Origin,
    in_force: &'r InForce,
    request_id: &'r str,
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
    let (parts, body) = request.into_parts();
    let target = Target::of(&parts, origin.doorway);
    let tongue = Tongue::of(&parts, origin.doorway);
    let dialect = Dialect::of(parts.uri.path(), &parts.headers);
    let name = target.as_ref().map_or("unknown", |target| target.name());
    let request_id = Uuid::new_v4().to_string();
    let span = info_span!(
        "request",
        request_id,
        operation = name,
        status = field::Empty,
        elapsed_ms = field::Empty
    );
    let house = Arc::clone(&accounts.house);
    let mut ended = Ended::new(Arc::clone(&house), under_way, name, span.clone());
    let in_force = house.in_force();
    let visitor = guard::check(&parts, &in_force.config);
    let mut recording = Recording::default();
    let handled = async {
        let has_body = !body.is_end_stream();
        let entering = enter(&visitor, &parts, target);
        if has_body && !matches!(entering, Ok(Entering::Target(_))) {
            activity.leave_unread();
        }
        let target = match entering? {
            Entering::Preflight(answer) => return Ok(answer),
            Entering::Target(target) => target,
        };
        let asked = Asked {
            target,
            origin,
            in_force: &in_force,
            request_id: &request_id,
        };
        handle(&accounts, &activity, asked, (parts, body), &mut recording).await
    };
    let handled = AssertUnwindSafe(handled)
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let outcome =
        handled.unwrap_or_else(|_| Err(ApiError::internal("the request's handler panicked")));
    let answer = span.in_scope(|| match outcome {
        Ok(answer) => {
            ended.code = grpc::outcome(&answer);
            answer
        }
        Err(error) => {
            ended.code = error.code();
            refuse(&house, &error, tongue, &request_id)
        }
    });
    let mut response = answer.into_response(ended);
    dialect.dress(response.headers_mut());
    if let Ok(Some(visitor)) = &visitor {
        visitor.admit(response.headers_mut());
    }
    if activity.is_unread() && version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    span.record("status", response.status().as_u16());
    recording.end(response.status().as_u16());
    Ok(response)
}

/// What a request that is let in goes on to.
enum Entering {
    /// It only asked whether a page may send another one, and was told.
    Preflight(Answer),
    Target(Target),
}

fn enter(
    visitor: &Result<Option<Visitor>, Stranger>,
    parts: &Parts,
    target: Result<Target, ApiError>,
) -> Result<Entering, ApiError> {
    match visitor {
        Err(stranger) => Err(ApiError::forbidden(stranger.to_string())),
        Ok(Some(visitor)) if guard::is_preflight(parts) => {
            Ok(Entering::Preflight(Answer::from(visitor.invite())))
        }
        Ok(_) => target.map(Entering::Target),
    }
}

impl Target {
    /// Returns what a request asks for, if the door it came through serves that.
    fn of(parts: &Parts, doorway: Doorway) -> Result<Self, ApiError> {
        let (method, path) = (&parts.method, parts.uri.path());
        let target = Self::anywhere(parts)?;
        let is_served = match (doorway, target) {
            (Doorway::Api, _)
            // The two addresses are confused all the time, so each takes both forms.
            | (Doorway::OtlpGrpc | Doorway::OtlpHttp, Self::Grpc | Self::Spans(_)) => true,
            (Doorway::OtlpHttp | Doorway::OtlpGrpc, Self::Page(page)) => page.is_everywhere(),
            (Doorway::OtlpHttp | Doorway::OtlpGrpc | Doorway::Udp, _) => false,
        };
        if is_served {
            return Ok(target);
        }
        Err(ApiError::unknown_operation(path)
            .with_logged(format!("{method} {path} at the door {}", doorway.name())))
    }

    fn anywhere(parts: &Parts) -> Result<Self, ApiError> {
        let (method, path) = (&parts.method, parts.uri.path());
        if path == spans::PATH {
            let is_post = method == Method::POST;
            let encoding = is_post.then(|| spans::encoding(&parts.headers));
            return encoding
                .unwrap_or_else(|| Err(ApiError::method_not_allowed("OTLP traces", method)))
                .map(Self::Spans);
        }
        if grpc::is_grpc(&parts.headers) {
            return if path == spans::GRPC_PATH {
                Ok(Self::Grpc)
            } else {
                Err(ApiError::unknown_operation(path))
            };
        }
        if let Some(page) = Page::at(method, path) {
            return Ok(Self::Page(page));
        }
        let header = parts.headers.get(TARGET);
        let target = header.and_then(|value| value.to_str().ok());
        Operation::route(method, path, target).map(Self::Operation)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Operation(operation) => operation.name(),
            Self::Page(page) => page.name(),
            Self::Spans(_) | Self::Grpc => "ExportTraces",
        }
    }

    /// Tells whether it is a call of the API or of OTLP, and no page.
    const fn is_call(self) -> bool {
        match self {
            Self::Operation(_) | Self::Spans(_) | Self::Grpc => true,
            Self::Page(_) => false,
        }
    }

    const fn errand(self) -> Errand {
        match self {
            Self::Operation(operation) => Errand::Call(operation),
            Self::Page(page) => page.errand(),
            Self::Spans(_) | Self::Grpc => Errand::Spans,
        }
    }
}

impl Tongue {
    fn of(parts: &Parts, doorway: Doorway) -> Self {
        if grpc::is_grpc(&parts.headers) {
            return Self::Grpc;
        }
        let is_otlp = doorway != Doorway::Api || parts.uri.path() == spans::PATH;
        let encoding = spans::encoding(&parts.headers).unwrap_or(Encoding::Json);
        if is_otlp {
            Self::Otlp(encoding)
        } else {
            Self::Api
        }
    }
}

async fn handle(
    accounts: &Accounts,
    activity: &Activity,
    asked: Asked<'_>,
    (parts, body): (Parts, Incoming),
    recording: &mut Recording,
) -> Result<Answer, ApiError> {
    let has_body = !body.is_end_stream();
    let errand = asked.target.errand();
    // Segments that are not let in are lost ones, too: those who miss them are told.
    let turn_away = |app: Option<&App>, error: ApiError| {
        if errand.is_delivery() {
            return intake::refuse_call(&accounts.house, app, asked.origin, error, b"");
        }
        error
    };
    let claimed = auth::claim(accounts, asked.in_force, asked.origin, &parts, errand);
    let claimed = claimed.map_err(|error| {
        if has_body {
            activity.leave_unread();
        }
        turn_away(None, error)
    })?;
    let known = claimed.known().map(Arc::clone);
    let address = asked.origin.peer.ip();
    let limits = BodyLimits::of(&asked.in_force.config, &accounts.house.bodies, address);
    let received = match asked.target {
        // Pages take none; what is sent all the same is not read.
        Target::Page(_) if has_body => {
            activity.leave_unread();
            Received::default()
        }
        Target::Page(_) => Received::default(),
        Target::Operation(_) | Target::Spans(_) | Target::Grpc => {
            let received = receive(body, &limits, activity).await;
            received.map_err(|error| turn_away(known.as_deref(), error))?
        }
    };
    let admit = || {
        let (claim, now) = ((claimed, errand), clock::now());
        auth::admit(
            accounts,
            asked.in_force,
            claim,
            &parts,
            &received.bytes,
            now,
        )
    };
    // What is signed is hashed whole.
    let admitted = if known.is_none() && received.bytes.len() > HASH_ASIDE_BYTES {
        limits.share.aside(admit).await
    } else {
        admit()
    };
    let (app, signed) = admitted.map_err(|error| turn_away(None, error))?;
    let received = received.replaced(signed);
    if asked.target.is_call() {
        let recorder = &accounts.house.recorder;
        *recording = recorder.call(asked.origin, &app.account, &parts, &received.bytes);
    }
    let serving = serve(&app, asked, parts, received, &limits);
    let answer = recording.watch(serving).await?;
    answer.placed(&limits.share)
}

/// Does what a request that was let in asks for.
async fn serve(
    app: &Arc<App>,
    asked: Asked<'_>,
    parts: Parts,
    received: Received,
    limits: &BodyLimits,
) -> Result<Answer, ApiError> {
    let (origin, request_id) = (asked.origin, asked.request_id);
    let errand = asked.target.errand();
    let encodings = body::encodings(&parts.headers);
    let inflate = async |received| {
        let inflated = body::inflate(received, &encodings, limits).await;
        inflated.map_err(|error| match ApiError::from(error) {
            error if errand.is_delivery() => {
                intake::refuse_call(&app.house, Some(app), origin, error, b"")
            }
            error => error,
        })
    };
    match asked.target {
        Target::Operation(operation) => {
            let received = inflate(received).await?;
            handlers::call(app, operation, &received, origin, limits, request_id).await
        }
        Target::Page(page) => pages::show(app, asked.in_force, page, &parts, request_id).await,
        Target::Spans(encoding) => {
            let received = inflate(received).await?;
            let body = &received.bytes;
            spans::take(app, origin, body, encoding, limits, request_id).await
        }
        Target::Grpc => {
            let app = Arc::clone(app);
            spans::take_grpc(app, origin, parts, received, limits).await
        }
    }
}

async fn receive(
    body: Incoming,
    limits: &BodyLimits,
    activity: &Activity,
) -> Result<Received, ApiError> {
    let _arriving = activity.arriving();
    body::receive(body, limits).await.map_err(|error| {
        if BodyError::leaves_unread(&error) {
            activity.leave_unread();
        }
        ApiError::from(error)
    })
}

/// Returns the answer of a refusal or a failure, after logging what an operator should know.
fn refuse(house: &House, error: &ApiError, tongue: Tongue, request_id: &str) -> Answer {
    let detail = error.logged().unwrap_or_else(|| error.message());
    match error.kind() {
        ErrorKind::Internal => error!(detail, "a request failed"),
        ErrorKind::Unavailable | ErrorKind::Throttled => {
            if let Some(n_requests) = house.put_off.n_since(Instant::now()) {
                let code = error.code();
                warn!(code, detail, n_requests, "a request was turned away");
            } else {
                debug!(code = error.code(), detail, "a request was turned away");
            }
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
        | ErrorKind::UnsupportedMedia
        | ErrorKind::Timeout => debug!(code = error.code(), detail, "a request was refused"),
        ErrorKind::MissingAuthenticationToken
        | ErrorKind::IncompleteSignature
        | ErrorKind::InvalidSignature
        | ErrorKind::UnrecognizedClient
        | ErrorKind::AccessDenied
        | ErrorKind::Forbidden => {
            if let Some(n_requests) = house.turned_away.n_since(Instant::now()) {
                let code = error.code();
                warn!(code, detail, n_requests, "somebody was not let in");
            } else {
                debug!(code = error.code(), detail, "somebody was not let in");
            }
        }
    }
    match tongue {
        Tongue::Api => Answer::from(error_response(error, request_id)),
        Tongue::Otlp(encoding) => Answer::from(spans::refusal(error, encoding, request_id)),
        Tongue::Grpc => grpc::refuse(error),
    }
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

/// Some tens of microseconds of hashing; what is smaller is done on the spot.
const HASH_ASIDE_BYTES: usize = 32 * 1024;
/// The code of a request nobody waited for any more.
const CLIENT_GONE: &str = "ClientGone";

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    fn target_at(doorway: Doorway, request: Request<()>) -> Result<Target, ApiError> {
        Target::of(&request.into_parts().0, doorway)
    }

    fn request(method: &Method, path: &str) -> Request<()> {
        let request = Request::builder().method(method).uri(path);
        request.body(()).unwrap()
    }

    fn target(method: &Method, path: &str) -> Result<Target, ApiError> {
        target_at(Doorway::Api, request(method, path))
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
        let asked = target_at(Doorway::Api, request.body(()).unwrap()).unwrap();
        assert_eq!(asked, Target::Operation(Operation::GetGroups));
    }

    #[test]
    fn everything_else_is_refused_as_the_api_does() {
        let status = |method, path| target(method, path).unwrap_err().status().as_u16();
        assert_eq!(status(&Method::POST, "/healthz"), 404);
        assert_eq!(status(&Method::POST, "/"), 404);
        assert_eq!(status(&Method::GET, "/Traces"), 405);
        assert_eq!(status(&Method::GET, "/favicon.ico"), 404);
        assert_eq!(status(&Method::GET, "/v1/traces"), 405);
        assert_eq!(status(&Method::POST, "/v1/metrics"), 404);
    }

    fn with_type(path: &str, content_type: &str) -> Request<()> {
        let request = Request::post(path).header(CONTENT_TYPE, content_type);
        request.body(()).unwrap()
    }

    #[test]
    fn doors_of_otlp_serve_spans_and_health_alone() {
        let json = || with_type("/v1/traces", "application/json");
        let call = || with_type(spans::GRPC_PATH, "application/grpc+proto");
        for doorway in [Doorway::OtlpHttp, Doorway::OtlpGrpc] {
            let target = |request| target_at(doorway, request);
            assert_eq!(target(json()).unwrap(), Target::Spans(Encoding::Json));
            assert_eq!(target(call()).unwrap(), Target::Grpc);
            assert!(target(request(&Method::GET, "/healthz")).is_ok());
            assert!(target(request(&Method::GET, "/metrics")).is_err());
            assert!(target(request(&Method::GET, "/")).is_err());
            assert!(target(request(&Method::POST, "/Traces")).is_err());
        }
        let everything = [json(), call(), request(&Method::POST, "/Traces")];
        for request in everything {
            assert!(target_at(Doorway::Api, request).is_ok());
        }
    }

    #[test]
    fn errors_are_told_in_the_senders_tongue() {
        let of = |request: Request<()>, doorway| Tongue::of(&request.into_parts().0, doorway);
        let protobuf = with_type("/v1/traces", "application/x-protobuf");
        assert_eq!(of(protobuf, Doorway::Api), Tongue::Otlp(Encoding::Protobuf));
        let other = request(&Method::POST, "/v1/logs");
        assert_eq!(of(other, Doorway::OtlpHttp), Tongue::Otlp(Encoding::Json));
        let lost = request(&Method::POST, "/v1/logs");
        assert_eq!(of(lost, Doorway::OtlpGrpc), Tongue::Otlp(Encoding::Json));
        let call = with_type("/any", "application/grpc");
        assert_eq!(of(call, Doorway::Api), Tongue::Grpc);
        let call = request(&Method::POST, "/Traces");
        assert_eq!(of(call, Doorway::Api), Tongue::Api);
    }
}
