//! Settings under dotted keys, each with its origin, before they are typed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::config::ConfigError;

/// All settings: exactly the keys of the default file, each with its value and where it is from.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    by_key: BTreeMap<String, Setting>,
}

#[derive(Clone, Debug)]
struct Setting {
    value: Value,
    origin: Origin,
}

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The compiled-in file.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

/// A flag of the command line that sets a key.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// The flag as typed.
    pub(crate) name: &'static str,
    /// The key it sets.
    pub(crate) key: &'static str,
    /// The value.
    pub(crate) value: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::Flag(name) => write!(formatter, "flag {name}"),
        }
    }
}

/// Prints one line a setting: valid TOML, the origin as its comment.
impl fmt::Display for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, setting) in &self.by_key {
            writeln!(formatter, "{key} = {}  # {}", setting.value, setting.origin)?;
        }
        Ok(())
    }
}

impl Settings {
    /// Returns the compiled-in defaults.
    pub(crate) fn defaults() -> Result<Self, ConfigError> {
        let origin = Origin::Default;
        let mut by_key = BTreeMap::new();
        for (key, value) in flatten(DEFAULTS, &origin)? {
            by_key.insert(
                key,
                Setting {
                    value,
                    origin: origin.clone(),
                },
            );
        }
        Ok(Self { by_key })
    }

    /// Lays a file over the settings.
    pub(crate) fn merge_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let origin = Origin::File(path.to_owned());
        for (key, value) in flatten(text, &origin)? {
            self.set(&key, value, origin.clone())?;
        }
        Ok(())
    }

    /// Lays the environment over the settings; an empty variable counts as not set.
    pub(crate) fn merge_environment(
        &mut self,
        environment: &[(OsString, OsString)],
    ) -> Result<(), ConfigError> {
        let names: BTreeMap<String, String> = self
            .by_key
            .keys()
            .map(|key| (variable(key), key.clone()))
            .collect();
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            if NOT_SETTINGS.contains(&name) || value.is_empty() {
                continue;
            }
            let origin = Origin::Environment(name.to_owned());
            let Some(key) = names.get(name) else {
                return Err(unknown(&origin, name, names.keys()));
            };
            let value = value.to_string_lossy().into_owned();
            self.set_text(key, value, origin)?;
        }
        Ok(())
    }

    /// Lays flags over the settings.
    pub(crate) fn merge_flags(&mut self, flags: &[Flag]) -> Result<(), ConfigError> {
        for flag in flags {
            self.set_text(flag.key, flag.value.clone(), Origin::Flag(flag.name))?;
        }
        Ok(())
    }

    /// Tells whether a key was set anywhere but in the defaults.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.by_key
            .get(key)
            .is_some_and(|setting| setting.origin != Origin::Default)
    }

    /// Returns the keys that were set anywhere but in the defaults.
    pub(crate) fn keys_set(&self) -> BTreeSet<String> {
        let keys = self.by_key.keys().filter(|key| self.is_set(key));
        keys.cloned().collect()
    }

    /// Returns the keys whose values differ.
    pub(crate) fn changed(&self, other: &Self) -> Vec<&str> {
        let differs = |(key, setting): &(&String, &Setting)| {
            other.by_key.get(*key).map(|other| &other.value) != Some(&setting.value)
        };
        let changed = self.by_key.iter().filter(differs);
        changed.map(|(key, _)| key.as_str()).collect()
    }

    /// Returns the settings as nested tables.
    pub(crate) fn to_table(&self) -> Table {
        let mut root = Table::new();
        for (key, setting) in &self.by_key {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            let table = root
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(table) = table {
                table.insert(name.to_owned(), setting.value.clone());
            }
        }
        root
    }

    /// Returns the error that a key's value cannot be used.
    pub(crate) fn error(&self, key: &str, message: &str) -> ConfigError {
        let setting = self.by_key.get(key);
        ConfigError::Value {
            key: key.to_owned(),
            value: setting.map_or_else(String::new, |setting| setting.value.to_string()),
            origin: setting.map_or_else(String::new, |setting| setting.origin.to_string()),
            message: message.trim_end().to_owned(),
        }
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        match self.by_key.get_mut(key) {
            Some(setting) => {
                *setting = Setting { value, origin };
                Ok(())
            }
            None => Err(unknown(&origin, key, self.by_key.keys())),
        }
    }

    /// Sets a value that came as text; it is a number or a truth where the default is one and it looks like one.
    fn set_text(&mut self, key: &str, text: String, origin: Origin) -> Result<(), ConfigError> {
        let default = self.by_key.get(key).map(|setting| &setting.value);
        let value = match default {
            Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
            Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
            _ => None,
        };
        let value = value.unwrap_or(Value::String(text));
        self.set(key, value, origin)
    }
}

/// Returns the file the environment names.
pub(crate) fn config_file(environment: &[(OsString, OsString)]) -> Option<PathBuf> {
    let variable = environment.iter().find(|(name, _)| name == CONFIG);
    variable
        .map(|(_, value)| PathBuf::from(value))
        .filter(|path| !path.as_os_str().is_empty())
}

/// Returns the variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// Returns a file's values under dotted keys of section and name.
fn flatten(text: &str, origin: &Origin) -> Result<Vec<(String, Value)>, ConfigError> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Syntax {
            origin: origin.to_string(),
            message: error.to_string().trim_end().to_owned(),
        })?;
    let mut flat = Vec::new();
    for (section, value) in table {
        match value {
            Value::Table(table) => {
                let keys = table
                    .into_iter()
                    .map(|(name, value)| (format!("{section}.{name}"), value));
                flat.extend(keys);
            }
            value => flat.push((section, value)),
        }
    }
    Ok(flat)
}

fn unknown<'a>(
    origin: &Origin,
    name: &str,
    known: impl Iterator<Item = &'a String>,
) -> ConfigError {
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let likeness = |known: &String| strsim::jaro_winkler(&bare(known), &bare(name));
    let nearest = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    let hint = nearest.filter(|nearest| likeness(nearest) > 0.85);
    ConfigError::Unknown {
        origin: origin.to_string(),
        key: name.to_owned(),
        hint: hint.map_or_else(String::new, |nearest| format!(" (did you mean {nearest}?)")),
    }
}

/// The compiled-in file.
pub(crate) const DEFAULTS: &str = include_str!("../../../../config/default.toml");
const PREFIX: &str = "ROENTGEN_";
const CONFIG: &str = "ROENTGEN_CONFIG";
const ENDPOINT: &str = "ROENTGEN_ENDPOINT";
const NOT_SETTINGS: [&str; 2] = [CONFIG, ENDPOINT];
