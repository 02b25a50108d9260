//! Sampling of one tenant: everything in memory, what must last in the store.
//!
//! Two locks order the writes, one of rules and one of statistics, and are held while the store works. The
//! third, of what is in memory, is held for a moment only: whoever asks for targets or rules does
//! not wait for a disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Account, InvalidTags, Tags, Tenant, Timestamp};
use storage::{ControlKind, ControlRecord, ControlStore, StoreError};

use crate::boost::LastBoost;
use crate::reservoir::Clients;
use crate::rule::{NewRule, RequestFacts, Rule, RuleRecord, RuleSelector, RuleUpdate};
use crate::rules::{Kept, RulePage, Rules, arn_of};
use crate::statistics::{SummaryPage, SummaryPosition, Windows};
use crate::stored;
use crate::targets::{BoostReport, Desk, StatisticsReport, Targets};
use crate::{DEFAULT_RULE, REPORTS_MAX, RULES_MAX, SamplingError, after};

/// The rules of one tenant and what clients report of them. Share it in an `Arc`; calls that change
/// something block until the store has it.
pub struct Sampling {
    store: Arc<dyn ControlStore>,
    tenant: Tenant,
    account: Account,
    memory: Mutex<Memory>,
    /// Held by who changes rules or boosts, from reading what is there to having stored what is new.
    changes: Mutex<()>,
    /// Held by who writes statistics, so that what is newer is written later.
    statistics: Mutex<()>,
}

/// What is in memory. Everything but `clients` is in the store too, statistics a second later.
struct Memory {
    /// Replaced as a whole, so that readers keep what they have.
    rules: Arc<Rules>,
    /// When rules changed last, deleting included; never goes back.
    modified_at: Timestamp,
    clients: BTreeMap<String, Clients>,
    windows: Windows,
    boosts: BTreeMap<String, LastBoost>,
    /// When statistics were written last.
    written_at: Option<Timestamp>,
}

impl Sampling {
    /// Reads what a tenant has in the store.
    ///
    /// # Errors
    /// [`SamplingError::Store`], or [`SamplingError::Unreadable`] for records of a newer program.
    pub fn open(
        store: Arc<dyn ControlStore>,
        tenant: Tenant,
        account: Account,
        now: Timestamp,
    ) -> Result<Self, SamplingError> {
        let mut rules = Rules::initial();
        for record in store.load(tenant, ControlKind::SamplingRule)? {
            rules.set(stored::to_rule(&record)?);
        }
        let mut modified_at = rules.modified_at();
        let mut boosts = BTreeMap::new();
        for record in store.load(tenant, ControlKind::SamplingState)? {
            match stored::to_state(&record)? {
                stored::State::Modified(at) => modified_at = modified_at.max(at),
                stored::State::Boost(name, boost) => {
                    boosts.insert(name, boost);
                }
            }
        }
        let records = store.load(tenant, ControlKind::SamplingStatistics)?;
        let windows: Result<Vec<_>, _> = records.iter().map(stored::to_window).collect();
        let mut windows = Windows::restore(windows?, now);
        windows.retain_rules(|name| rules.get(name).is_some());
        let memory = Memory {
            rules: Arc::new(rules),
            modified_at,
            clients: BTreeMap::new(),
            windows,
            boosts,
            written_at: None,
        };
        Ok(Self {
            store,
            tenant,
            account,
            memory: Mutex::new(memory),
            changes: Mutex::new(()),
            statistics: Mutex::new(()),
        })
    }

    /// Makes a rule; on disk once this returns `Ok`.
    ///
    /// # Errors
    /// [`SamplingError::Invalid`] for a member that is not valid or a name that is taken,
    /// [`SamplingError::RuleLimitExceeded`], [`SamplingError::TooManyTags`], [`SamplingError::Store`].
    pub fn create(
        &self,
        rule: NewRule,
        tags: impl IntoIterator<Item = (String, String)>,
        now: Timestamp,
    ) -> Result<RuleRecord, SamplingError> {
        let _change = lock(&self.changes);
        let name = rule.selector.resolve(&self.account)?;
        let rules = self.rules_now();
        if rules.get(&name).is_some() {
            let text = format!("there is a sampling rule {name:?} already");
            return Err(SamplingError::Invalid(text));
        }
        let rule = Rule::new(name, rule)?;
        if rules.n_custom() >= RULES_MAX {
            return Err(SamplingError::RuleLimitExceeded);
        }
        let at = self.next_modification(now);
        let kept = Kept {
            tags: self.with_tags(&rule.name, Tags::default(), tags)?,
            rule,
            created_at: at,
            modified_at: at,
        };
        self.keep(kept)
    }

