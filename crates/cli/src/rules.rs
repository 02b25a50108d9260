//! `roentgen rules`: sampling rules.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use protocol::Operation;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Session;
use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::named;
use crate::terminal::{Cell, Column, OutFlags, Row, escaped, note, print, printable};

/// What to do about sampling rules; without a command they are listed.
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
    /// Print a rule as JSON, as `rules put` takes it
    #[command(before_help = SHOW_EXAMPLES)]
    Show {
        /// The rule
        name: String,
    },
    /// Make rules, or change those that are there
    #[command(before_help = PUT_EXAMPLES, long_about = PUT_ABOUT)]
    Put {
        /// A file of JSON: a rule, or a list of rules; "-" reads standard input
        file: PathBuf,
    },
    /// Delete rules
    #[command(before_help = DELETE_EXAMPLES)]
    Delete {
        /// The rules
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// A rule as the API has it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Rule(Map<String, Value>);

/// Lists, shows, puts or deletes rules.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let client = &session.client;
    match &options.command {
        None => list(client, options.out).await,
        Some(Command::Show { name }) => show(client, name).await,
        Some(Command::Put { file }) => put(client, file).await,
        Some(Command::Delete { names }) => delete(client, names).await,
    }
}

async fn list(client: &Client, out: OutFlags) -> Result<Exit, Stop> {
    let mut rules = rules(client).await?;
    rules.sort_by_key(Rule::priority);
    let mut listing = out.out().listing();
    for rule in &rules {
        listing.push(rule)?;
    }
    listing.finish()?;
    if rules.is_empty() {
        note("nothing found");
        return Ok(Exit::NotFound);
    }
    Ok(Exit::Done)
}

async fn show(client: &Client, name: &str) -> Result<Exit, Stop> {
    let rules = rules(client).await?;
    let Some(Rule(mut rule)) = rules.into_iter().find(|rule| rule.name() == name) else {
        note(&format!("not found: {}", printable(name)));
        return Ok(Exit::NotFound);
    };
    // The server gives it, and takes none.
    rule.remove(ARN);
    let text = serde_json::to_string_pretty(&rule).map_err(Stop::failed)?;
    print(&format!("{}\n", escaped(&text)))?;
    Ok(Exit::Done)
}

async fn put(client: &Client, file: &Path) -> Result<Exit, Stop> {
    let wanted = read(file)?;
    let there = rules(client).await?;
    let mut n_put = 0;
    for rule in &wanted {
        let name = rule.name().to_owned();
        let is_there = there.iter().any(|there| there.name() == name);
        let (operation, request, done) = if is_there {
            let update = json!({ "SamplingRuleUpdate": rule.update() });
            (Operation::UpdateSamplingRule, update, "changed")
        } else {
            let create = json!({ "SamplingRule": rule.whole() });
            (Operation::CreateSamplingRule, create, "made")
        };
        if let Err(error) = client.call::<Value>(operation, &request).await {
            named::refused(error, &name, wanted.len())?;
            continue;
        }
        n_put += 1;
        print(&format!("{done} {}\n", printable(&name)))?;
    }
    Ok(Exit::of(n_put, wanted.len(), Exit::Failed))
}

async fn delete(client: &Client, names: &[String]) -> Result<Exit, Stop> {
    let there = rules(client).await?;
    let names_there: Vec<&str> = there.iter().map(Rule::name).collect();
    named::delete(
        client,
        Operation::DeleteSamplingRule,
        "RuleName",
        &names_there,
        names,
    )
    .await
}

async fn rules(client: &Client) -> Result<Vec<Rule>, Stop> {
    let records = client.all(
        Operation::GetSamplingRules,
        Map::new(),
        "SamplingRuleRecords",
    );
    let records: Vec<Value> = records.await?;
    let rules = records.into_iter().filter_map(|mut record| {
        match record.get_mut("SamplingRule").map(Value::take) {
            Some(Value::Object(rule)) => Some(Rule(rule)),
            _ => None,
        }
    });
    Ok(rules.collect())
}

