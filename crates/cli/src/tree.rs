//! A trace as an indented tree for people, on a terminal with bars.

use std::fmt::Write;

use anstyle::Style;
use model::Timestamp;
use unicode_width::UnicodeWidthStr;

use crate::client::Trace;
use crate::summary::{ERROR, FAULT, THROTTLE};
use crate::terminal::{Glyphs, Out, Span, counted, cut, length, printable};
use crate::timeline::{Entry, Timeline};

/// Returns the trace: a line with its id, then a line for each segment and subsegment under its parent. On a terminal
/// that is wide enough there is a bar in each, which stands where its time is in that of the trace.
pub(crate) fn render(trace: &Trace, out: Out, glyphs: Glyphs) -> String {
    let timeline = Timeline::of(trace);
    let mut text = format!("{}\n", cut_to(&heading(&timeline), out.width()));
    let lines: Vec<(String, String)> = timeline
        .entries
        .iter()
        .map(|entry| (label(entry), facts(entry)))
        .collect();
    let columns = out.width().and_then(|width| Columns::of(&lines, width));
    let bounds = timeline.bounds();
    for (entry, (label, facts)) in timeline.entries.iter().zip(&lines) {
        let style = style(entry);
        // Writing to a string does not fail.
        let _written = if let Some(columns) = &columns {
            let label = columns.label(label);
            let bar = bar(entry, bounds, columns.n_bar, glyphs);
            let (bar, facts) = (out.paint(style, &bar), out.paint(style, facts));
            writeln!(text, "{label}  {bar}  {facts}")
        } else {
            let line = format!("{label}  {facts}");
            let line = cut_to(line.trim_end(), out.width());
            writeln!(text, "{}", painted(&line, facts, style, out))
        };
    }
    text
}

/// How wide the parts of a line are.
struct Columns {
    n_label: usize,
    n_bar: usize,
}

impl Columns {
    /// Returns the widths of labels and bars, nothing if there is too little room for bars.
    fn of(lines: &[(String, String)], width: usize) -> Option<Self> {
        let widest = |part: fn(&(String, String)) -> &String| {
            let widths = lines.iter().map(|line| part(line).width());
            widths.max().unwrap_or(0)
        };
        let n_label = widest(|(label, _)| label).min(width * 2 / 5);
        let taken = n_label + widest(|(_, facts)| facts) + 2 * GAP;
        let n_bar = width.saturating_sub(taken);
        (n_bar >= BAR_MIN).then_some(Self { n_label, n_bar })
    }

    /// Returns a label that takes its column.
    fn label(&self, label: &str) -> String {
        let shown = cut(label, self.n_label);
        let padding = " ".repeat(self.n_label.saturating_sub(shown.width()));
        format!("{shown}{padding}")
    }
}

fn heading(timeline: &Timeline) -> String {
    let segments = counted(timeline.n_segments, "segment");
    let duration = match timeline.duration {
        Some(seconds) => length(seconds),
        None => "no segment yet".to_owned(),
    };
    let id = printable(&timeline.id);
    format!("{id}  {duration}  {segments}")
}

/// Returns name and type of an entry, below its caller's.
fn label(entry: &Entry) -> String {
    let indent = "  ".repeat(entry.depth + 1);
    let name = printable(&entry.name);
    match &entry.kind {
        Some(kind) => format!("{indent}{name} [{}]", printable(kind)),
        None => format!("{indent}{name}"),
    }
}

/// Returns the time an entry took and its outcome.
fn facts(entry: &Entry) -> String {
    if entry.document.is_null() {
        return String::new();
    }
    let mut facts = vec![match entry.took {
        Some(seconds) => length(seconds),
        None => "in progress".to_owned(),
    }];
    facts.extend(entry.status.map(|status| status.to_string()));
    facts.extend(entry.outcomes.iter().map(|outcome| (*outcome).to_owned()));
    facts.join("  ")
}

fn bar(entry: &Entry, bounds: (Timestamp, Timestamp), n_columns: usize, glyphs: Glyphs) -> String {
    let (first, last) = bounds;
    let Some(start) = entry.start else {
        return " ".repeat(n_columns);
    };
    let nanos = |instant: Timestamp| instant.as_nanos().saturating_sub(first.as_nanos());
    let end = entry.end.unwrap_or(last);
    let span = Span::of(nanos(start), nanos(end), nanos(last), n_columns);
    glyphs.bar(span, n_columns, entry.end.is_some())
}

