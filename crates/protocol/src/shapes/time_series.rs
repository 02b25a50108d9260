//! `GetTimeSeriesServiceStatistics`.

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::Shape;
use crate::shapes::selector::{GroupSelector, group};
use crate::shapes::wire::{not_empty, window};
use crate::shapes::{EdgeStatistics, HistogramEntry, ServiceStatistics, WireTime};
use crate::violations::INTEGER_MAX;

/// The request of `GetTimeSeriesServiceStatistics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetTimeSeriesServiceStatisticsRequest {
    /// Start of the window, part of it.
    pub start_time: Timestamp,
    /// End of the window; not before the start.
    pub end_time: Timestamp,
    /// The group whose traces count; absent, all do.
    pub group: Option<GroupSelector>,
    /// Which services or edges count, 1 to 500 characters.
    pub entity_selector_expression: Option<String>,
    /// How many seconds one entry covers, at least 1.
    pub period: Option<u32>,
    /// Whether a forecast of faults is wanted.
    pub forecast_statistics: bool,
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The response of `GetTimeSeriesServiceStatistics`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetTimeSeriesServiceStatisticsResponse {
    /// The entries.
    pub time_series_service_statistics: Vec<TimeSeriesServiceStatistics>,
    /// Whether the group's filter was another one for a part of the window.
    pub contains_old_group_versions: bool,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// How requests fared in one period.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimeSeriesServiceStatistics {
    /// When the period began.
    pub timestamp: WireTime,
    /// How calls fared, as the callers saw them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_summary_statistics: Option<EdgeStatistics>,
    /// How requests fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_summary_statistics: Option<ServiceStatistics>,
    /// How many faults were to be expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_forecast_statistics: Option<ForecastStatistics>,
    /// How long the answers took.
    pub response_time_histogram: Vec<HistogramEntry>,
}

/// How many faults were to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ForecastStatistics {
    /// At most so many.
    pub fault_count_high: u64,
    /// At least so many.
    pub fault_count_low: u64,
}

/// The members of the request as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetTimeSeriesServiceStatisticsWire {
    start_time: Option<WireTime>,
    end_time: Option<WireTime>,
    group_name: Option<String>,
    #[serde(rename = "GroupARN")]
    group_arn: Option<String>,
    entity_selector_expression: Option<String>,
    period: Option<i64>,
    forecast_statistics: Option<bool>,
    next_token: Option<String>,
}

impl Shape<'_> for GetTimeSeriesServiceStatisticsRequest {
    type Wire = GetTimeSeriesServiceStatisticsWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let window = window(wire.start_time, wire.end_time, violations);
        let group = group(wire.group_name, wire.group_arn, violations);
        let selector = wire.entity_selector_expression;
        let selector = violations.text("entitySelectorExpression", selector, 1, 500);
        let period = violations.integer("period", wire.period, 1, INTEGER_MAX);
        let (start_time, end_time) = window?;
        Some(Self {
            start_time,
            end_time,
            group,
            entity_selector_expression: selector,
            period,
            forecast_statistics: wire.forecast_statistics.unwrap_or(false),
            next_token: not_empty(wire.next_token),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::shapes::Selector;

    #[test]
    fn what_grafana_sends_is_read() {
        let body = br#"{"StartTime": 1795300000, "EndTime": 1795303600, "GroupName": "Default", "Period": 60, "ForecastStatistics": false, "EntitySelectorExpression": "service(\"a\")"}"#;
        let request: GetTimeSeriesServiceStatisticsRequest = decode(body).unwrap();
        let expected = GetTimeSeriesServiceStatisticsRequest {
            start_time: Timestamp::from_secs(1_795_300_000),
            end_time: Timestamp::from_secs(1_795_303_600),
            group: Some(Selector::Name("Default".into())),
            entity_selector_expression: Some("service(\"a\")".into()),
            period: Some(60),
            forecast_statistics: false,
            next_token: None,
        };
        assert_eq!(request, expected);
    }

    fn check_refused(members: &str, member: &str) {
        let body = format!(r#"{{"StartTime": 1, "EndTime": 2, {members}}}"#);
        let error = decode::<GetTimeSeriesServiceStatisticsRequest>(body.as_bytes()).unwrap_err();
        assert!(
            error.message().contains(&format!(" at '{member}' ")),
            "{error}"
        );
    }

    #[test]
    fn a_period_takes_time_and_a_selector_says_something() {
        check_refused(r#""Period": 0"#, "period");
        check_refused(r#""Period": -60"#, "period");
        check_refused(
            r#""EntitySelectorExpression": """#,
            "entitySelectorExpression",
        );
    }
}
