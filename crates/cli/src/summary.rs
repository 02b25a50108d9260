//! A trace in short, as a row of a table.

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::client::Summary;
use crate::terminal::{Cell, Column, Row, instant, length, moment, number};

impl Row for Summary {
    const COLUMNS: &'static [Column] = &[
        Column::text("TIME").left_out(1),
        Column::number("DURATION").left_out(2),
        Column::text("ID").needed(),
        Column::text("FLAGS"),
        Column::text("HTTP"),
        Column::text("NAME"),
        Column::text("REQUEST"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let time = self.start_time.map(instant);
        row(self, time, duration(self).map(length))
    }

    fn values(&self) -> Vec<Cell> {
        let time = self.start_time.map(moment);
        row(self, time, duration(self).map(number))
    }
}

fn duration(summary: &Summary) -> Option<f64> {
    summary.duration.or(summary.response_time)
}

fn row(summary: &Summary, time: Option<String>, duration: Option<String>) -> Vec<Cell> {
    let http = |member: &str| summary.others.get("Http").and_then(|http| http.get(member));
    let text = |member: &str| http(member).and_then(Value::as_str).unwrap_or_default();
    let status = http("HttpStatus").and_then(Value::as_i64);
    let status = status.map(|status| status.to_string());
    let entry = summary.others.get("EntryPoint");
    let name = entry.and_then(|entry| entry.get("Name"));
    let request = format!("{} {}", text("HttpMethod"), text("HttpURL"));
    vec![
        time.unwrap_or_default().into(),
        duration.unwrap_or_default().into(),
        summary.id.as_str().into(),
        Cell::styled(&flags(summary), style(summary)),
        status.unwrap_or_default().into(),
        name.and_then(Value::as_str).unwrap_or_default().into(),
        request.trim().into(),
    ]
}

/// Returns a letter for each thing that is out of the ordinary, so that colour is not all that tells.
fn flags(summary: &Summary) -> String {
    let letters = [
        (summary.has_fault, 'F'),
        (summary.has_error, 'E'),
        (summary.has_throttle, 'T'),
        (summary.is_partial, 'P'),
    ];
    let letters = letters.iter().filter(|(is_so, _)| *is_so);
    letters.map(|(_, letter)| letter).collect()
}

/// Returns how a summary's flags are painted: as the worst of them.
fn style(summary: &Summary) -> Style {
    if summary.has_fault {
        FAULT
    } else if summary.has_throttle {
        THROTTLE
    } else if summary.has_error {
        ERROR
    } else {
        Style::new()
    }
}

/// How what failed by its own fault is painted.
pub(crate) const FAULT: Style = AnsiColor::Red.on_default();
/// How what failed by its client's fault is painted.
pub(crate) const ERROR: Style = AnsiColor::Yellow.on_default();
/// How what was throttled is painted.
pub(crate) const THROTTLE: Style = AnsiColor::Magenta.on_default();

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::terminal::{Form, Out};

    fn line(summary: &Value) -> String {
        let summary: Summary = serde_json::from_value(summary.clone()).unwrap();
        Out::fake(false, None).line(&summary, Form::Plain)
    }

    #[test]
    fn a_summary_is_a_line() {
        let summary = json!({
            "Id": "1-2-3", "StartTime": 1_700_000_000.25, "Duration": 0.5, "HasFault": true, "HasError": true,
            "HasThrottle": true, "IsPartial": true, "EntryPoint": { "Name": "shop\u{1b}[2J", "Names": [] },
            "Http": { "HttpURL": "http://x/\u{9b}31m", "HttpStatus": 500, "HttpMethod": "GET" },
        });
        assert_eq!(
            line(&summary),
            "2023-11-14T22:13:20.250000Z\t0.5\t1-2-3\tFETP\t500\tshop\u{fffd}[2J\tGET http://x/\u{fffd}31m\n"
        );
        assert_eq!(line(&json!({ "Id": "a" })), "\t\ta\t\t\t\t\n");
    }

    #[test]
    fn the_worst_flag_decides_the_colour() {
        let check = |members: Value, expected| {
            let summary: Summary = serde_json::from_value(members).unwrap();
            assert_eq!(style(&summary), expected);
        };
        check(
            json!({ "Id": "a", "HasFault": true, "HasError": true }),
            FAULT,
        );
        check(
            json!({ "Id": "a", "HasThrottle": true, "HasError": true }),
            THROTTLE,
        );
        check(json!({ "Id": "a", "HasError": true }), ERROR);
        check(json!({ "Id": "a", "IsPartial": true }), Style::new());
    }
}
