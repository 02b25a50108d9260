//! Rules for one source file.

/// Adds a finding for each rule the file breaks.
pub(super) fn check(path: &str, text: &str, findings: &mut Vec<String>) {
    let is_rust = std::path::Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs");
    // A module of tests may lie in a file of its own.
    let is_tests =
        path.ends_with("/tests.rs") || path.contains("/src/") && path.contains("/tests/");
    let tests_from = match (is_rust, is_tests) {
        (true, true) => 0,
        (true, false) => tests_line(text),
        (false, _) => text.lines().count(),
    };
    if tests_from > LINES_MAX {
        findings.push(format!(
            "{path}: {tests_from} lines without its tests, at most {LINES_MAX}"
        ));
    }
    if path.ends_with("/mod.rs") {
        findings.push(format!("{path}: name the file after its module"));
    }
    for (line_idx, line) in text.lines().enumerate() {
        let is_test = path.starts_with("tests/") || line_idx >= tests_from;
        for what in broken(line, is_rust, is_test) {
            findings.push(format!("{path}:{}: {what}", line_idx + 1));
        }
    }
}

fn broken(line: &str, is_rust: bool, is_test: bool) -> Vec<&'static str> {
    let mut broken = Vec::new();
    if !line.is_ascii() {
        broken.push("plain ASCII only, write other characters as escapes");
    }
    let is_allowed = is_rust
        && (line.contains(concat!("#[al", "low(")) || line.contains(concat!("#![al", "low(")));
    if is_allowed {
        broken.push("suppress a lint with expect and a reason");
    }
    if UNFINISHED.iter().any(|word| line.contains(word)) {
        broken.push("unfinished work is an issue, not a comment");
    }
    if is_test && line.contains(concat!("sle", "ep(")) {
        broken.push("wait for a condition, not for time");
    }
    let is_skipped = is_rust && IGNORED.iter().any(|attribute| line.contains(attribute));
    if is_skipped {
        broken.push("no test is skipped or expected to panic");
    }
    broken
}

/// Returns the index of the line where the tests at the end of the file begin, or the number of lines.
fn tests_line(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let is_start = |pair: &[&str]| matches!(pair, ["#[cfg(test)]", module] if module.starts_with("mod ") && module.ends_with('{'));
    lines.windows(2).position(is_start).unwrap_or(lines.len())
}

const LINES_MAX: usize = 500;
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];
const IGNORED: &[&str] = &[concat!("#[ign", "ore"), concat!("#[should", "_panic")];

#[cfg(test)]
mod tests {
    fn check(path: &str, text: &str, expected: &[&str]) {
        let mut findings = Vec::new();
        super::check(path, text, &mut findings);
        assert_eq!(findings.len(), expected.len(), "{findings:?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.starts_with(expected), "{finding} is not {expected}");
        }
    }

    #[test]
    fn rules_are_held() {
        check("crates/a/src/a.rs", "fn a() {}\n", &[]);
        check(
            "crates/a/src/a.rs",
            "// caf\u{e9}\n",
            &["crates/a/src/a.rs:1: plain ASCII"],
        );
        check(
            "crates/a/src/a.rs",
            concat!("\n#[al", "low(dead_code)]"),
            &["crates/a/src/a.rs:2: suppress"],
        );
        check(
            "crates/a/src/a.rs",
            concat!("// TO", "DO later"),
            &["crates/a/src/a.rs:1: unfinished"],
        );
        check(
            "tests/suite/a.rs",
            concat!("std::thread::sle", "ep(x);"),
            &["tests/suite/a.rs:1: wait"],
        );
        check(
            "crates/a/src/a.rs",
            concat!("tokio::time::sle", "ep(x);"),
            &[],
        );
        check(
            "crates/a/src/a.rs",
            concat!("#[cfg(test)]\nmod tests {\nsle", "ep(x);\n}"),
            &["crates/a/src/a.rs:3: wait"],
        );
        check(
            "crates/a/src/a.rs",
            concat!("#[ign", "ore]"),
            &["crates/a/src/a.rs:1: no test"],
        );
        check(
            "crates/a/src/mod.rs",
            "",
            &["crates/a/src/mod.rs: name the file"],
        );
    }

    #[test]
    fn tests_do_not_count() {
        let code = "fn a() {}\n".repeat(500);
        let tests = "    // a test\n".repeat(100);
        check(
            "crates/a/src/a.rs",
            &format!("{code}#[cfg(test)]\nmod tests {{\n{tests}}}\n"),
            &[],
        );
        let large = format!("{code}fn b() {{}}\n");
        check(
            "crates/a/src/a.rs",
            &large,
            &["crates/a/src/a.rs: 501 lines"],
        );
        check("crates/a/src/a/tests.rs", &large, &[]);
        check("crates/a/src/a/tests/b.rs", &large, &[]);
    }
}
