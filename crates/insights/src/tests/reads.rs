//! What requests are answered.

use std::sync::Arc;

use model::Timestamp;
use storage::control::memory::MemoryControl;
use storage::memory::MemoryStore;

use super::support::*;
use crate::insight::{Insight, InsightState};
use crate::{InsightError, Insights, SummariesQuery};

/// Insights over three incidents; the last one goes on. The third is 100 minutes after the second.
fn insights() -> Insights {
    let store = MemoryStore::default();
    let mut minutes = incident();
    let again = |later: u32| move |(minute, traffic): (u32, (u64, u64))| (minute + later, traffic);
    minutes.extend(incident().into_iter().map(again(50)));
    minutes.extend(
        incident()
            .into_iter()
            .filter(|(minute, _)| *minute < 16)
            .map(again(150)),
    );
    put(&store, &minutes);
    let control = Arc::new(MemoryControl::default());
    let insights = Insights::open(control, TENANT, at(0, 0)).unwrap();
    block_on(insights.advance(&store, &[group(0)], at(168, 0))).unwrap();
    insights
}

fn query(from: u32, to: u32) -> SummariesQuery {
    SummariesQuery {
        group: 0,
        state: None,
        from: at(from, 0),
        to: at(to, 0),
        after: None,
        n_max: 100,
    }
}

fn starts(found: &[Arc<Insight>]) -> Vec<u64> {
    let minutes = found
        .iter()
        .map(|one| one.start.since(at(0, 0)).as_secs() / 60);
    minutes.collect()
}

#[test]
fn insights_are_listed_by_group_state_and_window() {
    let insights = insights();
    let check = |query: &SummariesQuery, expected: &[u64]| {
        let page = insights.summaries(query, at(170, 0)).unwrap();
        assert_eq!(starts(&page.insights), expected, "{query:?}");
        assert_eq!(page.next, None);
    };
    let all = query(0, 170);
    check(&all, &[162, 62, 12]);
    let only = |state: InsightState| SummariesQuery {
        state: Some(state),
        ..query(0, 170)
    };
    check(&only(InsightState::Active), &[162]);
    check(&only(InsightState::Closed), &[62, 12]);
    check(&SummariesQuery { group: 1, ..all }, &[]);
    // Both ends belong to the window, of the insights too.
    check(&query(16, 62), &[62, 12]);
    check(&query(17, 61), &[]);
    check(&query(13, 14), &[12]);
    check(&query(0, 12), &[12]);
    check(&query(0, 11), &[]);
    // One that goes on has no end yet.
    check(&query(169, 170), &[162]);
}

#[test]
fn pages_put_together_are_the_whole() {
    let insights = insights();
    for n_max in 1..5 {
        let mut query = SummariesQuery {
            n_max,
            ..query(0, 170)
        };
        let mut found = Vec::new();
        loop {
            let page = insights.summaries(&query, at(170, 0)).unwrap();
            assert!(page.insights.len() <= n_max);
            found.extend(starts(&page.insights));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(found, [162, 62, 12], "{n_max}");
    }
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let insights = insights();
    let month = 30 * 24 * 60;
    let check = |from: u32, to: u32, now: Timestamp, expected: &str| {
        let found = insights.summaries(&query(from, to), now);
        match found {
            Err(InsightError::Invalid(text)) => assert_eq!(text, expected),
            Ok(_) => assert_eq!(expected, "", "{from} {to}"),
            Err(other) => panic!("{other}"),
        }
    };
    check(10, 9, at(10, 0), "invalid EndTime: it is before StartTime");
    check(10, 10, at(10, 0), "");
    check(10, 20, at(10 + month, 0), "");
    check(10, 20, at(15 + month, 0), "");
    let old = "invalid StartTime: it is more than 30 days ago";
    check(10, 20, at(15 + month, 1), old);
}

#[test]
fn events_come_newest_first_and_page_by_page() {
    let insights = insights();
    let all = insights.summaries(&query(0, 20), at(170, 0)).unwrap();
    let insight = &all.insights[0];
    let mut newest_first = insight.events.clone();
    newest_first.reverse();
    assert_eq!(newest_first.len(), 3);
    assert_eq!(newest_first[0].summary, insight.summary);
    for n_max in 1..5 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = insights.events(&insight.id, after, n_max).unwrap();
            assert!(page.events.len() <= n_max);
            found.extend(page.events);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, newest_first, "{n_max}");
    }
    let upper = insight.id.to_ascii_uppercase();
    assert_eq!(insights.insight(&upper).unwrap(), *insight);
}

#[test]
fn what_is_not_there_is_not_found() {
    let insights = insights();
    let id = "12345678-1234-5234-8234-123456789abc";
    let error = insights.insight(id).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("invalid InsightId: there is no insight {id:?}")
    );
    let events = insights.events(id, None, 1);
    assert!(matches!(events, Err(InsightError::NotFound { .. })));
}

#[test]
fn what_clients_read_without_asking_is_there() {
    let insights = insights();
    let all = insights.summaries(&query(0, 170), at(170, 0)).unwrap();
    for insight in &all.insights {
        assert!(!insight.top_anomalous.is_empty());
        assert!(insight.services.contains(&insight.root_cause));
        let sentences: Vec<&str> = insight.summary.split(". ").collect();
        assert_eq!(sentences.len(), 2, "{insight:?}");
        for event in &insight.events {
            assert!(!event.top_anomalous.is_empty());
        }
    }
}
