//! What is shown, one literal case each, and that nothing else ever is.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const TRACE: &str = "1-581cf771-a006649127e371903a2de979";

fn check(document: &str, expected: &str) {
    assert_eq!(excerpt(document), expected, "{document}");
}

#[test]
fn what_names_the_sender_stays() {
    check(
        r#"{"trace_id": "1-581cf771-a006649127e371903a2de979", "id": "70de5b6f19ff9a0a", "name": "shop zo\u00eb?"}"#,
        r#"{"trace_id":"1-581cf771-a006649127e371903a2de979","id":"70de5b6f19ff9a0a","name":"shop zo\u00eb?"}"#,
    );
    check(
        r#"{"type":"subsegment","parent_id":"70de5b6f19ff9a0a","in_progress":true,"name":"a"}"#,
        r#"{"type":"subsegment","parent_id":"70de5b6f19ff9a0a","in_progress":true,"name":"a"}"#,
    );
    check(
        r#"[{"id":"1"},{"name":"b","subsegments":[{"name":"c","id":"2"}]}]"#,
        r#"[{"id":"1"},{"name":"b","subsegments":[{"name":"c","id":"2"}]}]"#,
    );
}

#[test]
fn everything_else_is_masked() {
    check(
        r#"{"start_time":1795304489.5,"end_time":-1E9,"fault":true,"user":"u","x":null}"#,
        r#"{"start_time":*,"end_time":*,"fault":*,"user":"*","x":*}"#,
    );
    check(
        r#"{"http":{"request":{"url":"http://u:p@h/?t=1","name":"n","id":"1"}},"sql":{},"links":[]}"#,
        r#"{"http":{"request":{"url":"*","name":"*","id":"*"}},"sql":{},"links":[]}"#,
    );
    check(
        r#"{"annotations":{"name":"n","mail@x":1},"metadata":{"default":{"id":"1","k":[{"name":"n"}]}}}"#,
        r#"{"annotations":{"*":"*","*":*},"metadata":{"*":{"*":"*","*":[{"*":"*"}]}}}"#,
    );
    check(
        r#"{"aws":{"Metadata":{"k":1}},"mail@x":1,"a\u0041":2}"#,
        r#"{"aws":{"Metadata":{"*":*}},"*":*,"*":*}"#,
    );
}

