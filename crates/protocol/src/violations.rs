//! The constraints of the API, checked on a request and told together in the words of the service.
//!
//! Members are named by their path, first letter small: `tags.2.member.key`. A check notes what is
//! broken and returns what can still be used, so that the checks after it are made all the same.

use std::fmt::{Display, Write};

use crate::ApiError;
use crate::decode::{List, Object};
use crate::error::excerpt;
use crate::pattern::Pattern;

/// The constraints a request breaks, collected to be told all at once.
#[derive(Debug, Default)]
pub struct Violations {
    found: Vec<String>,
    path: String,
}

impl Violations {
    /// Notes that `value` of a member breaks a constraint, in the service's words.
    pub fn add(&mut self, member: &str, value: &str, constraint: &str) {
        self.note(member, constraint, || format!("'{}'", excerpt(value, 64)));
    }

    /// Notes that the absence of a member breaks a constraint.
    pub fn add_absent(&mut self, member: &str, constraint: &str) {
        self.note(member, constraint, || "null".to_owned());
    }

    /// Returns a required member; its absence is noted.
    pub fn required<T>(&mut self, member: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add_absent(member, "Member must not be null");
        }
        value
    }

    /// Notes a text whose length, in characters, is not in `min..=max`.
    pub fn length(&mut self, member: &str, text: &str, min: usize, max: usize) {
        let n_chars = text.chars().count();
        if let Some(constraint) = length_constraint(n_chars, min, max) {
            self.add(member, text, &constraint);
        }
    }

    /// Notes a list or a map whose number of items is not in `min..=max`.
    pub fn size(&mut self, member: &str, n_items: usize, min: usize, max: usize) {
        if let Some(constraint) = length_constraint(n_items, min, max) {
            self.add(member, &format!("{n_items} items"), &constraint);
        }
    }

    /// Returns an optional text after checking its length in characters.
    pub fn text(
        &mut self,
        member: &str,
        text: Option<String>,
        min: usize,
        max: usize,
    ) -> Option<String> {
        let text = text?;
        self.length(member, &text, min, max);
        Some(text)
    }

    /// Returns a required text after checking its length in characters.
    pub fn required_text(
        &mut self,
        member: &str,
        text: Option<String>,
        min: usize,
        max: usize,
    ) -> Option<String> {
        let text = self.required(member, text);
        self.text(member, text, min, max)
    }

    /// Notes a text that is not of a pattern.
    pub fn pattern(&mut self, member: &str, text: &str, pattern: Pattern) {
        if !pattern.matches(text) {
            let constraint = format!(
                "Member must satisfy regular expression pattern: {}",
                pattern.regex()
            );
            self.add(member, text, &constraint);
        }
    }

    /// Returns an integer; one that is not in `min..=max` is noted and the nearest that is returned.
    pub fn integer(&mut self, member: &str, value: Option<i64>, min: u32, max: u32) -> Option<u32> {
        let value = self.in_range(member, value?, i64::from(min), i64::from(max));
        u32::try_from(value).ok()
    }

    /// Returns a required integer; one that is not in `min..=max` is noted and the nearest that is
    /// returned.
    pub fn required_integer(
        &mut self,
        member: &str,
        value: Option<i64>,
        min: u32,
        max: u32,
    ) -> Option<u32> {
        let value = self.required(member, value);
        self.integer(member, value, min, max)
    }

    /// Returns a number; one that is not in `min..=max` is noted and the nearest that is returned.
    pub fn double(&mut self, member: &str, value: Option<f64>, min: f64, max: f64) -> Option<f64> {
        Some(self.in_range(member, value?, min, max))
    }

    /// Returns the value that goes by a name, or `None` if there is no name or none such.
    pub fn choice<T: Copy>(
        &mut self,
        member: &str,
        name: Option<&str>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let name = name?;
        for (choice, value) in choices {
            if *choice == name {
                return Some(*value);
            }
        }
        let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
        let names = names.join(", ");
        self.add(
            member,
            name,
            &format!("Member must satisfy enum value set: [{names}]"),
        );
        None
    }

    /// Checks what is inside a member: names told there are put behind its own.
    pub fn within<T>(&mut self, member: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let n_outside = self.path.len();
        if n_outside > 0 {
            self.path.push('.');
        }
        self.path.push_str(member);
        let checked = check(self);
        self.path.truncate(n_outside);
        checked
    }

    /// Checks a list of texts, each of `min..=max` characters.
    pub(crate) fn texts(&mut self, member: &str, texts: &[String], min: usize, max: usize) {
        for (idx, text) in texts.iter().enumerate() {
            self.within_item(member, idx, |violations| {
                violations.length("", text, min, max);
            });
        }
    }

    /// Returns what `check` makes of each item of a list of at most `n_max`; an absent list is empty.
    pub(crate) fn items<W, T>(
        &mut self,
        member: &str,
        list: Option<List<Object<W>>>,
        n_max: usize,
        check: impl Fn(W, &mut Self) -> Option<T>,
    ) -> Vec<T> {
        let Some(List(items)) = list else {
            return Vec::new();
        };
        self.size(member, items.len(), 0, n_max);
        let mut checked = Vec::new();
        for (idx, Object(item)) in items.into_iter().enumerate() {
            checked.extend(self.within_item(member, idx, |violations| check(item, violations)));
        }
        checked
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_error(self) -> ApiError {
        let n_found = self.found.len();
        let noun = if n_found == 1 { "error" } else { "errors" };
        let list = self.found.join("; ");
        ApiError::invalid_request(format!("{n_found} validation {noun} detected: {list}"))
    }

    fn in_range<N: Copy + PartialOrd + Display>(
        &mut self,
        member: &str,
        value: N,
        min: N,
        max: N,
    ) -> N {
        let (nearest, constraint) = if value < min {
            let constraint = format!("Member must have value greater than or equal to {min}");
            (min, constraint)
        } else if value > max {
            let constraint = format!("Member must have value less than or equal to {max}");
            (max, constraint)
        } else {
            return value;
        };
        self.add(member, &value.to_string(), &constraint);
        nearest
    }

    fn within_item<T>(
        &mut self,
        member: &str,
        idx: usize,
        check: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.within(member, |violations| {
            let written = write!(violations.path, ".{}.member", idx + 1);
            debug_assert!(written.is_ok(), "a text is always written to memory");
            check(violations)
        })
    }

    fn note(&mut self, member: &str, constraint: &str, value: impl FnOnce() -> String) {
        if self.found.len() == VIOLATIONS_MAX {
            return;
        }
        let value = value();
        let dot = if self.path.is_empty() || member.is_empty() {
            ""
        } else {
            "."
        };
        self.found.push(format!(
            "Value {value} at '{}{dot}{member}' failed to satisfy constraint: {constraint}",
            self.path
        ));
    }
}

