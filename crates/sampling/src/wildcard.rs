//! Patterns of rules: `*` is any run of characters, `?` any one character, and case does not count
//! (X-Ray developer guide, "Configuring sampling rules", and the samplers of the SDKs).

/// Tells whether a pattern matches the whole of a text.
///
/// Time is at most the length of the text times that of the pattern, which rules bound; no text takes
/// more, and nothing recurses: only the last `*` is ever tried again, since an earlier one could
/// only have matched less.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.chars();
    let mut text = text.chars();
    let mut last_star = None;
    loop {
        let before_text = text.clone();
        let is_match = match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                // It takes nothing at first, and one character more each time the rest fails.
                text = before_text.clone();
                last_star = Some((pattern.clone(), before_text));
                true
            }
            (Some(wanted), Some(found)) => wanted == '?' || is_same(wanted, found),
            (None, None) => return true,
            (Some(_), None) => return false,
            (None, Some(_)) => false,
        };
        if is_match {
            continue;
        }
        let Some((after_star, taken)) = &mut last_star else {
            return false;
        };
        taken.next();
        pattern = after_star.clone();
        text = taken.clone();
    }
}

fn is_same(a: char, b: char) -> bool {
    a == b || a.to_lowercase().eq(b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
    }

    #[test]
    fn patterns_match_the_whole_text() {
        check("*", "", true);
        check("*", "anything", true);
        check("", "", true);
        check("", "a", false);
        check("a", "", false);
        check("?", "", false);
        check("?", "a", true);
        check("?", "ab", false);
        check("??", "\u{e9}\u{e9}", true);
        check("Scorekeep", "scoreKEEP", true);
        check("\u{c9}t\u{e9}", "\u{e9}T\u{c9}", true);
        check("score", "scorekeep", false);
        check("/api/state/*", "/api/state/7", true);
        check("/api/state/*", "/api/state/", true);
        check("/api/state/*", "/api/state", false);
        check("*.example.com", "shop.example.com", true);
        check("*.example.com", "example.com", false);
        check("a*b*c", "a__b__b__c", true);
        check("a*b*c", "a__b__b__", false);
        check("*a?c*", "xxabcxx", true);
        check("**?", "", false);
        check("a**", "a", true);
        check("*ab", "aab", true);
        check("*aab", "aaab", true);
    }

    /// The definition, written down plainly.
    fn plainly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some(('*', rest)), _) => (0..=text.len()).any(|taken| plainly(rest, &text[taken..])),
            (Some(_), None) => false,
            (Some((wanted, pattern)), Some((found, text))) => {
                (*wanted == '?' || wanted == found) && plainly(pattern, text)
            }
        }
    }

    proptest! {
        #[test]
        fn the_fast_way_finds_what_the_plain_one_does(pattern in "[ab?*]{0,8}", text in "[ab]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), plainly(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn a_hostile_text_takes_no_time() {
        let pattern = "*a".repeat(64) + "b";
        let text = "a".repeat(1 << 16);
        check(&pattern, &text, false);
    }
}
