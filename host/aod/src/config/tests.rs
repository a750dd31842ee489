//! Settings from files, and where they come from.

use bytesize::ByteSize;

use super::*;

fn load(text: &str) -> Result<Settings> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("aod.toml");
    std::fs::write(&file, text)?;
    Settings::load(Some(&file), Overrides::default())
}

#[test]
fn a_setting_is_shown_with_where_it_comes_from_or_as_not_set() {
    let flags = Overrides {
        data_dir: Some("/elsewhere".into()),
        ..Overrides::default()
    };
    let text = Settings::explain(None, flags).unwrap();
    let line = |key: &str| {
        let found = text.lines().find(|line| line.starts_with(key));
        found.unwrap_or_else(|| panic!("{key} is not in {text}"))
    };
    assert_eq!(
        line("data_dir"),
        "data_dir = \"/elsewhere\"  # command line"
    );
    assert!(line("max_running").ends_with("# default"), "{text}");
    for unset in ["memory", "age", "bytes", "files"] {
        assert_eq!(line(&format!("# {unset}")), format!("# {unset} is not set"));
    }
    assert!(!text.contains(".rs:"), "{text}");
}

#[test]
fn a_collector_is_a_plain_url() {
    let with = |endpoint: &str| load(&format!("[telemetry]\nendpoint = '{endpoint}'\n"));
    let settings = with("http://127.0.0.1:4318").unwrap();
    let config = settings.telemetry.config(&settings.egress).unwrap();
    assert_eq!(config.unwrap().endpoint.port(), Some(4318));
    for wrong in [
        "127.0.0.1:4318",
        "nothing",
        "http://u:p@h",
        "https://h?token=t",
        "file:///x",
    ] {
        let error = format!("{:#}", with(wrong).unwrap_err());
        assert!(error.contains("telemetry.endpoint"), "{wrong}: {error}");
    }
}

#[test]
fn a_file_changes_what_it_names() {
    let settings = load(
        "listen = '127.0.0.1:1'\n[turn]\ntimeout = '20s'\n[sandbox]\nmemory = '1GiB'\n\
         [egress]\nhosts = { 'model.test' = '127.0.0.1:18999' }\n",
    )
    .unwrap();
    assert_eq!(settings.listen.port(), 1);
    assert_eq!(settings.turn.timeout, Duration::from_secs(20));
    assert_eq!(settings.sandbox.memory, ByteSize::gib(1));
    let egress = settings.egress.settings(true).unwrap();
    assert_eq!(egress.hosts[0].name, "model.test");
    assert_eq!(egress.hosts[0].port, Some(18999));
}

#[test]
fn room_and_retention() {
    let settings = load("").unwrap();
    assert_eq!(settings.segment_bytes(), 64 << 20);
    assert!(settings.retention.age.is_none() && settings.admission.memory.is_none());
    let settings = load(
        "[admission]\nmemory = '16GiB'\nturn_memory = '300MiB'\n\
         [retention]\nage = '30d'\nbytes = '80MiB'\n[stream]\nstall = '0s'\n",
    )
    .unwrap();
    assert_eq!(settings.admission.memory, Some(ByteSize::gib(16)));
    assert_eq!(settings.admission.turn_memory, ByteSize::mib(300));
    assert_eq!(
        settings.retention.age,
        Some(Duration::from_secs(30 * 86400))
    );
    assert_eq!(settings.segment_bytes(), 10 << 20);
    assert_eq!(settings.stream.stall, Duration::ZERO);
}

#[test]
fn connections_have_bounds_unless_told_otherwise() {
    let limits = load("").unwrap().connections();
    assert_eq!(limits.header_timeout, Some(Duration::from_secs(30)));
    let settings = load("[http]\nheader_timeout = '0s'\nmax_connections = 7\n").unwrap();
    assert_eq!(settings.connections().header_timeout, None);
    assert_eq!(settings.connections().total, 7);
    let limits = settings.http().unwrap().limits;
    assert_eq!(limits.body_timeout, Some(Duration::from_secs(30)));
}

#[test]
fn hosts_are_written_in_three_ways() {
    for text in [
        "hosts = { 'model.test' = '127.0.0.1:18999' }",
        "hosts = ['model.test=127.0.0.1:18999']",
        "hosts = 'model.test=127.0.0.1:18999'",
    ] {
        let settings = load(&format!("[egress]\n{text}\n")).unwrap();
        let hosts = settings.egress.settings(true).unwrap().hosts;
        assert_eq!(hosts.len(), 1, "{text}");
        assert_eq!(hosts[0].name, "model.test", "{text}");
        assert_eq!(hosts[0].port, Some(18999), "{text}");
    }
    let settings = load("[egress]\nhosts = ['model.test']\n").unwrap();
    let error = settings.egress.settings(true).unwrap_err();
    assert!(format!("{error:#}").contains("model.test"), "{error:#}");
}

#[test]
fn unknown_keys_and_wrong_values_are_errors_that_name_them() {
    for (text, named) in [
        ("lisen = 'x'", "lisen"),
        ("[turn]\ntimout = '1s'", "timout"),
        ("[turn]\ntimeout = '5s'", "turn.timeout"),
        ("[limits]\nbody = 'many'", "body"),
        ("[http]\nallowed_origins = ['https://x/']", "https://x/"),
        ("[egress]\ncredentials = 'x'", "credentials"),
        ("[egress]\nhosts = 1", "NAME=ADDRESS:PORT"),
        ("[sandbox]\nnetwork = 'x'", "network"),
        ("[sandbox]\ndisk_by = 'x'", "disk_by"),
        ("[http]\nallowed_origins = ['x']", "allowed_origins"),
        ("[webhooks]\nmax_in_flight = 0", "webhooks.max_in_flight"),
        ("[webhooks]\nfirst_retry = '0s'", "first_retry"),
    ] {
        let error = format!("{:#}", load(text).unwrap_err());
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn a_level_that_is_none_does_not_silence_the_log() {
    let with = |level: &str| load(&format!("[log]\nlevel = '{level}'\n"));
    for good in [
        "info",
        "DEBUG",
        "off",
        "info,aod_turns=debug",
        "warn,[request]=trace",
    ] {
        with(good).unwrap();
    }
    for wrong in ["loud", "", "info,quiet", "aod_turns"] {
        let error = format!("{:#}", with(wrong).unwrap_err());
        assert!(error.contains("log.level"), "{wrong}: {error}");
    }
}

#[test]
fn nobody_is_served_by_no_connections() {
    for key in ["max_connections", "max_connections_per_address"] {
        let error = format!("{:#}", load(&format!("[http]\n{key} = 0\n")).unwrap_err());
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn a_variable_that_is_no_setting_is_found() {
    let names = [
        "AOD_DATA",
        "AOD_DATA_DIR",
        "AOD_LISTENN",
        "AOD_listen",
        "AOD_LIMITS__BODY",
        "AOD_API_URL",
        "AOD_TEST_CLIS",
        "PATH",
    ];
    let unknown = unknown_variables(names.into_iter().map(str::to_owned));
    assert_eq!(unknown, ["AOD_DATA", "AOD_LISTENN"]);
}
