//! JSON read value by value, in memory bounded by a value, whatever the values lie in.
//!
//! Lists around values are opened, and so are the few objects that hold nothing but a list of them: answers and requests.
//! Only brackets, strings and what may stand before a bracket are looked at here; the rest is for who reads the value. A
//! value that goes wrong ends at its last line: the next one is read again where values lie on lines of their own.

use std::io::{self, Read};

/// A value, and where it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// Its JSON, or what is wrong about it.
    pub(super) json: Result<Vec<u8>, String>,
    /// The member of an object whose list it was in.
    pub(super) member: Option<&'static str>,
    /// Where it begins.
    pub(super) place: Place,
    /// Whether what follows cannot be read any more.
    pub(super) is_last: bool,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Lines before it and its own.
    pub(super) line: u64,
    /// Bytes before it.
    pub(super) offset: u64,
    /// Elements before it and its own.
    pub(super) number: u64,
}

impl Place {
    /// Where files begin.
    pub(super) const FIRST: Self = Self {
        line: 1,
        offset: 0,
        number: 0,
    };
}

/// Reads values one after the other.
pub(super) struct Scanner<R> {
    source: R,
    buffer: Vec<u8>,
    /// How much of the buffer is read.
    at: usize,
    place: Place,
    /// Lists that are open; of an object's, its member.
    open: Vec<Option<&'static str>>,
    element_bytes_max: usize,
    is_over: bool,
}

