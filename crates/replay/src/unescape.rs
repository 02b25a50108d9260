//! Strings of JSON without their escapes, and where each character was.

/// A text that was escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) text: String,
    /// Behind each escape: the offset in the plain and in the escaped text, ascending.
    behind_escapes: Vec<(usize, usize)>,
}

/// Returns the text of a valid JSON string, given without its quotes; none if an escape names half a character.
pub(crate) fn unescape(escaped: &str) -> Option<Plain> {
    let mut plain = Plain {
        text: String::with_capacity(escaped.len()),
        behind_escapes: Vec::new(),
    };
    let mut rest = escaped;
    while let Some(backslash) = rest.find('\\') {
        plain.text.push_str(rest.get(..backslash)?);
        let escape = rest.get(backslash + 1..)?;
        let (character, behind) = escaped_character(escape)?;
        plain.text.push(character);
        let offset = escaped.len() - behind.len();
        plain.behind_escapes.push((plain.text.len(), offset));
        rest = behind;
    }
    plain.text.push_str(rest);
    Some(plain)
}

impl Plain {
    /// Returns where the character at an offset of the plain text begins in the escaped one.
    pub(crate) fn escaped_offset(&self, offset: usize) -> usize {
        let n_before = self
            .behind_escapes
            .partition_point(|(plain, _)| *plain <= offset);
        let last = n_before
            .checked_sub(1)
            .and_then(|last| self.behind_escapes.get(last));
        let (plain, escaped) = last.copied().unwrap_or_default();
        escaped + (offset - plain)
    }
}

/// Returns the character an escape stands for, given without its backslash, and what is behind it.
fn escaped_character(escape: &str) -> Option<(char, &str)> {
    let mut characters = escape.chars();
    let character = match characters.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unicode(characters.as_str()),
        other => other,
    };
    Some((character, characters.as_str()))
}

/// Returns the character of `XXXX` or, of two surrogates, of `XXXX\uXXXX`.
fn unicode(digits: &str) -> Option<(char, &str)> {
    let (first, behind) = unit(digits)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, behind));
    }
    let (second, behind) = unit(behind.strip_prefix("\\u")?)?;
    let high = first.checked_sub(0xd800).filter(|high| *high < 0x400)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    let character = char::from_u32(0x1_0000 + (high << 10) + low)?;
    Some((character, behind))
}

fn unit(digits: &str) -> Option<(u32, &str)> {
    let (digits, behind) = digits.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(escaped: &str, expected: Option<&str>) {
        let plain = unescape(escaped).map(|plain| plain.text);
        assert_eq!(plain.as_deref(), expected, "{escaped}");
    }

    #[test]
    fn escapes_are_read_as_json_has_them() {
        check("", Some(""));
        check("plain zo\u{eb}", Some("plain zo\u{eb}"));
        check(r#"\"\\\/\b\f\n\r\t"#, Some("\"\\/\u{8}\u{c}\n\r\t"));
        check(r"zo\u00eB\u00410", Some("zo\u{eb}A0"));
        check(r"\ud83d\uDE00.", Some("\u{1f600}."));
        check(r"\ud83d", None);
        check(r"\ude00", None);
        check(r"\ud83dx", None);
        check(r"\ud83d\u0041", None);
        check(r"\ude00\ud83d", None);
    }

    /// A character and one of the ways to write it.
    fn written() -> impl Strategy<Value = (char, String)> {
        (any::<char>(), any::<bool>()).prop_map(|(character, is_escaped)| {
            let must_be = character < ' ' || matches!(character, '"' | '\\');
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units).iter();
            let units: Vec<String> = units.map(|unit| format!("\\u{unit:04x}")).collect();
            let text = if is_escaped || must_be {
                units.concat()
            } else {
                character.to_string()
            };
            (character, text)
        })
    }

    proptest! {
        #[test]
        fn every_character_is_found_where_it_was(characters in proptest::collection::vec(written(), 0..20)) {
            let escaped: String = characters.iter().map(|(_, text)| text.as_str()).collect();
            let plain = unescape(&escaped).unwrap();
            let (mut at, mut escaped_at) = (0, 0);
            for (character, text) in characters {
                prop_assert_eq!(plain.escaped_offset(at), escaped_at);
                at += character.len_utf8();
                escaped_at += text.len();
            }
            prop_assert_eq!(plain.escaped_offset(at), escaped_at);
            let quoted = format!("\"{escaped}\"");
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), plain.text);
        }
    }
}
