//! Rows of results, each printed as soon as it can be.

use std::marker::PhantomData;

use anstyle::Style;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Form, Out, print, print_json, printable};
use crate::exit::Stop;

/// What a list is made of: how a result reads in a table. As a line of JSON it is what it serializes to.
pub(crate) trait Row: Serialize {
    /// The columns of the table.
    const COLUMNS: &'static [Column];

    /// Returns a value for each column.
    fn cells(&self) -> Vec<Cell>;

    /// Returns the values of a line for programs: numbers are bare, and every line says all that it means.
    fn values(&self) -> Vec<Cell> {
        self.cells()
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// What is above it.
    pub title: &'static str,
    /// Where its values stand.
    pub align: Align,
    /// What becomes of it where there is little room.
    pub room: Room,
}

/// What becomes of a column where there is little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// What is left of it is shown.
    Cut,
    /// It is left out so that those that are needed have room, the lowest number first.
    LeftOut(u8),
    /// Cut it would tell nothing, so it is whole.
    Needed,
}

/// Where the values of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A value in a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

/// A list that is being printed.
#[derive(Debug)]
pub(crate) struct Listing<R> {
    out: Out,
    /// Rows of a table that wait for the widths of its columns.
    waiting: Vec<Vec<Cell>>,
    /// The widths of columns once the header is printed, nothing for those left out.
    widths: Option<Vec<Option<usize>>>,
    rows: PhantomData<R>,
}

impl Column {
    /// Returns a column of text.
    pub(crate) const fn text(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Left,
            room: Room::Cut,
        }
    }

    /// Returns a column of numbers.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Right,
            room: Room::Cut,
        }
    }

    /// Returns the column, needed whole.
    pub(crate) const fn needed(self) -> Self {
        Self {
            room: Room::Needed,
            ..self
        }
    }

    /// Returns the column, left out where those that are needed have no room beside it, the lowest number first.
    pub(crate) const fn left_out(self, number: u8) -> Self {
        Self {
            room: Room::LeftOut(number),
            ..self
        }
    }
}

