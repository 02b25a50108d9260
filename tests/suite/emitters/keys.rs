//! boto3 and the AWS CLI, which sign what they send: what their users see of right keys and of wrong ones.

use anyhow::Result;
use roentgen_tests::Server;
use roentgen_tests::server::documents_of;
use roentgen_tests::wait::until;
use serde_json::{Value, json};

use super::place::Place;
use super::shop::{Shop, named};
use crate::fixture::{segment, trace_id};

const KEYS: &str = r#"
[[key]]
id = "SHOPAGENT"
secret = "a secret of its agents"
account = "111122223333"
rights = ["write"]

[[key]]
id = "SHOPDEVELOPER"
secret = "a secret of the shop"
account = "111122223333"
regions = ["us-east-1", "eu-west-1"]
rights = ["write", "read"]

[[key]]
id = "SHOPREADER"
secret = "a secret of its readers"
account = "111122223333"
rights = ["read"]

[[key]]
id = "OTHERDEVELOPER"
secret = "a secret of others"
account = "444455556666"
rights = ["write", "read", "admin"]
"#;

/// Starts a server that lets in those who sign with one of the keys, and datagrams and samplers for one account.
fn serve_to_keys(place: &Place) -> Result<Server> {
    std::fs::write(place.folder().join("keys.toml"), KEYS)?;
    let ours = "111122223333/us-east-1";
    let config = format!(
        "[auth]\nmode = \"sigv4\"\nkeys = \"keys.toml\"\nunsigned_sampling = \"{ours}\"\ndatagrams = \"{ours}\"\n"
    );
    place.serve_with(&place.home().config(&config)?)
}

#[test]
fn boto3_sees_what_its_keys_are_good_for() -> Result<()> {
    let place = Place::new()?;
    let _server = serve_to_keys(&place)?;
    let trace_id = trace_id(1);
    let document = segment(&trace_id, "00000000000000a1", &json!({}));
    let variables = [
        ("TRACE_ID", trace_id.as_str()),
        ("DOCUMENT", document.as_str()),
    ];
    let printed = place.follow("boto3", &variables)?.finish()?;
    let seen: Vec<(String, Value)> = printed
        .lines()
        .map(|line| {
            let step: Value = serde_json::from_str(line)?;
            let name = step["name"].as_str().unwrap_or_default();
            Ok((name.to_owned(), step["seen"].clone()))
        })
        .collect::<Result<_>>()?;
    let expected = [
        ("an agent writes", json!("done")),
        ("a developer reads", json!([trace_id])),
        ("a reader reads", json!([trace_id])),
        ("another account reads", json!([])),
        ("another region reads", json!([])),
        ("a region the key has not", json!(WRONG)),
        ("a wrong secret", json!(WRONG)),
        ("a key nobody has", json!(WRONG)),
        ("a clock four minutes fast", json!([trace_id])),
        ("a clock an hour fast", json!(WRONG)),
        ("a clock an hour slow", json!(WRONG)),
        ("a reader writes", json!(DENIED)),
        ("an agent reads", json!(DENIED)),
        ("an agent samples", json!("done")),
        ("a developer changes settings", json!(DENIED)),
    ];
    let expected = expected.map(|(name, seen)| (name.to_owned(), seen));
    assert_eq!(seen, expected);
    Ok(())
}

#[test]
fn the_aws_cli_finds_what_an_sdk_sent_without_a_signature() -> Result<()> {
    let place = Place::new()?;
    let _server = serve_to_keys(&place)?;
    let shop = Shop::open(&place, "xray-python", &[])?;
    let trace_id = trace_id(1);
    assert_eq!(shop.visit("/checkout", &trace_id)?.status, 200);
    let documents = until("the checkout is found", || {
        let documents = documents_of(&cli(&place, &DEVELOPER, &trace_id)?["Traces"][0]);
        Ok(documents.ok().filter(|documents| documents.len() == 2))
    })?;
    assert_eq!(named(&documents, "shop")?["user"], "anna");
    let other = cli(&place, &OTHER, &trace_id)?;
    assert_eq!(other, json!({ "Traces": [], "UnprocessedTraceIds": [] }));
    shop.close()
}

/// Returns what the AWS CLI prints of a trace to the owner of a key.
fn cli(place: &Place, key: &[(&str, &str); 2], trace_id: &str) -> Result<Value> {
    let environment = [&key[..], &[("TRACE_ID", trace_id)]].concat();
    let printed = place.follow("cli", &environment)?.finish()?;
    Ok(serde_json::from_str(&printed)?)
}

const DEVELOPER: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "SHOPDEVELOPER"),
    ("AWS_SECRET_ACCESS_KEY", "a secret of the shop"),
];
const OTHER: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "OTHERDEVELOPER"),
    ("AWS_SECRET_ACCESS_KEY", "a secret of others"),
];
const WRONG: &str = "403 InvalidSignatureException";
const DENIED: &str = "403 AccessDeniedException";
