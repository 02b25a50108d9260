//! From text to expression: descent by the grammar, with a bound on everything.
//!
//! ```text
//! or      := and { OR and }
//! and     := unary { [AND] unary }
//! unary   := '!' unary | '(' or ')' | atom
//! ```

mod groups;
mod nodes;
mod values;

use super::ast::{Atom, CauseKind, CauseList, Expr, Simple};
use super::error::FilterError;
use super::json;
use super::keywords::{Keyword, Place, nearest};
use super::lexer::{Lexeme, Symbol, Token, next};

pub(super) use groups::Groups;
pub(super) use nodes::parse_selector;

/// Returns the expression of a text.
pub(super) fn parse(text: &str, groups: &mut Groups<'_>) -> Parsed<Expr<Atom>> {
    check_length(text, TEXT_CHARS_MAX)?;
    let mut parser = Parser::of(text, groups);
    if parser.lexeme.token == Token::End {
        return Err(parser.refuse("the expression is empty; leave it out to take all traces"));
    }
    let expression = parser.or(Parser::trace_atom)?;
    if parser.lexeme.token != Token::End {
        return Err(parser.refuse("expected AND, OR or the end of the expression"));
    }
    Ok(expression)
}

pub(super) type Parsed<T> = Result<T, FilterError>;

/// A place in the text of an expression.
struct Parser<'t, 'g, 'f> {
    text: &'t str,
    /// The token to be understood next.
    lexeme: Lexeme<'t>,
    /// Where the last atom begins: shown if the expression ends too early.
    clause_start: usize,
    /// How deep the token at hand is nested, the filters of groups around it included.
    depth: usize,
    place: Place,
    groups: &'g mut Groups<'f>,
}

impl<'t, 'g, 'f> Parser<'t, 'g, 'f> {
    fn of(text: &'t str, groups: &'g mut Groups<'f>) -> Self {
        Self {
            text,
            lexeme: next(text, 0),
            clause_start: 0,
            depth: groups.depth,
            place: Place::Trace,
            groups,
        }
    }

    fn or<A>(&mut self, atom: fn(&mut Self) -> Parsed<Expr<A>>) -> Parsed<Expr<A>> {
        let first = self.and(atom)?;
        let mut parts = vec![first];
        while self.word().is_some_and(|word| is(word, "or")) {
            self.advance();
            parts.push(self.and(atom)?);
        }
        Ok(joined(parts, Expr::Or))
    }

    fn and<A>(&mut self, atom: fn(&mut Self) -> Parsed<Expr<A>>) -> Parsed<Expr<A>> {
        let first = self.unary(atom)?;
        let mut parts = vec![first];
        loop {
            let goes_on = match &self.lexeme.token {
                Token::Word(word) if is(word, "and") => {
                    self.advance();
                    true
                }
                Token::Word(word) => !is(word, "or"),
                Token::Symbol(Symbol::Not | Symbol::Open) => true,
                _ => false,
            };
            if !goes_on {
                return Ok(joined(parts, Expr::And));
            }
            parts.push(self.unary(atom)?);
        }
    }

    fn unary<A>(&mut self, atom: fn(&mut Self) -> Parsed<Expr<A>>) -> Parsed<Expr<A>> {
        match self.lexeme.token {
            Token::Symbol(Symbol::Not) => {
                self.enter()?;
                let inner = self.unary(atom)?;
                self.depth -= 1;
                Ok(Expr::Not(Box::new(inner)))
            }
            Token::Symbol(Symbol::Open) => {
                self.enter()?;
                let inner = self.or(atom)?;
                self.expect(Symbol::Close, "expected AND, OR or )")?;
                self.depth -= 1;
                Ok(inner)
            }
            Token::Word(_) => {
                self.groups.count(self.text, self.lexeme.start)?;
                self.clause_start = self.lexeme.start;
                atom(self)
            }
            _ => Err(self.refuse("expected a keyword, ! or (")),
        }
    }

