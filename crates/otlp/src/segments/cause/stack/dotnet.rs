//! ```text
//! System.Exception: oops
//!    at Shop.Cart.Buy(String card) in /srv/app/Cart.cs:line 12
//!    at System.Threading.Tasks.Task.Execute()
//! ```

use super::{Frame, split_line};

/// The first line says the exception itself, which is known.
pub(super) fn parse(stack_trace: &str) -> Vec<Frame<'_>> {
    stack_trace.lines().skip(1).filter_map(frame).collect()
}

fn frame(line: &str) -> Option<Frame<'_>> {
    let call = line.trim().strip_prefix("at ")?;
    let Some((label, place)) = call.split_once(" in ") else {
        let (label, _) = call.rsplit_once(')')?;
        // The parenthesis belongs to the label.
        let label = call.get(..=label.len())?;
        return Some(Frame {
            label,
            ..Frame::default()
        });
    };
    let (path, line) = match place.rsplit_once(":line ") {
        Some((path, line)) => (path, line.parse().ok()),
        None => split_line(place),
    };
    let line = line.unwrap_or(0);
    Some(Frame { path, line, label })
}
