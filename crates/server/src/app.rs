//! What the requests of one account in one region are served with.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use account::{AccountError, FilterCheck, Group, GroupsSnapshot, Settings};
use insights::{InsightError, Insights};
use model::{Account, Tenant, Timestamp};
use protocol::token::TokenKey;
use query::{Classifier, Filter, GroupHistory, GroupRef, QueryError, Retrievals};
use sampling::{Sampling, SamplingError};
use storage::{ALL_TRACES, ControlStore, StoreError};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::house::{House, HouseError};
use crate::refused::RefusedLog;
use crate::tail::TAILS_MAX;

/// The parts the requests of one account in one region are served with; shared by all of them.
pub(crate) struct App {
    pub(crate) house: Arc<House>,
    pub(crate) account: Account,
    pub(crate) tenant: Tenant,
    pub(crate) sampling: Sampling,
    pub(crate) settings: Settings,
    pub(crate) retrievals: Retrievals,
    pub(crate) insights: Insights,
    /// The groups as filters that are being checked may refer to them.
    known_groups: KnownGroups,
    /// Held while groups are read and set, so that the newest are set last.
    classifying: Mutex<()>,
    pub(crate) token_key: TokenKey,
    pub(crate) refused: RefusedLog,
    /// One permit for each client that follows what arrives.
    pub(crate) tails: Arc<Semaphore>,
}

/// The groups there are, once they are read.
type KnownGroups = Arc<RwLock<Option<Arc<GroupsSnapshot>>>>;

/// Returns what checks the filter expression of a group.
fn filter_check(known: KnownGroups) -> FilterCheck {
    Arc::new(move |text| {
        let groups = known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let filter = |group: GroupRef<'_>| filter_of(groups.as_ref()?, group);
        Filter::parse(text, &filter)
            .map(drop)
            .map_err(|error| error.to_string())
    })
}

/// Returns the filter in force of the group a filter refers to.
pub(crate) fn filter_of(groups: &GroupsSnapshot, group: GroupRef<'_>) -> Option<String> {
    named(groups, group).map(|group| group.filter().to_owned())
}

fn named<'g>(groups: &'g GroupsSnapshot, group: GroupRef<'_>) -> Option<&'g Arc<Group>> {
    match group {
        GroupRef::Name(name) => groups.by_name(name),
        GroupRef::Arn(arn) => groups.by_arn(arn),
    }
}

fn history(group: &Group) -> GroupHistory {
    let versions = group.versions.iter();
    GroupHistory {
        number: group.uid,
        created_at: group.created_at,
        versions: versions
            .map(|version| (version.since, version.filter.clone()))
            .collect(),
    }
}

/// Why the parts cannot be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// What all accounts share does not open or close well.
    #[error(transparent)]
    House(#[from] HouseError),
    /// The store does not do what the server needs of it.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The sampling rules cannot be read.
    #[error("the sampling rules: {0}")]
    Sampling(#[from] SamplingError),
    /// The insights cannot be read.
    #[error("the insights: {0}")]
    Insights(#[from] InsightError),
    /// The retrievals cannot be read.
    #[error("the retrievals: {0}")]
    Retrievals(#[from] QueryError),
    /// The settings cannot be read.
    #[error("the settings: {0}")]
    Settings(#[from] AccountError),
}

impl App {
    /// Puts the parts of an account together, giving it a number in the store if it is new. Blocks.
    pub(crate) fn open(
        house: Arc<House>,
        account: Account,
        now: Timestamp,
    ) -> Result<Self, AppError> {
        let tenant = house.store.tenant(&account.id, &account.region)?;
        let records = || Arc::clone(&house.control) as Arc<dyn ControlStore>;
        let known_groups = KnownGroups::default();
        let check = filter_check(Arc::clone(&known_groups));
        let settings = Settings::open(records(), tenant, account.clone(), check, now)?;
        let sampling = Sampling::open(records(), tenant, account.clone(), now)?;
        let retrievals = Retrievals::open(records(), tenant, now)?;
        let insights = Insights::open(records(), tenant, now)?;
        if insights.n_passed_over() > 0 {
            let n_records = insights.n_passed_over();
            tracing::warn!(n_records, "records of insights were passed over");
        }
        let token_key = TokenKey(house.store.token_key()).of(tenant);
        let app = Self {
            house,
            account,
            tenant,
            sampling,
            settings,
            retrievals,
            insights,
            known_groups,
            classifying: Mutex::default(),
            token_key,
            refused: RefusedLog::default(),
            tails: Arc::new(Semaphore::new(TAILS_MAX)),
        };
        app.classify();
        Ok(app)
    }

    /// Returns the settings in force now.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.house.config()
    }

    /// Lets traces be classified by the groups as they are now; call it whenever one changed.
    pub(crate) fn classify(&self) {
        let _classifying = self
            .classifying
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let groups = self.settings.groups.snapshot();
        *self
            .known_groups
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&groups));
        let slow_trace = self.config().query.slow_trace.0;
        classify_by(&self.house.classifier, self.tenant, &groups, slow_trace);
    }
}

/// Lets a tenant's traces be classified by groups.
pub(crate) fn classify_by(
    classifier: &Classifier,
    tenant: Tenant,
    groups: &GroupsSnapshot,
    slow_trace: Duration,
) {
    let own = groups.iter().filter(|group| group.uid != ALL_TRACES);
    let histories: Vec<GroupHistory> = own.map(|group| history(group)).collect();
    let filter_at =
        |group: GroupRef<'_>, at: Timestamp| named(groups, group)?.filter_at(at).map(str::to_owned);
    classifier.set(tenant, &histories, &filter_at, slow_trace);
}
