//! `roentgen bench`: how much a server takes.

mod documents;
mod figures;
mod load;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::Session;
use crate::exit::{Exit, Stop};
use crate::stopping::Stopping;
use crate::terminal::{Out, counted, note, print};
use figures::{Figures, Outcome};
use load::{Bounds, Load};

/// How a server is loaded, and what the outcome is held against.
#[derive(Args, Debug)]
pub struct Options {
    /// How long documents are sent
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = duration)]
    time: Duration,
    /// How many calls are under way at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// How many documents a call carries
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=50))]
    batch: u16,
    /// Stop after so many documents, even if there is time left
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    documents: u64,
    /// Hold the outcome against that of an earlier run, as -o writes it
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// By how much the outcome may be worse
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = tolerance)]
    tolerance: f64,
    /// Write the outcome, for --compare
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the outcome as a line of JSON
    #[arg(long)]
    json: bool,
    /// Load a server of AWS, which costs money
    #[arg(long)]
    yes: bool,
}

/// Loads a server and prints what it took.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let endpoint = session.client.endpoint();
    if endpoint.is_aws() && !options.yes {
        let why = "what it is sent is stored and costs money; --yes does it all the same";
        return Err(Stop::usage(format!("{endpoint} belongs to AWS: {why}")));
    }
    let baseline = options.compare.as_deref().map(figures::read).transpose()?;
    if let Some(baseline) = &baseline {
        let (connections, batch) = (options.connections, options.batch);
        if (baseline.connections, baseline.batch) != (connections, batch) {
            return Err(Stop::usage(format!(
                "the earlier run had {} and batches of {}, this one {connections} and {batch}",
                counted(baseline.connections, "connection"),
                baseline.batch
            )));
        }
    }
    // Whether it can be written is told before, not after all the load.
    let output = options.output.as_deref().map(Outcome::begin);
    let output = output.transpose()?;
    let (connections, batch) = (options.connections, options.batch);
    let time = humantime::format_duration(options.time);
    note(&format!(
        "loading {endpoint} for {time}: {}, {} a call",
        counted(connections, "connection"),
        counted(batch, "document")
    ));
    let stopping = Stopping::catch()?;
    let bounds = Bounds {
        time: options.time,
        n_documents: options.documents,
        connections,
        batch,
    };
    let mut load = Load::run(session, &bounds, &stopping).await?;
    if let Some(absence) = load.absence.take().filter(|_| !stopping.is_asked()) {
        return Err(absence.into());
    }
    let figures = load.figures(endpoint.to_string(), &bounds);
    tell(&figures, options)?;
    if stopping.is_asked() {
        return Ok(stopping.exit_or(Exit::Done));
    }
    if let Some(output) = output {
        figures::write(&figures, output)?;
    }
    if figures.documents_acknowledged == 0 {
        let why = load.complaint.as_deref().unwrap_or("there was no time");
        return Err(Stop::failed(format!("nothing was acknowledged: {why}")));
    }
    let worse = baseline.map(|baseline| figures.worse_than(&baseline, options.tolerance));
    let worse = worse.unwrap_or_default();
    for line in &worse {
        note(line);
    }
    Ok(if worse.is_empty() {
        Exit::Done
    } else {
        Exit::Damaged
    })
}

fn tell(figures: &Figures, options: &Options) -> Result<(), Stop> {
    if options.json {
        let line = serde_json::to_string(figures).map_err(Stop::failed)?;
        return print(&format!("{line}\n"));
    }
    print(&figures.text(Out::people().width()))
}

/// Returns a length of time that is longer than none and not longer than a day.
fn duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() || time > TIME_MAX {
        return Err("expected more than none and at most a day".to_owned());
    }
    Ok(time)
}

/// Returns the part of 1 that is said in percent.
fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    let percent = number.parse().ok();
    let percent = percent.filter(|percent: &f64| percent.is_finite() && *percent >= 0.0);
    let percent = percent.ok_or("expected a percentage, such as 20%")?;
    Ok(percent / 100.0)
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen bench --for 30s --connections 16
  roentgen bench -o baseline.json
  roentgen bench --compare baseline.json --tolerance 10%";
pub(crate) const ABOUT: &str = "Measure how much a server takes

Sends generated documents, which stay in the server's store, and measures what is acknowledged. With
--compare, fewer documents a second or longer times than before by more than --tolerance are a regression.
Exit codes: 0 done, 6 regression, 1 nothing acknowledged, 4 no server, 130 and 143 ended by a signal.";
const TIME_MAX: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(tolerance(text).ok(), expected, "{text}");
        };
        check("20%", Some(0.2));
        check("50 %", Some(0.5));
        check("0", Some(0.0));
        check("-1%", None);
        check("nan", None);
        check("much", None);
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        for text in ["0s", "2days", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