    /// Changes a rule; on disk once this returns `Ok`. An update that changes nothing leaves its time as it was.
    ///
    /// # Errors
    /// [`SamplingError::Invalid`] for a rule that is not there or would not be valid, and for anything
    /// but rate and reservoir of `Default`; [`SamplingError::Store`].
    pub fn update(&self, update: RuleUpdate, now: Timestamp) -> Result<RuleRecord, SamplingError> {
        let _change = lock(&self.changes);
        let rules = self.rules_now();
        let before = rules.select(&self.account, &update.selector)?;
        let rule = before.rule.updated(update)?;
        if rule == before.rule {
            return Ok(before.record(&self.account));
        }
        self.keep(Kept {
            rule,
            modified_at: self.next_modification(now),
            ..before.clone()
        })
    }

    /// Deletes a rule and what is kept of it, and returns it as it was; gone from disk once this returns `Ok`.
    ///
    /// # Errors
    /// [`SamplingError::Invalid`] for a rule that is not there and for `Default`; [`SamplingError::Store`].
    pub fn delete(
        &self,
        selector: &RuleSelector,
        now: Timestamp,
    ) -> Result<RuleRecord, SamplingError> {
        let _change = lock(&self.changes);
        let rules = self.rules_now();
        let kept = rules.select(&self.account, selector)?;
        let name = kept.rule.name.as_str();
        if name == DEFAULT_RULE {
            let text = "the default sampling rule cannot be deleted";
            return Err(SamplingError::Invalid(text.to_owned()));
        }
        // The time first: should this be cut off, clients get the rules once more, and no harm is done.
        let at = self.next_modification(now);
        self.put(ControlKind::SamplingState, &stored::of_modified(at))?;
        self.memory().modified_at = at;
        // The boost before the rule: it must not be there for a later rule of the name.
        if self.memory().boosts.contains_key(name) {
            let key = stored::boost_key(name);
            self.remove(ControlKind::SamplingState, &key)?;
        }
        self.remove(ControlKind::SamplingRule, name)?;
        let mut memory = self.memory();
        Arc::make_mut(&mut memory.rules).remove(name);
        memory.clients.remove(name);
        memory.windows.retain_rules(|other| other != name);
        memory.boosts.remove(name);
        Ok(kept.record(&self.account))
    }

    /// Returns up to `n_max` rules (at least one) after the one named: `Default` first, then by name.
    /// A rule that is there all the time is on exactly one of the pages, whatever changes between them.
    pub fn rules(&self, after: Option<&str>, n_max: usize) -> RulePage {
        self.rules_now().page(&self.account, after, n_max)
    }

    /// Returns the rules as they are now; a cheap handle of what never changes again.
    pub fn rules_now(&self) -> Arc<Rules> {
        Arc::clone(&self.memory().rules)
    }

    /// Returns the rule a request falls under.
    pub fn matching(&self, facts: &RequestFacts<'_>) -> Rule {
        self.rules_now().matching(facts).clone()
    }

    /// Returns when rules changed last, as [`Targets::last_modified`] tells it.
    pub fn last_modified(&self) -> Timestamp {
        whole_second_after(self.memory().modified_at)
    }

    /// Returns the tags of the rule with an ARN.
    pub fn tags(&self, arn: &str) -> Result<Tags, SamplingError> {
        let rules = self.rules_now();
        Ok(rules.of_arn(&self.account, arn)?.tags.clone())
    }

