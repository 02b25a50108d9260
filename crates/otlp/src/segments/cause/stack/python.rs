//! ```text
//! Traceback (most recent call last):
//!   File "main.py", line 3, in buy
//!     pay()
//! KeyError: 'card'
//!
//! During handling of the above exception, another exception occurred:
//!
//! Traceback (most recent call last):
//!   File "main.py", line 5, in <module>
//!     buy()
//! ValueError: no card
//! ```

use super::{Caused, Frame, Stack};

/// The trace is read from its end, where the exception itself stands, which is known. A cause begins above
/// the line that tells of it.
pub(super) fn parse(stack_trace: &str) -> Stack<'_> {
    let lines: Vec<&str> = stack_trace.split('\n').collect();
    let mut stack = Stack::default();
    let mut n_above = lines.len().saturating_sub(1);
    while let Some((line, above)) = lines.get(..n_above).and_then(<[&str]>::split_last) {
        n_above = above.len();
        if let Some(frame) = frame(line) {
            let caused = stack.causes.last_mut().map(|caused| &mut caused.frames);
            caused.unwrap_or(&mut stack.frames).push(frame);
        } else if CAUSED.iter().any(|caused| line.starts_with(caused)) {
            let Some(file_idx) = above.iter().rposition(|line| line.starts_with(FILE)) else {
                break;
            };
            stack
                .causes
                .push(caused(above.get(file_idx + 1..).unwrap_or_default()));
            n_above = file_idx + 1;
        }
    }
    stack
}

fn frame(line: &str) -> Option<Frame<'_>> {
    let (path, rest) = line.strip_prefix(FILE)?.split_once("\", line ")?;
    let (line, label) = rest.split_once(", in ").unwrap_or((rest, ""));
    let line = line.trim_end().parse().unwrap_or(0);
    let label = label.trim_end();
    Some(Frame { path, line, label })
}

/// Returns the exception whose last frame stands above these lines: the source of that frame and how often it is
/// repeated, indented, the exception, which may have several lines, and an empty line.
fn caused<'a>(lines: &[&'a str]) -> Caused<'a> {
    let is_source = |line: &&&str| line.starts_with(' ');
    let n_source = lines.iter().take_while(is_source).count();
    let lines = lines.get(n_source..).unwrap_or_default();
    let lines = lines.strip_suffix(&[""]).unwrap_or(lines);
    let Some((first, rest)) = lines.split_first() else {
        return Caused::default();
    };
    let (kind, first) = first.split_once(':').unwrap_or((first, ""));
    let mut message = first.strip_prefix(' ').unwrap_or(first).to_owned();
    for line in rest {
        message.push('\n');
        message.push_str(line);
    }
    Caused {
        kind,
        message,
        frames: Vec::new(),
    }
}

const FILE: &str = "  File \"";
/// What Python says between two exceptions: the second was raised while the first was handled, or from it.
const CAUSED: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];
