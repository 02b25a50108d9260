//! `roentgen stats`: how requests fared over time.

use std::time::Duration;

use clap::Args;
use protocol::Operation;
use serde::{Deserialize, Serialize};

use crate::Session;
use crate::exit::{Exit, Stop};
use crate::figures::{Bucket, Figures, Statistics};
use crate::terminal::{
    Cell, Column, Form, Glyphs, OutFlags, Progress, Row, cut, instant, length, moment, note, print,
};
use crate::times::TimeFlags;

/// Which figures to show, and how.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    time: TimeFlags,
    /// How many seconds a row covers
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    period: u32,
    /// Only traces of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Only requests of this service
    #[arg(long, value_name = "NAME", conflicts_with = "edge")]
    service: Option<String>,
    /// Only calls of one service to another
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    edge: Option<Vec<String>>,
    #[command(flatten)]
    out: OutFlags,
}

/// An entry as the API writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(default)]
    timestamp: f64,
    #[serde(default)]
    edge_summary_statistics: Option<Statistics>,
    #[serde(default)]
    service_summary_statistics: Option<Statistics>,
    #[serde(default)]
    response_time_histogram: Option<Vec<Bucket>>,
}

/// How requests fared in one period.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Period {
    timestamp: f64,
    #[serde(flatten)]
    figures: Figures,
    /// Whether there is room for the time of day alone.
    #[serde(skip)]
    is_brief: bool,
}

/// Prints the figures of a window, period by period.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let window = options.time.window((session.now)(), USUAL)?;
    let mut request = window.members();
    request.insert("Period".to_owned(), options.period.into());
    if let Some(group) = &options.group {
        request.insert("GroupName".to_owned(), group.as_str().into());
    }
    if let Some(selector) = selector(options) {
        request.insert("EntitySelectorExpression".to_owned(), selector.into());
    }
    let client = &session.client;
    let entries = client.all(
        Operation::GetTimeSeriesServiceStatistics,
        request,
        "TimeSeriesServiceStatistics",
    );
    let progress = Progress::waiting("asking for figures");
    let entries = progress.during(|| client.n_throttled(), entries).await;
    progress.finish();
    let mut periods: Vec<Period> = entries?.into_iter().map(Period::of).collect();
    periods.sort_by(|one, other| one.timestamp.total_cmp(&other.timestamp));
    if periods.iter().all(|period| period.figures.requests == 0) {
        note("nothing found");
        return Ok(Exit::NotFound);
    }
    let out = options.out.out();
    if let (Form::Table, Some(width)) = (out.form(), out.width()) {
        for period in &mut periods {
            period.is_brief = width < DATED_WIDTH;
        }
        print(&lines(&periods, Glyphs::of(&session.environment), width))?;
    }
    let mut listing = out.listing();
    for period in &periods {
        listing.push(period)?;
    }
    listing.finish()?;
    Ok(Exit::Done)
}

/// Returns the selector of what is asked for; none means all traffic.
fn selector(options: &Options) -> Option<String> {
    let named = options.service.as_deref();
    let service = named.map(|name| format!("service({})", quoted(name)));
    service.or_else(|| {
        let [from, to] = options.edge.as_deref()? else {
            return None;
        };
        Some(format!("edge({}, {})", quoted(from), quoted(to)))
    })
}

/// Returns a name as a string of the filter language.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Returns a line for requests, faults and times that shows how they rise and fall, each with its highest value.
fn lines(periods: &[Period], glyphs: Glyphs, width: usize) -> String {
    let all = |value: fn(&Figures) -> u64| -> Vec<u64> {
        let figures = periods.iter().map(|period| &period.figures);
        figures.map(value).collect()
    };
    let highest = |values: &[u64]| values.iter().copied().max().unwrap_or(0);
    let (requests, faults) = (all(|it| it.requests), all(|it| it.faults));
    let times = all(|it| micros(it.p99));
    let slowest = Duration::from_micros(highest(&times)).as_secs_f64();
    let drawn = [
        ("requests", highest(&requests).to_string(), requests),
        ("faults", highest(&faults).to_string(), faults),
        ("p99", length(slowest), times),
    ];
    let label = |highest: &str| format!(" max {highest}");
    let widest = drawn.iter().map(|(_, highest, _)| label(highest).len());
    let taken = NAME_WIDTH + widest.max().unwrap_or(0);
    let room = width.saturating_sub(taken);
    let lines = drawn.iter().map(|(name, highest, values)| {
        let line = match room {
            0 => (*name).to_owned(),
            _ => format!("{name:<8} {}", glyphs.sparkline(values, room)),
        };
        let line = format!("{}{}", line.trim_end(), label(highest));
        format!("{}\n", cut(&line, width))
    });
    lines.chain(["\n".to_owned()]).collect()
}

