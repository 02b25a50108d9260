//! Filter expressions as people type them.

use query::{Filter, FilterError};

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
        let line = printable(line.unwrap_or_default());
        let (column, message) = (error.column, printable(&error.message));
        let mark = "^";
        Stop::usage(format!(
            "filter expression: {message}\n  {line}\n  {mark:>column$}"
        ))
    })
}

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
