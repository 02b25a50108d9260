//! Finds the id of a document that cannot be read, since clients look refused documents up by it.

use crate::json::unquote;

/// Returns the text of the first member `id` of the outermost object, if one can be made out; the
/// rest need not be JSON. Looks at no more than a mebibyte.
pub(super) fn recover_id(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..bytes.len().min(SCAN_BYTES_MAX))?;
    let mut depth: usize = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                let end = string_end(bytes, at)?;
                if depth == 1
                    && text.get(at..end) == Some("\"id\"")
                    && let Some(start) = value_start(bytes, end)
                {
                    return quoted(text, bytes, start);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns where the string that starts at `start` has ended, behind its closing quote.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Returns where the value of a member starts whose name ends at `end`; none if no colon follows.
fn value_start(bytes: &[u8], end: usize) -> Option<usize> {
    let colon = skip_whitespace(bytes, end);
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    Some(skip_whitespace(bytes, colon + 1))
}

fn skip_whitespace(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    start
        + rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count()
}

fn quoted(text: &str, bytes: &[u8], start: usize) -> Option<String> {
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let end = string_end(bytes, start)?;
    unquote(text.get(start..end)?).map(std::borrow::Cow::into_owned)
}

const SCAN_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(recover_id(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn ids_of_broken_documents_are_found() {
        check(r#"{"id":"70de5b6f19ff9a0b","#, Some("70de5b6f19ff9a0b"));
        check(r#"{ "name" : "id", "id" : "x\u0041" oops"#, Some("xA"));
        check(
            r#"{"subsegments":[{"id":"inner"}],"id":"outer""#,
            Some("outer"),
        );
        check(r#"{"a":"\"id\":\"no\"","id":"yes"}"#, Some("yes"));
    }

    #[test]
    fn what_has_no_id_gives_none() {
        for text in [
            "",
            "id",
            "\"id\":\"x\"",
            r#"{"id":12}"#,
            r#"{"id":"cut"#,
            r#"{"id""#,
            r#"{"id":"#,
            r#"{"subsegments":[{"id":"inner"}"#,
            r#"}{"id":"x"}"#,
            "{\"\\",
            r#"{"id":"\ud800"}"#,
        ] {
            check(text, None);
        }
    }
}