/// Returns how an entry is painted: as the worst of its outcomes.
fn style(entry: &Entry) -> Style {
    let is = |outcome: &str| entry.outcomes.contains(&outcome);
    if is("fault") {
        FAULT
    } else if is("throttle") {
        THROTTLE
    } else if is("error") {
        ERROR
    } else {
        Style::new()
    }
}

/// Returns a line with its facts painted; one that was cut is painted as a whole, its end is gone.
fn painted(line: &str, facts: &str, style: Style, out: Out) -> String {
    match line.strip_suffix(facts) {
        _ if style == Style::new() => line.to_owned(),
        Some(label) => format!("{label}{}", out.paint(style, facts)),
        None => out.paint(style, line),
    }
}

fn cut_to(line: &str, width: Option<usize>) -> String {
    width.map_or_else(|| line.to_owned(), |width| cut(line, width))
}

const GAP: usize = 2;
/// Columns below which a bar tells nothing.
const BAR_MIN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(documents: &[&str], duration: Option<f64>, out: Out) -> String {
        let segments: Vec<_> = documents
            .iter()
            .map(|document| serde_json::json!({"Id": "x", "Document": document}))
            .collect();
        let trace = serde_json::json!({"Id": "1-2-3", "Duration": duration, "Segments": segments});
        render(&serde_json::from_value(trace).unwrap(), out, Glyphs::Ascii)
    }

    fn check(documents: &[&str], duration: Option<f64>, expected: &str) {
        assert_eq!(drawn(documents, duration, Out::fake(false, None)), expected);
    }

    #[test]
    fn segments_hang_below_the_subsegment_that_called_them() {
        check(
            DOCUMENTS,
            Some(20.0),
            "1-2-3  20.0 s  2 segments\n  front [AWS::Lambda]  20.0 s\n    call [remote]  500.0 ms\n      worker  250.0 ms  500  fault\n    later  in progress\n",
        );
    }

    #[test]
    fn an_empty_trace_and_strange_documents_are_shown() {
        check(&[], None, "1-2-3  no segment yet  0 segments\n");
        check(
            &[
                "nonsense",
                r#"{"id": "a", "parent_id": "b"}"#,
                r#"{"id": "b", "parent_id": "a", "name": "x\u001b"}"#,
            ],
            Some(0.0),
            "1-2-3  0.0 ms  3 segments\n  x (unreadable document)\n  (no name)  in progress\n    x\u{fffd}  in progress\n",
        );
    }

    #[test]
    fn bars_stand_where_the_time_is() {
        let text = drawn(DOCUMENTS, Some(20.0), Out::fake(false, Some(72)));
        assert!(text.lines().all(|line| line.width() <= 72), "{text}");
        insta::assert_snapshot!(text, @r"
        1-2-3  20.0 s  2 segments
          front [AWS::Lambda]  ###########################  20.0 s
            call [remote]       #                           500.0 ms
              worker            #                           250.0 ms  500  fault
            later                -------------------------  in progress
        ");
    }

    #[test]
    fn a_narrow_terminal_has_lines_without_bars() {
        let text = drawn(DOCUMENTS, Some(20.0), Out::fake(false, Some(30)));
        insta::assert_snapshot!(text, @r"
        1-2-3  20.0 s  2 segments
          front [AWS::Lambda]  20.0 s
            call [remote]  500.0 ms
              worker  250.0 ms  500 ..
            later  in progress
        ");
    }

    #[test]
    fn what_failed_is_painted() {
        let text = drawn(DOCUMENTS, Some(20.0), Out::fake(true, None));
        let painted: Vec<&str> = text
            .lines()
            .filter(|line| line.contains('\u{1b}'))
            .collect();
        assert_eq!(
            painted,
            ["      worker  \u{1b}[31m250.0 ms  500  fault\u{1b}[0m"]
        );
        let text = drawn(DOCUMENTS, Some(20.0), Out::fake(true, Some(72)));
        assert_eq!(
            text.matches("\u{1b}[31m").count(),
            2,
            "the bar, and the facts: {text}"
        );
    }

    const DOCUMENTS: &[&str] = &[
        r#"{"id": "b", "parent_id": "s", "name": "worker", "start_time": 2, "end_time": 2.25, "fault": true, "http": {"response": {"status": 500}}}"#,
        r#"{"id": "a", "name": "front", "origin": "AWS::Lambda", "start_time": 1, "end_time": 21,
            "subsegments": [{"id": "t", "name": "later", "start_time": 3}, {"id": "s", "name": "call", "namespace": "remote", "start_time": 2, "end_time": 2.5}]}"#,
    ];
}