/// Why a value is none.
enum Broken {
    Io(io::Error),
    Wrong(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn wrong<T>(message: &str) -> Result<T, Broken> {
    Err(Broken::Wrong(message.to_owned()))
}

impl<R: Read> Scanner<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            at: 0,
            place: Place::FIRST,
            open: Vec::new(),
            element_bytes_max: ELEMENT_BYTES_MAX,
            is_over: false,
        }
    }

    /// Returns how far it is read.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// Returns the next value, nothing after the last.
    pub(super) fn next(&mut self) -> io::Result<Option<Element>> {
        if self.is_over {
            return Ok(None);
        }
        let mut json = Vec::new();
        let mut place = self.place;
        let outcome = self.value(&mut json, &mut place);
        self.place.number += 1;
        place.number = self.place.number;
        let member = self.open.iter().rev().find_map(|member| *member);
        let (json, is_last) = match outcome {
            Ok(true) => (Ok(json), false),
            Ok(false) => return Ok(None),
            Err(Broken::Io(error)) => return Err(error),
            Err(Broken::Wrong(message)) => {
                self.is_over = !self.open.is_empty();
                if !self.is_over {
                    self.skip_line(&json)?;
                }
                (Err(message), self.is_over)
            }
        };
        Ok(Some(Element {
            json,
            member,
            place,
            is_last,
        }))
    }

    /// Reads the next value; tells whether there is one.
    fn value(&mut self, json: &mut Vec<u8>, place: &mut Place) -> Result<bool, Broken> {
        loop {
            json.clear();
            let Some(byte) = self.after_space(json)? else {
                *place = self.place;
                return if self.open.is_empty() {
                    Ok(false)
                } else {
                    wrong("the file ends inside of a list")
                };
            };
            *place = self.place;
            json.clear();
            match byte {
                b',' if !self.open.is_empty() => self.step(),
                b']' if !self.open.is_empty() => {
                    self.step();
                    if let Some(Some(_)) = self.open.pop() {
                        self.members(json)?;
                    }
                }
                b'[' if self.open.len() < LISTS_MAX => {
                    self.step();
                    self.open.push(None);
                }
                b'{' if self.open.is_empty() => {
                    self.step();
                    json.push(b'{');
                    if self.members(json)? {
                        return Ok(true);
                    }
                }
                b'{' | b'"' => {
                    self.copy_value(json)?;
                    return Ok(true);
                }
                _ => return wrong("expected an object"),
            }
        }
    }

    /// Reads the members of an object up to its end, and tells whether they did end; or up to the first whose list is to
    /// be opened.
    fn members(&mut self, json: &mut Vec<u8>) -> Result<bool, Broken> {
        loop {
            let Some(byte) = self.after_space(json)? else {
                return wrong("the file ends inside of an object");
            };
            if byte == b'}' {
                self.step();
                json.push(byte);
                return Ok(json.first() == Some(&b'{'));
            }
            if byte == b',' {
                self.step();
                json.push(byte);
                continue;
            }
            if byte != b'"' {
                return wrong("expected the name of a member");
            }
            let begin = json.len();
            self.copy_value(json)?;
            let name = json.get(begin..).unwrap_or_default();
            let opened = OPENED.iter().find(|known| {
                name.strip_prefix(b"\"")
                    .and_then(|name| name.strip_suffix(b"\""))
                    == Some(known.as_bytes())
            });
            if self.after_space(json)? != Some(b':') {
                return wrong("expected a colon behind the name of a member");
            }
            self.step();
            json.push(b':');
            let value = self.after_space(json)?;
            if let (Some(member), Some(b'[')) = (opened, value) {
                self.step();
                self.open.push(Some(member));
                return Ok(false);
            }
            self.copy_value(json)?;
        }
    }

    /// Copies the value that begins here.
    fn copy_value(&mut self, json: &mut Vec<u8>) -> Result<(), Broken> {
        let mut scan = Scan::default();
        loop {
            if self.fill()? == 0 {
                return if scan.is_bare {
                    Ok(())
                } else {
                    wrong("the file ends inside of a value")
                };
            }
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let (n_bytes, outcome) = scan.read(rest);
            let read = rest.get(..n_bytes).unwrap_or_default();
            if json.len() + n_bytes > self.element_bytes_max {
                return wrong("larger than an element may be");
            }
            json.extend_from_slice(read);
            self.advance(n_bytes);
            match outcome {
                Step::More => {}
                Step::Done => return Ok(()),
                Step::Wrong(message) => return wrong(message),
            }
        }
    }

    /// Goes on behind the line a value went wrong in: at its last line if it began before, else at the next one.
    fn skip_line(&mut self, json: &[u8]) -> io::Result<()> {
        if json.last() == Some(&b'\n') {
            return Ok(());
        }
        loop {
            if self.fill()? == 0 {
                return Ok(());
            }
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let newline = rest.iter().position(|byte| *byte == b'\n');
            let n_bytes = newline.map_or(rest.len(), |newline| newline + 1);
            self.advance(n_bytes);
            if newline.is_some() {
                return Ok(());
            }
        }
    }

    /// Returns the next byte that is no space, without reading it, and appends the spaces before it.
    fn after_space(&mut self, json: &mut Vec<u8>) -> io::Result<Option<u8>> {
        loop {
            if self.fill()? == 0 {
                return Ok(None);
            }
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let n_spaces = rest.iter().take_while(|byte| SPACES.contains(byte)).count();
            let found = rest.get(n_spaces).copied();
            if json.len() < self.element_bytes_max {
                json.extend_from_slice(rest.get(..n_spaces).unwrap_or_default());
            }
            self.advance(n_spaces);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn step(&mut self) {
        self.advance(1);
    }

    fn advance(&mut self, n_bytes: usize) {
        let read = self
            .buffer
            .get(self.at..self.at + n_bytes)
            .unwrap_or_default();
        for byte in read {
            self.place.line += u64::from(*byte == b'\n');
        }
        self.place.offset += u64::try_from(n_bytes).unwrap_or_default();
        self.at += n_bytes;
    }

    /// Reads on if everything is read, and returns how many bytes there are.
    fn fill(&mut self) -> io::Result<usize> {
        if self.at >= self.buffer.len() {
            self.buffer.resize(BUFFER_BYTES, 0);
            self.at = 0;
            let n_bytes = loop {
                match self.source.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    outcome => break outcome?,
                }
            };
            self.buffer.truncate(n_bytes);
        }
        Ok(self.buffer.len() - self.at)
    }
}

