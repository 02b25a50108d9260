//! Why an expression is not understood, in the words of the service.

/// Where and why an expression is not a filter.
///
/// Shown the way the service does: `Error Location: line 1, position 12 : Invalid input symbol: '...'`,
/// followed by what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Error Location: line {line}, position {column} : {message}")]
pub struct FilterError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1; one past the last for an expression that ends too early.
    pub column: usize,
    /// The input that is not understood, and what was expected.
    pub message: String,
}

impl FilterError {
    /// Returns the error at a byte of the text; `symbol` is the input that is not understood.
    pub(super) fn at(text: &str, offset: usize, symbol: &str, why: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            message: format!(
                "Invalid input symbol: '{}'; {why}",
                shortened(symbol, SYMBOL_CHARS_MAX)
            ),
        }
    }
}

/// Returns the first characters of a text, marked where it was cut.
pub(super) fn shortened(text: &str, n_chars: usize) -> String {
    match text.char_indices().nth(n_chars) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

const SYMBOL_CHARS_MAX: usize = 40;
