//! What arrives at a server that does not tell: its last minutes, asked for again and again.

use std::collections::HashMap;
use std::time::Duration;

use super::Shown;
use crate::Session;
use crate::client::{CallError, Summary};
use crate::exit::Stop;
use crate::stopping::Stopping;
use crate::terminal::note;
use crate::times::Window;

/// Shows traces that are new or have changed, until the end is asked for. What was there before is not new.
pub(super) async fn run(
    session: &Session,
    expression: Option<&str>,
    shown: &mut Shown,
    stopping: &mut Stopping,
) -> Result<(), Stop> {
    let mut seen = Seen::default();
    let mut has_answered = false;
    let mut was_cut = false;
    loop {
        let looked = tokio::select! {
            () = stopping.asked() => return Ok(()),
            looked = look(session, expression) => looked,
        };
        match looked {
            Ok(looked) => {
                // Told when it begins; it lasts as long as there are so many.
                if looked.is_cut && !was_cut {
                    shown.gap(&format!(
                        "a gap: there are more than {TRACES_MAX} traces in the last minutes, and some of them are not shown"
                    ));
                }
                was_cut = looked.is_cut;
                for summary in seen.news(looked.summaries) {
                    if has_answered {
                        shown.trace(&summary)?;
                    }
                }
                has_answered = true;
                shown.listing.show()?;
            }
            Err(error @ CallError::Unreachable { .. }) if has_answered => {
                note(&format!("{error}; trying again"));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = stopping.asked() => return Ok(()),
            () = tokio::time::sleep(BETWEEN) => {}
        }
    }
}

/// What was there at a look.
struct Looked {
    /// The oldest first.
    summaries: Vec<Summary>,
    /// Whether there are more of them.
    is_cut: bool,
}

/// Returns the traces of the last minutes.
async fn look(session: &Session, expression: Option<&str>) -> Result<Looked, CallError> {
    let to = (session.now)();
    let from = to.before(LOOK_BACK);
    let mut found = session.client.summaries(Window { from, to }, expression);
    let mut summaries = Vec::new();
    let mut is_cut = false;
    while let Some(summary) = found.next().await? {
        if summaries.len() >= TRACES_MAX {
            is_cut = true;
            break;
        }
        summaries.push(summary);
    }
    let start = |summary: &Summary| summary.start_time.unwrap_or(0.0);
    summaries.sort_by(|one, other| start(one).total_cmp(&start(other)));
    Ok(Looked { summaries, is_cut })
}

/// The traces of the last look, and what they were like.
#[derive(Debug, Default)]
struct Seen {
    summaries: HashMap<String, String>,
}

impl Seen {
    /// Returns those of a look that were not there at the last one, or were different.
    fn news(&mut self, summaries: Vec<Summary>) -> Vec<Summary> {
        let mut now = HashMap::with_capacity(summaries.len());
        let mut news = Vec::new();
        for summary in summaries {
            let text = serde_json::to_string(&summary).unwrap_or_default();
            if self.summaries.get(&summary.id) != Some(&text) {
                news.push(summary.clone());
            }
            now.insert(summary.id, text);
        }
        self.summaries = now;
        news
    }
}

const BETWEEN: Duration = Duration::from_secs(2);
/// How late a trace may be shown: AWS takes up to half a minute to index one, and long traces change until they end.
const LOOK_BACK: Duration = Duration::from_mins(5);
/// Traces that are kept to be compared.
const TRACES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trace_is_news_when_it_comes_and_when_it_changes() {
        let mut seen = Seen::default();
        let mut check = |traces: &[(&str, f64)], expected: &str| {
            let summaries = traces.iter().map(|(id, duration)| {
                serde_json::from_value(json!({ "Id": id, "Duration": duration })).unwrap()
            });
            let news = seen.news(summaries.collect());
            let ids: String = news.into_iter().map(|summary| summary.id).collect();
            assert_eq!(ids, expected);
        };
        check(&[("a", 1.0), ("b", 1.0)], "ab");
        check(&[("a", 1.0), ("b", 1.0)], "");
        check(&[("a", 2.0), ("b", 1.0), ("c", 1.0)], "ac");
        check(&[("c", 1.0)], "");
    }
}