/// Returns the constraint a length breaks, if it breaks one.
fn length_constraint(length: usize, min: usize, max: usize) -> Option<String> {
    if length < min {
        Some(format!(
            "Member must have length greater than or equal to {min}"
        ))
    } else if length > max {
        Some(format!(
            "Member must have length less than or equal to {max}"
        ))
    } else {
        None
    }
}

/// The largest value of what the API calls an integer.
pub(crate) const INTEGER_MAX: u32 = i32::MAX.unsigned_abs();
const VIOLATIONS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_by_their_whole_path() {
        let mut violations = Violations::default();
        let list = List(vec![Object("a"), Object("b")]);
        violations.within("outer", |violations| {
            violations.items("list", Some(list), 2, |item, violations| {
                violations.add("inner", item, "c");
                violations.add("", item, "c");
                Some(())
            });
        });
        violations.add("top", "x", "c");
        let places: Vec<_> = violations
            .found
            .iter()
            .filter_map(|text| text.split('\'').nth(3))
            .collect();
        assert_eq!(
            places,
            [
                "outer.list.1.member.inner",
                "outer.list.1.member",
                "outer.list.2.member.inner",
                "outer.list.2.member",
                "top"
            ]
        );
    }

    #[test]
    fn only_the_first_ten_are_told() {
        let mut violations = Violations::default();
        let texts: Vec<String> = vec![String::new(); 1000];
        violations.texts("t", &texts, 1, 5);
        let message = violations.into_error().message().to_owned();
        assert!(message.starts_with("10 validation errors detected: Value '' at 't.1.member'"));
        assert!(message.ends_with("'t.10.member' failed to satisfy constraint: Member must have length greater than or equal to 1"));
    }

    #[test]
    fn long_values_are_cut() {
        let mut violations = Violations::default();
        violations.length("m", &"x".repeat(1_000_000), 0, 10);
        assert!(violations.into_error().message().chars().count() < 250);
    }

    #[test]
    fn what_is_out_of_bounds_is_noted_once() {
        let mut violations = Violations::default();
        assert_eq!(violations.integer("a", Some(-1), 0, 5), Some(0));
        assert_eq!(violations.required_integer("b", Some(6), 0, 5), Some(5));
        assert_eq!(violations.double("c", Some(0.5), 0.0, 0.25), Some(0.25));
        assert_eq!(violations.found.len(), 3);
        assert_eq!(violations.integer("d", None, 0, 5), None);
        assert_eq!(violations.integer("e", Some(5), 0, 5), Some(5));
        assert_eq!(violations.found.len(), 3);
    }
}
