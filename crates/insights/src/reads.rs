//! What requests ask of insights (spec: X-Ray API, `GetInsightSummaries`, `GetInsight`, `GetInsightEvents`).

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use crate::InsightError;
use crate::insight::{Event, Insight, InsightState};
use crate::keeper::{Insights, KEPT, Kept};

/// Which insights to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummariesQuery {
    /// The number of the group they were found in.
    pub group: u32,
    /// The state they must be in; nothing for any.
    pub state: Option<InsightState>,
    /// Start of the window: those that ended before are left out.
    pub from: Timestamp,
    /// End of the window: those that began later are left out.
    pub to: Timestamp,
    /// Where the page before ended; nothing to begin at the newest.
    pub after: Option<Position>,
    /// How many to return at most; at least 1.
    pub n_max: usize,
}

/// A place in the list of insights, which is in the order of start, newest first, then id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Start of the insight.
    pub start: Timestamp,
    /// Its id.
    pub id: String,
}

/// Some insights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummariesPage {
    /// The insights, newest start first.
    pub insights: Vec<Arc<Insight>>,
    /// Where to go on; nothing if these were the last.
    pub next: Option<Position>,
}

/// Some events of an insight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsPage {
    /// The events, newest first.
    pub events: Vec<Event>,
    /// Where to go on; nothing if these were the last.
    pub next: Option<u32>,
}

impl Insights {
    /// Returns the insights of a group that went on at some time within a window.
    ///
    /// # Errors
    /// [`InsightError::Invalid`] for a window that ends before it starts or starts more than 30 days ago.
    pub fn summaries(
        &self,
        query: &SummariesQuery,
        now: Timestamp,
    ) -> Result<SummariesPage, InsightError> {
        check_window(query.from, query.to, now)?;
        let mut found: Vec<Arc<Insight>> = self.kept().of_group(query.group);
        found.retain(|one| {
            let is_in_state = query.state.is_none_or(|state| state == one.state());
            let is_within = one.start <= query.to && one.end.is_none_or(|end| end >= query.from);
            let place = rank(one.start, &one.id);
            let after = query.after.as_ref();
            let is_next = after.is_none_or(|after| place > rank(after.start, &after.id));
            is_in_state && is_within && is_next
        });
        found.sort_by(|one, other| rank(one.start, &one.id).cmp(&rank(other.start, &other.id)));
        let n_max = query.n_max.max(1);
        let has_more = found.len() > n_max;
        found.truncate(n_max);
        let last = found.last().filter(|_| has_more);
        let next = last.map(|one| Position {
            start: one.start,
            id: one.id.clone(),
        });
        Ok(SummariesPage {
            insights: found,
            next,
        })
    }

    /// Returns the insight with an id, in upper or lower case.
    ///
    /// # Errors
    /// [`InsightError::NotFound`].
    pub fn insight(&self, id: &str) -> Result<Arc<Insight>, InsightError> {
        let found = self.kept().insight(&id.to_ascii_lowercase());
        found.ok_or_else(|| InsightError::NotFound { id: id.to_owned() })
    }

    /// Returns the next events of an insight, newest first; `after` is where the page before ended. What
    /// happens meanwhile is not on later pages.
    ///
    /// # Errors
    /// [`InsightError::NotFound`].
    pub fn events(
        &self,
        id: &str,
        after: Option<u32>,
        n_max: usize,
    ) -> Result<EventsPage, InsightError> {
        let insight = self.insight(id)?;
        let numbered: Vec<(&Event, u32)> = insight.events.iter().zip(0..).collect();
        let newest_first = numbered.into_iter().rev();
        let mut rest = newest_first.filter(|(_, number)| after.is_none_or(|after| *number < after));
        let page: Vec<(&Event, u32)> = rest.by_ref().take(n_max.max(1)).collect();
        let has_more = rest.next().is_some();
        Ok(EventsPage {
            next: page.last().filter(|_| has_more).map(|(_, number)| *number),
            events: page.into_iter().map(|(event, _)| event.clone()).collect(),
        })
    }
}

impl Kept {
    fn of_group(&self, number: u32) -> Vec<Arc<Insight>> {
        let open = self.watched.get(&number).into_iter();
        let open = open.flat_map(|watched| &watched.state.open);
        let open = open.map(|incident| Arc::new(incident.insight.clone()));
        let closed = self.closed.values();
        let closed = closed.filter(|insight| insight.group.number == number);
        open.chain(closed.cloned()).collect()
    }

    fn insight(&self, id: &str) -> Option<Arc<Insight>> {
        let mut open = self.watched.values().flat_map(|one| &one.state.open);
        let open = open.find(|incident| incident.insight.id == id);
        open.map(|incident| Arc::new(incident.insight.clone()))
            .or_else(|| self.closed.get(id).cloned())
    }
}

/// Refuses a window that ends before it starts, or that starts before what is kept.
pub(crate) fn check_window(
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
) -> Result<(), InsightError> {
    let invalid = |text: &str| Err(InsightError::Invalid(text.to_owned()));
    if to < from {
        return invalid("invalid EndTime: it is before StartTime");
    }
    if from < now.before(KEPT + CLOCKS_APART) {
        return invalid("invalid StartTime: it is more than 30 days ago");
    }
    Ok(())
}

/// Returns what insights are sorted by.
fn rank(start: Timestamp, id: &str) -> (std::cmp::Reverse<Timestamp>, &str) {
    (std::cmp::Reverse(start), id)
}

/// Who asks for the last 30 days is not refused for the time the request takes, nor for a clock that is
/// a little slow.
const CLOCKS_APART: Duration = Duration::from_mins(5);