    /// Sets tags of the rule with an ARN, all or none; on disk once this returns `Ok`.
    pub fn tag(
        &self,
        arn: &str,
        tags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SamplingError> {
        let _change = lock(&self.changes);
        let rules = self.rules_now();
        let before = rules.of_arn(&self.account, arn)?;
        let tags = self.with_tags(&before.rule.name, before.tags.clone(), tags)?;
        self.keep_tags(before, tags)
    }

    /// Removes tags of the rule with an ARN; gone from disk once this returns `Ok`.
    pub fn untag<'k>(
        &self,
        arn: &str,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<(), SamplingError> {
        let _change = lock(&self.changes);
        let rules = self.rules_now();
        let before = rules.of_arn(&self.account, arn)?;
        let mut tags = before.tags.clone();
        tags.remove(keys);
        self.keep_tags(before, tags)
    }

    /// Takes reports of clients and returns how they shall go on.
    ///
    /// Statistics are in the store about a second later, a boost that begins before this returns; what the
    /// store refuses is logged and stays in memory, since clients can do nothing about it.
    ///
    /// # Errors
    /// [`SamplingError::Invalid`] if there are more than [`REPORTS_MAX`] of a kind.
    pub fn targets(
        &self,
        reports: &[StatisticsReport],
        boosts: &[BoostReport],
        now: Timestamp,
    ) -> Result<Targets, SamplingError> {
        for n_reports in [reports.len(), boosts.len()] {
            if n_reports > REPORTS_MAX {
                let text = format!("there may be {REPORTS_MAX} reports, and there are {n_reports}");
                return Err(SamplingError::Invalid(text));
            }
        }
        let (targets, begun, is_due) = self.memory().take(reports, boosts, now);
        for rule_name in begun {
            if let Err(error) = self.keep_boost(&rule_name) {
                tracing::warn!(rule_name, %error, "a boost is not kept over a restart");
            }
        }
        // Whoever holds the lock writes what is there now, or the next call does.
        if is_due
            && let Ok(_writing) = self.statistics.try_lock()
            && let Err(error) = self.write_statistics(now)
        {
            tracing::warn!(%error, "sampling statistics are not written");
        }
        Ok(targets)
    }

    /// Returns up to `n_max` summaries (at least one) of the last half hour after a place, oldest first.
    pub fn summaries(
        &self,
        after: Option<&SummaryPosition>,
        n_max: usize,
        now: Timestamp,
    ) -> SummaryPage {
        self.memory().windows.page(after, n_max, now)
    }

    /// Hands all statistics to the store that it does not have yet: for every few seconds, and for the end.
    pub fn flush(&self, now: Timestamp) -> Result<(), SamplingError> {
        let _writing = lock(&self.statistics);
        Ok(self.write_statistics(now)?)
    }

    /// Stores a rule, then shows it.
    fn keep(&self, kept: Kept) -> Result<RuleRecord, SamplingError> {
        self.put(ControlKind::SamplingRule, &stored::of_rule(&kept))?;
        let record = kept.record(&self.account);
        let mut memory = self.memory();
        memory.modified_at = memory.modified_at.max(kept.modified_at);
        Arc::make_mut(&mut memory.rules).set(kept);
        Ok(record)
    }

    fn keep_tags(&self, before: &Kept, tags: Tags) -> Result<(), SamplingError> {
        if tags == before.tags {
            return Ok(());
        }
        self.keep(Kept {
            tags,
            ..before.clone()
        })
        .map(drop)
    }

    /// Stores the last boost of a rule, unless the rule was deleted meanwhile.
    fn keep_boost(&self, rule_name: &str) -> Result<(), StoreError> {
        let _change = lock(&self.changes);
        let boost = self.memory().boosts.get(rule_name).copied();
        let Some(boost) = boost else {
            return Ok(());
        };
        let record = stored::of_boost(rule_name, &boost);
        self.put(ControlKind::SamplingState, &record)
    }

    /// Writes the windows that changed; the caller holds the lock of statistics.
    fn write_statistics(&self, now: Timestamp) -> Result<(), StoreError> {
        let dirty = {
            let mut memory = self.memory();
            memory.written_at = Some(now);
            memory.windows.take_dirty()
        };
        let mut outcome = Ok(());
        for window in dirty {
            if outcome.is_ok() {
                let record = stored::of_window(&window);
                outcome =
                    self.store
                        .put_soon(self.tenant, ControlKind::SamplingStatistics, &record);
            }
            if outcome.is_err() {
                self.memory().windows.mark_dirty(window.number);
            }
        }
        outcome
    }

    fn put(&self, kind: ControlKind, record: &ControlRecord) -> Result<(), StoreError> {
        self.store.put(self.tenant, kind, record)
    }

    fn remove(&self, kind: ControlKind, key: &str) -> Result<(), StoreError> {
        self.store.remove(self.tenant, kind, key)
    }

    fn with_tags(
        &self,
        rule_name: &str,
        mut tags: Tags,
        new: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Tags, SamplingError> {
        match tags.set(new) {
            Ok(()) => Ok(tags),
            Err(source @ InvalidTags::TooMany { .. }) => Err(SamplingError::TooManyTags {
                arn: arn_of(&self.account, rule_name),
                source,
            }),
            Err(error @ (InvalidTags::Reserved { .. } | InvalidTags::Repeated { .. })) => {
                Err(SamplingError::Invalid(error.to_string()))
            }
        }
    }

    /// Returns the time a change made now has: never before that of an earlier change.
    fn next_modification(&self, now: Timestamp) -> Timestamp {
        now.max(self.memory().modified_at)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }
}

impl Memory {
    /// Takes reports; returns what to answer, which boosts begin, and whether statistics are due to be written.
    fn take(
        &mut self,
        reports: &[StatisticsReport],
        boosts: &[BoostReport],
        now: Timestamp,
    ) -> (Targets, Vec<String>, bool) {
        let rules = Arc::clone(&self.rules);
        let mut desk = Desk {
            rules: &rules,
            clients: &mut self.clients,
            windows: &mut self.windows,
            boosts: &mut self.boosts,
            now,
        };
        // A boost that begins with these reports is part of the answer to them.
        let (begun, unprocessed_boosts) = desk.boost(boosts);
        let (documents, unprocessed) = desk.take(reports);
        let targets = Targets {
            documents,
            last_modified: whole_second_after(self.modified_at),
            unprocessed,
            unprocessed_boosts,
        };
        let is_due = |written_at| now >= after(written_at, WRITE_EVERY);
        (targets, begun, self.written_at.is_none_or(is_due))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn whole_second_after(instant: Timestamp) -> Timestamp {
    let whole = Timestamp::from_secs(instant.as_secs());
    if whole == instant {
        return whole;
    }
    Timestamp::from_secs(instant.as_secs().saturating_add(1))
}

const WRITE_EVERY: Duration = Duration::from_secs(1);
