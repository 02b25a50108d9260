//! Filter expressions as people type them.

use query::{Filter, FilterError};
use unicode_width::UnicodeWidthStr;

use crate::exit::Stop;
use crate::terminal::printable;

/// Returns the filter an expression says; the groups it names are the server's affair, they take every trace here.
///
/// # Errors
/// Stops with the expression and a mark under the place that is not understood.
pub(crate) fn filter(text: &str) -> Result<Filter, Stop> {
    told(text, Filter::parse(text, &|_| Some(String::new())))
}

/// Returns the filter an expression says where there are no groups.
///
/// # Errors
/// Stops with the expression and a mark under the place that is not understood, or that names a group.
pub(crate) fn filter_without_groups(text: &str) -> Result<Filter, Stop> {
    told(text, Filter::parse(text, &|_| None))
}

fn told(text: &str, parsed: Result<Filter, FilterError>) -> Result<Filter, Stop> {
    parsed.map_err(|error| {
        let line = text.lines().nth(error.line.saturating_sub(1));
        let (line, mark) = marked(line.unwrap_or_default(), error.column);
        let message = printable(&error.message);
        Stop::usage(format!("filter expression: {message}\n  {line}\n  {mark}"))
    })
}

/// Returns what is around a column of a line, counted in characters from 1, and a mark for the line below it.
fn marked(line: &str, column: usize) -> (String, String) {
    let before = column.saturating_sub(1);
    let from = before.saturating_sub(AROUND);
    let shown = line.chars().skip(from);
    let left: String = shown.clone().take(before - from).collect();
    let right: String = shown.skip(before - from).take(AROUND).collect();
    let is_cut = line.chars().count() > before + AROUND;
    let (first, last) = (
        if from > 0 { "..." } else { "" },
        if is_cut { "..." } else { "" },
    );
    let left = format!("{first}{}", printable(&left));
    // Some characters are two columns wide.
    let mark = format!("{}^", " ".repeat(left.width()));
    (format!("{left}{}{last}", printable(&right)), mark)
}

/// How many characters are shown on either side of the mark.
const AROUND: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let stop = filter(text).unwrap_err();
        let (_, place) = stop.message.split_once('\n').unwrap();
        assert_eq!(place, expected, "{text}");
    }

    #[test]
    fn a_mark_is_under_the_place_that_is_not_understood() {
        check("fault AN error", "  fault AN error\n        ^");
        check("fault AND\nduration >> 5", "  duration >> 5\n            ^");
        check("", "  \n  ^");
        check("fault =\u{1b}", "  fault =\u{fffd}\n         ^");
        check(
            "annotation.k = \"\u{6f22}\u{5b57}\" AND AND",
            "  annotation.k = \"\u{6f22}\u{5b57}\" AND AND\n                            ^",
        );
        let long = format!("{0} OR OR {0}", ["fault"; 90].join(" OR "));
        let stop = filter(&long).unwrap_err();
        let lines: Vec<&str> = stop.message.lines().collect();
        assert!(lines[1].starts_with("  ...") && lines[1].ends_with("..."));
        assert!(lines[1][lines[2].len() - 1..].starts_with("OR fault"));
    }

    #[test]
    fn a_group_is_unknown_where_there_are_none() {
        assert!(filter_without_groups("group.name = \"mine\"").is_err());
        assert!(filter_without_groups("fault").is_ok());
    }

    #[test]
    fn a_filter_may_name_groups_only_the_server_knows() {
        assert!(filter("group.name = \"mine\" AND fault").is_ok());
    }
}
