//! Keywords and annotations with their operators and values.

use super::super::ast::{Atom, Comparison, Expr, Likeness, Simple, Test};
use super::super::keywords::Class;
use super::super::lexer::{Symbol, Token, next, next_value};
use super::{FilterError, Parsed, Parser, is};

/// What stands between a keyword and its value.
#[derive(Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Order(Comparison),
    Like(Likeness),
}

/// What stands after an operator.
enum Value {
    Number(f64),
    Boolean(bool),
    /// In quotes, or a bare word.
    Text(String),
    /// No value, or a word that needs quotes.
    Other,
}

impl<'t> Parser<'t, '_, '_> {
    /// Reads a keyword with what it is asked; `= false` of a boolean is said as its negation.
    pub(super) fn simple<A>(&mut self, wrap: fn(Simple) -> A) -> Parsed<Expr<A>> {
        let keyword = self.keyword()?;
        self.advance();
        let (test, is_negated) = match self.operator() {
            None => (Test::Is, false),
            Some(operator) => match keyword.class() {
                Class::Flag => {
                    let expected = self.boolean(operator, keyword.text())?;
                    (Test::Is, !expected)
                }
                Class::Number => (self.number(operator, keyword.text())?, false),
                Class::Text => (self.text_test(operator, keyword.text())?, false),
            },
        };
        let atom = Expr::Atom(wrap(Simple { keyword, test }));
        Ok(if is_negated {
            Expr::Not(Box::new(atom))
        } else {
            atom
        })
    }

    pub(super) fn annotation(&mut self, word: &'t str) -> Parsed<Expr<Atom>> {
        let key = match word.split_once('.') {
            Some((_, key)) => {
                let start = self.lexeme.start + word.len() - key.len();
                let key = self.annotation_key(key, start)?;
                self.advance();
                key
            }
            None => self.bracketed_key()?,
        };
        let test = match self.operator() {
            None => Test::Is,
            Some(operator) => self.annotation_test(operator)?,
        };
        Ok(Expr::Atom(Atom::Annotation(key, test)))
    }

    /// Reads `[key]`, with or without quotes.
    fn bracketed_key(&mut self) -> Parsed<String> {
        self.advance();
        if self.lexeme.token != Token::Symbol(Symbol::OpenBracket) {
            return Err(self.refuse("expected annotation.key or annotation[key]"));
        }
        let start = self.lexeme.end;
        let rest = self.text.get(start..).unwrap_or_default();
        let Some(len) = rest.find(']') else {
            return Err(self.refuse("the [ has no closing ]"));
        };
        let inside = rest.get(..len).unwrap_or_default();
        let trimmed = inside.trim();
        let unquoted = trimmed
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let key_start = start + (inside.len() - inside.trim_start().len());
        let key = match unquoted {
            Some(key) => self.annotation_key(key, key_start + 1)?,
            None => self.annotation_key(trimmed, key_start)?,
        };
        self.lexeme = next(self.text, start + len + 1);
        Ok(key)
    }

    /// Returns a key that annotations can have.
    fn annotation_key(&self, key: &str, start: usize) -> Parsed<String> {
        let is_of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let why = "keys of annotations have letters, digits, _ and . only";
        if let Some(wrong) = key.find(|c: char| !is_of_key(c)) {
            let symbol = key.get(wrong..).unwrap_or_default();
            return Err(FilterError::at(self.text, start + wrong, symbol, why));
        }
        if key.is_empty() {
            let why = "expected the key of an annotation";
            return Err(FilterError::at(self.text, start, "", why));
        }
        Ok(key.to_owned())
    }

    fn annotation_test(&mut self, operator: Operator) -> Parsed<Test> {
        let is_equal = match operator {
            Operator::Order(_) => return self.number(operator, "an annotation compared by order"),
            Operator::Like(_) => return self.text_test(operator, "an annotation compared by text"),
            Operator::Equal => true,
            Operator::NotEqual => false,
        };
        self.take_operator();
        let test = match self.value(true)? {
            Value::Boolean(value) => Test::Boolean(value == is_equal),
            Value::Number(number) if is_equal => Test::Number(Comparison::Equal, number),
            Value::Number(number) => Test::Number(Comparison::NotEqual, number),
            Value::Text(text) if is_equal => Test::Text(Likeness::Equal, text),
            Value::Text(text) => Test::Text(Likeness::NotEqual, text),
            Value::Other => {
                return Err(self.refuse("expected a string, a number, true or false"));
            }
        };
        self.advance();
        Ok(test)
    }

