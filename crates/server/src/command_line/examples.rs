//! What the help of each command begins with.

pub(super) const PROGRAM: &str = "Examples:
  roentgen                                # serves http://127.0.0.1:2000, keeps everything in ./data
  roentgen put documents.jsonl
  roentgen find 'service(\"shop\") { fault }' --last 1h
  roentgen get 1-6afd79c0-a006649127e371903a2de979
  roentgen tail fault";
pub(super) const SERVE: &str = "Examples:
  roentgen serve
  roentgen serve --listen 0.0.0.0:2000 --data /var/lib/roentgen --retention 14d
  roentgen serve --config roentgen.toml";
pub(super) const CONFIG: &str = "Examples:
  roentgen config show
  roentgen config check roentgen.toml
  roentgen config default > roentgen.toml";
pub(super) const CONFIG_SHOW: &str = "Examples:
  roentgen config show
  roentgen config show --config roentgen.toml --retention 14d";
pub(super) const CONFIG_CHECK: &str = "Examples:
  roentgen config check roentgen.toml";
pub(super) const CONFIG_DEFAULT: &str = "Examples:
  roentgen config default > roentgen.toml";
pub(super) const CHECK: &str = "Examples:
  roentgen check --data /var/lib/roentgen
  roentgen check --deep";
pub(super) const RESTORE: &str = "Examples:
  roentgen restore backup.tar.zst --data /var/lib/roentgen
  curl -sf http://127.0.0.1:2000/api/v1/backup | roentgen restore - --data other";
pub(super) const VERSION: &str = "Examples:
  roentgen version";