/// How far a value is read.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about what was read"
)]
struct Scan {
    /// Brackets that are open.
    brackets: Vec<u8>,
    in_string: bool,
    is_escaped: bool,
    /// The last byte outside of strings that is no space.
    last: u8,
    has_begun: bool,
    /// Whether it is a number or a word, whose end only what follows shows.
    is_bare: bool,
}

enum Step {
    More,
    Done,
    Wrong(&'static str),
}

impl Scan {
    /// Reads some bytes of a value; returns how many of them belong to it.
    fn read(&mut self, bytes: &[u8]) -> (usize, Step) {
        for (idx, byte) in bytes.iter().enumerate() {
            let byte = *byte;
            if self.in_string {
                if byte == b'\n' {
                    return (idx + 1, Step::Wrong("a text ends with its line"));
                }
                if self.is_escaped {
                    self.is_escaped = false;
                } else if byte == b'\\' {
                    self.is_escaped = true;
                } else if byte == b'"' {
                    self.in_string = false;
                    self.last = byte;
                    if self.brackets.is_empty() {
                        return (idx + 1, Step::Done);
                    }
                }
                continue;
            }
            match self.outside(byte) {
                Step::More => {}
                Step::Done if self.is_bare => return (idx, Step::Done),
                Step::Done => return (idx + 1, Step::Done),
                Step::Wrong(message) => return (idx, Step::Wrong(message)),
            }
        }
        (bytes.len(), Step::More)
    }

    fn outside(&mut self, byte: u8) -> Step {
        if SPACES.contains(&byte) {
            return if self.is_bare && self.brackets.is_empty() {
                Step::Done
            } else {
                Step::More
            };
        }
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let last = std::mem::replace(&mut self.last, byte);
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                let is_in_list = self.brackets.last() == Some(&b'[');
                let may_stand =
                    is_first || last == b':' || (is_in_list && (last == b',' || last == b'['));
                if !may_stand {
                    return Step::Wrong("a value begins inside of another one");
                }
                self.brackets.push(byte);
            }
            b'}' | b']' => {
                if self.is_bare && self.brackets.is_empty() {
                    return Step::Done;
                }
                let opening = if byte == b'}' { b'{' } else { b'[' };
                if self.brackets.pop() != Some(opening) {
                    return Step::Wrong("brackets do not match");
                }
                if self.brackets.is_empty() {
                    return Step::Done;
                }
            }
            b',' | b':' if self.brackets.is_empty() => {
                return if self.is_bare {
                    Step::Done
                } else {
                    Step::Wrong("expected a value")
                };
            }
            _ => self.is_bare |= self.brackets.is_empty(),
        }
        Step::More
    }
}

