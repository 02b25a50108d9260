//! How often an insight is opened though nothing happened, and how soon when something did.

use super::support::*;

/// Returns how many insights 10,000 minutes of three services in a row bring, each of which adds faults of
/// its own to those of the one it calls.
fn n_opened(seed: u64, mean: f64, total: i64) -> usize {
    let mut random = Random(seed);
    let mut run = Run::new();
    for _ in 0..10_000 {
        let db = random.poisson(mean);
        let shop = db + random.poisson(mean / 4.0);
        let web = shop + random.poisson(mean / 4.0);
        let mut cells = model::Cells::default();
        for (ends, faults) in [
            (("", "web"), web),
            (("web", "shop"), shop),
            (("shop", "db"), db),
        ] {
            add_call(&mut cells, ends, (total, faults.min(total)));
        }
        run.minute(&cells);
    }
    run.changes.len()
}

#[test]
fn nothing_is_found_in_quiet_traffic() {
    let quiet = [
        (1, 0.05, 20),
        (2, 0.3, 50),
        (3, 1.0, 100),
        (4, 3.0, 60),
        (5, 10.0, 100),
        (6, 30.0, 1_000),
        (7, 100.0, 1_000),
    ];
    for (seed, mean, total) in quiet {
        assert_eq!(n_opened(seed, mean, total), 0, "{mean} of {total}");
    }
}

/// Returns how many minutes after its first one an incident is known, at worst of a hundred times; nothing
/// if it was missed once.
fn delay(mean: f64, during: f64, total: i64) -> Option<u32> {
    let mut worst = 0;
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut run = Run::new();
        for minute in 0..140 {
            let faults = random.poisson(if minute < 120 { mean } else { during });
            let mut cells = model::Cells::default();
            add_call(&mut cells, ("", "web"), (total, faults.min(total)));
            run.minute(&cells);
        }
        let (opened, _) = run.changes.first()?;
        worst = worst.max(opened + 1 - 120);
    }
    Some(worst)
}

#[test]
fn incidents_are_known_within_minutes() {
    // Nothing becomes 30 of 100: both of the first two minutes are anomalous.
    assert_eq!(delay(0.0, 30.0, 100), Some(2));
    assert_eq!(delay(1.0, 30.0, 100), Some(2));
    // From 1 % to 5 % of 1,000 requests: the band ends near 24.
    assert_eq!(delay(10.0, 50.0, 1_000), Some(2));
    // Near the end of the band a minute may be missed.
    assert_eq!(delay(1.0, 12.0, 100), Some(6));
}
