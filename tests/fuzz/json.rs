//! JSON changed as values and written again: what comes out is JSON, whatever else it is.

use std::fmt::Write as _;

use roentgen_tests::random::Random;
use serde_json::Value;

use crate::bytes::{self, NUMBERS, index};
use crate::engine::Form;

/// JSON whose members have these names.
pub(crate) struct Json<'n> {
    /// Names of members, and texts that mean something as values.
    pub(crate) names: &'n [&'static str],
    /// Values, as JSON.
    pub(crate) values: &'static [&'static str],
}

/// A value. Numbers are kept as they are written, and members may be there twice.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// What has no inside: a number, `true`, `null`, or anything that is to be written as it is.
    Atom(String),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Form for Json<'_> {
    fn change(&self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let mut tree = Tree::read(input)?;
        let other = Tree::read(other).unwrap_or(Tree::Atom("null".to_owned()));
        self.change_tree(&mut tree, &other, random);
        Some(tree.write(random))
    }

    fn grow(&self, input: &[u8], n_bytes: usize, random: &mut Random) -> Option<Vec<u8>> {
        let mut tree = Tree::read(input)?;
        tree.grow(n_bytes.checked_sub(input.len())?, random);
        Some(tree.write(&mut Random::new(PLAINLY)))
    }
}

impl Json<'_> {
    /// Makes one change in a tree; `other` is a tree to take parts from.
    pub(crate) fn change_tree(&self, tree: &mut Tree, other: &Tree, random: &mut Random) {
        let n_nodes = tree.n_nodes();
        let part = other.at(index(random, other.n_nodes())).clone();
        let node = tree.at_mut(index(random, n_nodes));
        match random.below(12) {
            0 => *node = self.value(random),
            1 => *node = part,
            2 => *node = Tree::Atom(random.pick(NUMBERS).to_owned()),
            3 => node.add(random.pick(self.names), self.value(random), random),
            4 => node.add(random.pick(self.names), part, random),
            5 | 6 => node.remove(random),
            7 => node.rename(random.pick(self.names), random),
            8 => node.repeat(1 << random.below(11), random),
            9 => node.wrap(1 << random.below(8), random),
            10 => node.reorder(random),
            _ => self.change_text(node, random),
        }
    }

    fn value(&self, random: &mut Random) -> Tree {
        if random.percent(30) {
            return Tree::Text(random.pick(self.names).to_owned());
        }
        let value = random.pick(self.values);
        Tree::read(value.as_bytes()).unwrap_or_else(|| Tree::Atom(value.to_owned()))
    }

    fn change_text(&self, node: &mut Tree, random: &mut Random) {
        let Tree::Text(text) = node else {
            *node = Tree::Text(random.pick(self.names).to_owned());
            return;
        };
        let chars: Vec<char> = text.chars().collect();
        let start = index(random, chars.len() + 1);
        let end = (start + index(random, 5)).min(chars.len());
        let piece = random.pick(PIECES);
        let n_copies = if random.percent(10) { 1000 } else { 1 };
        let middle = piece.repeat(n_copies);
        let (head, tail) = (&chars[..start], &chars[end..]);
        *text = head.iter().chain(tail).collect();
        let at = head.iter().map(|char| char.len_utf8()).sum();
        text.insert_str(at, &middle);
    }
}

