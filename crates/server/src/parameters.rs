//! The query of a page: which parameters it gives, each once.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Returns the parameters of a query, in its order, with their values decoded. Those of a signature are left out.
///
/// # Errors
/// Says what is wrong with the query.
pub(crate) fn read<'q>(
    query: &'q str,
    known: &[&'static str],
) -> Result<Vec<(&'static str, Cow<'q, str>)>, String> {
    let mut found: Vec<(&'static str, Cow<'q, str>)> = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.starts_with(OF_A_SIGNATURE) {
            continue;
        }
        let Some(known) = known.iter().find(|known| **known == name) else {
            let name: String = name.chars().take(40).collect();
            let known = known.join(", ");
            return Err(format!("there is no parameter {name:?}; there are {known}"));
        };
        if found.iter().any(|(seen, _)| seen == known) {
            return Err(format!("{known} is given twice"));
        }
        let decoded = percent_decode_str(value).decode_utf8();
        let value = decoded.map_err(|_| format!("{known}: the value is not UTF-8"))?;
        found.push((known, value));
    }
    Ok(found)
}

/// How the parameters begin that sign a query.
const OF_A_SIGNATURE: &str = "X-Amz-";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Result<&[(&str, &str)], &str>) {
        let read = read(query, &["a", "b"]);
        let read = read.as_ref().map(|found| {
            let found = found.iter().map(|(name, value)| (*name, &**value));
            found.collect::<Vec<_>>()
        });
        match (read, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{query}"),
            (Err(error), Err(words)) => assert!(error.contains(words), "{error}"),
            (read, _) => panic!("{query}: {read:?}"),
        }
    }

    #[test]
    fn parameters_are_read_and_decoded() {
        check("", Ok(&[]));
        check("&&a=1&", Ok(&[("a", "1")]));
        check("b&a=%20%C3%A9+", Ok(&[("b", ""), ("a", " \u{e9}+")]));
        check("a=b=c&X-Amz-Date=1", Ok(&[("a", "b=c")]));
        check("c=1", Err("there is no parameter \"c\"; there are a, b"));
        check("a=1&a=1", Err("a is given twice"));
        check("a=%ff", Err("a: the value is not UTF-8"));
    }
}
