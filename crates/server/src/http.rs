//! The doors of HTTP: they accept connections, bounded, and serve each until it ends or the server stops.
//!
//! All doors share the same places ([`places`]), the same certificate ([`tls`]) and the same end.

pub(crate) mod activity;
pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod doors;
pub(crate) mod grpc;
mod paced;
mod places;
pub(crate) mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use protocol::{ApiError, error_response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::accounts::Accounts;
use crate::config::Http;
use crate::house::House;
use crate::origin::Origin;
use crate::service::{self, Ended};
use activity::{Activity, Timeouts, UnderWay, Watched};
use answer::{Answer, AnswerBody};
use doors::Doors;
use paced::Paced;
use places::{Bounds, Peer, Pool};
use tls::Certificates;

/// Serves connections of all doors until `stop` is done, then lets requests under way finish for as long as
/// configured and breaks off what is left. With certificates, every door speaks TLS.
pub(crate) async fn serve(
    doors: Doors,
    certificates: Option<Arc<Certificates>>,
    accounts: Arc<Accounts>,
    stop: impl Future<Output = ()>,
) {
    let mut reception = Reception::new(accounts, certificates);
    let mut stop = pin!(stop);
    loop {
        let has_room = reception.has_room();
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = reception.connections.join_next() => {
                if let Err(error) = ended {
                    error!(%error, "a connection's task failed");
                }
            }
            (doorway, accepted) = doors.accept(), if has_room => match accepted {
                Ok((stream, peer)) => {
                    let is_tls = reception.certificates.is_some();
                    reception.receive(stream, Origin { doorway, peer, is_tls, nth: 0 });
                }
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
    drop(doors);
    reception.drain().await;
}

/// All connections, of all doors.
struct Reception {
    accounts: Arc<Accounts>,
    certificates: Option<Arc<Certificates>>,
    pool: Pool,
    protocols: Arc<auto::Builder<TokioExecutor>>,
    stop: watch::Sender<()>,
    connections: JoinSet<()>,
    /// When it was last logged that there are too many connections.
    told_at: Option<Instant>,
}

impl Reception {
    fn new(accounts: Arc<Accounts>, certificates: Option<Arc<Certificates>>) -> Self {
        Self {
            accounts,
            certificates,
            pool: Pool::default(),
            protocols: Arc::new(protocols()),
            stop: watch::Sender::new(()),
            connections: JoinSet::new(),
            told_at: None,
        }
    }

    /// Tells whether another connection can be accepted: those that lost their place are gone first.
    fn has_room(&self) -> bool {
        let bound = self.accounts.house.config().http.connections;
        self.connections.len() < bound.saturating_add(ENDING_MAX)
    }

    /// Serves a connection on a task of its own; one without a place is closed at once.
    fn receive(&mut self, stream: TcpStream, origin: Origin) {
        let house = Arc::clone(&self.accounts.house);
        let config = house.config();
        let bounds = Bounds {
            total: config.http.connections,
            per_peer: config.http.connections_per_peer,
        };
        let found = match self.pool.find(Peer::of(origin.peer.ip()), bounds) {
            Ok(found) => found,
            Err(full) => {
                house.metrics.connection_refused(full.name());
                return self.tell_of_crowd(origin.peer, &config.http);
            }
        };
        if !found.evicted.is_empty() {
            self.tell_of_crowd(origin.peer, &config.http);
        }
        for wait in found.evicted {
            house.metrics.connection_evicted(wait.name());
        }
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "setting TCP_NODELAY");
        }
        let timeouts = Timeouts {
            header: config.http.header_timeout.0,
            idle: config.http.idle_timeout.0,
        };
        let conversation = Conversation {
            accounts: Arc::clone(&self.accounts),
            activity: Activity::new(timeouts, found.place),
            origin,
            stop: self.stop.subscribe(),
        };
        let (protocols, certificates) = (Arc::clone(&self.protocols), self.certificates.clone());
        let open = OpenConnection::new(house);
        self.connections.spawn(async move {
            let _open = open;
            conversation
                .hold(stream, &protocols, certificates.as_deref())
                .await;
        });
    }

    /// Logs, once in a while, that connections had to make room or were turned away.
    fn tell_of_crowd(&mut self, peer: SocketAddr, http: &Http) {
        let now = Instant::now();
        if self
            .told_at
            .is_some_and(|told_at| now < told_at + TELL_EVERY)
        {
            return;
        }
        self.told_at = Some(now);
        warn!(
            n_connections = self.connections.len(),
            connections = http.connections,
            connections_per_peer = http.connections_per_peer,
            %peer,
            "too many connections: idle ones are closed, others turned away; figures are in /metrics"
        );
    }

    /// Lets requests under way finish, then breaks off the rest.
    async fn drain(mut self) {
        let drain_timeout = self.accounts.house.config().http.drain_timeout.0;
        self.stop.send_replace(());
        let all_ended = async { while self.connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain_timeout, all_ended)
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

/// Returns how HTTP is spoken: what a connection may hold in memory is bounded for both versions.
fn protocols() -> auto::Builder<TokioExecutor> {
    let mut protocols = auto::Builder::new(TokioExecutor::new());
    // Heads are timed by the connection's own watch, which starts before hyper's timer does.
    protocols
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(HTTP1_BUFFER_BYTES)
        .max_headers(HEADERS_MAX);
    protocols
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HTTP2_HEADER_BYTES)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BYTES)
        .keep_alive_interval(HTTP2_PING_EVERY)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    protocols
}

/// One connection, from its first byte to its last.
struct Conversation {
    accounts: Arc<Accounts>,
    activity: Arc<Activity>,
    origin: Origin,
    stop: watch::Receiver<()>,
}

/// The body of an answer to a request, or to one that is at the wrong address.
type ReplyBody = Either<Paced<AnswerBody<Ended>>, AnswerBody<UnderWay>>;

impl Conversation {
    /// Serves the connection until it ends, is silent for too long, loses its place or the server stops.
    async fn hold(
        mut self,
        stream: TcpStream,
        protocols: &auto::Builder<TokioExecutor>,
        certificates: Option<&Certificates>,
    ) {
        let stream = Watched::new(stream, Arc::clone(&self.activity));
        let Some(certificates) = certificates else {
            return self.speak(stream, protocols).await;
        };
        match self.shake_hands(stream, certificates).await {
            Some(Opened::Tls(stream)) => self.speak(*stream, protocols).await,
            Some(Opened::Plain(stream)) => {
                self.origin.is_tls = false;
                self.speak_of_https(stream, protocols).await;
            }
            None => {}
        }
    }

    /// Takes the handshake of TLS; nothing if it does not come to its end. Whoever speaks HTTP is told so.
    async fn shake_hands(
        &mut self,
        stream: Watched,
        certificates: &Certificates,
    ) -> Option<Opened> {
        tokio::select! {
            biased;
            opened = open(stream, certificates) => match opened {
                Ok(opened) => Some(opened),
                Err(error) => {
                    self.accounts.house.metrics.tls_handshake_failed();
                    debug!(%error, peer = %self.origin.peer, "a handshake of TLS failed");
                    None
                }
            },
            _ = self.stop.changed() => None,
            () = self.activity.expired() => None,
            () = self.activity.displaced() => None,
        }
    }

    async fn speak<S>(self, stream: S, protocols: &auto::Builder<TokioExecutor>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (accounts, activity, origin) = (self.accounts, Arc::clone(&self.activity), self.origin);
        let answer = move |request| {
            let (accounts, activity) = (Arc::clone(&accounts), Arc::clone(&activity));
            async move {
                let answered =
                    service::answer(accounts, Arc::clone(&activity), origin, request).await;
                answered
                    .map(|response| response.map(|body| Either::Left(Paced::new(body, &activity))))
            }
        };
        converse(stream, protocols, answer, &self.activity, self.stop).await;
    }

    /// Answers whatever is asked that this is no address for plain HTTP.
    async fn speak_of_https(self, stream: Watched, protocols: &auto::Builder<TokioExecutor>) {
        let activity = Arc::clone(&self.activity);
        let answer = move |request| {
            let response = https_only(&activity, &request);
            std::future::ready(Ok(response))
        };
        converse(stream, protocols, answer, &self.activity, self.stop).await;
    }
}

/// How a client began on a door that speaks TLS.
enum Opened {
    Tls(Box<TlsStream<Watched>>),
    /// With HTTP, unencrypted.
    Plain(Watched),
}

async fn open(stream: Watched, certificates: &Certificates) -> io::Result<Opened> {
    match stream.first_byte().await? {
        // No method of HTTP begins like a record of TLS does.
        Some(first) if first.is_ascii_uppercase() => Ok(Opened::Plain(stream)),
        Some(_) => {
            let accepted = certificates.acceptor().accept(stream).await?;
            Ok(Opened::Tls(Box::new(accepted)))
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn converse<S, A, F>(
    stream: S,
    protocols: &auto::Builder<TokioExecutor>,
    answer: A,
    activity: &Activity,
    mut stop: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<ReplyBody>, Infallible>> + Send + 'static,
{
    let served = protocols.serve_connection(TokioIo::new(stream), service_fn(answer));
    let mut served = pin!(served);
    let mut is_stopping = false;
    loop {
        // What can be read is read before the connection is given up.
        tokio::select! {
            biased;
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    debug!(error, "a connection ended early");
                }
                return;
            }
            _ = stop.changed(), if !is_stopping => {
                is_stopping = true;
                served.as_mut().graceful_shutdown();
            }
            // Who has not said by then what is wanted will not be waited for.
            () = tokio::time::sleep(LAST_REQUEST), if is_stopping && !activity.is_under_way() => {
                if !activity.is_under_way() {
                    break;
                }
            }
            () = activity.expired() => {
                debug!("a connection was silent for too long");
                break;
            }
            () = activity.displaced() => {
                debug!("a connection made room for another");
                // A request that came in this moment is answered, if that does not take long.
                tokio::task::yield_now().await;
                if served.as_mut().now_or_never().is_some() {
                    return;
                }
                if activity.is_under_way() {
                    served.as_mut().graceful_shutdown();
                    let _ended = tokio::time::timeout(LAST_REQUEST, served.as_mut()).await;
                    return;
                }
                break;
            }
        }
    }
    // A client of HTTP/2 is told that no request of its is lost; nobody waits for it to listen.
    served.as_mut().graceful_shutdown();
    let _heard = served.as_mut().now_or_never();
}

fn https_only(activity: &Arc<Activity>, request: &Request<Incoming>) -> Response<ReplyBody> {
    let under_way = activity.begin(request.version());
    if !request.body().is_end_stream() {
        activity.leave_unread();
    }
    let error =
        ApiError::invalid_request("this address speaks HTTPS; use https:// instead of http://");
    let answer = Answer::from(error_response(&error, &Uuid::new_v4().to_string()));
    let mut response = answer.into_response(under_way);
    if request.version() < http::Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(Either::Right)
}

/// A connection that counts as open until this is dropped.
struct OpenConnection(Arc<House>);

impl OpenConnection {
    fn new(house: Arc<House>) -> Self {
        house.metrics.connection_opened();
        Self(house)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.metrics.connection_closed();
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
/// How many connections may be ending that have no place any more.
const ENDING_MAX: usize = 256;
/// How long a connection that is to end may take: for a head that is arriving, or for the request that came in the moment
/// its place was lost.
const LAST_REQUEST: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_mins(1);
/// Bytes read and not yet understood, and the longest head.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
const HTTP2_STREAMS_MAX: u32 = 100;
const HTTP2_HEADER_BYTES: u32 = 32 * 1024;
/// Bytes a client may send before they are read.
const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 512 * 1024;
/// Bytes of one answer that wait for the client.
const HTTP2_SEND_BYTES: usize = 32 * 1024;
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
