//! Series over stores against a plain reading of the documents, forecasts, pages, and what is refused.

use model::{Service, Timestamp};
use proptest::prelude::*;
use protocol::token::TokenKey;
use serde_json::{Value, json};
use storage::memory::MemoryStore;

use super::*;
use crate::graph::tests::reference::{Reference, What, series};
use crate::graph::tests::traffic::{FIRST_MINUTE, N_MINUTES, Plan, trace_id, traffic};
use crate::graph::tests::{ALL, TENANT, block_on, put};

fn request(from_secs: u64, to_secs: u64, period: u32) -> Request {
    Request {
        start_time: Timestamp::from_secs(from_secs),
        end_time: Timestamp::from_secs(to_secs),
        group: None,
        entity_selector_expression: None,
        period: Some(period),
        forecast_statistics: false,
        next_token: None,
    }
}

fn named(name: &'static str) -> EntitySelector {
    EntitySelector {
        entity: Entity::Services(Box::new(move |service: &Service| service.name == name)),
        has_id: true,
    }
}

fn calls(from: &'static str, to: &'static str) -> EntitySelector {
    let is_meant =
        move |caller: &Service, called: &Service| caller.name == from && called.name == to;
    EntitySelector {
        entity: Entity::Edges(Box::new(is_meant)),
        has_id: true,
    }
}

fn ask(
    store: &MemoryStore,
    request: &Request,
    selector: Option<EntitySelector>,
    n_periods_max: u32,
) -> Result<Response, QueryError> {
    let options = TimeSeriesOptions {
        n_periods_max,
        token_key: TokenKey([7; 32]),
    };
    block_on(time_series(store, TENANT, request, ALL, selector, &options))
}

/// Returns all entries, and how many are on each page.
fn whole(
    store: &MemoryStore,
    request: &Request,
    selector: impl Fn() -> Option<EntitySelector>,
    n_periods_max: u32,
) -> (Vec<Value>, Vec<usize>) {
    let (mut entries, mut lengths) = (Vec::new(), Vec::new());
    let mut request = request.clone();
    loop {
        let page = ask(store, &request, selector(), n_periods_max).unwrap();
        let found = &page.time_series_service_statistics;
        lengths.push(found.len());
        entries.extend(found.iter().map(|entry| json!(entry)));
        request.next_token = page.next_token;
        if request.next_token.is_none() {
            return (entries, lengths);
        }
    }
}

