//! The member `sql` (source: `sql.go` of the collector's X-Ray exporter; semantic conventions of database spans, the old
//! and the new ones).

use serde::Serialize;

use super::attributes::Attributes;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sql<'a> {
    pub(super) connection_string: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sanitized_query: Option<&'a str>,
    pub(super) database_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
}

/// Returns the block of a call to a database that speaks SQL. Its URL is the span's name, as the exporter has it.
pub(super) fn sql<'a>(attributes: &Attributes<'a>, span_name: &'a str) -> Option<Sql<'a>> {
    let database_type = system(attributes)?;
    let connection = attributes.text("db.connection_string");
    let database = attributes.first_text(&["db.name", "db.namespace"]);
    Some(Sql {
        connection_string: format!(
            "{}/{}",
            connection.unwrap_or("localhost"),
            database.unwrap_or_default()
        ),
        url: span_name,
        sanitized_query: attributes.first_text(&["db.statement", "db.query.text"]),
        database_type,
        user: attributes.first_text(&["db.user", "user.name"]),
    })
}

/// Tells whether the span is a call to a database that speaks SQL.
pub(super) fn is_sql(attributes: &Attributes<'_>) -> bool {
    system(attributes).is_some()
}

fn system<'a>(attributes: &Attributes<'a>) -> Option<&'a str> {
    let system = attributes.first_text(&["db.system", "db.system.name"]);
    system.filter(|system| SYSTEMS.contains(system))
}

/// Tells whether an attribute of this key is shown in the block and nowhere else.
pub(super) fn takes(key: &str) -> bool {
    TAKEN.contains(&key)
}

const TAKEN: [&str; 9] = [
    "db.connection_string",
    "db.system",
    "db.system.name",
    "db.name",
    "db.namespace",
    "db.statement",
    "db.query.text",
    "db.user",
    "user.name",
];
const SYSTEMS: [&str; 14] = [
    "db2",
    "derby",
    "hive",
    "ibm.db2",
    "mariadb",
    "microsoft.sql_server",
    "mssql",
    "mysql",
    "oracle",
    "oracle.db",
    "other_sql",
    "postgresql",
    "sqlite",
    "teradata",
];