/// Members whose list is opened: of answers and requests of the X-Ray API, of Jaeger's, and of spans.
pub(super) const OPENED: [&str; 6] = [
    "TraceSegmentDocuments",
    "Traces",
    "data",
    "resourceSpans",
    "resource_spans",
    "batches",
];
const SPACES: [u8; 5] = [b' ', b'\n', b'\r', b'\t', 0x1e];
/// Lists in lists.
const LISTS_MAX: usize = 4;
/// Memory one value may take.
const ELEMENT_BYTES_MAX: usize = 64 << 20;
const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, so that every place is one where a buffer ends.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let n_bytes = self.0.len().min(1);
            bytes[..n_bytes].copy_from_slice(&self.0[..n_bytes]);
            self.0 = &self.0[n_bytes..];
            Ok(n_bytes)
        }
    }

    fn all(source: impl Read) -> Vec<String> {
        let mut scanner = Scanner::new(source);
        let mut found = Vec::new();
        while let Some(element) = scanner.next().unwrap() {
            let member = element
                .member
                .map(|member| format!("{member}: "))
                .unwrap_or_default();
            found.push(match element.json {
                Ok(json) => format!("{member}{}", String::from_utf8(json).unwrap()),
                Err(message) => {
                    let Place {
                        line,
                        offset,
                        number,
                    } = element.place;
                    format!(
                        "{message} ({line}, {offset}, {number}, {})",
                        element.is_last
                    )
                }
            });
        }
        found
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(all(text.as_bytes()), expected, "{text}");
        assert_eq!(all(Slow(text.as_bytes())), expected, "{text}");
    }

    #[test]
    fn values_are_found_in_whatever_they_lie_in() {
        check("", &[]);
        check(" \n", &[]);
        check("{}", &["{}"]);
        check(
            "{\"a\": 1}\n{\"b\" : [1, {\"c\": \"}\\\"\"}] }",
            &["{\"a\": 1}", "{\"b\" : [1, {\"c\": \"}\\\"\"}] }"],
        );
        check(
            "[{\"a\": 1}, {\"b\": null}]",
            &["{\"a\": 1}", "{\"b\": null}"],
        );
        check(
            "[[{\"a\": 1}], [], [{\"b\": 2}]]",
            &["{\"a\": 1}", "{\"b\": 2}"],
        );
        check("[\"{\\\"id\\\": 1}\"]", &["\"{\\\"id\\\": 1}\""]);
        check(
            "{\"a\": 1.5e3, \"data\": [{\"b\": 1}], \"total\": 0, \"errors\": null}",
            &["data: {\"b\": 1}"],
        );
        check(
            "{\"Traces\": [], \"data\": [{}]} {\"c\":true}",
            &["data: {}", "{\"c\":true}"],
        );
        check("{\"data\": {\"x\": [1]}}", &["{\"data\": {\"x\": [1]}}"]);
        check(
            "{\"resourceSpans\":[{\"a\":[{\"b\":1}]},{}]}\n{\"resourceSpans\":[{}]}\n",
            &[
                "resourceSpans: {\"a\":[{\"b\":1}]}",
                "resourceSpans: {}",
                "resourceSpans: {}",
            ],
        );
    }

    #[test]
    fn a_broken_line_costs_that_line() {
        check(
            "{\"a\": 1\n{\"b\": 2}\n{\"c\": \"x\n{\"d\": 4}\nhello\n{\"e\":5}",
            &[
                "expected the name of a member (1, 0, 1, false)",
                "{\"b\": 2}",
                "a text ends with its line (3, 17, 3, false)",
                "{\"d\": 4}",
                "expected an object (5, 35, 5, false)",
                "{\"e\":5}",
            ],
        );
        check(
            "{\"a\": {\n{\"b\": 2}\n",
            &[
                "a value begins inside of another one (1, 0, 1, false)",
                "{\"b\": 2}",
            ],
        );
        check(
            "{\"a\": 1",
            &["the file ends inside of an object (1, 0, 1, false)"],
        );
    }

    #[test]
    fn behind_a_broken_value_in_a_list_nothing_can_be_read() {
        check(
            "[{\"a\": 1}, {\"b\": ]}, {\"c\": 3}]",
            &["{\"a\": 1}", "brackets do not match (1, 11, 2, true)"],
        );
        check(
            "[{\"a\": 1}",
            &[
                "{\"a\": 1}",
                "the file ends inside of a list (1, 9, 2, true)",
            ],
        );
        check("[5]", &["expected an object (1, 1, 1, true)"]);
    }

    #[test]
    fn a_value_is_no_larger_than_it_may_be() {
        let text = format!("{{\"a\": \"{}\"}}\n{{\"b\": 1}}\n", "x".repeat(200));
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.element_bytes_max = 100;
        assert!(scanner.next().unwrap().unwrap().json.is_err());
        assert_eq!(
            scanner.next().unwrap().unwrap().json,
            Ok(b"{\"b\": 1}".to_vec())
        );
    }
}
