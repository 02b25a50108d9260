//! The recipes that the README shows: read, held to what is installed, and made a script of.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// One recipe: the lines a user types.
pub(super) struct Recipe {
    lines: Vec<String>,
}

impl Recipe {
    /// Returns the recipe of this name.
    pub(super) fn named(name: &str) -> Result<Self> {
        let recipes: toml::Table = toml::from_str(&read("recipes.toml")?)?;
        let recipes = recipes["recipe"].as_array().context("a list of recipes")?;
        let recipe = recipes
            .iter()
            .find(|recipe| recipe["name"].as_str() == Some(name));
        let recipe = recipe.with_context(|| format!("no recipe {name}"))?;
        let lines = recipe["lines"].as_array().context("lines")?;
        let lines = lines.iter().filter_map(|line| line.as_str());
        Ok(Self {
            lines: lines.map(str::to_owned).collect(),
        })
    }

    /// Returns a script of all lines but those that install, which ends up as the program of the last line.
    pub(super) fn script(&self) -> Result<String> {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        let mut lines: Vec<&str> = lines
            .into_iter()
            .filter(|line| installed(line).is_none())
            .collect();
        let last = lines.pop().context("a recipe without a program")?;
        let before = lines.join("\n");
        Ok(format!("set -eu\n{before}\nexec {last}\n"))
    }

    /// Returns where the programs of the recipe are, after a look whether what it installs is what is there.
    pub(super) fn programs(&self) -> Result<PathBuf> {
        let installs = self.lines.iter().find_map(|line| installed(line));
        let packages = installs.context("a recipe that installs nothing")?;
        match packages.first() {
            Some(package) if package.contains("==") => python(&packages),
            _ => node(&packages),
        }
    }
}

/// Returns the folder of the scripts.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Returns the packages that a line installs, if it is one that does.
fn installed(line: &str) -> Option<Vec<&str>> {
    let packages = line
        .strip_prefix("pip install ")
        .or_else(|| line.strip_prefix("npm install "))?;
    Some(packages.split_whitespace().collect())
}

/// Returns the programs of the environment whose pins have all these packages.
fn python(packages: &[&str]) -> Result<PathBuf> {
    for (pins, environment) in [
        ("requirements.txt", ".venv"),
        ("requirements-adot.txt", ".venv/adot"),
    ] {
        let pins = read(pins)?.to_lowercase();
        let is_pinned = |package: &&str| pins.lines().any(|pin| pin == *package);
        if packages.iter().all(is_pinned) {
            let environment = folder().join("../..").join(environment);
            let programs = environment.join("bin");
            anyhow::ensure!(
                programs.join("python").is_file(),
                "{} is missing: cargo xtask test makes it",
                environment.display()
            );
            return Ok(programs);
        }
    }
    anyhow::bail!("{packages:?} are not what tests/clients pins")
}

/// Returns where Node is, if all these packages are pinned.
fn node(packages: &[&str]) -> Result<PathBuf> {
    let manifest: Value = serde_json::from_str(&read("package.json")?)?;
    for package in packages {
        let (name, version) = package.rsplit_once('@').context("a package at a version")?;
        anyhow::ensure!(
            manifest["dependencies"][name] == version,
            "{package} is not what tests/clients pins"
        );
    }
    anyhow::ensure!(
        folder().join("node_modules").is_dir(),
        "tests/clients/node_modules is missing: cargo xtask test makes it"
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    folders
        .find(|folder| folder.join("node").is_file())
        .context("node is not on the path")
}

fn read(name: &str) -> Result<String> {
    std::fs::read_to_string(folder().join(name)).with_context(|| format!("read {name}"))
}