impl Tree {
    /// Returns the value of a text, if it is JSON that a plain reader takes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self::of)
    }

    fn of(value: Value) -> Self {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Atom(value.to_string()),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::of).collect()),
            Value::Object(members) => {
                let members = members.into_iter();
                Self::Object(
                    members
                        .map(|(name, value)| (name, Self::of(value)))
                        .collect(),
                )
            }
        }
    }

    /// Returns the tree as JSON; now and then with white space, and with escapes that need not be.
    pub(crate) fn write(&self, random: &mut Random) -> Vec<u8> {
        let mut style = Style {
            spaces: random.percent(10),
            escapes: random.percent(20),
        };
        let mut out = String::new();
        self.write_into(&mut style, &mut out);
        out.into_bytes()
    }

    fn write_into(&self, style: &mut Style, out: &mut String) {
        match self {
            Self::Atom(text) => out.push_str(text),
            Self::Text(text) => style.text(text, out),
            Self::List(items) => {
                out.push('[');
                for (idx, item) in items.iter().enumerate() {
                    style.separate(idx, out);
                    item.write_into(style, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (idx, (name, value)) in members.iter().enumerate() {
                    style.separate(idx, out);
                    style.text(name, out);
                    out.push(':');
                    value.write_into(style, out);
                }
                out.push('}');
            }
        }
    }

    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Atom(_) | Self::Text(_) => Vec::new(),
            Self::List(items) => items.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value).collect(),
        }
    }

    fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Atom(_) | Self::Text(_) => Vec::new(),
            Self::List(items) => items.iter_mut().collect(),
            Self::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
        }
    }

    /// Returns how many values there are in it, itself included.
    pub(crate) fn n_nodes(&self) -> usize {
        let below: usize = self.children().into_iter().map(Self::n_nodes).sum();
        1 + below
    }

    /// Returns the value of a number, counted from outside in.
    pub(crate) fn at(&self, mut node_idx: usize) -> &Self {
        if node_idx == 0 {
            return self;
        }
        node_idx -= 1;
        for child in self.children() {
            let n_nodes = child.n_nodes();
            if node_idx < n_nodes {
                return child.at(node_idx);
            }
            node_idx -= n_nodes;
        }
        self
    }

    pub(crate) fn at_mut(&mut self, node_idx: usize) -> &mut Self {
        let Some(mut rest) = node_idx.checked_sub(1) else {
            return self;
        };
        for child in self.children_mut() {
            let n_nodes = child.n_nodes();
            if rest < n_nodes {
                return child.at_mut(rest);
            }
            rest -= n_nodes;
        }
        unreachable!("there are fewer values than that");
    }

    fn add(&mut self, name: &str, value: Self, random: &mut Random) {
        match self {
            Self::Atom(_) | Self::Text(_) => *self = value,
            Self::List(items) => items.insert(index(random, items.len() + 1), value),
            Self::Object(members) => {
                // Mostly the member is put in the place of one of its name.
                members.retain(|(other, _)| other != name || random.percent(20));
                let at = index(random, members.len() + 1);
                members.insert(at, (name.to_owned(), value));
            }
        }
    }

    fn remove(&mut self, random: &mut Random) {
        match self {
            Self::List(items) if !items.is_empty() => {
                items.remove(index(random, items.len()));
            }
            Self::Object(members) if !members.is_empty() => {
                members.remove(index(random, members.len()));
            }
            Self::Atom(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => {
                *self = Self::Atom("null".to_owned());
            }
        }
    }

    fn rename(&mut self, name: &str, random: &mut Random) {
        if let Self::Object(members) = self
            && !members.is_empty()
        {
            let at = index(random, members.len());
            name.clone_into(&mut members[at].0);
        }
    }

    /// Puts one of the values inside so many times; members under names of their own.
    fn repeat(&mut self, n_copies: usize, random: &mut Random) {
        match self {
            Self::Atom(_) => {}
            Self::Text(text) => *text = text.repeat(n_copies.min(70_000 / (text.len() + 1))),
            Self::List(items) if items.is_empty() => {}
            Self::List(items) => {
                let at = index(random, items.len());
                let n_copies = n_copies.min(70_000 / items[at].n_bytes());
                let copies = vec![items[at].clone(); n_copies];
                items.splice(at..at, copies);
            }
            Self::Object(members) if members.is_empty() => {}
            Self::Object(members) => {
                let (name, value) = members[index(random, members.len())].clone();
                let n_copies = n_copies.min(70_000 / value.n_bytes());
                members.extend((0..n_copies).map(|idx| (format!("{name}{idx}"), value.clone())));
            }
        }
    }

    fn wrap(&mut self, n_levels: usize, random: &mut Random) {
        let name = match self {
            Self::Object(members) if !members.is_empty() => {
                Some(members[index(random, members.len())].0.clone())
            }
            Self::Atom(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        };
        for _ in 0..n_levels {
            let inner = std::mem::replace(self, Self::List(Vec::new()));
            *self = match &name {
                Some(name) => Self::Object(vec![(name.clone(), inner)]),
                None => Self::List(vec![inner]),
            };
        }
    }

    fn reorder(&mut self, random: &mut Random) {
        match self {
            Self::Atom(_) | Self::Text(_) => {}
            Self::List(items) => {
                let n_items = items.len();
                items.rotate_left(index(random, n_items));
            }
            Self::Object(members) => {
                let n_members = members.len();
                members.rotate_left(index(random, n_members));
            }
        }
    }

    /// Adds about so many bytes by putting one value inside there many times.
    pub(crate) fn grow(&mut self, n_bytes: usize, random: &mut Random) {
        let n_nodes = self.n_nodes();
        let mut node = &mut *self;
        // Of some values the one that has the most inside: leaves cannot grow.
        let picked: Vec<usize> = (0..4).map(|_| index(random, n_nodes)).collect();
        let widest = picked
            .into_iter()
            .max_by_key(|idx| node.at(*idx).children().len());
        node = node.at_mut(widest.unwrap_or_default());
        match node {
            Self::Atom(text) => {
                let digit = text.pop().unwrap_or('1');
                text.extend(std::iter::repeat_n(digit, n_bytes));
            }
            Self::Text(text) => {
                let piece = if text.is_empty() { "a" } else { &*text };
                *text = piece.repeat(1 + n_bytes / piece.len());
            }
            Self::List(items) => {
                let item = match items.get(index(random, items.len())) {
                    Some(item) => item.clone(),
                    None => Self::Object(Vec::new()),
                };
                let n_item = item.n_bytes() + 1;
                for copy_idx in 0..n_bytes / n_item {
                    let mut copy = item.clone();
                    copy.number(copy_idx);
                    items.push(copy);
                }
            }
            Self::Object(members) => {
                let (name, value) = match members.get(index(random, members.len())) {
                    Some(member) => member.clone(),
                    None => ("a".to_owned(), Self::List(Vec::new())),
                };
                let n_member = name.len() + value.n_bytes() + 10;
                for copy_idx in 0..n_bytes / n_member {
                    let mut copy = value.clone();
                    copy.number(copy_idx);
                    members.push((format!("{name}{copy_idx:05}"), copy));
                }
            }
        }
    }

    /// Gives the copy of a value ids of its own: texts of 16 digits or more have its number at their end.
    fn number(&mut self, copy_idx: usize) {
        if let Self::Text(text) = self
            && text.len() >= 16
            && text.is_ascii()
        {
            text.truncate(text.len() - 5);
            write!(text, "{copy_idx:05x}").unwrap();
        }
        for child in self.children_mut() {
            child.number(copy_idx);
        }
    }

    fn n_bytes(&self) -> usize {
        let own = match self {
            Self::Atom(text) | Self::Text(text) => text.len() + 2,
            Self::List(_) => 2,
            Self::Object(members) => {
                members
                    .iter()
                    .map(|(name, _)| name.len() + 4)
                    .sum::<usize>()
                    + 2
            }
        };
        let below: usize = self.children().into_iter().map(Self::n_bytes).sum();
        own + below
    }
}

/// How JSON is written.
struct Style {
    spaces: bool,
    escapes: bool,
}

impl Style {
    fn separate(&self, idx: usize, out: &mut String) {
        if idx > 0 {
            out.push(',');
        }
        if self.spaces {
            out.push_str(" \r\n\t");
        }
    }

    fn text(&self, text: &str, out: &mut String) {
        if !self.escapes {
            out.push_str(&Value::from(text).to_string());
            return;
        }
        out.push('"');
        for unit in text.encode_utf16() {
            write!(out, "\\u{unit:04X}").unwrap();
        }
        out.push('"');
    }
}

/// A seed of chance that has JSON written without white space and escapes.
const PLAINLY: u64 = 1;
/// What is put into texts.
const PIECES: &[&str] = &[
    "",
    "",
    "a",
    "0",
    "-",
    " ",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\n",
    "\u{7f}",
    "\u{e9}",
    "\u{200b}",
    "\u{feff}",
    "\u{10ffff}",
    "{",
    "[]",
    "T1S",
    "ffffffff",
];

#[test]
fn what_is_read_is_written() {
    let texts = [
        r#"{"a":[1,-2.5,"x\"\u0001",{},[]],"b":null}"#,
        "[]",
        "\"\"",
        "true",
    ];
    for text in texts {
        let tree = Tree::read(text.as_bytes()).unwrap();
        assert_eq!(tree.write(&mut Random::new(PLAINLY)), text.as_bytes());
        let nodes: std::collections::HashSet<_> = (0..tree.n_nodes())
            .map(|idx| std::ptr::from_ref(tree.at(idx)))
            .collect();
        assert_eq!(nodes.len(), tree.n_nodes());
        for seed in 0..50 {
            let written = tree.write(&mut Random::new(seed));
            let again = Tree::read(&written).unwrap();
            assert_eq!(format!("{again:?}"), format!("{tree:?}"), "{seed}");
        }
    }
}

#[test]
fn what_grows_has_about_the_size_that_is_asked_for() {
    let json = Json {
        names: &[],
        values: &[],
    };
    let input = br#"{"id":"70de5b6f19ff9a0a","list":[{"a":1},[2]],"number":12,"text":"some","more":{"b":3}}"#;
    for seed in 0..200 {
        let grown = json.grow(input, 20_000, &mut Random::new(seed)).unwrap();
        assert!(
            (9_000..30_000).contains(&grown.len()),
            "seed {seed}: {}",
            grown.len()
        );
        let again = json.grow(input, 20_000, &mut Random::new(seed)).unwrap();
        assert_eq!(
            bytes::range(&grown, &mut Random::new(0)),
            bytes::range(&again, &mut Random::new(0))
        );
        assert_eq!(grown, again);
    }
}