/// Returns a segment with a fault if wanted.
fn served(trace: u64, name: &str, start: u64, is_fault: bool) -> String {
    let trace_id = trace_id(trace);
    format!(
        r#"{{"trace_id":"{trace_id}","id":"0000000000000001","name":"{name}","start_time":{start},"end_time":{start}.5,"fault":{is_fault}}}"#
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_series_is_what_its_documents_say(
        plans in traffic(30),
        from in 0..N_MINUTES,
        n_minutes in 1..N_MINUTES,
        period_minutes in 1..5_u32,
        what in 0..3,
        n_periods_max in 1..12_u32,
    ) {
        let (store, mut reference) = (MemoryStore::default(), Reference::default());
        let texts: Vec<String> = plans.iter().map(Plan::text).collect();
        put(&store, &texts);
        reference.put_all(&texts);
        let events = reference.events(&reference.trace_ids());
        let (first, end) = (FIRST_MINUTE + from, FIRST_MINUTE + from + n_minutes);
        let selector = || match what {
            0 => None,
            1 => Some(named("web")),
            _ => Some(calls("web", "web")),
        };
        let is_meant = |event: &What| match (what, event) {
            (0, What::Edge { from, is_link, .. }) => from.1.as_deref() == Some("client") && !is_link,
            (1, What::Request { node, .. }) => node.0 == "web",
            (2, What::Edge { from, to, .. }) => from.0 == "web" && to.0 == "web",
            _ => false,
        };
        let mut expected = series(&events, (first, end), period_minutes.into(), is_meant);
        if what == 0 {
            expected.retain(|(_, statistics, _)| statistics["TotalCount"] != 0);
        }
        let request = request(first * 60 + 1, end * 60, period_minutes * 60);
        let (found, _) = whole(&store, &request, selector, n_periods_max);
        let member = if what == 1 { "ServiceSummaryStatistics" } else { "EdgeSummaryStatistics" };
        let expected: Vec<Value> = expected
            .into_iter()
            .map(|(start, statistics, histogram)| json!({
                "Timestamp": f64::from(u32::try_from(start).unwrap()),
                member: statistics,
                "ResponseTimeHistogram": histogram,
            }))
            .collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn periods_begin_at_multiples_of_their_length() {
    let store = MemoryStore::default();
    put(
        &store,
        &[served(1, "shop", 310, false), served(2, "shop", 890, false)],
    );
    let starts = |from: u64, to: u64| -> Vec<Value> {
        let (entries, _) = whole(&store, &request(from, to, 300), || Some(named("shop")), 10);
        entries
            .into_iter()
            .map(|entry| entry["Timestamp"].clone())
            .collect()
    };
    assert_eq!(starts(300, 900), [300.0, 600.0]);
    assert_eq!(starts(599, 601), [300.0, 600.0]);
    assert_eq!(starts(299, 300), [0.0]);
    assert_eq!(starts(420, 420), [0.0; 0]);
    assert_eq!(starts(421, 421), [300.0]);
    let (entries, _) = whole(&store, &request(599, 601, 300), || Some(named("shop")), 10);
    let totals: Vec<&Value> = entries
        .iter()
        .map(|entry| &entry["ServiceSummaryStatistics"]["TotalCount"])
        .collect();
    assert_eq!(totals, [1, 1], "whole periods count");
}

#[test]
fn the_period_is_a_minute_unless_said() {
    let store = MemoryStore::default();
    let mut minutes = request(0, 180, 60);
    minutes.period = None;
    let (entries, _) = whole(&store, &minutes, || Some(named("shop")), 10);
    assert_eq!(entries.len(), 3);
    for period in [0, 1, 30, 59, 61, 90, u32::MAX] {
        let refused = ask(&store, &request(0, 180, period), None, 10).unwrap_err();
        let expected = format!("Period is {period} seconds and must be a multiple of 60");
        assert_eq!(refused.to_string(), expected);
    }
    let (entries, _) = whole(
        &store,
        &request(0, 180, 4_294_967_280),
        || Some(named("shop")),
        10,
    );
    assert_eq!(entries.len(), 1);
    assert!(matches!(
        ask(&store, &request(2, 1, 60), None, 10),
        Err(QueryError::Invalid(_))
    ));
}

#[test]
fn periods_without_requests_are_zeros_for_a_selector_and_left_out_without() {
    let store = MemoryStore::default();
    put(&store, &[served(1, "shop", 70, true)]);
    let (entries, _) = whole(&store, &request(0, 180, 60), || Some(named("shop")), 10);
    let nothing = json!({
        "OkCount": 0,
        "ErrorStatistics": {"ThrottleCount": 0, "OtherCount": 0, "TotalCount": 0},
        "FaultStatistics": {"OtherCount": 0, "TotalCount": 0},
        "TotalCount": 0,
        "TotalResponseTime": 0.0,
    });
    let empty =
        json!({"Timestamp": 0.0, "ServiceSummaryStatistics": nothing, "ResponseTimeHistogram": []});
    assert_eq!(entries[0], empty);
    assert_eq!(entries.len(), 3);
    let (entries, _) = whole(&store, &request(0, 180, 60), || None, 10);
    assert_eq!(entries.len(), 1);
    assert_eq!(
        entries[0]["EdgeSummaryStatistics"]["FaultStatistics"]["TotalCount"],
        1
    );
    assert!(entries[0].get("ServiceSummaryStatistics").is_none());
}

#[test]
fn reading_ends_with_whole_hours() {
    for (period, minutes, expected) in [
        (0, 1, 60),
        (59, 1, 60),
        (60, 1, 120),
        (61, 1, 120),
        (13, 5, 24),
        (7, 60, 8),
        (7, 1_440, 8),
        (u32::MAX, 1, u32::MAX),
    ] {
        assert_eq!(read_end(period, minutes), expected, "{period} of {minutes}");
    }
}

#[test]
fn pages_hold_so_many_periods() {
    let store = MemoryStore::default();
    put(
        &store,
        &[served(1, "shop", 70, true), served(2, "shop", 660, false)],
    );
    let hour = request(0, 720, 60);
    let all = whole(&store, &hour, || Some(named("shop")), 12);
    assert_eq!(all.1, [12]);
    let paged = whole(&store, &hour, || Some(named("shop")), 5);
    assert_eq!(paged.1, [5, 5, 2]);
    assert_eq!(paged.0, all.0);
    assert_eq!(whole(&store, &hour, || None, 5).1, [1, 0, 1]);
    let token = ask(&store, &hour, None, 5).unwrap().next_token;
    let changes: [fn(&mut Request); 6] = [
        |_| {},
        |request| request.start_time = Timestamp::from_secs(1),
        |request| request.end_time = Timestamp::from_secs(721),
        |request| request.period = Some(120),
        |request| request.entity_selector_expression = Some("service(\"shop\")".to_owned()),
        |request| request.entity_selector_expression = Some(" ".to_owned()),
    ];
    let mut accepted = Vec::new();
    for change in changes {
        let mut next = hour.clone();
        next.next_token.clone_from(&token);
        change(&mut next);
        accepted.push(ask(&store, &next, None, 5).is_ok());
    }
    assert_eq!(accepted, [true, false, false, false, false, true]);
}

/// Returns the forecast of each minute, high and low.
fn forecasts(
    store: &MemoryStore,
    from: u64,
    to: u64,
    n_periods_max: u32,
) -> Vec<Option<(u64, u64)>> {
    let mut request = request(from * 60, to * 60, 60);
    request.forecast_statistics = true;
    let (entries, _) = whole(store, &request, || Some(named("shop")), n_periods_max);
    let forecast = |entry: &Value| {
        let forecast = entry.get("ServiceForecastStatistics")?;
        let count = |member: &str| forecast[member].as_u64().unwrap();
        Some((count("FaultCountHigh"), count("FaultCountLow")))
    };
    entries.iter().map(forecast).collect()
}

#[test]
fn a_forecast_is_the_band_of_the_hour_before() {
    let store = MemoryStore::default();
    let mut texts = Vec::new();
    for minute in 100..200_u64 {
        for number in 0..minute % 7 {
            texts.push(served(
                minute * 10 + number,
                "shop",
                minute * 60 + number,
                true,
            ));
        }
        texts.push(served(minute * 10 + 9, "shop", minute * 60, false));
    }
    put(&store, &texts);
    let found = forecasts(&store, 95, 200, 1_000);
    for (minute, forecast) in (95..200_u64).zip(&found) {
        let history: Vec<u64> = (minute.saturating_sub(60).max(100)..minute)
            .map(|before| before % 7)
            .collect();
        let expected = band(&history).map(|band| (band.high, band.low));
        assert_eq!(*forecast, expected, "{minute}");
    }
    assert!(
        found[14].is_none() && found[15].is_some(),
        "ten minutes after the first request"
    );
    assert_eq!(forecasts(&store, 95, 200, 7), found, "pages do not matter");
    assert_eq!(
        forecasts(&store, 150, 200, 7),
        found[55..],
        "the window does not matter"
    );
    // An hour after its last request nothing is known of it.
    assert_eq!(forecasts(&store, 259, 261, 7), [Some((1, 0)), None]);
}

#[test]
fn forecasts_are_of_services_named_by_id() {
    let store = MemoryStore::default();
    let mut forecast = request(0, 60, 60);
    forecast.forecast_statistics = true;
    let anonymous = EntitySelector {
        has_id: false,
        ..named("shop")
    };
    for selector in [None, Some(anonymous), Some(calls("a", "b"))] {
        let refused = ask(&store, &forecast, selector, 5);
        assert!(matches!(refused, Err(QueryError::Invalid(_))));
    }
    assert!(ask(&store, &forecast, Some(named("shop")), 5).is_ok());
}

#[test]
fn servers_may_move_the_work_between_threads() {
    fn is_send<T: Send>(_: &T) -> bool {
        true
    }
    let (store, request) = (MemoryStore::default(), request(0, 60, 60));
    let options = TimeSeriesOptions {
        n_periods_max: 1,
        token_key: TokenKey([7; 32]),
    };
    let selector = Some(named("shop"));
    assert!(is_send(&time_series(
        &store, TENANT, &request, ALL, selector, &options
    )));
}