    /// Takes the token that nests what follows.
    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.refuse("the expression is nested more than 64 levels deep"));
        }
        self.advance();
        Ok(())
    }

    fn trace_atom(&mut self) -> Parsed<Expr<Atom>> {
        let word = self.word().unwrap_or_default();
        let lower = word.to_ascii_lowercase();
        let head = lower.split('.').next().unwrap_or_default();
        match (head, lower.as_str()) {
            ("annotation", _) => self.annotation(word),
            (_, "service") => {
                self.advance();
                self.expect(Symbol::Open, "expected ( after service")?;
                let node = self.node(&[Symbol::Close])?;
                self.expect(Symbol::Close, "expected ) after the selector of service")?;
                let block = self.block_if_any(Place::ServiceBlock)?;
                Ok(Expr::Atom(Atom::Service(node, block)))
            }
            (_, "edge") => {
                self.advance();
                let (from, to) = self.edge_nodes()?;
                let block = self.block_if_any(Place::EdgeBlock)?;
                Ok(Expr::Atom(Atom::Edge(from, to, block)))
            }
            (_, "group.name" | "groupname") => self.group(true),
            (_, "group.arn") => self.group(false),
            ("rootcause", _) | (_, "json") => self.root_cause(&lower),
            _ => self.simple(Atom::Simple),
        }
    }

    fn block_atom(&mut self) -> Parsed<Expr<Simple>> {
        let lower = self.word().unwrap_or_default().to_ascii_lowercase();
        let head = lower.split('.').next().unwrap_or_default();
        let why = match head {
            "annotation" => {
                "annotations belong to the trace and cannot be used inside a block; join them with AND outside"
            }
            "service" | "edge" | "rootcause" | "json" => {
                "blocks do not nest; join them with AND outside"
            }
            "group" | "groupname" => {
                "a group belongs to the trace and cannot be used inside a block"
            }
            _ => return self.simple(|simple| simple),
        };
        Err(self.refuse(why))
    }

    fn block_if_any(&mut self, place: Place) -> Parsed<Option<Expr<Simple>>> {
        if self.lexeme.token != Token::Symbol(Symbol::OpenBrace) {
            return Ok(None);
        }
        self.block(place).map(Some)
    }

    fn block(&mut self, place: Place) -> Parsed<Expr<Simple>> {
        if self.lexeme.token != Token::Symbol(Symbol::OpenBrace) {
            return Err(self.refuse("expected {"));
        }
        self.enter()?;
        let around = std::mem::replace(&mut self.place, place);
        let block = self.or(Self::block_atom)?;
        self.expect(Symbol::CloseBrace, "expected AND, OR or }")?;
        self.place = around;
        self.depth -= 1;
        Ok(block)
    }

    fn root_cause(&mut self, lower: &str) -> Parsed<Expr<Atom>> {
        let parts: Vec<&str> = lower.split('.').collect();
        let kind = match parts.get(1) {
            Some(&"fault") => Some(CauseKind::Fault),
            Some(&"error") => Some(CauseKind::Error),
            Some(&"responsetime") => Some(CauseKind::ResponseTime),
            Some(_) | None => None,
        };
        let list = match (kind, parts.as_slice()) {
            (None, ["json"] | ["rootcause", "json"]) | (Some(_), [_, _, "json"]) => {
                return self.cause_path(kind);
            }
            (Some(CauseKind::ResponseTime), [_, _, "exception"]) => {
                return Err(self.refuse("root causes of response time have no exceptions"));
            }
            (Some(kind), [_, _, "service"]) => {
                Some((kind, CauseList::Service, Place::CauseService))
            }
            (Some(CauseKind::ResponseTime), [_, _, "entity"]) => Some((
                CauseKind::ResponseTime,
                CauseList::Entity,
                Place::SlowEntity,
            )),
            (Some(kind), [_, _, "entity"]) => Some((kind, CauseList::Entity, Place::CauseEntity)),
            (Some(kind), [_, _, "exception"]) => {
                Some((kind, CauseList::Exception, Place::CauseException))
            }
            _ => None,
        };
        let Some((kind, list, place)) = list else {
            return Err(self.refuse(
                "expected rootcause.json or rootcause, one of fault, error, responsetime, and one of service, entity, exception",
            ));
        };
        self.advance();
        let block = self.block(place)?;
        Ok(Expr::Atom(Atom::Cause(kind, list, block)))
    }

    fn cause_path(&mut self, kind: Option<CauseKind>) -> Parsed<Expr<Atom>> {
        self.advance();
        if self.lexeme.token != Token::Symbol(Symbol::Equal) {
            return Err(self.refuse("expected = and # before the JSON"));
        }
        self.lexeme = super::lexer::next_value(self.text, self.lexeme.end);
        if self.lexeme.token != Token::Hash {
            return Err(self.refuse("expected # before the JSON"));
        }
        let start = self.lexeme.end;
        let rest = self.text.get(start..).unwrap_or_default();
        let (patterns, n_bytes) = json::read(rest).map_err(|bad| {
            let symbol = rest.get(bad.offset..).unwrap_or_default();
            FilterError::at(self.text, start + bad.offset, symbol, &bad.why)
        })?;
        self.lexeme = next(self.text, start + n_bytes);
        Ok(Expr::Atom(Atom::CausePath(kind, patterns)))
    }

    /// Returns the keyword at hand, if it may stand here.
    fn keyword(&self) -> Parsed<Keyword> {
        let word = self.word().unwrap_or_default();
        let Some(keyword) = Keyword::find(word) else {
            return Err(self.refuse(&unknown_keyword(word)));
        };
        if keyword.places().contains(&self.place) {
            return Ok(keyword);
        }
        let places: Vec<&str> = keyword.places().iter().map(|place| place.text()).collect();
        let why = format!("{} stands {} only", keyword.text(), places.join(", "));
        Err(self.refuse(&why))
    }

    fn word(&self) -> Option<&'t str> {
        match self.lexeme.token {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn advance(&mut self) {
        self.lexeme = next(self.text, self.lexeme.end);
    }

    fn expect(&mut self, symbol: Symbol, why: &str) -> Parsed<()> {
        if self.lexeme.token != Token::Symbol(symbol) {
            return Err(self.refuse(why));
        }
        self.advance();
        Ok(())
    }

    /// Returns the error that the token at hand is not what belongs here.
    fn refuse(&self, why: &str) -> FilterError {
        let Lexeme { token, start, end } = &self.lexeme;
        let shown_from = if *token == Token::End {
            self.clause_start
        } else {
            *start
        };
        let symbol = self.text.get(shown_from..*end).unwrap_or_default();
        let why = match token {
            Token::Unknown(why) => why,
            _ => why,
        };
        FilterError::at(self.text, *start, symbol, why)
    }
}

