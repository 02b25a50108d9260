//! What came out of all checks, as a table for people or as lines of JSON.

use std::fmt::Write;

use anstyle::Style;
use protocol::Operation;
use serde::Serialize;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use crate::exit::Stop;
use crate::summary::FAULT;
use crate::terminal::{Cell, Column, Out, Row, counted, escaped, print};

/// What came out of one check.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// What it is about.
    pub(super) operation: Operation,
    /// What should be so.
    pub(super) name: String,
    /// What is wrong instead.
    pub(super) failure: Option<String>,
}

/// Every outcome in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Report {
    outcomes: Vec<Outcome>,
}

impl Report {
    /// Adds an outcome.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Tells whether everything passed.
    pub(super) fn is_flawless(&self) -> bool {
        self.outcomes
            .iter()
            .all(|outcome| outcome.failure.is_none())
    }

    /// Returns how many checks there were.
    pub(super) fn n_checks(&self) -> u64 {
        u64::try_from(self.outcomes.len()).unwrap_or(u64::MAX)
    }

    /// Prints a row per operation and the sum.
    pub(super) fn show(&self, out: Out) -> Result<(), Stop> {
        let mut listing = out.listing();
        for score in self.scores() {
            listing.push(&score)?;
        }
        listing.finish()?;
        print(&format!("\n{}", self.sum(out.width())))
    }

    /// Returns how each operation fared that was checked.
    fn scores(&self) -> Vec<Score> {
        let scores = Operation::ALL.into_iter().filter_map(|operation| {
            let (n_passed, n_checks, first) = self.of(operation);
            (n_checks > 0).then(|| Score {
                operation: operation.name(),
                n_passed,
                n_checks,
                first_failure: first.map(described),
            })
        });
        scores.collect()
    }

    /// Returns the sum as a line, or as two if one does not fit.
    fn sum(&self, width: Option<usize>) -> String {
        let scores = self.scores();
        let n_whole = scores.iter().filter(|score| score.is_whole()).count();
        let n_operations = u64::try_from(scores.len()).unwrap_or(u64::MAX);
        let (n_passed, of) = (self.n_passed(), counted(self.n_checks(), "check"));
        let checks = format!("{n_passed} of {of} passed");
        let of = counted(n_operations, "operation");
        let operations = format!("{n_whole} of {of} passed all");
        let line = format!("{checks}; {operations}\n");
        let fits = width.is_none_or(|width| line.width() <= width);
        if fits {
            line
        } else {
            format!("{checks}\n{operations}\n")
        }
    }

    /// Returns a line of JSON per check, and one for the sum.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        for outcome in &self.outcomes {
            let mut line = json!({
                "operation": outcome.operation.name(),
                "check": outcome.name,
                "passed": outcome.failure.is_none(),
            });
            if let (Some(failure), Some(members)) = (&outcome.failure, line.as_object_mut()) {
                members.insert("failure".to_owned(), failure.as_str().into());
            }
            push_line(&mut lines, &escaped(&line.to_string()));
        }
        let sum = json!({ "passed": self.n_passed(), "total": self.outcomes.len() });
        push_line(&mut lines, &sum.to_string());
        lines
    }

    fn n_passed(&self) -> usize {
        let passed = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.failure.is_none());
        passed.count()
    }

    /// Returns how many checks of an operation passed, how many there are, and the first that did not pass.
    fn of(&self, operation: Operation) -> (usize, usize, Option<&Outcome>) {
        let (mut n_passed, mut n_checks, mut first) = (0, 0, None);
        for outcome in &self.outcomes {
            if outcome.operation != operation {
                continue;
            }
            n_checks += 1;
            match outcome.failure {
                None => n_passed += 1,
                Some(_) => first = first.or(Some(outcome)),
            }
        }
        (n_passed, n_checks, first)
    }
}

/// How an operation fared: a row of the table.
#[derive(Debug, Serialize)]
struct Score {
    operation: &'static str,
    n_passed: usize,
    n_checks: usize,
    first_failure: Option<String>,
}

impl Score {
    const fn is_whole(&self) -> bool {
        self.first_failure.is_none()
    }
}

impl Row for Score {
    const COLUMNS: &'static [Column] = &[
        Column::text("OPERATION"),
        Column::number("PASSED"),
        Column::text("FIRST FAILURE"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let Self {
            n_passed, n_checks, ..
        } = self;
        let style = if self.is_whole() { Style::new() } else { FAULT };
        vec![
            self.operation.into(),
            Cell::styled(&format!("{n_passed}/{n_checks}"), style),
            self.first_failure.as_deref().unwrap_or_default().into(),
        ]
    }
}

fn described(outcome: &Outcome) -> String {
    let failure = outcome.failure.as_deref().unwrap_or_default();
    let text = format!("{}: {failure}", outcome.name);
    text.chars().take(FAILURE_CHARS_SHOWN).collect()
}

fn push_line(text: &mut String, line: &str) {
    let written = writeln!(text, "{line}");
    debug_assert!(written.is_ok(), "a text is always written to memory");
}

const FAILURE_CHARS_SHOWN: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        let mut add = |operation, name: &str, failure: Option<&str>| {
            report.add(Outcome {
                operation,
                name: name.to_owned(),
                failure: failure.map(str::to_owned),
            });
        };
        add(Operation::GetGroups, "lists", None);
        add(Operation::GetGroups, "lists again", Some("no\nanswer"));
        add(Operation::GetGroups, "lists more", Some("nothing"));
        add(Operation::GetGroup, "finds", None);
        report
    }

    fn table(report: &Report, out: Out) -> String {
        let scores = report.scores();
        let rows: Vec<&Score> = scores.iter().collect();
        out.listing().rendered(&rows) + "\n" + &report.sum(out.width())
    }

    #[test]
    fn the_table_has_a_row_for_each_operation_that_was_checked() {
        insta::assert_snapshot!(table(&report(), Out::fake(false, None)), @"
        OPERATION  PASSED  FIRST FAILURE
        GetGroup      1/1
        GetGroups     1/3  lists again: no\u{fffd}answer

        2 of 4 checks passed; 1 of 2 operations passed all
        ");
    }

    #[test]
    fn the_table_fits_and_shows_in_red_what_failed() {
        let table = table(&report(), Out::fake(true, Some(30)));
        assert!(
            table.contains("\u{1b}[31m1/3\u{1b}[0m  lists aga..\n"),
            "{table}"
        );
        assert!(!table.contains("\u{1b}[31m1/1"), "{table}");
        assert!(
            table.ends_with("\n2 of 4 checks passed\n1 of 2 operations passed all\n"),
            "{table}"
        );
    }

    #[test]
    fn texts_of_a_server_do_not_command_a_terminal() {
        let mut report = Report::default();
        report.add(Outcome {
            operation: Operation::GetGroups,
            name: "lists".to_owned(),
            failure: Some("\u{9b}31m\u{202e}".to_owned()),
        });
        let lines = report.lines();
        assert!(lines.contains(r"\u009b31m\u202e"), "{lines}");
        assert!(lines.is_ascii(), "{lines}");
    }

    #[test]
    fn the_lines_are_json() {
        insta::assert_snapshot!(report().lines(), @r#"
        {"check":"lists","operation":"GetGroups","passed":true}
        {"check":"lists again","failure":"no\nanswer","operation":"GetGroups","passed":false}
        {"check":"lists more","failure":"nothing","operation":"GetGroups","passed":false}
        {"check":"finds","operation":"GetGroup","passed":true}
        {"passed":2,"total":4}
        "#);
        assert!(!report().is_flawless());
        assert!(Report::default().is_flawless());
    }
}
