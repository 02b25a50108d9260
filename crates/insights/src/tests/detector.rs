//! What opens, changes and closes insights.

use super::support::*;
use crate::insight::{ChangeKind, Impact, InsightState};

const QUIET: &str = ">web:100/0 web>shop:80/0 shop>db:80/0";
const BROKEN: &str = ">web:100/40 web>shop:80/40 shop>db:80/50";

fn check(minutes: &[(u32, &str)], expected: &[&str]) -> Run {
    let mut run = Run::new();
    for (n_minutes, traffic) in minutes {
        run.minutes(*n_minutes, traffic);
    }
    assert_eq!(run.told(), expected, "{minutes:?}");
    run
}

fn names(services: &[model::Service]) -> Vec<&str> {
    services.iter().map(|one| one.name.as_str()).collect()
}

#[test]
fn an_incident_at_a_leaf_is_one_insight() {
    let run = check(
        &[(30, QUIET), (10, BROKEN), (30, QUIET)],
        &[
            "31 Opened db",
            "33 Updated db",
            "37 Updated db",
            "44 Closed db",
        ],
    );
    let opened = run.last(ChangeKind::Opened);
    assert_eq!(opened.state(), InsightState::Active);
    assert_eq!((opened.start, opened.end), (at(30, 0), None));
    assert_eq!(opened.updated, at(32, 0));
    assert_eq!(names(&opened.top_anomalous), ["db", "shop", "web"]);
    let two_minutes = Impact {
        faults: 100,
        total: 160,
    };
    assert_eq!(opened.root_cause_impact, two_minutes);
    assert_eq!(
        opened.summary,
        "The overall fault rate of db was 63 %, which is more than expected. 100 of its 160 requests had a \
         fault, and 80 of 200 requests of clients."
    );

    let closed = run.last(ChangeKind::Closed);
    assert_eq!(closed.id, opened.id);
    assert_eq!(closed.state(), InsightState::Closed);
    assert_eq!((closed.start, closed.end), (at(30, 0), Some(at(40, 0))));
    assert_eq!(closed.updated, at(45, 0));
    let (faults, total) = (500, 800);
    assert_eq!(closed.root_cause_impact, Impact { faults, total });
    assert_eq!(closed.root_cause_impact.ok(), 300);
    let (faults, total) = (400, 1_000);
    assert_eq!(closed.clients, Impact { faults, total });
    assert_eq!(
        closed.summary,
        "There were more faults than expected for 10 minutes. The overall fault rate of db was 63 % and the \
         insight is closed: it is as expected again."
    );
    let events: Vec<(u64, u64)> = closed
        .events
        .iter()
        .map(|event| (event.time.as_secs(), event.root_cause_impact.faults))
        .collect();
    let secs = |minute: u32| at(minute, 0).as_secs();
    let expected = [(32, 100), (34, 200), (38, 400), (45, 500)];
    assert_eq!(
        events,
        expected.map(|(minute, faults)| (secs(minute), faults))
    );
    assert_eq!(closed.events[3].summary, closed.summary);
}

#[test]
fn what_is_as_expected_opens_nothing() {
    check(&[(300, QUIET)], &[]);
    check(&[(300, "")], &[]);
    // Faults that always were there.
    check(&[(300, ">web:100/30")], &[]);
    // Nothing is known of what was expected.
    check(&[(300, BROKEN)], &[]);
    // One minute, whatever happens in it.
    check(&[(30, QUIET), (1, BROKEN), (30, QUIET)], &[]);
    let apart = [
        (30, QUIET),
        (1, BROKEN),
        (2, QUIET),
        (1, BROKEN),
        (9, QUIET),
    ];
    check(&apart, &[]);
    // Ten times the requests with as many faults of a hundred.
    check(&[(60, ">web:100/3"), (60, ">web:1000/30")], &[]);
    // Faults of a service nobody uses much.
    check(&[(60, ">web:4/0"), (60, ">web:4/4")], &[]);
}

#[test]
fn two_of_three_minutes_open_an_insight() {
    let run = check(
        &[
            (30, QUIET),
            (1, BROKEN),
            (1, QUIET),
            (1, BROKEN),
            (9, QUIET),
        ],
        &["32 Opened db", "37 Closed db"],
    );
    // The minute between counts.
    let closed = run.last(ChangeKind::Closed);
    assert_eq!((closed.start, closed.end), (at(30, 0), Some(at(33, 0))));
    assert_eq!(closed.clients.total, 300);
    assert_eq!(closed.clients.faults, 80);
}

