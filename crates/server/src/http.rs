//! The HTTP door: accepts connections, bounded, and serves each until it ends or the server stops.

pub(crate) mod activity;
pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod grpc;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::accounts::Accounts;
use crate::house::House;
use crate::origin::{Doorway, Origin};
use crate::service;
use activity::{Activity, Timeouts, Watched};

/// Serves connections until `stop` is done, then lets requests under way finish for as long as
/// configured and breaks off what is left.
pub(crate) async fn serve(
    listener: TcpListener,
    accounts: Arc<Accounts>,
    stop: impl Future<Output = ()>,
) {
    let mut door = Door::new(accounts);
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = door.connections.join_next() => {
                if let Err(error) = ended {
                    error!(%error, "a connection's task failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => door.open(stream, peer),
                Err(error) if is_of_one_connection(&error) => debug!(%error, "accepting a connection"),
                Err(error) => {
                    warn!(%error, "cannot accept connections at the moment");
                    tokio::select! {
                        () = &mut stop => break,
                        () = tokio::time::sleep(ACCEPT_BACK_OFF) => {}
                    }
                }
            },
        }
    }
    drop(listener);
    door.drain().await;
}

/// All connections of the door.
struct Door {
    accounts: Arc<Accounts>,
    places: Arc<Semaphore>,
    protocols: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
}

impl Door {
    fn new(accounts: Arc<Accounts>) -> Self {
        let mut protocols = auto::Builder::new(TokioExecutor::new());
        // Heads are timed by the connection's own watch, which starts before hyper's timer does.
        protocols
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None);
        protocols
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX);
        let places = Arc::new(Semaphore::new(accounts.house.config().http.connections));
        let graceful = GracefulShutdown::new();
        Self {
            accounts,
            places,
            protocols,
            graceful,
            connections: JoinSet::new(),
        }
    }

    /// Serves a connection on a task of its own; one too many is closed at once.
    fn open(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.accounts.house.metrics.connection_refused();
            debug!(
                connections = self.accounts.house.config().http.connections,
                "too many connections"
            );
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "setting TCP_NODELAY");
        }
        let activity = Activity::new();
        let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
        let accounts = Arc::clone(&self.accounts);
        let requests = Arc::clone(&activity);
        let origin = Origin {
            doorway: Doorway::Api,
            peer,
            is_tls: false,
        };
        let answer = service_fn(move |request| {
            service::answer(
                Arc::clone(&accounts),
                Arc::clone(&requests),
                origin,
                request,
            )
        });
        let connection = self.protocols.serve_connection(io, answer).into_owned();
        let served = self.graceful.watch(connection);
        let timeouts = Timeouts {
            header: self.accounts.house.config().http.header_timeout.0,
            idle: self.accounts.house.config().http.idle_timeout.0,
        };
        let open = OpenConnection::new(Arc::clone(&self.accounts.house), place);
        self.connections.spawn(async move {
            let _open = open;
            tokio::select! {
                served = served => {
                    if let Err(error) = served {
                        debug!(error, "a connection ended early");
                    }
                }
                () = activity.expired(timeouts) => debug!("a connection was silent for too long"),
            }
        });
    }

    /// Lets requests under way finish, then breaks off the rest.
    async fn drain(mut self) {
        let drain_timeout = self.accounts.house.config().http.drain_timeout.0;
        if tokio::time::timeout(drain_timeout, self.graceful.shutdown())
            .await
            .is_err()
        {
            let n_connections = self.connections.len();
            warn!(
                n_connections,
                "requests were still under way after http.drain_timeout"
            );
        }
        self.connections.shutdown().await;
    }
}

/// A connection that counts as open until this is dropped.
struct OpenConnection {
    house: Arc<House>,
    _place: OwnedSemaphorePermit,
}

impl OpenConnection {
    fn new(house: Arc<House>, place: OwnedSemaphorePermit) -> Self {
        house.metrics.connection_opened();
        Self {
            house,
            _place: place,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.house.metrics.connection_closed();
    }
}

/// Tells whether accepting failed for the one connection only and can go on at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
const HTTP2_STREAMS_MAX: u32 = 128;