/// Returns the rules of a file, "-" for standard input.
fn read(file: &Path) -> Result<Vec<Rule>, Stop> {
    let name = file.display();
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin().lock())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| Stop::usage(format!("cannot read {name}: {error}")))?;
    parse(&text).map_err(|message| Stop::usage(format!("{name}: {message}")))
}

/// Returns the rules of a text: one or a list, each bare or as the API wraps it.
fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let values = match value {
        Value::Array(values) => values,
        value => vec![value],
    };
    let mut rules = Vec::new();
    for mut value in values {
        let wrapped = ["SamplingRule", "SamplingRuleUpdate"]
            .iter()
            .find_map(|name| value.get_mut(name).map(Value::take));
        let Value::Object(members) = wrapped.unwrap_or(value) else {
            return Err("expected a rule, or a list of rules".to_owned());
        };
        let rule = Rule(members);
        if rule.name().is_empty() {
            return Err("a rule without RuleName".to_owned());
        }
        rules.push(rule);
    }
    Ok(rules)
}

impl Rule {
    fn name(&self) -> &str {
        self.text("RuleName")
    }

    fn text(&self, member: &str) -> &str {
        self.0
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn priority(&self) -> i64 {
        self.0.get("Priority").and_then(Value::as_i64).unwrap_or(0)
    }

    /// Returns the rule with what it does not say: that it is for everything.
    fn whole(&self) -> Map<String, Value> {
        let mut whole = self.0.clone();
        whole.remove(ARN);
        for member in MATCHERS {
            whole.entry(*member).or_insert_with(|| "*".into());
        }
        whole.entry("Version").or_insert_with(|| 1.into());
        whole
    }

    /// Returns what may be changed of a rule; of the one that is always there that is less.
    fn update(&self) -> Map<String, Value> {
        let is_default = self.name() == "Default";
        let members = self
            .0
            .iter()
            .filter(|(member, value)| match member.as_str() {
                ARN | "Version" => false,
                // It says the same as before; the service takes not even that.
                member if is_default && MATCHERS.contains(&member) => *value != "*",
                "Priority" => !is_default || **value != DEFAULT_PRIORITY,
                "Attributes" => !is_default || value.as_object().is_none_or(|all| !all.is_empty()),
                _ => true,
            });
        members
            .map(|(member, value)| (member.clone(), value.clone()))
            .collect()
    }
}

impl Row for Rule {
    const COLUMNS: &'static [Column] = &[
        Column::number("PRIORITY"),
        Column::text("NAME"),
        Column::number("RATE"),
        Column::number("RESERVOIR"),
        Column::text("SERVICE"),
        Column::text("TYPE"),
        Column::text("HOST"),
        Column::text("METHOD"),
        Column::text("PATH"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let number = |member: &str| {
            let number = self.0.get(member).filter(|value| value.is_number());
            Cell::from(number.map(ToString::to_string).unwrap_or_default())
        };
        vec![
            number("Priority"),
            self.name().into(),
            number("FixedRate"),
            number("ReservoirSize"),
            self.text("ServiceName").into(),
            self.text("ServiceType").into(),
            self.text("Host").into(),
            self.text("HTTPMethod").into(),
            self.text("URLPath").into(),
        ]
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen rules
  roentgen rules show checkout > checkout.json
  roentgen rules put checkout.json
  roentgen rules delete checkout";
pub(crate) const ABOUT: &str = "List, show, put and delete sampling rules

Without a command all rules are listed, in the order they are tried.
Exit codes: 0 done, 3 no such rule, or none, 5 some put or deleted, 1 refused, 2 unreadable input, 4 no server.";
const SHOW_EXAMPLES: &str = "Examples:
  roentgen rules show checkout
  roentgen rules show Default | sed 's/\"FixedRate\": .*/\"FixedRate\": 0.5,/' | roentgen rules put -";
const PUT_EXAMPLES: &str = "Examples:
  roentgen rules put checkout.json
  echo '{\"RuleName\": \"all\", \"Priority\": 5000, \"FixedRate\": 1, \"ReservoirSize\": 10}' | roentgen rules put -";
const PUT_ABOUT: &str = "Make rules, or change those that are there

A rule that is made and does not say what it is for is for everything. Of a rule that is there, what is not
said stays as it is.";
const DELETE_EXAMPLES: &str = "Examples:
  roentgen rules delete checkout";
const ARN: &str = "RuleARN";
const MATCHERS: &[&str] = &[
    "ResourceARN",
    "ServiceName",
    "ServiceType",
    "Host",
    "HTTPMethod",
    "URLPath",
];
const DEFAULT_PRIORITY: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Form, Out};

