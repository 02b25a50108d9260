//! The beginning of a refused document, for the people who look for its sender, with nothing in it that is theirs or
//! their users' alone.
//!
//! What may be shown follows from the grammar and is never guessed from the text:
//!
//! 1. Structure and the names of members stay, except names below `annotations` and `metadata`, which users make up.
//! 2. Of a segment and of the subsegments in it, ids of hexadecimal digits, `type`, `in_progress` and `name` stay.
//! 3. Every other text, number and truth becomes `*`, whatever its length.
//! 4. Where the text is no JSON any more, the excerpt stops: what follows cannot be told apart. A string without an end
//!    is never shown, and a string is the name of a member only if a colon follows.
//! 5. Of a text that does not begin like a document only punctuation is left.

use model::TraceId;

/// What is shown of a document, and the trace it says it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// At most 160 bytes, redacted.
    pub(crate) text: String,
    /// The first trace id of the outermost object, if it is one.
    pub(crate) trace_id: Option<TraceId>,
}

/// Returns the beginning of any text from outside, redacted; at most 160 bytes.
pub fn excerpt(text: &str) -> String {
    read(text).text
}

/// Reads a document once, as far as it is JSON and not too large.
pub(crate) fn read(document: &str) -> Excerpt {
    let beginning = document.floor_char_boundary(READ_BYTES_MAX);
    let document = document.get(..beginning).unwrap_or_default();
    let mut redactor = Redactor::new(document);
    if document.trim_ascii_start().starts_with(['{', '[']) {
        let is_whole = redactor.value(Place::Root, 0).is_some() && redactor.peek().is_none();
        if !is_whole {
            redactor.show(ELLIPSIS);
        }
    } else {
        redactor.punctuation();
    }
    Excerpt {
        text: cut(redactor.shown),
        trace_id: redactor.trace_id,
    }
}

/// Where a value stands: this alone decides what of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The whole text: a document or several.
    Root,
    /// An element of several documents, or of `subsegments`.
    Entity,
    /// `trace_id` of a document.
    TraceId,
    /// Another id of a segment or subsegment.
    Id,
    Name,
    Kind,
    Progress,
    Subsegments,
    /// Any other member of the schema's.
    Block,
    /// Below `annotations` or `metadata`.
    Users,
}

impl Place {
    /// Returns where the elements of an array at this place stand.
    const fn element(self) -> Self {
        match self {
            Self::Root | Self::Subsegments => Self::Entity,
            Self::Users => Self::Users,
            Self::Entity
            | Self::TraceId
            | Self::Id
            | Self::Name
            | Self::Kind
            | Self::Progress
            | Self::Block => Self::Block,
        }
    }

    /// Returns where a member of an object at this place stands.
    fn member(self, name: &str) -> Self {
        match self {
            Self::Users => Self::Users,
            Self::Root | Self::Entity => match name {
                "trace_id" if self == Self::Root => Self::TraceId,
                "id" | "trace_id" | "parent_id" => Self::Id,
                "name" => Self::Name,
                "type" => Self::Kind,
                "in_progress" => Self::Progress,
                "subsegments" => Self::Subsegments,
                _ => Self::of_block(name),
            },
            Self::TraceId
            | Self::Id
            | Self::Name
            | Self::Kind
            | Self::Progress
            | Self::Subsegments
            | Self::Block => Self::of_block(name),
        }
    }

    fn of_block(name: &str) -> Self {
        let is_users =
            name.eq_ignore_ascii_case("annotations") || name.eq_ignore_ascii_case("metadata");
        if is_users { Self::Users } else { Self::Block }
    }

    /// Tells whether a text at this place is shown.
    fn shows_text(self, text: &str) -> bool {
        match self {
            Self::TraceId | Self::Id => {
                let is_of_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
                text.len() <= ID_BYTES_MAX && text.bytes().all(is_of_id)
            }
            Self::Name => !text.contains(char::is_control),
            Self::Kind => text == "segment" || text == "subsegment",
            Self::Root
            | Self::Entity
            | Self::Progress
            | Self::Subsegments
            | Self::Block
            | Self::Users => false,
        }
    }

    /// Tells whether a number or truth at this place is shown.
    fn shows_literal(self, literal: &str) -> bool {
        self == Self::Progress && matches!(literal, "true" | "false")
    }

    /// Tells whether the name of a member of an object at this place is shown.
    fn shows_name(self, name: &str) -> bool {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        self != Self::Users && name.len() <= ID_BYTES_MAX && name.bytes().all(is_of_name)
    }
}

/// Reads text from its beginning and writes what may be shown.
struct Redactor<'d> {
    rest: &'d str,
    shown: String,
    trace_id: Option<TraceId>,
}

impl<'d> Redactor<'d> {
    fn new(text: &'d str) -> Self {
        Self {
            rest: text,
            shown: String::new(),
            trace_id: None,
        }
    }

