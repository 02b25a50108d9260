//! Which names segments and subsegments may have (spec: `[\p{L}\p{Z}\p{N}_.:/%&#=+\-@]{1,200}`).

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadName {
    TooLong { n_chars: usize },
    Character(char),
}

/// Checks a name that is not empty.
pub(super) fn check_name(name: &str) -> Result<(), BadName> {
    let n_chars = if name.len() <= NAME_CHARS_MAX {
        name.len()
    } else {
        name.chars().count()
    };
    if n_chars > NAME_CHARS_MAX {
        return Err(BadName::TooLong { n_chars });
    }
    match name.chars().find(|character| !is_allowed(*character)) {
        Some(character) => Err(BadName::Character(character)),
        None => Ok(()),
    }
}

/// Tells whether a name may have the character. The developer guide lists the backslash, too.
fn is_allowed(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || " _.:/%&#=+\\-@".contains(character);
    }
    match character.general_category_group() {
        GeneralCategoryGroup::Letter
        | GeneralCategoryGroup::Number
        | GeneralCategoryGroup::Separator => true,
        GeneralCategoryGroup::Mark
        | GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol
        | GeneralCategoryGroup::Other => false,
    }
}

const NAME_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Result<(), BadName>) {
        assert_eq!(check_name(name), expected, "{name:?}");
    }

    #[test]
    fn names_of_the_samples_pass() {
        for name in [
            "Scorekeep",
            "## UserModel.saveUser",
            "### new subsegment",
            "## __main__.work",
            "ebdb@aawijb5u25wdoy.cpamxznpdoq8.us-west-2.rds.amazonaws.com",
            "127.0.0.1",
            "a:b/c%d&e#f=g+h\\i-j@k_l",
            "zo\u{eb} \u{4e2d}\u{6587} \u{661}\u{2163}\u{b2}\u{a0}\u{3000}\u{2028}",
        ] {
            check(name, Ok(()));
        }
    }

    #[test]
    fn other_characters_are_refused() {
        for character in
            "?!*(){}[]<>|'\"`~^$,;\t\n\r\0\u{85}\u{ad}\u{301}\u{24b6}\u{20ac}\u{feff}\u{1f600}"
                .chars()
        {
            check(&format!("a{character}"), Err(BadName::Character(character)));
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        check(&"x".repeat(200), Ok(()));
        check(&"\u{4e2d}".repeat(200), Ok(()));
        check(&"x".repeat(201), Err(BadName::TooLong { n_chars: 201 }));
        check(
            &"\u{4e2d}".repeat(201),
            Err(BadName::TooLong { n_chars: 201 }),
        );
    }
}
