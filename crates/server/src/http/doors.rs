//! The addresses connections are accepted at.
//!
//! A door that was asked for and cannot be opened stops the start. One that is open only because nobody said otherwise
//! stays shut when its port is taken, apart from the main one: a server without it would be of no use.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

use crate::config::Config;
use crate::config::values::{Address, AuthMode, Door};
use crate::origin::Doorway;

/// The doors that are open.
#[derive(Debug)]
pub(crate) struct Doors {
    open: Vec<OpenDoor>,
    /// Which door is asked first; they take turns.
    turn: std::cell::Cell<usize>,
}

#[derive(Debug)]
struct OpenDoor {
    doorway: Doorway,
    listener: TcpListener,
    address: SocketAddr,
}

/// Why a door does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    /// Somebody else listens there.
    #[error(
        "address {address} is already in use: stop the other server or choose another with {flag}"
    )]
    InUse {
        /// The address.
        address: String,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The address cannot be listened at.
    #[error("cannot listen at {address} ({flag}): {source}")]
    Listen {
        /// The address.
        address: String,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Doors {
    /// Opens every door that is configured.
    ///
    /// # Errors
    /// Names the door that was asked for and cannot be opened.
    pub(crate) async fn open(config: &Config) -> Result<Self, DoorError> {
        let main = &config.server.listen;
        let mut open = vec![OpenDoor::open(Doorway::Api, main, "--listen").await?];
        let others = [
            (Doorway::OtlpHttp, &config.server.otlp_http, OTLP_HTTP),
            (Doorway::OtlpGrpc, &config.server.otlp_grpc, OTLP_GRPC),
        ];
        for (doorway, door, (key, flag)) in others {
            let Door::At(address) = door else {
                continue;
            };
            match OpenDoor::open(doorway, address, flag).await {
                Ok(door) => open.push(door),
                Err(error) if config.is_set(key) => return Err(error),
                Err(error) => {
                    warn!(%error, door = doorway.name(), "this door stays shut");
                }
            }
        }
        if config.auth.mode == AuthMode::None {
            open.iter().for_each(OpenDoor::warn_if_reachable);
        }
        Ok(Self {
            open,
            turn: std::cell::Cell::new(0),
        })
    }

    /// Returns where a door is open; nothing if it is shut.
    pub(crate) fn address(&self, doorway: Doorway) -> Option<SocketAddr> {
        let door = self.open.iter().find(|door| door.doorway == doorway);
        door.map(|door| door.address)
    }

    /// Waits for the next connection at any of the doors.
    pub(crate) async fn accept(&self) -> (Doorway, io::Result<(TcpStream, SocketAddr)>) {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<(Doorway, io::Result<(TcpStream, SocketAddr)>)> {
        let first = self.turn.get();
        let turns = self.open.iter().cycle().skip(first).take(self.open.len());
        for (nth, door) in turns.enumerate() {
            if let Poll::Ready(accepted) = door.listener.poll_accept(context) {
                self.turn.set((first + nth + 1) % self.open.len());
                return Poll::Ready((door.doorway, accepted));
            }
        }
        Poll::Pending
    }
}

impl OpenDoor {
    async fn open(
        doorway: Doorway,
        address: &Address,
        flag: &'static str,
    ) -> Result<Self, DoorError> {
        let listening = async {
            let listener = TcpListener::bind(&address.0).await?;
            let local = listener.local_addr()?;
            Ok((listener, local))
        };
        let opened: io::Result<_> = listening.await;
        let (listener, local) = opened.map_err(|source| {
            let address = address.0.clone();
            match source.kind() {
                io::ErrorKind::AddrInUse => DoorError::InUse { address, flag },
                _ => DoorError::Listen {
                    address,
                    flag,
                    source,
                },
            }
        })?;
        Ok(Self {
            doorway,
            listener,
            address: local,
        })
    }

    /// Says what it means that other machines can reach a door nobody has to sign at.
    fn warn_if_reachable(&self) {
        if !self.address.ip().is_loopback() {
            warn!(
                door = self.doorway.name(),
                address = %self.address,
                "whoever reaches this address may read and change everything: auth.mode is \"none\""
            );
        }
    }
}

const OTLP_HTTP: (&str, &str) = ("server.otlp_http", "--otlp-http");
const OTLP_GRPC: (&str, &str) = ("server.otlp_grpc", "--otlp-grpc");

#[cfg(test)]
mod tests {
    use crate::config::Sources;
    use crate::config::settings::Flag;

    use super::*;

    fn config(flags: &[(&'static str, &str)]) -> Config {
        let flag = |(key, value): &(&'static str, &str)| Flag {
            name: key,
            key,
            value: (*value).to_owned(),
        };
        let sources = Sources {
            flags: flags.iter().map(flag).collect(),
            ..Sources::default()
        };
        Config::load(&sources).unwrap().0
    }

    async fn taken() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[tokio::test]
    async fn doors_are_opened_where_they_are_wanted() {
        let config = config(&[
            ("server.listen", "127.0.0.1:0"),
            ("server.otlp_grpc", "off"),
            ("server.otlp_http", "127.0.0.1:0"),
        ]);
        let doors = Doors::open(&config).await.unwrap();
        assert!(doors.address(Doorway::Api).is_some());
        assert!(doors.address(Doorway::OtlpHttp).is_some());
        assert_ne!(
            doors.address(Doorway::Api),
            doors.address(Doorway::OtlpHttp)
        );
        assert_eq!(doors.address(Doorway::OtlpGrpc), None);
    }

    #[tokio::test]
    async fn a_door_nobody_asked_for_stays_shut_when_its_port_is_taken() {
        let (_holder, address) = taken().await;
        let mut config = config(&[
            ("server.listen", "127.0.0.1:0"),
            ("server.otlp_grpc", "off"),
        ]);
        config.server.otlp_http = Door::At(Address(address));
        let doors = Doors::open(&config).await.unwrap();
        assert_eq!(doors.address(Doorway::OtlpHttp), None);
    }

    async fn check_refused(key: &'static str, flag: &str) {
        let (_holder, address) = taken().await;
        let mut flags = vec![("server.listen", "127.0.0.1:0")];
        flags.extend([("server.otlp_grpc", "off"), ("server.otlp_http", "off")]);
        flags.push((key, &address));
        let error = Doors::open(&config(&flags)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "address {address} is already in use: stop the other server or choose another with {flag}"
            )
        );
    }

    #[tokio::test]
    async fn a_door_that_was_asked_for_stops_the_start() {
        check_refused("server.listen", "--listen").await;
        check_refused("server.otlp_http", "--otlp-http").await;
        check_refused("server.otlp_grpc", "--otlp-grpc").await;
    }

    #[tokio::test]
    async fn doors_take_turns() {
        let config = config(&[
            ("server.listen", "127.0.0.1:0"),
            ("server.otlp_grpc", "off"),
            ("server.otlp_http", "127.0.0.1:0"),
        ]);
        let doors = Doors::open(&config).await.unwrap();
        let mut clients = Vec::new();
        for doorway in [Doorway::Api, Doorway::OtlpHttp] {
            for _ in 0..2 {
                let address = doors.address(doorway).unwrap();
                clients.push(TcpStream::connect(address).await.unwrap());
            }
        }
        let mut came = Vec::new();
        for _ in 0..4 {
            let (doorway, accepted) = doors.accept().await;
            accepted.unwrap();
            came.push(doorway);
        }
        let (api, otlp) = (Doorway::Api, Doorway::OtlpHttp);
        assert_eq!(came, [api, otlp, api, otlp]);
    }
}
