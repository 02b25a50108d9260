//! `GetTimeSeriesServiceStatistics`: how requests fared, period by period.
//!
//! Periods begin at multiples of their length since 1970, so that a chart does not change when its
//! window is moved, and are counted whole: those are given that have an instant of the window in them.
//! Without a selector the entries are about the calls of clients, all that enters from outside, and
//! periods without any are left out; with one, every period has an entry, of zeros if need be.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use model::forecast::band;
use model::{Cells, Service, Statistics, Tenant, Timestamp};
use protocol::shapes::{
    ForecastStatistics, GetTimeSeriesServiceStatisticsRequest as Request,
    GetTimeSeriesServiceStatisticsResponse as Response, TimeSeriesServiceStatistics, WireTime,
};
use protocol::token::{Kind, TokenKey};
use storage::{GraphParts, GraphScan, TraceStore};

use crate::QueryError;
use crate::graph::{
    Chain, GroupScope, check_window, histogram, is_client_call, minutes, own_statistics, statistics,
};

/// How series are made.
#[derive(Clone)]
pub struct TimeSeriesOptions {
    /// Periods looked at for a page; without a selector a page may have fewer entries, or none.
    pub n_periods_max: u32,
    /// Key of page tokens.
    pub token_key: TokenKey,
}

/// What the entries are about.
pub struct EntitySelector {
    /// Which services or calls.
    pub entity: Entity,
    /// Whether it names them by `id(...)`, as forecasts require.
    pub has_id: bool,
}

/// Services or calls.
pub enum Entity {
    /// The services for which this is true: how they fared themselves.
    Services(ServiceTest),
    /// The calls for whose caller and called service this is true: what callers saw.
    Edges(EdgeTest),
}

/// Tells whether a service is meant.
pub type ServiceTest = Box<dyn Fn(&Service) -> bool + Send>;
/// Tells whether the calls of the second service by the first are meant.
pub type EdgeTest = Box<dyn Fn(&Service, &Service) -> bool + Send>;

/// Returns one page of the entries of a window, oldest first.
///
/// A forecast is the band of faults that the up to 60 periods before the entry let expect, from the first
/// in which the selected services were seen; there is none if those are fewer than ten. The selector must
/// be the one the request's expression says.
///
/// # Errors
/// [`QueryError::Invalid`] for a window that ends before it starts, a period that is no multiple of a
/// minute, a forecast of anything but services named by id, and a token that is not of this request.
pub async fn time_series<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    request: &Request,
    group: GroupScope,
    selector: Option<EntitySelector>,
    options: &TimeSeriesOptions,
) -> Result<Response, QueryError> {
    check_window(request.start_time, request.end_time)?;
    check_forecast(request, selector.as_ref())?;
    let period_minutes = period_minutes(request)?;
    let chain = Chain {
        key: &options.token_key,
        kind: Kind::GetTimeSeriesServiceStatistics,
        fingerprint: fingerprint(tenant, request, group, period_minutes),
    };
    let after = chain.open(request.next_token.as_deref())?;
    let window = periods(request, period_minutes);
    let first = after.map_or(window.start, |after| after.saturating_add(1));
    let page_end = first.saturating_add(options.n_periods_max.max(1));
    let page = first..page_end.min(window.end);
    let n_before = if request.forecast_statistics {
        N_PERIODS_BEFORE.min(first)
    } else {
        0
    };
    let mut series = Series {
        selector,
        period_minutes,
        is_forecast: request.forecast_statistics,
        page: page.clone(),
        seen: VecDeque::new(),
        entries: Vec::new(),
    };
    let mut next = first - n_before;
    while next < page.end {
        let read = next..page.end.min(read_end(next, period_minutes));
        let sums = store.graph(tenant, series.scan(&read, group)).await?;
        next = read.end;
        series = tokio::task::spawn_blocking(move || series.with(read, &sums))
            .await
            .map_err(|error| QueryError::CutOff(error.to_string()))?;
    }
    let last = page.end.saturating_sub(1);
    Ok(Response {
        time_series_service_statistics: series.entries,
        contains_old_group_versions: group.contains_old_versions,
        next_token: (page.end < window.end).then(|| chain.seal(last)),
    })
}

/// The entries made so far.
struct Series {
    selector: Option<EntitySelector>,
    period_minutes: u32,
    is_forecast: bool,
    /// The periods entries are wanted of.
    page: Range<u32>,
    /// The periods before the one at hand, oldest first, as many as forecasts are made from.
    seen: VecDeque<Seen>,
    entries: Vec<TimeSeriesServiceStatistics>,
}

/// What a forecast is made from.
struct Seen {
    /// Whether there was any request.
    is_seen: bool,
    n_faults: u64,
}

impl Series {
    /// Returns the scan of some periods.
    fn scan(&self, periods: &Range<u32>, group: GroupScope) -> GraphScan {
        GraphScan {
            group: group.number,
            from_minute: periods.start.saturating_mul(self.period_minutes),
            to_minute: periods.end.saturating_mul(self.period_minutes),
            bucket_minutes: self.period_minutes,
            parts: match self.selector.as_ref().map(|selector| &selector.entity) {
                Some(Entity::Services(_)) => GraphParts::Nodes,
                Some(Entity::Edges(_)) => GraphParts::Calls,
                None => GraphParts::ClientCalls,
            },
        }
    }

