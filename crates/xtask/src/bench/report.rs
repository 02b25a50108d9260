//! The figures of a run, as the table the README prints.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;

use super::load::Round;

/// A figure, what was measured, what it must be and what is aimed at.
pub(super) type Row = [String; 4];

/// All that was measured.
#[derive(Default)]
pub(super) struct Report {
    raw: Vec<Round>,
    served: Vec<Round>,
    cpu: Vec<Duration>,
    pub(super) n_documents: u64,
    pub(super) document_bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) resident_bytes: u64,
    pub(super) trace_reads: Vec<Duration>,
    pub(super) list_reads: Vec<Duration>,
    pub(super) n_traces: u64,
    pub(super) reopened: Vec<(u64, Duration)>,
    /// What reading a store of many small traces came to.
    pub(super) api: Vec<Row>,
}

impl Report {
    /// Notes one round of both sides and the processor time of the server in it.
    pub(super) fn add_round(&mut self, raw: Round, served: Round, cpu: Duration) {
        self.raw.push(raw);
        self.served.push(served);
        self.cpu.push(cpu);
    }

    /// Prints the table.
    pub(super) fn print(&self, n_connections: u32, n_documents: usize) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.n_documents > 0 {
            let mean = number(self.document_bytes) / number(self.n_documents);
            let n_rounds = self.served.len();
            writeln!(
                out,
                "{n_connections} connections, {n_documents} documents a call, {mean:.0} bytes a document on average; \
                 {n_rounds} rounds of each side in turn, medians of the rounds.\n"
            )?;
            print(
                &mut out,
                self.write_rows().into_iter().chain(self.read_rows()),
            )?;
            writeln!(out)?;
        }
        print(&mut out, self.api.iter().cloned())?;
        Ok(())
    }

    fn write_rows(&self) -> Vec<Row> {
        let pairs = || self.served.iter().zip(&self.raw);
        let served = median(self.served.iter().map(Round::per_second));
        let raw = median(self.raw.iter().map(Round::per_second));
        let ratio = median(pairs().map(|(served, raw)| served.per_second() / raw.per_second()));
        let rounds = self.served.iter().zip(&self.cpu);
        let cpu = median(rounds.map(|(round, cpu)| cpu.as_secs_f64() * 1e6 / round.documents()));
        vec![
            row(
                "segments/s, acknowledged when on disk",
                format!("{served:.0}"),
                "",
                "",
            ),
            row("segments/s of the raw append", format!("{raw:.0}"), "", ""),
            row(
                "ratio to the raw append",
                format!("{ratio:.2}"),
                "0.12",
                "0.30",
            ),
            row(
                "server CPU per segment",
                format!("{cpu:.1} us"),
                "45 us",
                "20 us",
            ),
            row(
                "acknowledgement p50 / p99",
                percentiles(latencies(&self.served)),
                "",
                "",
            ),
            row(
                "the same of the raw append",
                percentiles(latencies(&self.raw)),
                "",
                "",
            ),
        ]
    }

    fn read_rows(&self) -> Vec<Row> {
        let received = number(self.document_bytes);
        let on_disk = number(self.disk_bytes) / received.max(1.0);
        let memory = number(self.resident_bytes) / f64::from(1 << 20);
        let mut rows = vec![
            row(
                &format!(
                    "bytes on disk per byte of document, {:.2} GB received",
                    received / 1e9
                ),
                format!("{on_disk:.2}"),
                "0.8",
                "0.4",
            ),
            row(
                "most memory held (VmHWM)",
                format!("{memory:.0} MiB"),
                "600 MiB",
                "300 MiB",
            ),
            row(
                "BatchGetTraces of one warm trace p50 / p99",
                percentiles(self.trace_reads.clone()),
                "0.6 / 3 ms",
                "0.3 / 1 ms",
            ),
            row(
                &format!("first page of 6 h over {} traces p50 / p99", self.n_traces),
                percentiles(self.list_reads.clone()),
                "500 ms (1 M)",
                "100 ms (1 M)",
            ),
        ];
        for (n_bytes, took) in &self.reopened {
            let figure = format!(
                "ready after SIGKILL, {:.1} GB received",
                number(*n_bytes) / 1e9
            );
            let took = format!("{:.2} s", took.as_secs_f64());
            rows.push(row(&figure, took, "5 s (10 GB)", "1 s (10 GB)"));
        }
        rows
    }
}

fn print(out: &mut impl Write, rows: impl Iterator<Item = Row>) -> Result<()> {
    writeln!(out, "| figure | measured | must | aim |\n|---|---|---|---|")?;
    for [figure, measured, must, aim] in rows {
        writeln!(out, "| {figure} | {measured} | {must} | {aim} |")?;
    }
    Ok(())
}

pub(super) fn row(figure: &str, measured: String, must: &str, aim: &str) -> Row {
    [figure.to_owned(), measured, must.to_owned(), aim.to_owned()]
}

fn latencies(rounds: &[Round]) -> Vec<Duration> {
    rounds
        .iter()
        .flat_map(|round| round.latencies.iter().copied())
        .collect()
}

/// Returns a count as a number to compute with; exact below 2^53.
pub(super) fn number(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn percentiles(mut latencies: Vec<Duration>) -> String {
    latencies.sort();
    let at = |percent: usize| {
        let latency = latencies
            .get(latencies.len() * percent / 100)
            .copied()
            .unwrap_or_default();
        latency.as_secs_f64() * 1e3
    };
    format!("{:.2} / {:.2} ms", at(50), at(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_numbers() {
        for (count, expected) in [(0, 0.0), (1, 1.0), (10_000_000_000, 1e10)] {
            assert!((number(count) - expected).abs() < 0.5, "{count}");
        }
    }

    #[test]
    fn percentiles_are_of_the_sorted() {
        let latencies = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentiles(latencies), "51.00 / 100.00 ms");
    }
}