    /// Returns the operator at hand, which stays at hand: the keyword may not take it.
    fn operator(&self) -> Option<Operator> {
        match &self.lexeme.token {
            Token::Symbol(Symbol::Equal) => Some(Operator::Equal),
            Token::Symbol(Symbol::NotEqual) => Some(Operator::NotEqual),
            Token::Symbol(Symbol::Less) => Some(Operator::Order(Comparison::Less)),
            Token::Symbol(Symbol::LessEqual) => Some(Operator::Order(Comparison::LessEqual)),
            Token::Symbol(Symbol::Greater) => Some(Operator::Order(Comparison::Greater)),
            Token::Symbol(Symbol::GreaterEqual) => Some(Operator::Order(Comparison::GreaterEqual)),
            Token::Word(word) if is(word, "contains") => Some(Operator::Like(Likeness::Contains)),
            Token::Word(word) if is(word, "beginswith") => {
                Some(Operator::Like(Likeness::BeginsWith))
            }
            Token::Word(word) if is(word, "endswith") => Some(Operator::Like(Likeness::EndsWith)),
            _ => None,
        }
    }

    /// Returns which value a boolean must have.
    fn boolean(&mut self, operator: Operator, keyword: &str) -> Parsed<bool> {
        let is_equal = match operator {
            Operator::Equal => true,
            Operator::NotEqual => false,
            Operator::Order(_) | Operator::Like(_) => {
                return Err(self.refuse(&format!("{keyword} is a boolean: it takes = and !=")));
            }
        };
        self.take_operator();
        let Value::Boolean(value) = self.value(true)? else {
            let why = format!("{keyword} is a boolean: expected true or false");
            return Err(self.refuse(&why));
        };
        self.advance();
        Ok(value == is_equal)
    }

    fn number(&mut self, operator: Operator, keyword: &str) -> Parsed<Test> {
        let comparison = match operator {
            Operator::Equal => Comparison::Equal,
            Operator::NotEqual => Comparison::NotEqual,
            Operator::Order(comparison) => comparison,
            Operator::Like(_) => {
                let why = format!("{keyword} is a number: it takes =, !=, <, <=, > and >=");
                return Err(self.refuse(&why));
            }
        };
        self.take_operator();
        let Value::Number(number) = self.value(false)? else {
            return Err(self.refuse(&format!("{keyword}: expected a number")));
        };
        self.advance();
        Ok(Test::Number(comparison, number))
    }

    fn text_test(&mut self, operator: Operator, keyword: &str) -> Parsed<Test> {
        let likeness = match operator {
            Operator::Equal => Likeness::Equal,
            Operator::NotEqual => Likeness::NotEqual,
            Operator::Like(likeness) => likeness,
            Operator::Order(_) => {
                let why = format!(
                    "{keyword} is a string: it takes =, !=, CONTAINS, BEGINSWITH and ENDSWITH"
                );
                return Err(self.refuse(&why));
            }
        };
        let takes_bare = matches!(likeness, Likeness::Equal | Likeness::NotEqual);
        self.take_operator();
        let Value::Text(text) = self.value(takes_bare)? else {
            return Err(self.refuse(&format!("{keyword}: expected a string in double quotes")));
        };
        self.advance();
        Ok(Test::Text(likeness, text))
    }

    /// Makes what follows the operator the token at hand, which may be a value.
    fn take_operator(&mut self) {
        self.lexeme = next_value(self.text, self.lexeme.end);
    }

    /// Returns the value at hand.
    fn value(&self, takes_bare: bool) -> Parsed<Value> {
        match &self.lexeme.token {
            Token::Number(number) => Ok(Value::Number(*number)),
            Token::Text(text) => Ok(Value::Text(text.clone())),
            Token::Word(word) if is(word, "true") => Ok(Value::Boolean(true)),
            Token::Word(word) if is(word, "false") => Ok(Value::Boolean(false)),
            Token::Word(word) if is(word, "and") || is(word, "or") => Ok(Value::Other),
            Token::Word(word) if takes_bare => Ok(Value::Text((*word).to_owned())),
            Token::Unknown(why) => Err(self.refuse(why)),
            Token::Word(_) | Token::Hash | Token::Symbol(_) | Token::End => Ok(Value::Other),
        }
    }
}
