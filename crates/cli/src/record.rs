//! `roentgen record`: passes traffic on to a server and keeps a copy of it.

mod datagrams;
mod keeping;
mod pass;
mod passing;
mod refusal;
mod upstream;
mod verdicts;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use crate::client::Client;
use crate::client::signer::Signer;
use crate::endpoint::Endpoint;
use crate::exit::{Exit, Stop};
use crate::stopping::Stopping;
use crate::terminal::{note, print};
use crate::{ServerFlags, Surroundings};
use datagrams::Onward;
use keeping::{Keeping, Thread};
use pass::Pass;
use upstream::Upstream;

/// What to pass on, to whom, and where to keep it.
#[derive(Args, Debug)]
pub struct Options {
    /// The server that calls are passed on to
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// Where to listen for calls; port 0 is any free one [default: 127.0.0.1:2000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where to listen for datagrams of X-Ray SDKs
    #[arg(long, value_name = "ADDR")]
    listen_udp: Option<SocketAddr>,
    /// Where datagrams are passed on to [default: host and port of the server; an https one gets calls]
    #[arg(long, value_name = "HOST:PORT", requires = "listen_udp")]
    upstream_udp: Option<String>,
    /// The journal to write: a file, or a folder if there is one or the name ends with a slash
    #[arg(short, long, value_name = "FILE|DIR")]
    output: PathBuf,
    /// Sign what is passed on with the usual AWS credentials, in the place of the clients
    #[arg(long)]
    sign: bool,
    /// The profile of the AWS configuration to take credentials from
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The region requests are signed for; also `AWS_REGION` [default: the server's]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Certificates of the authorities an https server is trusted by, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// What is printed when everything is open.
#[derive(Debug, Serialize)]
struct Announcement {
    ready: bool,
    http: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<SocketAddr>,
}

/// What is printed at the end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Totals {
    calls: u64,
    datagrams: u64,
    unanswered: u64,
    unread: u64,
    datagrams_not_passed_on: u64,
    too_large: u64,
}

/// The tasks of datagrams, if any are taken.
struct Datagrams {
    address: Option<SocketAddr>,
    serving: Option<JoinHandle<u64>>,
    posting: Option<JoinHandle<()>>,
    n_lost: Arc<AtomicU64>,
}

/// Passes on and keeps what comes until the end is asked for.
pub(crate) async fn run(options: &Options, surroundings: &Surroundings) -> Result<Exit, Stop> {
    let upstream = Endpoint::parse(&options.upstream).map_err(Stop::usage)?;
    let stopping = Stopping::catch()?;
    let listen = options.listen.as_deref().unwrap_or(LISTEN);
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| Stop::failed(format!("--listen {listen}: {error}")))?;
    let (keeping, thread) = Keeping::open(&options.output, surroundings.now)?;
    let figures = keeping.figures();
    let datagrams = Datagrams::begin(options, &upstream, surroundings, &keeping, &stopping).await?;
    let pass = Pass {
        upstream: options.upstream(upstream, surroundings)?,
        keeping,
        now: surroundings.now,
        stopping: stopping.clone(),
        figures: Arc::default(),
    };
    let pass = Arc::new(pass);
    let address = listener.local_addr().map_err(Stop::failed)?;
    let announcement = Announcement {
        ready: true,
        http: address,
        udp: datagrams.address,
    };
    print(&(serde_json::to_string(&announcement).map_err(Stop::failed)? + "\n"))?;
    serve(listener, &pass, stopping.clone()).await;
    let passed = Arc::clone(&pass.figures);
    // The journal ends when nobody is left who brings records.
    drop(pass);
    let n_not_passed_on = datagrams.end().await?;
    let failed = end(thread).await;
    let totals = Totals {
        calls: figures.calls.load(Ordering::Relaxed),
        datagrams: figures.datagrams.load(Ordering::Relaxed),
        unanswered: passed.unanswered.load(Ordering::Relaxed),
        unread: passed.unread.load(Ordering::Relaxed),
        datagrams_not_passed_on: n_not_passed_on,
        too_large: figures.too_large.load(Ordering::Relaxed),
    };
    print(&(serde_json::to_string(&totals).map_err(Stop::failed)? + "\n"))?;
    failed?;
    Ok(stopping.exit_or(Exit::Done))
}

impl Options {
    fn flags(&self) -> ServerFlags {
        ServerFlags {
            endpoint: None,
            sign: self.sign,
            profile: self.profile.clone(),
            region: self.region.clone(),
            ca_file: self.ca_file.clone(),
        }
    }

    fn upstream(&self, server: Endpoint, surroundings: &Surroundings) -> Result<Upstream, Stop> {
        let (flags, environment) = (self.flags(), &surroundings.environment);
        let signer = self
            .sign
            .then(|| Signer::new(&server, &flags, environment, surroundings.now));
        Upstream::new(server, self.ca_file.as_deref(), signer).map_err(Stop::usage)
    }
}

