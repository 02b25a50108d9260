//! What the developer guide tells of one of its traces ("Getting data from X-Ray", `BatchGetTraces` and
//! the trace map of Scorekeep), and other graphs a reader can check by eye.

use model::TraceId;
use protocol::shapes::{RetrievedService, Service};
use serde_json::json;
use storage::memory::MemoryStore;

use super::super::{graph_of_traces, service_graph, trace_graph};
use super::*;

/// The documents the guide's answer is made of, without the inferred ones.
const SCOREKEEP: [&str; 3] = [
    r#"{"id":"1fb07842d944e714","name":"random-name","start_time":1.499473411677E9,"end_time":1.499473414572E9,"parent_id":"0c544c1b1bbff948","http":{"response":{"status":200}},"aws":{"request_id":"ac086670-6373-11e7-a174-f31b3397f190"},"trace_id":"1-59602603-23fc5b688855d396af79b496","origin":"AWS::Lambda","resource_arn":"arn:aws:lambda:us-west-2:123456789012:function:random-name"}"#,
    r###"{"id":"194fcc8747581230","name":"Scorekeep","start_time":1.499473411562E9,"end_time":1.499473414794E9,"http":{"request":{"url":"http://scorekeep.elasticbeanstalk.com/api/user","method":"POST","user_agent":"Mozilla/5.0 (Windows NT 6.1; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/59.0.3071.115 Safari/537.36","client_ip":"205.251.233.183"},"response":{"status":200}},"aws":{"elastic_beanstalk":{"version_label":"app-abb9-170708_002045","deployment_id":406,"environment_name":"scorekeep-dev"},"ec2":{"availability_zone":"us-west-2c","instance_id":"i-0cd9e448944061b4a"},"xray":{"sdk_version":"1.1.2","sdk":"X-Ray for Java"}},"service":{},"trace_id":"1-59602603-23fc5b688855d396af79b496","user":"5M388M1E","origin":"AWS::ElasticBeanstalk::Environment","subsegments":[{"id":"0c544c1b1bbff948","name":"Lambda","start_time":1.499473411629E9,"end_time":1.499473414572E9,"http":{"response":{"status":200,"content_length":14}},"aws":{"log_type":"None","status_code":200,"function_name":"random-name","invocation_type":"RequestResponse","operation":"Invoke","request_id":"ac086670-6373-11e7-a174-f31b3397f190","resource_names":["random-name"]},"namespace":"aws"},{"id":"071684f2e555e571","name":"## UserModel.saveUser","start_time":1.499473414581E9,"end_time":1.499473414769E9,"metadata":{"debug":{"test":"Metadata string from UserModel.saveUser"}},"subsegments":[{"id":"4cd3f10b76c624b4","name":"DynamoDB","start_time":1.49947341469E9,"end_time":1.499473414769E9,"http":{"response":{"status":200,"content_length":57}},"aws":{"table_name":"scorekeep-user","operation":"UpdateItem","request_id":"MFQ8CGJ3JTDDVVVASUAAJGQ6NJ82F738BOB4KQNSO5AEMVJF66Q9","resource_names":["scorekeep-user"]},"namespace":"aws"}]}]}"###,
    r#"{"id":"00f91aa01f4984fd","name":"random-name","start_time":1.49947341283E9,"end_time":1.49947341457E9,"parent_id":"1fb07842d944e714","aws":{"function_arn":"arn:aws:lambda:us-west-2:123456789012:function:random-name","resource_names":["random-name"],"account_id":"123456789012"},"trace_id":"1-59602603-23fc5b688855d396af79b496","origin":"AWS::Lambda::Function","subsegments":[{"id":"e6d2fe619f827804","name":"annotations","start_time":1.499473413012E9,"end_time":1.499473413069E9,"annotations":{"UserID":"5M388M1E","Name":"Ola"}},{"id":"b29b548af4d54a0f","name":"SNS","start_time":1.499473413112E9,"end_time":1.499473414071E9,"http":{"response":{"status":200}},"aws":{"operation":"Publish","region":"us-west-2","request_id":"a2137970-f6fc-5029-83e8-28aadeb99198","retries":0,"topic_arn":"arn:aws:sns:us-west-2:123456789012:awseb-e-ruag3jyweb-stack-NotificationTopic-6B829NT9V5O9"},"namespace":"aws"},{"id":"2279c0030c955e52","name":"Initialization","start_time":1.499473412064E9,"end_time":1.499473412819E9,"aws":{"function_arn":"arn:aws:lambda:us-west-2:123456789012:function:random-name"}}]}"#,
];
const SCOREKEEP_TRACE: &str = "1-59602603-23fc5b688855d396af79b496";

