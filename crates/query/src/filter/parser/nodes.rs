//! What stands in the parentheses of `service` and `edge`.

use super::super::lexer::{Symbol, Token, next};
use super::super::selector::{NodeSelector, Selector};
use super::{Groups, Parsed, Parser, check_length, is};

/// Returns the selector of an `EntitySelectorExpression`.
pub(in crate::filter) fn parse_selector(text: &str) -> Parsed<Selector> {
    check_length(text, SELECTOR_CHARS_MAX)?;
    let no_groups = |_: super::super::GroupRef<'_>| None;
    let mut groups = Groups::of(&no_groups);
    let mut parser = Parser::of(text, &mut groups);
    let word = parser.word().unwrap_or_default();
    let selector = if is(word, "service") {
        parser.advance();
        parser.expect(Symbol::Open, "expected ( after service")?;
        let node = parser.node(&[Symbol::Close])?;
        parser.expect(Symbol::Close, "expected ) after the selector of service")?;
        Selector::Service(node)
    } else if is(word, "edge") {
        parser.advance();
        let (from, to) = parser.edge_nodes()?;
        Selector::Edge(from, to)
    } else if is(word, "id") {
        Selector::Service(parser.id()?)
    } else if parser.lexeme.token == Token::End {
        return Err(
            parser.refuse("the selector is empty; expected service(...), edge(...) or id(...)")
        );
    } else {
        return Err(parser.refuse(
            "expected service(...), edge(...) or id(...); filters, annotations and groups select no entities",
        ));
    };
    match parser.lexeme.token {
        Token::End => Ok(selector),
        Token::Symbol(Symbol::OpenBrace) => {
            Err(parser.refuse("a selector of entities has no block"))
        }
        _ => Err(parser.refuse(
            "a selector of entities is one service(...), edge(...) or id(...), without operators",
        )),
    }
}

impl Parser<'_, '_, '_> {
    /// Reads `(from, to)`.
    pub(super) fn edge_nodes(&mut self) -> Parsed<(NodeSelector, NodeSelector)> {
        self.expect(Symbol::Open, "expected ( after edge")?;
        let from = self.node(&[Symbol::Comma])?;
        self.expect(
            Symbol::Comma,
            "expected , between caller and called service of edge",
        )?;
        let to = self.node(&[Symbol::Close])?;
        self.expect(Symbol::Close, "expected ) after the selectors of edge")?;
        Ok((from, to))
    }

    /// Reads a name or `id(...)`; nothing, if one of the symbols follows.
    pub(super) fn node(&mut self, ends: &[Symbol]) -> Parsed<NodeSelector> {
        match &mut self.lexeme.token {
            Token::Symbol(symbol) if ends.contains(symbol) => Ok(NodeSelector::Any),
            Token::Text(name) => {
                let name = std::mem::take(name);
                self.advance();
                Ok(NodeSelector::Named(name))
            }
            Token::Word(word) if is(word, "id") => self.id(),
            _ => Err(self.refuse("expected a name in double quotes or id(...)")),
        }
    }

    /// Reads `id(name: "...", type: "...", account.id: "...")`.
    pub(super) fn id(&mut self) -> Parsed<NodeSelector> {
        self.advance();
        self.expect(Symbol::Open, "expected ( after id")?;
        let (mut name, mut service_type, mut account_id) = (None, None, None);
        let mut is_first = true;
        while self.lexeme.token != Token::Symbol(Symbol::Close) {
            if !is_first {
                self.expect(Symbol::Comma, "expected , or )")?;
            }
            is_first = false;
            let word = self.word().unwrap_or_default();
            let slot = if is(word, "name") {
                &mut name
            } else if is(word, "type") {
                &mut service_type
            } else if is(word, "account.id") {
                &mut account_id
            } else {
                return Err(self.refuse("expected name, type or account.id"));
            };
            if slot.is_some() {
                return Err(self.refuse("is given twice"));
            }
            *slot = Some(self.pair_value()?);
        }
        self.lexeme = next(self.text, self.lexeme.end);
        Ok(NodeSelector::Id {
            name,
            service_type,
            account_id,
        })
    }

    fn pair_value(&mut self) -> Parsed<String> {
        self.advance();
        self.expect(Symbol::Colon, "expected : and a string in double quotes")?;
        let Token::Text(text) = &mut self.lexeme.token else {
            return Err(self.refuse("expected a string in double quotes"));
        };
        let text = std::mem::take(text);
        self.advance();
        Ok(text)
    }
}

const SELECTOR_CHARS_MAX: usize = 500;