    /// Adds the entries of periods from their sums.
    fn with(mut self, periods: Range<u32>, sums: &BTreeMap<u32, Cells>) -> Self {
        for period in periods {
            let first_minute = period.saturating_mul(self.period_minutes);
            let selected = sums
                .get(&first_minute)
                .map(|cells| select(self.selector.as_ref(), cells))
                .unwrap_or_default();
            if self.page.contains(&period) {
                let entry = self.entry(first_minute, &selected);
                self.entries.extend(entry);
            }
            if self.is_forecast {
                self.see(&selected);
            }
        }
        self
    }

    /// Returns the entry of a period; none if it is to be left out.
    fn entry(
        &self,
        first_minute: u32,
        selected: &Statistics,
    ) -> Option<TimeSeriesServiceStatistics> {
        let figures = statistics(selected);
        if self.selector.is_none() && figures.total_count == 0 {
            return None;
        }
        let entity = self.selector.as_ref().map(|selector| &selector.entity);
        let is_service = matches!(entity, Some(Entity::Services(_)));
        Some(TimeSeriesServiceStatistics {
            timestamp: WireTime(Timestamp::from_secs(u64::from(first_minute) * 60)),
            edge_summary_statistics: (!is_service).then_some(figures),
            service_summary_statistics: is_service.then_some(figures),
            service_forecast_statistics: self.forecast(),
            response_time_histogram: histogram(&selected.histogram),
        })
    }

    fn forecast(&self) -> Option<ForecastStatistics> {
        let known = self.seen.iter().skip_while(|seen| !seen.is_seen);
        let history: Vec<u64> = known.map(|seen| seen.n_faults).collect();
        let band = band(&history)?;
        Some(ForecastStatistics {
            fault_count_high: band.high,
            fault_count_low: band.low,
        })
    }

    fn see(&mut self, selected: &Statistics) {
        let is_full = u32::try_from(self.seen.len()).is_ok_and(|n_seen| n_seen >= N_PERIODS_BEFORE);
        if is_full {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen {
            is_seen: selected.n_seen > 0,
            n_faults: u64::try_from(selected.n_faults).unwrap_or(0),
        });
    }
}

/// Returns the sums of what is selected; without a selector of the calls of clients.
fn select(selector: Option<&EntitySelector>, cells: &Cells) -> Statistics {
    let mut selected = Statistics::default();
    let edges = cells.edges.iter();
    match selector.map(|selector| &selector.entity) {
        Some(Entity::Services(is_meant)) => own_statistics(cells)
            .filter(|(service, _)| is_meant(service))
            .for_each(|(_, own)| selected.merge(own)),
        Some(Entity::Edges(is_meant)) => edges
            .filter(|(key, _)| is_meant(&key.from, &key.to))
            .for_each(|(_, cell)| selected.merge(&cell.statistics)),
        None => edges
            .filter(|(key, _)| is_client_call(key))
            .for_each(|(_, cell)| selected.merge(&cell.statistics)),
    }
    selected
}

fn period_minutes(request: &Request) -> Result<u32, QueryError> {
    let period = request.period.unwrap_or(60);
    if period == 0 || !period.is_multiple_of(60) {
        return Err(QueryError::Invalid(format!(
            "Period is {period} seconds and must be a multiple of 60"
        )));
    }
    Ok(period / 60)
}

fn check_forecast(request: &Request, selector: Option<&EntitySelector>) -> Result<(), QueryError> {
    let has_id = selector
        .is_some_and(|selector| selector.has_id && matches!(selector.entity, Entity::Services(_)));
    if request.forecast_statistics && !has_id {
        let text = "ForecastStatistics needs an EntitySelectorExpression that names services by id: id(...) or service(id(...))";
        return Err(QueryError::Invalid(text.to_owned()));
    }
    Ok(())
}

/// Returns where reading that begins with a period ends: with the hour, since sums are stored by hour and
/// those of all services and calls are held meanwhile; long periods are read one by one.
fn read_end(period: u32, period_minutes: u32) -> u32 {
    let n_periods = (60 / period_minutes.max(1)).max(1);
    (period / n_periods)
        .saturating_add(1)
        .saturating_mul(n_periods)
}

/// Returns the numbers of the periods, counted from 1970, that have an instant of the window in them.
fn periods(request: &Request, period_minutes: u32) -> Range<u32> {
    let (from_minute, to_minute) = minutes(request.start_time, request.end_time);
    let first = from_minute / period_minutes;
    if from_minute == to_minute {
        return first..first;
    }
    first..to_minute.div_ceil(period_minutes)
}

/// What a token of this request is bound to.
fn fingerprint(
    tenant: Tenant,
    request: &Request,
    group: GroupScope,
    period_minutes: u32,
) -> Vec<u8> {
    let mut fingerprint = tenant.0.to_be_bytes().to_vec();
    fingerprint.extend(request.start_time.as_nanos().to_be_bytes());
    fingerprint.extend(request.end_time.as_nanos().to_be_bytes());
    fingerprint.extend(group.number.to_be_bytes());
    fingerprint.extend(period_minutes.to_be_bytes());
    fingerprint.push(u8::from(request.forecast_statistics));
    let selector = request.entity_selector_expression.as_deref();
    fingerprint.extend(selector.unwrap_or_default().trim().as_bytes());
    fingerprint
}

/// A forecast is made from at most so many periods before.
const N_PERIODS_BEFORE: u32 = 60;
