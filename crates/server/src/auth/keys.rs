//! The file of access keys: who may sign, for which account, with which rights.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::Account;
use protocol::Right;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tracing::warn;

/// All access keys, by id.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    by_id: BTreeMap<String, AccessKey>,
}

/// One access key.
#[derive(Clone, Debug)]
pub(crate) struct AccessKey {
    pub(crate) secret: SecretString,
    /// What requests must carry in `X-Amz-Security-Token`; nothing for keys that last.
    pub(crate) session_token: Option<SecretString>,
    /// The account's number.
    pub(crate) account_id: String,
    /// The regions it may sign for.
    pub(crate) regions: Vec<String>,
    pub(crate) rights: Vec<Right>,
}

/// Why keys cannot be used. It never shows a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// No file is named.
    #[error("auth.mode is \"sigv4\" and auth.keys names no file: write one as in config/keys.toml")]
    NoFile,
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not as it should be.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why, without the line's text.
        message: String,
    },
    /// A key is not as it should be.
    #[error("{}: key {id:?}: {message}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Its id.
        id: String,
        /// What is wrong.
        message: String,
    },
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    key: Vec<WrittenKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    id: String,
    secret: Option<SecretString>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    session_token: Option<SecretString>,
    account: String,
    regions: Option<Vec<String>>,
    rights: Vec<WrittenRight>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenRight {
    Write,
    Read,
    Admin,
}

impl Keyring {
    /// Reads the keys of a file; secrets may be in files and variables it names. Keys that do not say their regions
    /// are good for `region` alone.
    pub(crate) fn load(
        path: &Path,
        region: &str,
        environment: &[(OsString, OsString)],
    ) -> Result<Self, KeysError> {
        if path.as_os_str().is_empty() {
            return Err(KeysError::NoFile);
        }
        let text = read(path)?;
        warn_if_open(path);
        // The error's own text quotes the line, and the line may hold a secret.
        let written: Written = toml::from_str(&text).map_err(|error| KeysError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(&text, span.start)),
            message: shown(error.message()),
        })?;
        let mut by_id = BTreeMap::new();
        for written in written.key {
            let id = written.id.clone();
            let wrong = |message: &str| KeysError::Key {
                path: path.to_owned(),
                id: id.clone(),
                message: message.to_owned(),
            };
            if !is_id(&id) {
                return Err(wrong("an id has 1 to 128 letters, digits, \"_\" and \"-\""));
            }
            let key = access_key(path, written, region, environment)?;
            // A signature does not cover the id, so one made with either key would be good for both.
            let is_same =
                |other: &AccessKey| other.secret.expose_secret() == key.secret.expose_secret();
            if by_id.values().any(is_same) {
                return Err(wrong("another key has the same secret"));
            }
            if by_id.insert(id.clone(), key).is_some() {
                return Err(wrong("there are two keys with this id"));
            }
        }
        Ok(Self { by_id })
    }

    /// Returns the key of an id.
    pub(crate) fn get(&self, id: &str) -> Option<&AccessKey> {
        self.by_id.get(id)
    }

    /// Returns every account and region there is a key for.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        let keys = self.by_id.values();
        keys.flat_map(|key| key.regions.iter().map(|region| key.account(region)))
            .collect()
    }

    /// Returns how many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

impl AccessKey {
    /// Returns the account the key is of, in a region.
    pub(crate) fn account(&self, region: &str) -> Account {
        Account {
            id: self.account_id.clone(),
            region: region.to_owned(),
        }
    }
}

fn access_key(
    path: &Path,
    written: WrittenKey,
    region: &str,
    environment: &[(OsString, OsString)],
) -> Result<AccessKey, KeysError> {
    let id = written.id.clone();
    let wrong = |message: &str| KeysError::Key {
        path: path.to_owned(),
        id: id.clone(),
        message: message.to_owned(),
    };
    let account_id = written.account;
    if account_id.len() != 12 || !account_id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("an account has 12 digits"));
    }
    let regions = written.regions.unwrap_or_else(|| vec![region.to_owned()]);
    let is_region = |region: &String| !region.is_empty() && !region.contains('/');
    if regions.is_empty() || !regions.iter().all(is_region) {
        return Err(wrong("regions are a list such as [\"us-east-1\"]"));
    }
    if written.rights.is_empty() {
        return Err(wrong(
            "rights are some of \"write\", \"read\" and \"admin\"",
        ));
    }
    let secret = match (written.secret, written.secret_file, written.secret_env) {
        (Some(secret), None, None) => secret,
        (None, Some(file), None) => {
            let beside = path.parent().unwrap_or(Path::new("")).join(file);
            SecretString::from(read(&beside)?.trim_end_matches(['\n', '\r']).to_owned())
        }
        (None, None, Some(name)) => {
            let variable = environment.iter().find(|(known, _)| *known == *name);
            let value = variable.and_then(|(_, value)| value.to_str());
            let value = value.ok_or_else(|| wrong("the variable of secret_env is not set"))?;
            SecretString::from(value.to_owned())
        }
        _ => return Err(wrong("give one of secret, secret_file and secret_env")),
    };
    if secret.expose_secret().is_empty() {
        return Err(wrong("the secret is empty"));
    }
    Ok(AccessKey {
        secret,
        session_token: written.session_token,
        account_id,
        regions,
        rights: written.rights.into_iter().map(Right::from).collect(),
    })
}

