use std::time::Duration;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn load_environment(variables: &[(&str, &str)]) -> Result<(Config, Settings), ConfigError> {
    Config::load(&Sources {
        environment: environment(variables),
        ..Sources::default()
    })
}

fn load_file(text: &str) -> Result<(Config, Settings), ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(&Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    })
}

fn flag(name: &'static str, key: &'static str, value: &str) -> Flag {
    Flag {
        name,
        key,
        value: value.to_owned(),
    }
}

#[test]
fn defaults_are_complete_and_valid() {
    let (config, settings) = Config::load(&Sources::default()).unwrap();
    assert_eq!(config.server.listen, Address("127.0.0.1:2000".into()));
    assert_eq!(config.storage.max_disk, ByteCount(20 << 30));
    assert_eq!(config.storage.min_free_disk, ByteCount(2 << 30));
    assert_eq!(config.storage.retention, Span(Duration::from_hours(7 * 24)));
    assert_eq!(config.limits.document_bytes, ByteCount(65_536));
    assert!(
        settings
            .to_string()
            .contains("limits.documents_per_call = 50  # default\n")
    );
    assert!(!settings.is_set("server.listen"));
}

#[test]
fn every_line_of_the_defaults_is_explained() {
    let text = include_str!("../../../../config/default.toml");
    let lines: Vec<_> = text.lines().collect();
    for pair in lines.windows(2) {
        let is_setting = pair[1].contains('=') && !pair[1].starts_with('#');
        assert!(
            !is_setting || pair[0].starts_with("# "),
            "{} has no comment",
            pair[1]
        );
    }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "[limits]\ndocuments_per_call = 1\ntrace_ids_per_call = 1\ntrace_bytes = 1\n",
    )
    .unwrap();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        environment: environment(&[
            ("ROENTGEN_LIMITS_DOCUMENTS_PER_CALL", "2"),
            ("ROENTGEN_LIMITS_TRACE_IDS_PER_CALL", "2"),
            ("PATH", "/bin"),
        ]),
        flags: vec![flag("--documents", "limits.documents_per_call", "3")],
    };
    let (config, settings) = Config::load(&sources).unwrap();
    assert_eq!(config.limits.documents_per_call, 3);
    assert_eq!(config.limits.trace_ids_per_call, 2);
    assert_eq!(config.limits.trace_bytes, ByteCount(1));
    assert_eq!(config.limits.document_bytes, ByteCount(65_536));
    let shown = settings.to_string();
    let path = file.path().display();
    assert!(
        shown.contains("limits.documents_per_call = 3  # flag --documents\n"),
        "{shown}"
    );
    assert!(shown.contains(
        "limits.trace_ids_per_call = 2  # environment ROENTGEN_LIMITS_TRACE_IDS_PER_CALL\n"
    ));
    assert!(shown.contains(&format!("limits.trace_bytes = 1  # file {path}\n")));
    assert!(shown.contains("limits.document_bytes = \"64KiB\"  # default\n"));
}

#[test]
fn what_is_shown_can_be_read_back() {
    let (_, settings) = load_environment(&[("ROENTGEN_STORAGE_RETENTION", "3days")]).unwrap();
    let (config, _) = load_file(&settings.to_string()).unwrap();
    assert_eq!(config.storage.retention, Span(Duration::from_hours(72)));
}

#[test]
fn the_environment_can_name_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "log.format = \"json\"").unwrap();
    let (config, _) =
        load_environment(&[("ROENTGEN_CONFIG", file.path().to_str().unwrap())]).unwrap();
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn an_empty_variable_and_the_client_s_variable_set_nothing() {
    let variables = [
        ("ROENTGEN_SERVER_LISTEN", ""),
        ("ROENTGEN_ENDPOINT", "http://x"),
    ];
    let (config, _) = load_environment(&variables).unwrap();
    assert_eq!(config.server.listen, Address("127.0.0.1:2000".into()));
}