impl Cell {
    /// Returns a value in a style; text of others is made harmless here.
    pub(crate) fn styled(text: &str, style: Style) -> Self {
        Self {
            text: printable(text),
            style,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::styled(text, Style::new())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl<R: Row> Listing<R> {
    pub(super) const fn new(out: Out) -> Self {
        Self {
            out,
            waiting: Vec::new(),
            widths: None,
            rows: PhantomData,
        }
    }

    /// Adds a row. Of a table, the first rows wait until the widths of its columns can be told.
    ///
    /// # Errors
    /// See [`print`].
    pub(crate) fn push(&mut self, row: &R) -> Result<(), Stop> {
        match self.out.form {
            Form::Json => print_json(row),
            Form::Plain => print(&plain(row)),
            Form::Table => {
                self.waiting.push(row.cells());
                if self.waiting.len() < ROWS_MEASURED {
                    return Ok(());
                }
                self.flush()
            }
        }
    }

    /// Prints what waits; a table without rows is not printed at all.
    ///
    /// # Errors
    /// See [`print`].
    pub(crate) fn finish(mut self) -> Result<(), Stop> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.flush()
    }

    /// Prints what waits now, in the columns the first rows had room in.
    ///
    /// # Errors
    /// See [`print`].
    pub(crate) fn show(&mut self) -> Result<(), Stop> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.out.look_again();
        self.flush()
    }

    /// Returns what is printed for these rows.
    #[cfg(test)]
    pub(crate) fn rendered(mut self, rows: &[&R]) -> String {
        if self.out.form == Form::Plain {
            return rows.iter().map(|row| plain(*row)).collect();
        }
        self.waiting = rows.iter().map(|row| row.cells()).collect();
        self.waiting_text()
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let text = self.waiting_text();
        print(&text)
    }

    /// Takes the rows that wait and returns them as lines, the first time below a header.
    fn waiting_text(&mut self) -> String {
        let rows = std::mem::take(&mut self.waiting);
        let mut text = String::new();
        let widths = if let Some(widths) = self.widths.take() {
            widths
        } else {
            let widths = measure(R::COLUMNS, &rows);
            let widths = fitted(R::COLUMNS, &widths, self.out.width.unwrap_or(usize::MAX));
            let titles = R::COLUMNS.iter().map(|column| Cell {
                text: column.title.to_owned(),
                style: Style::new().bold(),
            });
            let titles: Vec<Cell> = titles.collect();
            self.write_line(&titles, &widths, &mut text);
            widths
        };
        for row in &rows {
            self.write_line(row, &widths, &mut text);
        }
        self.widths = Some(widths);
        text
    }

    /// Writes a row whose columns line up; nothing is behind the last value of a row.
    fn write_line(&self, cells: &[Cell], widths: &[Option<usize>], text: &mut String) {
        let mut room = self.out.width.unwrap_or(usize::MAX);
        let mut gap = "";
        let columns = cells.iter().zip(widths).zip(R::COLUMNS);
        for ((cell, width), column) in columns {
            let Some(width) = width else {
                continue;
            };
            room = room.saturating_sub(gap.len());
            let shown = match column.room {
                Room::Needed => cell.text.clone(),
                Room::Cut | Room::LeftOut(_) => cut(&cell.text, room),
            };
            if shown.is_empty() && !cell.text.is_empty() {
                break;
            }
            let left = room.saturating_sub(shown.width());
            let padding = " ".repeat(width.saturating_sub(shown.width()).min(left));
            room = room.saturating_sub(shown.width() + padding.len());
            let shown = self.out.paint(cell.style, &shown);
            text.push_str(gap);
            match column.align {
                Align::Left => text.extend([shown, padding]),
                Align::Right => text.extend([padding, shown]),
            }
            gap = GAP;
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
}

/// Returns a row with tabs between its values.
fn plain<R: Row>(row: &R) -> String {
    let texts: Vec<String> = row.values().into_iter().map(|cell| cell.text).collect();
    format!("{}\n", texts.join("\t"))
}

/// Returns the widths of columns that hold these rows below their titles.
fn measure(columns: &[Column], rows: &[Vec<Cell>]) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.title.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.width());
        }
    }
    widths
}

/// Returns the widths of the columns that are shown in so much room: as many are left out as those that are needed need
/// room.
fn fitted(columns: &[Column], widths: &[usize], room: usize) -> Vec<Option<usize>> {
    let mut fitted: Vec<Option<usize>> = widths.iter().copied().map(Some).collect();
    let needed = columns
        .iter()
        .rposition(|column| column.room == Room::Needed);
    let n_needed = needed.map_or(0, |place| place + 1);
    let mut candidates: Vec<(u8, usize)> = Vec::new();
    for (place, column) in columns.iter().enumerate().take(n_needed) {
        if let Room::LeftOut(number) = column.room {
            candidates.push((number, place));
        }
    }
    candidates.sort_unstable();
    for (_, place) in candidates {
        let shown: Vec<usize> = fitted.iter().take(n_needed).copied().flatten().collect();
        let gaps = GAP.len() * shown.len().saturating_sub(1);
        if shown.iter().sum::<usize>() + gaps <= room {
            break;
        }
        if let Some(width) = fitted.get_mut(place) {
            *width = None;
        }
    }
    fitted
}

/// Returns as much of a text as there is room for, marked where it was cut.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut left = room.saturating_sub(CUT.len());
    for char in text.chars() {
        let width = char.width().unwrap_or(0);
        if width > left {
            break;
        }
        left -= width;
        shown.push(char);
    }
    if !shown.is_empty() {
        shown.push_str(CUT);
    }
    shown
}

