//! What a call for targets costs with every rule there may be and many clients.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::sync::Arc;

use divan::Bencher;
use model::{Account, Tenant, Timestamp};
use sampling::{NewRule, RULES_MAX, RequestFacts, RuleSelector, Sampling, StatisticsReport};
use storage::control::memory::MemoryControl;

fn main() {
    divan::main();
}

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn rule_name(number: usize) -> String {
    format!("rule-{number}")
}

fn filled() -> Sampling {
    let account = Account {
        id: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let store = Arc::new(MemoryControl::default());
    let sampling = Sampling::open(store, Tenant(0), account, NOW).unwrap();
    for number in 0..RULES_MAX {
        let rule = NewRule {
            reservoir_size: 1_000,
            url_path: format!("/api/*/{number}/*"),
            ..NewRule::matching_all(RuleSelector::by_name(&rule_name(number)))
        };
        sampling.create(rule, [], NOW).unwrap();
    }
    sampling
}

fn reports(client: usize) -> Vec<StatisticsReport> {
    let report = |number| StatisticsReport {
        rule_name: rule_name(number),
        client_id: format!("{client:024x}"),
        at: NOW,
        request_count: 100,
        sampled_count: 6,
        borrow_count: 1,
    };
    (0..RULES_MAX).map(report).collect()
}

/// One report of each rule by one of so many clients that are all alive.
#[divan::bench(args = [1, 200, 4_000])]
fn targets(bencher: Bencher<'_, '_>, n_clients: usize) {
    let sampling = filled();
    for client in 0..n_clients {
        sampling.targets(&reports(client), &[], NOW).unwrap();
    }
    let reports = reports(0);
    bencher.bench(|| sampling.targets(&reports, &[], NOW).unwrap());
}

/// The rule of a request that only the last rules match.
#[divan::bench]
fn matching(bencher: Bencher<'_, '_>) {
    let sampling = filled();
    let rules = sampling.rules_now();
    let facts = RequestFacts {
        service_name: "shop",
        service_type: "AWS::ECS::Container",
        host: "shop.example.com",
        http_method: "GET",
        url_path: "/api/orders/24/items",
        ..RequestFacts::default()
    };
    bencher.bench(|| rules.matching(&facts).priority);
}
