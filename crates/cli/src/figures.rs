//! How requests fared: what graphs and series count, in figures for people.

use anstyle::Style;
use serde::{Deserialize, Serialize};

use crate::summary::{ERROR, FAULT, THROTTLE};
use crate::terminal::{Cell, length, number};

/// Counts as the API writes them; each request is in one class.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Statistics {
    #[serde(rename = "ErrorStatistics")]
    errors: Failed,
    #[serde(rename = "FaultStatistics")]
    faults: Failed,
    total_count: u64,
    /// Seconds.
    total_response_time: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Failed {
    #[serde(rename = "ThrottleCount")]
    throttled: u64,
    #[serde(rename = "OtherCount")]
    others: u64,
    #[serde(rename = "TotalCount")]
    all: u64,
}

/// How many requests took a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Bucket {
    /// Seconds.
    #[serde(default)]
    value: f64,
    #[serde(default)]
    count: u64,
}

/// How requests fared. Rates are parts of 1, times are seconds; both are absent where nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) faults: u64,
    pub(crate) errors: u64,
    pub(crate) throttles: u64,
    pub(crate) fault_rate: Option<f64>,
    pub(crate) error_rate: Option<f64>,
    pub(crate) throttle_rate: Option<f64>,
    pub(crate) mean: Option<f64>,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

impl Figures {
    /// Returns the figures of counts and of how long requests took.
    pub(crate) fn of(statistics: &Statistics, histogram: &[Bucket]) -> Self {
        let requests = statistics.total_count;
        let faults = statistics.faults.all;
        let (errors, throttles) = (statistics.errors.others, statistics.errors.throttled);
        let part = |whole: f64| (requests > 0).then(|| whole / real(requests));
        Self {
            requests,
            faults,
            errors,
            throttles,
            fault_rate: part(real(faults)),
            error_rate: part(real(errors)),
            throttle_rate: part(real(throttles)),
            mean: part(statistics.total_response_time),
            p50: percentile(histogram, 50),
            p99: percentile(histogram, 99),
        }
    }

    /// Returns a value for each of seven columns: requests, rates of failure, times.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let time = |seconds: Option<f64>| Cell::from(seconds.map(length).unwrap_or_default());
        vec![
            self.requests.to_string().into(),
            rate(self.fault_rate, FAULT),
            rate(self.error_rate, ERROR),
            rate(self.throttle_rate, THROTTLE),
            time(self.mean),
            time(self.p50),
            time(self.p99),
        ]
    }

    /// Returns the same values for programs: rates as parts of 1, times in seconds.
    pub(crate) fn values(&self) -> Vec<Cell> {
        let real = |value: Option<f64>| Cell::from(value.map(number).unwrap_or_default());
        vec![
            self.requests.to_string().into(),
            real(self.fault_rate),
            real(self.error_rate),
            real(self.throttle_rate),
            real(self.mean),
            real(self.p50),
            real(self.p99),
        ]
    }
}

/// Returns a rate in percent, painted if it is more than none.
fn rate(rate: Option<f64>, style: Style) -> Cell {
    let Some(rate) = rate else {
        return "".into();
    };
    let style = if rate > 0.0 { style } else { Style::new() };
    Cell::styled(&percent(rate), style)
}

/// Returns a part of 1 in percent.
pub(crate) fn percent(rate: f64) -> String {
    format!("{:.1}%", rate * 100.0)
}

/// Returns the time that so many percent of requests did not exceed.
fn percentile(histogram: &[Bucket], percent: u64) -> Option<f64> {
    let mut buckets: Vec<&Bucket> = histogram.iter().filter(|bucket| bucket.count > 0).collect();
    buckets.sort_by(|one, other| one.value.total_cmp(&other.value));
    let n_requests = buckets
        .iter()
        .fold(0_u64, |sum, bucket| sum.saturating_add(bucket.count));
    let n_wanted = u128::from(n_requests) * u128::from(percent);
    let mut n_passed = 0_u128;
    let reached = buckets.iter().find(|bucket| {
        n_passed += u128::from(bucket.count) * 100;
        n_passed >= n_wanted
    });
    reached.map(|bucket| bucket.value)
}

/// Returns a count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 are not told apart by people"
)]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn histogram(buckets: &[(f64, u64)]) -> Vec<Bucket> {
        let buckets = buckets.iter();
        buckets
            .map(|(value, count)| Bucket {
                value: *value,
                count: *count,
            })
            .collect()
    }

    fn check(buckets: &[(f64, u64)], percent: u64, expected: Option<f64>) {
        assert_eq!(
            percentile(&histogram(buckets), percent),
            expected,
            "{buckets:?}"
        );
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        check(&[], 50, None);
        check(&[(0.5, 0)], 50, None);
        check(&[(0.5, 1)], 50, Some(0.5));
        check(&[(3.0, 1), (1.0, 1)], 50, Some(1.0));
        check(&[(3.0, 2), (1.0, 1)], 50, Some(3.0));
        check(&[(1.0, 99), (9.0, 1)], 99, Some(1.0));
        check(&[(1.0, 98), (9.0, 2)], 99, Some(9.0));
        check(&[(1.0, u64::MAX), (2.0, u64::MAX)], 99, Some(1.0));
    }

    #[test]
    fn figures_follow_from_counts() {
        let statistics: Statistics = serde_json::from_value(json!({
            "OkCount": 5, "ErrorStatistics": { "ThrottleCount": 2, "OtherCount": 1, "TotalCount": 3 },
            "FaultStatistics": { "OtherCount": 2, "TotalCount": 2 }, "TotalCount": 10, "TotalResponseTime": 5.0,
        }))
        .unwrap();
        let figures = Figures::of(&statistics, &histogram(&[(0.25, 9), (2.0, 1)]));
        assert_eq!(
            (figures.faults, figures.errors, figures.throttles),
            (2, 1, 2)
        );
        assert_eq!(
            (
                figures.fault_rate,
                figures.error_rate,
                figures.throttle_rate
            ),
            (Some(0.2), Some(0.1), Some(0.2))
        );
        assert_eq!(
            (figures.mean, figures.p50, figures.p99),
            (Some(0.5), Some(0.25), Some(2.0))
        );
    }

    #[test]
    fn nothing_counted_has_no_rates() {
        let figures = Figures::of(&Statistics::default(), &[]);
        assert_eq!(figures, Figures::default());
    }
}
