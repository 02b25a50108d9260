//! One call made again and again: how long it took, and what it cost the server.

use std::time::{Duration, Instant};

use anyhow::Result;
use roentgen_tests::process::cpu_time;
use roentgen_tests::{Connection, Server};
use serde_json::Value;

use super::report::{number, percentiles};

/// A client that waits for each answer before it calls again.
pub(super) struct Caller<'s> {
    server: &'s Server,
    connection: Connection,
}

/// What calls of one kind came to.
#[derive(Debug, Default)]
pub(super) struct Calls {
    latencies: Vec<Duration>,
    /// Processor time of the server, of all calls.
    cpu: Duration,
    elapsed: Duration,
}

impl<'s> Caller<'s> {
    pub(super) fn new(server: &'s Server) -> Result<Self> {
        let connection = server.connect()?;
        Ok(Self { server, connection })
    }

    /// Makes a call until enough is known of it, after one that warms up; returns the last answer too.
    pub(super) fn repeat(&mut self, path: &str, body: &Value) -> Result<(Calls, Value)> {
        let body = body.to_string();
        self.repeat_each(|caller| caller.call(path, &body))
    }

    /// The same with several calls that belong together, of which the last answer is returned.
    pub(super) fn repeat_each(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<(Duration, Value)>,
    ) -> Result<(Calls, Value)> {
        one(self)?;
        let mut calls = Calls::default();
        let cpu_before = cpu_time(self.server.pid())?;
        let began = Instant::now();
        loop {
            let (took, answer) = one(self)?;
            calls.latencies.push(took);
            let n_calls = calls.latencies.len();
            let is_enough = n_calls >= N_CALLS_MAX || began.elapsed() >= TIME_MAX;
            if n_calls >= N_CALLS_MIN && is_enough {
                calls.elapsed = began.elapsed();
                calls.cpu = cpu_time(self.server.pid())?.saturating_sub(cpu_before);
                return Ok((calls, answer));
            }
        }
    }

    /// Makes one call and returns the time to the end of its answer.
    pub(super) fn call(&mut self, path: &str, body: &str) -> Result<(Duration, Value)> {
        let called = Instant::now();
        let response = self.connection.post(path, body.as_bytes())?;
        let took = called.elapsed();
        Ok((took, response.success()?))
    }
}

impl Calls {
    pub(super) fn of(latencies: Vec<Duration>, cpu: Duration, elapsed: Duration) -> Self {
        Self {
            latencies,
            cpu,
            elapsed,
        }
    }

    /// Returns the processor time of one call in seconds.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.cpu.as_secs_f64() / self.n_calls()
    }

    /// Returns calls a second.
    pub(super) fn per_second(&self) -> f64 {
        self.n_calls() / self.elapsed.as_secs_f64()
    }

    /// Returns so many things a call as a rate a second, by the mean time of a call.
    pub(super) fn rate(&self, n_each: u64) -> f64 {
        let waited: Duration = self.latencies.iter().sum();
        number(n_each) * self.n_calls() / waited.as_secs_f64()
    }

    /// Returns median and 99th percentile, and the processor time of one.
    pub(super) fn text(&self) -> String {
        format!("{}, {:.1} ms CPU", self.latency(), self.cpu_seconds() * 1e3)
    }

    /// Returns median and 99th percentile.
    pub(super) fn latency(&self) -> String {
        percentiles(self.latencies.clone())
    }

    fn n_calls(&self) -> f64 {
        number(u64::try_from(self.latencies.len()).unwrap_or(u64::MAX)).max(1.0)
    }
}

const N_CALLS_MIN: usize = 3;
const N_CALLS_MAX: usize = 100;
const TIME_MAX: Duration = Duration::from_secs(5);
