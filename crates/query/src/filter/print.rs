//! An expression in its normal form: what is printed is read as the same expression again.

use std::fmt::{self, Display, Formatter, Write};

use super::ast::{Atom, CauseKind, CauseList, Comparison, Expr, GroupKey, Likeness, Simple, Test};
use super::selector::{NodeSelector, Selector};

impl<A: Display> Display for Expr<A> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atom(atom) => atom.fmt(f),
            Self::Not(inner) => {
                f.write_char('!')?;
                let is_bare = matches!(**inner, Self::Atom(_) | Self::Not(_));
                write_part(f, inner, is_bare)
            }
            Self::And(parts) => write_joined(f, parts, " AND ", |part| {
                matches!(part, Self::Atom(_) | Self::Not(_))
            }),
            Self::Or(parts) => write_joined(f, parts, " OR ", |part| !matches!(part, Self::Or(_))),
        }
    }
}

fn write_joined<A: Display>(
    f: &mut Formatter<'_>,
    parts: &[Expr<A>],
    joint: &str,
    is_bare: impl Fn(&Expr<A>) -> bool,
) -> fmt::Result {
    for (idx, part) in parts.iter().enumerate() {
        if idx > 0 {
            f.write_str(joint)?;
        }
        write_part(f, part, is_bare(part))?;
    }
    Ok(())
}

fn write_part<A: Display>(f: &mut Formatter<'_>, part: &Expr<A>, is_bare: bool) -> fmt::Result {
    if is_bare {
        write!(f, "{part}")
    } else {
        write!(f, "({part})")
    }
}

impl Display for Atom {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(simple) => simple.fmt(f),
            Self::Annotation(key, test) if key.contains('.') => {
                write!(f, "annotation[{key}]{test}")
            }
            Self::Annotation(key, test) => write!(f, "annotation.{key}{test}"),
            Self::Service(node, block) => {
                write!(f, "service({node})")?;
                write_block(f, block.as_ref())
            }
            Self::Edge(from, to, block) => {
                write!(f, "edge({from}, {to})")?;
                write_block(f, block.as_ref())
            }
            Self::Group(GroupKey::Name(name), _) => write!(f, "group.name = {}", Quoted(name)),
            Self::Group(GroupKey::Arn(arn), _) => write!(f, "group.arn = {}", Quoted(arn)),
            Self::Cause(kind, list, block) => {
                let list = match list {
                    CauseList::Service => "service",
                    CauseList::Entity => "entity",
                    CauseList::Exception => "exception",
                };
                write!(f, "rootcause.{}.{list}", kind.text())?;
                write_block(f, Some(block))
            }
            Self::CausePath(kind, patterns) => {
                let json = serde_json::to_string(patterns).map_err(|_| fmt::Error)?;
                match kind {
                    Some(kind) => write!(f, "rootcause.{}.json = #{json}", kind.text()),
                    None => write!(f, "rootcause.json = #{json}"),
                }
            }
        }
    }
}

fn write_block(f: &mut Formatter<'_>, block: Option<&Expr<Simple>>) -> fmt::Result {
    match block {
        Some(block) => write!(f, " {{ {block} }}"),
        None => Ok(()),
    }
}

impl CauseKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Error => "error",
            Self::ResponseTime => "responsetime",
        }
    }
}

impl Display for Simple {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.keyword.text(), self.test)
    }
}

impl Display for Test {
    /// Writes operator and value, with a space before.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is => Ok(()),
            Self::Boolean(value) => write!(f, " = {value}"),
            Self::Number(comparison, number) => {
                write!(f, " {} {}", comparison.text(), Number(*number))
            }
            Self::Text(likeness, text) => write!(f, " {} {}", likeness.text(), Quoted(text)),
        }
    }
}

impl Comparison {
    const fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }
}

impl Likeness {
    const fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Contains => "CONTAINS",
            Self::BeginsWith => "BEGINSWITH",
            Self::EndsWith => "ENDSWITH",
        }
    }
}

impl Display for NodeSelector {
    /// Writes what stands in the parentheses.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Named(name) => Quoted(name).fmt(f),
            Self::Id {
                name,
                service_type,
                account_id,
            } => {
                f.write_str("id(")?;
                let pairs = [
                    ("name", name),
                    ("type", service_type),
                    ("account.id", account_id),
                ];
                let mut separator = "";
                for (key, value) in pairs {
                    if let Some(value) = value {
                        write!(f, "{separator}{key}: {}", Quoted(value))?;
                        separator = ", ";
                    }
                }
                f.write_char(')')
            }
        }
    }
}

impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(node) => write!(f, "service({node})"),
            Self::Edge(from, to) => write!(f, "edge({from}, {to})"),
        }
    }
}

/// A number, written short and read as the same number.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size == 0.0 || (1e-5..1e16).contains(&size) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:e}", self.0)
        }
    }
}

/// A string in quotes.
struct Quoted<'t>(&'t str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if u32::from(c) < 0x20 => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
