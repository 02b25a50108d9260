//! Insights: nobody can make one on demand, so that lists may be empty and single ones are of none.

use protocol::Operation;
use serde_json::{Value, json};
use uuid::Uuid;

use super::constraints;
use super::exam::Exam;
use super::fixture::Fixture;
use super::want::Want::Like;
use super::want::{ANY, INVALID};
use crate::exit::Stop;

const SUMMARIES: Operation = Operation::GetInsightSummaries;
const ONE: Operation = Operation::GetInsight;
const EVENTS: Operation = Operation::GetInsightEvents;
const IMPACT: Operation = Operation::GetInsightImpactGraph;

/// Checks lists of insights, and calls for one that is not there.
pub(super) async fn check(exam: &mut Exam, fixture: &Fixture, group: &str) -> Result<(), Stop> {
    let list = Like("/InsightSummaries", json!(ANY));
    let of = |members: &Value| fixture.window_with(members);
    for (name, members) in [
        (
            "the insights of the Default group are listed",
            json!({ "GroupName": "Default" }),
        ),
        (
            "the insights of a group are listed",
            json!({ "GroupName": group }),
        ),
        (
            "active insights are listed",
            json!({ "GroupName": "Default", "States": ["ACTIVE"] }),
        ),
        (
            "closed insights are listed",
            json!({ "GroupName": "Default", "States": ["CLOSED"], "MaxResults": 100 }),
        ),
    ] {
        exam.passes(SUMMARIES, name, of(&members), std::slice::from_ref(&list))
            .await?;
    }
    for (name, members) in [
        (
            "an unknown group is refused",
            json!({ "GroupName": fixture.name("nobody") }),
        ),
        (
            "a token nobody gave is refused",
            json!({ "GroupName": "Default", "NextToken": "conform" }),
        ),
    ] {
        exam.refuses(SUMMARIES, name, of(&members), INVALID).await?;
    }
    let right = of(&json!({ "GroupName": "Default", "States": ["ACTIVE"] }));
    constraints::check_tolerance(exam, SUMMARIES, &right).await?;
    constraints::check(exam, SUMMARIES, &right).await?;
    let insight_id = Uuid::new_v4().to_string();
    let unknown = json!({ "InsightId": insight_id });
    let impact = of(&unknown);
    for (operation, request) in [(ONE, &unknown), (EVENTS, &unknown), (IMPACT, &impact)] {
        exam.refuses(operation, "an unknown insight is refused", request, INVALID)
            .await?;
        constraints::check(exam, operation, request).await?;
    }
    let long = json!({ "InsightId": insight_id, "StartTime": fixture.base - 8 * 3600, "EndTime": fixture.base });
    exam.refuses(IMPACT, "more than six hours are refused", long, INVALID)
        .await
}
