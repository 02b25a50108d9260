//! Clients that send when their time has come, whatever the server says.
//!
//! Each connection has a schedule of its own and does not wait for answers: up to [`UNANSWERED_MAX`] calls are on the way
//! at once, so that what piles up in front of the server is bounded. A call that is due when there are as many is not
//! sent and counts as held back. A connection the server closes is opened again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::Ledger;
use roentgen_tests::generate::{Feed, Planned, Pool};
use roentgen_tests::random::Random;
use roentgen_tests::wait::now;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{interval_at, timeout};

/// What is offered to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) n_connections: u32,
    pub(crate) documents_per_call: usize,
    /// Over all connections.
    pub(crate) documents_per_s: f64,
    pub(crate) length: Duration,
    /// Of how many connections one notes what it sends.
    pub(crate) noted_every: u32,
    pub(crate) seed: u64,
}

/// What became of all calls.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Calls that were due when too many were on the way.
    pub(crate) n_held_back: u64,
    pub(crate) n_sent: u64,
    /// Documents of calls that were acknowledged.
    pub(crate) n_acknowledged: u64,
    /// Documents of calls that got no answer because the connection ended: nobody knows.
    pub(crate) n_unanswered: u64,
    /// Calls refused, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Refusals that do not say when to come back.
    pub(crate) n_without_retry_after: u64,
    /// Any other answers, some of them.
    pub(crate) others: Vec<String>,
    /// Times a connection was opened again.
    pub(crate) n_reopened: u64,
    /// What the connections that note it sent.
    pub(crate) ledger: Ledger,
}

/// A call on the way.
struct Sent {
    batch: Vec<Planned>,
}

/// Offers a load and returns what came of it once the last answer is there.
pub(crate) fn offer(address: SocketAddr, pool: &Arc<Pool>, offer: Offer) -> Result<Tally> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let begun = Instant::now();
        let mut random = Random::new(offer.seed);
        let clients = (0..offer.n_connections).map(|number| {
            let feed = Feed::new(Arc::clone(pool), random.bits(), now(), 600);
            let client = Client::new(address, feed, offer, number, begun);
            tokio::spawn(client.run())
        });
        let clients: Vec<_> = clients.collect();
        let mut tally = Tally::new(pool);
        for client in clients {
            tally.merge(client.await??);
        }
        Ok(tally)
    })
}

/// One connection's worth of clients.
struct Client {
    address: SocketAddr,
    feed: Feed,
    offer: Offer,
    /// When its first call is due.
    first: Instant,
    between: Duration,
    end: Instant,
    notes: bool,
    tally: Tally,
}

impl Client {
    fn new(address: SocketAddr, feed: Feed, offer: Offer, number: u32, begun: Instant) -> Self {
        let documents_per_call = u32::try_from(offer.documents_per_call).unwrap_or(u32::MAX);
        let calls_per_s = offer.documents_per_s / f64::from(documents_per_call);
        let between =
            Duration::from_secs_f64(f64::from(offer.n_connections) / calls_per_s.max(0.1));
        let share = f64::from(number) / f64::from(offer.n_connections);
        Self {
            address,
            offer,
            // The schedules of all connections together are even.
            first: begun + between.mul_f64(share),
            between,
            end: begun + offer.length,
            notes: number.is_multiple_of(offer.noted_every),
            tally: Tally::new(feed.pool()),
            feed,
        }
    }

    async fn run(mut self) -> Result<Tally> {
        let mut due = interval_at(self.first.into(), self.between);
        let mut is_over = false;
        while !is_over {
            let connected = TcpStream::connect(self.address).await;
            let (reader, mut writer) = connected.context("connect")?.into_split();
            let (calls, called) = channel(UNANSWERED_MAX);
            let reading = tokio::spawn(receive(reader, called));
            let mut body = Vec::new();
            loop {
                due.tick().await;
                if Instant::now() > self.end {
                    is_over = true;
                    break;
                }
                if reading.is_finished() {
                    break;
                }
                let Ok(place) = calls.try_reserve() else {
                    self.tally.n_held_back += 1;
                    continue;
                };
                let batch = self.feed.batch(self.offer.documents_per_call);
                self.feed.pool().write_request(&batch, &mut body);
                let head = format!(
                    "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                if self.notes {
                    self.tally.ledger.sent(&batch);
                }
                self.tally.n_sent += 1;
                place.send(Sent { batch });
                let head = writer.write_all(head.as_bytes()).await;
                if head.is_err() || writer.write_all(&body).await.is_err() {
                    break;
                }
            }
            drop(calls);
            let answers = reading.await?;
            self.note(answers)?;
            self.tally.n_reopened += u64::from(!is_over);
        }
        Ok(self.tally)
    }

