//! ```text
//! goroutine 1 [running]:
//! main.buy(0xc000010000)
//!     /srv/app/main.go:12 +0x1d
//! ```

use super::Frame;

/// The first line says the exception or the goroutine. Each frame has two lines: the call and its place. Empty
/// lines stand between goroutines.
pub(super) fn parse(stack_trace: &str) -> Vec<Frame<'_>> {
    let mut lines = stack_trace.lines().skip(1);
    let mut frames = Vec::new();
    while let Some(label) = lines.next() {
        if is_goroutine(label) || label.trim().is_empty() {
            continue;
        }
        let place = lines.next().unwrap_or_default();
        let (path, line) = place_of(place).unwrap_or_default();
        frames.push(Frame { path, line, label });
    }
    frames
}

fn is_goroutine(line: &str) -> bool {
    line.starts_with("goroutine") && line.contains("running") && line.ends_with(':')
}

/// Returns the path and the line of the first word that has both.
fn place_of(place: &str) -> Option<(&str, u32)> {
    place.split_whitespace().find_map(|word| {
        let (path, line) = word.rsplit_once(':')?;
        let n_digits = line.bytes().take_while(u8::is_ascii_digit).count();
        Some((path, line.get(..n_digits)?.parse().ok()?))
    })
}
