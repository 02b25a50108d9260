//! Boosts: for a minute a higher rate, after anomalies went unseen (X-Ray developer guide,
//! "Adaptive sampling").
//!
//! The service computes "the smallest rate that would have captured the anomalies" and does not say
//! how. Here it is the smallest rate at which, of the anomalies that were reported and not sampled,
//! at least one would have been sampled with a probability of 95 percent: of `n` requests each
//! sampled at the rate `r`, none is sampled with probability `(1 - r)^n`, so `r = 1 - 0.05^(1/n)`.
//! Three unseen anomalies ask for a rate of 0.63, ten for 0.26, a hundred for 0.03. It is cut at the rule's
//! highest rate, and there is no boost if the rule's own rate is no lower.

use std::time::Duration;

use model::Timestamp;

use crate::after;
use crate::rule::Rule;

/// A rate to sample at in the place of the rule's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boost {
    /// The rate, above the rule's own and at most its highest.
    pub rate: f64,
    /// Until when.
    pub until: Timestamp,
}

/// The last boost of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LastBoost {
    pub(crate) rate: f64,
    pub(crate) began_at: Timestamp,
}

impl LastBoost {
    /// Returns the boost that begins now because so many anomalies were not sampled; none if the rule knows
    /// no boosts, needs none, or has had its last one not long enough ago.
    pub(crate) fn begin(
        rule: &Rule,
        last: Option<&Self>,
        n_missed: u64,
        now: Timestamp,
    ) -> Option<Self> {
        let limits = rule.boost?;
        let pause = limits.cooldown().max(LASTS);
        let may_begin = last.is_none_or(|last| now >= after(last.began_at, pause));
        let rate = rate_for(n_missed).min(limits.max_rate);
        (may_begin && n_missed > 0 && rate > rule.fixed_rate).then_some(Self {
            rate,
            began_at: now,
        })
    }

    /// Returns what clients of the rule are told of it now; nothing once it is over.
    pub(crate) fn shown(&self, rule: &Rule, now: Timestamp) -> Option<Boost> {
        let limits = rule.boost?;
        let until = after(self.began_at, LASTS);
        // The rule may have changed since it began, and the clock may have been set back.
        let rate = self.rate.min(limits.max_rate);
        let is_on = self.began_at <= now && now < until && rate > rule.fixed_rate;
        is_on.then_some(Boost { rate, until })
    }
}

/// Returns the smallest rate that would most likely have sampled one of so many anomalies.
fn rate_for(n_missed: u64) -> f64 {
    let n_missed = f64::from(u32::try_from(n_missed).unwrap_or(u32::MAX)).max(1.0);
    1.0 - (1.0 - CONFIDENCE).powf(1.0 / n_missed)
}

/// How long a boost lasts.
const LASTS: Duration = Duration::from_mins(1);
const CONFIDENCE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::RateBoost;

    fn rule(fixed_rate: f64, max_rate: f64, cooldown_minutes: u32) -> Rule {
        Rule {
            fixed_rate,
            boost: Some(RateBoost {
                max_rate,
                cooldown_minutes,
            }),
            ..Rule::default_rule()
        }
    }

    fn check(fixed_rate: f64, max_rate: f64, n_missed: u64, expected: Option<f64>) {
        let rule = rule(fixed_rate, max_rate, 0);
        let now = Timestamp::from_secs(1_000);
        let begun = LastBoost::begin(&rule, None, n_missed, now);
        let rate = begun.map(|boost| (boost.rate * 1_000.0).round() / 1_000.0);
        assert_eq!(rate, expected, "{fixed_rate} {max_rate} {n_missed}");
    }

    #[test]
    fn the_rate_is_the_smallest_that_would_do() {
        check(0.01, 1.0, 0, None);
        check(0.01, 1.0, 1, Some(0.95));
        check(0.01, 1.0, 3, Some(0.632));
        check(0.01, 1.0, 10, Some(0.259));
        check(0.01, 1.0, 100, Some(0.03));
        check(0.05, 1.0, 100, None);
        check(0.01, 0.25, 3, Some(0.25));
        check(0.25, 0.25, 3, None);
        check(0.5, 0.25, 3, None);
        check(0.0, 0.0, 3, None);
        check(0.0, 1.0, u64::MAX, Some(0.0));
    }

    #[test]
    fn a_boost_lasts_a_minute_and_begins_once_a_cooldown() {
        let check = |cooldown_minutes, after_secs: u64, is_on: bool, may_begin: bool| {
            let rule = rule(0.01, 1.0, cooldown_minutes);
            let at = |secs: u64| Timestamp::from_secs(1_000 + secs);
            let last = LastBoost::begin(&rule, None, 3, at(0)).unwrap();
            let now = at(after_secs);
            let shown = last.shown(&rule, now);
            assert_eq!(shown.is_some(), is_on, "{cooldown_minutes} {after_secs}");
            assert!(shown.is_none_or(|boost| boost.until == at(60)));
            let next = LastBoost::begin(&rule, Some(&last), 3, now);
            assert_eq!(next.is_some(), may_begin, "{cooldown_minutes} {after_secs}");
        };
        check(0, 0, true, false);
        check(0, 59, true, false);
        check(0, 60, false, true);
        check(5, 60, false, false);
        check(5, 299, false, false);
        check(5, 300, false, true);
    }

    #[test]
    fn a_rule_that_changed_changes_its_boost() {
        let now = Timestamp::from_secs(1_000);
        let last = LastBoost::begin(&rule(0.01, 1.0, 5), None, 3, now).unwrap();
        let shown = |rule: &Rule| last.shown(rule, now).map(|boost| boost.rate);
        assert_eq!(shown(&rule(0.01, 0.5, 5)), Some(0.5));
        assert_eq!(shown(&rule(0.7, 1.0, 5)), None);
        assert_eq!(shown(&Rule::default_rule()), None);
    }
}