    /// Takes over what became of the calls of one connection.
    fn note(&mut self, answers: Vec<(Sent, Option<Answer>)>) -> Result<()> {
        for (Sent { batch }, answer) in answers {
            let n_documents = u64::try_from(batch.len())?;
            let tally = &mut self.tally;
            match answer {
                None => tally.n_unanswered += n_documents,
                Some(answer) if answer.status == 200 => {
                    // One that is not taken among good ones would be no matter of load.
                    anyhow::ensure!(answer.body == ALL_TAKEN, "{:?}", answer.body);
                    tally.n_acknowledged += n_documents;
                    if self.notes {
                        tally.ledger.acknowledged(&batch);
                    }
                }
                Some(answer) if matches!(answer.status, 429 | 503) => {
                    *tally.refused.entry(answer.status).or_default() += 1;
                    tally.n_without_retry_after += u64::from(!answer.says_when);
                }
                Some(answer) if tally.others.len() < 5 => {
                    tally
                        .others
                        .push(format!("{} {}", answer.status, answer.body));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// An answer, as far as it matters.
struct Answer {
    status: u16,
    says_when: bool,
    body: String,
}

/// Reads the answers of one connection until there are no more calls or it ends; calls without an answer come last.
async fn receive(reader: OwnedReadHalf, mut called: Receiver<Sent>) -> Vec<(Sent, Option<Answer>)> {
    let mut reader = BufReader::new(reader);
    let mut answered = Vec::new();
    while let Some(sent) = called.recv().await {
        let answer = timeout(PATIENCE, read(&mut reader)).await;
        let answer = answer.ok().and_then(Result::ok);
        let has_ended = answer.is_none();
        answered.push((sent, answer));
        if has_ended {
            break;
        }
    }
    called.close();
    while let Some(sent) = called.recv().await {
        answered.push((sent, None));
    }
    answered
}

async fn read(reader: &mut BufReader<OwnedReadHalf>) -> Result<Answer> {
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).context("no status")?.parse()?;
    let mut n_bytes = 0;
    let mut says_when = false;
    loop {
        line.clear();
        anyhow::ensure!(
            reader.read_line(&mut line).await? > 0,
            "ended within a head"
        );
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => n_bytes = value.trim().parse()?,
            "retry-after" => says_when = value.trim().parse::<u32>().is_ok(),
            _ => {}
        }
    }
    let mut body = vec![0; n_bytes];
    reader.read_exact(&mut body).await?;
    Ok(Answer {
        status,
        says_when,
        body: String::from_utf8(body)?,
    })
}

impl Tally {
    fn new(pool: &Arc<Pool>) -> Self {
        Self {
            n_held_back: 0,
            n_sent: 0,
            n_acknowledged: 0,
            n_unanswered: 0,
            refused: BTreeMap::new(),
            n_without_retry_after: 0,
            others: Vec::new(),
            n_reopened: 0,
            ledger: Ledger::new(Arc::clone(pool)),
        }
    }

    fn merge(&mut self, other: Self) {
        self.n_held_back += other.n_held_back;
        self.n_sent += other.n_sent;
        self.n_acknowledged += other.n_acknowledged;
        self.n_unanswered += other.n_unanswered;
        for (status, n_calls) in other.refused {
            *self.refused.entry(status).or_default() += n_calls;
        }
        self.n_without_retry_after += other.n_without_retry_after;
        self.others.extend(other.others);
        self.n_reopened += other.n_reopened;
        self.ledger.merge(other.ledger);
    }

    /// Returns how many calls were refused.
    pub(crate) fn n_refused(&self) -> u64 {
        self.refused.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} calls sent and {} held back, {} documents acknowledged and {} unanswered, calls refused {:?}, {} \
             connections opened again",
            self.n_sent,
            self.n_held_back,
            self.n_acknowledged,
            self.n_unanswered,
            self.refused,
            self.n_reopened,
        )
    }
}

/// How many calls of one connection may be on the way.
pub(crate) const UNANSWERED_MAX: usize = 4;
const ALL_TAKEN: &str = r#"{"UnprocessedTraceSegments":[]}"#;
const PATIENCE: Duration = Duration::from_secs(30);
