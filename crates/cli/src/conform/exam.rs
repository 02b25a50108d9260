//! A run of checks against one server: sending, judging, noting what came out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use protocol::Operation;
use protocol::model::{MemberShape, model};
use serde_json::Value;

use super::ask::Ask;
use super::report::{Outcome, Report};
use super::want::{Codes, Want, check_error, check_error_details, check_head, read};
use crate::client::{Client, Reply};
use crate::exit::{Exit, Stop};
use crate::stopping::Stopping;
use crate::terminal::{Progress, counted};

/// What is asked of a server and what came out so far.
pub(super) struct Exam {
    client: Client,
    only: Vec<Operation>,
    report: Report,
    /// How long may still be waited for what a server does later; all waits share it.
    patience: Duration,
    has_answered: bool,
    stopping: Stopping,
    /// Whether things are put back as they were: that is done though the end was asked for.
    is_sweeping: bool,
    progress: Progress,
    /// For each operation that answered, what was wrong first with the headers of an answer.
    heads: HashMap<Operation, Result<(), String>>,
}

impl Exam {
    /// Returns an exam of so many parts in which nothing was asked yet; with nothing in `only` everything counts.
    pub(super) fn new(
        client: Client,
        only: Vec<Operation>,
        patience: Duration,
        stopping: Stopping,
        n_parts: usize,
    ) -> Self {
        let n_parts = u64::try_from(n_parts).unwrap_or(u64::MAX);
        Self {
            client,
            only,
            report: Report::default(),
            patience,
            has_answered: false,
            stopping,
            is_sweeping: false,
            progress: Progress::of(n_parts, "parts").at_once(),
            heads: HashMap::new(),
        }
    }

    /// Tells whether checks of one of these operations count.
    pub(super) fn covers(&self, operations: &[Operation]) -> bool {
        self.only.is_empty()
            || operations
                .iter()
                .any(|operation| self.only.contains(operation))
    }

    /// Takes note that a part is over.
    pub(super) fn end_part(&self) {
        self.progress.advance(1);
    }

    /// From now on calls are made whether or not the end was asked for.
    pub(super) const fn begin_sweep(&mut self) {
        self.is_sweeping = true;
    }

    /// Returns what came out.
    pub(super) fn into_report(mut self) -> Report {
        self.progress.clear();
        for operation in Operation::ALL {
            if let Some(outcome) = self.heads.remove(&operation) {
                let name = "every answer has a content type and a request id";
                self.note(operation, name, outcome);
            }
        }
        self.report
    }

    /// Checks that a call has a result and that the result is what is wanted; returns it, and null if there is
    /// none. Lists that go on on further pages are whole.
    pub(super) async fn passes(
        &mut self,
        operation: Operation,
        name: &str,
        body: impl Into<Ask>,
        wants: &[Want],
    ) -> Result<Value, Stop> {
        let (result, failure) = self.judge(operation, &body.into(), wants).await?;
        self.note(operation, name, failure.map_or(Ok(()), Err));
        Ok(result)
    }

    /// Checks the same of a call that may be right only after a while.
    pub(super) async fn settles(
        &mut self,
        operation: Operation,
        name: &str,
        body: &Value,
        wants: &[Want],
    ) -> Result<Value, Stop> {
        self.settles_if(operation, name, body, |result| {
            wants
                .iter()
                .find_map(|want| want.unmet(result))
                .map_or(Ok(()), Err)
        })
        .await
    }

