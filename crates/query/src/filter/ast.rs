//! What an expression says, free of how it is written.

use super::json::CausePattern;
use super::keywords::Keyword;
use super::selector::NodeSelector;

/// Atoms and what joins them; joins of one kind are flat.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr<A> {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Atom(A),
}

/// What an expression says of a trace.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Atom {
    /// A keyword of the trace or its root.
    Simple(Simple),
    /// Some value of the annotation with a key.
    Annotation(String, Test),
    /// Some service, or some one request of it for which a block holds.
    Service(NodeSelector, Option<Expr<Simple>>),
    /// Some call between services, for which a block holds.
    Edge(NodeSelector, NodeSelector, Option<Expr<Simple>>),
    /// The filter of a group; nothing for one that takes all.
    Group(GroupKey, Option<Box<Expr<Self>>>),
    /// Some one element of a list of some one root cause.
    Cause(CauseKind, CauseList, Expr<Simple>),
    /// Some root cause of the kind, or of any, that has one of the forms.
    CausePath(Option<CauseKind>, Vec<CausePattern>),
}

/// A keyword and what it is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Simple {
    pub(super) keyword: Keyword,
    pub(super) test: Test,
}

/// What is asked of a value. What is absent passes no test.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// Booleans: that it is true. All else: that it is there.
    Is,
    /// That it is this boolean.
    Boolean(bool),
    /// That it is a number that compares so.
    Number(Comparison, f64),
    /// That it is a text that is like this one.
    Text(Likeness, String),
}

/// How numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// How texts compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    Equal,
    NotEqual,
    Contains,
    BeginsWith,
    EndsWith,
}

/// How an expression names a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupKey {
    Name(String),
    Arn(String),
}

/// What a root cause is the cause of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CauseKind {
    Fault,
    Error,
    ResponseTime,
}

/// What of a root cause a block is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CauseList {
    Service,
    Entity,
    Exception,
}

impl<A> Expr<A> {
    /// Returns the value of the expression in three-valued logic, given those of atoms: nothing is
    /// unknown unless it depends on what is. Stops at the first atom that decides.
    pub(super) fn evaluate(&self, atom: &mut dyn FnMut(&A) -> Option<bool>) -> Option<bool> {
        match self {
            Self::Atom(leaf) => atom(leaf),
            Self::Not(inner) => inner.evaluate(atom).map(|value| !value),
            Self::And(parts) => Self::first(parts, false, atom),
            Self::Or(parts) => Self::first(parts, true, atom),
        }
    }

    /// Returns `decisive` if some part has that value, its opposite if all have that.
    fn first(
        parts: &[Self],
        decisive: bool,
        atom: &mut dyn FnMut(&A) -> Option<bool>,
    ) -> Option<bool> {
        let mut value = Some(!decisive);
        for part in parts {
            match part.evaluate(atom) {
                Some(part) if part == decisive => return Some(decisive),
                Some(_) => {}
                None => value = None,
            }
        }
        value
    }

    /// Tells whether some atom is such.
    pub(super) fn any(&self, is_such: &dyn Fn(&A) -> bool) -> bool {
        match self {
            Self::Atom(atom) => is_such(atom),
            Self::Not(inner) => inner.any(is_such),
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.any(is_such)),
        }
    }
}

impl Atom {
    /// Tells whether it is about root causes of response time, which slow traces have.
    pub(super) fn rests_on_slow_trace(&self) -> bool {
        match self {
            Self::Simple(_)
            | Self::Annotation(..)
            | Self::Service(..)
            | Self::Edge(..)
            | Self::Group(_, None) => false,
            Self::Group(_, Some(filter)) => filter.any(&Self::rests_on_slow_trace),
            Self::Cause(kind, ..) => *kind == CauseKind::ResponseTime,
            Self::CausePath(kind, _) => kind.is_none_or(|kind| kind == CauseKind::ResponseTime),
        }
    }
}

impl Test {
    /// Tests a boolean.
    pub(super) fn flag(&self, is_set: bool) -> bool {
        match self {
            Self::Is => is_set,
            Self::Boolean(expected) => is_set == *expected,
            Self::Number(..) | Self::Text(..) => false,
        }
    }

    /// Tests a number.
    pub(super) fn number(&self, number: Option<f64>) -> bool {
        match (self, number) {
            (_, None) | (Self::Boolean(_) | Self::Text(..), Some(_)) => false,
            (Self::Is, Some(_)) => true,
            (Self::Number(comparison, expected), Some(number)) => {
                comparison.holds(number, *expected)
            }
        }
    }

    /// Tests a length of time, which expressions give in seconds.
    pub(super) fn nanos(&self, nanos: Option<u64>) -> bool {
        match (self, nanos) {
            (Self::Number(comparison, seconds), Some(nanos)) => {
                comparison.holds(nanos_f64(nanos), nanos_of(*seconds))
            }
            (Self::Is, Some(_)) => true,
            (_, None) | (Self::Boolean(_) | Self::Text(..), Some(_)) => false,
        }
    }

    /// Tests a text.
    pub(super) fn text(&self, text: Option<&str>) -> bool {
        match (self, text) {
            (_, None) | (Self::Boolean(_) | Self::Number(..), Some(_)) => false,
            (Self::Is, Some(_)) => true,
            (Self::Text(likeness, expected), Some(text)) => likeness.holds(text, expected),
        }
    }

    /// Tests texts of which one must pass.
    pub(super) fn texts<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> bool {
        texts.any(|text| self.text(Some(text)))
    }
}

impl Comparison {
    /// Tells whether a number is so to another one. Both are exact: neither is the result of arithmetic.
    #[expect(
        clippy::float_cmp,
        reason = "equality of numbers is what the expression asks"
    )]
    pub(super) fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
        }
    }
}

impl Likeness {
    fn holds(self, text: &str, expected: &str) -> bool {
        match self {
            Self::Equal => text == expected,
            Self::NotEqual => text != expected,
            Self::Contains => text.contains(expected),
            Self::BeginsWith => text.starts_with(expected),
            Self::EndsWith => text.ends_with(expected),
        }
    }
}

/// Returns nanoseconds as a double, exact up to 104 days.
pub(super) fn nanos_f64(nanos: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits & 0xffff_ffff).unwrap_or(u32::MAX));
    half(nanos >> 32) * 4_294_967_296.0 + half(nanos)
}

/// Returns seconds of an expression in nanoseconds. What decimals lose as a double is mended, so that
/// `1.178` is what a document means by it.
pub(super) fn nanos_of(seconds: f64) -> f64 {
    let nanos = seconds * 1e9;
    let whole = nanos.round();
    let is_whole = (nanos - whole).abs() < 1e-3;
    if is_whole { whole } else { nanos }
}
