//! `roentgen groups`: groups of traces.

use clap::{Args, Subcommand, ValueEnum};
use protocol::Operation;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Session;
use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::filter::filter;
use crate::named;
use crate::terminal::{Cell, Column, OutFlags, Row, note, print, printable};

/// What to do about groups; without a command they are listed.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    out: OutFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a group, or change the one that is there
    #[command(before_help = PUT_EXAMPLES)]
    Put {
        /// The group
        name: String,
        /// Which traces belong to it, as a filter expression; "" for all
        expression: String,
        /// Look for insights in it; what is not said stays as it is
        #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "on")]
        insights: Option<Switch>,
    },
    /// Delete groups
    #[command(before_help = DELETE_EXAMPLES)]
    Delete {
        /// The groups
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Whether something is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// A group as the API has it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Group(Map<String, Value>);

/// Lists, puts or deletes groups.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let client = &session.client;
    match &options.command {
        None => list(client, options.out).await,
        Some(Command::Put {
            name,
            expression,
            insights,
        }) => put(client, name, expression, *insights).await,
        Some(Command::Delete { names }) => delete(client, names).await,
    }
}

async fn list(client: &Client, out: OutFlags) -> Result<Exit, Stop> {
    let groups = groups(client).await?;
    let mut listing = out.out().listing();
    for group in &groups {
        listing.push(group)?;
    }
    listing.finish()?;
    if groups.is_empty() {
        note("nothing found");
        return Ok(Exit::NotFound);
    }
    Ok(Exit::Done)
}

async fn put(
    client: &Client,
    name: &str,
    expression: &str,
    insights: Option<Switch>,
) -> Result<Exit, Stop> {
    if !expression.is_empty() {
        filter(expression)?;
    }
    let mut request = Map::new();
    request.insert("GroupName".to_owned(), name.into());
    if let Some(insights) = insights {
        let configuration = json!({ "InsightsEnabled": insights == Switch::On });
        request.insert("InsightsConfiguration".to_owned(), configuration);
    }
    let is_there = groups(client)
        .await?
        .iter()
        .any(|group| group.name() == name);
    // A new group without an expression takes all traces; one that is there must be told so.
    if is_there || !expression.is_empty() {
        request.insert("FilterExpression".to_owned(), expression.into());
    }
    let (operation, done) = if is_there {
        (Operation::UpdateGroup, "changed")
    } else {
        (Operation::CreateGroup, "made")
    };
    let answer: Value = client.call(operation, &request).await?;
    drop(answer);
    print(&format!("{done} {}\n", printable(name)))?;
    Ok(Exit::Done)
}

async fn delete(client: &Client, names: &[String]) -> Result<Exit, Stop> {
    let there = groups(client).await?;
    let names_there: Vec<&str> = there.iter().map(Group::name).collect();
    named::delete(
        client,
        Operation::DeleteGroup,
        "GroupName",
        &names_there,
        names,
    )
    .await
}

async fn groups(client: &Client) -> Result<Vec<Group>, Stop> {
    let groups = client.all(Operation::GetGroups, Map::new(), "Groups");
    let groups: Vec<Map<String, Value>> = groups.await?;
    Ok(groups.into_iter().map(Group).collect())
}

impl Group {
    fn name(&self) -> &str {
        self.text("GroupName")
    }

    fn text(&self, member: &str) -> &str {
        self.0
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn has_insights(&self) -> bool {
        let configuration = self.0.get("InsightsConfiguration");
        let enabled = configuration.and_then(|it| it.get("InsightsEnabled"));
        enabled.and_then(Value::as_bool).unwrap_or(false)
    }
}

impl Row for Group {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("INSIGHTS"),
        Column::text("FILTER"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let insights = if self.has_insights() { "on" } else { "off" };
        vec![
            self.name().into(),
            insights.into(),
            self.text("FilterExpression").into(),
        ]
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen groups
  roentgen groups put checkout 'service(\"checkout\") AND http.url CONTAINS \"/pay\"' --insights
  roentgen groups delete checkout";
pub(crate) const ABOUT: &str = "List, put and delete groups of traces

Without a command all groups are listed.
Exit codes: 0 done, 3 no such group, or none, 5 some deleted, 1 refused, 2 not an expression, 4 no server.";
const PUT_EXAMPLES: &str = "Examples:
  roentgen groups put slow 'responsetime > 2'
  roentgen groups put slow 'responsetime > 3' --insights
  roentgen groups put everything \"\" --insights=off";
const DELETE_EXAMPLES: &str = "Examples:
  roentgen groups delete slow";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Form, Out};

    #[test]
    fn a_group_is_a_line() {
        let check = |group: Value, expected: &str| {
            let Value::Object(group) = group else {
                panic!("not a group");
            };
            let line = Out::fake(false, None).line(&Group(group), Form::Plain);
            assert_eq!(line, expected);
        };
        check(json!({ "GroupName": "Default" }), "Default\toff\t\n");
        check(
            json!({ "GroupName": "a\n", "FilterExpression": "fault", "InsightsConfiguration": { "InsightsEnabled": true } }),
            "a\u{fffd}\ton\tfault\n",
        );
    }
}