    /// Checks that after a while a call has a result this function finds nothing wrong with.
    pub(super) async fn settles_if(
        &mut self,
        operation: Operation,
        name: &str,
        body: &Value,
        judge: impl Fn(&Value) -> Result<(), String>,
    ) -> Result<Value, Stop> {
        let ask = Ask::from(body);
        let begun = Instant::now();
        loop {
            let (result, failure) = self.judge(operation, &ask, &[]).await?;
            let failure = failure.or_else(|| judge(&result).err());
            if failure.is_none() || begun.elapsed() >= self.patience {
                self.patience = self.patience.saturating_sub(begun.elapsed());
                self.note(operation, name, failure.map_or(Ok(()), Err));
                return Ok(result);
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Checks that a call is refused with one of these codes.
    pub(super) async fn refuses(
        &mut self,
        operation: Operation,
        name: &str,
        body: impl Into<Ask>,
        codes: Codes,
    ) -> Result<(), Stop> {
        let outcome = match self.send(operation, &body.into()).await? {
            Ok(reply) => check_error(operation, &reply, codes),
            Err(failure) => Err(failure),
        };
        self.note(operation, name, outcome);
        Ok(())
    }

    /// Checks where a refusal has its type and its text.
    pub(super) async fn refuses_well(
        &mut self,
        operation: Operation,
        body: impl Into<Ask>,
    ) -> Result<(), Stop> {
        let outcome = match self.send(operation, &body.into()).await? {
            Ok(reply) if reply.status.is_success() => Err("nothing was refused".to_owned()),
            Ok(reply) => check_error_details(&reply),
            Err(failure) => Err(failure),
        };
        self.note(
            operation,
            "an error has its type in the header and its text in Message",
            outcome,
        );
        Ok(())
    }

    /// Calls without noting anything: to prepare and to clean up. Returns the result, null if there is none.
    pub(super) async fn call(&mut self, operation: Operation, body: &Value) -> Result<Value, Stop> {
        let (result, _) = self.ask(operation, body).await?;
        Ok(result)
    }

    /// Calls without noting anything and returns the result, and what is wrong with it.
    pub(super) async fn ask(
        &mut self,
        operation: Operation,
        body: &Value,
    ) -> Result<(Value, Option<String>), Stop> {
        self.judge(operation, &Ask::from(body), &[]).await
    }

    /// Notes what came out of a check.
    pub(super) fn note(&mut self, operation: Operation, name: &str, outcome: Result<(), String>) {
        if self.covers(&[operation]) {
            self.report.add(Outcome {
                operation,
                name: name.to_owned(),
                failure: outcome.err(),
            });
            let checks = counted(self.report.n_checks(), "check");
            self.progress.describe(&format!("parts, {checks}"));
        }
    }

    /// Sends a request; a server that fell silent on the way has failed the check, one that never said anything
    /// is not there. Once the end was asked for nothing is sent any more, and an answer is waited for only a little: it
    /// may be to a call that makes something.
    async fn send(
        &mut self,
        operation: Operation,
        ask: &Ask,
    ) -> Result<Result<Reply, String>, Stop> {
        if self.stopping.is_asked() && !self.is_sweeping {
            return Err(self.stop());
        }
        let mut stopping = self.stopping.clone();
        let n_throttled = || self.client.n_throttled();
        let sending = ask.send(&self.client, operation);
        let sent = tokio::select! {
            sent = self.progress.during(n_throttled, sending) => sent,
            () = stopping.overdue(GRACE), if !self.is_sweeping => return Err(self.stop()),
        };
        match sent {
            Ok(reply) => {
                self.has_answered = true;
                let head = self.heads.entry(operation).or_insert(Ok(()));
                if head.is_ok() {
                    *head = check_head(&reply);
                }
                Ok(Ok(reply))
            }
            Err(stop) if self.has_answered => Ok(Err(stop.message)),
            Err(stop) => Err(stop),
        }
    }

    /// Returns what ends the examination when the end was asked for.
    fn stop(&self) -> Stop {
        Stop::new(self.stopping.exit_or(Exit::Failed), "")
    }

    /// Returns the result of a call, the lists of all its pages joined, and what is wrong with it. What is not of
    /// the model is returned all the same, no result at all as null.
    async fn judge(
        &mut self,
        operation: Operation,
        ask: &Ask,
        wants: &[Want],
    ) -> Result<(Value, Option<String>), Stop> {
        let (mut joined, mut failure) = self.page(operation, ask).await?;
        let mut token = token_of(&joined);
        let mut n_pages = 1;
        while let Some(current) = token {
            let Some(next) = ask.with_token(&current).filter(|_| n_pages < PAGES_MAX) else {
                return Ok((joined, Some(format!("still a NextToken on page {n_pages}"))));
            };
            let (page, wrong) = self.page(operation, &next).await?;
            failure = failure.or(wrong.map(|wrong| format!("on a further page: {wrong}")));
            token = token_of(&page);
            if token.as_ref() == Some(&current) {
                return Ok((joined, Some("the same NextToken twice".to_owned())));
            }
            join(operation, &mut joined, page);
            n_pages += 1;
        }
        let failure = failure.or_else(|| wants.iter().find_map(|want| want.unmet(&joined)));
        Ok((joined, failure))
    }

    async fn page(
        &mut self,
        operation: Operation,
        ask: &Ask,
    ) -> Result<(Value, Option<String>), Stop> {
        Ok(match self.send(operation, ask).await? {
            Ok(reply) => read(operation, &reply),
            Err(failure) => (Value::Null, Some(failure)),
        })
    }
}

fn token_of(page: &Value) -> Option<String> {
    let token = page.get("NextToken").and_then(Value::as_str);
    token.filter(|token| !token.is_empty()).map(str::to_owned)
}

/// Appends the lists of a page.
fn join(operation: Operation, joined: &mut Value, mut page: Value) {
    for member in &model().operation(operation).output.members {
        if !matches!(member.shape, MemberShape::List { .. }) {
            continue;
        }
        let more = page.get_mut(member.name).map(Value::take);
        let items = joined.get_mut(member.name).and_then(Value::as_array_mut);
        if let (Some(items), Some(Value::Array(more))) = (items, more) {
            for item in more {
                join_item(items, item);
            }
        }
    }
}

/// Appends an item; a trace that began on an earlier page gets its further segments.
fn join_item(items: &mut Vec<Value>, mut item: Value) {
    let last = items.last_mut();
    let begun = last.filter(|last| item.get("Id").is_some() && last.get("Id") == item.get("Id"));
    let Some(begun) = begun else {
        return items.push(item);
    };
    for list in ["Segments", "Spans"] {
        let more = item.get_mut(list).map(Value::take);
        let parts = begun.get_mut(list).and_then(Value::as_array_mut);
        if let (Some(parts), Some(Value::Array(more))) = (parts, more) {
            parts.extend(more);
        }
    }
}

/// Only paces the questions; nothing is assumed to have happened meanwhile.
const PACE: Duration = Duration::from_millis(100);
/// How long an answer is waited for once the end was asked for.
const GRACE: Duration = Duration::from_secs(2);
const PAGES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_pages_are_joined_and_split_traces_too() {
        let mut joined = json!({ "Traces": [{ "Id": "a", "Segments": [1] }], "NextToken": "t" });
        let page =
            json!({ "Traces": [{ "Id": "a", "Segments": [2] }, { "Id": "b", "Segments": [3] }] });
        join(Operation::BatchGetTraces, &mut joined, page);
        let traces = json!([{ "Id": "a", "Segments": [1, 2] }, { "Id": "b", "Segments": [3] }]);
        assert_eq!(joined["Traces"], traces);
        let mut joined = json!({ "Groups": [{ "GroupName": "a" }] });
        let page = json!({ "Groups": [{ "GroupName": "b" }] });
        join(Operation::GetGroups, &mut joined, page);
        assert_eq!(
            joined["Groups"],
            json!([{ "GroupName": "a" }, { "GroupName": "b" }])
        );
    }

    #[test]
    fn an_empty_token_is_none() {
        assert_eq!(token_of(&json!({ "NextToken": "" })), None);
        assert_eq!(token_of(&json!({ "NextToken": null })), None);
        assert_eq!(token_of(&json!({ "NextToken": "t" })), Some("t".to_owned()));
    }
}
