//! The order in which parts of an expression are judged: what costs little first.

use super::ast::{Atom, Expr};

/// Returns the expression with groups replaced by their filters and the cheaper parts first. Its value
/// is the same: parts have no effects.
pub(super) fn plan(expression: &Expr<Atom>) -> Expr<Atom> {
    match expression {
        Expr::Atom(Atom::Group(_, Some(filter))) => plan(filter),
        // Nothing in a conjunction can be wrong.
        Expr::Atom(Atom::Group(_, None)) => Expr::And(Vec::new()),
        Expr::Atom(atom) => Expr::Atom(atom.clone()),
        Expr::Not(inner) => Expr::Not(Box::new(plan(inner))),
        Expr::And(parts) => Expr::And(cheapest_first(parts)),
        Expr::Or(parts) => Expr::Or(cheapest_first(parts)),
    }
}

fn cheapest_first(parts: &[Expr<Atom>]) -> Vec<Expr<Atom>> {
    let mut planned: Vec<_> = parts.iter().map(plan).collect();
    planned.sort_by_key(cost);
    planned
}

/// Returns how much it costs to judge an expression, as a rank.
fn cost(expression: &Expr<Atom>) -> u32 {
    match expression {
        Expr::Not(inner) => cost(inner),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().map(cost).fold(0, u32::saturating_add),
        Expr::Atom(Atom::Simple(_)) => 1,
        Expr::Atom(Atom::Service(_, None)) => 4,
        Expr::Atom(Atom::Annotation(..)) => 5,
        Expr::Atom(Atom::Service(_, Some(_)) | Atom::Edge(..)) => 20,
        // Planned away.
        Expr::Atom(Atom::Group(..)) => 0,
        Expr::Atom(Atom::Cause(..) | Atom::CausePath(..)) => 1_000,
    }
}