#[test]
fn an_insight_outlasts_four_quiet_minutes() {
    let run = check(
        &[
            (30, QUIET),
            (2, BROKEN),
            (4, QUIET),
            (1, BROKEN),
            (9, QUIET),
        ],
        &["31 Opened db", "41 Closed db"],
    );
    let closed = run.last(ChangeKind::Closed);
    assert_eq!(closed.end, Some(at(37, 0)));
    assert_eq!(closed.clients.total, 700);
    check(
        &[
            (30, QUIET),
            (2, BROKEN),
            (5, QUIET),
            (2, BROKEN),
            (5, QUIET),
        ],
        &[
            "31 Opened db",
            "36 Closed db",
            "38 Opened db",
            "43 Closed db",
        ],
    );
}

#[test]
fn an_insight_ends_when_traffic_does() {
    let run = check(
        &[(30, QUIET), (3, BROKEN), (60, "")],
        &["31 Opened db", "37 Closed db"],
    );
    assert_eq!(run.last(ChangeKind::Closed).end, Some(at(33, 0)));
    // A night without requests is nothing to learn from.
    check(&[(30, QUIET), (600, ""), (2, BROKEN)], &["631 Opened db"]);
}

#[test]
fn incidents_apart_are_insights_apart() {
    let quiet = ">a:100/0 a>x:100/0 >b:50/0 b>y:50/0";
    let one = ">a:100/20 a>x:100/20 >b:50/0 b>y:50/0";
    let both = ">a:100/20 a>x:100/20 >b:50/10 b>y:50/10";
    let other = ">a:100/0 a>x:100/0 >b:50/10 b>y:50/10";
    let run = check(
        &[(30, quiet), (3, one), (1, both), (3, other), (9, quiet)],
        &[
            "31 Opened x",
            "33 Updated x",
            "34 Opened y",
            "36 Updated y",
            "38 Closed x",
            "41 Closed y",
        ],
    );
    let closed: Vec<_> = run
        .changes
        .iter()
        .filter(|(_, change)| change.kind == ChangeKind::Closed)
        .map(|(_, change)| &change.insight)
        .collect();
    assert_ne!(closed[0].id, closed[1].id);
    assert_eq!(names(&closed[0].services), ["a", "x"]);
    assert_eq!(names(&closed[1].services), ["b", "y"]);
    // Clients of the one are not clients of the other.
    assert_eq!(
        (closed[0].clients.faults, closed[0].clients.total),
        (80, 400)
    );
    assert_eq!(
        (closed[1].clients.faults, closed[1].clients.total),
        (40, 200)
    );
}

#[test]
fn insights_that_turn_out_to_be_one_are_joined() {
    let quiet = ">web:100/0 web>x:100/0 web>y:100/0";
    let one = ">web:100/0 web>x:100/20 web>y:100/0";
    let both = ">web:100/0 web>x:100/20 web>y:100/40";
    let all = ">web:100/40 web>x:100/20 web>y:100/40";
    let run = check(
        &[(30, quiet), (2, one), (2, both), (2, all), (9, quiet)],
        &[
            "31 Opened x",
            "33 Updated x",
            "33 Opened y",
            // Clients begin to have faults.
            "34 Updated x",
            "34 Updated y",
            "35 Closed y",
            "35 Updated y",
            "40 Closed y",
        ],
    );
    let joined = &run.changes[5].1.insight;
    assert!(
        joined
            .summary
            .ends_with("an older insight goes on for its services.")
    );
    let closed = run.last(ChangeKind::Closed);
    assert_eq!(closed.id, run.changes[0].1.insight.id);
    assert_eq!(names(&closed.services), ["web", "x", "y"]);
    assert_eq!(closed.start, at(30, 0));
    // y has more faults than x and is as far away; its requests count since the insight began.
    let (faults, total) = (160, 600);
    assert_eq!(closed.root_cause_impact, Impact { faults, total });
}

#[test]
fn the_root_cause_moves_downstream() {
    let entry = ">web:100/20 web>shop:80/0 shop>db:80/0";
    let run = check(
        &[(30, QUIET), (3, entry), (2, BROKEN), (9, QUIET)],
        &[
            "31 Opened web",
            "33 Updated web",
            "34 Updated db",
            "39 Closed db",
        ],
    );
    let updated = run.last(ChangeKind::Updated);
    let event = updated.events.last().unwrap();
    assert_eq!(
        event.summary,
        "The root cause is now seen in db, farther downstream than before or with more faults."
    );
    assert_eq!(names(&event.top_anomalous), ["web", "db", "shop"]);
    let (faults, total) = (100, 400);
    assert_eq!(updated.root_cause_impact, Impact { faults, total });
}

