//! ```text
//! java.lang.IllegalStateException: bad state
//!     at java.base/jdk.internal.reflect.Method.invoke(Method.java:62)
//! Caused by: java.lang.IllegalArgumentException: bad argument
//!     at com.example.Shop.buy(Shop.java:12)
//!     ... 3 more
//! ```

use super::{Caused, Frame, Stack};

/// The first line says the exception itself, which is known.
pub(super) fn parse(stack_trace: &str) -> Stack<'_> {
    let mut stack = Stack::default();
    let mut is_message = false;
    for line in stack_trace.lines().skip(1) {
        if let Some(frame) = frame(line) {
            is_message = false;
            let caused = stack.causes.last_mut().map(|caused| &mut caused.frames);
            caused.unwrap_or(&mut stack.frames).push(frame);
        } else if let Some(caused) = line.strip_prefix("Caused by: ") {
            is_message = true;
            stack.causes.push(caused_by(caused));
        } else if line.starts_with("\t... ") || line.trim_start().starts_with("Suppressed: ") {
            is_message = false;
        } else if is_message && let Some(caused) = stack.causes.last_mut() {
            // A message may have several lines, which the exporter joins without a break.
            caused.message.push_str(line);
        }
    }
    stack
}

fn frame(line: &str) -> Option<Frame<'_>> {
    let (label, place) = line.strip_prefix("\tat ")?.split_once('(')?;
    let place = place.strip_suffix(')')?;
    // The class loader or the module.
    let label = label.split_once('/').map_or(label, |(_, label)| label);
    let (path, line) = place.split_once(':').unwrap_or((place, ""));
    let line = line.parse().unwrap_or(0);
    Some(Frame { path, line, label })
}

fn caused_by(caused: &str) -> Caused<'_> {
    let (kind, message) = caused.split_once(':').unwrap_or((caused, ""));
    Caused {
        kind,
        message: message.strip_prefix(' ').unwrap_or(message).to_owned(),
        frames: Vec::new(),
    }
}
