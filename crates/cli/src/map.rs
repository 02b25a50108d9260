//! `roentgen map`: which services there are, who calls whom, and how it goes.

mod dot;

use std::collections::HashMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use protocol::Operation;
use serde::{Deserialize, Serialize};

use crate::Session;
use crate::exit::{Exit, Stop};
use crate::figures::{Bucket, Figures, Statistics};
use crate::terminal::{Cell, Column, OutFlags, Progress, Row, note, print};
use crate::times::TimeFlags;

/// Which graph to show, and how.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    time: TimeFlags,
    /// Only traces of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// How the graph is printed
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["json", "plain"])]
    format: Format,
    #[command(flatten)]
    out: OutFlags,
}

/// How a graph is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A row for each service and, below it, for each that it calls
    #[default]
    Table,
    /// The same as --json
    Json,
    /// For Graphviz
    Dot,
}

/// A node as the API writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    reference_id: Option<i64>,
    #[serde(default)]
    name: Option<String>,
    #[serde(rename = "Type", default)]
    kind: Option<String>,
    #[serde(default)]
    summary_statistics: Option<Statistics>,
    #[serde(default)]
    duration_histogram: Option<Vec<Bucket>>,
    #[serde(default)]
    response_time_histogram: Option<Vec<Bucket>>,
    #[serde(default)]
    edges: Option<Vec<Edge>>,
}

/// An edge as the API writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Edge {
    #[serde(default)]
    reference_id: Option<i64>,
    #[serde(default)]
    summary_statistics: Option<Statistics>,
    #[serde(default)]
    response_time_histogram: Option<Vec<Bucket>>,
    #[serde(rename = "EdgeType", default)]
    kind: Option<String>,
}

/// A graph whose nodes have places instead of numbers, in order of their names.
#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: String,
    kind: Option<String>,
    /// Absent for the clients in front of a service.
    figures: Option<Figures>,
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    /// The place of the node that is called.
    to: usize,
    kind: Option<String>,
    figures: Figures,
}

/// What is printed of a graph: a node, or a call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    /// `Service` or `Call`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    name: &'a str,
    #[serde(rename = "Type")]
    node_kind: Option<&'a str>,
    #[serde(flatten)]
    figures: Option<Figures>,
}

/// Prints the services of a window.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let window = options.time.window((session.now)(), USUAL)?;
    let mut request = window.members();
    if let Some(group) = &options.group {
        request.insert("GroupName".to_owned(), group.as_str().into());
    }
    let client = &session.client;
    let services = client.all(Operation::GetServiceGraph, request, "Services");
    let progress = Progress::waiting("asking for services");
    let services = progress.during(|| client.n_throttled(), services).await;
    progress.finish();
    let graph = Graph::of(services?);
    if graph.nodes.is_empty() {
        note("nothing found");
        return Ok(Exit::NotFound);
    }
    let out = match options.format {
        Format::Dot => return print(&dot::render(&graph)).map(|()| Exit::Done),
        Format::Json => OutFlags::as_json(),
        Format::Table => options.out,
    };
    let mut listing = out.out().listing();
    for line in graph.lines() {
        listing.push(&line)?;
    }
    listing.finish()?;
    Ok(Exit::Done)
}

impl Graph {
    /// Returns the graph of the services of all pages.
    fn of(mut services: Vec<Service>) -> Self {
        services.sort_by(|one, other| (&one.name, &one.kind).cmp(&(&other.name, &other.kind)));
        let numbers = services.iter().enumerate();
        let places: HashMap<i64, usize> = numbers
            .filter_map(|(place, service)| Some((service.reference_id?, place)))
            .collect();
        let nodes = services
            .into_iter()
            .map(|service| Node::of(service, &places));
        Self {
            nodes: nodes.collect(),
        }
    }

    /// Returns a line for each node, followed by one for each of its calls.
    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        for node in &self.nodes {
            lines.push(Line {
                kind: "Service",
                from: None,
                name: &node.name,
                node_kind: node.kind.as_deref(),
                figures: node.figures,
            });
            for call in &node.calls {
                let Some(to) = self.nodes.get(call.to) else {
                    continue;
                };
                lines.push(Line {
                    kind: "Call",
                    from: Some(&node.name),
                    name: &to.name,
                    node_kind: call.kind.as_deref().or(to.kind.as_deref()),
                    figures: Some(call.figures),
                });
            }
        }
        lines
    }
}

impl Node {
    fn of(service: Service, places: &HashMap<i64, usize>) -> Self {
        let histogram = service.response_time_histogram.unwrap_or_default();
        let histogram = if histogram.is_empty() {
            service.duration_histogram.unwrap_or_default()
        } else {
            histogram
        };
        let figures = service.summary_statistics;
        let figures = figures.map(|statistics| Figures::of(&statistics, &histogram));
        let edges = service.edges.unwrap_or_default().into_iter();
        // What is called by a number nobody has cannot be named.
        let mut calls: Vec<Call> = edges
            .filter_map(|edge| {
                let to = *places.get(&edge.reference_id?)?;
                let statistics = edge.summary_statistics.unwrap_or_default();
                let histogram = edge.response_time_histogram.unwrap_or_default();
                Some(Call {
                    to,
                    kind: edge.kind,
                    figures: Figures::of(&statistics, &histogram),
                })
            })
            .collect();
        calls.sort_by_key(|call| call.to);
        Self {
            name: service.name.unwrap_or_else(|| "(no name)".to_owned()),
            kind: service.kind,
            figures,
            calls,
        }
    }
}

