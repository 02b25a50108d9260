//! The README shows the recipes that the suite follows, to the letter.

use anyhow::{Context, Result};

/// Adds a finding for each recipe that the README does not show as it is, and for each row it shows that is none.
pub(super) fn check(recipes: &str, readme: &str, findings: &mut Vec<String>) -> Result<()> {
    let recipes: toml::Table = toml::from_str(recipes).context("recipes.toml")?;
    let recipes = recipes.get("recipe").and_then(toml::Value::as_array);
    let mut rows = Vec::new();
    for recipe in recipes.context("recipes.toml has no recipes")? {
        rows.push(row(recipe)?);
    }
    let section = readme.split("\n## ").find(|part| part.starts_with(TITLE));
    let shown: Vec<&str> = section
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(HEAD_LINES)
        .collect();
    for row in &rows {
        if !shown.contains(&row.as_str()) {
            findings.push(format!("README.md: \"{TITLE}\" lacks this row:\n{row}"));
        }
    }
    for line in shown {
        if !rows.iter().any(|row| row == line) {
            findings.push(format!("README.md: \"{TITLE}\" has no recipe for\n{line}"));
        }
    }
    Ok(())
}

/// Returns a recipe as a row of the table.
fn row(recipe: &toml::Value) -> Result<String> {
    let text = |member: &str| {
        let value = recipe.get(member).and_then(toml::Value::as_str);
        value.with_context(|| format!("a recipe without {member}: {recipe}"))
    };
    let lines = recipe.get("lines").and_then(toml::Value::as_array);
    let lines: Vec<String> = lines
        .with_context(|| format!("a recipe without lines: {recipe}"))?
        .iter()
        .filter_map(|line| Some(format!("`{}`", line.as_str()?)))
        .collect();
    let lines = lines.join("<br>");
    let (client, version, door) = (text("client")?, text("version")?, text("door")?);
    Ok(format!("| {client} | {version} | {door} | {lines} |"))
}

const TITLE: &str = "What works with it";
/// The names of the columns, and the line below them.
const HEAD_LINES: usize = 2;

#[cfg(test)]
mod tests {
    const RECIPES: &str = "[[recipe]]\nname = \"a\"\nclient = \"A\"\nversion = \"1\"\ndoor = \"API\"\nlines = [\"x\", \"y\"]\n";
    const HEAD: &str = "# R\n\n## What works with it\n\n| client | | | |\n|---|---|---|---|\n";

    fn check(readme: &str, expected: usize) {
        let mut findings = Vec::new();
        super::check(RECIPES, readme, &mut findings).unwrap();
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn the_readme_shows_every_recipe_and_no_other() {
        let row = "| A | 1 | API | `x`<br>`y` |\n";
        check(&format!("{HEAD}{row}"), 0);
        check(&format!("{HEAD}{row}\n## Next\n| B |\n"), 0);
        check(HEAD, 1);
        check("# R\n", 1);
        check(&format!("{HEAD}{}", row.replace("`y`", "`z`")), 2);
        check(&format!("{HEAD}{row}| B | 1 | API | `x` |\n"), 1);
    }
}
