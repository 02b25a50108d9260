//! Pages of `BatchGetTraces`: joined they are the whole, each makes progress, and a token is good for one request.

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{assert_error, segment, trace_id};
use crate::summaries::flip;

/// Starts a server whose pages hold about a kilobyte.
fn start(home: &Home) -> Result<Server> {
    home.start_with(&home.config("[query]\npage_bytes = 1024\n")?)
}

/// Puts so many segments of about 300 bytes and returns their ids.
fn fill(server: &Server, trace_id: &str, n_segments: u32) -> Result<Vec<String>> {
    let ids: Vec<String> = (1..=n_segments)
        .map(|number| format!("{number:016x}"))
        .collect();
    let documents: Vec<String> = ids
        .iter()
        .map(|id| {
            segment(
                trace_id,
                id,
                &json!({ "metadata": { "default": { "fill": "x".repeat(150) } } }),
            )
        })
        .collect();
    for some in documents.chunks(50) {
        server.put_all(some)?;
    }
    Ok(ids)
}

/// Returns the pages of a request; `between` runs after each page.
fn pages(
    server: &Server,
    trace_ids: &[&str],
    mut between: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Value>> {
    let mut pages: Vec<Value> = Vec::new();
    let mut token = Value::Null;
    loop {
        let page = server
            .post(
                "/Traces",
                &json!({ "TraceIds": trace_ids, "NextToken": token }),
            )?
            .success()?;
        let next = page.get("NextToken").cloned().unwrap_or(Value::Null);
        assert!(next.is_null() || next != token, "the same token again");
        assert!(pages.len() < 1000, "pages without end");
        token = next;
        pages.push(page);
        if token.is_null() {
            return Ok(pages);
        }
        between(pages.len())?;
    }
}

/// Returns trace and segment ids of the pages in order.
fn segments(pages: &[Value]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for page in pages {
        for trace in list(page, "Traces")? {
            let trace_id = trace["Id"].as_str().context("Id of a trace")?.to_owned();
            for segment in list(&trace, "Segments")? {
                found.push((
                    trace_id.clone(),
                    segment["Id"]
                        .as_str()
                        .context("Id of a segment")?
                        .to_owned(),
                ));
            }
        }
    }
    Ok(found)
}

fn first_token(server: &Server, trace_ids: &[&str]) -> Result<String> {
    let page = server
        .post("/Traces", &json!({ "TraceIds": trace_ids }))?
        .success()?;
    Ok(page["NextToken"]
        .as_str()
        .context("a first page with a token")?
        .to_owned())
}

#[test]
fn pages_joined_are_the_whole() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home)?;
    let (large, small, missing) = (trace_id(1), trace_id(2), trace_id(3));
    let mut expected: Vec<(String, String)> = Vec::new();
    for (trace_id, n_segments) in [(&large, 120), (&small, 2)] {
        expected.extend(
            fill(&server, trace_id, n_segments)?
                .into_iter()
                .map(|id| (trace_id.clone(), id)),
        );
    }
    let pages = pages(&server, &[&large, &missing, &small], |_| Ok(()))?;
    assert!(pages.len() > 20, "{} pages", pages.len());
    assert_eq!(segments(&pages)?, expected);
    for page in &pages {
        assert!(
            !segments(std::slice::from_ref(page))?.is_empty(),
            "a page without progress: {page}"
        );
        assert_eq!(page["UnprocessedTraceIds"], json!([]));
        // A trace that continues is told as a whole on each page.
        for trace in list(page, "Traces")? {
            assert_eq!(
                (&trace["Duration"], &trace["LimitExceeded"]),
                (&json!(1.0), &json!(false))
            );
        }
    }
    Ok(())
}

#[test]
fn a_segment_larger_than_a_page_is_a_page() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home)?;
    let trace_id = trace_id(1);
    for number in 1..=5 {
        server.put_all(&[segment(
            &trace_id,
            &format!("{number:016x}"),
            &json!({ "metadata": { "default": { "fill": "x".repeat(40_000) } } }),
        )])?;
    }
    let pages = pages(&server, &[&trace_id], |_| Ok(()))?;
    assert_eq!((pages.len(), segments(&pages)?.len()), (5, 5));
    Ok(())
}

