//! What insights and their events say to people.
//!
//! Clients show what lies between the first and the second full stop of a closed insight's summary
//! (Grafana's data source): the first sentence has no full stop but its last character, and the second one
//! names the root cause only if its name has none.

use model::Service;

use crate::insight::Impact;

/// Why an insight is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing was anomalous for some minutes.
    Recovered,
    /// It went on so long that it is what to expect.
    Accepted,
    /// Its services are anomalous together with those of an older insight.
    Joined,
    /// The group is watched no longer, or no longer there.
    Unwatched,
}

/// Returns the summary of an insight that goes on.
pub(crate) fn active(root_cause: &Service, impact: Impact, clients: Impact) -> String {
    format!(
        "The overall fault rate of {} was {}, which is more than expected. {} of its {} requests had a fault, \
         and {} of {} requests of clients.",
        label(root_cause),
        percent(impact),
        impact.faults,
        impact.total,
        clients.faults,
        clients.total,
    )
}

/// Returns the summary of an insight that is over.
pub(crate) fn closed(
    root_cause: &Service,
    impact: Impact,
    n_minutes: u32,
    ending: Ending,
) -> String {
    let name = Some(label(root_cause)).filter(|name| !name.contains('.'));
    let minutes = if n_minutes == 1 { "minute" } else { "minutes" };
    let ending = match ending {
        Ending::Recovered => "it is as expected again",
        Ending::Accepted => "it is from now on taken for what is to be expected",
        Ending::Joined => "an older insight goes on for its services",
        Ending::Unwatched => "the group is no longer watched",
    };
    format!(
        "There were more faults than expected for {n_minutes} {minutes}. The overall fault rate of {} was {} \
         and the insight is closed: {ending}.",
        name.unwrap_or("the root cause"),
        percent(impact),
    )
}

/// Returns what the event of an opening says.
pub(crate) fn opened(root_cause: &Service, impact: Impact) -> String {
    format!(
        "The fault rate of {} rose above what was expected. It was {} of {} requests.",
        label(root_cause),
        percent(impact),
        impact.total,
    )
}

/// Returns what the event says that tells of services that became anomalous too.
pub(crate) fn spread(services: &[Service]) -> String {
    let first = services.iter().take(NAMED_MAX).map(label);
    let mut names = first.collect::<Vec<_>>().join(", ");
    let n_more = services.len().saturating_sub(NAMED_MAX);
    if n_more > 0 {
        names = format!("{names} and {n_more} more");
    }
    format!("More faults than expected were found in further services: {names}.")
}

/// Returns what the event says that tells of another root cause.
pub(crate) fn moved(root_cause: &Service) -> String {
    format!(
        "The root cause is now seen in {}, farther downstream than before or with more faults.",
        label(root_cause)
    )
}

/// Returns what the event says that tells of a larger impact.
pub(crate) fn grew(root_cause: &Service, impact: Impact, clients: Impact) -> String {
    format!(
        "The impact has doubled. {} of {} requests of {} had a fault, and {} of {} requests of clients.",
        impact.faults,
        impact.total,
        label(root_cause),
        clients.faults,
        clients.total,
    )
}

fn label(service: &Service) -> &str {
    if service.name.is_empty() {
        "a service without a name"
    } else {
        &service.name
    }
}

/// Returns a share in whole percent: no full stop in the midst of a sentence.
fn percent(impact: Impact) -> String {
    let total = u128::from(impact.total.max(1));
    let percent = (u128::from(impact.faults) * 100 + total / 2) / total;
    if percent == 0 && impact.faults > 0 {
        return "less than 1 %".to_owned();
    }
    format!("{percent} %")
}

/// Services an event calls by name.
const NAMED_MAX: usize = 5;