fn check_length(text: &str, n_chars_max: usize) -> Parsed<()> {
    let Some((offset, _)) = text.char_indices().nth(n_chars_max) else {
        return Ok(());
    };
    let why = format!("the expression is longer than {n_chars_max} characters");
    let symbol = text.get(offset..).unwrap_or_default();
    Err(FilterError::at(text, offset, symbol, &why))
}

fn joined<A>(mut parts: Vec<Expr<A>>, join: fn(Vec<Expr<A>>) -> Expr<A>) -> Expr<A> {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}

fn unknown_keyword(word: &str) -> String {
    if is(word, "not") {
        return "unknown keyword; write ! for not".to_owned();
    }
    if is(word, "and") || is(word, "or") {
        return "expected a keyword, ! or (".to_owned();
    }
    if is(word, "id") {
        return "id(...) stands inside service(...) and edge(...) only".to_owned();
    }
    match nearest(word) {
        Some(known) => format!("unknown keyword; did you mean {known}?"),
        None => "unknown keyword".to_owned(),
    }
}

/// Tells whether a word is a word of the language, in whatever case.
fn is(word: &str, known: &str) -> bool {
    word.eq_ignore_ascii_case(known)
}

const TEXT_CHARS_MAX: usize = 10_000;
const DEPTH_MAX: usize = 64;
