//! The AWS SDK for Rust, with a connection of the suite's own: no TLS stack is built to talk to loopback.

mod account;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use aws_sdk_xray::Client;
use aws_sdk_xray::config::http::{HttpRequest, HttpResponse};
use aws_sdk_xray::config::retry::RetryConfig;
use aws_sdk_xray::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_xray::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_xray::operation::RequestId;
use aws_sdk_xray::primitives::DateTime;
use aws_sdk_xray::types::{
    InsightState, RetrievalStatus, SamplingStrategy, SamplingStrategyName, ServiceStatistics,
    TelemetryRecord, TimeRangeType, TraceFormatType,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use roentgen_tests::Home;
use roentgen_tests::http::Connection;

use super::steps::Variables;

/// Calls the server under test over a connection of its own each time.
#[derive(Clone, Debug)]
struct Connector(SocketAddr);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(
            exchange(self.0, &request).map_err(|error| ConnectorError::io(error.into())),
        )
    }
}

/// Sends a request and returns the answer; the thread waits, nothing else runs on it.
fn exchange(address: SocketAddr, request: &HttpRequest) -> Result<HttpResponse> {
    let body = request.body().bytes().context("a body of a stream")?;
    // The connection says for itself where it leads and how long the body is.
    let own = ["host", "content-length"];
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter(|(name, _)| !own.contains(name))
        .collect();
    let uri = request.uri();
    let (_, rest) = uri.split_once("://").context("an absolute URL")?;
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    let answer = Connection::open(address)?.request(request.method(), path, &headers, body)?;
    let mut response = HttpResponse::new(answer.status.try_into()?, answer.body.into());
    for (name, value) in answer.headers {
        response.headers_mut().try_append(name, value)?;
    }
    Ok(response)
}

fn connect(address: SocketAddr) -> Client {
    let connector = SharedHttpConnector::new(Connector(address));
    let config = aws_sdk_xray::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(
            "AKIDEXAMPLE",
            "secret",
            None,
            None,
            "test",
        ))
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    Client::from_conf(config)
}

