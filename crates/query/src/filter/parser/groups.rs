//! Groups in expressions: each is replaced by its filter.

use super::super::GroupRef;
use super::super::ast::{Atom, Expr, GroupKey};
use super::super::lexer::{Lexeme, Symbol, Token, next_value};
use super::{FilterError, Parsed, Parser, parse};

/// What is known of groups while an expression is read, and what reading may still cost.
pub(in crate::filter) struct Groups<'f> {
    filter_of: &'f dyn Fn(GroupRef<'_>) -> Option<String>,
    /// The groups whose filters are being read, each within the one before.
    open: Vec<GroupKey>,
    /// How deep the filter being read is nested in others.
    pub(super) depth: usize,
    n_atoms: usize,
}

impl<'f> Groups<'f> {
    pub(in crate::filter) fn of(filter_of: &'f dyn Fn(GroupRef<'_>) -> Option<String>) -> Self {
        Self {
            filter_of,
            open: Vec::new(),
            depth: 0,
            n_atoms: 0,
        }
    }

    /// Counts one atom, whatever filter it is in.
    pub(super) fn count(&mut self, text: &str, offset: usize) -> Parsed<()> {
        self.n_atoms += 1;
        if self.n_atoms > ATOMS_MAX {
            let symbol = text.get(offset..).unwrap_or_default();
            let why = format!("the expression, with its groups, has more than {ATOMS_MAX} parts");
            return Err(FilterError::at(text, offset, symbol, &why));
        }
        Ok(())
    }
}

impl Parser<'_, '_, '_> {
    /// Reads `group.name = "..."` or `group.arn = "..."` and the group's filter.
    pub(super) fn group(&mut self, is_name: bool) -> Parsed<Expr<Atom>> {
        self.advance();
        if self.lexeme.token != Token::Symbol(Symbol::Equal) {
            return Err(self.refuse("a group takes = only; write ! before it for traces outside"));
        }
        self.lexeme = next_value(self.text, self.lexeme.end);
        let value = match &self.lexeme.token {
            Token::Text(text) => text.clone(),
            Token::Word(word) if !super::is(word, "and") && !super::is(word, "or") => {
                (*word).to_owned()
            }
            _ => return Err(self.refuse("expected the group's name or ARN in double quotes")),
        };
        let key = if is_name {
            GroupKey::Name(value)
        } else {
            GroupKey::Arn(value)
        };
        let filter = self.group_filter(&key)?;
        self.advance();
        Ok(Expr::Atom(Atom::Group(key, filter)))
    }

    fn group_filter(&mut self, key: &GroupKey) -> Parsed<Option<Box<Expr<Atom>>>> {
        if self.groups.open.contains(key) || self.groups.open.len() == GROUPS_MAX {
            let why = "the filters of groups refer to one another in a circle or too deeply";
            return Err(self.refuse(why));
        }
        let reference = match key {
            GroupKey::Name(name) => GroupRef::Name(name),
            GroupKey::Arn(arn) => GroupRef::Arn(arn),
        };
        let Some(text) = (self.groups.filter_of)(reference) else {
            return Err(self.refuse("there is no such group"));
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let depth = std::mem::replace(&mut self.groups.depth, self.depth);
        self.groups.open.push(key.clone());
        let filter = parse(&text, self.groups);
        self.groups.open.pop();
        self.groups.depth = depth;
        match filter {
            Ok(filter) => Ok(Some(Box::new(filter))),
            Err(error) => {
                let Lexeme { start, end, .. } = self.lexeme;
                let symbol = self.text.get(start..end).unwrap_or_default();
                let why = format!("the group's filter is not valid: {error}");
                Err(FilterError::at(self.text, start, symbol, &why))
            }
        }
    }
}

/// Filters of groups within one another.
const GROUPS_MAX: usize = 8;
/// More than an expression of the longest length usually has.
const ATOMS_MAX: usize = 5_000;
