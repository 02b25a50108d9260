//! From text to tokens, one at a time: what a character means depends on whether a value may stand there.

/// One token of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'t> {
    /// A keyword, an operator in letters, or what should be one.
    Word(&'t str),
    /// A string in quotes, unescaped.
    Text(String),
    /// A number, where a value may stand.
    Number(f64),
    /// `#`, where a value may stand: JSON follows.
    Hash,
    /// An operator or a bracket.
    Symbol(Symbol),
    /// Input that is no token, and what is wrong with it.
    Unknown(&'static str),
    /// There is nothing more.
    End,
}

/// Operators and brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    Open,
    Close,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    Comma,
    Colon,
    Not,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A token and the bytes it covers.
#[derive(Clone, Debug)]
pub(super) struct Lexeme<'t> {
    pub(super) token: Token<'t>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Returns the first token at or after a byte, where an operator, a keyword or a selector may stand.
pub(super) fn next(text: &str, from: usize) -> Lexeme<'_> {
    let (start, rest) = skip_space(text, from);
    let (token, len) = match rest.chars().next() {
        None => (Token::End, 0),
        Some('"') => string(rest),
        Some(first) if is_word_start(first) => word(rest),
        Some(first) => symbol(rest, first),
    };
    Lexeme {
        token,
        start,
        end: start + len,
    }
}

/// Returns the first token at or after a byte, where a value may stand: also a number, a bare word with
/// more than letters in it, and the mark of JSON.
pub(super) fn next_value(text: &str, from: usize) -> Lexeme<'_> {
    let (start, rest) = skip_space(text, from);
    let (token, len) = match rest.chars().next() {
        Some('#') => (Token::Hash, 1),
        Some(first) if first.is_ascii_digit() || matches!(first, '+' | '-' | '.') => number(rest),
        Some(first) if is_word_start(first) => {
            let ends = |c: char| c.is_whitespace() || "(){}[],\"!=<>".contains(c);
            let len = rest.find(ends).unwrap_or(rest.len());
            (Token::Word(rest.get(..len).unwrap_or_default()), len)
        }
        Some(_) | None => return next(text, from),
    };
    Lexeme {
        token,
        start,
        end: start + len,
    }
}

fn skip_space(text: &str, from: usize) -> (usize, &str) {
    let rest = text.get(from..).unwrap_or_default();
    let trimmed = rest.trim_start();
    (from + (rest.len() - trimmed.len()), trimmed)
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn word(rest: &str) -> (Token<'_>, usize) {
    let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'));
    let len = rest.find(ends).unwrap_or(rest.len());
    (Token::Word(rest.get(..len).unwrap_or_default()), len)
}

fn symbol(rest: &str, first: char) -> (Token<'_>, usize) {
    let pairs = [
        ("!=", Symbol::NotEqual),
        ("<=", Symbol::LessEqual),
        (">=", Symbol::GreaterEqual),
    ];
    for (text, symbol) in pairs {
        if rest.starts_with(text) {
            return (Token::Symbol(symbol), text.len());
        }
    }
    let symbol = match first {
        '(' => Symbol::Open,
        ')' => Symbol::Close,
        '{' => Symbol::OpenBrace,
        '}' => Symbol::CloseBrace,
        '[' => Symbol::OpenBracket,
        ',' => Symbol::Comma,
        ':' => Symbol::Colon,
        '!' => Symbol::Not,
        '=' => Symbol::Equal,
        '<' => Symbol::Less,
        '>' => Symbol::Greater,
        _ => return unknown(rest, first),
    };
    (Token::Symbol(symbol), 1)
}

/// Returns input that no token begins with: as far as the next space.
fn unknown(rest: &str, first: char) -> (Token<'_>, usize) {
    let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let why = match first {
        '\'' => "strings are written in double quotes",
        '&' => "write AND",
        '|' => "write OR",
        '#' => "JSON stands after rootcause.json =",
        '0'..='9' | '+' | '-' => "a number stands after an operator",
        _ => "no expression has this character outside of a string",
    };
    (Token::Unknown(why), len)
}

fn number(rest: &str) -> (Token<'_>, usize) {
    let mut before = ' ';
    let mut len = rest.len();
    for (idx, c) in rest.char_indices() {
        let is_sign = matches!(c, '+' | '-') && (idx == 0 || matches!(before, 'e' | 'E'));
        if !(is_sign || c.is_alphanumeric() || matches!(c, '.' | '_' | '%')) {
            len = idx;
            break;
        }
        before = c;
    }
    let text = rest.get(..len).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let parsed = text
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && text.chars().all(is_plain));
    match parsed {
        Some(number) => (Token::Number(number), len),
        None => (
            Token::Unknown("expected a number such as 5, 0.7 or 2e-3"),
            len,
        ),
    }
}

/// Returns a string in quotes. One that is not a string ends where the trouble is.
fn string(rest: &str) -> (Token<'_>, usize) {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((idx, c)) = chars.next() {
        match c {
            '"' => return (Token::Text(text), idx + 1),
            '\\' => {
                let Some((c, n_chars)) = escaped(rest.get(idx + 1..).unwrap_or_default()) else {
                    let why = "a string's escapes are \\\", \\\\, \\n, \\t and \\u with four hexadecimal digits";
                    return (Token::Unknown(why), idx + 1);
                };
                text.push(c);
                chars.by_ref().take(n_chars).for_each(drop);
            }
            _ => text.push(c),
        }
    }
    (
        Token::Unknown("the string has no closing quote"),
        rest.len(),
    )
}

/// Returns the character an escape stands for, and how many characters follow the backslash.
fn escaped(rest: &str) -> Option<(char, usize)> {
    match rest.chars().next()? {
        'n' => Some(('\n', 1)),
        't' => Some(('\t', 1)),
        c @ ('"' | '\\') => Some((c, 1)),
        'u' => {
            let unit = hex_unit(rest.get(1..5)?)?;
            if let Some(c) = char::from_u32(u32::from(unit)) {
                return Some((c, 5));
            }
            let low = hex_unit(rest.get(5..)?.strip_prefix("\\u")?.get(..4)?)?;
            let c = char::decode_utf16([unit, low]).next()?.ok()?;
            Some((c, 11))
        }
        _ => None,
    }
}

fn hex_unit(digits: &str) -> Option<u16> {
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
}
