//! What the facts of a block of summaries allow: a block is passed over if no trace of it can be kept.

use model::{AnnotationValue, Flags, SummaryFlags, ZoneFacts};

use super::ast::{Atom, CauseKind, Comparison, Expr, Likeness, Simple, Test, nanos_f64, nanos_of};
use super::explain::Narrowing;
use super::keywords::Keyword;
use super::selector::NodeSelector;

/// Which values an expression may have for traces of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Possible {
    yes: bool,
    no: bool,
}

impl Possible {
    const BOTH: Self = Self {
        yes: true,
        no: true,
    };

    /// May be no, and yes only if so.
    const fn yes_if(yes: bool) -> Self {
        Self { yes, no: true }
    }
}

/// Tells whether some trace of a block may pass.
pub(super) fn may_match(expression: &Expr<Atom>, zone: &ZoneFacts, slow_ns: u64) -> bool {
    possible(expression, &|atom| of_atom(atom, zone, slow_ns)).yes
}

fn possible<A>(expression: &Expr<A>, atom: &dyn Fn(&A) -> Possible) -> Possible {
    match expression {
        Expr::Atom(leaf) => atom(leaf),
        Expr::Not(inner) => {
            let inner = possible(inner, atom);
            Possible {
                yes: inner.no,
                no: inner.yes,
            }
        }
        Expr::And(parts) => {
            let mut all = Possible {
                yes: true,
                no: false,
            };
            for part in parts {
                let part = possible(part, atom);
                all.yes &= part.yes;
                all.no |= part.no;
            }
            all
        }
        Expr::Or(parts) => {
            let mut some = Possible {
                yes: false,
                no: true,
            };
            for part in parts {
                let part = possible(part, atom);
                some.yes |= part.yes;
                some.no &= part.no;
            }
            some
        }
    }
}

fn of_atom(atom: &Atom, zone: &ZoneFacts, slow_ns: u64) -> Possible {
    match atom {
        Atom::Simple(simple) => of_simple(simple, zone),
        Atom::Annotation(key, test) => Possible::yes_if(may_have_annotation(zone, key, test)),
        Atom::Service(node, block) => {
            Possible::yes_if(may_have(zone, node) && may_hold(block.as_ref(), zone))
        }
        Atom::Edge(from, to, block) => {
            // The client goes by no name of its own.
            let may_have_end =
                |node: &NodeSelector| node.name() == Some("client") || may_have(zone, node);
            let has_ends = may_have_end(from) && may_have_end(to);
            Possible::yes_if(has_ends && may_hold(block.as_ref(), zone))
        }
        Atom::Group(_, None) => Possible {
            yes: true,
            no: false,
        },
        Atom::Group(_, Some(filter)) => possible(filter, &|atom| of_atom(atom, zone, slow_ns)),
        Atom::Cause(kind, ..) | Atom::CausePath(Some(kind), _) => {
            Possible::yes_if(may_have_cause(zone, *kind, slow_ns))
        }
        Atom::CausePath(None, _) => {
            let kinds = [CauseKind::Fault, CauseKind::Error, CauseKind::ResponseTime];
            let may_have = |kind| may_have_cause(zone, kind, slow_ns);
            Possible::yes_if(kinds.into_iter().any(may_have))
        }
    }
}

fn of_simple(Simple { keyword, test }: &Simple, zone: &ZoneFacts) -> Possible {
    let has = |flag| Possible::yes_if(zone.flags.contains(flag));
    match (keyword, test) {
        (Keyword::Error, _) => has(SummaryFlags::HAS_ERROR),
        (Keyword::Fault, _) => has(SummaryFlags::HAS_FAULT),
        (Keyword::Throttle, _) => has(SummaryFlags::HAS_THROTTLE),
        (Keyword::Partial, _) => has(SummaryFlags::IS_PARTIAL),
        (Keyword::Inferred, _) => has(SummaryFlags::HAS_INFERRED),
        (Keyword::ResponseTime, Test::Number(comparison, seconds)) => {
            let range = (0, zone.response_ns_max);
            Possible::yes_if(compares(*comparison, *seconds, range).yes)
        }
        (Keyword::Duration, Test::Number(comparison, seconds)) => {
            compares(*comparison, *seconds, zone.duration_ns)
        }
        (Keyword::User, Test::Text(Likeness::Equal, name)) => {
            Possible::yes_if(zone.may_have_user(name))
        }
        _ => Possible::BOTH,
    }
}

/// Returns how lengths of time in a range of nanoseconds may compare to seconds.
fn compares(comparison: Comparison, seconds: f64, (least, greatest): (u64, u64)) -> Possible {
    let (least, greatest) = (nanos_f64(least), nanos_f64(greatest));
    let bound = nanos_of(seconds);
    let may_be_equal = least <= bound && bound <= greatest;
    let may_differ =
        Comparison::NotEqual.holds(least, bound) || Comparison::NotEqual.holds(greatest, bound);
    let (yes, no) = match comparison {
        Comparison::Equal => (may_be_equal, may_differ),
        Comparison::NotEqual => (may_differ, may_be_equal),
        Comparison::Less => (least < bound, greatest >= bound),
        Comparison::LessEqual => (least <= bound, greatest > bound),
        Comparison::Greater => (greatest > bound, least <= bound),
        Comparison::GreaterEqual => (greatest >= bound, least < bound),
    };
    Possible { yes, no }
}

