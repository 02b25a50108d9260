//! Which door opens, which stays shut, which stops the start.

use model::Account;

use super::*;
use crate::config::Sources;
use crate::config::settings::Flag;
use crate::config::values::Owner;

fn config(flags: &[(&'static str, &str)]) -> Config {
    let flags = flags.iter().map(|(key, value)| Flag {
        name: "--flag",
        key,
        value: (*value).to_owned(),
    });
    let sources = Sources {
        flags: flags.collect(),
        ..Sources::default()
    };
    Config::load(&sources).unwrap().0
}

/// Returns a configuration whose door is there by default.
fn by_default(address: &str) -> Config {
    let mut by_default = config(&[]);
    by_default.server.udp = config(&[("server.udp", address)]).server.udp;
    by_default
}

#[tokio::test]
async fn a_door_opens_where_it_is_asked_for() {
    let config = config(&[
        ("server.udp", "127.0.0.1:0"),
        ("udp.receive_buffer", "16KiB"),
    ]);
    let bound = bind(&config).await.unwrap().unwrap();
    assert!(bound.local().ip().is_loopback() && bound.local().port() > 0);
    let figures = figures::Figures::default();
    bound.introduce(&figures);
    assert!(figures.n_receive_buffer_bytes() >= 16 << 10);
}

#[tokio::test]
async fn a_door_that_is_off_stays_shut() {
    assert!(
        bind(&config(&[("server.udp", "off")]))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_taken_address_matters_only_if_it_was_asked_for() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(bind(&by_default(&address)).await.unwrap().is_none());
    let error = bind(&config(&[("server.udp", &address)]))
        .await
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(matches!(error, UdpError::InUse { .. }), "{text}");
    assert!(text.contains(&address) && text.contains("--udp"), "{text}");
}

#[tokio::test]
async fn nobody_can_sign_a_datagram() {
    let of_mode = |mut config: Config, owner: Option<Account>| {
        config.auth.mode = AuthMode::SigV4;
        config.auth.datagrams = Owner(owner);
        config
    };
    let shut = bind(&of_mode(by_default("127.0.0.1:0"), None)).await;
    assert!(shut.unwrap().is_none());
    let asked = config(&[("server.udp", "127.0.0.1:0")]);
    let error = bind(&of_mode(asked.clone(), None)).await.err().unwrap();
    assert!(error.to_string().contains("auth.datagrams"), "{error}");
    let account = Account {
        id: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let owned = bind(&of_mode(asked, Some(account))).await;
    assert!(owned.unwrap().is_some());
}
