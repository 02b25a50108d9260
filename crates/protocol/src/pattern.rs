//! The regular expressions of the API, each as the function that decides it.

/// A pattern a whole text must be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// An insight's id: a UUID of version 1 to 5.
    InsightId,
    /// The name of a resource policy.
    PolicyName,
}

impl Pattern {
    /// Every pattern.
    pub const ALL: [Self; 2] = [Self::InsightId, Self::PolicyName];

    /// Returns the regular expression as the service model writes it.
    pub const fn regex(self) -> &'static str {
        match self {
            Self::InsightId => {
                "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
            }
            Self::PolicyName => r"[\w+=,.@-]+",
        }
    }

    /// Tells whether the whole text is of the pattern.
    pub fn matches(self, text: &str) -> bool {
        match self {
            Self::InsightId => is_insight_id(text),
            Self::PolicyName => !text.is_empty() && text.bytes().all(is_policy_name_byte),
        }
    }
}

fn is_insight_id(text: &str) -> bool {
    let text = text.as_bytes();
    let fits = |(idx, byte): (usize, &u8)| match idx {
        8 | 13 | 18 | 23 => *byte == b'-',
        14 => matches!(byte, b'1'..=b'5'),
        19 => matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.iter().enumerate().all(fits)
}

const fn is_policy_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: Pattern, text: &str, expected: bool) {
        assert_eq!(pattern.matches(text), expected, "{text}");
    }

    #[test]
    fn insight_ids_are_uuids_of_versions_1_to_5() {
        check(
            Pattern::InsightId,
            "6b2fe0a4-1d3c-4a6e-9f00-0123456789ab",
            true,
        );
        check(
            Pattern::InsightId,
            "6B2FE0A4-1D3C-5A6E-BF00-0123456789AB",
            true,
        );
        check(
            Pattern::InsightId,
            "6b2fe0a4-1d3c-6a6e-9f00-0123456789ab",
            false,
        );
        check(
            Pattern::InsightId,
            "6b2fe0a4-1d3c-4a6e-cf00-0123456789ab",
            false,
        );
        check(
            Pattern::InsightId,
            "6b2fe0a4-1d3c-4a6e-9f00-0123456789a",
            false,
        );
        check(
            Pattern::InsightId,
            "6b2fe0a4-1d3c-4a6e-9f00-0123456789ag",
            false,
        );
        check(
            Pattern::InsightId,
            "6b2fe0a401d3c-4a6e-9f00-0123456789ab",
            false,
        );
        check(Pattern::InsightId, "", false);
    }

    #[test]
    fn policy_names_have_no_spaces_or_slashes() {
        check(Pattern::PolicyName, "a", true);
        check(Pattern::PolicyName, "My_policy+1=2,3.4@5-6", true);
        for text in ["", "a b", "a/b", "a\n", "\u{e9}"] {
            check(Pattern::PolicyName, text, false);
        }
    }
}