/// Which operations were driven so far.
#[derive(Default)]
struct Driven(BTreeSet<&'static str>);

impl Driven {
    /// Returns the result of a call that must have one.
    async fn result<T: RequestId, E: ProvideErrorMetadata + Debug>(
        &mut self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T> {
        let answer = call.await;
        let answer = answer.map_err(|error| anyhow::anyhow!("{operation}: {error:?}"))?;
        assert!(
            answer.request_id().is_some(),
            "{operation} without a request id"
        );
        self.0.insert(operation);
        Ok(answer)
    }

    /// Fails unless a call is refused with the error this function knows.
    async fn error<T: Debug, E: ProvideErrorMetadata + Debug>(
        &mut self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        is_due: fn(&E) -> bool,
    ) {
        let error = match call.await {
            Err(SdkError::ServiceError(error)) => error.into_err(),
            other => panic!("{operation} should be refused: {other:?}"),
        };
        assert!(is_due(&error), "{operation}: {error:?}");
        let message = error.message().unwrap_or_default();
        assert!(!message.is_empty(), "{operation}: {error:?}");
        self.0.insert(operation);
    }
}

fn time(seconds: u32) -> DateTime {
    DateTime::from_secs(i64::from(seconds))
}

#[test]
fn the_rust_sdk_drives_every_operation() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let flow = async {
        let (client, variables) = (connect(server.address()), Variables::new());
        let mut driven = Driven::default();
        traces(&client, &variables, &mut driven).await?;
        summaries(&client, &variables, &mut driven).await?;
        graphs(&client, &variables, &mut driven).await?;
        account::groups(&client, &mut driven).await?;
        account::sampling(&client, &variables, &mut driven).await?;
        account::settings(&client, &variables, &mut driven).await?;
        account::indexing(&client, &mut driven).await?;
        retrieval(&client, &variables, &mut driven).await?;
        insights(&client, &variables, &mut driven).await?;
        anyhow::Ok(driven.0)
    };
    let driven = runtime.block_on(flow).with_context(|| server.log())?;
    assert_eq!(driven.len(), 38, "{driven:?}");
    Ok(())
}

async fn traces(client: &Client, variables: &Variables, driven: &mut Driven) -> Result<()> {
    let call = client
        .put_trace_segments()
        .trace_segment_documents(&variables.front)
        .trace_segment_documents(&variables.back)
        .trace_segment_documents("{}");
    let put = driven.result("PutTraceSegments", call.send()).await?;
    let refused = put.unprocessed_trace_segments();
    assert_eq!(refused.len(), 1, "{put:?}");
    assert!(refused[0].error_code().is_some(), "{put:?}");

    let mut pages = client
        .batch_get_traces()
        .trace_ids(&variables.trace_id)
        .into_paginator()
        .send();
    let page = pages.next().await.context("a page")?;
    let page = driven.result("BatchGetTraces", async { page }).await?;
    let trace = page.traces().first().context("a trace")?;
    assert_eq!(
        (trace.duration(), trace.segments().len()),
        (Some(2.0), 2),
        "{trace:?}"
    );
    assert!(page.unprocessed_trace_ids().is_empty() && pages.next().await.is_none());
    let mut many = client.batch_get_traces();
    for _ in 0..6 {
        many = many.trace_ids(&variables.trace_id);
    }
    driven
        .error("BatchGetTraces", many.send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;

    Ok(())
}

async fn summaries(client: &Client, variables: &Variables, driven: &mut Driven) -> Result<()> {
    let (start, end) = (time(variables.start), time(variables.end));
    let whole = SamplingStrategy::builder()
        .name(SamplingStrategyName::FixedRate)
        .value(1.0)
        .build();
    let call = client
        .get_trace_summaries()
        .start_time(start)
        .end_time(end)
        .time_range_type(TimeRangeType::Event)
        .sampling_strategy(whole)
        .filter_expression("service(\"back\") { fault } AND annotation.tier = \"gold\"");
    let found = driven.result("GetTraceSummaries", call.send()).await?;
    let summary = found.trace_summaries().first().context("a summary")?;
    assert_eq!(summary.id(), Some(variables.trace_id.as_str()));
    assert_eq!(summary.response_time(), Some(2.0));
    assert_eq!(
        summary.start_time().map(DateTime::secs),
        Some(i64::from(variables.base))
    );
    let tier = summary
        .annotations()
        .and_then(|annotations| annotations.get("tier"));
    let value = tier.and_then(|values| values[0].annotation_value());
    assert!(value.is_some_and(|value| value.as_string_value().is_ok_and(|text| text == "gold")));
    let broken = client
        .get_trace_summaries()
        .start_time(start)
        .end_time(end)
        .filter_expression("duration < ");
    driven
        .error("GetTraceSummaries", broken.send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;

    let record = TelemetryRecord::builder()
        .timestamp(start)
        .segments_received_count(2)
        .build()?;
    let call = client.put_telemetry_records().telemetry_records(record);
    driven
        .result("PutTelemetryRecords", call.hostname("").send())
        .await?;
    Ok(())
}

async fn graphs(client: &Client, variables: &Variables, driven: &mut Driven) -> Result<()> {
    let (start, end) = (time(variables.start), time(variables.end));
    let call = client.get_trace_graph().trace_ids(&variables.trace_id);
    let graph = driven.result("GetTraceGraph", call.send()).await?;
    let front = graph
        .services()
        .iter()
        .find(|service| service.root() == Some(true));
    let front = front.context("a root")?;
    let total = front
        .summary_statistics()
        .and_then(ServiceStatistics::total_count);
    assert_eq!(
        (front.name(), total, front.edges().len()),
        (Some("front"), Some(1), 1)
    );

    let call = client.get_service_graph().start_time(start).end_time(end);
    let graph = driven.result("GetServiceGraph", call.send()).await?;
    let names: Vec<_> = graph
        .services()
        .iter()
        .filter_map(|service| service.name())
        .collect();
    assert!(
        names.contains(&"front") && names.contains(&"back"),
        "{names:?}"
    );
    let nobody = client
        .get_service_graph()
        .start_time(start)
        .end_time(end)
        .group_name("nobody");
    driven
        .error("GetServiceGraph", nobody.send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;

    let call = client
        .get_time_series_service_statistics()
        .start_time(start)
        .end_time(end)
        .period(60)
        .entity_selector_expression("service(\"front\")");
    let series = driven
        .result("GetTimeSeriesServiceStatistics", call.send())
        .await?;
    let buckets = series.time_series_service_statistics().iter();
    let counts = buckets.filter_map(|bucket| bucket.service_summary_statistics()?.total_count());
    assert_eq!(counts.sum::<i64>(), 1, "{series:?}");
    Ok(())
}

async fn retrieval(client: &Client, variables: &Variables, driven: &mut Driven) -> Result<()> {
    let call = client
        .start_trace_retrieval()
        .trace_ids(&variables.trace_id)
        .start_time(time(variables.start))
        .end_time(time(variables.end));
    let started = driven.result("StartTraceRetrieval", call.send()).await?;
    let token = started.retrieval_token().context("a token")?;
    let mut n_tries = 0;
    let listed = loop {
        let call = client
            .list_retrieved_traces()
            .retrieval_token(token)
            .trace_format(TraceFormatType::Xray);
        let listed = driven.result("ListRetrievedTraces", call.send()).await?;
        n_tries += 1;
        if listed.retrieval_status() == Some(&RetrievalStatus::Complete) || n_tries == 1000 {
            break listed;
        }
    };
    let trace = listed
        .traces()
        .first()
        .with_context(|| format!("{listed:?}"))?;
    assert!(!trace.spans().is_empty(), "{listed:?}");
    let call = client.get_retrieved_traces_graph().retrieval_token(token);
    let graph = driven
        .result("GetRetrievedTracesGraph", call.send())
        .await?;
    assert!(!graph.services().is_empty(), "{graph:?}");
    let call = client.cancel_trace_retrieval().retrieval_token(token);
    driven.result("CancelTraceRetrieval", call.send()).await?;
    let nobody = client.list_retrieved_traces().retrieval_token("nobody");
    driven
        .error("ListRetrievedTraces", nobody.send(), |error| {
            error.is_resource_not_found_exception()
        })
        .await;
    Ok(())
}

/// Insights take faults over some time; without any, lists are empty and single ones are refused.
async fn insights(client: &Client, variables: &Variables, driven: &mut Driven) -> Result<()> {
    let (start, end) = (time(variables.start), time(variables.end));
    let call = client
        .get_insight_summaries()
        .group_name("Default")
        .states(InsightState::Active)
        .start_time(start)
        .end_time(end);
    let listed = driven.result("GetInsightSummaries", call.send()).await?;
    assert!(listed.insight_summaries().is_empty(), "{listed:?}");
    let one = client.get_insight().insight_id(INSIGHT_ID);
    driven
        .error("GetInsight", one.send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;
    let events = client.get_insight_events().insight_id(INSIGHT_ID);
    driven
        .error("GetInsightEvents", events.send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;
    let graph = client
        .get_insight_impact_graph()
        .insight_id(INSIGHT_ID)
        .start_time(start)
        .end_time(end);
    driven
        .error("GetInsightImpactGraph", graph.send(), |error| {
            error.is_invalid_request_exception()
        })
        .await;
    Ok(())
}

const INSIGHT_ID: &str = "6b2fe0a4-1d3c-4a6e-9f00-0123456789ab";
