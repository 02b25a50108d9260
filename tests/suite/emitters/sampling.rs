//! Rules of the server that samplers of clients fetch without a signature, obey, and report on.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use roentgen_tests::Server;
use roentgen_tests::server::list;
use roentgen_tests::wait::until;
use serde_json::{Value, json};

use super::place::Place;
use super::shop::{Shop, named, stored};
use crate::fixture::{summaries, trace_id};

/// A shop that samples by three rules of the server.
pub(super) struct Sampled {
    shop: Shop,
    server: Server,
    always: Rule,
    never: Rule,
    few: Rule,
    _place: Place,
}

impl Sampled {
    /// Opens the shop of a recipe, and waits until it goes by the rules.
    pub(super) fn open(recipe: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let place = Place::new()?;
        let server = place.serve()?;
        let (always, never, few) = (
            Rule::new(&server, "always", 1.0, 0)?,
            Rule::new(&server, "never", 0.0, 0)?,
            Rule::new(&server, "few", 0.0, 50)?,
        );
        let shop = Shop::open(&place, recipe, environment)?;
        // Until it has the rules a client decides by itself: it records one a second, and a few more.
        until("the client has the rules", || {
            let n_before = always.n_stored(&server, &shop)?;
            always.ask(&shop, 10)?;
            Ok((always.n_stored(&server, &shop)? == n_before + 10).then_some(()))
        })?;
        Ok(Self {
            shop,
            server,
            always,
            never,
            few,
            _place: place,
        })
    }

    /// Fails unless all, none and a few are recorded: a client borrows about one a second from a reservoir it has no share of
    /// yet.
    pub(super) fn assert_rates(&self) -> Result<()> {
        let (server, shop) = (&self.server, &self.shop);
        let n_before = self.always.n_stored(server, shop)?;
        for _ in 0..20 {
            self.never.ask(shop, 1)?;
            self.few.ask(shop, 1)?;
            self.always.ask(shop, 1)?;
        }
        assert_eq!(self.always.n_stored(server, shop)? - n_before, 20);
        assert_eq!(self.never.n_stored(server, shop)?, 0);
        let n_borrowed = self.few.n_stored(server, shop)?;
        assert!(n_borrowed < 20, "{n_borrowed} of 20");
        // Some clients wait for the first one to be due.
        until("the client has borrowed", || {
            self.few.ask(shop, 1)?;
            Ok((self.few.n_stored(server, shop)? > 0).then_some(()))
        })
    }

    /// Waits until the client has a share of the reservoir: several at once are recorded then.
    pub(super) fn assert_share(&self) -> Result<()> {
        let (server, shop) = (&self.server, &self.shop);
        until("the client has a share of the reservoir", || {
            let n_before = self.few.n_stored(server, shop)?;
            self.few.ask(shop, 5)?;
            Ok((self.few.n_stored(server, shop)? == n_before + 5).then_some(()))
        })
    }

    /// Waits until the server was told of the decisions, closes the shop, and returns what the segments of the rule `always`
    /// say of X-Ray.
    pub(super) fn assert_reported(self) -> Result<Vec<Value>> {
        let server = &self.server;
        until("all decisions are reported", || {
            let is_reported = self.never.reported(server)? == [20, 0, 0]
                && self.always.reported(server)?[0] >= 20
                && self.few.reported(server)?[2] >= 1;
            Ok(is_reported.then_some(()))
        })?;
        let [n_requests, n_sampled, _] = self.always.reported(server)?;
        assert_eq!(n_requests, n_sampled);
        let said = self.always.stored(server)?;
        self.shop.close()?;
        Ok(said)
    }
}

/// A rule for the page of its name.
struct Rule(&'static str);

impl Rule {
    fn new(server: &Server, name: &'static str, rate: f64, reservoir: u32) -> Result<Self> {
        let rule = json!({
            "RuleName": name, "Priority": 10, "FixedRate": rate, "ReservoirSize": reservoir, "Version": 1,
            "ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "GET", "ResourceARN": "*",
            "URLPath": format!("/sampled/{name}"),
        });
        let request = json!({ "SamplingRule": rule });
        server.post("/CreateSamplingRule", &request)?.success()?;
        Ok(Self(name))
    }

    fn ask(&self, shop: &Shop, n_times: usize) -> Result<()> {
        for _ in 0..n_times {
            let answer = shop.drop_in(&format!("/sampled/{}", self.0))?;
            assert_eq!((answer.status, answer.text().as_str()), (200, self.0));
        }
        Ok(())
    }

    /// Returns how many requests for the page were recorded of all that were made.
    fn n_stored(&self, server: &Server, shop: &Shop) -> Result<usize> {
        // A client sends in order: when the mark is there, all before it are.
        let mark = trace_id(N_MARKS.fetch_add(1, Ordering::Relaxed));
        shop.visit("/sampled/mark", &mark)?;
        stored(server, &mark, "the mark is stored", |all| !all.is_empty())?;
        Ok(self.summaries(server)?.len())
    }

    /// Returns `aws.xray` of the segments of all recorded requests.
    fn stored(&self, server: &Server) -> Result<Vec<Value>> {
        let mut said = Vec::new();
        for summary in self.summaries(server)? {
            let documents = server.documents(summary["Id"].as_str().context("an id")?)?;
            said.push(named(&documents, "shop")?["aws"]["xray"].clone());
        }
        Ok(said)
    }

    fn summaries(&self, server: &Server) -> Result<Vec<Value>> {
        let page = format!("http.url ENDSWITH \"/sampled/{}\"", self.0);
        summaries(server, &json!({ "FilterExpression": page }))
    }

    /// Returns the sums that were reported of this rule: requests, sampled, borrowed.
    fn reported(&self, server: &Server) -> Result<[u64; 3]> {
        let answer = server.post("/SamplingStatisticSummaries", &json!({}))?;
        let all = list(&answer.success()?, "SamplingStatisticSummaries")?;
        let mut sums = [0; 3];
        for summary in all.iter().filter(|summary| summary["RuleName"] == self.0) {
            let members = ["RequestCount", "SampledCount", "BorrowCount"];
            for (sum, member) in sums.iter_mut().zip(members) {
                *sum += summary[member].as_u64().unwrap_or(0);
            }
        }
        Ok(sums)
    }
}

static N_MARKS: AtomicU32 = AtomicU32::new(1000);
