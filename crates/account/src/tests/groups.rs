//! Groups: names, filters and their history, insights, tags, pages.

use super::*;
use crate::{Group, GroupChange, GroupsSnapshot, InsightsChange, NewGroup, Selector};

fn named(name: &str) -> NewGroup {
    NewGroup {
        name: name.to_owned(),
        ..NewGroup::default()
    }
}

fn filtered(name: &str, filter: &str) -> NewGroup {
    NewGroup {
        filter: Some(filter.to_owned()),
        ..named(name)
    }
}

fn filter(text: &str) -> GroupChange {
    GroupChange {
        filter: Some(text.to_owned()),
        ..GroupChange::default()
    }
}

fn insights(enabled: Option<bool>, notifications: Option<bool>) -> InsightsChange {
    InsightsChange {
        enabled,
        notifications,
    }
}

fn pairs(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn names(groups: &[Arc<Group>]) -> Vec<&str> {
    groups.iter().map(|group| group.name.as_str()).collect()
}

#[test]
fn names_are_checked() {
    let check = |name: &str, text: Option<&str>| {
        let outcome = fresh().groups.create(named(name), at(1));
        match text {
            None => assert_eq!(outcome.unwrap().name, name),
            Some(text) => refused(outcome, "InvalidRequest", text),
        }
    };
    check("a", None);
    check("Admin-Group-7", None);
    check("-", None);
    check("high_response_time", None);
    check("default", None);
    check(&"x".repeat(32), None);
    let rule = "1 to 32 characters, which are letters (a-z, A-Z), digits, dashes and underscores";
    check("", Some(rule));
    check(&"x".repeat(33), Some(rule));
    for name in ["a b", "a/b", "a.b", "#numbers", "gr\u{fc}n", "a\n"] {
        check(name, Some(rule));
    }
    check("Default", Some("Default is reserved"));
}

#[test]
fn names_are_unique_and_case_sensitive() {
    let groups = fresh().groups;
    let first = groups.create(named("a"), at(1)).unwrap();
    refused(
        groups.create(named("a"), at(2)),
        "InvalidRequest",
        "\"a\" exists already",
    );
    let other = groups.create(named("A"), at(2)).unwrap();
    assert_ne!(first.uid, other.uid);
    assert_eq!(groups.get(Selector::name("a")).unwrap(), first);
    assert_eq!(groups.get(Selector::name("A")).unwrap(), other);
}

#[test]
fn arns_end_in_an_id_of_their_own() {
    let groups = fresh().groups;
    let check = |group: &Group, start: &str| {
        let unique_id = group.arn.strip_prefix(start).unwrap();
        assert_eq!(unique_id.len(), 52, "{unique_id}");
        let is_allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        assert!(unique_id.chars().all(is_allowed), "{unique_id}");
    };
    let start = "arn:aws:xray:us-east-2:123456789012:group/a/";
    let first = groups.create(named("a"), at(1)).unwrap();
    check(&first, start);
    groups.delete(Selector::arn(&first.arn)).unwrap();
    let again = groups.create(named("a"), at(2)).unwrap();
    check(&again, start);
    assert_ne!(first.arn, again.arn);
    let default = groups.get(Selector::name("Default")).unwrap();
    check(
        &default,
        "arn:aws:xray:us-east-2:123456789012:group/Default/",
    );
}

#[test]
fn groups_are_selected_by_name_whole_arn_or_both() {
    let groups = fresh().groups;
    let a = groups.create(named("a"), at(1)).unwrap();
    let b = groups.create(named("b"), at(1)).unwrap();
    let check = |name: Option<&str>, arn: Option<&str>, expected: Result<&str, &str>| {
        let found = groups.get(Selector { name, arn });
        match expected {
            Ok(name) => assert_eq!(found.unwrap().name, name),
            Err(text) => refused(found, "InvalidRequest", text),
        }
    };
    check(Some("a"), None, Ok("a"));
    check(None, Some(&a.arn), Ok("a"));
    check(Some("a"), Some(&a.arn), Ok("a"));
    check(Some("a"), Some(&b.arn), Err("not of the same group"));
    check(
        Some("c"),
        None,
        Err("invalid GroupName: no group is named \"c\""),
    );
    check(Some(&a.arn), None, Err("invalid GroupName"));
    check(None, Some("a"), Err("invalid GroupARN"));
    check(
        None,
        Some(&a.arn[..a.arn.len() - 1]),
        Err("invalid GroupARN"),
    );
    check(None, Some(&a.arn.to_lowercase()), Err("invalid GroupARN"));
    let of_b = a.arn.replace("group/a", "group/b");
    check(None, Some(&of_b), Err("invalid GroupARN"));
    check(Some("a"), Some("arn:x"), Err("invalid GroupARN"));
    check(None, None, Err("GroupName or GroupARN is required"));
    for selector in [Selector::name("c"), Selector::arn("c")] {
        let change = GroupChange::default();
        refused(
            groups.update(selector, change, at(2)),
            "InvalidRequest",
            "no group",
        );
        refused(groups.delete(selector), "InvalidRequest", "no group");
    }
}

#[test]
fn the_default_group_is_there_and_stays_as_it_is() {
    let groups = fresh().groups;
    let default = groups.get(Selector::name("Default")).unwrap();
    assert_eq!((default.uid, default.filter()), (0, ""));
    assert_eq!(default.filter_at(Timestamp::ZERO), Some(""));
    let selector = Selector::arn(&default.arn);
    refused(
        groups.delete(selector),
        "InvalidRequest",
        "Default cannot be deleted",
    );
    refused(
        groups.update(selector, filter("ok"), at(1)),
        "InvalidRequest",
        "takes no FilterExpression",
    );
    let change = GroupChange {
        filter: Some(String::new()),
        insights: insights(Some(true), Some(true)),
    };
    let changed = groups.update(selector, change, at(1)).unwrap();
    assert!(changed.insights.enabled && changed.insights.notifications);
    assert_eq!(changed.versions, default.versions);
}

#[test]
fn twenty_five_groups_are_the_most() {
    let groups = fresh().groups;
    for n in 0..25 {
        groups.create(named(&format!("g{n}")), at(1)).unwrap();
    }
    refused(
        groups.create(named("one-more"), at(2)),
        "InvalidRequest",
        "at most 25 groups",
    );
    groups.delete(Selector::name("g3")).unwrap();
    let group = groups.create(named("one-more"), at(2)).unwrap();
    assert_eq!(group.uid, 26, "the refused one took no number");
}

#[test]
fn filters_are_checked() {
    let groups = fresh().groups;
    let error = "Error Location: a!";
    refused(
        groups.create(filtered("a", "a!"), at(1)),
        "InvalidRequest",
        error,
    );
    refused(
        groups.get(Selector::name("a")),
        "InvalidRequest",
        "no group",
    );
    groups.create(filtered("a", "ok"), at(1)).unwrap();
    let a = Selector::name("a");
    refused(
        groups.update(a, filter("a!"), at(2)),
        "InvalidRequest",
        error,
    );
    assert_eq!(groups.get(a).unwrap().filter(), "ok");
    assert_eq!(groups.update(a, filter(""), at(2)).unwrap().filter(), "");
    assert_eq!(groups.create(named("b"), at(1)).unwrap().filter(), "");
}

#[test]
fn notifications_need_insights() {
    type Flags = (bool, bool);
    let check = |before: Flags, change: InsightsChange, expected: Option<Flags>| {
        let groups = fresh().groups;
        let new = NewGroup {
            insights: insights(Some(before.0), Some(before.1)),
            ..named("a")
        };
        groups.create(new, at(1)).unwrap();
        let change = GroupChange {
            filter: None,
            insights: change,
        };
        let outcome = groups.update(Selector::name("a"), change, at(2));
        let flags = |group: &Group| (group.insights.enabled, group.insights.notifications);
        let Some(expected) = expected else {
            refused(outcome, "InvalidRequest", "only be true if InsightsEnabled");
            let group = groups.get(Selector::name("a")).unwrap();
            assert_eq!(flags(&group), before);
            return;
        };
        assert_eq!(flags(&outcome.unwrap()), expected);
    };
    let (off, on, both) = ((false, false), (true, false), (true, true));
    check(off, insights(None, None), Some(off));
    check(both, insights(None, None), Some(both));
    check(off, insights(Some(true), None), Some(on));
    check(off, insights(Some(true), Some(true)), Some(both));
    check(on, insights(None, Some(true)), Some(both));
    check(both, insights(None, Some(false)), Some(on));
    check(both, insights(Some(false), None), Some(off));
    check(both, insights(Some(false), Some(false)), Some(off));
    check(off, insights(None, Some(true)), None);
    check(both, insights(Some(false), Some(true)), None);
    let new = NewGroup {
        insights: insights(None, Some(true)),
        ..named("a")
    };
    refused(
        fresh().groups.create(new, at(1)),
        "InvalidRequest",
        "InsightsEnabled",
    );
}

#[test]
fn filters_count_from_when_they_are_set() {
    let groups = fresh().groups;
    let a = Selector::name("a");
    let made = groups.create(filtered("a", "f1"), at(10)).unwrap();
    groups.update(a, filter("f2"), at(20)).unwrap();
    let same = groups.update(a, filter("f2"), at(30)).unwrap();
    assert_eq!(same.versions.len(), 2);
    let back = groups.update(a, filter("f1"), at(40)).unwrap();
    for (instant, expected) in [
        (Timestamp::ZERO, None),
        (Timestamp::from_nanos(at(10).as_nanos() - 1), None),
        (at(10), Some("f1")),
        (Timestamp::from_nanos(at(20).as_nanos() - 1), Some("f1")),
        (at(20), Some("f2")),
        (at(39), Some("f2")),
        (at(40), Some("f1")),
        (Timestamp::MAX, Some("f1")),
    ] {
        assert_eq!(back.filter_at(instant), expected, "{instant}");
    }
    let snapshot = groups.snapshot();
    for (from, to, expected) in [
        (0, 20, false),
        (0, 21, true),
        (20, 21, true),
        (21, 40, false),
        (21, 41, true),
        (41, 99, false),
    ] {
        let found = snapshot.changed_within(made.uid, at(from), at(to));
        assert_eq!(found, expected, "{from} to {to}");
    }
    assert!(!snapshot.changed_within(0, at(0), at(99)));
    assert!(!snapshot.changed_within(99, at(0), at(99)));
}

#[test]
fn a_clock_that_stands_or_goes_back_does_not_mix_up_versions() {
    let groups = fresh().groups;
    let a = Selector::name("a");
    groups.create(filtered("a", "f0"), at(10)).unwrap();
    groups.update(a, filter("f1"), at(10)).unwrap();
    let group = groups.update(a, filter("f2"), at(5)).unwrap();
    let nanos = at(10).as_nanos();
    let since: Vec<u64> = group.versions.iter().map(|v| v.since.as_nanos()).collect();
    assert_eq!(since, [nanos, nanos + 1, nanos + 2]);
}

#[test]
fn old_versions_are_forgotten() {
    let day = 24 * 60 * 60;
    let groups = fresh().groups;
    let a = Selector::name("a");
    groups.create(filtered("a", "f0"), at(0)).unwrap();
    groups.update(a, filter("f1"), at(day)).unwrap();
    groups.update(a, filter("f2"), at(2 * day)).unwrap();
    // f0 ended exactly 31 days ago, which is not before.
    let group = groups.update(a, filter("f3"), at(32 * day)).unwrap();
    assert_eq!(group.versions.len(), 4);
    let group = groups.update(a, filter("f4"), at(33 * day)).unwrap();
    let kept: Vec<&str> = group.versions.iter().map(|v| v.filter.as_str()).collect();
    assert_eq!(kept, ["f1", "f2", "f3", "f4"]);
    assert!(
        group.changed_within(at(day), at(day + 1)),
        "the first version that is left is a change all the same"
    );
    let group = groups.update(a, filter("f5"), at(99 * day)).unwrap();
    let kept: Vec<&str> = group.versions.iter().map(|v| v.filter.as_str()).collect();
    assert_eq!(kept, ["f4", "f5"]);
}

#[test]
fn a_hundred_versions_are_kept() {
    let groups = fresh().groups;
    let a = Selector::name("a");
    groups.create(filtered("a", "f0"), at(0)).unwrap();
    for n in 1..=101 {
        groups.update(a, filter(&format!("f{n}")), at(n)).unwrap();
    }
    let group = groups.get(a).unwrap();
    assert_eq!(group.versions.len(), 100);
    assert_eq!(group.filter_at(at(2)), Some("f2"));
    assert_eq!(group.filter_at(at(1)), None);
    assert_eq!(group.filter(), "f101");
}

#[test]
fn numbers_are_never_given_again() {
    let store = new_store();
    let first = open(&store, at(1));
    let one = first.groups.create(named("a"), at(1)).unwrap();
    assert_eq!(one.uid, 1);
    first.groups.delete(Selector::name("a")).unwrap();
    let again = open(&store, at(2));
    assert_eq!(again.groups.create(named("a"), at(2)).unwrap().uid, 2);
    assert!(again.groups.snapshot().by_uid(1).is_none());
    // The number is used up although its group was not written.
    store.refuse_after(1);
    refused(again.groups.create(named("b"), at(3)), "Store", "closed");
    store.refuse_after(u32::MAX);
    assert_eq!(again.groups.create(named("b"), at(3)).unwrap().uid, 4);
}

#[test]
fn pages_are_in_the_order_of_names_and_put_together_the_whole() {
    let groups = fresh().groups;
    for name in ["b", "E", "a", "d", "C"] {
        groups.create(named(name), at(1)).unwrap();
    }
    let whole = ["C", "Default", "E", "a", "b", "d"];
    for n_max in [0, 1, 2, 3, 5, 6, 7, usize::MAX] {
        let (mut found, mut n_pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = groups.list(after.as_deref(), n_max);
            assert!(page.groups.len() <= n_max.max(1));
            found.extend(page.groups);
            n_pages += 1;
            assert!(n_pages <= whole.len(), "a page makes no progress");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(names(&found), whole, "{n_max}");
        assert_eq!(n_pages, whole.len().div_ceil(n_max.max(1)), "{n_max}");
    }
    groups.delete(Selector::name("a")).unwrap();
    let page = groups.list(Some("a"), 9);
    assert_eq!(
        names(&page.groups),
        ["b", "d"],
        "a place outlives its group"
    );
    assert_eq!(groups.list(Some("z"), 9).groups, []);
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let groups = fresh().groups;
    let a = groups.create(filtered("a", "f1"), at(1)).unwrap();
    let snapshot = groups.snapshot();
    groups
        .update(Selector::name("a"), filter("f2"), at(2))
        .unwrap();
    groups.create(named("b"), at(2)).unwrap();
    assert_eq!(filter_of(&snapshot, "a").as_deref(), Some("f1"));
    assert_eq!(
        snapshot.by_arn(&a.arn).map(|group| group.filter()),
        Some("f1")
    );
    assert_eq!(filter_of(&snapshot, "b"), None);
    let later = groups.snapshot();
    assert_eq!(filter_of(&later, "a").as_deref(), Some("f2"));
    assert_eq!(filter_of(&later, "b").as_deref(), Some(""));
    assert_eq!(filter_of(&later, "Default").as_deref(), Some(""));
    let uids: Vec<u32> = later.iter().map(|group| group.uid).collect();
    assert_eq!(uids, [0, 1, 2]);
    let mut backwards: Vec<Group> = later.iter().map(|group| Group::clone(group)).collect();
    backwards.reverse();
    let of_others = GroupsSnapshot::new(backwards);
    assert_eq!(of_others, *later);
}

#[test]
fn tags_are_set_and_removed_by_arn() {
    let groups = fresh().groups;
    let new = NewGroup {
        tags: pairs(&[("stage", "test"), ("team", "a")]),
        ..named("a")
    };
    let a = groups.create(new, at(1)).unwrap();
    groups
        .tag(&a.arn, pairs(&[("team", "b"), ("x", "")]))
        .unwrap();
    groups
        .untag(&a.arn, &["stage".to_owned(), "none".to_owned()])
        .unwrap();
    let tags = groups.tags(&a.arn).unwrap();
    assert_eq!(tags.iter().collect::<Vec<_>>(), [("team", "b"), ("x", "")]);
    let default = groups.get(Selector::name("Default")).unwrap();
    groups.tag(&default.arn, pairs(&[("k", "v")])).unwrap();
    assert_eq!(groups.tags(&default.arn).unwrap().iter().count(), 1);
}

#[test]
fn bad_tags_and_unknown_arns_are_refused() {
    let groups = fresh().groups;
    let a = groups.create(named("a"), at(1)).unwrap();
    let arn = a.arn.as_str();
    let many: Vec<_> = (0..51).map(|n| (format!("k{n}"), String::new())).collect();
    refused(groups.tag(arn, many.clone()), "TooManyTags", arn);
    refused(
        groups.tag(arn, pairs(&[("aws:x", "")])),
        "InvalidRequest",
        "aws:x",
    );
    let twice = pairs(&[("k", "1"), ("k", "2")]);
    refused(groups.tag(arn, twice), "InvalidRequest", "more than once");
    assert_eq!(groups.tags(arn).unwrap().iter().count(), 0);
    let new = NewGroup {
        tags: many,
        ..named("b")
    };
    refused(
        groups.create(new, at(2)),
        "InvalidRequest",
        "at most 50 tags",
    );
    for unknown in ["a", "arn:aws:xray:us-east-2:123456789012:group/a/X", ""] {
        refused(groups.tags(unknown), "NotFound", unknown);
        refused(groups.tag(unknown, Vec::new()), "NotFound", unknown);
        refused(groups.untag(unknown, &[]), "NotFound", unknown);
    }
}

#[test]
fn changes_made_at_once_happen_one_after_another() {
    let store = new_store();
    let settings = open(&store, at(1));
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let groups = &settings.groups;
            scope.spawn(move || {
                for n in 0..6 {
                    let name = format!("g{caller}-{n}");
                    groups.create(named(&name), at(2)).unwrap();
                    let change = filter(&name);
                    groups.update(Selector::name(&name), change, at(3)).unwrap();
                }
            });
        }
    });
    let groups = settings.groups.snapshot();
    let mut uids: Vec<u32> = groups.iter().map(|group| group.uid).collect();
    uids.sort_unstable();
    assert_eq!(uids, (0..=24).collect::<Vec<u32>>());
    assert!(
        groups
            .iter()
            .skip(1)
            .all(|group| group.filter() == group.name)
    );
    assert_eq!(*open(&store, at(4)).groups.snapshot(), *groups);
}

#[test]
fn groups_are_read_without_a_change() {
    let store = new_store();
    let stored = || {
        let store: Arc<dyn ControlStore> = Arc::clone(&store) as _;
        GroupsSnapshot::stored(store, TENANT, &account()).unwrap()
    };
    assert_eq!(stored().iter().count(), 0);
    assert!(store.load(TENANT, ControlKind::Group).unwrap().is_empty());
    let groups = open(&store, at(1)).groups;
    groups.create(filtered("a", "fault"), at(2)).unwrap();
    groups
        .update(Selector::name("a"), filter("error"), at(3))
        .unwrap();
    assert_eq!(stored(), *groups.snapshot());
}

/// Returns the filter in force of a group.
fn filter_of(groups: &GroupsSnapshot, name: &str) -> Option<String> {
    groups.by_name(name).map(|group| group.filter().to_owned())
}
