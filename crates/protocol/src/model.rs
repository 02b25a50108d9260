//! The service model as data: what the API allows in every request, response and error.
//!
//! The table is `model/table.txt`, compiled in and read once; its head tells its source and notation. It
//! is the yardstick the shapes of this crate are tested against, and what an endpoint's answers are
//! checked with: [`validate_response`] is as strict as the strictest typed client.

mod table;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use crate::{Operation, Pattern};

pub use validate::{Mismatch, validate_request, validate_response};

/// The whole service model.
#[derive(Debug)]
pub struct Model {
    operations: BTreeMap<&'static str, OperationModel>,
    structures: BTreeMap<&'static str, Structure>,
}

/// One operation.
#[derive(Debug)]
pub struct OperationModel {
    /// The path it is posted to.
    pub path: &'static str,
    /// What the request holds.
    pub input: Structure,
    /// What the response holds.
    pub output: Structure,
    /// The types of its errors.
    pub errors: Vec<&'static str>,
}

/// An object with named members.
#[derive(Debug)]
pub struct Structure {
    /// What it stands for.
    pub kind: StructureKind,
    /// Its members in the model's order.
    pub members: Vec<Member>,
}

/// What a structure stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructureKind {
    /// Its members side by side.
    Plain,
    /// Exactly one of its members.
    Union,
    /// An error with its HTTP status, if the model says one.
    Error(Option<u16>),
}

/// One member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Its name on the wire.
    pub name: &'static str,
    /// Whether it must be there.
    pub is_required: bool,
    /// What it holds.
    pub shape: MemberShape,
}

/// What a member, an item or a value holds.
#[derive(Debug, PartialEq, Eq)]
pub enum MemberShape {
    /// A text.
    Text {
        /// Its length in characters.
        length: Bounds,
        /// What it must look like.
        pattern: Option<Pattern>,
    },
    /// One of some texts.
    Choice(Vec<&'static str>),
    /// A whole number of 32 bits.
    Integer(Bounds),
    /// A whole number of 64 bits.
    Long,
    /// A number.
    Double(Bounds),
    /// True or false.
    Boolean,
    /// A number of seconds since 1970.
    Timestamp,
    /// A list.
    List {
        /// What each item holds.
        item: Box<MemberShape>,
        /// How many there are.
        size: Bounds,
    },
    /// An object with any keys.
    Map {
        /// What the keys are like.
        key: Box<MemberShape>,
        /// What each value holds.
        value: Box<MemberShape>,
        /// How many there are.
        size: Bounds,
    },
    /// A structure, by its name.
    Structure(&'static str),
}

/// The least and the greatest of what is allowed; all of the model's are whole and not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least, if there is one.
    pub min: Option<u32>,
    /// The greatest, if there is one.
    pub max: Option<u32>,
}

/// Returns the model.
pub fn model() -> &'static Model {
    &MODEL
}

/// Returns the types of the errors the model knows of an operation.
pub fn errors_of(operation: Operation) -> &'static [&'static str] {
    &model().operation(operation).errors
}

impl Model {
    /// Returns what there is to know of an operation.
    ///
    /// # Panics
    /// Never: the table has every operation.
    #[expect(clippy::expect_used, reason = "a test finds every operation")]
    pub fn operation(&self, operation: Operation) -> &OperationModel {
        let found = self.operations.get(operation.name());
        found.expect("the table has every operation")
    }

    /// Returns the structure of a name; requests and responses have none.
    pub fn structure(&self, name: &str) -> Option<&Structure> {
        self.structures.get(name)
    }

    /// Returns every structure and its name, sorted by name.
    pub fn structures(&self) -> impl Iterator<Item = (&'static str, &Structure)> {
        self.structures
            .iter()
            .map(|(name, structure)| (*name, structure))
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(formatter, "{min} to {max}"),
            (Some(min), None) => write!(formatter, "at least {min}"),
            (None, Some(max)) => write!(formatter, "at most {max}"),
            (None, None) => formatter.write_str("any"),
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "the text is compiled in and a test reads it"
)]
static MODEL: LazyLock<Model> = LazyLock::new(|| {
    table::read(include_str!("model/table.txt")).expect("the table is well-formed")
});

#[cfg(test)]
mod tests;