fn may_have_annotation(zone: &ZoneFacts, key: &str, test: &Test) -> bool {
    let value = match test {
        Test::Boolean(value) => AnnotationValue::Boolean(*value),
        Test::Number(Comparison::Equal, number) => AnnotationValue::Number(*number),
        Test::Text(Likeness::Equal, string) => AnnotationValue::String(string.clone()),
        Test::Is | Test::Number(..) | Test::Text(..) => return zone.may_have_annotation(key),
    };
    zone.may_have_value(key, &value)
}

fn may_have(zone: &ZoneFacts, node: &NodeSelector) -> bool {
    node.name().is_none_or(|name| zone.may_have_service(name))
}

/// Tells whether a block may hold for some request or call. What summaries leave out, zones do too.
fn may_hold(block: Option<&Expr<Simple>>, zone: &ZoneFacts) -> bool {
    let is_whole = !zone.flags.contains(SummaryFlags::FACTS_CUT);
    let Some(block) = block.filter(|_| is_whole) else {
        return true;
    };
    let has = |flag| Possible::yes_if(zone.outcomes.contains(flag));
    possible(block, &|Simple { keyword, test }| match (keyword, test) {
        (Keyword::Error, _) => has(Flags::ERROR),
        (Keyword::Fault, _) => has(Flags::FAULT),
        (Keyword::Throttle, _) => has(Flags::THROTTLE),
        (Keyword::ResponseTime | Keyword::Duration, Test::Number(comparison, seconds)) => {
            let range = (0, zone.any_response_ns_max);
            Possible::yes_if(compares(*comparison, *seconds, range).yes)
        }
        _ => Possible::BOTH,
    })
    .yes
}

fn may_have_cause(zone: &ZoneFacts, kind: CauseKind, slow_ns: u64) -> bool {
    match kind {
        CauseKind::Fault => zone.flags.contains(SummaryFlags::DEEP_FAULT),
        CauseKind::Error => zone.flags.contains(SummaryFlags::DEEP_ERROR),
        CauseKind::ResponseTime => zone.response_ns_max >= slow_ns,
    }
}

/// Returns by which facts of a block an expression may be denied: none, if no block ever is.
pub(super) fn narrowings(expression: &Expr<Atom>, is_negated: bool) -> Vec<Narrowing> {
    let parts = match expression {
        Expr::Not(inner) => return narrowings(inner, !is_negated),
        Expr::Atom(atom) => return narrowings_of(atom, is_negated),
        Expr::And(parts) | Expr::Or(parts) => parts,
    };
    // Any part of a conjunction can deny it, all parts of a disjunction must.
    let is_conjunction = matches!(expression, Expr::And(_)) != is_negated;
    let mut found = Vec::new();
    for part in parts {
        let of_part = narrowings(part, is_negated);
        if of_part.is_empty() && !is_conjunction {
            return Vec::new();
        }
        found.extend(of_part);
    }
    found
}

fn narrowings_of(atom: &Atom, is_negated: bool) -> Vec<Narrowing> {
    if is_negated {
        return match atom {
            Atom::Group(_, Some(filter)) => narrowings(filter, true),
            Atom::Simple(Simple {
                keyword: Keyword::Duration,
                test: Test::Number(..),
            }) => vec![Narrowing::Durations],
            _ => Vec::new(),
        };
    }
    match atom {
        Atom::Simple(Simple { keyword, test }) => match (keyword, test) {
            (
                Keyword::Error
                | Keyword::Fault
                | Keyword::Throttle
                | Keyword::Partial
                | Keyword::Inferred,
                _,
            ) => vec![Narrowing::Flags],
            (Keyword::ResponseTime, Test::Number(..)) => vec![Narrowing::ResponseTimes],
            (Keyword::Duration, Test::Number(..)) => vec![Narrowing::Durations],
            (Keyword::User, Test::Text(Likeness::Equal, _)) => vec![Narrowing::Users],
            _ => Vec::new(),
        },
        Atom::Annotation(..) => vec![Narrowing::Annotations],
        Atom::Service(node, block) => of_nodes(&[node], block.as_ref()),
        Atom::Edge(from, to, block) => of_nodes(&[from, to], block.as_ref()),
        Atom::Group(_, None) => Vec::new(),
        Atom::Group(_, Some(filter)) => narrowings(filter, false),
        Atom::Cause(kind, ..) | Atom::CausePath(Some(kind), _) => match kind {
            CauseKind::Fault | CauseKind::Error => vec![Narrowing::Flags],
            CauseKind::ResponseTime => vec![Narrowing::ResponseTimes],
        },
        Atom::CausePath(None, _) => vec![Narrowing::Flags, Narrowing::ResponseTimes],
    }
}

fn of_nodes(nodes: &[&NodeSelector], block: Option<&Expr<Simple>>) -> Vec<Narrowing> {
    let mut found = Vec::new();
    if nodes.iter().any(|node| node.name().is_some()) {
        found.push(Narrowing::ServiceNames);
    }
    let is_bounded = |Simple { keyword, test }: &Simple| match keyword {
        Keyword::Error | Keyword::Fault | Keyword::Throttle => true,
        Keyword::ResponseTime | Keyword::Duration => matches!(test, Test::Number(..)),
        _ => false,
    };
    if block.is_some_and(|block| block.any(&is_bounded)) {
        found.push(Narrowing::Outcomes);
    }
    found
}