#[test]
fn long_incidents_do_not_become_what_is_expected() {
    let mut run = Run::new();
    run.minutes(60, QUIET).minutes(8 * 60, BROKEN);
    assert_eq!(run.state.open.len(), 1);
    assert_eq!(run.state.open[0].insight.start, at(60, 0));
    let n_events = run.state.open[0].insight.events.len();
    assert!((2..20).contains(&n_events), "{n_events}");
    // A minute after it the same is an anomaly as before.
    run.minutes(6, QUIET).minutes(2, BROKEN);
    assert_eq!(run.told().last().unwrap(), "547 Opened db");
}

#[test]
fn after_a_day_an_incident_is_accepted() {
    let mut run = Run::new();
    run.minutes(60, QUIET).minutes(48 * 60, BROKEN);
    let told = run.told();
    assert_eq!(told.first().unwrap(), "61 Opened db");
    assert_eq!(told.last().unwrap(), "1499 Closed db");
    let closed = run.last(ChangeKind::Closed);
    assert_eq!(closed.end, Some(at(1_500, 0)));
    assert!(closed.summary.contains("for 1440 minutes."), "{closed:?}");
    // What comes on top of it is an anomaly again.
    run.minutes(2, ">web:100/90 web>shop:80/80 shop>db:80/80");
    let opened = run.told().last().cloned().unwrap();
    assert_eq!(
        opened, "2941 Opened shop",
        "80 of 80 are less than twice 50 of 80"
    );
}

#[test]
fn ramps_are_found_if_they_outrun_the_history() {
    let ramp = |minutes_a_fault: i64| {
        let mut run = Run::new();
        run.minutes(120, ">web:1000/0");
        for minute in 0..400 * minutes_a_fault {
            let mut cells = model::Cells::default();
            add_call(&mut cells, ("", "web"), (1_000, minute / minutes_a_fault));
            run.minute(&cells);
        }
        run.changes.first().map(|(minute, _)| *minute)
    };
    // One fault more each minute: known as soon as there are 10 in 1,000 requests, for two minutes.
    assert_eq!(ramp(1), Some(120 + 11));
    // One more every two hours stays within the band of the last two hours.
    assert_eq!(ramp(120), None);
    assert_eq!(ramp(30), None);
}

#[test]
fn first_sentences_have_no_full_stop_inside() {
    let quiet = ">a.example.com:100/0";
    let broken = ">a.example.com:100/50";
    let run = check(
        &[(30, quiet), (2, broken), (9, quiet)],
        &["31 Opened a.example.com", "36 Closed a.example.com"],
    );
    let closed = run.last(ChangeKind::Closed);
    let sentences: Vec<&str> = closed.summary.split('.').collect();
    assert_eq!(
        sentences,
        [
            "There were more faults than expected for 2 minutes",
            " The overall fault rate of the root cause was 50 % and the insight is closed: it is as expected \
             again",
            ""
        ]
    );
}

#[test]
fn a_minute_is_evaluated_once() {
    let mut run = Run::new();
    run.minutes(32, QUIET);
    let before = run.state.clone();
    run.next = 31;
    run.minutes(1, BROKEN);
    assert_eq!(run.state, before);
}

#[test]
fn services_that_are_kept_track_of_are_few() {
    let mut run = Run::new();
    let mut largest = 0;
    for round in 0..12 {
        let mut cells = model::Cells::default();
        for number in 0..3_000 {
            let name = format!("s{:05}", round * 3_000 + number);
            add_call(&mut cells, ("", &name), (10, 0));
        }
        run.minute(&cells);
        let record = serde_json::to_string(&run.state).unwrap();
        let state: serde_json::Value = serde_json::from_str(&record).unwrap();
        let len = |list: &serde_json::Value| list.as_array().unwrap().len();
        assert_eq!(len(&state["tracks"]), 500);
        let recent = state["recent"].as_array().unwrap();
        assert_eq!(recent.len(), 6.min(round + 1));
        for minute in recent {
            let kept = (len(&minute["services"]), len(&minute["entries"]));
            assert_eq!(kept, (500, 500), "{round}");
        }
        largest = largest.max(record.len());
    }
    assert!(largest < 2 << 20, "a record of {largest} bytes");
}