fn document(trace: u64, id: u64, name: &str, members: &str) -> String {
    let trace_id = traffic::trace_id(trace);
    format!(r#"{{"trace_id":"{trace_id}","id":"{id:016x}","name":"{name}",{members}}}"#)
}

/// Returns each node's line of the graph a reader would draw: what it is, its requests and calls.
fn drawn(services: &[Service]) -> Vec<String> {
    let named = |service: &Service| {
        let kind = service.service_type.as_deref().unwrap_or("-");
        format!("{} ({kind})", service.name.as_deref().unwrap_or("-"))
    };
    let calls = |service: &Service| {
        let calls = service.edges.iter().map(|edge| {
            let to = services
                .iter()
                .find(|to| to.reference_id == edge.reference_id);
            let statistics = edge.summary_statistics.unwrap();
            format!(
                "{} {}x {}",
                to.map_or("elsewhere".to_owned(), named),
                statistics.total_count,
                statistics.total_response_time
            )
        });
        calls.collect::<Vec<_>>().join(", ")
    };
    let line = |service: &Service| {
        let own = service
            .summary_statistics
            .map_or("-".to_owned(), |statistics| {
                format!(
                    "{}x {}",
                    statistics.total_count, statistics.total_response_time
                )
            });
        let root = if service.root { " root" } else { "" };
        let state = json!(service.state);
        let state = state.as_str().unwrap();
        format!(
            "{}{root} {state} {own} -> [{}]",
            named(service),
            calls(service)
        )
    };
    services.iter().map(line).collect()
}

#[test]
fn the_guides_trace_has_the_guides_graph() {
    let store = MemoryStore::default();
    put(&store, &SCOREKEEP.map(str::to_owned));
    // All of it begins in two minutes.
    let graph = window(&store, 24_991_223, 24_991_225);
    assert_eq!(
        drawn(&graph.services),
        [
            "SNS (AWS::SNS) unknown 1x 0.959 -> []",
            "Scorekeep (AWS::ElasticBeanstalk::Environment) root active 1x 3.232 -> [random-name (AWS::Lambda) 1x 2.943, scorekeep-user (AWS::DynamoDB::Table) 1x 0.079]",
            "Scorekeep (client) unknown - -> [Scorekeep (AWS::ElasticBeanstalk::Environment) 1x 3.232]",
            "random-name (AWS::Lambda) active 1x 2.895 -> [random-name (AWS::Lambda::Function) 1x 1.74]",
            "random-name (AWS::Lambda::Function) active 1x 1.74 -> [SNS (AWS::SNS) 1x 0.959]",
            "scorekeep-user (AWS::DynamoDB::Table) unknown 1x 0.079 -> []",
        ]
    );
    let aliases = &graph.services[1].edges[0].aliases;
    assert_eq!(
        json!(aliases),
        json!([{"Name": "Lambda", "Names": ["Lambda"], "Type": "AWS::Lambda"}])
    );
    let of_trace = of_traces(&store, &[SCOREKEEP_TRACE.to_owned()]).unwrap();
    assert_eq!(of_trace, json!(graph.services));
}

#[test]
fn an_answer_has_every_member_clients_read() {
    let store = MemoryStore::default();
    let members = r#""start_time":60.25,"end_time":61.5,"origin":"AWS::EC2::Instance""#;
    put(&store, &[document(1, 1, "shop", members)]);
    let request = request(30, 120);
    let scope = GroupScope {
        contains_old_versions: true,
        ..ALL
    };
    let graph = block_on(service_graph(&store, TENANT, &request, scope, &options())).unwrap();
    let statistics = json!({
        "OkCount": 1,
        "ErrorStatistics": {"ThrottleCount": 0, "OtherCount": 0, "TotalCount": 0},
        "FaultStatistics": {"OtherCount": 0, "TotalCount": 0},
        "TotalCount": 1,
        "TotalResponseTime": 1.25,
    });
    let histogram = json!([{"Value": 1.25, "Count": 1}]);
    assert_eq!(
        json!(graph),
        json!({
            "StartTime": 30.0, "EndTime": 120.0, "ContainsOldGroupVersions": true,
            "Services": [{
                "ReferenceId": 0, "Name": "shop", "Names": ["shop"], "Root": true,
                "Type": "AWS::EC2::Instance", "State": "active",
                "StartTime": 60.0, "EndTime": 62.0, "Edges": [],
                "SummaryStatistics": statistics,
                "DurationHistogram": histogram, "ResponseTimeHistogram": histogram,
            }, {
                "ReferenceId": 1, "Name": "shop", "Names": ["shop"], "Type": "client",
                "State": "unknown", "StartTime": 60.0, "EndTime": 62.0,
                "Edges": [{
                    "ReferenceId": 0, "StartTime": 60.0, "EndTime": 62.0,
                    "SummaryStatistics": statistics, "ResponseTimeHistogram": histogram,
                    "Aliases": [], "ReceivedEventAgeHistogram": [],
                }],
                "DurationHistogram": [], "ResponseTimeHistogram": [],
            }],
        })
    );
}

/// Grafana's node graph dies of a node that has no figures and no call that has.
#[test]
fn every_node_or_one_of_its_calls_has_figures() {
    let store = MemoryStore::default();
    let calls = r#""start_time":59,"in_progress":true,"subsegments":[{"id":"00000000000000c1","name":"db","namespace":"remote","start_time":61}]"#;
    let answer = r#""start_time":125,"end_time":126,"parent_id":"00000000000000c1""#;
    put(
        &store,
        &[
            // Only its call is in the second minute, what answers comes in the third.
            document(1, 1, "shop", calls),
            document(1, 2, "cart", answer),
            document(2, 1, "busy", r#""start_time":70,"in_progress":true"#),
        ],
    );
    let graph = window(&store, 1, 2);
    assert_eq!(
        drawn(&graph.services),
        [
            "busy (-) root active 0x 0.0 -> []",
            "busy (client) unknown - -> [busy (-) 0x 0.0]",
            "cart (-) active 0x 0.0 -> []",
            "shop (-) active 0x 0.0 -> [cart (-) 0x 0.0]",
        ]
    );
    // Transactions per minute are divided by this.
    assert!(
        graph
            .services
            .iter()
            .all(|node| node.start_time < node.end_time)
    );
}

#[test]
fn a_window_holds_the_minutes_that_begin_in_it_and_the_one_it_begins_in() {
    let store = MemoryStore::default();
    let at = |start: u64| format!(r#""start_time":{start},"end_time":{start}"#);
    for minute in 0..4 {
        put(
            &store,
            &[document(
                minute,
                1,
                &format!("m{minute}"),
                &at(60 * minute + 30),
            )],
        );
    }
    let names = |from: u64, to: u64| -> Vec<String> {
        let graph = block_on(service_graph(
            &store,
            TENANT,
            &request(from, to),
            ALL,
            &options(),
        ));
        let services = graph.unwrap().services;
        let nodes = services
            .into_iter()
            .filter(|service| service.service_type.is_none());
        nodes.filter_map(|service| service.name).collect()
    };
    assert_eq!(names(60, 180), ["m1", "m2"]);
    assert_eq!(names(119, 181), ["m1", "m2", "m3"]);
    assert_eq!(names(100, 100), ["m1"]);
    assert_eq!(names(60, 60), [""; 0]);
    let refused = block_on(service_graph(
        &store,
        TENANT,
        &request(61, 60),
        ALL,
        &options(),
    ));
    assert!(matches!(refused, Err(QueryError::Invalid(_))));
}

/// Returns a store with a message sent in trace 1 and received in trace 2; what trace 3 received comes
/// from a trace that is not there.
fn linked() -> (MemoryStore, Vec<String>) {
    let store = MemoryStore::default();
    let sends = r#""start_time":10,"end_time":20,"subsegments":[{"id":"00000000000000c1","name":"SQS","namespace":"aws","start_time":11,"end_time":12.5}]"#;
    let link = |trace: u64| {
        let trace_id = traffic::trace_id(trace);
        format!(
            r#""start_time":15,"end_time":16,"links":[{{"trace_id":"{trace_id}","id":"00000000000000c1"}}]"#
        )
    };
    put(
        &store,
        &[
            document(1, 1, "shop", sends),
            document(2, 1, "worker", &link(1)),
            document(3, 1, "lost", &link(9)),
        ],
    );
    // The sender's trace is not among those asked for.
    (store, [2, 3].map(traffic::trace_id).to_vec())
}

#[test]
fn a_message_from_another_trace_is_a_link() {
    let (store, trace_ids) = linked();
    let services = of_traces(&store, &trace_ids).unwrap();
    let mut nodes = services.as_array().unwrap().iter();
    let queue = nodes.find(|node| node["Name"] == "SQS").unwrap();
    assert_eq!(queue["Edges"][0]["EdgeType"], "link");
    assert_eq!(
        queue["Edges"][0]["ReceivedEventAgeHistogram"],
        json!([{"Value": 2.5, "Count": 1}])
    );
    let mut unfollowed = options();
    unfollowed.n_linked_traces_max = 0;
    let request = GetTraceGraphRequest {
        trace_ids,
        next_token: None,
    };
    let graph = block_on(trace_graph(&store, TENANT, &request, &unfollowed)).unwrap();
    let mut names = graph.services.iter().map(|node| node.name.as_deref());
    assert!(names.all(|name| name != Some("SQS")));
}

#[test]
fn links_are_on_both_ends() {
    let (store, trace_ids) = linked();
    let asked = trace_ids.iter().map(|id| TraceId::parse(id).unwrap());
    let asked = asked.collect();
    let graph = block_on(graph_of_traces(&store, TENANT, &asked, None, &options())).unwrap();
    let links = |name: &str| {
        let is_it = |node: &&RetrievedService| {
            let is_client = node.service.service_type.as_deref() == Some("client");
            node.service.name.as_deref() == Some(name) && !is_client
        };
        json!(graph.services.iter().find(is_it).unwrap().links)
    };
    let link = |others: &str, one: u64, other: u64| {
        let [one, other] = [one, other].map(traffic::trace_id);
        json!([{"ReferenceType": others, "SourceTraceId": one, "DestinationTraceIds": [other]}])
    };
    assert_eq!(links("worker"), link("parent", 2, 1));
    assert_eq!(links("SQS"), link("child", 1, 2));
    assert_eq!(links("lost"), link("parent", 3, 9));
}

#[test]
fn ids_are_read_in_both_forms_and_counted_once() {
    let store = MemoryStore::default();
    let members = r#""start_time":1,"end_time":2"#;
    put(&store, &[document(1, 1, "shop", members)]);
    let id = traffic::trace_id(1);
    let asked = [
        id.clone(),
        id.replace("1-", "").replace('-', ""),
        traffic::trace_id(2),
        "nonsense".to_owned(),
    ];
    let services = of_traces(&store, &asked).unwrap();
    assert_eq!(services[0]["SummaryStatistics"]["TotalCount"], 1);
    assert_eq!(of_traces(&store, &asked[2..]).unwrap(), json!([]));
    let many: Vec<String> = (0..101).map(traffic::trace_id).collect();
    let refused = of_traces(&store, &many).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "TraceIds names 101 traces and the limit is 100: ask for fewer at a time"
    );
    assert!(of_traces(&store, &many[1..]).is_ok());
}