/// Returns a time in whole microseconds, to be drawn.
fn micros(seconds: Option<f64>) -> u64 {
    let time = Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Period {
    fn of(entry: Entry) -> Self {
        let statistics = entry.service_summary_statistics;
        let statistics = statistics.or(entry.edge_summary_statistics);
        let histogram = entry.response_time_histogram.unwrap_or_default();
        Self {
            timestamp: entry.timestamp,
            figures: Figures::of(&statistics.unwrap_or_default(), &histogram),
            is_brief: false,
        }
    }
}

impl Row for Period {
    const COLUMNS: &'static [Column] = &[
        Column::text("TIME"),
        Column::number("REQUESTS"),
        Column::number("FAULT"),
        Column::number("ERROR"),
        Column::number("THROTTLE"),
        Column::number("MEAN"),
        Column::number("P50"),
        Column::number("P99"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let time = instant(self.timestamp);
        let of_day = time.get(TIME_OF_DAY).filter(|_| self.is_brief);
        let mut cells = vec![of_day.unwrap_or(&time).into()];
        cells.extend(self.figures.cells());
        cells
    }

    fn values(&self) -> Vec<Cell> {
        let mut values = vec![moment(self.timestamp).into()];
        values.extend(self.figures.values());
        values
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen stats --last 1h
  roentgen stats --service payments --period 300 --last 6h --json
  roentgen stats --edge shop payments --group checkout";
pub(crate) const ABOUT: &str = "Show how requests fared over time

Without a service or an edge all traffic counts, as clients saw it; without a time the last hour is meant.
Lines of --plain are: time, requests, rates of faults, errors and throttles, mean, p50 and p99.
Exit codes: 0 done, 3 no traffic, 4 no server.";
const USUAL: Duration = Duration::from_hours(1);
/// Columns of a line that are before its drawing.
const NAME_WIDTH: usize = 9;
/// Columns below which times have no date.
const DATED_WIDTH: usize = 60;
/// Where in a time of RFC 3339 that of the day is.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::terminal::Out;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn check(arguments: &[&str], expected: Option<&str>) {
        let line = Line::parse_from([&["stats"], arguments].concat());
        assert_eq!(selector(&line.options).as_deref(), expected);
    }

    #[test]
    fn what_counts_is_selected() {
        check(&[], None);
        check(&["--service", "a"], Some("service(\"a\")"));
        check(&["--edge", "a", "b"], Some("edge(\"a\", \"b\")"));
        check(&["--service", "a\\\"b"], Some("service(\"a\\\\\\\"b\")"));
        assert!(Line::try_parse_from(["stats", "--service", "a", "--edge", "b", "c"]).is_err());
        assert!(Line::try_parse_from(["stats", "--period", "0"]).is_err());
    }

    fn periods() -> Vec<Period> {
        let statistics = |total: u64, faults: u64| {
            json!({ "TotalCount": total, "FaultStatistics": { "TotalCount": faults, "OtherCount": faults },
                "ErrorStatistics": {}, "TotalResponseTime": 0.5 })
        };
        let entries = json!([
            { "Timestamp": 60, "EdgeSummaryStatistics": statistics(4, 0), "ResponseTimeHistogram": [{ "Value": 0.125, "Count": 4 }] },
            { "Timestamp": 120, "ServiceSummaryStatistics": statistics(8, 2), "EdgeSummaryStatistics": statistics(1, 1),
              "ResponseTimeHistogram": [{ "Value": 12.5, "Count": 1 }] },
            { "Timestamp": 180 },
        ]);
        let entries: Vec<Entry> = serde_json::from_value(entries).unwrap();
        entries.into_iter().map(Period::of).collect()
    }

    #[test]
    fn periods_are_a_table_with_lines_above_it() {
        let periods = periods();
        let rows: Vec<&Period> = periods.iter().collect();
        let table = Out::fake(false, None).listing().rendered(&rows);
        insta::assert_snapshot!(table, @r"
        TIME                  REQUESTS  FAULT  ERROR  THROTTLE      MEAN       P50       P99
        1970-01-01T00:01:00Z         4   0.0%   0.0%      0.0%  125.0 ms  125.0 ms  125.0 ms
        1970-01-01T00:02:00Z         8  25.0%   0.0%      0.0%   62.5 ms    12.5 s    12.5 s
        1970-01-01T00:03:00Z         0
        ");
        insta::assert_snapshot!(lines(&periods, Glyphs::Ascii, 80), @r"
        requests =# max 8
        faults    # max 2
        p99      .# max 12.5 s
        ");
    }

    #[test]
    fn a_narrow_terminal_shows_figures_before_dates() {
        let mut periods = periods();
        for period in &mut periods {
            period.is_brief = true;
        }
        let rows: Vec<&Period> = periods.iter().collect();
        let table = Out::fake(false, Some(20)).listing().rendered(&rows);
        insta::assert_snapshot!(table, @r"
        TIME      REQUESTS
        00:01:00         4
        00:02:00         8
        00:03:00         0
        ");
        for width in 12..30 {
            let lines = lines(&periods, Glyphs::Ascii, width);
            let widest = lines.lines().map(str::len).max();
            assert!(widest <= Some(width), "{width}: {lines}");
        }
        insta::assert_snapshot!(lines(&periods, Glyphs::Ascii, 20), @r"
        requests max 8
        faults max 2
        p99 max 12.5 s
        ");
    }

    #[test]
    fn plain_lines_are_numbers() {
        let periods = periods();
        let lines: String = periods
            .iter()
            .map(|period| Out::fake(false, None).line(period, Form::Plain))
            .collect();
        insta::assert_snapshot!(lines.replace('\t', "|"), @r"
        1970-01-01T00:01:00.000000Z|4|0|0|0|0.125|0.125|0.125
        1970-01-01T00:02:00.000000Z|8|0.25|0|0|0.0625|12.5|12.5
        1970-01-01T00:03:00.000000Z|0||||||
        ");
    }
}