#[test]
fn segments_that_arrive_between_pages_change_nothing_told() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home)?;
    let trace_id = trace_id(1);
    // The known segments have ids that end in 8; others are put before, between and after them.
    let expected: Vec<String> = (1..=60).map(|number| format!("{number:015x}8")).collect();
    let fill = json!({ "metadata": { "default": { "fill": "x".repeat(150) } } });
    let documents: Vec<String> = expected
        .iter()
        .map(|id| segment(&trace_id, id, &fill))
        .collect();
    for some in documents.chunks(50) {
        server.put_all(some)?;
    }
    let pages = pages(&server, &[&trace_id], |n_pages| {
        let number = u64::try_from(n_pages)?;
        let late = [
            format!("{:016x}", number * 16),
            format!("{:016x}", number * 16 + 9),
            format!("{:016x}", u64::MAX - number),
        ];
        let documents: Vec<String> = late
            .iter()
            .map(|id| segment(&trace_id, id, &json!({})))
            .collect();
        server.put_all(&documents)
    })?;
    let found: Vec<String> = segments(&pages)?.into_iter().map(|(_, id)| id).collect();
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn a_copy_that_is_replaced_between_pages_is_told_once() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home)?;
    let trace_id = trace_id(1);
    let ids: Vec<String> = (1..=40).map(|number| format!("{number:016x}")).collect();
    let begun: Vec<String> = ids.iter().map(|id| segment(&trace_id, id, &json!({ "end_time": null, "in_progress": true, "metadata": { "default": { "fill": "x".repeat(150) } } }))).collect();
    server.put_all(&begun)?;
    let pages = pages(&server, &[&trace_id], |n_pages| {
        let finished: Vec<String> = ids
            .iter()
            .skip(n_pages)
            .step_by(7)
            .map(|id| segment(&trace_id, id, &json!({})))
            .collect();
        server.put_all(&finished)
    })?;
    let found: Vec<String> = segments(&pages)?.into_iter().map(|(_, id)| id).collect();
    assert_eq!(found, ids);
    Ok(())
}

#[test]
fn tokens_of_others_are_refused() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home)?;
    let (first, second) = (trace_id(1), trace_id(2));
    fill(&server, &first, 20)?;
    fill(&server, &second, 20)?;
    let token = first_token(&server, &[&first, &second])?;
    let elsewhere = Home::new()?;
    let foreign_server = start(&elsewhere)?;
    fill(&foreign_server, &first, 20)?;
    let foreign = first_token(&foreign_server, &[&first, &second])?;
    let refuse = |trace_ids: &[&str], token: &str| -> Result<String> {
        assert_error(
            &server.post(
                "/Traces",
                &json!({ "TraceIds": trace_ids, "NextToken": token }),
            )?,
            400,
            "InvalidRequestException",
        )
    };
    refuse(&[&first], &token)?;
    refuse(&[&second, &first], &token)?;
    refuse(&[&first, &second], &foreign)?;
    refuse(&[&first, &second], &flip(&token))?;
    refuse(&[&first, &second], &token[..token.len() - 1])?;
    refuse(&[&first, &second], &format!("{token}AAAA"))?;
    refuse(&[&first, &second], &"A".repeat(100_000))?;
    server
        .post(
            "/Traces",
            &json!({ "TraceIds": [first, second], "NextToken": token }),
        )?
        .success()?;
    Ok(())
}

#[test]
fn every_changed_byte_of_a_token_is_noticed() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home)?;
    let trace_id = trace_id(1);
    fill(&server, &trace_id, 20)?;
    let token = first_token(&server, &[&trace_id])?;
    let mut connection = server.connect()?;
    for at in 0..token.len() {
        let other = if token.as_bytes()[at] == b'Q' {
            "R"
        } else {
            "Q"
        };
        let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        let body = json!({ "TraceIds": [trace_id], "NextToken": changed }).to_string();
        assert_error(
            &connection.post("/Traces", body.as_bytes())?,
            400,
            "InvalidRequestException",
        )?;
    }
    Ok(())
}

#[test]
fn a_token_survives_a_restart() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home)?;
    let trace_id = trace_id(1);
    let ids = fill(&server, &trace_id, 20)?;
    let first = server
        .post("/Traces", &json!({ "TraceIds": [trace_id] }))?
        .success()?;
    let n_first = segments(std::slice::from_ref(&first))?.len();
    server.kill9()?;
    let server = start(&home)?;
    let second = server
        .post(
            "/Traces",
            &json!({ "TraceIds": [trace_id], "NextToken": first["NextToken"] }),
        )?
        .success()?;
    let found = segments(&[second])?;
    assert_eq!(found[0].1, ids[n_first]);
    Ok(())
}

#[test]
fn within_the_budget_there_is_no_token() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    fill(&server, &trace_id, 300)?;
    let page = server
        .post("/Traces", &json!({ "TraceIds": [trace_id] }))?
        .success()?;
    assert!(page.get("NextToken").is_none_or(Value::is_null));
    assert_eq!(segments(&[page])?.len(), 300);
    Ok(())
}