    fn names(text: &str) -> Result<Vec<String>, String> {
        let rules = parse(text)?;
        Ok(rules.iter().map(|rule| rule.name().to_owned()).collect())
    }

    #[test]
    fn rules_are_read_in_every_form() {
        let check = |text: &str, expected: &[&str]| assert_eq!(names(text).unwrap(), expected);
        check(r#"{"RuleName": "a"}"#, &["a"]);
        check(r#"[{"RuleName": "a"}, {"RuleName": "b"}]"#, &["a", "b"]);
        check(
            r#"{"SamplingRule": {"RuleName": "a"}, "CreatedAt": 1}"#,
            &["a"],
        );
        check(r#"{"SamplingRuleUpdate": {"RuleName": "a"}}"#, &["a"]);
        check("[]", &[]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let check = |text: &str, words: &str| {
            let error = names(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        check("nonsense", "not JSON");
        check("5", "expected a rule");
        check("[[]]", "expected a rule");
        check(r#"{"Priority": 1}"#, "RuleName");
    }

    fn rule(members: &Value) -> Rule {
        parse(&members.to_string()).unwrap().pop().unwrap()
    }

    #[test]
    fn a_new_rule_is_for_everything_it_does_not_say() {
        let whole = rule(&json!({ "RuleName": "a", "Host": "h", "RuleARN": "x" })).whole();
        let expected = json!({
            "RuleName": "a", "Host": "h", "ResourceARN": "*", "ServiceName": "*", "ServiceType": "*",
            "HTTPMethod": "*", "URLPath": "*", "Version": 1,
        });
        assert_eq!(Value::Object(whole), expected);
    }

    #[test]
    fn a_change_says_only_what_can_be_changed() {
        let check = |members: Value, expected: Value| {
            assert_eq!(Value::Object(rule(&members).update()), expected);
        };
        let named = |name: &str| {
            json!({
                "RuleName": name, "RuleARN": "x", "Version": 1, "FixedRate": 0.5, "Host": "*", "Priority": 10_000,
                "Attributes": {},
            })
        };
        check(
            named("Default"),
            json!({ "RuleName": "Default", "FixedRate": 0.5 }),
        );
        check(
            named("a"),
            json!({ "RuleName": "a", "FixedRate": 0.5, "Host": "*", "Priority": 10_000, "Attributes": {} }),
        );
        // What cannot be done is the server's to refuse.
        let other = json!({ "RuleName": "Default", "Host": "h", "Priority": 1 });
        check(other.clone(), other);
    }

    #[test]
    fn a_rule_is_a_line() {
        let rule = rule(&json!({
            "RuleName": "a\u{1b}[2J", "Priority": 5, "FixedRate": 0.05, "ReservoirSize": 1, "ServiceName": "s",
            "ServiceType": "*", "Host": "h\tx", "HTTPMethod": "GET", "URLPath": "/*",
        }));
        let line = Out::fake(false, None).line(&rule, Form::Plain);
        assert_eq!(
            line,
            "5\ta\u{fffd}[2J\t0.05\t1\ts\t*\th\u{fffd}x\tGET\t/*\n"
        );
    }
}