fn check_environment_refused(name: &str, value: &str, message: &str) {
    let error = load_environment(&[(name, value)]).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn bad_values_name_key_origin_and_what_is_allowed() {
    check_environment_refused(
        "ROENTGEN_STORAGE_MAX_DISK",
        "plenty",
        "storage.max_disk = \"plenty\" (environment ROENTGEN_STORAGE_MAX_DISK): expected a size such as \"64KiB\" or \"20GiB\", or a number of bytes",
    );
    check_environment_refused(
        "ROENTGEN_STORAGE_RETENTION",
        "7",
        "storage.retention = \"7\" (environment ROENTGEN_STORAGE_RETENTION): expected a length of time such as \"200ms\", \"10s\" or \"7d\"",
    );
    check_environment_refused(
        "ROENTGEN_SERVER_LISTEN",
        "2000",
        "server.listen = \"2000\" (environment ROENTGEN_SERVER_LISTEN): expected an address with a port such as \"127.0.0.1:2000\", \"[::1]:2000\" or \"localhost:0\"",
    );
    check_environment_refused(
        "ROENTGEN_STORAGE_DURABILITY",
        "fast",
        "storage.durability = \"fast\" (environment ROENTGEN_STORAGE_DURABILITY): unknown variant `fast`, expected `sync` or `interval`",
    );
    check_environment_refused(
        "ROENTGEN_LOG_LEVEL",
        "a=b=c",
        "log.level = \"a=b=c\" (environment ROENTGEN_LOG_LEVEL): expected a level such as \"info\" or a filter such as \"info,storage=debug\"",
    );
    check_environment_refused(
        "ROENTGEN_HTTP_BODIES_IN_FLIGHT",
        "32MiB",
        "http.bodies_in_flight = \"32MiB\" (environment ROENTGEN_HTTP_BODIES_IN_FLIGHT): must be 64KiB more than twice http.body_bytes: a large body is held both compressed and not",
    );
    check_environment_refused(
        "ROENTGEN_HTTP_CONNECTIONS",
        "0",
        "http.connections = 0 (environment ROENTGEN_HTTP_CONNECTIONS): must be from 1 to 1000000",
    );
    check_environment_refused(
        "ROENTGEN_HTTP_CONNECTIONS",
        "many",
        "http.connections = \"many\" (environment ROENTGEN_HTTP_CONNECTIONS): invalid type: string \"many\", expected usize",
    );
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known() {
    check_environment_refused(
        "ROENTGEN_STORAGE_RETENTON",
        "7d",
        "environment ROENTGEN_STORAGE_RETENTON: there is no setting ROENTGEN_STORAGE_RETENTON (did you mean ROENTGEN_STORAGE_RETENTION?); `roentgen config show` lists them all",
    );
    check_environment_refused(
        "ROENTGEN_FOO",
        "1",
        "environment ROENTGEN_FOO: there is no setting ROENTGEN_FOO; `roentgen config show` lists them all",
    );
    let error = load_file("[storage]\nretenton = \"7d\"\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("there is no setting storage.retenton (did you mean storage.retention?)"),
        "{error}"
    );
    let error = load_file("listen = \"127.0.0.1:1\"\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("there is no setting listen"), "{error}");
    let error = load_file("[storage.cache]\nsize = 1\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("storage.cache = { size = 1 } (file "),
        "{error}"
    );
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_place() {
    let error = load_file("[storage\n").unwrap_err().to_string();
    assert!(
        error.contains("is not valid TOML: TOML parse error at line 1, column 9"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let sources = Sources {
        file: Some("/does/not/exist.toml".into()),
        ..Sources::default()
    };
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read the configuration file /does/not/exist.toml: "),
        "{error}"
    );
}

#[test]
fn the_examples_are_valid() {
    let (config, _) = load_file(include_str!("../../../../config/aws-limits.toml")).unwrap();
    assert_eq!(config.limits.trace_bytes, ByteCount(500_000));
    let (config, _) = load_file(include_str!("../../../../config/team-staging.toml")).unwrap();
    assert_eq!(config.server.listen, Address("0.0.0.0:2000".into()));
}

#[test]
fn doors_are_addresses_or_off() {
    let (config, _) = load_environment(&[("ROENTGEN_SERVER_UDP", "off")]).unwrap();
    assert_eq!(config.server.udp, Door::Off);
    let (config, _) = load_environment(&[("ROENTGEN_SERVER_UDP", "[::1]:0")]).unwrap();
    assert_eq!(config.server.udp, Door::At(Address("[::1]:0".into())));
    check_environment_refused(
        "ROENTGEN_SERVER_UDP",
        "no",
        "server.udp = \"no\" (environment ROENTGEN_SERVER_UDP): expected an address with a port such as \"127.0.0.1:2000\", or \"off\"",
    );
}

#[test]
fn the_store_is_told_what_was_configured() {
    let variables = [
        ("ROENTGEN_STORAGE_MAX_DISK", "0"),
        ("ROENTGEN_STORAGE_DURABILITY", "interval"),
        ("ROENTGEN_LIMITS_TRACE_BYTES", "1KiB"),
        ("ROENTGEN_DATA_DIR", "/d"),
    ];
    let storage = load_environment(&variables).unwrap().0.storage();
    assert_eq!(storage.data, PathBuf::from("/d"));
    assert_eq!(storage.disk_bytes_max, u64::MAX);
    assert_eq!(
        storage.durability,
        storage::Durability::Interval(Duration::from_millis(200))
    );
    assert_eq!(storage.trace_bytes_max, 1024);
    assert_eq!(storage.bytes_in_flight, 64 << 20);
}
