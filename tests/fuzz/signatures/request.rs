//! Requests as text, changed line by line.
//!
//! The first line is method and target, the next ones are headers, and the body follows an empty line.

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Uri};
use percent_encoding::{AsciiSet, percent_encode};
use roentgen_tests::random::Random;

use super::METHODS;
use crate::bytes::{index, place};
use crate::engine::Form;

/// Returns the request a text is, if it is one.
pub(super) fn parse(text: &[u8]) -> Option<(Parts, Bytes)> {
    let text = Text::of(text);
    let (method, target) = text.first().split_once(' ')?;
    let target: Uri = target.parse().ok()?;
    let mut request = Request::builder().method(method).uri(target);
    for line in text.lines.iter().skip(1) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        request = request.header(name, value[1..].trim_ascii());
    }
    let request = request.body(Bytes::from(text.body)).ok()?;
    Some(request.into_parts())
}

/// Returns a request as text.
pub(super) fn text_of(parts: &Parts, body: &[u8]) -> Vec<u8> {
    let mut lines = vec![format!("{} {}", parts.method, parts.uri).into_bytes()];
    for (name, value) in &parts.headers {
        lines.push([name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
    }
    let body = body.to_vec();
    Text { lines, body }.join()
}

/// A request taken apart.
struct Text {
    lines: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Text {
    fn of(text: &[u8]) -> Self {
        let end = text.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = match end {
            Some(end) => (&text[..end], &text[end + 2..]),
            None => (text, &b""[..]),
        };
        Self {
            lines: head
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect(),
            body: body.to_vec(),
        }
    }

    fn first(&self) -> &str {
        self.lines
            .first()
            .map_or("", |line| str::from_utf8(line).unwrap_or_default())
    }

    fn join(self) -> Vec<u8> {
        [self.lines.join(&b'\n'), b"\n\n".to_vec(), self.body].concat()
    }

    /// Returns the index of a header's line, if there is one.
    fn header(&self, random: &mut Random) -> Option<usize> {
        let n_headers = self.lines.len() - 1;
        (n_headers > 0).then(|| 1 + index(random, n_headers))
    }
}

/// Requests whose lines, targets and values are changed so that they stay requests.
pub(super) struct Lines;

impl Form for Lines {
    fn change(&self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let mut text = Text::of(input);
        let other = Text::of(other);
        match random.below(10) {
            0 => change_method(&mut text, random),
            1 => change_target(&mut text, random)?,
            2 => change_query(&mut text, random)?,
            3 => {
                let (one, two) = (text.header(random)?, text.header(random)?);
                text.lines.swap(one, two);
            }
            4 => {
                let copied = text.lines[text.header(random)?].clone();
                let at = text.header(random)?;
                text.lines.insert(at, copied);
            }
            5 => {
                text.lines.remove(text.header(random)?);
            }
            6 => {
                let taken = other.lines[other.header(random)?].clone();
                let at = text.header(random)?;
                text.lines[at] = taken;
            }
            7 => {
                let line_idx = text.header(random)?;
                change_header(&mut text.lines[line_idx], random);
            }
            8 => change_one(&mut text.body, random),
            _ => {
                let line_idx = index(random, text.lines.len());
                change_one(&mut text.lines[line_idx], random);
            }
        }
        Some(text.join())
    }

    fn grow(&self, input: &[u8], n_bytes: usize, random: &mut Random) -> Option<Vec<u8>> {
        let mut text = Text::of(input);
        let n_missing = n_bytes.checked_sub(input.len())?;
        let line_idx = text.header(random)?;
        match random.below(4) {
            0 => text.lines[line_idx].extend(b" a".repeat(n_missing / 2)),
            1 => {
                let target = text.lines.first_mut()?;
                target.extend(b"&a=b%20".repeat(n_missing / 7));
            }
            2 => {
                let headers = (0..n_missing / 15).map(|idx| format!("x-amz-{idx:05}: 1"));
                text.lines.extend(headers.map(String::into_bytes));
            }
            _ => text.body = text.body.repeat(1 + n_missing / text.body.len().max(1)),
        }
        Some(text.join())
    }
}

fn change_method(text: &mut Text, random: &mut Random) {
    let method = METHODS[index(random, METHODS.len())].as_str();
    let target = text
        .first()
        .split_once(' ')
        .map_or("/", |(_, target)| target);
    let first = format!("{method} {target}");
    text.lines[0] = first.into_bytes();
}

/// Writes the path otherwise, to the same effect or not.
fn change_target(text: &mut Text, random: &mut Random) -> Option<()> {
    let first = text.first().to_owned();
    let slashes: Vec<usize> = first.match_indices('/').map(|(at, _)| at).collect();
    let slash = *slashes.get(index(random, slashes.len()))?;
    let put = ["/.", "/a/..", "/", "/%2e", "/..", "/%2F", "/a", "/%41"];
    let put = put[index(random, put.len())];
    let (head, tail) = first.split_at(slash);
    text.lines[0] = format!("{head}{put}{tail}").into_bytes();
    Some(())
}

/// Writes the query otherwise, to the same effect or not.
fn change_query(text: &mut Text, random: &mut Random) -> Option<()> {
    let first = text.first().to_owned();
    let (path, query) = first.split_once('?').unwrap_or((&first, ""));
    let mut pieces: Vec<String> = query.split('&').map(str::to_owned).collect();
    let at = index(random, pieces.len());
    match random.below(5) {
        0 => pieces.rotate_left(at),
        1 => pieces.push(pieces.get(at)?.clone()),
        2 => {
            pieces.remove(at);
        }
        3 => {
            // One character in its other form.
            let piece = pieces.get_mut(at)?;
            let (start, char) = piece.char_indices().nth(index(random, piece.len()))?;
            let encoded = percent_encode(char.encode_utf8(&mut [0; 4]).as_bytes(), ALL).to_string();
            piece.replace_range(start..start + char.len_utf8(), &encoded);
        }
        _ => pieces.insert(at, "a=1".to_owned()),
    }
    text.lines[0] = format!("{path}?{}", pieces.join("&")).into_bytes();
    Some(())
}

/// Writes a header otherwise: its name in capitals, more space, or a list of values.
fn change_header(line: &mut Vec<u8>, random: &mut Random) {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
    match random.below(4) {
        0 => line[..colon].make_ascii_uppercase(),
        1 => {
            let at = colon + index(random, line.len() - colon + 1);
            line.splice(at..at, *b" \t ");
        }
        2 => line.extend(b"  "),
        _ => line.extend(b",a"),
    }
}

/// Changes one byte to another one of its kind.
fn change_one(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = place(bytes, random);
    match bytes.get_mut(at) {
        Some(byte) if byte.is_ascii_digit() => *byte = b'0' + (*byte - b'0' + 1) % 10,
        Some(byte) if byte.is_ascii_alphabetic() => *byte ^= 1,
        Some(byte) => *byte = b'a',
        None => bytes.push(b'!'),
    }
}

/// Every byte is encoded.
const ALL: &AsciiSet = &AsciiSet::EMPTY.complement();
