//! Who may import whom: the floors of `crates/README.md`, held against every manifest.

use anyhow::{Context, Result};
use toml::{Table, Value};

/// Adds a finding for each dependency in the root manifest that does not say in one line why it is there.
pub(super) fn check_reasons(manifest: &str, findings: &mut Vec<String>) {
    let mut in_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line == "[workspace.dependencies]";
        } else if in_dependencies
            && line.contains('=')
            && !line.contains("path =")
            && !line.contains('#')
        {
            findings.push(format!("Cargo.toml: a dependency without a reason: {line}"));
        }
    }
}

/// Adds a finding for each dependency of a member that its floor does not allow.
pub(super) fn check_manifest(manifest: &str, findings: &mut Vec<String>) -> Result<()> {
    let manifest: Table = manifest.parse().context("parse the manifest")?;
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str);
    let name = name.context("a manifest without a package name")?;
    let Some((_, imports)) = HOUSE.iter().find(|(member, _)| *member == name) else {
        findings.push(format!(
            "{name}: not drawn in the floors (crates/xtask/src/tidy/floors.rs)"
        ));
        return Ok(());
    };
    for dependency in dependencies(&manifest) {
        let is_house = HOUSE.iter().any(|(member, _)| *member == dependency);
        if is_house && !imports.contains(&dependency) {
            findings.push(format!(
                "{name}: must not import {dependency} (see the floors in crates/README.md)"
            ));
        }
        let kept = KEPT.iter().find(|(kept, _)| *kept == dependency);
        if kept.is_some_and(|(_, members)| !members.contains(&name)) {
            findings.push(format!(
                "{name}: {dependency} belongs to {:?} alone",
                kept.map(|(_, members)| members)
            ));
        }
    }
    if manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        != Some(&Value::Boolean(true))
    {
        findings.push(format!("{name}: does not inherit the workspace's lints"));
    }
    Ok(())
}

/// Returns what the built crate depends on; dependencies of its tests are its own affair.
fn dependencies(manifest: &Table) -> Vec<&str> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(|targets| targets.values())
        .filter_map(Value::as_table);
    let mut names = Vec::new();
    for table in std::iter::once(manifest).chain(targets) {
        for kind in ["dependencies", "build-dependencies"] {
            let Some(table) = table.get(kind).and_then(Value::as_table) else {
                continue;
            };
            names.extend(table.keys().map(String::as_str));
        }
    }
    names
}

/// Each member and the members it may import.
const HOUSE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("journal", &["model"]),
    ("storage", &["model"]),
    ("otlp", &["model"]),
    ("protocol", &["model"]),
    ("replay", &["model"]),
    ("account", &["model", "storage"]),
    ("ingest", &["model", "otlp", "protocol", "storage"]),
    ("insights", &["model", "storage"]),
    ("query", &["model", "otlp", "protocol", "storage"]),
    ("sampling", &["model", "protocol", "storage"]),
    ("console", &[]),
    (
        "cli",
        &[
            "ingest", "journal", "model", "otlp", "protocol", "query", "replay", "storage",
        ],
    ),
    (
        "server",
        &[
            "account", "cli", "console", "ingest", "insights", "journal", "model", "otlp",
            "protocol", "query", "sampling", "storage",
        ],
    ),
    ("roentgen-tests", &[]),
    ("xtask", &["roentgen-tests"]),
];

/// Crates from outside that only some members may know.
const KEPT: &[(&str, &[&str])] = &[
    ("aws-config", &["cli"]),
    ("aws-sigv4", &["cli", "roentgen-tests"]),
    ("bincode", &["storage"]),
    ("clap", &["cli", "server"]),
    ("hyper", &["cli", "server"]),
    ("hyper-rustls", &["cli"]),
    ("hyper-util", &["cli", "server"]),
    ("indicatif", &["cli"]),
    ("opentelemetry-proto", &["otlp"]),
    ("prometheus-client", &["server"]),
    ("prost", &["otlp"]),
    ("seccompiler", &["storage"]),
    ("sled", &["storage"]),
    (
        "tokio",
        &["cli", "ingest", "insights", "query", "server", "storage"],
    ),
    (
        "tokio-rustls",
        &["cli", "roentgen-tests", "server", "xtask"],
    ),
    ("tonic", &["server"]),
    ("tracing-subscriber", &["server"]),
    ("zstd", &["cli", "journal", "storage"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dependencies: &str, expected: &[&str]) {
        let manifest = format!("package.name = \"model\"\nlints.workspace = true\n{dependencies}");
        let mut findings = Vec::new();
        check_manifest(&manifest, &mut findings).unwrap();
        assert_eq!(findings.len(), expected.len(), "{findings:?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.contains(expected), "{finding}");
        }
    }

    #[test]
    fn imports_against_the_floors_are_found() {
        check("[dependencies]\nserde = \"1\"", &[]);
        check(
            "[dependencies]\nstorage = { path = \"../storage\" }",
            &["must not import storage"],
        );
        check("[dependencies]\nsled = \"1\"", &["sled belongs to"]);
        check(
            "[target.'cfg(unix)'.dependencies]\nhyper = \"1\"",
            &["hyper belongs to"],
        );
        check("[dev-dependencies]\ntokio = \"1\"", &[]);
    }

    #[test]
    fn every_dependency_needs_a_reason() {
        let mut findings = Vec::new();
        check_reasons(
            "[workspace.dependencies]\na = \"1\"  # why\nb = \"1\"\nc = { path = \"c\" }\n[x]\nd = 1",
            &mut findings,
        );
        assert_eq!(
            findings,
            ["Cargo.toml: a dependency without a reason: b = \"1\""]
        );
    }
}