/// What clients called counts for a service that is kept track of, however many others there are.
#[test]
fn requests_of_clients_to_services_kept_track_of_count() {
    let mut run = Run::new();
    let traffic = |faults: i64, n_others: usize| {
        let mut cells = model::Cells::default();
        add_call(&mut cells, ("", "web"), (20, faults));
        for number in 0..n_others {
            // They come before and are no services themselves.
            add_call(&mut cells, ("", &format!("a{number:05}")), (10, 0));
            cells.nodes.remove(&service(&format!("a{number:05}")));
        }
        cells
    };
    for _ in 0..30 {
        run.minute(&traffic(0, 0));
    }
    for _ in 0..3 {
        run.minute(&traffic(10, 600));
    }
    let sent = Impact {
        faults: 20,
        total: 40,
    };
    assert_eq!(run.last(ChangeKind::Opened).clients, sent);
}

#[test]
fn services_that_were_not_seen_for_a_week_are_forgotten() {
    let after = |n_days: u32| {
        let mut run = Run::new();
        run.minutes(30, QUIET);
        run.next += n_days * 24 * 60;
        run.minutes(2, BROKEN);
        run.changes.len()
    };
    assert_eq!(after(6), 1);
    assert_eq!(after(8), 0);
}

#[test]
fn open_insights_are_few() {
    let traffic = |faults: i64, n_faulty: usize| {
        let mut cells = model::Cells::default();
        for number in 0..15 {
            let faults = if number < n_faulty { faults } else { 0 };
            add_call(&mut cells, ("", &format!("s{number:02}")), (20, faults));
        }
        cells
    };
    let mut run = Run::new();
    for _ in 0..30 {
        run.minute(&traffic(0, 0));
    }
    for _ in 0..5 {
        run.minute(&traffic(10, 12));
    }
    assert_eq!(run.state.open.len(), 10);
    let opened = |run: &Run| {
        let opened = run.changes.iter();
        opened
            .filter(|(_, change)| change.kind == ChangeKind::Opened)
            .count()
    };
    assert_eq!(opened(&run), 10);
    // Once there is room, those that had none are found.
    for _ in 0..5 {
        let mut cells = traffic(0, 0);
        for number in 10..12 {
            add_call(&mut cells, ("x", &format!("s{number:02}")), (20, 20));
        }
        run.minute(&cells);
    }
    run.minutes(1, "x>s10:40/20 x>s11:40/20");
    assert_eq!(opened(&run), 12);
}

#[test]
fn events_are_few_and_the_closing_is_among_them() {
    let traffic = |n_faulty: usize| {
        let mut cells = model::Cells::default();
        add_call(
            &mut cells,
            ("", "s000"),
            (20, if n_faulty > 0 { 10 } else { 0 }),
        );
        for number in 1..200 {
            let (from, to) = (format!("s{:03}", number - 1), format!("s{number:03}"));
            let faults = if number < n_faulty { 10 } else { 0 };
            add_call(&mut cells, (&from, &to), (20, faults));
        }
        cells
    };
    let mut run = Run::new();
    for _ in 0..12 {
        run.minute(&traffic(0));
    }
    for n_faulty in 1..150 {
        run.minute(&traffic(n_faulty));
    }
    for _ in 0..5 {
        run.minute(&traffic(0));
    }
    let closed = run.last(ChangeKind::Closed);
    assert_eq!(closed.events.len(), 100);
    assert_eq!(closed.events[99].summary, closed.summary);
    assert_eq!(closed.events[99].time, closed.updated);
    // One that joined in the last minute was anomalous once only.
    assert_eq!(closed.root_cause.name, "s147");
    assert_eq!(closed.services.len(), 148);
    assert_eq!(closed.top_anomalous.len(), 10);
}

#[test]
fn nothing_is_learnt_from_services_of_an_open_insight() {
    let mut run = Run::new();
    run.minutes(30, ">web:100/0");
    // Every other minute is within the band, which would soon be wide enough for all.
    for _ in 0..240 {
        run.minutes(1, ">web:100/10").minutes(1, ">web:100/4");
    }
    let opened = run.told();
    assert_eq!(opened[0], "32 Opened web");
    assert_eq!(run.state.open.len(), 1);
    assert_eq!(run.state.open[0].insight.clients.faults, 240 * 10 + 239 * 4);
}

#[test]
fn calls_are_remembered_while_an_insight_is_open() {
    let mut run = Run::new();
    run.minutes(30, ">web:100/0 web>db:80/0");
    run.minutes(2, ">web:100/0 web>db:80/50");
    // The service in front no longer calls, someone else does.
    run.minutes(118, ">web:100/0 x>db:80/50");
    let insight = &run.state.open[0].insight;
    assert_eq!(insight.clients.total, 120 * 100);
    assert_eq!(insight.root_cause_impact.faults, 120 * 50);
}
