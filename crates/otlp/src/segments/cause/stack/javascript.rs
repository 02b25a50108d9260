//! ```text
//! TypeError: Cannot read property 'value' of null
//!     at speedy (/srv/app/file.js:6:11)
//!     at node:internal/process/task_queues:95:5
//!     at Array.forEach (native)
//! ```

use super::{Frame, split_line};

/// The first line says the exception itself, which is known.
pub(super) fn parse(stack_trace: &str) -> Vec<Frame<'_>> {
    stack_trace.lines().skip(1).filter_map(frame).collect()
}

fn frame(line: &str) -> Option<Frame<'_>> {
    let call = line.strip_prefix("    at ")?;
    let (label, place) = match call.strip_suffix(')').and_then(|call| call.split_once('(')) {
        Some((label, place)) => (label.trim_end(), place),
        None if call.contains('(') => return None,
        None => ("", call),
    };
    // After the line comes the column. The exporter reads from the left and is led astray by the colon of
    // `node:internal`, `file:` or a drive.
    let (path, column) = split_line(place);
    let (path, line) = match (split_line(path), column) {
        ((path, Some(line)), Some(_)) => (path, line),
        (_, Some(line)) => (path, line),
        (_, None) if place.contains("native") => ("native", 0),
        (_, None) => (place, 0),
    };
    let says_something = !path.is_empty() || !label.is_empty();
    says_something.then_some(Frame { path, line, label })
}