#[test]
fn what_only_poses_as_an_id_is_masked() {
    check(
        r#"{"id":"hunter2","trace_id":"1-x","parent_id":"a b","type":"secret","in_progress":"yes"}"#,
        r#"{"id":"*","trace_id":"*","parent_id":"*","type":"*","in_progress":"*"}"#,
    );
    check(
        r#"{"id":12,"name":7,"in_progress":1,"type":true}"#,
        r#"{"id":*,"name":*,"in_progress":*,"type":*}"#,
    );
    check(
        r#"{"name":{"name":"n"},"id":["1"],"subsegments":{"name":"n"}}"#,
        r#"{"name":{"name":"*"},"id":["*"],"subsegments":{"name":"*"}}"#,
    );
    check(r#"[[{"name":"n"}]]"#, r#"[[{"name":"*"}]]"#);
    check(
        r#"{"name":"a","name":"b","user":"u","user":"v"}"#,
        r#"{"name":"a","name":"b","user":"*","user":"*"}"#,
    );
    check("{\"name\":\"a\nb\"}", r#"{"name":"*"}"#);
    check(
        &format!(r#"{{"id":"{}"}}"#, "a".repeat(65)),
        r#"{"id":"*"}"#,
    );
}

#[test]
fn an_excerpt_ends_where_the_json_does() {
    check("{", "{...");
    check(r#"{"name":"shop"#, r#"{"name":..."#);
    check(r#"{"user":"secret"#, r#"{"user":..."#);
    check(r#"{"user":"secret\"#, r#"{"user":..."#);
    check(
        r#"{"user":"se\"cret","id":"1"}"#,
        r#"{"user":"*","id":"1"}"#,
    );
    check(r#"{"user":"x\\","id":"1"}"#, r#"{"user":"*","id":"1"}"#);
    check(r#"{"secret""#, "{...");
    check(r#"{"secret","x":1}"#, "{...");
    check(r#"{"name":"shop"secret"#, r#"{"name":"shop"..."#);
    check(r#"{"name":"shop":"secret"}"#, r#"{"name":"shop"..."#);
    check(r#"{"name":secret}"#, r#"{"name":*}"#);
    check(r#"{"name":se cret}"#, r#"{"name":*..."#);
    check(r#"{"name":12"#, r#"{"name":..."#);
    check(r"{'name':'secret'}", "{...");
    check(r#"{"id":"1"} secret"#, r#"{"id":"1"}..."#);
    check(r#"{"id":"1"}}"#, r#"{"id":"1"}..."#);
    check(r#"{"id":"1",}"#, r#"{"id":"1",..."#);
    check("[,]", "[...");
    check("[]", "[]");
    check(" { } ", "{}");
}

#[test]
fn of_other_texts_punctuation_is_left() {
    check("", "");
    check("secret", "*");
    check("\"secret\"", "\"*\"");
    check("T1SCuoCCp+/=", "*+/=");
    check("<a b='s3cret'>\n\n</a>", "<* *='*'> </*>");
    check("zo\u{eb} \u{1b}[31m \u{0}", "* *[* *");
    check("key=abc&&key=def", "*=*&&*=*");
}

#[test]
fn excerpts_are_short() {
    let name = "\u{20ac}".repeat(200);
    let shown = excerpt(&format!(r#"{{"name":"{name}","user":"secret"}}"#));
    assert!(shown.starts_with("{\"name\":\"\u{20ac}\u{20ac}") && shown.ends_with("\u{20ac}..."));
    assert!((156..=160).contains(&shown.len()), "{}", shown.len());
    assert_eq!(excerpt(&"[".repeat(1 << 20)).len(), 132);
    assert_eq!(excerpt(&"{\"a\":".repeat(1 << 18)).len(), 160);
    assert_eq!(excerpt(&"?".repeat(1 << 20)).len(), 160);
    let cut = format!(r#"{{"id":"1","user":"{}"}}"#, "\u{20ac}".repeat(30_000));
    assert_eq!(excerpt(&cut), r#"{"id":"1","user":..."#);
    let many = format!("[{}1]", "1,".repeat(1 << 18));
    assert_eq!(excerpt(&many), format!("[{}...", "*,".repeat(78)));
}

fn check_trace(document: &str, expected: bool) {
    let expected = expected.then(|| TraceId::parse(TRACE).unwrap());
    assert_eq!(read(document).trace_id, expected, "{document}");
}

#[test]
fn the_trace_is_found_in_broken_documents() {
    check_trace(&format!(r#"{{"trace_id":"{TRACE}"}}"#), true);
    check_trace(&format!(r#"{{"a":[1],"trace_id" : "{TRACE}" oops"#), true);
    let long = "x".repeat(1000);
    check_trace(&format!(r#"{{"name":"{long}","trace_id":"{TRACE}","#), true);
    check_trace(
        &format!(r#"{{"trace_id":"{TRACE}","trace_id":"1-00000000-000000000000000000000000"}}"#),
        true,
    );
    check_trace(&format!(r#"{{"trace_id":"{TRACE}"#), false);
    check_trace(&format!(r#"{{"http":{{"trace_id":"{TRACE}"}}}}"#), false);
    check_trace(&format!(r#"[{{"trace_id":"{TRACE}"}}]"#), false);
    check_trace(r#"{"trace_id":"1-x"}"#, false);
    check_trace(TRACE, false);
}

/// Secrets are made of letters no name of a member has, so that a single one of them tells.
fn secret() -> impl Strategy<Value = String> {
    "[QXZJ]{4,12}(\\\\|\"|/|\u{e9}| )?[QXZJ]{1,8}"
}

fn shows_secret(text: &str) -> bool {
    text.contains(['Q', 'X', 'Z', 'J'])
}

/// Values with a secret in every scalar that is not exempt, below names of all kinds.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        secret().prop_map(Value::String),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let name = prop_oneof![
        Just("user".to_owned()),
        Just("annotations".to_owned()),
        Just("metadata".to_owned()),
        Just("subsegments".to_owned()),
        Just("http".to_owned()),
        Just("id".to_owned()),
        Just("type".to_owned()),
        Just("in_progress".to_owned()),
        "[a-m]{1,4}",
    ];
    scalar.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Returns the text with one byte's worth of damage: a character left out or replaced.
fn damaged(text: &str, at: usize, with: Option<char>) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    if !chars.is_empty() {
        let at = at % chars.len();
        match with {
            Some(char) => chars[at] = char,
            None => {
                chars.remove(at);
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #[test]
    fn no_secret_is_ever_shown(
        value in value(),
        secret in secret(),
        pretty: bool,
        at: usize,
        with in proptest::option::of(proptest::sample::select(vec!['"', '\\', ',', ':', '{', '}', '[', ']', 'a', ' '])),
        is_damaged: bool,
        end: usize,
        is_cut: bool,
    ) {
        let mut document = json!({ "name": "shop", "user": secret, "id": "1", "value": value });
        if let Value::Object(members) = value {
            document.as_object_mut().unwrap().extend(members);
        }
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let mut text = text.unwrap();
        if is_damaged {
            text = damaged(&text, at, with);
        }
        if is_cut {
            text = text.chars().take(end % (text.len() + 1)).collect();
        }
        let shown = excerpt(&text);
        prop_assert!(!shows_secret(&shown), "{shown} of {text}");
        prop_assert!(shown.len() <= EXCERPT_BYTES_MAX);
    }

    #[test]
    fn no_secret_of_other_texts_is_shown(before in "[ -Z\\]-z]{0,8}", secret in secret(), after in "\\PC{0,200}") {
        let text = format!("{before}{secret}{after}").replace(['Q', 'X', 'Z', 'J'], "Q");
        let text = text.trim_start_matches(|first: char| "{[ ".contains(first)).to_owned();
        prop_assert!(!shows_secret(&excerpt(&text)), "{text}");
    }

    #[test]
    fn any_text_has_an_excerpt(text in "\\PC{0,300}", depth in 0_usize..300) {
        prop_assert!(excerpt(&text).len() <= EXCERPT_BYTES_MAX);
        let nested = format!("{}{text}", "{\"a\":[".repeat(depth));
        prop_assert!(excerpt(&nested).len() <= EXCERPT_BYTES_MAX);
    }
}
