//! What came out of all checks, as a table for people or as lines of JSON.

use std::fmt::Write;

use protocol::Operation;
use serde_json::json;

use crate::terminal::printable;

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

    /// Returns a row per operation and the sum.
    pub(super) fn table(&self) -> String {
        let mut table = format!("{:<32}{:>9}  first failure\n", "operation", "passed");
        let (mut n_operations, mut n_whole) = (0, 0);
        for operation in Operation::ALL {
            let (n_passed, n_checks, first) = self.of(operation);
            if n_checks == 0 {
                continue;
            }
            n_operations += 1;
            n_whole += u32::from(first.is_none());
            let score = format!("{n_passed}/{n_checks}");
            let failure = first.map_or_else(String::new, described);
            let row = format!("{:<32}{score:>9}  {failure}", operation.name());
            push_line(&mut table, row.trim_end());
        }
        let n_checks = self.outcomes.len();
        let n_passed = self.n_passed();
        push_line(
            &mut table,
            &format!(
                "\n{n_passed} of {n_checks} checks passed; {n_whole} of {n_operations} operations passed all"
            ),
        );
        table
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
            push_line(&mut lines, &line.to_string());
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

fn described(outcome: &Outcome) -> String {
    let failure = outcome.failure.as_deref().unwrap_or_default();
    let text = format!("{}: {failure}", outcome.name);
    printable(&text).chars().take(FAILURE_CHARS_SHOWN).collect()
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

    #[test]
    fn the_table_has_a_row_for_each_operation_that_was_checked() {
        insta::assert_snapshot!(report().table(), @"
        operation                          passed  first failure
        GetGroup                              1/1
        GetGroups                             1/3  lists again: no\u{fffd}answer

        2 of 4 checks passed; 1 of 2 operations passed all
        ");
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
