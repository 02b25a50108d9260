//! What no text may do: panic, take long, or be refused somewhere outside of it.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::{Filter, FilterError, GroupRef, Selector};
use super::corpus::Corpus;
use super::no_groups;

/// Checks that an error is at a character of the text, or one past the last of a line.
fn is_within(text: &str, error: &FilterError) -> bool {
    let lines: Vec<&str> = text.split('\n').collect();
    let line = error.line.checked_sub(1).and_then(|idx| lines.get(idx));
    line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&error.column))
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match Filter::parse(text, &no_groups) {
        Ok(filter) => {
            let printed = filter.to_string();
            let again = Filter::parse(&printed, &no_groups);
            // What is printed may be longer than what may be written.
            if printed.chars().count() <= 10_000 {
                prop_assert_eq!(again.map(|again| again.expression), Ok(filter.expression));
            }
        }
        Err(error) => prop_assert!(is_within(text, &error), "{text:?}: {error}"),
    }
    if let Err(error) = Selector::parse(text) {
        prop_assert!(is_within(text, &error), "{text:?}: {error}");
    }
    Ok(())
}

fn corpus_texts() -> Vec<String> {
    let corpus = Corpus::read();
    let accepted = corpus.accepted.into_iter().map(|case| case.expr);
    let rejected = corpus.rejected.into_iter().map(|case| case.expr);
    accepted.chain(rejected).collect()
}

/// Pieces of the language and what comes near to it.
fn pieces() -> Vec<&'static str> {
    vec![
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "!",
        "=",
        "!=",
        "<",
        ">=",
        "\"",
        "\\",
        "\\u00",
        "#",
        "#[",
        "{}",
        " ",
        "\n",
        "5",
        "-.5e",
        "ok",
        "user",
        "service",
        "edge(",
        "id(name:",
        "and",
        " OR ",
        "annotation.",
        "annotation[",
        "rootcause.fault.entity {",
        "json = #[{",
        "contains",
        "true",
        "\u{e9}",
        "\u{1f600}",
        "\u{0}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_pieces_of_the_language_are_read_or_refused(
        pieces in proptest::collection::vec(select(pieces()), 0..30),
    ) {
        check(&pieces.concat())?;
    }

    #[test]
    fn any_near_miss_is_read_or_refused(
        text in select(corpus_texts()),
        edits in proptest::collection::vec((any::<Index>(), 0..3_usize, select(pieces())), 1..4),
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        for (place, n_removed, piece) in edits {
            let start = place.index(chars.len() + 1);
            let end = (start + n_removed).min(chars.len());
            chars.splice(start..end, piece.chars());
        }
        check(&chars.into_iter().collect::<String>())?;
    }
}

#[test]
fn every_beginning_of_every_case_is_read_or_refused() {
    for text in corpus_texts() {
        for (end, _) in text.char_indices() {
            check(&text[..end]).unwrap();
        }
    }
}

#[test]
fn texts_made_to_take_long_do_not() {
    let repeated = |piece: &str| piece.repeat(10_000 / piece.len());
    let nested_json = format!("json = #{}", repeated("["));
    let long_string = format!("user = \"{}", "a".repeat(9_000));
    let texts = [
        repeated("!"),
        repeated("("),
        repeated("{"),
        repeated("\""),
        repeated("\\"),
        repeated("ok "),
        repeated("user = \"a\" "),
        repeated("annotation["),
        repeated("annotation.a "),
        repeated("service("),
        repeated("ok OR "),
        repeated("service(){ok}"),
        repeated("a."),
        repeated("1"),
        repeated("\n"),
        repeated("json = #[{}] "),
        nested_json,
        long_string,
    ];
    for text in texts {
        let begun = Instant::now();
        let _read_or_refused = Filter::parse(&text, &no_groups);
        // Milliseconds as a rule: the bound tells linear from worse on a busy machine.
        let head = &text[..20];
        assert!(begun.elapsed() < Duration::from_secs(2), "{head}");
    }
}

/// Found by fuzzing: the names of unknown members were quoted to their end.
#[test]
fn refusals_are_short_however_long_the_text_is() {
    let long = "a".repeat(5000);
    for text in [
        long.clone(),
        format!("user = \"{long}"),
        format!("annotation[{long}"),
        format!("json = #[{{\"{long}\": 1}}]"),
        format!("json = #[{{\"Services\": [{{\"Name\": [\"{long}\"]}}]}}]"),
        format!("json = #[{{\"ClientImpacting\": \"{long}\"}}]"),
        format!("group.name = \"{long}\""),
    ] {
        let error = Filter::parse(&text, &no_groups).unwrap_err();
        assert!(error.message.chars().count() < 400, "{error}");
    }
}

#[test]
fn groups_that_multiply_are_refused() {
    let filter_of = |reference: GroupRef<'_>| match reference {
        GroupRef::Name(level) => {
            let level: u32 = level.parse().ok()?;
            let next = format!("group.name = \"{}\" ", level + 1);
            Some(if level < 6 {
                next.repeat(400)
            } else {
                "ok".to_owned()
            })
        }
        GroupRef::Arn(_) => None,
    };
    let error = Filter::parse("group.name = \"0\"", &filter_of).unwrap_err();
    assert!(error.message.contains("more than 5000 parts"), "{error}");
}

#[test]
fn groups_nest_no_deeper_than_expressions() {
    let filter_of = |reference: GroupRef<'_>| match reference {
        GroupRef::Name(level) => {
            let level: usize = level.parse().ok()?;
            let inner = match level {
                0 => "ok".to_owned(),
                level => format!("group.name = \"{}\"", level - 1),
            };
            Some(format!("{}{inner}{}", "(".repeat(20), ")".repeat(20)))
        }
        GroupRef::Arn(_) => None,
    };
    assert!(Filter::parse("group.name = \"2\" AND group.name = \"2\"", &filter_of).is_ok());
    let error = Filter::parse("ok group.name = \"3\"", &filter_of).unwrap_err();
    assert_eq!(error.column, 17);
    assert!(error.message.contains("64 levels deep"), "{error}");
}

#[test]
fn an_expression_is_as_long_as_it_may_be_or_refused() {
    let longest = format!("user = \"{}\"", "\u{e9}".repeat(9_991));
    assert_eq!(longest.chars().count(), 10_000);
    assert!(Filter::parse(&longest, &no_groups).is_ok());
    let error = Filter::parse(&format!("{longest} "), &no_groups).unwrap_err();
    assert_eq!((error.line, error.column), (1, 10_001));
    assert!(
        error.message.contains("longer than 10000 characters"),
        "{error}"
    );
}