impl Datagrams {
    async fn begin(
        options: &Options,
        upstream: &Endpoint,
        surroundings: &Surroundings,
        keeping: &Keeping,
        stopping: &Stopping,
    ) -> Result<Self, Stop> {
        let n_lost = Arc::new(AtomicU64::new(0));
        let mut begun = Self {
            address: None,
            serving: None,
            posting: None,
            n_lost: Arc::clone(&n_lost),
        };
        let Some(listen) = options.listen_udp else {
            return Ok(begun);
        };
        let told = |what: &str, error: std::io::Error| Stop::failed(format!("{what}: {error}"));
        let socket = UdpSocket::bind(listen).await;
        let socket = socket.map_err(|error| told("--listen-udp", error))?;
        begun.address = socket.local_addr().ok();
        let onward = if let (true, None) = (upstream.is_https, &options.upstream_udp) {
            let flags = options.flags();
            let client = Client::new(
                upstream.clone(),
                &flags,
                &surroundings.environment,
                surroundings.now,
            )?;
            let (documents, taken) = mpsc::channel(QUEUE);
            begun.posting = Some(tokio::spawn(async move {
                datagrams::post(client, taken, &n_lost).await;
            }));
            Onward::Api(documents)
        } else {
            let authority = options.upstream_udp.clone();
            let authority = authority.unwrap_or_else(|| upstream.authority());
            let found = tokio::net::lookup_host(&authority).await;
            let mut found = found.map_err(|error| told(&format!("udp:{authority}"), error))?;
            let address = found.next();
            let address = address.ok_or_else(|| Stop::usage(format!("no host {authority}")))?;
            let any: SocketAddr = if address.is_ipv4() {
                ([0, 0, 0, 0], 0).into()
            } else {
                ([0; 16], 0).into()
            };
            let bound = UdpSocket::bind(any).await;
            let bound = bound.map_err(|error| told("datagrams", error))?;
            bound
                .connect(address)
                .await
                .map_err(|error| told("datagrams", error))?;
            Onward::Udp(bound)
        };
        let (keeping, now) = (keeping.clone(), surroundings.now);
        let stopping = stopping.clone();
        begun.serving = Some(tokio::spawn(datagrams::serve(
            socket, onward, keeping, now, stopping,
        )));
        Ok(begun)
    }

    /// Waits for what is under way. Returns how many datagrams were not passed on.
    async fn end(self) -> Result<u64, Stop> {
        let mut n_lost = 0;
        if let Some(serving) = self.serving {
            n_lost = serving.await.map_err(Stop::failed)?;
        }
        if let Some(posting) = self.posting {
            posting.await.map_err(Stop::failed)?;
        }
        Ok(n_lost + self.n_lost.load(Ordering::Relaxed))
    }
}

/// Serves connections, bounded in number, until the end is asked for, and then until those under way have ended, for a
/// while. A journal that fails ends all of them at once.
async fn serve(listener: TcpListener, pass: &Arc<Pass>, mut stopping: Stopping) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stopping.asked() => break,
            () = pass.keeping.over() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.asked() => break,
            () = pass.keeping.over() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                note(&format!("accepting a connection: {error}"));
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
                continue;
            }
        };
        let conversation = converse(stream, peer, Arc::clone(pass), &graceful);
        connections.spawn(async move {
            conversation.await;
            drop(place);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = pass.keeping.over() => {}
        () = tokio::time::sleep(DRAIN) => note("connections were broken off"),
    }
    connections.shutdown().await;
}

fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    pass: Arc<Pass>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    let _slow = stream.set_nodelay(true);
    let mut protocols = auto::Builder::new(TokioExecutor::new());
    protocols
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    protocols.http2().timer(TokioTimer::new());
    let service = service_fn(move |request| Arc::clone(&pass).serve(request, peer));
    let connection = protocols.serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(connection.into_owned());
    async move {
        // How a connection ended is its client's affair.
        let _ended = watched.await;
    }
}

async fn end(thread: Thread) -> Result<(), Stop> {
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    match joined.map_err(Stop::failed)? {
        Ok(written) => written.map_err(|error| Stop::failed(format!("the journal: {error}"))),
        Err(_) => Err(Stop::failed("the journal's thread failed")),
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen record --upstream http://127.0.0.1:2001 --listen 127.0.0.1:2000 -o recording.journal
  roentgen record --upstream http://127.0.0.1:2001 --listen-udp 127.0.0.1:2000 -o recordings/
  roentgen record --upstream https://xray.eu-west-1.amazonaws.com --sign -o recording.journal";
pub(crate) const ABOUT: &str = "Pass traffic on to a server and keep a copy of it

Calls (HTTP/1.1, HTTP/2 with prior knowledge, gRPC) and datagrams are passed on as they came, or newly signed with
--sign, and written to a journal that replay sends again; credentials are not written. An https server gets what is in
datagrams by calls, spans too. No answer reaches a client before its call is in the journal, and a copy waits no longer
than a second for it: of an answer that takes longer, or is large, the status alone is recorded, if anything, and it is
passed on as it comes, however long that goes on. What the server may know of is on disk a second later. If the server is
down, clients get 502, 504 if it is slow. A journal that cannot be written ends the program; clients whose calls are not
in it are told nothing.
One line of JSON says when all is open; Ctrl-C ends it and prints totals.";
/// Where SDKs look for their daemon.
const LISTEN: &str = "127.0.0.1:2000";
const CONNECTIONS_MAX: usize = 512;
/// Documents that may wait to be posted.
const QUEUE: usize = 4096;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(30);
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
