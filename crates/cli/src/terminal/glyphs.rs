//! Drawings of a line: bars and sparklines, in blocks or, where these cannot be shown, in plain characters.

use std::ffi::OsString;

use crate::endpoint::variable;

/// The characters drawings are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glyphs {
    /// Blocks.
    Blocks,
    /// Characters every terminal has.
    Ascii,
}

/// A part of something, in columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first column.
    pub from: usize,
    /// How many columns; at least one.
    pub n_columns: usize,
}

impl Glyphs {
    /// Returns what the terminal can show: blocks if the locale is one of UTF-8 and the terminal is not a dumb one.
    pub(crate) fn of(environment: &[(OsString, OsString)]) -> Self {
        let is_dumb = variable(environment, "TERM") == Some("dumb");
        let mut locales = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
        let locale = locales.find_map(|name| variable(environment, name));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        if is_utf8 && !is_dumb {
            Self::Blocks
        } else {
            Self::Ascii
        }
    }

    /// Returns a bar for a part of a whole that takes `n_columns`; one that has not ended is drawn lighter.
    pub(crate) fn bar(self, span: Span, n_columns: usize, has_ended: bool) -> String {
        let glyph = match (self, has_ended) {
            (Self::Blocks, true) => "\u{2588}",
            (Self::Blocks, false) => "\u{2591}",
            (Self::Ascii, true) => "#",
            (Self::Ascii, false) => "-",
        };
        let rest = n_columns.saturating_sub(span.from + span.n_columns);
        let (before, behind) = (" ".repeat(span.from), " ".repeat(rest));
        format!("{before}{}{behind}", glyph.repeat(span.n_columns))
    }

    /// Returns a line of at most `n_columns` that shows how values rise and fall; of values that share a column the
    /// highest is shown.
    pub(crate) fn sparkline(self, values: &[u64], n_columns: usize) -> String {
        let per_column = values.len().div_ceil(n_columns.max(1)).max(1);
        let highest = values.iter().copied().max().unwrap_or(0);
        let levels: &[char] = match self {
            Self::Blocks => &BLOCKS,
            Self::Ascii => &STROKES,
        };
        let columns = values.chunks(per_column);
        let columns = columns.map(|column| column.iter().copied().max().unwrap_or(0));
        columns.map(|value| level(levels, value, highest)).collect()
    }
}

impl Span {
    /// Returns the columns of what lasts from `from` to `to`, of a whole of length `whole` that takes `n_columns`.
    pub(crate) fn of(from: u64, to: u64, whole: u64, n_columns: usize) -> Self {
        let column = |at: u64| {
            let at = u128::from(at.min(whole)) * n_columns as u128;
            usize::try_from(at / u128::from(whole.max(1))).unwrap_or(n_columns)
        };
        let first = column(from).min(n_columns.saturating_sub(1));
        let end = column(to).clamp(first + 1, n_columns.max(first + 1));
        Self {
            from: first,
            n_columns: end - first,
        }
    }
}

/// Returns the character of a value: the first for nothing at all, the last for the highest.
fn level(levels: &[char], value: u64, highest: u64) -> char {
    let n_steps = levels.len().saturating_sub(1);
    let step = if value == 0 {
        0
    } else {
        let scaled = (u128::from(value) * n_steps as u128).div_ceil(u128::from(highest.max(1)));
        usize::try_from(scaled).unwrap_or(n_steps)
    };
    levels.get(step.min(n_steps)).copied().unwrap_or(' ')
}

const BLOCKS: [char; 9] = [
    ' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
    '\u{2588}',
];
const STROKES: [char; 6] = [' ', '.', '-', '=', '*', '#'];

#[cfg(test)]
mod tests {
    use super::*;

    fn check_locale(variables: &[(&str, &str)], expected: Glyphs) {
        let environment: Vec<(OsString, OsString)> = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        assert_eq!(Glyphs::of(&environment), expected, "{variables:?}");
    }

    #[test]
    fn blocks_are_drawn_where_they_can_be_shown() {
        check_locale(&[("LANG", "de_DE.UTF-8")], Glyphs::Blocks);
        check_locale(&[("LC_CTYPE", "C.utf8"), ("TERM", "xterm")], Glyphs::Blocks);
        check_locale(&[], Glyphs::Ascii);
        check_locale(&[("LANG", "C")], Glyphs::Ascii);
        check_locale(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")], Glyphs::Ascii);
        check_locale(&[("LANG", "C.UTF-8"), ("LC_ALL", "")], Glyphs::Blocks);
        check_locale(&[("LANG", "C.UTF-8"), ("TERM", "dumb")], Glyphs::Ascii);
    }

    fn check_bar(from: u64, to: u64, whole: u64, expected: &str) {
        let span = Span::of(from, to, whole, 10);
        let bar = Glyphs::Ascii.bar(span, 10, true);
        assert_eq!(bar, expected, "{from}..{to} of {whole}");
    }

    #[test]
    fn a_bar_stands_where_its_time_is() {
        check_bar(0, 100, 100, "##########");
        check_bar(0, 50, 100, "#####     ");
        check_bar(50, 100, 100, "     #####");
        check_bar(30, 31, 100, "   #      ");
        check_bar(0, 0, 100, "#         ");
        check_bar(100, 100, 100, "         #");
        check_bar(0, 0, 0, "#         ");
        check_bar(50, 20, 100, "     #    ");
        check_bar(0, u64::MAX, u64::MAX, "##########");
        check_bar(90, 500, 100, "         #");
    }

    #[test]
    fn what_has_not_ended_looks_different() {
        let span = Span {
            from: 1,
            n_columns: 2,
        };
        assert_eq!(Glyphs::Ascii.bar(span, 4, false), " -- ");
        assert_eq!(Glyphs::Blocks.bar(span, 4, false), " \u{2591}\u{2591} ");
        assert_eq!(Glyphs::Blocks.bar(span, 4, true), " \u{2588}\u{2588} ");
    }

    fn check_line(values: &[u64], n_columns: usize, expected: &str) {
        assert_eq!(Glyphs::Ascii.sparkline(values, n_columns), expected);
    }

    #[test]
    fn a_sparkline_rises_and_falls_with_its_values() {
        check_line(&[], 10, "");
        check_line(&[0, 0], 10, "  ");
        check_line(&[0, 1, 20, 40, 60, 80, 100], 10, " ..-=*#");
        check_line(&[0, 9, 0, 0, 3, 0], 3, "# -");
        check_line(&[u64::MAX, 0], 2, "# ");
        check_line(&[1, 2], 0, "#");
        assert_eq!(Glyphs::Blocks.sparkline(&[1, 8], 9), "\u{2581}\u{2588}");
    }
}