    /// Reads a value; nothing if there is none, or it is nested too deep to be read.
    fn value(&mut self, place: Place, depth: usize) -> Option<()> {
        match self.peek()? {
            _ if depth > DEPTH_MAX => None,
            '{' => self.object(place, depth),
            '[' => self.array(place.element(), depth),
            '"' => self.text(place),
            _ => self.literal(place),
        }
    }

    fn object(&mut self, place: Place, depth: usize) -> Option<()> {
        self.take('{')?;
        if self.peek()? == '}' {
            return self.take('}');
        }
        loop {
            let name = self.string()?;
            if self.peek()? != ':' {
                return None;
            }
            let is_shown = place.shows_name(name);
            self.show_quoted(if is_shown { name } else { MASK });
            self.take(':')?;
            self.value(place.member(name), depth + 1)?;
            if self.peek()? == '}' {
                return self.take('}');
            }
            self.take(',')?;
        }
    }

    fn array(&mut self, element: Place, depth: usize) -> Option<()> {
        self.take('[')?;
        if self.peek()? == ']' {
            return self.take(']');
        }
        loop {
            self.value(element, depth + 1)?;
            if self.peek()? == ']' {
                return self.take(']');
            }
            self.take(',')?;
        }
    }

    fn text(&mut self, place: Place) -> Option<()> {
        let text = self.string()?;
        if place == Place::TraceId && self.trace_id.is_none() {
            self.trace_id = TraceId::parse(text).ok();
        }
        let is_shown = place.shows_text(text);
        self.show_quoted(if is_shown { text } else { MASK });
        Some(())
    }

    fn literal(&mut self, place: Place) -> Option<()> {
        let is_of_literal = |char: char| char.is_ascii_alphanumeric() || "+-.".contains(char);
        let end = self.rest.find(|char| !is_of_literal(char))?;
        let (literal, rest) = self.rest.split_at_checked(end)?;
        if literal.is_empty() {
            return None;
        }
        self.rest = rest;
        let is_shown = place.shows_literal(literal);
        self.show(if is_shown { literal } else { MASK });
        Some(())
    }

    /// Reads a string and returns what is between its quotes, as written.
    fn string(&mut self) -> Option<&'d str> {
        self.peek().filter(|first| *first == '"')?;
        let inside = self.rest.strip_prefix('"')?;
        let mut is_escaped = false;
        let end = inside.find(|char| {
            let ends = char == '"' && !is_escaped;
            is_escaped = char == '\\' && !is_escaped;
            ends
        })?;
        let (text, rest) = inside.split_at_checked(end)?;
        self.rest = rest.strip_prefix('"')?;
        Some(text)
    }

    /// Returns the next character behind white space, which is passed over.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.chars().next()
    }

    /// Reads and shows this character of the grammar, or nothing if another one follows.
    fn take(&mut self, expected: char) -> Option<()> {
        self.peek().filter(|char| *char == expected)?;
        self.rest = self.rest.strip_prefix(expected)?;
        self.show(expected.encode_utf8(&mut [0; 4]));
        Some(())
    }

    /// Shows punctuation, white space as one space and everything else as one mask.
    fn punctuation(&mut self) {
        let mut last = ' ';
        for char in self.rest.trim_ascii_start().chars().take(PROSE_CHARS_MAX) {
            let shown = match char {
                _ if char.is_ascii_punctuation() => char,
                _ if char.is_ascii_whitespace() => ' ',
                _ => '*',
            };
            if shown != last || shown.is_ascii_punctuation() && shown != '*' {
                self.shown.push(shown);
            }
            last = shown;
        }
    }

    fn show_quoted(&mut self, text: &str) {
        self.show("\"");
        self.show(text);
        self.show("\"");
    }

    /// Writes, unless there is more than enough already.
    fn show(&mut self, text: &str) {
        if self.shown.len() <= EXCERPT_BYTES_MAX {
            self.shown.push_str(text);
        }
    }
}

/// Returns a text that is not too long, with a mark where it was cut.
fn cut(mut text: String) -> String {
    if text.len() > EXCERPT_BYTES_MAX {
        let mut end = EXCERPT_BYTES_MAX - ELLIPSIS.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

const EXCERPT_BYTES_MAX: usize = 160;
/// Documents that are not too large are read whole.
const READ_BYTES_MAX: usize = 64 << 10;
/// Ids are shorter, and so are the names of the schema.
const ID_BYTES_MAX: usize = 64;
/// As deep as documents may be nested.
const DEPTH_MAX: usize = 128;
/// How many characters of a text that is no document are looked at.
const PROSE_CHARS_MAX: usize = 4 * EXCERPT_BYTES_MAX;
const MASK: &str = "*";
const ELLIPSIS: &str = "...";

#[cfg(test)]
#[path = "excerpt/tests.rs"]
mod tests;