/// Rows that are looked at before the first one of a table is printed.
const ROWS_MEASURED: usize = 500;
const GAP: &str = "  ";
const CUT: &str = "..";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fruit;

    impl Row for Fruit {
        const COLUMNS: &'static [Column] = &[
            Column::text("NAME"),
            Column::number("N"),
            Column::text("NOTE"),
        ];

        fn cells(&self) -> Vec<Cell> {
            Vec::new()
        }
    }

    fn lines(width: Option<usize>, rows: &[[&str; 3]]) -> String {
        let out = Out {
            form: Form::Table,
            has_colour: false,
            width,
        };
        let listing = Listing::<Fruit>::new(out);
        let rows: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| row.iter().map(|text| Cell::from(*text)).collect())
            .collect();
        let widths = measure(Fruit::COLUMNS, &rows);
        let widths: Vec<Option<usize>> = widths.into_iter().map(Some).collect();
        let mut text = String::new();
        for row in &rows {
            listing.write_line(row, &widths, &mut text);
        }
        text
    }

    #[test]
    fn columns_line_up() {
        let rows = [["fig", "1", "a"], ["banana", "200", ""]];
        assert_eq!(lines(None, &rows), "fig       1  a\nbanana  200\n");
        // Wide characters take two places.
        assert_eq!(lines(None, &[["\u{6f22}", "1", "b"]]), "\u{6f22}    1  b\n");
    }

    #[test]
    fn lines_are_cut_where_the_terminal_ends() {
        let rows = [["banana", "200", "long to tell"]];
        assert_eq!(lines(Some(20), &rows), "banana  200  long ..\n");
        assert_eq!(lines(Some(13), &rows), "banana  200\n");
        assert_eq!(lines(Some(5), &rows), "ban..\n");
        let rows = [["fig", "20000", ""], ["banana", "2", ""]];
        assert_eq!(lines(Some(10), &rows), "fig\nbanana   2\n");
    }

    #[test]
    fn texts_of_others_are_harmless_in_a_table() {
        assert_eq!(lines(None, &[["a\u{1b}", "1", ""]]), "a\u{fffd}    1\n");
    }

    fn check_fitted(room: usize, expected: &str) {
        const COLUMNS: &[Column] = &[
            Column::text("a").left_out(2),
            Column::text("b").left_out(1),
            Column::text("c"),
            Column::text("d").needed(),
            Column::text("e").left_out(0),
        ];
        let fitted = fitted(COLUMNS, &[4, 3, 2, 5, 9], room);
        let shown = COLUMNS.iter().zip(fitted);
        let shown: String = shown
            .filter_map(|(column, width)| width.map(|_| column.title))
            .collect();
        assert_eq!(shown, expected, "{room}");
    }

    #[test]
    fn columns_make_room_for_those_that_are_needed() {
        check_fitted(100, "abcde");
        check_fitted(20, "abcde");
        check_fitted(19, "acde");
        check_fitted(15, "acde");
        check_fitted(14, "cde");
        check_fitted(0, "cde");
    }

    #[derive(Serialize)]
    struct Known(&'static str);

    impl Row for Known {
        const COLUMNS: &'static [Column] = &[
            Column::text("TIME").left_out(1),
            Column::text("ID").needed(),
            Column::text("NAME"),
        ];

        fn cells(&self) -> Vec<Cell> {
            vec!["12:00".into(), self.0.into(), "fig".into()]
        }
    }

    #[test]
    fn what_is_needed_is_whole() {
        let check = |width, expected: &str| {
            let listing = Listing::<Known>::new(Out::fake(false, Some(width)));
            assert_eq!(listing.rendered(&[&Known("1-2-3-4")]), expected);
        };
        check(40, "TIME   ID       NAME\n12:00  1-2-3-4  fig\n");
        check(
            12,
            "ID       NA..\n1-2-3-4  fig\n"
                .replace("NA..", "N..")
                .as_str(),
        );
        check(5, "ID\n1-2-3-4\n");
    }

    fn check_cut(text: &str, room: usize, expected: &str) {
        assert_eq!(cut(text, room), expected);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        check_cut("abc", 3, "abc");
        check_cut("abcd", 3, "a..");
        check_cut("abcd", 2, "");
        check_cut("\u{6f22}\u{6f22}\u{6f22}", 5, "\u{6f22}..");
    }
}
