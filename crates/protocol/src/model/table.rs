//! Reads the table; its notation is explained in its head.

use std::collections::BTreeMap;

use super::{Bounds, Member, MemberShape, Model, OperationModel, Structure, StructureKind};
use crate::Pattern;

/// A line of the table that is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of the model is not understood: {0}")]
pub(super) struct UnknownLine(String);

/// Returns the model a table tells.
pub(super) fn read(text: &'static str) -> Result<Model, UnknownLine> {
    let mut model = Model {
        operations: BTreeMap::new(),
        structures: BTreeMap::new(),
    };
    let is_comment = |line: &&str| line.is_empty() || line.starts_with('#');
    let mut lines = text.lines().filter(|line| !is_comment(line));
    while let Some(line) = lines.next() {
        let unknown = || UnknownLine(line.to_owned());
        if let Some(rest) = line.strip_prefix("operation ") {
            let rows = [lines.next(), lines.next(), lines.next()];
            let (name, operation) = operation(rest, rows).ok_or_else(unknown)?;
            model.operations.insert(name, operation);
        } else {
            let rest = line.strip_prefix("structure ").ok_or_else(unknown)?;
            let (name, structure) = structure(rest).ok_or_else(unknown)?;
            model.structures.insert(name, structure);
        }
    }
    Ok(model)
}

fn operation(
    head: &'static str,
    rows: [Option<&'static str>; 3],
) -> Option<(&'static str, OperationModel)> {
    let (name, path) = head.split_once(' ')?;
    let [input, output, errors] = rows;
    let plain = |members| Structure {
        kind: StructureKind::Plain,
        members,
    };
    let operation = OperationModel {
        path,
        input: plain(members(input?.strip_prefix("  in: ")?)?),
        output: plain(members(output?.strip_prefix("  out: ")?)?),
        errors: errors?.strip_prefix("  errors: ")?.split(", ").collect(),
    };
    Some((name, operation))
}

fn structure(text: &'static str) -> Option<(&'static str, Structure)> {
    let (head, body) = text.split_once(": ")?;
    let (name, kind) = match head.split_once(' ') {
        None => (head, StructureKind::Plain),
        Some((name, "(union)")) => (name, StructureKind::Union),
        Some((name, "(error)")) => (name, StructureKind::Error(None)),
        Some((name, kind)) => {
            let status = kind.strip_prefix("(error ")?.strip_suffix(')')?;
            (name, StructureKind::Error(Some(status.parse().ok()?)))
        }
    };
    let members = members(body)?;
    Some((name, Structure { kind, members }))
}

fn members(text: &'static str) -> Option<Vec<Member>> {
    if text == "-" {
        return Some(Vec::new());
    }
    text.split(", ").map(member).collect()
}

fn member(text: &'static str) -> Option<Member> {
    let (name, written) = text.split_once(": ")?;
    let (shape, rest) = shape(written)?;
    rest.is_empty().then(|| Member {
        name: name.strip_suffix('*').unwrap_or(name),
        is_required: name.ends_with('*'),
        shape,
    })
}

/// Returns the shape a text begins with, and the rest of the text.
fn shape(text: &'static str) -> Option<(MemberShape, &'static str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (item, rest) = shape(rest)?;
        let (size, rest) = bounds(rest.strip_prefix(']')?, '{', '}')?;
        let item = Box::new(item);
        return Some((MemberShape::List { item, size }, rest));
    }
    if let Some(rest) = text.strip_prefix("map<") {
        let (key, rest) = shape(rest)?;
        let (value, rest) = shape(rest.strip_prefix(',')?)?;
        let (size, rest) = bounds(rest.strip_prefix('>')?, '{', '}')?;
        let (key, value) = (Box::new(key), Box::new(value));
        return Some((MemberShape::Map { key, value, size }, rest));
    }
    if text.starts_with('"') {
        return choice(text);
    }
    let is_end = |character: char| !character.is_ascii_alphanumeric();
    let (name, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    match name {
        "string" => {
            let (length, rest) = bounds(rest, '(', ')')?;
            let (pattern, rest) = pattern(rest)?;
            Some((MemberShape::Text { length, pattern }, rest))
        }
        "integer" => {
            let (range, rest) = bounds(rest, '(', ')')?;
            Some((MemberShape::Integer(range), rest))
        }
        "double" => {
            let (range, rest) = bounds(rest, '(', ')')?;
            Some((MemberShape::Double(range), rest))
        }
        "long" => Some((MemberShape::Long, rest)),
        "boolean" => Some((MemberShape::Boolean, rest)),
        "timestamp" => Some((MemberShape::Timestamp, rest)),
        name if name.starts_with(|first: char| first.is_ascii_uppercase()) => {
            Some((MemberShape::Structure(name), rest))
        }
        _ => None,
    }
}

/// Returns the texts `"A"|"B"` at the start of a text.
fn choice(text: &'static str) -> Option<(MemberShape, &'static str)> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = rest.strip_prefix('"')?.split_once('"')?;
        names.push(name);
        match after.strip_prefix('|') {
            Some(next) => rest = next,
            None => return Some((MemberShape::Choice(names), after)),
        }
    }
}

/// Returns the bounds at the start of a text; without any, all is allowed.
fn bounds(text: &'static str, open: char, close: char) -> Option<(Bounds, &'static str)> {
    let Some(inside) = text.strip_prefix(open) else {
        return Some((Bounds::default(), text));
    };
    let (inside, rest) = inside.split_once(close)?;
    let (min, max) = inside.split_once("..")?;
    let bounds = Bounds {
        min: bound(min)?,
        max: bound(max)?,
    };
    Some((bounds, rest))
}

#[expect(clippy::option_option, reason = "no bound is no mistake")]
fn bound(digits: &str) -> Option<Option<u32>> {
    if digits.is_empty() {
        return Some(None);
    }
    digits.parse().ok().map(Some)
}

/// Returns the pattern at the start of a text, if there is one; an unknown one is a mistake.
fn pattern(text: &'static str) -> Option<(Option<Pattern>, &'static str)> {
    let Some(inside) = text.strip_prefix(" /") else {
        return Some((None, text));
    };
    let (regex, rest) = inside.split_once('/')?;
    let is_meant = |pattern: &Pattern| pattern.regex() == regex;
    let pattern = Pattern::ALL.into_iter().find(is_meant)?;
    Some((Some(pattern), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_notation_is_refused() {
        for text in [
            "nonsense",
            "structure A",
            "structure A: B",
            "structure A (odd): B: string",
            "structure A (error x): B: string",
            "structure A: B: strings",
            "structure A: B: string(1)",
            "structure A: B: string(a..)",
            "structure A: B: [string",
            "structure A: B: map<string>",
            "structure A: B: \"C",
            "structure A: B: string /x/",
            "structure A: B: long(0..1)",
            "operation A",
            "operation A /A\n  in: -\n  out: -",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