impl Row for Line<'_> {
    const COLUMNS: &'static [Column] = &[
        Column::text("SERVICE"),
        Column::text("TYPE").left_out(1),
        Column::number("REQUESTS").needed(),
        Column::number("FAULT"),
        Column::number("ERROR"),
        Column::number("THROTTLE"),
        Column::number("MEAN"),
        Column::number("P50"),
        Column::number("P99"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let name = match self.from {
            Some(_) => format!("  -> {}", self.name),
            None => self.name.to_owned(),
        };
        let mut cells = vec![name.into(), self.node_kind.unwrap_or_default().into()];
        match self.figures {
            Some(figures) => cells.extend(figures.cells()),
            None => cells.resize(Self::COLUMNS.len(), "".into()),
        }
        cells
    }

    fn values(&self) -> Vec<Cell> {
        let named = [self.from, Some(self.name), self.node_kind];
        let mut values: Vec<Cell> = named
            .into_iter()
            .map(|name| name.unwrap_or_default().into())
            .collect();
        match self.figures {
            Some(figures) => values.extend(figures.values()),
            None => values.resize(Self::COLUMNS.len() + 1, "".into()),
        }
        values
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen map --last 15m
  roentgen map --group payments --json
  roentgen map --last 1h --format dot | dot -Tsvg > services.svg";
pub(crate) const ABOUT: &str = "Show the services of a server and their calls

A service is followed by those it calls, with its calls as it saw them. Without a time the last hour is
meant. Lines of --plain are: who calls (empty for the service itself), service, type, requests, rates of
faults, errors and throttles, mean, p50 and p99. Exit codes: 0 done, 3 no traffic, 4 no server.";
const USUAL: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::terminal::{Form, Out};

    pub(super) fn graph(services: Value) -> Graph {
        Graph::of(serde_json::from_value(services).unwrap())
    }

    pub(super) fn small() -> Graph {
        let statistics = json!({
            "OkCount": 1, "ErrorStatistics": { "ThrottleCount": 0, "OtherCount": 0, "TotalCount": 0 },
            "FaultStatistics": { "OtherCount": 1, "TotalCount": 1 }, "TotalCount": 2, "TotalResponseTime": 1.5,
        });
        let histogram = json!([{ "Value": 1.0, "Count": 1 }, { "Value": 0.5, "Count": 1 }]);
        graph(json!([
            { "ReferenceId": 7, "Name": "shop", "Type": "AWS::EC2::Instance", "SummaryStatistics": statistics,
              "ResponseTimeHistogram": histogram, "Edges": [{ "ReferenceId": 99 }] },
            { "ReferenceId": 3, "Name": "shop", "Type": "client", "Edges": [
              { "ReferenceId": 7, "SummaryStatistics": statistics, "ResponseTimeHistogram": histogram }] },
            { "ReferenceId": 4, "Name": "a \"b\"\u{1b}", "Type": null, "Edges": null,
              "DurationHistogram": histogram, "SummaryStatistics": statistics },
        ]))
    }

    #[test]
    fn services_are_followed_by_their_calls() {
        let graph = small();
        let text: String = graph
            .lines()
            .iter()
            .map(|line| Out::fake(false, None).line(line, Form::Plain))
            .collect();
        assert_eq!(
            text,
            "\ta \"b\"\u{fffd}\t\t2\t0.5\t0\t0\t0.75\t0.5\t1\n\
             \tshop\tAWS::EC2::Instance\t2\t0.5\t0\t0\t0.75\t0.5\t1\n\
             \tshop\tclient\t\t\t\t\t\t\t\n\
             shop\tshop\tAWS::EC2::Instance\t2\t0.5\t0\t0\t0.75\t0.5\t1\n"
        );
    }

    #[test]
    fn a_table_shows_calls_below_their_service() {
        let graph = small();
        let lines = graph.lines();
        let rows: Vec<&Line<'_>> = lines.iter().collect();
        let table = |width| {
            let table = Out::fake(false, width).listing().rendered(&rows);
            table.replace('\u{fffd}', "?")
        };
        insta::assert_snapshot!(table(None), @r#"
        SERVICE    TYPE                REQUESTS  FAULT  ERROR  THROTTLE      MEAN       P50        P99
        a "b"?                                2  50.0%   0.0%      0.0%  750.0 ms  500.0 ms  1000.0 ms
        shop       AWS::EC2::Instance         2  50.0%   0.0%      0.0%  750.0 ms  500.0 ms  1000.0 ms
        shop       client
          -> shop  AWS::EC2::Instance         2  50.0%   0.0%      0.0%  750.0 ms  500.0 ms  1000.0 ms
        "#);
        insta::assert_snapshot!(table(Some(30)), @r#"
        SERVICE    REQUESTS  FAULT
        a "b"?            2  50.0%
        shop              2  50.0%
        shop
          -> shop         2  50.0%
        "#);
    }

    #[test]
    fn a_line_of_json_says_what_it_is_about() {
        let graph = small();
        let lines: Vec<Value> = graph
            .lines()
            .iter()
            .map(|line| serde_json::to_value(line).unwrap())
            .collect();
        assert_eq!(
            lines[2],
            json!({ "Kind": "Service", "Name": "shop", "Type": "client" })
        );
        assert_eq!(
            lines[3],
            json!({
                "Kind": "Call", "From": "shop", "Name": "shop", "Type": "AWS::EC2::Instance", "Requests": 2, "Faults": 1,
                "Errors": 0, "Throttles": 0, "FaultRate": 0.5, "ErrorRate": 0.0, "ThrottleRate": 0.0, "Mean": 0.75,
                "P50": 0.5, "P99": 1.0,
            })
        );
    }
}