impl From<WrittenRight> for Right {
    fn from(written: WrittenRight) -> Self {
        match written {
            WrittenRight::Write => Self::Write,
            WrittenRight::Read => Self::Read,
            WrittenRight::Admin => Self::Admin,
        }
    }
}

/// Returns what is wrong without the value that is, which may be a secret.
fn shown(message: &str) -> String {
    match message.split_once(": ") {
        Some((kind, _)) if message.starts_with("invalid ") => format!("{kind} of a value"),
        _ => message.to_owned(),
    }
}

fn read(path: &Path) -> Result<String, KeysError> {
    std::fs::read_to_string(path).map_err(|source| KeysError::File {
        path: path.to_owned(),
        source,
    })
}

/// A file of secrets that every user of the machine can read is most likely a mistake.
fn warn_if_open(path: &Path) {
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o004 != 0) {
        warn!(path = %path.display(), "everybody on this machine can read the access keys; chmod 600 it");
    }
}

fn is_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=128).contains(&id.len()) && id.bytes().all(is_allowed)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Keyring, KeysError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("secret"), "of the file\n").unwrap();
        let environment = [("SHOP_SECRET".into(), "of the variable".into())];
        Keyring::load(&path, "us-east-1", &environment)
    }

    fn key(members: &str) -> String {
        format!(
            "[[key]]\nid = \"AK\"\naccount = \"111122223333\"\nrights = [\"read\"]\n{members}\n"
        )
    }

    #[test]
    fn secrets_are_in_the_file_in_another_one_or_in_the_environment() {
        for (members, secret) in [
            ("secret = \"s\"", "s"),
            ("secret_file = \"secret\"", "of the file"),
            ("secret_env = \"SHOP_SECRET\"", "of the variable"),
        ] {
            let keyring = load(&key(members)).unwrap();
            let found = keyring.get("AK").unwrap();
            assert_eq!(found.secret.expose_secret(), secret);
            assert!(keyring.get("ak").is_none());
        }
    }

    #[test]
    fn a_key_is_good_for_its_regions_or_the_servers() {
        let keyring = load(&key("secret = \"s\"")).unwrap();
        assert_eq!(keyring.get("AK").unwrap().regions, ["us-east-1"]);
        let text = key("secret = \"s\"\nregions = [\"eu-west-1\", \"eu-west-2\"]");
        let accounts = load(&text).unwrap().accounts();
        let regions: Vec<&str> = accounts.iter().map(|of| of.region.as_str()).collect();
        assert_eq!(regions, ["eu-west-1", "eu-west-2"]);
    }

    #[test]
    fn the_example_is_valid() {
        let text = include_str!("../../../../config/keys.toml");
        let environment = [("SHOP_SECRET".into(), "s".into())];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("operator.secret"), "o").unwrap();
        let keyring = Keyring::load(&path, "us-east-1", &environment).unwrap();
        assert_eq!(keyring.len(), 3);
    }

    fn check(text: &str, expected: &str) {
        let error = load(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hush"), "{error}");
        assert!(!format!("{:?}", load(text).unwrap_err()).contains("hush"));
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        check(&key(""), "key \"AK\": give one of secret");
        check(&key("secret = \"hush\"\nsecret_env = \"A\""), "give one of");
        check(&key("secret_env = \"NOT_SET\""), "is not set");
        check(&key("secret = \"\""), "is empty");
        check(&key("secret = \"hush\"\nsecrit = 1"), "unknown field");
        check(&key("secret = \"hush"), "line 5");
        check(&key("secret = [\"hush\"]"), "invalid type of a value");
        check(&key("secret = \"hush\"\nregions = []"), "regions are");
        check(&key("secret_file = \"nowhere\""), "nowhere");
        let one = key("secret = \"hush\"");
        let other = key("secret = \"hush hush\"");
        check(&format!("{one}{other}"), "two keys with this id");
        let other = one.replace("AK", "BK");
        check(&format!("{one}{other}"), "another key has the same secret");
        check(&key("secret = \"hush\"").replace("AK", "A K"), "an id has");
        check(
            &key("secret = \"hush\"").replace("[\"read\"]", "[]"),
            "rights",
        );
        check(&key("secret = \"hush\"").replace("1111", "11"), "12 digits");
        let error = Keyring::load(Path::new(""), "us-east-1", &[]).unwrap_err();
        assert!(error.to_string().contains("auth.keys"));
    }

    #[test]
    fn keys_do_not_show_their_secrets() {
        let keyring = load(&key("secret = \"hush\"\nsession_token = \"hush\"")).unwrap();
        assert!(!format!("{keyring:?}").contains("hush"));
    }
}
