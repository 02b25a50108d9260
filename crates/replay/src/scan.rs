//! Finds the times and ids of a JSON text.
//!
//! 1. The text is checked to be JSON; after that, what stands between values can be passed over.
//! 2. One pass keeps a stack of the objects and arrays it is in, and skips every value that is not looked at.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

use crate::members::{Array, DOCUMENTS, Expected, Object, What};
use crate::unescape::unescape;

/// A value that may be a time or an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<'t> {
    pub(crate) what: What,
    /// Where its text stands, without quotes.
    pub(crate) range: Range<usize>,
    /// Its text, without escapes.
    pub(crate) value: Cow<'t, str>,
}

/// Returns the values of a text that may be times or ids, in order of the text; none if it is not JSON.
pub(crate) fn find(text: &str, root: Expected) -> Option<Vec<Found<'_>>> {
    let _: IgnoredAny = serde_json::from_str(text).ok()?;
    let mut scan = Scan {
        text,
        at: 0,
        found: Vec::new(),
        open: Vec::new(),
    };
    scan.value(root)?;
    while let Some(place) = scan.open.last().copied() {
        scan.step(place)?;
    }
    Some(scan.found)
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    found: Vec<Found<'t>>,
    /// What `at` is in, outermost first.
    open: Vec<Place>,
}

#[derive(Clone, Copy)]
enum Place {
    Object(Object),
    Array(Array),
}

impl<'t> Scan<'t> {
    /// Reads the next member or element, or the end of what is open.
    fn step(&mut self, place: Place) -> Option<()> {
        if matches!(self.peek()?, b'}' | b']') {
            self.at += 1;
            self.open.pop();
            return Some(());
        }
        let expected = match place {
            Place::Array(array) => array.element(),
            Place::Object(object) => {
                let name = self.string()?;
                match self.plain(name) {
                    Some(name) => object.member(&name),
                    None => Expected::default(),
                }
            }
        };
        self.value(expected)
    }

    /// Reads a value, of an object or array that is looked into only its beginning.
    fn value(&mut self, expected: Expected) -> Option<()> {
        match self.peek()? {
            b'{' => match expected.object {
                Some(object) => self.enter(Place::Object(object)),
                None => self.skip_nested()?,
            },
            b'[' => match expected.array {
                Some(array) => self.enter(Place::Array(array)),
                None => self.skip_nested()?,
            },
            b'"' => {
                let range = self.string()?;
                match expected.scalar {
                    Some(What::Document) => self.add_embedded(range),
                    Some(what) => self.add_text(what, range),
                    None => {}
                }
            }
            _ => {
                let range = self.token();
                if let Some(what @ (What::Start | What::Time | What::Nanos)) = expected.scalar {
                    self.add_text(what, range);
                }
            }
        }
        Some(())
    }

    fn enter(&mut self, place: Place) {
        self.at += 1;
        self.open.push(place);
    }

    fn add_text(&mut self, what: What, range: Range<usize>) {
        if let Some(value) = self.plain(range.clone()) {
            self.found.push(Found { what, range, value });
        }
    }

    /// Adds what is found in a document that is embedded as text.
    fn add_embedded(&mut self, range: Range<usize>) {
        let escaped = self.text.get(range.clone());
        let Some(plain) = escaped.and_then(unescape) else {
            return;
        };
        for found in find(&plain.text, DOCUMENTS).unwrap_or_default() {
            let start = range.start + plain.escaped_offset(found.range.start);
            let end = range.start + plain.escaped_offset(found.range.end);
            self.found.push(Found {
                what: found.what,
                range: start..end,
                value: Cow::Owned(found.value.into_owned()),
            });
        }
    }

    /// Returns the text of a string without escapes; none if they name half a character.
    fn plain(&self, range: Range<usize>) -> Option<Cow<'t, str>> {
        let text = self.text.get(range)?;
        if !text.contains('\\') {
            return Some(Cow::Borrowed(text));
        }
        unescape(text).map(|plain| Cow::Owned(plain.text))
    }

    /// Returns the next byte that is part of a value, or closes one.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte()?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | b':') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads a string and returns where it stands, without its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let end = self.at;
        self.at += 1;
        Some(start..end)
    }

    /// Reads a number or a word and returns where it stands.
    fn token(&mut self) -> Range<usize> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'a'..=b'z' | b'+' | b'-' | b'.' | b'E') = self.byte() {
            self.at += 1;
        }
        start..self.at
    }

    fn skip_nested(&mut self) -> Option<()> {
        let mut n_open: usize = 0;
        loop {
            match self.byte()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => n_open += 1,
                b'}' | b']' => n_open -= 1,
                _ => {}
            }
            self.at += 1;
            if n_open == 0 {
                return Some(());
            }
        }
    }
}
